"""librdkafka's own limit: the records of both hops moved as khaywe moves them, and nothing done with them.

The first hop writes a record of customer-events for each raw record, the second as many effects an event as
khaywe wrote, all of khaywe's mean size, each hop with its own consumer and a transaction for each batch.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from agents.recorded import Reader, held
from config import topics as names
from config.settings import Settings
from streams.topics import ensure_raw_topic

EVENTS, EFFECTS = "limit-events", "limit-effects"
EFFECT_TOPICS = (
    names.BEHAVIOR_SCORES, names.MISSION_PROGRESS, names.BADGE_AWARDS, names.REWARD_GRANTS, names.DECISIONS,
    names.CHANGELOG,
)  # fmt: skip
SAMPLE = 20_000
BATCH = int(Settings.model_fields["poll_records"].default)


def measure(settings: Settings, raw: str, events: int) -> dict[str, Any]:
    """Move `events` records of a raw topic over both hops, after khaywe has; the figures of a turn."""
    count, size = _sizes(settings, (names.CUSTOMER_EVENTS,))
    effects, effect_size = _sizes(settings, EFFECT_TOPICS)
    for topic in (EVENTS, EFFECTS):
        ensure_raw_topic(settings, topic)
    given = [
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


def hop(broker: str, source: str, target: str, events: int, partitions: int, size: int, each: float) -> None:
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
    while done < events:
        messages = consumer.consume(BATCH, 0.03)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            owed += each
            while owed >= 1:
                producer.produce(target, value, message.key())
                owed -= 1
        metadata = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction(consumer.position(consumer.assignment()), metadata)
        producer.commit_transaction()
        done += len(messages)
    consumer.close()


def main(broker: str, raw: str, events: str, partitions: str, size: str, each: str, effect_size: str) -> None:
    """Both hops side by side; prints wall and CPU seconds of all of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    n, p = int(events), int(partitions)
    second = threading.Thread(target=hop, args=(broker, EVENTS, EFFECTS, n, p, int(effect_size), float(each)))
    second.start()
    hop(broker, raw, EVENTS, n, p, int(size), 1.0)
    second.join()
    sys.stdout.write(f"{time.perf_counter() - wall} {time.process_time() - cpu}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
