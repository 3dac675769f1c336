"""What is recorded: committed records of parts of topics, the time the log shows, every revision.

A simulation and a replay read the same log in the same way; nothing here joins a group or commits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from agents.catalog_feed import DEFAULTS
from agents.tail import ASK_SECONDS, KafkaAway, NoTopic, Tail, patiently
from catalog.content import Content, decode
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from streams.batches import Partition
from streams.positions import log_offsets

#: Records taken at once.
CHUNK = 5_000
#: Seconds without a record after which Kafka counts as away, and between two questions meanwhile.
PATIENCE = 60.0
_POLL_SECONDS = 0.1

Offsets = tuple[int, int]  # [begin, end)


def held(settings: Settings, names: list[str], committed: bool = True) -> dict[Partition, Offsets]:
    """What each partition of these topics holds as of now; the end is that of `committed` records, or of all.

    Raises KafkaAway, NoTopic.
    """
    admin = AdminClient(settings.kafka_config(log_level=2))
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED

    def ask() -> dict[Partition, Offsets]:
        present = admin.list_topics(timeout=ASK_SECONDS).topics
        for name in names:
            if name not in present:
                raise NoTopic(name)
        places = [Partition(name, number) for name in names for number in sorted(present[name].partitions)]
        begins, ends = (
            log_offsets(admin, places, spec, level)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
        return {place: (begins[place], ends[place]) for place in places}

    return patiently(settings, ask)


class Reader:
    """Committed records of parts of partitions; each partition's in its order.  Used from one thread."""

    def __init__(self, settings: Settings, wanted: Mapping[Partition, Offsets]) -> None:
        self._settings = settings
        self._ends = {place: end for place, (begin, end) in wanted.items() if begin < end}
        #: Offset after the last record read, of each partition that is not read to its end.
        self._positions = {place: wanted[place][0] for place in self._ends}
        self._moved = time.monotonic()
        self._consumer = Consumer(
            settings.kafka_config(**{
                "group.id": "khaywe-recorded",  # librdkafka wants a name; nothing joins or commits
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",  # a log that was cut meanwhile: not silently from elsewhere
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 4 << 20,
                "queued.max.messages.kbytes": 16 << 10,  # many may be open, most of them waiting
                "allow.auto.create.topics": False,
                "log_level": 2,
            })
        )  # fmt: skip
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._positions.items()])

    @property
    def done(self) -> bool:
        """Whether all is read."""
        return not self._positions

    def read(self) -> list[Message]:
        """The next records, none where it takes a moment.  Raises KafkaAway where nothing comes for long."""
        found = []
        # What is there, without waiting for more.
        messages = self._consumer.consume(1, _POLL_SECONDS)
        for message in [*messages, *(self._consumer.consume(CHUNK, 0) if messages else ())]:
            self._moved = time.monotonic()
            place = Partition(str(message.topic()), int(message.partition() or 0))
            error, offset = message.error(), int(message.offset() or 0)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                    continue
                raise KafkaException(error)
            if place not in self._positions:
                continue
            if error is None and offset < self._ends[place]:
                found.append(message)
            self._positions[place] = offset + (error is None)
            if self._positions[place] >= self._ends[place]:
                del self._positions[place]
                self._consumer.incremental_unassign([TopicPartition(*place)])
        if not found and not self.done and time.monotonic() - self._moved > PATIENCE:
            place = next(iter(self._positions))
            raise KafkaAway(self._settings, f"{place.topic}/{place.partition} cannot be read to its end")
        return found

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


class Recorded(NamedTuple):
    """A record of customer-events, and what the log's time is there ("" as long as nothing tells it)."""

    offset: int
    value: bytes | None
    at: str
    event_type: str
    #: Whether the fold itself has written it, in another partition.
    forward: bool


class _Head(msgspec.Struct, gc=False):
    event_type: str
    occurred_at: str
    received_at: str = ""
    attributes: msgspec.Raw = msgspec.Raw(b"{}")


class _Attributes(msgspec.Struct, gc=False):
    at: str = ""
    path: object = msgspec.field(name="_path", default=None)


_head, _attributes = msgspec.json.Decoder(_Head).decode, msgspec.json.Decoder(_Attributes).decode
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_FORWARDS = frozenset(("_merge", "_reserve", "_reservation"))


def recorded(
    settings: Settings, partition: int, offsets: Offsets, progress: Callable[[int], None]
) -> Generator[Recorded]:
    """Records of a partition of customer-events in their order; `progress` is told offsets that are done.

    The log's time is that of the latest event or tick so far; an event that lies ahead of its own arrival
    (a telephone with a wrong clock) counts with the arrival.  Raises KafkaAway, KafkaException.
    """
    reader = Reader(settings, {Partition(topics.CUSTOMER_EVENTS, partition): offsets})
    position, now = offsets[0], ""
    try:
        while not reader.done:
            for message in reader.read():
                value, event_type, forward = message.value(), "", False
                try:
                    head = _head(value or b"")
                    event_type, at = head.event_type, min(head.occurred_at, head.received_at)
                    forward = event_type in _FORWARDS
                    if event_type == "_tick":
                        at = _attributes(head.attributes).at
                    elif event_type.startswith("_"):
                        at = ""
                    elif b'"_path"' in (value or b""):
                        forward = _attributes(head.attributes).path is not None
                    if at > now and _TIME.fullmatch(at):
                        now = at
                except (msgspec.MsgspecError, RecursionError):
                    pass  # a dead letter: the fold says why
                offset = int(message.offset() or 0)
                yield Recorded(offset, value, now, event_type, forward)
                if offset - position >= CHUNK:
                    progress(offset - position)
                    position = offset
        progress(offsets[1] - position)
    finally:
        reader.close()


class Contents:
    """Every revision on the topic `catalog`, by its number; 0 is the defaults."""

    def __init__(self, settings: Settings) -> None:
        """Raises KafkaAway, NoTopic."""
        self._revisions = {0: DEFAULTS}
        self._unreadable: dict[int | None, str] = {}
        tail = Tail(settings, topics.CATALOG)
        try:
            for record in tail.to_end():
                try:
                    content = decode(record.value() or b"")
                    content.policy.validate()
                    self._revisions[content.revision] = content
                except ValueError as error:
                    self._unreadable[record.offset()] = str(error)
        finally:
            tail.close()

    def __call__(self, revision: int) -> Content:
        """The content of that revision.  Raises KhayweError."""
        if revision in self._revisions:
            return self._revisions[revision]
        bad = "".join(f"; offset {place} is no revision: {why}" for place, why in self._unreadable.items())
        raise KhayweError(
            f"{topics.CUSTOMER_EVENTS} names catalog revision {revision}, {topics.CATALOG} has none{bad}",
            hint="it keeps every revision for ever: ask whoever deleted or made it anew",
        )

    @property
    def last(self) -> Content:
        """The newest."""
        return self._revisions[max(self._revisions)]
