"""One customer: live from the worker that owns it, else from the projection; why; commands to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from agents.asking import new_id
from agents.commands import Command
from catalog.governance.audit import Caller
from projection import queries
from web.api.commanding import Answer, CustomerPath, ForCustomer, ForSegment, answered
from web.api.desk import command
from web.api.doors import Admin, Commander, Reader, guarded
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.projected import Since, Until, listed, reading
from web.ask_worker import NoAnswer, UnknownCustomer, fetch, fetch_why

router = guarded()

#: Customers of one request.
MOST = 200
SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")


class Points(BaseModel):
    """How many points."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"points": 100}]})

    points: int = Field(ge=1, lt=2**31)


class Adjustment(BaseModel):
    """Points to add, or, below 0, to take."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"points": -50}]})

    points: int = Field(gt=-(2**31), lt=2**31)


class Batch(BaseModel):
    """Whose scores: customers by id, or all for whom a condition holds."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"customer_ids": ["+15550001", "+15550002"]}]}
    )

    customer_ids: list[Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]] = Field(
        min_length=1, max_length=MOST
    )


@router.get("/customers/", tags=["customers"], summary="List customers")
def customers(
    parts: P, caller: Reader, state: Literal["open", "ended", "linked"] | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Customers that the projection knows, by id."""
    return listed(parts, queries.customers, limit, cursor, state=state)


@router.get("/customers/{customer_id}/", tags=["customers"], summary="Show a customer")
def customer(parts: P, caller: Reader, customer_id: CustomerPath) -> dict[str, Any]:
    """As the worker has it now, else the projection: `answered_by` says which, `age_seconds` how old."""
    return _live(parts, customer_id, lambda live: live, lambda: _projected(parts, customer_id))


def _live(
    parts: Parts, customer_id: str, of: Callable[[dict[str, Any]], dict[str, Any]],
    otherwise: Callable[[], dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    try:
        return {"answered_by": "worker", "age_seconds": 0.0} | of(fetch(parts.settings, customer_id))
    except NoAnswer as away:
        with reading(parts) as session:
            moved = queries.freshness(session)["moved_at"]
        age = None if moved is None else round((datetime.now(UTC) - moved).total_seconds(), 1)
        return {"answered_by": "projection", "age_seconds": age, "worker": str(away)} | otherwise()


def _projected(parts: Parts, customer_id: str) -> dict[str, Any]:
    """Raises UnknownCustomer."""
    with reading(parts) as session:
        known = queries.customer(session, customer_id)
        if known is None:
            raise UnknownCustomer(
                f"customer {customer_id} is unknown to the projection, and no worker answers"
            )
        scores = queries.scores(session, customer_id)
        return known | {
            "as_of": scores["as_of"] if scores is not None else known["last_seen"],
            "scores": {name: {"value": scores[name]} for name in SCORES} if scores is not None else None,
            "missions": queries.missions(session, customer_id=customer_id, status="active", limit=100).rows,
            "badges": queries.badges(session, customer_id),
            "tier": queries.tier(session, customer_id),
            "points": queries.points(session, customer_id),
            "grants": queries.grants(session, customer_id=customer_id, status="open", limit=100).rows,
        }


@router.get("/customers/{customer_id}/why/", tags=["customers"], summary="Why, and why not")
def why(
    parts: P, caller: Reader, customer_id: CustomerPath,
    mission: Annotated[str | None, Query(max_length=100, description="Of this mission only.")] = None,
    badge: Annotated[str | None, Query(max_length=100, description="Of this badge only.")] = None,
    campaign: Annotated[str | None, Query(max_length=100, description="Of this campaign only.")] = None,
    limit: Limit = 20,
) -> dict[str, Any]:  # fmt: skip
    """`decided`: what was decided, with the values seen then; `now`: what would be, and what is missing."""
    asked = {"mission": mission, "badge": badge, "campaign": campaign}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        said = "give one of mission, badge and campaign"
        raise Problem(422, f"{given[-1]}: {said}", [(given[-1], said)])
    now = fetch_why(parts.settings, customer_id, mission, badge, campaign)
    name = (mission or badge or campaign or "").casefold()
    with reading(parts) as session:
        found = queries.decisions(session, customer_id=customer_id, limit=1000 if name else limit).rows
    decided = [each for each in found if name in ("", each["name"].casefold())][:limit]
    return {"customer_id": customer_id, "decided": decided, "now": now}


@router.get("/customers/{customer_id}/usage/", tags=["customers"], summary="Usage by day")
def usage(
    parts: P, caller: Reader, customer_id: CustomerPath, since: Since = None, until: Until = None
) -> dict[str, Any]:
    """Calls, seconds, data, messages and app events of each day."""
    with reading(parts) as session:
        return {"items": queries.usage(session, customer_id, since=since, until=until)}


@router.post(
    "/customers/{customer_id}/redeem/", tags=["customers"], summary="Redeem points", response_model=Answer
)
def redeem(
    parts: P, caller: Commander, customer_id: CustomerPath, given: Points, response: Response
) -> dict[str, Any]:
    """409 `insufficient_points` where the balance is less; it is checked in order with everything else."""
    return _send(parts, caller, response, "redeem", customer_id, {"points": given.points})


@router.post(
    "/customers/{customer_id}/adjust/", tags=["customers"], summary="Adjust points", response_model=Answer
)
def adjust(
    parts: P, caller: Admin, customer_id: CustomerPath, given: Adjustment, response: Response
) -> dict[str, Any]:
    """Adds points, or takes some."""
    return _send(parts, caller, response, "adjust", customer_id, {"points": given.points})


@router.post("/customers/{customer_id}/opt-in/", tags=["customers"], summary="Opt in", response_model=Answer)
def opt_in(parts: P, caller: Commander, customer_id: CustomerPath, response: Response) -> dict[str, Any]:
    """The customer takes part."""
    return _send(parts, caller, response, "opt_in", customer_id)


@router.post(
    "/customers/{customer_id}/opt-out/", tags=["customers"], summary="Opt out", response_model=Answer
)
def opt_out(parts: P, caller: Commander, customer_id: CustomerPath, response: Response) -> dict[str, Any]:
    """The customer gets no missions, badges or rewards any more."""
    return _send(parts, caller, response, "opt_out", customer_id)


@router.post(
    "/customers/{customer_id}/predict/", tags=["models"], summary="Predict anew", response_model=Answer
)
def predict(parts: P, caller: Commander, customer_id: CustomerPath, response: Response) -> dict[str, Any]:
    """Asks every model; what they say stands in `predictions/` a moment later."""
    return _send(parts, caller, response, "predict", customer_id)


@router.delete(
    "/customers/{customer_id}/", tags=["customers"], summary="Erase a customer", response_model=Answer
)
def erase(parts: P, caller: Admin, customer_id: CustomerPath, response: Response) -> dict[str, Any]:
    """Forgets the customer everywhere; what other topics still hold ends with their retention."""
    return _send(parts, caller, response, "erase", customer_id)


def _send(
    parts: Parts, caller: Caller, response: Response, name: str, customer_id: str,
    arguments: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    return answered(parts.desk.send([command(name, customer_id, None, arguments)], caller), response)


@router.get("/behavior-scores/{customer_id}/", tags=["scores"], summary="A customer's scores")
def scores(parts: P, caller: Reader, customer_id: CustomerPath) -> dict[str, Any]:
    """The five scores with their components, live; without them where only the projection answers."""

    def of(found: dict[str, Any]) -> dict[str, Any]:
        return {name: found[name] for name in ("customer_id", "as_of", "scores")}

    return _live(parts, customer_id, of, lambda: of(_projected(parts, customer_id)))


@router.get("/behavior-scores/{customer_id}/history/", tags=["scores"], summary="Scores by day")
def history(
    parts: P, caller: Reader, customer_id: CustomerPath, since: Since = None, until: Until = None
) -> dict[str, Any]:
    """The last scores of each day."""
    with reading(parts) as session:
        return {"items": queries.score_history(session, customer_id, since=since, until=until)}


@router.post(
    "/behavior-scores/{customer_id}/recalculate/",
    tags=["scores"],
    summary="Score anew",
    response_model=Answer,
)
def recalculate(parts: P, caller: Commander, customer_id: CustomerPath, response: Response) -> dict[str, Any]:
    """As of the last tick, and published; the answer has the new scores."""
    answer = _send(parts, caller, response, "recalculate", customer_id)
    if answer["status"] == "done":
        answer |= {"scores": scores(parts, caller, customer_id)["scores"]}
    return answer


@router.post("/behavior-scores/batch-calculate/", tags=["scores"], summary="Score many anew")
def batch_calculate(
    parts: P, caller: Commander, given: Batch | ForSegment, response: Response
) -> dict[str, Any]:
    """Customers by id, or a segment.  202 while results are missing: ask `commands/{command_id}/`."""
    if isinstance(given, ForSegment):
        sent = [command("recalculate", segment=given.segment)]
    else:
        sent = [Command(new_id(), "recalculate", customer_id=id) for id in dict.fromkeys(given.customer_ids)]
    found = [each.plain() for each in parts.desk.send(sent, caller)]
    counts = {name: sum(each["status"] == name for each in found) for name in ("done", "refused", "pending")}
    if counts["pending"]:
        response.status_code = 202
    return {"commands": found, **counts}


@router.post(
    "/missions/generate-for-customer/", tags=["missions"], summary="Give a customer its missions",
    response_model=Answer,
)  # fmt: skip
def generate(parts: P, caller: Commander, given: ForCustomer, response: Response) -> dict[str, Any]:
    """Those that the customer is eligible for, as far as there is room."""
    return _send(parts, caller, response, "generate", given.customer_id)


@router.post(
    "/missions/generate-for-segment/", tags=["missions"], summary="Give a segment its missions",
    response_model=Answer,
)  # fmt: skip
def generate_for_segment(
    parts: P, caller: Commander, given: ForSegment, response: Response
) -> dict[str, Any]:
    """Of all customers for whom the condition holds."""
    return answered(parts.desk.send([command("generate", segment=given.segment)], caller), response)


@router.post(
    "/grants/{grant_id}/repeat/", tags=["rewards"], summary="Tell of an offer again", response_model=Answer
)
def repeat(
    parts: P, caller: Commander, grant_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], given: ForCustomer,
    response: Response,
) -> dict[str, Any]:  # fmt: skip
    """On `reward-grants`, under its grant_id, whatever was answered before."""
    return _send(parts, caller, response, "repeat_grant", given.customer_id, {"grant_id": grant_id})
