"""Committed positions of a consumer group, asked without joining it; and offsets of logs.

A group's positions not by AdminClient.list_consumer_group_offsets: in librdkafka 2.16 it ends the process
(a null pointer in rd_kafka_handle_OffsetFetch) when the coordinator answers that it is loading or has moved,
which is just when partitions move.  A consumer of that group asks the same, waits for the coordinator, and
with read_committed asks for stable offsets only (KIP-447).
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from config.settings import Settings
from streams.batches import Partition

ASK_SECONDS = 10.0
#: What is committed beside the position of a partition that customers have left (docs/decisions/0007).
RETIRED = "retired"


def log_offsets(
    admin: AdminClient,
    partitions: Iterable[Partition],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    timeout: float = ASK_SECONDS,
) -> dict[Partition, int]:
    """The offset that `spec` says, of each partition's log.  Raises KafkaException."""
    asked = {TopicPartition(*place): spec for place in partitions}
    answers = admin.list_offsets(asked, isolation_level=isolation, request_timeout=timeout)
    return {Partition(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}


class GroupPositions:
    """Asks for one group.  Used from one thread at a time."""

    def __init__(self, settings: Settings, group: str, stable: bool) -> None:
        """`stable`: wait for open transactions that are about to move a position."""
        self._consumer = Consumer(
            settings.kafka_config(**{
                "group.id": group,
                "isolation.level": "read_committed" if stable else "read_uncommitted",
                "enable.auto.commit": False,
                "allow.auto.create.topics": False,
                "log_level": 3,
            })
        )  # fmt: skip

    def of(self, partitions: Iterable[Partition], timeout: float = ASK_SECONDS) -> dict[Partition, int]:
        """Position by partition; none where nothing was committed.

        Raises KafkaException: Kafka away, no stable answer within `timeout` seconds.
        """
        return {place: found.offset for place, found in self._of(partitions, timeout).items()}

    def retired(self, partitions: Iterable[Partition], timeout: float = ASK_SECONDS) -> set[Partition]:
        """Those of them that customers have left.  Raises as `of`."""
        found = self._of(partitions, timeout)
        return {place for place, committed in found.items() if committed.metadata == RETIRED}

    def _of(self, partitions: Iterable[Partition], timeout: float) -> dict[Partition, TopicPartition]:
        asked = [TopicPartition(*place) for place in sorted(partitions)]
        positions = {}
        for found in self._consumer.committed(asked, timeout) if asked else ():
            if found.error is not None:
                raise KafkaException(found.error)
            if found.offset >= 0:
                positions[Partition(found.topic, found.partition)] = found
        return positions

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
