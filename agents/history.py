"""What was told of one customer lately: the newest records of a topic that is keyed by customer.

They are looked for backwards, in pieces of its partition that grow: whoever was busy lately is found at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agents.tail import Tail
from config.settings import Settings
from streams.partition import partition_of

#: Offsets of the first piece; each is twice as long as the one before.
PIECE = 20_000

Progress = Callable[[int, int], None]


def nobody(_done: int, _all: int) -> None:
    """Progress that nobody watches."""


def newest(
    settings: Settings,
    topic: str,
    customer_id: str,
    most: int,
    wanted: Callable[[dict[str, Any]], bool] = lambda _: True,
    progress: Progress = nobody,
) -> list[dict[str, Any]]:
    """The newest records of a customer that are wanted, at most so many, oldest first.

    `progress` is told how many offsets were looked at, of how many, where that takes longer.  Raises
    KafkaAway, NoTopic.
    """
    key = customer_id.encode()
    tail = Tail(settings, topic, from_end=True)
    partition = partition_of(key, len(tail.positions))
    begin, end = tail.begin(partition), tail.positions[partition]
    tail.close()
    found: list[dict[str, Any]] = []
    high, piece = end, PIECE
    while high > begin and len(found) < most:
        low = max(begin, high - piece)
        found = _piece(settings, topic, partition, key, low, high, wanted) + found
        high, piece = low, piece * 2
        if high > begin and len(found) < most:
            progress(end - high, end - begin)
    return found[-most:]


def _piece(
    settings: Settings, topic: str, partition: int, key: bytes, low: int, high: int,
    wanted: Callable[[dict[str, Any]], bool],
) -> list[dict[str, Any]]:  # fmt: skip
    found = []
    tail = Tail(settings, topic, start={partition: low}, only=partition)
    try:
        for record in tail.to_end():
            if int(record.offset() or 0) >= high:
                break
            value = record.value()
            if record.key() == key and value is not None:
                told = msgspec.json.decode(value)
                if wanted(told):
                    found.append(told)
    finally:
        tail.close()
    return found
