"""Dead letters: records that could not be used, with the original bytes and the reason.

The topic `dead-letters` holds letters and, for each letter that was mapped again, a note that it was.  This
page of code is the one place that knows their form; docs/dead-letters.md shows it to users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from agents.tail import Tail
from catalog.times import LATEST, iso
from config import topics
from config.settings import Settings
from streams.records import Record

#: Bytes of a value or key above which only their hash is kept: a letter stays far below Kafka's usual 1 MB.
LARGEST_KEPT = 256 << 10
#: Bytes of all headers together, for the same reason; what comes after them is left out and counted.
LARGEST_HEADERS = 64 << 10
#: Characters of the message: it may quote the record.
LONGEST_MESSAGE = 500

NORMALIZER = "normalizer"
CUSTOMERS = "customers"


class Bytes(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes as they came (base64 in JSON), or what identifies them where they are too large to keep."""

    size: int
    base64: bytes | None = None
    blake2b: str | None = None

    @staticmethod
    def of(content: bytes | None) -> Bytes | None:
        """Keep `content`; None stays None."""
        if content is None:
            return None
        if len(content) <= LARGEST_KEPT:
            return Bytes(len(content), base64=content)
        return Bytes(len(content), blake2b=blake2b(content, digest_size=32).hexdigest())


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be used.  `timestamp` is Kafka's, in ms; `id` is topic/partition/offset."""

    id: str
    stage: str
    source: str
    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Bytes | None
    value: Bytes | None
    headers: list[tuple[str, bytes | None]]
    headers_left_out: int = 0


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The letter of this id was mapped again, by that revision's mapping, and is an event now."""

    replayed: str
    source: str
    command_id: str
    revision: int


_encode = msgspec.json.Encoder().encode
_decode_letter = msgspec.json.Decoder(Letter).decode
_decode_replayed = msgspec.json.Decoder(Replayed).decode
_REPLAYED = b'{"replayed":'


def letter(record: Record, stage: str, source: str, reason: str, message: str) -> Letter:
    """The letter of a record, as some stage (`normalizer` or `customers`) could not use it."""
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    headers, left_out = _headers(record)
    if len(message) > LONGEST_MESSAGE:
        message = message[: LONGEST_MESSAGE - 3] + "..."
    return Letter(
        id=f"{topic}/{partition}/{offset}",
        stage=stage,
        source=source,
        reason=reason,
        message=message,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=record.timestamp()[1],
        key=Bytes.of(record.key()),
        value=Bytes.of(record.value()),
        headers=headers,
        headers_left_out=left_out,
    )


def encode(entry: Letter | Replayed) -> bytes:
    """The value of a record on `dead-letters`."""
    return _encode(entry)


def decode(value: bytes) -> Letter | Replayed:
    """The reverse.  Raises msgspec.DecodeError."""
    return _decode_replayed(value) if value.startswith(_REPLAYED) else _decode_letter(value)


def read(settings: Settings) -> Iterator[Letter | Replayed]:
    """All that stands on `dead-letters` now, in order.  Raises KafkaAway, NoTopic."""
    tail = Tail(settings, topics.DEAD_LETTERS)
    try:
        for record in tail.to_end():
            yield decode(record.value() or b"")
    finally:
        tail.close()


class Memory:
    """Which letters were replayed, by whomever: so that a second replay doubles nothing.

    Whoever owns partition 0 of `customer-commands` is the only one to replay.  The first time it is asked
    after a take-over it reads on to the end of `dead-letters`, where an earlier owner may have written.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._replayed: set[str] = set()
        self._tail: Tail | None = None
        self._current = False

    def taken_over(self) -> None:
        """Others may have replayed since."""
        self._current = False

    def __contains__(self, id: str) -> bool:
        """Raises KafkaAway."""
        if not self._current:
            self._tail = self._tail or Tail(self._settings, topics.DEAD_LETTERS)
            for record in self._tail.to_end():
                value = record.value() or b""
                if value.startswith(_REPLAYED):
                    self._replayed.add(_decode_replayed(value).replayed)
            self._current = True
        return id in self._replayed

    def add(self, ids: Iterable[str]) -> None:
        """These were replayed, and it is committed."""
        self._replayed.update(ids)

    def close(self) -> None:
        """Stop reading."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None


def time_of(entry: Letter) -> str:
    """Kafka's timestamp of the record, ISO 8601 UTC with milliseconds."""
    return iso(entry.timestamp) if 0 <= entry.timestamp < LATEST else str(entry.timestamp)


def _headers(record: Record) -> tuple[list[tuple[str, bytes | None]], int]:
    """Those that are kept, and how many are not; none where a name is no UTF-8."""
    try:
        found = record.headers() or []
    except UnicodeDecodeError:
        return [], 0
    kept: list[tuple[str, bytes | None]] = []
    size = 0
    for name, content in found:
        size += len(name.encode()) + len(content or b"")
        if size > LARGEST_HEADERS:
            break
        kept.append((name, content))
    return kept, len(found) - len(kept)
