"""Which markers and ticks the owner of partition 0 of `customer-commands` has to write next.

A marker says from which record on a catalog revision counts; a tick moves customers who are silent.  Both go
to every partition of `customer-events`.  Written twice, after a take-over, they change nothing: the
partition row keeps the last of each.
"""

from __future__ import annotations

from agents.commands import own_event
from catalog.times import iso

MINUTE_MS = 60_000


def marker(revision: int, now: int) -> bytes:
    """The record from which on `revision` counts; `now` in milliseconds since 1970."""
    return own_event(f"revision:{revision}", "_marker", iso(now), {"revision": revision})


def tick(at: str, everyone: bool) -> bytes:
    """The record that moves customers to `at`, ISO 8601: those whose refresh is due, or everyone."""
    return own_event(f"tick:{at}", "_tick", at, {"at": at, "everyone": everyone})


class Clock:
    """What was written of both in this epoch, and what is due."""

    def __init__(self, wall: bool) -> None:
        self._wall = wall
        self._marked = 0
        self._ticked = 0

    def taken_over(self) -> None:
        """Whoever had partition 0 before may not have written the last ones."""
        self._marked = self._ticked = 0

    def waits(self, now: int) -> bool:
        """True when a tick could be due, if only the raw records are normalised so far."""
        return self._wall and now // MINUTE_MS * MINUTE_MS > self._ticked

    def due(self, revision: int, horizon: int, now: int) -> list[bytes]:
        """Records for every partition; `horizon` is the time that no tick may pass, 0 for unknown."""
        records = []
        if revision > self._marked:
            records.append(marker(revision, now))
        minute = horizon // MINUTE_MS * MINUTE_MS
        if self._wall and minute > self._ticked:
            records.append(tick(iso(minute), everyone=False))
        return records

    def written(self, revision: int, horizon: int) -> None:
        """What was due is committed."""
        self._marked = max(self._marked, revision)
        if self._wall:
            self._ticked = max(self._ticked, horizon // MINUTE_MS * MINUTE_MS)
