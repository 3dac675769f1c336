"""Records as the broker would deliver them, and a transaction that only remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.batches import Aborted, Fill, Partition, RecordBatch
from streams.librdkafka import Headers, Read
from streams.records import Record, Records


def record(
    value: bytes | None, *, topic: str = "raw", partition: int = 0, offset: int = 0, **more: Any
) -> Record:
    """A record alone."""
    return batch(topic, partition, [value], offset, **more).records[0]


def batch(
    topic: str, partition: int, values: Sequence[bytes | None], begin: int = 0, *, key: bytes | None = None,
    timestamp: int = 1_577_836_800_000, headers: Read | Literal["bad"] | None = None,
) -> RecordBatch:  # fmt: skip
    """Records of one partition at consecutive offsets, all with this key, time and these headers."""
    count = len(values)
    read = {} if headers is None else dict.fromkeys(range(count), None if headers == "bad" else headers)
    found = Records(
        topic, partition, list(range(begin, begin + count)), [timestamp] * count, list(values), [key] * count,
        read,
    )  # fmt: skip
    return RecordBatch(Partition(topic, partition), begin, begin + count, found)


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
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], partition: int = -1,
        headers: Headers | None = None,
    ) -> None:  # fmt: skip
        assert headers is None
        for key, value in zip(keys, values, strict=True):
            self.send(topic, value, key, partition)

    def of(self, topic: str) -> list[Sent]:
        """What was sent to a topic."""
        return [sent for sent in self.sent if sent.topic == topic]
