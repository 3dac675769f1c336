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
from confluent_kafka.admin import AdminClient, OffsetSpec

from loyalty.row import FORMAT, ROW
from loyalty.state import PARTITION_KEY, ROW_KEY, State
from tables.errors import TableError
from tables.store import RocksStore

log = logging.getLogger(__name__)

#: partition, changelog offsets read so far, offsets to read in all
Progress = Callable[[int, int, int], None]

CHUNK = 20_000
ASK_SECONDS = 10.0
#: Rows of a warm store that are indexed at once.
WARM_CHUNK = 20_000


def topic_id(config: dict[str, Any], topic: str) -> str:
    """Kafka's id of the topic: another one after it was deleted and made anew.  Raises KafkaException."""
    admin = AdminClient(config)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_SECONDS)
    return str(described[topic].result().topic_id)


def bounds(config: dict[str, Any], topic: str, partition: int) -> tuple[int, int]:
    """First offset and end of a partition, open transactions included, as of now.  Raises KafkaException."""
    admin = AdminClient(config)
    place = TopicPartition(topic, partition)
    found = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
        found.append(admin.list_offsets({place: spec}, request_timeout=ASK_SECONDS)[place].result().offset)
    return found[0], found[1]


def warm(store: RocksStore, state: State) -> None:
    """Index what the store holds."""
    ids: list[bytes] = []
    rows: list[bytes] = []
    for id, row in store.all_rows():
        ids.append(id)
        rows.append(row)
        if len(ids) == WARM_CHUNK:
            state.load_many(ids, rows)
            ids, rows = [], []
    state.load_many(ids, rows)
    found = store.partition_row()
    if found is not None:
        state.load_partition(found)


def restore(
    config: dict[str, Any],
    topic: str,
    partition: int,
    store: RocksStore,
    state: State,
    progress: Progress,
) -> int:
    """Read the changelog from the store's offset to its end as of now; returns that end.

    Waits while Kafka is away.  Raises TableError for rows of a newer format.
    """
    start, end = bounds(config, topic, partition)
    held = store.offset()
    if held < start or held > end:
        if held >= 0:
            log.info(
                "%s/%d: the store is at %d, the log from %d to %d: from its start",
                topic,
                partition,
                held,
                start,
                end,
            )
            store.wipe()
        held = start
    else:
        warm(store, state)
    if held >= end:
        progress(partition, 0, 0)
        return end
    consumer = Consumer({
        **config,
        "group.id": "khaywe-restore",  # librdkafka wants a name; nothing joins or commits
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
        "fetch.message.max.bytes": 8 << 20,
        "fetch.max.bytes": 64 << 20,
        "queued.min.messages": 100_000,
        "queued.max.messages.kbytes": 128 << 10,
    })  # fmt: skip
    try:
        consumer.assign([TopicPartition(topic, partition, held)])
        position = held
        said = 0.0
        while position < end:
            position = _chunk(consumer, topic, partition, store, state, position, end)
            if time.monotonic() - said > 0.2:
                said = time.monotonic()
                progress(partition, min(position, end) - held, end - held)
        progress(partition, end - held, end - held)
    finally:
        consumer.close()
    return end


def _chunk(
    consumer: Consumer, topic: str, partition: int, store: RocksStore, state: State, position: int, end: int
) -> int:
    """Take what one consume gives; returns the position behind it."""
    last: dict[bytes, bytes | None] = {}
    for message in consumer.consume(CHUNK, 0.1):
        error = message.error()
        if error is None:
            last[message.key() or b""] = message.value()
            position = int(message.offset() or 0) + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            position = max(position, int(message.offset() or 0))
        elif error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            log.warning("restoring %s/%d: waiting for Kafka: %s", topic, partition, error.str())
        else:
            raise KafkaException(error)
    if last:
        _check_formats(last, topic, partition)
        store.write(list(last.keys()), list(last.values()), min(position, end))
        rows = {key[1:]: value for key, value in last.items() if key[:1] == ROW_KEY and value is not None}
        state.load_many(list(rows.keys()), list(rows.values()))
        state.unload([key[1:] for key, value in last.items() if key[:1] == ROW_KEY and value is None])
        if last.get(PARTITION_KEY) is not None:
            state.load_partition(last[PARTITION_KEY] or b"")
    return position


def _check_formats(found: dict[bytes, bytes | None], topic: str, partition: int) -> None:
    for key, value in found.items():
        if key[:1] != ROW_KEY or value is None:
            continue
        number = int.from_bytes(value[:2], "little")
        if number > FORMAT or len(value) != ROW.itemsize:
            raise TableError(
                f"{topic}/{partition}: row of {key[1:].decode(errors='replace')!r} has format {number} and "
                f"{len(value)} bytes; this version reads format {FORMAT}, {ROW.itemsize} bytes",
                hint="upgrade khaywe to the version that wrote it",
            )
