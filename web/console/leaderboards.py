"""Leaderboards: who leads, of all time or of a season; who asked not to be listed is not."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from projection import queries, sums
from web.api import unlisted
from web.api.commanding import CustomerPath
from web.api.doors import Commander, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.console.gate import form_of
from web.console.kept import kept
from web.console.rendering import page, said, say

router = APIRouter()
SHOWN = 50
#: Seasons that can be chosen: what a mission did is kept for 400 days.
MONTHS, QUARTERS = 13, 4


@router.get("/leaderboards/")
def leaderboards(
    request: Request, parts: P, caller: Reader, by: str = "points",
    season: Annotated[str, Query(max_length=10)] = "",
) -> Response:  # fmt: skip
    """Who leads."""
    by = by if by in sums.LEADERS else "points"
    with reading(parts) as session:
        as_of = queries.freshness(session)["as_of"]
        known = seasons(as_of.date()) if as_of is not None and by in sums.BY_DAY else {}
    since, until = known.get(season, (None, None))

    def look() -> list[dict[str, Any]]:
        with reading(parts) as session:
            return sums.leaderboard(
                session, by, SHOWN, since=since, until=until, without=unlisted.of(parts).hashes()
            )

    rows = kept(parts).of(f"leaders by {by} {since} {until}", look)
    # Whoever has just asked not to be listed is not, even where the sum is of before.
    off = unlisted.of(parts).among(each["customer_id"] for each in rows)
    rows = [each for each in rows if each["customer_id"] not in off]
    return page(
        request, "leaderboards.html", rows=rows, by=by, leaders=sums.LEADERS, seasons=known,
        season=season if season in known else "", since=since, until=until,
    )  # fmt: skip


def seasons(today: date) -> dict[str, tuple[date, date]]:
    """First and last day of the present quarter and month and of those before, the newest first."""
    found = {}
    for months, most, called in ((3, QUARTERS, "{0}-Q{2}"), (1, MONTHS, "{0}-{1:02}")):
        first = date(today.year, (today.month - 1) // months * months + 1, 1)
        for _ in range(most):
            after = (first + timedelta(days=31 * months)).replace(day=1)
            name = called.format(first.year, first.month, (first.month + 2) // 3)
            found[name] = (first, after - timedelta(days=1))
            before = first - timedelta(days=1)
            first = date(before.year, (before.month - 1) // months * months + 1, 1)
    return found


@router.post("/customers/{customer_id}/listed")
def listed(request: Request, parts: P, caller: Commander, customer_id: CustomerPath) -> Response:
    """On leaderboards again, or on none."""
    off = form_of(request).get("off") == "on"
    unlisted.of(parts).put(customer_id, off, caller)
    return said(request, kind="good", words=say("leaders.off" if off else "leaders.on"))


def off_boards(parts: Parts, customer_id: str) -> bool:
    """Whether a customer is on no leaderboard."""
    return unlisted.of(parts).has(customer_id)
