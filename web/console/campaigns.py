"""Campaigns: what each says and does, what it brought, who got it, and why this customer did or did not."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select
from starlette.responses import RedirectResponse

from catalog.entry import in_ms, in_words
from catalog.governance import rules
from catalog.service import NoSuch
from loyalty.game import OnCrossing, OnEvent
from projection import queries, schema, sums
from web.api import campaigns as governed
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.projected import reading
from web.api.rules import Number
from web.ask_worker import NoAnswer, UnknownCustomer, UnknownName, fetch_why
from web.console import figures
from web.console.census import census
from web.console.kept import kept
from web.console.rendering import number as shown_number
from web.console.rendering import or_word, page, say
from web.console.wording import in_words as condition_in_words

router = APIRouter()

SECTION = "campaigns"
TABS = ("summary", "customers", "why")
SHOWN = 50
#: Days of decisions that are counted: older ones say little of what holds a campaign back now.
DECIDED_DAYS = 30
STATES = ("running", "planned", "over", "off")
#: Fields that were left empty come as "".
Day = Annotated[date | Literal[""] | None, Query()]
Cursor = Annotated[str | None, Query(max_length=2000)]


def standing(parts: Parts, number: int) -> dict[str, Any]:
    """A campaign as the files have it.  Raises NoSuch."""
    found: dict[str, Any] | None = rules.standing(parts.content(), SECTION, number)
    if found is None:
        raise NoSuch(f"there is no campaign {number}")
    return found


def money(parts: Parts, minor: int) -> str:
    """Minor units as an amount of the currency."""
    decisions = parts.content().decisions
    places = decisions.currency_decimals
    return f"{shown_number(minor / 10**places, places)} {decisions.currency}"


def state_of(campaign: dict[str, Any], now: datetime) -> str:
    """One of STATES, as of a time."""
    at = now.timestamp() * 1000
    if not campaign["active"]:
        return "off"
    if in_ms(campaign["valid_from"]) > at:
        return "planned"
    return "over" if 0 < in_ms(campaign["valid_to"]) <= at else "running"


def log_time(session: Any) -> datetime:
    """Up to which time the log is read: campaigns begin and end by it, not by this machine's clock."""
    found: datetime | None = queries.freshness(session)["as_of"]
    return found or datetime.now(UTC)


def trigger_in_words(campaign: governed.Campaign) -> str:
    """When a campaign's turn comes."""
    trigger = campaign.trigger
    if isinstance(trigger, OnEvent):
        types = ", ".join(or_word("event", name) for name in trigger.types)
        if trigger.where:
            return say("campaigns.on_event_where", types=types, where=trigger.where)
        return say("campaigns.on_event", types=types)
    if isinstance(trigger, OnCrossing):
        return say("campaigns.on_crossing", when=condition_in_words(trigger.when))
    if not trigger.weekdays:
        return say("campaigns.on_every_day")
    return say("campaigns.on_days", days=", ".join(say(f"campaigns.day.{day}") for day in trigger.weekdays))


def _done(session: Any) -> dict[int, dict[str, Any]]:
    """By campaign: how often each status was told, treatment and control apart, and the uplift of it."""
    counted: defaultdict[int, dict[str, dict[str, int]]] = defaultdict(
        lambda: {arm: {"triggered": 0, "delivered": 0, "converted": 0} for arm in ("treatment", "control")}
    )
    for number, detail, value in figures.by_number(session, "campaigns"):
        status, _, arm = detail.partition(":")
        if arm in counted[number] and status in counted[number][arm]:
            counted[number][arm][status] += value
    return {
        number: arms | {"uplift": sums.uplift(arms["treatment"], arms["control"])}
        for number, arms in counted.items()
    }


@router.get("/campaigns/")
def campaigns(
    request: Request, parts: P, caller: Reader, state: str = "",
    search: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """All of them, with what each brought so far."""
    wanted = search.strip().casefold()

    def look() -> dict[int, dict[str, Any]]:
        with reading(parts) as session:
            return _done(session)

    done = kept(parts).of("campaigns", look)
    with reading(parts) as session:
        now = log_time(session)
    found = [
        each | {"state": state_of(each, now), "words": condition_in_words(each["audience"])}
        for each in rules.entries(parts.content().game, SECTION)
        if wanted in each["name"].casefold() or wanted in each["description"].casefold()
    ]
    found = [each for each in found if state in ("", each["state"])]
    found.sort(key=lambda each: (STATES.index(each["state"]), -each["priority"], each["number"]))
    return page(
        request, "campaigns.html", campaigns=found, done=done, states=STATES, state=state, search=search,
        contact=parts.content().game.contact,
    )  # fmt: skip


def _head(parts: Parts, number: int, tab: str) -> dict[str, Any]:
    """What every page of a campaign has.  Raises NoSuch."""
    entry = standing(parts, number)
    with reading(parts) as session:
        now = log_time(session)
    return {
        "campaign": entry, "state": state_of(entry, now), "tab": tab, "tabs": TABS,
        "base": rules.tag(entry), "words": condition_in_words(entry["audience"]),
        "money": lambda minor: money(parts, minor),
    }  # fmt: skip


@router.get("/campaigns/{number}/")
def campaign(
    request: Request, parts: P, caller: Reader, number: Number, since: Day = None,
    until: Day = None,
) -> Response:  # fmt: skip
    """What it says, and what it brought."""
    head = _head(parts, number, "summary")

    def look() -> governed.Performance:
        return governed.performance(parts, caller, number, since or None, until or None)

    brought = look() if since or until else kept(parts).of(f"campaign {number}", look)
    details = governed.offer_details(parts, caller, number)
    with reading(parts) as session:
        spent = sum(value for of, _, value in figures.by_number(session, "cost") if of == number)
    treated, uplift = brought.arms["treatment"], brought.uplift
    more = uplift.value * treated.triggered if uplift is not None else 0.0
    rule = next(each for each in parts.content().game.campaigns if each.number == number)
    return page(
        request, "campaign.html", **head, brought=brought, details=details, spent=spent, since=since or "",
        until=until or "", trigger=trigger_in_words(rule), chart=_chart(brought.by_day), more=more,
        each=treated.cost / more if more > 0 and treated.cost else None, plot=_interval(uplift),
    )  # fmt: skip


def _chart(by_day: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Counts by day of the trigger; None where there are less than two days."""
    if len({each["day"] for each in by_day}) < 2:
        return None
    first, last = min(each["day"] for each in by_day), max(each["day"] for each in by_day)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    values = {(each["day"], each["arm"]): each for each in by_day}
    lines = [("treatment", name) for name in ("triggered", "delivered", "converted")]
    lines += [("control", "converted")]
    return {
        "key": "by_day", "kind": "line", "days": days,
        "names": [say(f"campaigns.line.{arm}_{name}") for arm, name in lines],
        "series": [
            {"key": f"{arm}_{name}", "values": [values.get((day, arm), {}).get(name, 0) for day in days]}
            for arm, name in lines
        ],
    }  # fmt: skip


def _interval(uplift: governed.Uplift | None) -> dict[str, float] | None:
    """Where an interval and its middle stand on a line of 0 to 100 that has no uplift at 50."""
    if uplift is None:
        return None
    widest = max(abs(uplift.low), abs(uplift.high), 0.01) * 1.1
    return {name: 50 + 50 * getattr(uplift, name) / widest for name in ("low", "value", "high")}


@router.get("/campaigns/{number}/reach")
def reach(request: Request, parts: P, caller: Reader, number: Number) -> Response:
    """Whom it could speak to now, what stands in its way, and what was decided of late."""
    head = _head(parts, number, "summary")
    found = census(parts, [], number)
    d = schema.decisions.c

    def look() -> dict[tuple[str, bool], int]:
        with reading(parts) as session:
            since = log_time(session).date() - timedelta(days=DECIDED_DAYS)
            counted = session.execute(
                select(d.decision, d.control, func.count())
                .where(d.day > since, d.kind == "campaign", d.rule == f"campaign:{number}")
                .group_by(d.decision, d.control)
            )
            return {(name, control): int(count) for name, control, count in counted}

    decided = kept(parts).of(f"decided by {number}", look)
    template = "part_campaign_reach.html" if "hx-request" in request.headers else "campaign_reach.html"
    return page(request, template, **head, found=found, decided=decided, days=DECIDED_DAYS)


@router.get("/campaigns/{number}/customers")
def customers(
    request: Request, parts: P, caller: Reader, number: Number,
    status: Literal["", "triggered", "delivered", "converted"] = "",
    arm: Literal["", "treatment", "control"] = "", cursor: Cursor = None,
) -> Response:  # fmt: skip
    """Who got it, in which words, and what became of it."""
    head = _head(parts, number, "customers")
    found = governed.triggers(parts, caller, None, number, arm or None, status or None, SHOWN, cursor)
    return page(request, "campaign_customers.html", **head, found=found, status=status, arm=arm)


@router.get("/campaigns/{number}/why")
def why(
    request: Request, parts: P, caller: Reader, number: Number,
    customer_id: Annotated[str, Query(max_length=256, pattern=r"^[^\x00]*$")] = "",
) -> Response:  # fmt: skip
    """Why, or why not, this customer."""
    head = _head(parts, number, "why")
    wanted = customer_id.strip()
    now = said = None
    fault = ""
    decided: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    if wanted:
        try:
            now = fetch_why(parts.settings, wanted, campaign=head["campaign"]["name"])
            said = now["campaigns"][0]
        except (NoAnswer, UnknownCustomer, UnknownName) as error:
            fault = str(error)
        with reading(parts) as session:
            decided = queries.decisions(
                session, customer_id=wanted, kind="campaign", rule=f"campaign:{number}", limit=20
            ).rows
            told = queries.triggers(session, customer_id=wanted, campaign=number, limit=20).rows
    return page(
        request, "campaign_why.html", **head, wanted=wanted, now=now, said=said, fault=fault,
        decided=decided, told=told,
    )  # fmt: skip


@router.post("/campaigns/{number}/switch")
def switch(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """Paused, or resumed, as a draft."""
    before = standing(parts, number)
    return _into_draft(request, parts, caller, before, {"active": not before["active"]}, "switch")


@router.post("/campaigns/{number}/end")
def end(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """For good, from now on, as a draft."""
    before = standing(parts, number)
    with reading(parts) as session:
        now = log_time(session)
    if state_of(before, now) != "running":
        raise Problem(409, say("campaigns.ends_not"))
    at = in_words(int(now.timestamp()) * 1000)
    return _into_draft(request, parts, caller, before, {"valid_to": at}, "end")


def _into_draft(
    request: Request, parts: Parts, caller: Any, before: dict[str, Any], change: dict[str, Any], what: str
) -> Response:
    edit = {"section": SECTION, "entry": before | change, "base": rules.tag(before)}
    words = "resume" if what == "switch" and change["active"] else "pause" if what == "switch" else what
    row = parts.drafts.add([edit], caller, say(f"campaigns.note.{words}", name=before["name"]))
    return RedirectResponse(f"{request.scope['root_path']}/drafts/{row.id}/", 303)
