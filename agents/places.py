"""What Kafka has of partitions: topic ids, where their logs begin and end."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, TopicCollection
from confluent_kafka.admin import AdminClient, OffsetSpec

from projection.writer import Start
from streams.batches import Partition
from streams.positions import log_offsets

ASK_SECONDS = 10.0


def starts(admin: AdminClient, places: Iterable[Partition]) -> dict[tuple[str, int], Start]:
    """The first position that is there, and which topic it is of.  Raises KafkaException."""
    wanted = sorted(places)
    names = sorted({place.topic for place in wanted})
    described = admin.describe_topics(TopicCollection(names), request_timeout=ASK_SECONDS)
    ids = {name: str(described[name].result().topic_id) for name in names}
    lows = log_offsets(admin, wanted, OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
    return {place: Start(ids[place.topic], low) for place, low in lows.items()}


def ends(admin: AdminClient, places: Iterable[Partition]) -> dict[Partition, int]:
    """Where what is committed ends.  Raises KafkaException."""
    return log_offsets(admin, sorted(places), OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
