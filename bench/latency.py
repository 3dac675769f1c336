"""How long a record takes from its raw topic to a reward that a consumer of what is committed sees.

At half load: a process of its own sends at an even pace, half of what the engine does at most.  A record's
clock starts when it is handed to librdkafka, and ends when the reward it brought is read: two days of calls
complete missions, but earn no badge, and both go the same way.  Half of the time is for warming.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from bench import pipeline
from bench.comparison import EVENTS, started
from bench.generate import cdr_blocks
from catalog.draft import seed
from config import topics as names
from config.settings import Settings
from streams import topics

SECONDS = 40
TICK = 0.01  # seconds between two handfuls of records
#: Records a customer, as many as in the turns that the rates are of.
PER_CUSTOMER = 150
#: Without a reward after the last record: there are no more; without the first: there is none.
QUIET_SECONDS, FIRST_SECONDS = 5.0, 60.0


def run(rates: dict[str, int], seconds: int = SECONDS) -> dict[str, dict[str, Any]]:
    """{engine: figures} at half of its rate, khaywe's and peers'."""
    found = {}
    with pipeline.prepared(seed(), predict=False) as settings:
        raw = names.raw_topic("cdr")
        with pipeline.working(settings):
            found["khaywe"] = measure(settings, raw, names.REWARD_GRANTS, rates["khaywe"] // 2, seconds)
        for peer in EVENTS:
            raw, prefix = f"raw_{peer}", f"{peer}-"
            topics.ensure_raw_topic(settings, raw)
            with started(peer, settings, raw, prefix):
                rewards = prefix + names.REWARD_GRANTS
                found[peer] = measure(settings, raw, rewards, rates[peer] // 2, seconds)
    for name, figures in found.items():
        pipeline.say(f"{name}: {figures}")
    return found


def measure(settings: Settings, raw: str, rewards: str, rate: int, seconds: int) -> dict[str, Any]:
    """Send `rate` records a second and await the rewards; latencies in ms."""
    consumer = Consumer(
        settings.kafka_config(**{
            "group.id": f"latency-{rewards}", "isolation.level": "read_committed", "fetch.wait.max.ms": 5,
            "enable.auto.commit": False, "auto.offset.reset": "earliest",
        })
    )  # fmt: skip
    consumer.assign([TopicPartition(rewards, at, 0) for at in range(settings.partitions)])
    seen: list[tuple[int, float]] = []
    with TemporaryDirectory() as directory:
        file = Path(directory) / "sent.npy"
        customers = max(1, rate * seconds // PER_CUSTOMER)
        given = [settings.bootstrap_servers(), raw, str(rate), str(seconds), str(customers), str(file)]
        sender = subprocess.Popen([sys.executable, "-m", "bench.latency", *given])
        last = time.monotonic()
        while sender.poll() is None or time.monotonic() - last < (QUIET_SECONDS if seen else FIRST_SECONDS):
            for message in consumer.consume(1_000, 0.05):
                now = time.time()
                if (error := message.error()) is not None:
                    raise RuntimeError(str(error))
                cause = json.loads(message.value() or b"")["cause"]
                if cause["source"] == pipeline.SOURCE["name"]:
                    seen.append((int(cause["event_id"]), now))
                last = time.monotonic()
        consumer.close()
        sent = np.load(file)
    tick = max(1, round(rate * TICK))
    late = [(now - sent[n // tick]) * 1000 for n, now in seen if n // tick >= len(sent) // 2]
    p50, p99 = np.percentile(late, [50, 99])
    return {
        "records_per_second": rate,
        "rewards": len(late),
        "latency_p50_ms": round(float(p50), 1),
        "latency_p99_ms": round(float(p99), 1),
    }


def send(broker: str, raw: str, rate: int, seconds: int, customers: int, file: str) -> None:
    """Send at an even pace; keeps when each handful was sent."""
    producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random", "linger.ms": 1})
    tick, many = max(1, round(rate * TICK)), rate * seconds
    blocks = cdr_blocks(11, customers, many, 2, datetime(2026, 1, 1, tzinfo=UTC))
    pairs = (pair for keys, values in blocks for pair in zip(keys, values, strict=True))
    sent = []
    pause = tick / rate
    due = time.time() + 1
    for n, (key, value) in enumerate(pairs):
        if n % tick == 0:
            while (wait := due - time.time()) > 0:
                producer.poll(min(wait, 0.001))
            sent.append(time.time())
            due += pause
        producer.produce(raw, value, key)
    producer.flush()
    np.save(file, np.array(sent))


if __name__ == "__main__":
    send(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6])
