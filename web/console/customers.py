"""Customers: found by id, and one of them whole: what it has, why, why not, and what one may do to it."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import and_, select
from starlette.responses import RedirectResponse

from loyalty.asking import SETS
from ml.recorded import Recorded, Told
from ml.registry import SHIPPED, ModelError, Registry
from projection import queries, schema
from web.api import customers as asked
from web.api.commanding import CustomerPath, ForCustomer
from web.api.doors import Admin, Commander, Reader
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.projected import reading
from web.ask_worker import NoAnswer, fetch_why
from web.console.gate import form_of
from web.console.leaderboards import off_boards
from web.console.naming import Names
from web.console.rendering import page, path_part, said, say

router = APIRouter()

SHOWN = 50
STATES = ("open", "ended", "linked")
TABS = ("summary", "why", "points", "predictions", "timeline", "decisions")
Search = Annotated[str, Query(max_length=256)]
Cursor = Annotated[str | None, Query(max_length=2000)]


@dataclass(slots=True)
class _Explaining:
    """Models that tell why, loaded once; they count again when another version does."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    recorded: Recorded | None = None

    def tell(self, parts: Parts, record: dict[str, Any]) -> list[Told]:
        with self.lock:
            if self.recorded is None:
                self.recorded = Recorded(Registry(parts.settings.models or SHIPPED))
            return self.recorded.tell(record)


@router.get("/customers/")
def find(
    request: Request, parts: P, caller: Reader, search: Search = "", state: str = "", cursor: Cursor = None
) -> Response:
    """Customers by id; whose id is searched whole is shown at once."""
    wanted = search.strip()
    if "\0" in wanted:
        wanted = ""
    state = state if state in STATES else ""
    with reading(parts) as session:
        if wanted and cursor is None and not state and queries.customer(session, wanted) is not None:
            return RedirectResponse(f"{request.scope['root_path']}/customers/{path_part(wanted)}/", 303)
        rows, next_ = _matching(session, wanted, state, cursor)
    return page(
        request, "customers.html", search=wanted, state=state, states=STATES, rows=rows, next=next_,
    )  # fmt: skip


def _matching(
    session: Any, wanted: str, state: str, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Customers whose id has `wanted` in it, with scores and balance; and where the next page begins."""
    c, s, b = schema.customers.c, schema.scores.c, schema.balances.c
    conditions: list[Any] = [c.state == state] if state else []
    if wanted:
        conditions.append(c.customer_id.contains(wanted, autoescape=True))
    if after is not None and "\0" not in after:
        conditions.append(c.customer_id > after)
    # The ids alone are in the index: nobody's row is read who does not fit.
    ids = (
        select(c.customer_id)
        .where(and_(True, *conditions))
        .order_by(c.customer_id)
        .limit(SHOWN + 1)
        .subquery()
    )
    rows = session.execute(
        select(
            c.customer_id, c.state, c.linked_to, c.last_seen, *(s[name] for name in schema.SCORES), b.balance
        )
        .join(ids, ids.c.customer_id == c.customer_id)
        .outerjoin(schema.scores, s.customer_id == c.customer_id)
        .outerjoin(schema.balances, b.customer_id == c.customer_id)
        .order_by(c.customer_id)
    ).mappings()
    shown = [dict(each) for each in rows]
    return shown[:SHOWN], shown[SHOWN - 1]["customer_id"] if len(shown) > SHOWN else None


def _head(request: Request, parts: Parts, caller: Reader, customer_id: str, tab: str) -> dict[str, Any]:
    """What every page of a customer has.  Raises UnknownCustomer."""
    found = asked.customer(parts, caller, customer_id)
    return {"id": customer_id, "found": found, "tab": tab, "tabs": TABS, "names": Names.of(parts.content())}


@router.get("/customers/{customer_id}/")
def summary(request: Request, parts: P, caller: Reader, customer_id: CustomerPath) -> Response:
    """Scores, missions, badges with their reasons."""
    head = _head(request, parts, caller, customer_id, "summary")
    with reading(parts) as session:
        history = queries.score_history(session, customer_id)
        badges = queries.badges(session, customer_id)
        missions = queries.missions(session, customer_id=customer_id, limit=30).rows
        decided = [
            each
            for kind, most in (("badge", 1000), ("mission", 200))
            for each in queries.decisions(session, customer_id=customer_id, kind=kind, limit=most).rows
        ]
        linked = queries.customer(session, customer_id)
    reasons: dict[str, list[dict[str, Any]]] = {}
    for each in decided:
        if each["decision"] in ("awarded", "given"):
            reasons.setdefault(each["rule"], []).append(each)
    grouped: dict[int, dict[str, Any]] = {}
    for each in sorted(badges, key=lambda each: (each["number"], -each["level"])):
        held = grouped.setdefault(each["number"], {"name": each["name"], "levels": []})
        rule = f"badge:{each['number']}:{each['level']}"
        held["levels"].append(each | {"why": next(iter(reasons.get(rule, [])), None)})
    for each in missions:
        given = [
            d for d in reasons.get(f"mission:{each['number']}", ()) if d["occurred_at"] <= each["started_at"]
        ]
        each["why"] = given[0] if given else None
    return page(
        request, "customer_summary.html", **head, history=_chart(history), badges=list(grouped.values()),
        missions=missions, linked=linked["linked_to"] if linked is not None else None,
        unlisted=off_boards(parts, customer_id),
    )  # fmt: skip


def _chart(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    if len(history) < 2:
        return None
    return {
        "key": "history", "kind": "line", "days": [each["day"] for each in history],
        "names": [say(f"score.{name}") for name in asked.SCORES],
        "series": [{"key": name, "values": [each[name] for each in history]} for name in asked.SCORES],
    }  # fmt: skip


@router.get("/customers/{customer_id}/why")
def why(
    request: Request, parts: P, caller: Reader, customer_id: CustomerPath,
    of: Annotated[str, Query(max_length=120)] = "",
) -> Response:  # fmt: skip
    """Why not: of any mission or badge, what would have to be otherwise."""
    head = _head(request, parts, caller, customer_id, "why")
    now = away = None
    try:
        now = fetch_why(parts.settings, customer_id)
    except NoAnswer as error:
        away = error
    kind, _, given = of.partition(":")
    return page(request, "customer_why.html", **head, now=now, away=away, kind=kind, given=given)


@router.get("/customers/{customer_id}/points")
def points(
    request: Request, parts: P, caller: Reader, customer_id: CustomerPath, cursor: Cursor = None
) -> Response:
    """What came and went, and offers granted."""
    head = _head(request, parts, caller, customer_id, "points")
    with reading(parts) as session:
        ledger = queries.ledger(session, customer_id=customer_id, limit=SHOWN, cursor=cursor)
        sums = queries.points(session, customer_id)
        grants = queries.grants(session, customer_id=customer_id, limit=20).rows
    return page(request, "customer_points.html", **head, ledger=ledger, sums=sums, grants=grants)


@router.get("/customers/{customer_id}/predictions")
def predictions(request: Request, parts: P, caller: Reader, customer_id: CustomerPath) -> Response:
    """What models said, and why."""
    head = _head(request, parts, caller, customer_id, "predictions")
    with reading(parts) as session:
        found = queries.predictions(session, customer_id)
    explaining: _Explaining = parts.kept.setdefault(_Explaining, _Explaining())
    sets = []
    for name in SETS.values():
        if name not in found:
            continue
        told, fault = [], ""
        try:
            told = explaining.tell(parts, found[name])
        except (ModelError, LookupError, ValueError) as error:
            fault = str(error)
        sets.append({"name": name, "as_of": found[name]["as_of"], "told": told, "fault": fault})
    return page(request, "customer_predictions.html", **head, sets=sets)


@router.get("/customers/{customer_id}/timeline")
def timeline(request: Request, parts: P, caller: Reader, customer_id: CustomerPath) -> Response:
    """What happened and what came of it, the newest first."""
    head = _head(request, parts, caller, customer_id, "timeline")
    names: Names = head["names"]
    with reading(parts) as session:
        events = queries.events(session, customer_id=customer_id, limit=SHOWN).rows
        ledger = queries.ledger(session, customer_id=customer_id, limit=SHOWN).rows
        decided = queries.decisions(session, customer_id=customer_id, limit=2 * SHOWN).rows
        missions = queries.missions(session, customer_id=customer_id, limit=SHOWN).rows
        usage = queries.usage(session, customer_id)[-30:]
    entries = [(each["occurred_at"], "event", each) for each in events]
    entries += [(each["occurred_at"], "ledger", each) for each in ledger]
    entries += [
        (each["occurred_at"], "decision", each) for each in decided if each["kind"] in ("mission", "badge")
    ]
    entries += [(each["changed_at"], "mission", each) for each in missions if each["status"] != "active"]
    entries.sort(key=lambda entry: entry[0], reverse=True)
    lines = [
        {"at": at, "kind": kind, "words": names.line(kind, each), "entry": each} for at, kind, each in entries
    ]
    return page(request, "customer_timeline.html", **head, lines=lines[: 2 * SHOWN], usage=usage[::-1])


@router.get("/customers/{customer_id}/decisions")
def decisions(
    request: Request, parts: P, caller: Reader, customer_id: CustomerPath, cursor: Cursor = None
) -> Response:
    """Every decision with what it saw."""
    head = _head(request, parts, caller, customer_id, "decisions")
    with reading(parts) as session:
        found = queries.decisions(session, customer_id=customer_id, limit=SHOWN, cursor=cursor)
    return page(request, "customer_decisions.html", **head, decided=found)


# -- what one may do ------------------------------------------------------------------------------------


def _done(request: Request, what: str, answer: dict[str, Any], response: Response) -> Response:
    pending = answer["status"] == "pending"
    return said(request, kind="warn" if pending else "good",
        words=say("customer.pending") if pending else say(f"customer.done.{what}"),
    )  # fmt: skip


Given = TypeVar("Given", asked.Points, asked.Adjustment)


def _points(request: Request, given: type[Given]) -> Given:
    """What a form says of points.  Raises Problem."""
    text = form_of(request).get("points", "").strip().replace(",", "")
    digits = text.lstrip("+-")
    if digits.isascii() and digits.isdecimal() and len(text) <= 11:
        with suppress(ValueError):  # more signs than one, more points than there may be
            return given(points=int(text))
    raise Problem(422, say("customer.no_number"))


@router.post("/customers/{customer_id}/recalculate")
def recalculate(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """Scores anew."""
    answer = asked.recalculate(parts, caller, customer_id, response := Response())
    return _done(request, "recalculate", answer, response)


@router.post("/customers/{customer_id}/generate")
def generate(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """Missions that the customer is eligible for."""
    answer = asked._send(parts, caller, response := Response(), "generate", customer_id)
    return _done(request, "generate", answer, response)


@router.post("/customers/{customer_id}/predict")
def predict(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """Every model is asked."""
    answer = asked.predict(parts, caller, customer_id, response := Response())
    return _done(request, "predict", answer, response)


@router.post("/customers/{customer_id}/opt")
def opt(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """Takes part, or no more: whoever is out is given nothing."""
    wants = form_of(request).get("in") == "on"
    send = asked.opt_in if wants else asked.opt_out
    answer = send(parts, caller, customer_id, response := Response())
    return _done(request, "opt_in" if wants else "opt_out", answer, response)


@router.post("/customers/{customer_id}/grants/{grant_id}/repeat")
def repeat(
    request: Request, parts: P, caller: Commander, customer_id: CustomerPath,
    grant_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
) -> Response:  # fmt: skip
    """The operator's systems are told of an offer once more."""
    answer = asked.repeat(
        parts, caller, grant_id, ForCustomer(customer_id=customer_id), response := Response()
    )
    return _done(request, "repeat", answer, response)


@router.post("/customers/{customer_id}/redeem")
def redeem(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """Points are taken for something."""
    given = _points(request, asked.Points)
    answer = asked.redeem(parts, caller, customer_id, given, response := Response())
    return _done(request, "redeem", answer, response)


@router.post("/customers/{customer_id}/adjust")
def adjust(request: Request, parts: P, caller: Admin, customer_id: CustomerPath) -> Response:
    """Points by hand."""
    given = _points(request, asked.Adjustment)
    answer = asked.adjust(parts, caller, customer_id, given, response := Response())
    return _done(request, "adjust", answer, response)


@router.post("/customers/{customer_id}/erase")
def erase(request: Request, parts: P, caller: Admin, customer_id: CustomerPath) -> Response:
    """Forgotten everywhere; the id must be written once more."""
    if form_of(request).get("again", "").strip() != customer_id:
        raise Problem(422, say("customer.erase_again"))
    answer = asked.erase(parts, caller, customer_id, response := Response())
    return _done(request, "erase", answer, response)
