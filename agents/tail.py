"""Reads a whole topic without a group: the catalog, dead letters, results of commands.

Only committed records are seen, from the beginning or from the end as it is now, every partition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from config.errors import KhayweError
from config.settings import Settings
from streams.batches import Partition
from streams.positions import log_offsets

T = TypeVar("T")

_AWAY = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}

#: A partition whose leader is being chosen: as after a broker's start, or the topic's making.
_MOVING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
#: Seconds an answer about a topic may take before Kafka counts as away.
ASK_SECONDS = 10.0


class KafkaAway(KhayweError):
    """Kafka does not answer."""

    def __init__(self, settings: Settings, why: str) -> None:
        super().__init__(
            f"Kafka at {settings.bootstrap_servers()} does not answer: {why}",
            hint="check that it runs (`khaywe status`), and KHAYWE_KAFKA",
        )


class NoTopic(KhayweError):
    """A topic of khaywe's own is missing."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"there is no topic {topic}", hint="run `khaywe topics create`")


def patiently(settings: Settings, ask: Callable[[], T]) -> T:
    """What Kafka answers, asked again while leaders are chosen.  Raises KafkaAway."""
    deadline = time.monotonic() + ASK_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _MOVING or time.monotonic() > deadline:
                raise KafkaAway(settings, error.args[0].str()) from None
            time.sleep(0.1)


class Tail:
    """One reader of all partitions of a topic, or `only` one.  Used from one thread."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        from_end: bool = False,
        start: Mapping[int, int] | None = None,
        only: int | None = None,
    ) -> None:
        """From the beginning, the end or the offsets `start`.  Raises KafkaAway, NoTopic."""
        self._settings = settings
        self._topic = topic
        self._admin = AdminClient(settings.kafka_config(log_level=2))
        self._consumer = Consumer(
            settings.kafka_config(**{
                "group.id": "khaywe-tail",  # librdkafka wants a name; nothing joins or commits
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": 4 << 20,
                "allow.auto.create.topics": False,
                "log_level": 2,  # what goes wrong is said by whoever asks
            })
        )  # fmt: skip
        partitions = self._partitions() if only is None else [only]
        beginning = dict.fromkeys(partitions, 0)
        #: The offset after the last record read, of each partition.
        self.positions = self._ends(partitions) if from_end else beginning | dict(start or {})
        self._consumer.assign([TopicPartition(topic, p, offset) for p, offset in self.positions.items()])

    def poll(self, seconds: float) -> list[Message]:
        """Committed records that arrived within `seconds`, at most 1,000; a partition's in its order."""
        records = []
        for message in self._consumer.consume(1000, seconds):
            error = message.error()
            partition, offset = int(message.partition() or 0), int(message.offset() or 0)
            if error is None:
                records.append(message)
                self.positions[partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind trailing transaction markers, which no record shows.
                self.positions[partition] = offset
            elif not error.retriable() and error.code() not in _AWAY:
                raise KafkaException(error)
        return records

    def to_end(self, patience: float = 60.0) -> Iterator[Message]:
        """Committed records up to the end as it is now, whoever's transaction is still open there.

        Raises KafkaAway when nothing moves for `patience` seconds.
        """
        ends = self._ends(list(self.positions))
        moved = time.monotonic()
        while any(self.positions[partition] < end for partition, end in ends.items()):
            before = dict(self.positions)
            yield from self.poll(0.1)
            if self.positions != before:
                moved = time.monotonic()
            elif time.monotonic() - moved > patience:
                raise KafkaAway(self._settings, f"{self._topic} cannot be read to its end")

    def begin(self, partition: int) -> int:
        """The first offset that is still there."""
        try:
            place = TopicPartition(self._topic, partition)
            return int(self._consumer.get_watermark_offsets(place, timeout=ASK_SECONDS)[0])
        except KafkaException as error:
            raise KafkaAway(self._settings, error.args[0].str()) from None

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _partitions(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self._topic, timeout=ASK_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise KafkaAway(self._settings, error.args[0].str()) from None
        if found.error is not None or not found.partitions:
            raise NoTopic(self._topic)
        return sorted(found.partitions)

    def _ends(self, partitions: list[int]) -> dict[int, int]:
        """The ends as of now, open transactions included."""
        places = [Partition(self._topic, partition) for partition in partitions]
        level, latest = IsolationLevel.READ_UNCOMMITTED, OffsetSpec.latest()  # type: ignore[no-untyped-call]
        ends = patiently(self._settings, lambda: log_offsets(self._admin, places, latest, level))
        return {place.partition: end for place, end in ends.items()}
