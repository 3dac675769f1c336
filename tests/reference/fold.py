"""The reference fold: one partition's log in, rows and effects out, step by step as docs/semantics.md says.

Plain dicts and loops; nothing is fast, nothing is clever.  The compiled fold must agree with it exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from hashlib import blake2b
from typing import Any

from config.topics import BEHAVIOR_SCORES, COMMAND_RESULTS, CUSTOMER_EVENTS
from tests.reference.model import (
    APP_EVENTS,
    CALLS,
    DATA,
    DAY_MS,
    ENDED,
    LINKED,
    NO,
    NO_ACTIVITY,
    NO_TIME,
    NONE,
    OPEN,
    RECENT,
    RINGS,
    SYSTEM,
    UNIT_OF,
    USAGE,
    WEEKS,
    WORDS,
    YES,
    Customer,
    Record,
    Undecodable,
    birthday,
    clamp,
    integer,
    iso,
    last_refresh,
    local_day,
    next_refresh,
    parse_time,
    read,
    snapshot,
    truth,
    week,
    word,
)
from tests.reference.scores import SCORES, components, hundredths

Effect = dict[str, Any]
Cause = tuple[str, str]


def no_packed_rows(text: str) -> dict[str, Any]:
    """Rows carried by the reference itself are dicts; the kernel's need its decoder."""
    raise Undecodable("a packed row, and no decoder for it")


class ReferenceFold:
    """One partition.  `contents`: revision -> content; `decode_row`: the kernel's packed row -> snapshot."""

    def __init__(
        self,
        partition: int,
        contents: Mapping[int, Any],
        decode_row: Callable[[str], dict[str, Any]] = no_packed_rows,
    ) -> None:
        self.partition = partition
        self.contents = contents
        self.decode_row = decode_row
        self.customers: dict[str, Customer] = {}
        self.tick = 0
        self.revision = 0
        self.forwards: list[Effect] = []
        self.dead: list[tuple[int, str]] = []  # offset, reason
        self.counts: Counter[str] = Counter()
        self._effects: list[Effect] = []

    # What others see.

    def apply(self, offset: int, value: bytes | dict[str, Any] | None) -> list[Effect]:
        """Fold one record; its effects in the order they arose."""
        self._effects = []
        try:
            record = read(value, self.decode_row)
        except Undecodable:
            self.dead.append((offset, "undecodable"))
            return []
        if record.event_type not in UNIT_OF and record.event_type not in SYSTEM:
            self.dead.append((offset, "unknown_event_type"))
            return []
        {"_tick": self._tick, "_marker": self._marker, "_command": self._command, "_merge": self._merge}.get(
            record.event_type, self._event
        )(record)
        return self._effects

    def fold(self, records: Sequence[tuple[int, bytes | dict[str, Any] | None]]) -> list[Effect]:
        """Fold records (offset, value) one after the other."""
        return [effect for offset, value in records for effect in self.apply(offset, value)]

    @property
    def partition_row(self) -> dict[str, Any]:
        return {
            "tick": self.tick,
            "tick_done": True,
            "revision": self.revision,
            "command": "",
            "command_place": "",
        }

    @property
    def side(self) -> dict[str, dict[str, Any]]:
        """customer_id -> its side entries: `e` hash -> time, `p` the profile's words, `l` the link."""
        found = {}
        for customer_id, c in self.customers.items():
            entries = {"e": dict(c.entries), "p": dict(c.profile), "l": c.link}
            found[customer_id] = {kind: entry for kind, entry in entries.items() if entry}
        return found

    def snapshot(self, customer_id: str) -> dict[str, Any]:
        """A row as plain values; that of a customer nobody knows is the empty one."""
        return snapshot(self.customers.get(customer_id) or Customer(customer_id))

    def components(self, c: Customer) -> dict[str, dict[str, tuple[float, float]]]:
        """Score -> component -> (measure, points), as of the row's time."""
        return components(c, self.content.policy, self.content.decisions.currency_decimals, self._day)

    # Content and time.

    @property
    def content(self) -> Any:
        return self.contents[self.revision]

    def _day(self, ms: int) -> int:
        return local_day(ms, self.content.decisions.timezone)

    def _advance(self, c: Customer) -> None:
        c.advance(self._day(c.as_of))

    def _open(self, c: Customer, at: int) -> None:
        self.customers[c.customer_id] = c
        c.state, c.as_of, c.due = OPEN, at, next_refresh(c.customer_id, at)
        c.day = self._day(at)

    def _move(self, c: Customer, t: int, stop: bool = False) -> None:
        if c.state == OPEN and c.due <= t:
            refresh = last_refresh(c.customer_id, t)
            c.as_of = max(c.as_of, refresh)
            self._advance(c)
            self._publish(c, "refresh", ("khaywe", f"refresh:{iso(refresh)}"))
            c.due = next_refresh(c.customer_id, refresh)
        if not stop:
            c.as_of = max(c.as_of, t)
            self._advance(c)

    # An event.

    def _event(self, record: Record) -> None:
        c = self.customers.get(record.customer_id) or Customer(record.customer_id)
        # 1. Closed rows.
        if c.state == LINKED:
            path = _path(record.attributes.get("_path"))
            if c.customer_id in path:
                self.counts["links_refused"] += 1
            else:
                self._rekey(c, record, "_path", path)
            return
        duplicate = self._is_duplicate(c, record, record.occurred_at)
        if c.state == ENDED:
            if record.event_type != "activation" or duplicate:
                self.counts["ignored_ended"] += 1
                return
            c = Customer(c.customer_id, opened_at=record.occurred_at, entries=c.entries)
        elif c.opened_at > record.occurred_at:
            self.counts["ignored_before_activation"] += 1
            return
        # 2. Duplicates.
        if duplicate:
            self.counts["duplicates"] += 1
            return
        # 3. Its time.
        if c.state == NONE:
            self._open(c, record.occurred_at)
        else:
            self._move(c, record.occurred_at)
        # 4. Remember it.
        if record.event_type in USAGE:
            self._remember(c, record.hash)
        else:
            c.entries[record.hash] = c.as_of
        # 5. Counters.
        self._count(c, record)
        # 6, 7. Scores and publication.
        if c.state == OPEN:
            self._publish_moved(c, record.cause)

    def _is_duplicate(self, c: Customer, record: Record, at: int) -> bool:
        if record.event_type in USAGE:
            return record.hash in c.hashes
        if record.hash not in c.entries:
            return False
        days = 90 if UNIT_OF.get(record.event_type) == "currency" else 7
        return max(c.as_of, at) - c.entries[record.hash] <= days * DAY_MS

    def _remember(self, c: Customer, event_hash: int) -> None:
        if c.remember(event_hash):
            self.counts["dedupe_overflow"] += 1

    def _count(self, c: Customer, record: Record) -> None:
        kind, at, attributes = record.event_type, record.occurred_at, record.attributes
        policy, decimals = self.content.policy, self.content.decisions.currency_decimals
        value, day = integer(kind, record.value, decimals), self._day(at)
        life = c.life

        to_rings: dict[str, int] = {}
        if kind in CALLS:
            to_rings = {"calls": 1, "seconds": value}
            life["calls"] += 1
            life["seconds"] += value
        elif kind in DATA:
            to_rings = {"data_kb": value}
            life["data_kb"] += value
        elif kind == "sms":
            to_rings = {"sms": value}
            life["sms"] += value
        elif kind in APP_EVENTS:
            to_rings = {kind if kind in RINGS else "app_other": value}
            life["app_events"] += value
        elif kind == "web_login":
            to_rings = {"web_login": value}
            life["web_logins"] += value
        elif kind == "qoe_degradation":
            to_rings = {"qoe": value}
            life["qoe"] += value
        elif kind == "complaint":
            life["complaints"] += value
        elif kind == "referral":
            life["referrals"] += value
        elif kind == "recharge":
            to_rings["recharge"] = value
            life["recharge"] += value

        if kind == "refund":
            to_rings["revenue"] = -value
        elif kind in policy.revenue_types and attributes.get("paid_from") != "balance":
            to_rings["revenue"] = value
        life["revenue"] += to_rings.get("revenue", 0)

        kept = [c.add(ring, day, moved_by) for ring, moved_by in to_rings.items()]
        if not all(kept):
            self.counts["late_events"] += 1

        if kind in policy.transaction_types:
            life["transactions"] += 1
            c.last_transaction = max(c.last_transaction, at)
        if kind == "payment" and truth(attributes.get("on_time")) is not None:
            life["payments_known"] += 1
            life["payments_on_time"] += truth(attributes.get("on_time")) is True
        if kind not in NO_ACTIVITY:
            c.last_activity = max(c.last_activity, at)
            c.active(week(day))
        c.first_event = _earliest(c.first_event, at)
        if kind == "activation":
            c.activation = _earliest(c.activation, at)
        c.recent = [*c.recent, (kind, at // 1000, clamp(value, -(2**31), 2**31 - 1))][-RECENT:]

        if kind == "profile_update" and at >= c.profile_at:
            self._profile(c, attributes)
            c.profile_at = at
        if kind in ("opt_in", "opt_out"):
            c.opted = YES if kind == "opt_in" else NO
        if kind == "customer_ended":
            c.state, c.due = ENDED, NO_TIME
        if kind == "customer_link":
            self._link(c, record)

    def _profile(self, c: Customer, attributes: dict[str, Any]) -> None:
        for name in WORDS:
            if name in attributes:
                _set(c.profile, name, word(attributes[name]))
        if "consent" in attributes:
            _set(c.profile, "consent", truth(attributes["consent"]))
        if "birthday" in attributes:
            came = attributes["birthday"]
            _set(c.profile, "birthday", came if birthday(came) else None)

    # Scores.

    def _scores(self, c: Customer) -> list[int]:
        return hundredths(self.components(c))

    def _publish_moved(self, c: Customer, cause: Cause) -> None:
        policy, new, old = self.content.policy, self._scores(c), c.published
        if any(abs(a - b) >= policy.publish_step * 100 for a, b in zip(new, old, strict=True)):
            self._publish(c, "moved", cause)
        elif any(_bands(a, policy.bands) != _bands(b, policy.bands) for a, b in zip(new, old, strict=True)):
            self._publish(c, "band", cause)

    def _publish(self, c: Customer, reason: str, cause: Cause) -> None:
        c.published = self._scores(c)
        value = self._head("scores", c.customer_id, c.as_of, cause) | {
            "as_of": iso(c.as_of),
            "reason": reason,
            "scores": {name: of / 100 for name, of in zip(SCORES, c.published, strict=True)},
        }
        self._effects.append({"topic": BEHAVIOR_SCORES, "key": c.customer_id, "value": value})

    def _head(self, rule: str, customer_id: str, at: int, cause: Cause, ordinal: int = 0) -> dict[str, Any]:
        parts = [customer_id, rule, str(self.revision), *cause, str(ordinal)]
        return {
            "effect_id": blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest(),
            "customer_id": customer_id,
            "occurred_at": iso(at),
            "revision": self.revision,
            "cause": {"source": cause[0], "event_id": cause[1]},
        }

    # Ticks, markers, commands.

    def _tick(self, record: Record) -> None:
        at = parse_time(record.attributes["at"])
        if at <= self.tick:
            return
        self.tick = at
        everyone = record.attributes.get("everyone") is True
        for c in sorted(self._opened(), key=lambda c: (c.due, c.customer_id.encode())):
            if everyone and c.as_of < at:
                self._move(c, at)
                self._publish_moved(c, ("khaywe", f"tick:{iso(at)}"))
            elif not everyone and c.due <= at:
                self._move(c, at, stop=True)

    def _marker(self, record: Record) -> None:
        self.revision = max(self.revision, record.attributes["revision"])

    def _command(self, record: Record) -> None:
        attributes, customer_id = record.attributes, record.customer_id
        c = self.customers.get(customer_id) or Customer(customer_id)
        if attributes.get("command") != "recalculate":
            self._result(record, "refused", "unknown_command")
        elif not customer_id:
            if attributes.get("segment") != "all":
                self._result(record, "refused", "unknown_segment")
                return
            for each in sorted(self._opened(), key=lambda c: c.customer_id.encode()):
                self._recalculate(each, record)
            self._result(record, "done")
        elif c.state == NONE:
            self._result(record, "refused", "unknown_customer")
        elif c.state != OPEN:
            self._result(record, "refused", "closed")
        elif self._is_duplicate(c, record, self.tick):
            self.counts["duplicates"] += 1
        else:
            self._recalculate(c, record)
            c.entries[record.hash] = c.as_of
            self._result(record, "done")

    def _recalculate(self, c: Customer, record: Record) -> None:
        self._move(c, self.tick)
        self._publish(c, "recalculate", record.cause)

    def _result(self, record: Record, status: str, reason: str = "") -> None:
        command_id = record.attributes["command_id"]
        ordinal = 0 if record.customer_id else self.partition
        head = self._head("command", record.customer_id, record.occurred_at, record.cause, ordinal)
        value = {"command_id": command_id, "partition": self.partition, "status": status, "reason": reason}
        self._effects.append({"topic": COMMAND_RESULTS, "key": command_id, "value": head | value})

    def _opened(self) -> list[Customer]:
        return [c for c in self.customers.values() if c.state == OPEN]

    # One customer becomes another.

    def _link(self, c: Customer, record: Record) -> None:
        to = record.attributes.get("to")
        if not isinstance(to, str) or not to or "\x00" in to or to == c.customer_id:
            self.counts["links_refused"] += 1
            return
        attributes = {
            "from": c.customer_id,
            "path": [c.customer_id],
            "row": snapshot(c),
            "ids": {f"{event_hash:016x}": time for event_hash, time in c.entries.items()},
            "profile": dict(c.profile),
        }
        c.state, c.due, c.link = LINKED, NO_TIME, to
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

    def _forward(self, value: dict[str, Any]) -> None:
        forward = {"topic": CUSTOMER_EVENTS, "key": value["customer_id"], "value": deepcopy(value)}
        self.forwards.append(forward)

    def _merge(self, record: Record) -> None:
        attributes = record.attributes
        c = self.customers.get(record.customer_id) or Customer(record.customer_id)
        path = _path(attributes.get("path"))
        if c.state == LINKED:
            if c.customer_id not in path:
                self._rekey(c, record, "path", path)
                return
            self.counts["links_refused"] += 1
            c.state, c.due, c.link = OPEN, next_refresh(c.customer_id, c.as_of), None
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

    def _join(self, c: Customer, carried: dict[str, Any], attributes: dict[str, Any]) -> None:
        for ring, cells in carried["rings"].items():
            for day, value in cells.items():
                c.add(ring, int(day), value)
        for name, value in carried["life"].items():
            c.life[name] += value
        for name in ("first_event", "activation"):
            setattr(c, name, _earliest(getattr(c, name), carried[name]))
        for name in ("last_activity", "last_transaction", "profile_at"):
            there = carried["profile"]["profile_at"] if name == "profile_at" else carried[name]
            setattr(c, name, max(getattr(c, name), there))
        for back in range(WEEKS):
            if carried["weeks"] >> back & 1:
                c.active(week(carried["day"]) - back)
        for event_hash in carried["hashes"]:
            if event_hash not in c.hashes:
                self._remember(c, event_hash)
        for text, time in attributes.get("ids", {}).items():
            event_hash = int(text, 16)
            c.entries[event_hash] = max(c.entries.get(event_hash, time), time)
        c.profile = dict(attributes.get("profile", {})) | c.profile
        c.opted = c.opted or carried["profile"]["opted"]


def _path(value: Any) -> list[str]:
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []


def _earliest(known: int, at: int) -> int:
    return min(known, at) if known and at else known or at


def _set(profile: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        profile.pop(name, None)
    else:
        profile[name] = value


def _bands(score: int, bands: Any) -> int:
    return sum(score >= band * 100 for band in bands)
