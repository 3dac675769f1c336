"""The programme at a glance: figures, trends by day, and what happens now, by server-sent events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from threading import Lock
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select
from starlette.responses import StreamingResponse

from projection import queries, schema, sums
from web.api.doors import Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.console import figures as by_number
from web.console.gate import COOKIE
from web.console.kept import kept
from web.console.rendering import page, render

router = APIRouter()

#: Seconds between two looks; all who watch share one.
LOOK = 2.0
#: Looks back for events a second.
RATE_SECONDS = 60.0
#: A stream ends after that long, and the browser asks again: so it notices that a session is over.
STREAM_SECONDS = 60.0
LEVELS = ("bronze", "silver", "gold", "platinum")
RANGES = (30, 90, 365)


@dataclass(slots=True)
class Watch:
    """The figures of lately, and how many events came since earlier ones."""

    lock: Lock = field(default_factory=Lock)
    at: float = -1e9
    found: dict[str, Any] = field(default_factory=dict)
    events: deque[tuple[float, int]] = field(default_factory=deque)

    def look(self, parts: Parts) -> dict[str, Any]:
        """The figures, looked for at most every LOOK seconds."""
        with self.lock:
            now = time.monotonic()
            if now - self.at >= LOOK:
                before, self.at = self.found, time.monotonic()
                self.found = kept(parts).of("overview", lambda: figures(parts))
                if self.found is not before:
                    self.events.append((self.at, self.found["events"]))
                while len(self.events) > 2 and self.at - self.events[0][0] > RATE_SECONDS:
                    self.events.popleft()
            first, last = self.events[0], self.events[-1]
            rate = (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else None
            return self.found | {"rate": rate}


def figures(parts: Parts) -> dict[str, Any]:
    """Everything in all, of everybody."""
    transactions = set(parts.content().policy.transaction_types)
    with reading(parts) as session:
        totals = sums.programme_totals(session)
        owed = sums.liability(session)
        fresh = queries.freshness(session)
        c = schema.customers.c
        counted = session.execute(select(c.state, func.count()).group_by(c.state))
        states = {str(state): int(count) for state, count in counted}
        running = session.execute(
            select(func.count()).select_from(schema.missions).where(schema.missions.c.status == "active")
        ).scalar_one()
    events = totals.get("events", {})
    campaigns = {"triggered": 0, "delivered": 0, "converted": 0}
    for detail, count in totals.get("campaigns", {}).items():
        status = detail.split(":")[0]
        if status in campaigns:
            campaigns[status] += count
    return {
        "customers": states,
        "events": sum(events.values()),
        "by_type": events,
        "transactions": sum(count for kind, count in events.items() if kind in transactions),
        "missions": totals.get("missions", {}),
        "running": int(running),
        "badges": totals.get("badges", {}),
        "points": totals.get("points", {}),
        "owed": owed,
        "campaigns": campaigns,
        "freshness": fresh,
    }


def _watch(parts: Parts) -> Watch:
    found: Watch = parts.kept.setdefault(Watch, Watch())
    return found


@router.get("/")
def overview(
    request: Request, parts: P, caller: Reader, days: Annotated[int, Query(ge=7, le=400)] = 90
) -> Response:
    """Figures and trends."""
    found = _watch(parts).look(parts)
    as_of = found["freshness"]["as_of"]

    def look() -> list[dict[str, Any]]:
        since = as_of.date() - timedelta(days=days - 1)
        with reading(parts) as session:
            by_day = by_number.trends(session, since)
            owed = sums.owed_by_day(session, since=since)
        return trends(by_day, owed, set(parts.content().policy.transaction_types))

    charts = kept(parts).of(f"trends of {days} days", look) if as_of is not None else []
    return page(request, "overview.html", now=found, charts=charts, days=days, ranges=RANGES, levels=LEVELS)


def trends(
    by_day: list[dict[str, Any]], owed: list[dict[str, Any]], transactions: set[str]
) -> list[dict[str, Any]]:
    """Series by day, as charts: `key`, `days`, and `series` of key and values."""
    if not by_day:
        return []
    first, last = by_day[0]["day"], max(each["day"] for each in by_day)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    index = {each: n for n, each in enumerate(days)}

    def chart(key: str, kind: str, *names: str) -> dict[str, Any]:
        return {
            "key": key, "kind": kind, "days": days,
            "series": [{"key": name, "values": [0] * len(days)} for name in names],
        }  # fmt: skip

    events = chart("events", "line", "events", "transactions")
    missions = chart("missions", "line", "given", "completed", "expired")
    badges = chart("badges", "stack", *LEVELS)
    points = chart("points", "line", "granted", "redeemed", "owed")

    def add(to: dict[str, Any], name: str, at: date, value: int) -> None:
        for series in to["series"]:
            if series["key"] == name:
                series["values"][index[at]] += value

    for each in by_day:
        measure, detail, value = each["measure"], each["detail"], each["value"]
        if measure == "events":
            add(events, "events", each["day"], value)
            if detail in transactions:
                add(events, "transactions", each["day"], value)
        elif measure == "missions":
            add(missions, detail, each["day"], value)
        elif measure == "badges":
            add(badges, detail, each["day"], value)
    known = {each["day"]: each for each in owed}
    standing = owed[0]["owed"] - owed[0]["granted"] + owed[0]["redeemed"] + owed[0]["expired"] if owed else 0
    for n, at in enumerate(days):
        if at in known:
            standing = known[at]["owed"]
            for name in ("granted", "redeemed"):
                add(points, name, at, known[at][name])
        points["series"][2]["values"][n] = standing
    return [events, missions, badges, points]


@router.get("/live")
async def live(request: Request, parts: P, caller: Reader) -> Response:
    """The figures again and again, as server-sent events; sent when they have changed."""
    watch = _watch(parts)
    sessions = request.app.state.sessions
    token = request.cookies.get(COOKIE, "")

    def look() -> str:
        return render(request, "part_figures.html", now=watch.look(parts), levels=LEVELS)

    async def stream() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        before = ""
        end = time.monotonic() + STREAM_SECONDS
        while time.monotonic() < end and not await request.is_disconnected():
            if await to_thread.run_sync(sessions.find, token) is None:
                return
            found = await to_thread.run_sync(look)
            if found != before:
                lines = "\n".join(f"data: {line}" for line in found.splitlines())
                yield f"event: figures\n{lines}\n\n"
                before = found
            else:
                yield ": here\n\n"
            await anyio.sleep(LOOK)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
