"""Reads effect topics from positions that PostgreSQL keeps: committed records only, little in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from catalog.service import Away
from config.settings import Settings
from streams.batches import Partition
from streams.positions import log_offsets

log = logging.getLogger(__name__)

ASK_SECONDS = 10.0
#: Kilobytes that librdkafka holds of a subscription.
HELD_KILOBYTES = 2_048


@dataclass(frozen=True, slots=True)
class Place:
    """What Kafka has of a partition: the topic's id, where its log begins, where what is committed ends."""

    topic_id: str
    low: int
    end: int


def places(settings: Settings, names: Iterable[str]) -> dict[Partition, Place]:
    """Every partition of these topics.  Raises Away where Kafka does not answer or lacks a topic."""
    try:
        admin = AdminClient(settings.kafka_config(log_level=2))
        described = admin.describe_topics(TopicCollection(sorted(names)), request_timeout=ASK_SECONDS)
        found = {name: answer.result() for name, answer in described.items()}
        at = [Partition(name, part.id) for name, topic in found.items() for part in topic.partitions]
        lows, ends = (
            log_offsets(admin, at, spec, IsolationLevel.READ_COMMITTED, ASK_SECONDS)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        )
    except KafkaException as error:
        raise Away(
            f"Kafka: {error.args[0].str()}", hint="`khaywe status` says whether Kafka answers"
        ) from None
    return {place: Place(str(found[place.topic].topic_id), low, ends[place]) for place, low in lows.items()}


class Reader:
    """One subscription's consumer.  It is of no group; used from one thread at a time."""

    def __init__(self, settings: Settings, positions: Mapping[Partition, int]) -> None:
        self._positions = dict(positions)
        self._consumer = Consumer(
            settings.kafka_config(**{
                "group.id": "khaywe-notifier",  # librdkafka wants a name; nothing joins or commits
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 200,
                "queued.max.messages.kbytes": HELD_KILOBYTES,
                "fetch.message.max.bytes": 256 << 10,
                "log_level": 2,
            })
        )  # fmt: skip
        self._consumer.assign([TopicPartition(*place, at) for place, at in positions.items()])

    def poll(self, most: int) -> tuple[dict[Partition, list[Message]], dict[Partition, int]]:
        """What has been fetched, at most `most` records, by partition, and the positions after it.

        Waits for nothing.  Raises KafkaException.
        """
        found: dict[Partition, list[Message]] = {}
        ends: dict[Partition, int] = {}
        for message in self._consumer.consume(most, 0):
            error, place = message.error(), Partition(str(message.topic()), int(message.partition() or 0))
            if error is None:
                found.setdefault(place, []).append(message)
                ends[place] = int(message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                # Behind trailing transaction markers, which no record shows.
                ends[place] = max(ends.get(place, 0), int(message.offset() or 0))
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(error)
            else:
                log.debug("notifier: waiting for Kafka: %s", error.str())
        ends = {place: end for place, end in ends.items() if end > self._positions.get(place, 0)}
        self._positions |= ends
        return found, ends

    def lag(self) -> int:
        """Offsets between the positions and the ends, as the last fetch saw them; asks nobody."""
        behind = 0
        for place, position in self._positions.items():
            marks = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            behind += max(0, marks[1] - position) if marks else 0
        return behind

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()
