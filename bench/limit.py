"""librdkafka's own limit: the records of both hops moved as khaywe moves them, and nothing done with them.

The first hop writes a record of customer-events for each raw record, the second as many effects an event as
khaywe wrote, all of khaywe's mean size, each hop with its own consumer and a transaction for each batch.
Measured twice: by confluent-kafka, an object of Python's for each record, and by `streams.librdkafka`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from agents.recorded import Reader, held
from config import topics as names
from config.settings import Settings
from streams.librdkafka import Intake, prepare, produce
from streams.records import by_partition
from streams.topics import ensure_raw_topic

EVENTS, EFFECTS = "limit-events", "limit-effects"
EFFECT_TOPICS = (
    names.BEHAVIOR_SCORES, names.MISSION_PROGRESS, names.BADGE_AWARDS, names.REWARD_GRANTS, names.DECISIONS,
    names.CHANGELOG,
)  # fmt: skip
SAMPLE = 20_000
BATCH = 10_000

#: Moves a batch; see `objects` and `columns`.
Move = Callable[[Consumer, Intake, Producer, str, bytes, float, float, Callable[[], None]], int]


def measure(settings: Settings, raw: str, events: int, objects: bool) -> dict[str, Any]:
    """Move `events` records of a raw topic over both hops, after khaywe has; the figures of a turn.

    `objects`: by confluent-kafka's.
    """
    count, size = _sizes(settings, (names.CUSTOMER_EVENTS,))
    effects, effect_size = _sizes(settings, EFFECT_TOPICS)
    way = "objects" if objects else "columns"
    for topic in (EVENTS, EFFECTS):
        ensure_raw_topic(settings, f"{topic}-{way}")
    given = [
        way,
        settings.bootstrap_servers(),
        raw,
        events,
        settings.partitions,
        size,
        effects / count,
        effect_size,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.limit", *map(str, given)], stdout=subprocess.PIPE
    )
    handle = psutil.Process(process.pid)
    resident = 0
    while process.poll() is None:
        time.sleep(0.2)
        if handle.is_running() and handle.status() != psutil.STATUS_ZOMBIE:
            resident = max(resident, handle.memory_info().rss)
    assert process.stdout is not None
    wall, cpu = map(float, process.stdout.read().split())
    return {
        "events": events,
        "customers": 0,
        "events_per_second": round(events / wall),
        "events_per_cpu_second": round(events / cpu),
        "seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "resident_bytes": resident,
    }


def _sizes(settings: Settings, topics: tuple[str, ...]) -> tuple[int, int]:
    """How many records these topics hold, by their offsets, and the mean bytes of a value among the first."""
    found = held(settings, list(topics))
    reader = Reader(
        settings, {place: (begin, min(end, begin + SAMPLE)) for place, (begin, end) in found.items()}
    )
    sizes = []
    while not reader.done:
        sizes += [len(message.value() or b"") for message in reader.read()]
    reader.close()
    return sum(end - begin for begin, end in found.values()), round(sum(sizes) / len(sizes))


def hop(
    move: Move, broker: str, source: str, target: str, events: int, partitions: int, size: int, each: float
) -> None:
    """Read `events` records and write `each` of `size` bytes for every one."""
    common = {"bootstrap.servers": broker}
    consumer = Consumer({
        **common, "group.id": f"limit-{target}", "isolation.level": "read_committed",
        "enable.auto.commit": False, "auto.offset.reset": "earliest", "queued.min.messages": 1_000_000,
    })  # fmt: skip
    consumer.assign([TopicPartition(source, at, 0) for at in range(partitions)])
    producer = Producer({
        **common, "transactional.id": f"limit-{target}", "compression.type": "lz4", "linger.ms": 5,
        "batch.size": 1 << 20, "batch.num.messages": 20_000, "queue.buffering.max.messages": 2_000_000,
    })  # fmt: skip
    producer.init_transactions()
    value = (b'{"event_id":"0123456789","customer_id":"880100000000"}' * (size // 50 + 1))[:size]
    done, owed = 0, 0.0
    begin = producer.begin_transaction
    intake = Intake(consumer)
    while done < events:
        moved = move(consumer, intake, producer, target, value, owed, each, begin)
        if not moved:
            continue
        owed = (owed + moved * each) % 1
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), metadata)
        producer.commit_transaction()
        done += moved
    intake.close()
    consumer.close()


def objects(
    consumer: Consumer, _: Intake, producer: Producer, target: str, value: bytes, owed: float, each: float,
    begin: Callable[[], None],
) -> int:  # fmt: skip
    """Move a batch by confluent-kafka's objects; how many were read."""
    messages = consumer.consume(BATCH, 0.03)
    if messages:
        begin()
    for message in messages:
        owed += each
        while owed >= 1:
            producer.produce(target, value, message.key())
            owed -= 1
    return len(messages)


def columns(
    consumer: Consumer, intake: Intake, producer: Producer, target: str, value: bytes, owed: float,
    each: float, begin: Callable[[], None],
) -> int:  # fmt: skip
    """Move a batch in columns."""
    taken = intake.take(BATCH, 0.03)
    count = len(taken.offset)
    if count:
        begin()
    keys = [key for records in by_partition(taken) for key in records.keys]
    ends = np.floor(owed + each * np.arange(count + 1)).astype(int)
    wanted = [key for key, many in zip(keys, np.diff(ends).tolist(), strict=True) for _ in range(many)]
    produce(producer, target, -1, wanted, [value] * len(wanted), None, lambda: None)
    return count


MOVES: dict[str, Move] = {"objects": objects, "columns": columns}


def main(
    way: str, broker: str, raw: str, events: str, partitions: str, size: str, each: str, effect_size: str
) -> None:
    """Both hops side by side; prints wall and CPU seconds of all of it."""
    prepare()
    wall, cpu = time.perf_counter(), time.process_time()
    n, p = int(events), int(partitions)
    move, (first, last) = MOVES[way], (f"{topic}-{way}" for topic in (EVENTS, EFFECTS))
    given = (move, broker, first, last, n, p, int(effect_size), float(each))
    second = threading.Thread(target=hop, args=given)
    second.start()
    hop(move, broker, raw, first, n, p, int(size), 1.0)
    second.join()
    sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
