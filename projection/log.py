"""What `customer-events` says of customers: when they were seen, their usage by day, other events one by one.

Who is known, ended, linked or erased follows the log, by the rules of docs/semantics.md and docs/game.md, so
that a record which the fold passes over is not listed either.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from loyalty import decode
from loyalty.columns import CAN_LINK
from loyalty.decode import COMMAND, FAILED, FULFILLED, MARKER, MERGE, TICK, tick_time
from loyalty.effects import digest
from loyalty.events import APP, CALLS, CODES, DATA, NAMES, USAGE
from loyalty.log import joined
from loyalty.records import Record
from loyalty.row import HASHES
from loyalty.times import NO_TIME, iso_many, parse_many
from projection import schema
from projection.eras import Eras
from projection.staging import NULL, Stage, json, plain

_ACTIVATION, _OPT_IN, _LINK, _ENDED = (
    CODES[name] for name in ("activation", "opt_in", "customer_link", "customer_ended")
)
_USAGE = frozenset(CODES[name] for name in USAGE)
_ATTRIBUTES = msgspec.json.Encoder().encode
_HEX = frozenset("0123456789abcdef")


def _cells() -> dict[int, tuple[tuple[str, bool], ...]]:
    """By code of a usage event: the counters it moves, each by its value (True) or by one."""
    cells: dict[int, tuple[tuple[str, bool], ...]] = {}
    for name in USAGE:
        if name in CALLS:
            cells[CODES[name]] = (("calls", False), ("seconds", True))
        elif name in DATA:
            cells[CODES[name]] = (("data_kb", True),)
        elif name == "qoe_degradation":
            cells[CODES[name]] = (("qoe", True),)
        elif name in APP - {"app_login", "feature_use", "content_view"}:
            cells[CODES[name]] = (("app_other", True),)
        else:
            cells[CODES[name]] = ((name, True),)
    return cells


_CELLS = {
    code: tuple((schema.USAGE.index(name), by_value) for name, by_value in cells)
    for code, cells in _cells().items()
}


Gone = Callable[[str, int], bool]


@dataclass(slots=True)
class Person:
    """What is known of a customer.  Times in ms."""

    state: str = "open"
    linked_to: str | None = None
    opened_at: int = 0
    first_seen: int = 0
    last_seen: int = 0
    recent: list[int] = field(default_factory=list)  # hashes, oldest first


def pack(recent: list[int]) -> bytes:
    """Hashes as they are kept."""
    return np.array(recent, "<u8").tobytes()


def unpack(recent: bytes) -> list[int]:
    """The reverse."""
    hashes: list[int] = np.frombuffer(recent, "<u8").tolist()
    return hashes


@dataclass(slots=True)
class Log:
    """Where the reading of a partition of the log stands, between two transactions."""

    revision: int = 0
    newest: int = 0  # ms: of events and ticks
    whole: bool = True
    closed: set[bytes] = field(default_factory=set)  # hashes of whoever is erased


@dataclass(slots=True)
class Read:
    """Records of a partition, decoded, with the revision that counts for each."""

    partition: int
    batch: decode.Batch
    recorded: list[int]
    revisions: list[int]
    newest: list[int]  # ms, at each record
    log: Log  # afterwards, but for `closed`

    def ids(self) -> list[str]:
        """Customers it speaks of."""
        return list({record.customer_id for record in self.batch.records if record.customer_id})


def read(partition: int, messages: Iterable[Any], log: Log) -> Read:
    """Decode what Kafka gave; `log` is as it was before."""
    found = list(messages)
    batch = decode.decode(joined([(message.offset(), message.value()) for message in found]))
    at = {message.offset(): message.timestamp()[1] for message in found}
    revisions, newest = [], []
    revision, now = log.revision, log.newest
    kinds, times = batch.events["kind"].tolist(), batch.events["at"].tolist()
    for record, kind, time in zip(batch.records, kinds, times, strict=True):
        if kind == MARKER:
            revision = max(revision, record.attributes["revision"])
        elif kind == TICK:
            now = max(now, tick_time(record))
        elif kind < TICK:
            now = max(now, time)
        revisions.append(revision)
        newest.append(now)
    after = Log(revision, now, log.whole)
    return Read(partition, batch, [at[offset] for offset in batch.offsets], revisions, newest, after)


class Reading:
    """One partition's records, in order, up to each erasure."""

    def __init__(
        self, read: Read, eras: Eras, log: Log, people: dict[str, Person], gone: Gone | None
    ) -> None:
        """`people` are those of `read.ids()` that are known; `log` is as it was before.

        `gone(customer_id, recorded)` says whom nobody may know; None: nobody is erased.
        """
        self.read = read
        self._gone = gone
        self.people = people
        #: Whoever was erased: hash -> id, and when the command was recorded (ms); and whoever came back.
        self.closed: dict[bytes, tuple[str, int]] = {}
        self.opened: set[bytes] = set()
        self._next = 0
        self.events: list[str] = []
        self.answers: list[str] = []
        self.usage: dict[str, dict[str, list[int]]] = defaultdict(dict)
        self.touched: dict[str, int] = {}  # customer -> recorded
        self.figures: Counter[tuple[str, str]] = Counter()
        self._log = log
        self._closed = set(log.closed)
        batch = read.batch
        self._kinds = batch.events["kind"].tolist()
        self._times = batch.events["at"].tolist()
        self._hashes = batch.events["hash"].tolist()
        self._flags = batch.events["flag"].tolist()
        self._days = eras.days(batch.events["at"], read.revisions).tolist()
        #: The day of the newest time at each record: what counts as too old.
        self._today = eras.days(np.array(read.newest, np.int64), read.revisions).tolist()
        self._units = np.zeros(len(batch), np.int64)
        for revision in set(read.revisions):
            chosen = np.array(read.revisions) == revision
            self._units[chosen] = eras.units(batch.values[chosen], batch.events["kind"][chosen], revision)
        self._counts = self._units.tolist()
        self._date = eras.date
        self._recorded = iso_many(np.array(read.recorded, np.int64))

    def run(self) -> str | None:
        """Go on to the next erasure, and return whose it is; None at the end."""
        for n in range(self._next, len(self._kinds)):
            kind = self._kinds[n]
            if kind < TICK:
                self._event(n, kind)
            elif kind == COMMAND:
                erased = self._command(n)
                if erased is not None:
                    self._next = n + 1
                    return erased
            elif kind == MERGE:
                self._merge(n)
        self._next = len(self._kinds)
        return None

    def forget(self, customer: str) -> None:
        """What stands of a customer is deleted; who comes under the id from here on is another."""
        self.people.pop(customer, None)

    def finish(self, log: Log) -> None:
        """Say where the log stands now."""
        log.revision, log.newest, log.closed = self.read.log.revision, self.read.log.newest, self._closed

    def _is_closed(self, customer: str) -> bool:
        return bool(self._closed) and digest(customer.encode()) in self._closed

    def _is_gone(self, customer: str, n: int) -> bool:
        return self._gone is not None and self._gone(customer, self.read.recorded[n])

    def _event(self, n: int, kind: int) -> None:
        record, at = self.read.batch.records[n], self._times[n]
        customer = record.customer_id
        if self._is_closed(customer):
            if kind not in (_ACTIVATION, _OPT_IN):
                return
            hash_ = digest(customer.encode())
            self._closed.discard(hash_)
            self.closed.pop(hash_, None)
            self.opened.add(hash_)
        person = self.people.get(customer)
        if person is None:
            person = self.people[customer] = Person(first_seen=at, last_seen=at)
        elif person.state == "linked":
            return  # it comes again under the other id
        elif person.state == "ended":
            if kind != _ACTIVATION:
                return
            person = self.people[customer] = Person(opened_at=at, first_seen=at, last_seen=at)
        elif person.opened_at > at:
            return
        if kind in _USAGE:
            if self._hashes[n] in person.recent:
                return
            person.recent = [*person.recent[1 - HASHES :], self._hashes[n]]
            self._use(n, kind, customer)
        elif self._today[n] - self._days[n] < schema.EVENT_DAYS:
            self._list(n, kind, record)
        person.first_seen, person.last_seen = min(person.first_seen, at), max(person.last_seen, at)
        self.touched[customer] = self.read.recorded[n]
        if kind == _LINK and self._flags[n] & CAN_LINK:
            to = record.attributes["to"]
            person.state, person.linked_to = "linked", None if self._is_gone(to, n) else to
        elif kind == _ENDED:
            person.state = "ended"

    def _use(self, n: int, kind: int, customer: str) -> None:
        day = self._days[n]
        if self._today[n] - day >= schema.HISTORY_DAYS:
            return
        date = self._date(day)
        self.figures[date, NAMES[kind]] += 1
        cells = self.usage[customer].setdefault(date, [0] * len(schema.USAGE))
        for index, by_value in _CELLS[kind]:
            cells[index] += self._counts[n] if by_value else 1

    def _list(self, n: int, kind: int, record: Record) -> None:
        customer, date, place = plain(record.customer_id), self._date(self._days[n]), self._place(n)
        attributes = {name: value for name, value in record.attributes.items() if name != "_path"}
        if kind == _LINK and self._is_gone(str(attributes.get("to")), n):
            attributes = {}
        received = record.received_at if parse_many([record.received_at])[0] != NO_TIME else NULL
        self.events.append(
            f"{customer}\t{plain(record.source)}\t{plain(record.event_id)}\t{record.event_type}\t{record.value}"
            f"\t{self._counts[n]}\t{record.occurred_at}\t{received}\t{json(_ATTRIBUTES(attributes))}"
            f"\t{date}\t{place}\t{self.read.batch.offsets[n]}\tf"
        )
        grant = record.attributes.get("grant_id") if kind in (FULFILLED, FAILED) else None
        if isinstance(grant, str) and len(grant) == 32 and _HEX.issuperset(grant):
            self.answers.append(f"{grant}\t{customer}\t{record.event_type}\t{record.occurred_at}\t{place}")

    def _place(self, n: int) -> str:
        return f"{self.read.partition}\t{self._recorded[n]}"

    def _command(self, n: int) -> str | None:
        record = self.read.batch.records[n]
        customer = record.customer_id
        if record.attributes.get("command") != "erase" or not customer or self._is_closed(customer):
            return None
        if customer not in self.people and self._log.whole:
            return None  # refused: nobody knows such a customer
        hash_ = digest(customer.encode())
        self._closed.add(hash_)
        self.opened.discard(hash_)
        self.closed[hash_] = customer, self.read.recorded[n]
        return customer

    def _merge(self, n: int) -> None:
        record, at = self.read.batch.records[n], self._times[n]
        customer, attributes = record.customer_id, record.attributes
        if self._is_closed(customer):
            return
        person = self.people.get(customer)
        if person is None:
            if attributes.get("from") == customer:
                return
            person = self.people[customer] = Person(first_seen=at, last_seen=at)
        elif person.state == "linked":
            path = attributes.get("path")
            if not isinstance(path, list) or customer not in path:
                return
            person.state, person.linked_to = "open", None  # a circle: the link is refused after all
        elif person.state == "ended":
            return
        self.touched[customer] = self.read.recorded[n]

    def stage(self, to: Stage) -> None:
        """Stage what was read since the last time."""
        to.rows["events"] += self.events
        to.rows["answers"] += self.answers
        partition, people = self.read.partition, self.people
        known = [people[customer] for customer in self.touched]
        recorded, opened, first, last = (
            iso_many(np.array(times, np.int64))
            for times in (
                list(self.touched.values()), [person.opened_at for person in known],
                [person.first_seen for person in known], [person.last_seen for person in known],
            )
        )  # fmt: skip
        for n, (customer, person) in enumerate(zip(self.touched, known, strict=True)):
            name, place = plain(customer), f"{partition}\t{recorded[n]}"
            to.rows["customers"].append(
                f"{name}\t\\\\x{digest(customer.encode()).hex()}\t{person.state}"
                f"\t{NULL if person.linked_to is None else plain(person.linked_to)}"
                f"\t{opened[n] if person.opened_at else NULL}\t{first[n]}\t{last[n]}"
                f"\t\\\\x{pack(person.recent).hex()}\t{place}"
            )
            for date, cells in self.usage.get(customer, {}).items():
                to.rows["usage"].append(f"{name}\t{date}\t" + "\t".join(map(str, cells)) + f"\t{partition}")
        for (date, kind), count in self.figures.items():
            to.rows["figures"].append(f"{date}\t{partition}\tevents\t0\t{kind}\t{count}")
        self.events, self.answers, self.usage, self.touched = [], [], defaultdict(dict), {}
        self.figures = Counter()
