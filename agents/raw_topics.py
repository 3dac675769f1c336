"""What the raw topics look like now: how many partitions each has, and how far they are normalised.

Both are asked beside the stream and read by the processor as the last answer.  The horizon is what a tick of
the wall clock may not pass: the Kafka timestamp of the oldest raw record that is not yet normalised.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from agents.background import Repeating
from config.settings import Settings
from streams.batches import Partition
from streams.positions import GroupPositions, log_offsets

log = logging.getLogger(__name__)

#: Seconds between two looks at the raw topics' partitions.
LOOK_SECONDS = 3.0
#: Seconds between two looks at how far they are normalised, while a tick waits for it.
HORIZON_SECONDS = 1.0
ASK_SECONDS = 5.0


class RawTopics:
    """Numbers of partitions of the topics that are wanted, refreshed every few seconds."""

    def __init__(self, settings: Settings) -> None:
        self._admin = AdminClient(settings.kafka_config())
        self._wanted: frozenset[str] = frozenset()
        self._counts: dict[str, int] = {}
        self._missing: frozenset[str] = frozenset()
        self._seen: frozenset[str] = frozenset()
        self._looking = Repeating("raw topics", LOOK_SECONDS, self._look)

    def start(self) -> None:
        """Begin to look."""
        self._looking.start()

    def stop(self) -> None:
        """Look no more."""
        self._looking.stop()

    def want(self, wanted: frozenset[str]) -> None:
        """Look at these; at once, if they are others than before."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._looking.wake()

    @property
    def settled(self) -> bool:
        """True once everything that is wanted has been looked at."""
        return self._seen == self._wanted

    def partitions(self) -> set[Partition]:
        """Every partition of every wanted topic that is there, as last seen."""
        counts, wanted = self._counts, self._wanted
        return {Partition(topic, p) for topic in wanted for p in range(counts.get(topic, 0))}

    def _look(self) -> None:
        wanted = self._wanted
        if not wanted:
            self._seen = wanted
            return
        answers = self._admin.describe_topics(TopicCollection(sorted(wanted)), request_timeout=ASK_SECONDS)
        counts, missing = {}, set()
        for topic, answer in answers.items():
            try:
                counts[topic] = len(answer.result().partitions)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                missing.add(topic)
        for topic in sorted(missing - self._missing):
            log.info("there is no topic %s yet; it will be read once it exists", topic)
        for topic in sorted(self._missing & counts.keys()):
            log.info("topic %s is there now", topic)
        self._missing = frozenset(missing)
        self._counts = counts
        self._seen = wanted


class Horizon:
    """The time up to which every raw record is normalised, whoever reads its partition."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        partitions: Callable[[], set[Partition]],
        wanted: Callable[[], bool],
    ) -> None:
        """`partitions` are the raw ones of all active sources; `wanted` says whether a tick waits for it."""
        self._settings = settings
        self._group = group
        self._partitions = partitions
        self._wanted = wanted
        self._admin = AdminClient(settings.kafka_config())
        self._readers: dict[str, Consumer] = {}
        self._positions: GroupPositions | None = None
        self._until = 0
        self._looking = Repeating("horizon of ticks", HORIZON_SECONDS, self._look)

    def start(self) -> None:
        """Begin to look."""
        self._looking.start()

    def stop(self) -> None:
        """Look no more."""
        self._looking.stop()
        for reader in self._readers.values():
            reader.close()
        if self._positions is not None:
            self._positions.close()

    @property
    def until(self) -> int:
        """Milliseconds since 1970, as last seen; 0 while nothing is known."""
        return self._until

    def _look(self) -> None:
        if self._wanted():
            self._until = self.look()

    def look(self) -> int:
        """Ask now.  Raises KafkaException."""
        now = time.time_ns() // 1_000_000
        partitions = sorted(self._partitions())
        if not partitions:
            return now
        committed = self._committed(partitions)
        last = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        stable = log_offsets(self._admin, partitions, last, IsolationLevel.READ_COMMITTED, ASK_SECONDS)
        ends = log_offsets(self._admin, partitions, last, IsolationLevel.READ_UNCOMMITTED, ASK_SECONDS)
        visible = {p: committed[p] for p in partitions if committed[p] < stable[p]}
        seen = self._first(visible, "read_committed")
        # Behind an operator's open transaction: whatever stands there is not normalised either.
        hidden = {
            p: max(committed[p], stable[p]) for p in partitions if p not in seen and stable[p] < ends[p]
        }
        seen |= self._first(hidden, "read_uncommitted")
        return min([now, *seen.values()])

    def _committed(self, partitions: list[Partition]) -> dict[Partition, int]:
        """The group's positions; where it has none, the log's start."""
        if self._positions is None:
            self._positions = GroupPositions(self._settings, self._group, stable=False)
        positions = self._positions.of(partitions, ASK_SECONDS)
        first = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        starts = log_offsets(self._admin, partitions, first, IsolationLevel.READ_UNCOMMITTED, ASK_SECONDS)
        return {place: max(positions.get(place, 0), start) for place, start in starts.items()}

    def _first(self, starts: dict[Partition, int], isolation: str) -> dict[Partition, int]:
        """Timestamps of the first records from those offsets on; none for a partition without one.

        Raises KafkaException if Kafka does not say.
        """
        if not starts:
            return {}
        reader = self._reader(isolation)
        reader.assign([TopicPartition(p.topic, p.partition, offset) for p, offset in starts.items()])
        waiting, found = set(starts), {}
        deadline = time.monotonic() + ASK_SECONDS
        try:
            while waiting:
                message = reader.poll(0.2)
                if message is None:
                    if time.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no record at a position"))
                    continue
                place = Partition(str(message.topic()), int(message.partition() or 0))
                error = message.error()
                if place in waiting and (error is None or error.code() == KafkaError._PARTITION_EOF):
                    waiting.remove(place)
                    if error is None:
                        found[place] = message.timestamp()[1]
            return found
        finally:
            reader.unassign()

    def _reader(self, isolation: str) -> Consumer:
        reader = self._readers.get(isolation)
        if reader is None:
            reader = self._readers[isolation] = Consumer(
                self._settings.kafka_config(**{
                    "group.id": f"{self._group}-horizon",  # librdkafka wants a name; nothing joins or commits
                    "isolation.level": isolation,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": 100,
                    "queued.min.messages": 1,
                    "fetch.message.max.bytes": 64 << 10,
                    "allow.auto.create.topics": False,
                })
            )  # fmt: skip
        return reader
