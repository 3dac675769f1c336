"""Links of the reference: one customer becomes another, and what is carried over."""

from __future__ import annotations

from typing import Any

from loyalty.events import NAMES
from tests.reference.commands import Commands
from tests.reference.customer import ACTIVE_DAYS, U2, Cooling, Customer, more, snapshot
from tests.reference.model import (
    ENDED,
    LINKED,
    NO,
    NO_TIME,
    NONE,
    OPEN,
    WEEKS,
    Record,
    next_refresh,
    week,
)


class Links(Commands):
    """The row that was stays where it is, closed; what it was goes on as a `_merge`."""

    def _link(self, c: Customer, record: Record) -> None:
        to = record.attributes.get("to")
        if not isinstance(to, str) or not to or "\x00" in to or to == c.customer_id:
            self.counts["links_refused"] += 1
            return
        self._end_all(c, "replaced", "linked", record.cause)
        c.forget_campaigns()
        attributes = {
            "from": c.customer_id,
            "path": [c.customer_id],
            "row": snapshot(c),
            "ids": {f"{event_hash:016x}": time for event_hash, time in c.entries.items()},
            "profile": dict(c.profile),
        }
        c.state, c.next_refresh, c.link, c.open_grants = LINKED, NO_TIME, to, 0
        self._forward(
            {
                "event_id": f"merge:{record.hash:016x}",
                "customer_id": to,
                "event_type": "_merge",
                "source": "khaywe",
                "value": 1,
                "occurred_at": record.raw["occurred_at"],
                "received_at": record.received_at,
                "attributes": attributes,
            }
        )

    def _rekey(self, c: Customer, record: Record, name: str, path: list[str]) -> None:
        attributes = record.raw.get("attributes", {}) | {name: [*path, c.customer_id]}
        members = ("event_id", "event_type", "source", "value", "occurred_at", "received_at")
        same = {member: record.raw[member] for member in members}
        self._forward(same | {"customer_id": c.link, "attributes": attributes})

    def _merge(self, record: Record) -> None:
        attributes = record.attributes
        c = self.customers.get(record.customer_id) or Customer(record.customer_id)
        if self._is_erased(record.customer_id):
            self.counts["ignored_erased"] += 1
            return
        path = path_of(attributes.get("path"))
        if c.state == LINKED:
            if c.customer_id not in path:
                self._rekey(c, record, "path", path)
                return
            self.counts["links_refused"] += 1
            c.state, c.next_refresh, c.link = OPEN, next_refresh(c.customer_id, c.as_of), None
        if attributes.get("from") == c.customer_id:
            return
        if c.state == ENDED:
            self.counts["ignored_ended"] += 1
            return
        if self._is_duplicate(c, record, record.occurred_at):
            self.counts["duplicates"] += 1
            return
        carried = attributes["row"]
        t = max(carried["as_of"], record.occurred_at)
        if c.state == NONE:
            self._open(c, t)
        else:
            self._move(c, t)
        c.advance(carried["day"])
        c.entries[record.hash] = c.as_of
        self._join(c, carried, attributes)
        self._publish_moved(c, record.cause)
        self._ask_after(c, record.cause)

    def _join(self, c: Customer, carried: dict[str, Any], attributes: dict[str, Any]) -> None:
        for ring, cells in carried["rings"].items():
            for day, value in cells.items():
                c.add(ring, int(day), value)
        for name, value in carried["life"].items():
            c.life[name] += value
        for name in ("first_event", "activation"):
            setattr(c, name, earliest(getattr(c, name), carried[name]))
        for name in ("last_activity", "last_transaction", "profile_at"):
            there = carried["profile"]["profile_at"] if name == "profile_at" else carried[name]
            setattr(c, name, max(getattr(c, name), there))
        for back in range(WEEKS):
            if carried["weeks"] >> back & 1:
                c.active_week(week(carried["day"]) - back)
        for event_hash in carried["hashes"]:
            if event_hash not in c.hashes:
                self._remember(c, event_hash)
        for text, time in attributes.get("ids", {}).items():
            event_hash = int(text, 16)
            c.entries[event_hash] = max(c.entries.get(event_hash, time), time)
        c.profile = dict(attributes.get("profile", {})) | c.profile
        c.opted = c.opted or carried["profile"]["opted"]
        if c.opted == NO:
            self._never_send(c)
        self._join_game(c, carried)

    def _join_game(self, c: Customer, carried: dict[str, Any]) -> None:
        for month, points in carried["lots"]:
            self._join_lot(c, points, month)
        c.debt = more(c.debt, self._take(c, carried["debt"]))
        years = c.month // 12 - carried["month"] // 12
        this_year, last_year = carried["year_points"], carried["last_year_points"]
        if years:
            this_year, last_year = 0, this_year if years == 1 else 0
        c.year_points = more(c.year_points, this_year)
        c.last_year_points = more(c.last_year_points, last_year)
        for name in ("points_earned", "points_redeemed", "points_expired"):
            setattr(c, name, more(getattr(c, name), carried[name]))
        for name in ("missions_completed", "comebacks"):
            setattr(c, name, more(getattr(c, name), carried[name], U2))
        for code, times in carried["types"].items():
            kind = NAMES[int(code)]
            c.types[kind] = more(c.types.get(kind, 0), times, U2)
        c.longest_absence = max(c.longest_absence, carried["longest_absence"])
        c.badges |= {(bit // 4, bit % 4 + 1) for bit in bits(carried["badges"])}
        c.completed |= bits(carried["completed"])
        days = {carried["day"] - back for back in bits(carried["active_days"])}
        c.active_days |= {day for day in days if day > c.day - ACTIVE_DAYS}
        c.tier = max(c.tier, carried["tier"])
        for entry in carried["cooling"]:
            if entry is None or any(known and known.template == entry[0] for known in c.cooling):
                continue
            free = [n for n, known in enumerate(c.cooling) if self._is_reusable(known, c)]
            if free:
                c.cooling[free[0]] = Cooling(*entry)


def bits(number: int) -> set[int]:
    """Places of the bits that are set."""
    return {n for n in range(number.bit_length()) if number >> n & 1}


def path_of(value: Any) -> list[str]:
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []


def earliest(known: int, at: int) -> int:
    """The earlier of two times that are not 0."""
    return min(known, at) if known and at else known or at
