"""What Kafka has of partitions: topic ids, where their logs begin and end."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from projection.writer import Start
from streams.batches import Partition

ASK_SECONDS = 10.0


def starts(admin: AdminClient, places: Iterable[Partition]) -> dict[tuple[str, int], Start]:
    """The first position that is there, and which topic it is of.  Raises KafkaException."""
    wanted = sorted(places)
    names = sorted({place.topic for place in wanted})
    described = admin.describe_topics(TopicCollection(names), request_timeout=ASK_SECONDS)
    ids = {name: str(described[name].result().topic_id) for name in names}
    lows = _offsets(admin, wanted, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    return {place: Start(ids[place.topic], low) for place, low in lows.items()}


def ends(admin: AdminClient, places: Iterable[Partition]) -> dict[Partition, int]:
    """Where what is committed ends.  Raises KafkaException."""
    return _offsets(admin, sorted(places), OffsetSpec.latest())  # type: ignore[no-untyped-call]


def _offsets(admin: AdminClient, places: list[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    answers = admin.list_offsets(
        {TopicPartition(*place): spec for place in places},
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=ASK_SECONDS,
    )
    return {Partition(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}
