"""Records as the broker would deliver them, and a transaction that only remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.batches import Aborted, Fill, RecordBatch
from streams.librdkafka import Headers
from streams.records import Partition, Record, Records


def kafka_record(
    value: bytes | None,
    *,
    key: bytes | None = None,
    topic: str = "raw",
    partition: int = 0,
    offset: int = 0,
    timestamp: int = 1_577_836_800_000,
    headers: Sequence[tuple[str | bytes, bytes | None]] | None = None,
) -> Record:
    """A record, as far as a test says something of it."""
    given = None
    if headers is not None:
        given = [(name.encode() if isinstance(name, str) else name, content) for name, content in headers]
    return Record(Partition(topic, partition), offset, timestamp, key, value, given)


def batch(
    topic: str, partition: int, values: Sequence[bytes | None], begin: int = 0, **more: Any
) -> RecordBatch:
    """Records of one partition at consecutive offsets."""
    records = [
        kafka_record(value, topic=topic, partition=partition, offset=begin + n, **more)
        for n, value in enumerate(values)
    ]
    place = Partition(topic, partition)
    return RecordBatch(place, begin, begin + len(records), Records.of(place, records))


def taken(messages: Sequence[Any]) -> Records:
    """Messages of confluent-kafka, all of one partition, as a poll has them."""
    records = [
        kafka_record(
            message.value(),
            key=message.key(),
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            timestamp=message.timestamp()[1],
            headers=message.headers(),
        )
        for message in messages
    ]
    return Records.of(Partition(records[0].topic(), records[0].partition()), records)


@dataclass
class Sent:
    """A record that was queued."""

    topic: str
    value: bytes | None
    key: bytes | None
    partition: int
    headers: list[tuple[str, bytes]] | None


@dataclass
class Transaction:
    """A `Commit` and its `Sink`: keeps what is committed, or aborts when told to."""

    sent: list[Sent] = field(default_factory=list)
    offsets: list[dict[Partition, int]] = field(default_factory=list)
    aborts: bool = False

    def __call__(self, offsets: dict[Partition, int], fill: Fill) -> dict[Partition, int]:
        sink = Transaction()
        fill(sink)
        if self.aborts:
            raise Aborted("as told")
        self.sent += sink.sent
        self.offsets.append(dict(offsets))
        return {}

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self.sent.append(Sent(topic, value, key, partition, headers))

    def send_many(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None],
        headers: Headers | None = None,
    ) -> None:  # fmt: skip
        assert headers is None
        for key, value in zip(keys, values, strict=True):
            self.send(topic, value, key)

    def send_rows(
        self, topic: str, partition: int, keys: Sequence[bytes], values: Sequence[bytes | None]
    ) -> None:
        raise AssertionError("the normaliser writes no rows")

    def of(self, topic: str) -> list[Sent]:
        """What was sent to a topic."""
        return [sent for sent in self.sent if sent.topic == topic]
