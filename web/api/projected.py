"""Lists and figures from the projection: missions, ledger, grants, events, leaderboards, dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AwareDatetime
from sqlalchemy.orm import Session

from catalog.service import NoSuch
from projection import queries, sums
from projection.paging import BadCursor
from web.api import unlisted
from web.api.doors import Reader, guarded
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem

router = guarded()

Customer = Annotated[str | None, Query(max_length=256, description="Of this customer only.")]
Since = Annotated[date | None, Query(description="First day.")]
Until = Annotated[date | None, Query(description="Last day.")]
Rule = Annotated[str | None, Query(max_length=200, description="As `mission:12`, `badge:3:2`, `earn:1`.")]
Hex = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@contextmanager
def reading(parts: Parts) -> Iterator[Session]:
    """A session on the projection.  Raises Problem for what its queries cannot take."""
    with parts.store.session() as session:
        try:
            yield session
        except BadCursor:
            raise Problem(
                422, "cursor: is none of ours", [("cursor", "is none of ours: take `next` of a page")]
            ) from None


def listed(parts: Parts, query: Callable[..., Any], limit: int, cursor: str | None, **wanted: Any) -> Page:
    """A page of one of the projection's lists."""
    with reading(parts) as session:
        found = query(session, **wanted, limit=limit, cursor=cursor)
    return Page(items=found.rows, next=found.next)


@router.get("/customer-events/", tags=["events"], summary="List events")
def events(
    parts: P, caller: Reader, customer_id: Customer = None,
    source: Annotated[str | None, Query(max_length=63)] = None,
    event_type: Annotated[str | None, Query(max_length=63)] = None,
    since: AwareDatetime | None = None, until: AwareDatetime | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Events that are no usage (those are counted by day), of 90 days, the newest first."""
    return listed(
        parts, queries.events, limit, cursor, customer_id=customer_id, source=source, event_type=event_type,
        since=since, until=until,
    )  # fmt: skip


@router.get("/missions/", tags=["missions"], summary="List missions")
def missions(
    parts: P, caller: Reader, customer_id: Customer = None,
    status: Literal["active", "completed", "expired", "replaced", "cancelled"] | None = None,
    number: Annotated[int | None, Query(ge=0, lt=2**31, description="Of this template.")] = None,
    category: Annotated[str | None, Query(max_length=32)] = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Missions of customers, as they stand, the newest first."""
    return listed(
        parts, queries.missions, limit, cursor, customer_id=customer_id, status=status, number=number,
        category=category,
    )  # fmt: skip


@router.get("/missions/{mission_id}/", tags=["missions"], summary="Show a mission")
def mission(parts: P, caller: Reader, mission_id: Hex) -> dict[str, Any]:
    """A customer's mission, with all that was told of it."""
    with reading(parts) as session:
        found = queries.mission(session, mission_id)
        history = queries.mission_history(session, mission_id)
    if found is None:
        raise NoSuch(f"there is no mission {mission_id}")
    return found | {"history": history}


@router.get("/ledger/", tags=["rewards"], summary="List movements of points and offers")
def ledger(
    parts: P, caller: Reader, customer_id: Customer = None,
    kind: Literal[
        "points", "offer", "redeemed", "adjusted", "expired", "reversed", "forfeited"
    ] | None = None,
    rule: Rule = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Everything granted, redeemed, expired or undone, the newest first."""
    return listed(parts, queries.ledger, limit, cursor, customer_id=customer_id, kind=kind, rule=rule)


@router.get("/decisions/", tags=["customers"], summary="List decisions")
def decisions(
    parts: P, caller: Reader, customer_id: Customer = None,
    kind: Annotated[str | None, Query(max_length=32)] = None, rule: Rule = None, control: bool | None = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """What was decided, with the conditions and the values they saw, the newest first."""
    return listed(
        parts,
        queries.decisions,
        limit,
        cursor,
        customer_id=customer_id,
        kind=kind,
        rule=rule,
        control=control,
    )


@router.get("/grants/", tags=["rewards"], summary="List offers granted")
def grants(
    parts: P, caller: Reader, customer_id: Customer = None,
    status: Literal["open", "fulfilled", "failed", "reversed"] | None = None,
    offer: Annotated[int | None, Query(ge=0, lt=2**31)] = None, limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """What the operator's systems were told to hand out, and what they answered; the newest first."""
    return listed(parts, queries.grants, limit, cursor, customer_id=customer_id, status=status, offer=offer)


@router.get("/rewards/liability/", tags=["rewards"], summary="Points owed")
def liability(parts: P, caller: Reader, since: Since = None, until: Until = None) -> dict[str, Any]:
    """Points in customers' accounts: now, and by day."""
    with reading(parts) as session:
        return {
            **sums.liability(session),
            "by_day": sums.owed_by_day(session, since=since, until=until),
            "freshness": queries.freshness(session),
        }


@router.get("/leaderboards/", tags=["dashboard"], summary="Who leads")
def leaderboards(
    parts: P, caller: Reader,
    by: Literal[
        "points", "balance", "badges", "missions", "engagement", "revenue", "loyalty", "risk", "digital"
    ] = "points",
    since: Since = None, until: Until = None, limit: Limit = 50,
) -> dict[str, Any]:  # fmt: skip
    """Customers by rank, without those who are kept off; of points, badges and missions also of a season."""
    if (since or until) and by not in sums.BY_DAY:
        said = f"is known of {', '.join(sums.BY_DAY)} only"
        raise Problem(422, f"since: {said}", [("since" if since else "until", said)])
    with reading(parts) as session:
        items = sums.leaderboard(
            session, by, limit, since=since, until=until, without=unlisted.of(parts).hashes()
        )
        return {"by": by, "items": items}


@router.get("/predictions/{customer_id}/", tags=["models"], summary="A customer's predictions")
def predictions(
    parts: P, caller: Reader, customer_id: Annotated[str, Path(max_length=256)]
) -> dict[str, Any]:
    """What each model last said, from which features, and when."""
    with reading(parts) as session:
        known = queries.customer(session, customer_id)
        found = queries.predictions(session, customer_id)
    if known is None and not found:
        raise NoSuch(f"customer {customer_id} is unknown to the projection")
    return {"customer_id": customer_id, "predictions": found}


@router.get("/dashboard/", tags=["dashboard"], summary="The programme in figures")
def dashboard(parts: P, caller: Reader, since: Since = None, until: Until = None) -> dict[str, Any]:
    """Customers, missions, badges, points, campaigns, transactions: in all, and by day."""
    transactions = set(parts.content().policy.transaction_types)
    with reading(parts) as session:
        totals = sums.programme_totals(session, since=since, until=until)
        days = sums.programme(session, since=since, until=until)
        owed = sums.liability(session)
        fresh = queries.freshness(session)
    campaigns = {"triggered": 0, "delivered": 0, "converted": 0}
    for detail, count in totals.get("campaigns", {}).items():
        status = detail.split(":")[0]
        if status in campaigns:
            campaigns[status] += count
    events_ = totals.get("events", {})
    return {
        "since": since,
        "until": until,
        "freshness": fresh,
        "campaigns": campaigns,
        "transactions": sum(count for kind, count in events_.items() if kind in transactions),
        "missions": totals.get("missions", {}),
        "badges": totals.get("badges", {}),
        "tiers": totals.get("tiers", {}),
        "points": totals.get("points", {}) | {"owed": owed["owed"]},
        "grants": totals.get("grants", {}),
        "events": events_,
        "by_day": days,
    }
