"""What a second fold tells, record by record beside what was published, as both come along.

Either side may be ahead: whatever waits for the other is held, so that memory holds only what differs, and
what the log's order has put far apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Message

from loyalty.effects import Effect

#: Differences of a topic that are kept to be shown.
SHOWN = 20


class Difference(NamedTuple):
    """One effect that is not the same on both sides."""

    kind: str  # missing: not published; extra: published, but not told again; different
    topic: str
    effect_id: str
    key: str
    place: str  # partition and offset of what was published, "" where nothing was
    expected: str
    published: str


class _Expected(NamedTuple):
    ordinal: int
    counts: bool  # whether it belongs to the range
    effect: Effect


class _Published(NamedTuple):
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class _Id(msgspec.Struct):
    effect_id: str = ""
    partition: int | None = 0


_id = msgspec.json.Decoder(_Id).decode


@dataclass(slots=True)
class Compared:
    """What came of a topic.  `gone`: compacted away, or past their retention."""

    equal: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    gone: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.missing and not self.extra and not self.different

    def note(self, difference: Difference) -> None:
        """Keep it, if it is one of the first."""
        if len(self.differences) < SHOWN:
            self.differences.append(difference)

    def __add__(self, other: Compared) -> Compared:
        """Both together."""
        return Compared(
            self.equal + other.equal, self.missing + other.missing, self.extra + other.extra,
            self.different + other.different, self.gone + other.gone,
            [*self.differences, *other.differences][:SHOWN],
        )  # fmt: skip


class Comparison:
    """One topic, or a partition of it where a customer's effects are where its events are.

    Effects come in the fold's order, published records in the log's.  The same id twice is told twice.
    """

    def __init__(self, topic: str, compacted: bool, cut: bool) -> None:
        """`cut`: the topic has lost records to retention."""
        self.topic = topic
        self.result = Compared()
        self._compacted, self._cut = compacted, cut
        self._expected: defaultdict[bytes, deque[_Expected]] = defaultdict(deque)
        self._published: defaultdict[bytes, deque[_Published]] = defaultdict(deque)
        self._ordinal = 0
        #: Offsets between which effects of the range were found, and the ordinal of the first effect found.
        self._first = self._last = -1
        self._found_from: int | None = None
        #: By key: ordinal of the last effect that was found, or that ends the key.
        self._latest: dict[bytes, int] = {}

    @property
    def waiting(self) -> tuple[int, int]:
        """Effects not found yet, and records not expected yet."""
        return len(self._expected), len(self._published)

    def expect(self, effect: Effect, counts: bool) -> None:
        """The fold has told this; `counts`: within the range."""
        self._ordinal += 1
        expected = _Expected(self._ordinal, counts, effect)
        if effect.value is None:
            self._latest[effect.key] = self._ordinal  # deletes what was before, and is deleted in time
        id = identity(effect.key, effect.value, effect.headers)
        there = self._published.get(id)
        if there:
            self._meet(expected, _taken(self._published, id))
        else:
            self._expected[id].append(expected)

    def publish(self, message: Message) -> None:
        """This was published."""
        headers: Any = message.headers() or []
        key, value = message.key() or b"", message.value()
        record = _Published(int(message.partition() or 0), int(message.offset() or 0), key, value, headers)
        id = identity(key, value, headers)
        if self._expected.get(id):
            self._meet(_taken(self._expected, id), record)
        else:
            self._published[id].append(record)

    def _meet(self, expected: _Expected, record: _Published) -> None:
        effect = expected.effect
        if self._compacted:
            self._latest[effect.key] = max(self._latest.get(effect.key, 0), expected.ordinal)
        if self._found_from is None or expected.ordinal < self._found_from:
            self._found_from = expected.ordinal
        if not expected.counts:
            return
        if self._first < 0 or record.offset < self._first:
            self._first = record.offset
        self._last = max(self._last, record.offset)
        if (effect.key, effect.value, effect.headers) == (record.key, record.value, record.headers):
            self.result.equal += 1
            return
        self.result.different += 1
        self.result.note(self._difference("different", effect, record))

    def settle(self, from_begin: bool, ends: dict[int, int] | None) -> Compared:
        """All is told and read: judge what has waited in vain.

        `from_begin`: the range begins where the topic does; else what stands before the first effect found
        is older than the range.  `ends`: up to these offsets, by partition, all belongs to the range; None:
        only what stands before the last effect found does.
        """
        later = Counter(record.key for records in self._published.values() for record in records)
        for waiting in self._expected.values():
            for expected in waiting:
                if expected.counts and not self._explained(expected, later):
                    self.result.missing += 1
                    self.result.note(self._difference("missing", expected.effect, None))
                elif expected.counts:
                    self.result.gone += 1
        for records in self._published.values():
            for record in records:
                after = record.offset < (self._last if ends is None else ends[record.partition])
                if after and (from_begin or -1 < self._first < record.offset) and not _normalisers(record):
                    self.result.extra += 1
                    self.result.note(self._difference("extra", None, record))
        return self.result

    def _explained(self, expected: _Expected, later: Counter[bytes]) -> bool:
        """Whether an effect was published, but is no longer there."""
        if self._compacted:
            key = expected.effect.key
            if self._latest.get(key, 0) > expected.ordinal or later[key] or expected.effect.value is None:
                return True
        return self._cut and (self._found_from is None or expected.ordinal < self._found_from)

    def _difference(self, kind: str, effect: Effect | None, record: _Published | None) -> Difference:
        some = effect or record
        assert some is not None
        return Difference(
            kind,
            self.topic,
            identity(some.key, some.value, some.headers).decode(errors="replace"),
            some.key.decode(errors="replace"),
            "" if record is None else f"{record.partition}/{record.offset}",
            "" if effect is None else _shown(effect.value),
            "" if record is None else _shown(record.value),
        )


def _taken(waiting: defaultdict[bytes, deque[Any]], id: bytes) -> Any:
    """The first that waits under an id."""
    first = waiting[id].popleft()
    if not waiting[id]:
        del waiting[id]
    return first


def identity(key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]) -> bytes:
    """By what an effect is known again: its id, or the key of what it deletes."""
    if value is None:
        return b"deleted " + key
    for name, text in headers:
        if name == "ce_id":
            return text
    try:
        return _id(value).effect_id.encode() or key
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return key


def _normalisers(record: _Published) -> bool:
    """Whether this is a result that the normaliser gave, before the log."""
    try:
        return _id(record.value or b"{}").partition is None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _shown(value: bytes | None) -> str:
    return "(deleted)" if value is None else value.decode(errors="replace")
