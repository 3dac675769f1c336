"""Brings a partition's store and state up to the changelog's end as it was at one moment.

The end is asked read-uncommitted (under read_committed it would stop at the first open transaction), the
records are read read-committed.  It is reached by position, not by a record: what stands last may be
transaction markers or aborted records.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from loyalty.row import RowFormatError
from loyalty.state import PARTITION_KEY, ROW_KEY, State
from streams.fetching import Event, Fetcher
from streams.records import Partition, Records
from tables.errors import TableError
from tables.store import RocksStore

log = logging.getLogger(__name__)

#: partition, changelog offsets read so far, offsets to read in all -> whether to go on
Progress = Callable[[int, int, int], bool]

#: Records taken at once, few enough to stay in the processor's caches.
CHUNK = 2_000
ASK_SECONDS = 10.0
#: Seconds between two words to whoever watches.
WORD_SECONDS = 0.2
#: A store this old may have missed tombstones: Kafka removes them a day (delete.retention.ms) after it has
#: compacted what stood before them.
STALE_SECONDS = 12 * 3600.0


class Interrupted(Exception):
    """Whoever watches wants no more of it."""


def topic_id(config: dict[str, Any], topic: str) -> str:
    """Kafka's id of the topic: another one after it was deleted and made anew.  Raises KafkaException."""
    admin = AdminClient(config)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_SECONDS)
    return str(described[topic].result().topic_id)


def bounds(config: dict[str, Any], topic: str, partition: int) -> tuple[int, int]:
    """First offset and end of a partition, open transactions included, as of now.  Raises KafkaException."""
    # Not an AdminClient: one just made sometimes waits for seconds before it asks.
    asker = Consumer({**config, "group.id": "khaywe-restore", "isolation.level": "read_uncommitted"})
    try:
        start, end = asker.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_SECONDS)
    finally:
        asker.close()
    return start, end


def restore(
    config: dict[str, Any],
    topic: str,
    partition: int,
    store: RocksStore,
    state: State,
    progress: Progress,
) -> tuple[int, int]:
    """Read the changelog from the store's offset to its end as of now; returns both.

    The state must be new.  Waits while Kafka is away, and for open transactions.  Raises TableError for rows
    of a newer format, StoreDamaged, KafkaException, Interrupted.
    """
    place = f"{topic}/{partition}"
    start, end = bounds(config, topic, partition)
    held = store.offset()
    why = _unusable(store, held, start, end)
    if why:
        log.info("%s: %s; restoring from the log's start", place, why)
        store.wipe()
        held = start
    elif held >= 0:
        _warm(store, state)
    position = held = max(held, start)
    fetcher = Fetcher(_reading(config), CHUNK)
    if end - position > CHUNK:
        store.merge(False)  # until the partition is worked on: many may have to be restored first
    try:
        fetcher.assign({Partition(topic, partition): held})
        said = 0.0
        while position < end:
            found, events = fetcher.take(CHUNK, 0.1)
            for records in found:
                position = _take(records, place, store, state)
            position = _follow(events, place, position)
            if time.monotonic() - said > WORD_SECONDS:
                said = time.monotonic()
                if not progress(partition, min(position, end) - held, end - held):
                    raise Interrupted(place)
        progress(partition, end - held, end - held)
    finally:
        fetcher.close()
    return held, end


def _unusable(store: RocksStore, held: int, start: int, end: int) -> str:
    if held > end or -1 < held < start:
        return f"the store is at {held}, the log from {start} to {end}"
    if held < end and store.age() > STALE_SECONDS:
        return f"the store is {store.age() / 3600:.0f} hours old: deletions may be gone from the log"
    return ""


def _reading(config: dict[str, Any]) -> dict[str, Any]:
    return {
        **config,
        "group.id": "khaywe-restore",  # librdkafka wants a name; nothing joins or commits
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",  # a log that was cut meanwhile: not silently from elsewhere
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 50,
        "fetch.error.backoff.ms": 50,
        "fetch.queue.backoff.ms": 20,
        "fetch.message.max.bytes": 4 << 20,
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": 32 << 10,
    }


def _warm(store: RocksStore, state: State) -> None:
    """Index what the store holds."""
    rows: dict[bytes, bytes] = {}
    for id, row in store.all_rows():
        rows[id] = row
        if len(rows) == CHUNK:
            _load(rows, str(store.path), state)
            rows = {}
    _load(rows, str(store.path), state)
    found = store.partition_row()
    if found is not None:
        state.load_partition(found)


def _take(records: Records, place: str, store: RocksStore, state: State) -> int:
    """Store and index records; returns the position behind them."""
    keys, values = [key or b"" for key in records.keys.all()], records.values.all()
    position = int(records.offsets[-1]) + 1
    _index(keys, values, place, state)
    store.write(keys, values, position)
    return position


def _follow(events: list[Event], place: str, position: int) -> int:
    """The position after what came instead of records.  Raises KafkaException."""
    for event in events:
        error = event.error
        if error.code() == KafkaError._PARTITION_EOF:
            # Lies behind trailing markers and aborted records, before a transaction that is still open.
            position = max(position, event.offset)
        elif error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            log.warning("restoring %s: waiting for Kafka: %s", place, error.str())
        else:
            raise KafkaException(error)
    return position


def _index(keys: list[bytes], values: list[bytes | None], place: str, state: State) -> None:
    rows: dict[bytes, bytes] = {}
    for key, value in zip(keys, values, strict=True):
        if key[:1] == ROW_KEY:
            if value is None:
                # In the order of the log: what was loaded before must be known before it goes.
                _load(rows, place, state)
                rows = {}
                state.unload([key[1:]])
            else:
                rows[key[1:]] = value
        elif key == PARTITION_KEY and value is not None:
            state.load_partition(value)
    _load(rows, place, state)


def _load(rows: dict[bytes, bytes], place: str, state: State) -> None:
    try:
        state.load_many(list(rows), list(rows.values()))
    except RowFormatError as error:
        raise TableError(
            f"{place}: {error}", hint="run the version of khaywe that wrote it, or a newer one"
        ) from None
