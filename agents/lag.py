"""How far the pipeline is behind, hop by hop: asked of Kafka.

Committed positions are read first and the ends of the logs after them, the normaliser's hop before the
customers': so zero means that everything sent before is folded, whatever moved meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from agents.tail import KafkaAway
from config import topics
from config.settings import Settings
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP, NORMALIZER_GROUP
from streams.positions import GroupPositions, log_offsets

ASK_SECONDS = 10.0
#: Seconds between two looks while waiting; a look takes some tens of milliseconds.
LOOK_SECONDS = 0.2

#: The group's coordinator has just started or moved; it answers in a moment.
COORDINATOR_MOVES = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}

TITLES = {"normalizer": "normaliser", "customers": "customers"}


@dataclass(frozen=True, slots=True)
class Hop:
    """An app of the pipeline: its consumer group and the topics it reads."""

    app: str
    group: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One partition that an app reads.  `position` None: nothing committed yet.

    `behind` counts offsets between position and end, transaction markers among records included, and is 0
    where nothing but markers is left.  `hidden` counts those behind a transaction that is still open.
    """

    app: str
    topic: str
    partition: int
    position: int | None
    end: int
    behind: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Lag:
    """All places of the normaliser, then all of the customers."""

    places: tuple[Place, ...]

    def behind(self, app: str) -> int:
        """Records that an app has not yet worked through, the hidden ones included."""
        return sum(place.behind + place.hidden for place in self.places if place.app == app)

    @property
    def total(self) -> int:
        """Over both hops."""
        return sum(place.behind + place.hidden for place in self.places)


class Pipeline:
    """Asks Kafka how far both apps are.  Used from one thread."""

    def __init__(self, config: Settings, hops: Sequence[Hop]) -> None:
        """`hops` in the order of the data's way."""
        self._config = config
        self._hops = {hop.app: hop for hop in hops}
        self._admin = AdminClient(config.kafka_config(log_level=2))
        self._reader: Consumer | None = None
        self._groups: dict[str, GroupPositions] = {}

    def look(self) -> Lag:
        """How it stands.  Raises KafkaAway."""
        end = time.monotonic() + ASK_SECONDS
        while True:
            try:
                return Lag(tuple(place for hop in self._hops.values() for place in self._places(hop)))
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() not in COORDINATOR_MOVES or time.monotonic() > end:
                    raise KafkaAway(self._config, reason.str()) from None
                time.sleep(LOOK_SECONDS)

    def deserted(self, app: str) -> bool:
        """True if no worker is a member of the app's group.  Raises KafkaAway."""
        group = self._hops[app].group
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)[group].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return True
            if error.args[0].code() in COORDINATOR_MOVES:
                return False
            raise KafkaAway(self._config, error.args[0].str()) from None
        return found.state in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)

    def close(self) -> None:
        """Let go of the connection."""
        if self._reader is not None:
            self._reader.close()
        for positions in self._groups.values():
            positions.close()

    def _places(self, hop: Hop) -> list[Place]:
        found = self._admin.list_topics(timeout=ASK_SECONDS).topics
        partitions = [
            Partition(name, number)
            for name in hop.topics
            if name in found
            for number in sorted(found[name].partitions)
        ]
        if not partitions:
            return []
        # Positions first: what was committed with them is in the log when its end is read.
        positions = self._positions(hop.group, partitions)
        first, last = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        ends = log_offsets(self._admin, partitions, last, IsolationLevel.READ_UNCOMMITTED)
        stable = log_offsets(self._admin, partitions, last, IsolationLevel.READ_COMMITTED)
        starts = log_offsets(self._admin, partitions, first, IsolationLevel.READ_UNCOMMITTED)
        begins = {place: max(positions.get(place, 0), starts[place]) for place in partitions}
        visible = self._with_records({p: begin for p, begin in begins.items() if begin < stable[p]})
        return [
            Place(
                hop.app,
                place.topic,
                place.partition,
                positions.get(place),
                ends[place],
                behind=stable[place] - begins[place] if place in visible else 0,
                hidden=max(0, ends[place] - max(stable[place], begins[place])),
            )
            for place in partitions
        ]

    def _positions(self, group: str, partitions: list[Partition]) -> dict[Partition, int]:
        if group not in self._groups:
            self._groups[group] = GroupPositions(self._config, group, stable=False)
        return self._groups[group].of(partitions, ASK_SECONDS)

    def _with_records(self, begins: dict[Partition, int]) -> set[Partition]:
        """Partitions that have a committed record from there on; the others have only markers left."""
        found: set[Partition] = set()
        waiting = set(begins)
        if not waiting:
            return found
        if self._reader is None:
            self._reader = Consumer(
                self._config.kafka_config(**{
                    "group.id": "khaywe-lag",  # librdkafka wants a name; nothing joins or commits
                    "isolation.level": "read_committed",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": 50,
                    "queued.min.messages": 1,
                    "fetch.message.max.bytes": 64 << 10,
                    "allow.auto.create.topics": False,
                    "log_level": 2,
                })
            )  # fmt: skip
        self._reader.assign([TopicPartition(*place, offset) for place, offset in begins.items()])
        deadline = time.monotonic() + ASK_SECONDS
        try:
            while waiting:
                message = self._reader.poll(0.1)
                if message is None:
                    if time.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                    continue
                place = Partition(str(message.topic()), int(message.partition() or 0))
                error = message.error()
                if place in waiting and error is None:
                    found.add(place)
                if place in waiting and (error is None or error.code() == KafkaError._PARTITION_EOF):
                    waiting.remove(place)
                    self._reader.incremental_unassign([TopicPartition(*place)])
        finally:
            self._reader.unassign()
        return found


def hops(raw: Sequence[str]) -> list[Hop]:
    """The normaliser, which reads the topics `raw` of active data sources, and the customers."""
    return [
        Hop("normalizer", NORMALIZER_GROUP, (*raw, topics.CUSTOMER_COMMANDS)),
        Hop("customers", CUSTOMERS_GROUP, (topics.CUSTOMER_EVENTS,)),
    ]
