"""How long a record takes from its raw topic to an effect that a consumer of what is committed sees.

A process of its own sends at an even pace, a quarter of what the engine does at most and then half of it,
once the engine has answered to its first records.  A record's clock starts when it is handed to librdkafka,
and ends when the scores that it changed are read.  Badges and rewards are written in the same transaction as
scores, which go on changing when the first days' missions are completed.  Half of the time at each pace is
for warming, and for what waited meanwhile to be worked off.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
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

#: Shares of an engine's own rate, one after the other.
LOADS = (0.25, 0.5)
SECONDS = 50  # of each
#: Records a second of khaywe alone; 50,000 are half of what it is to do at least.
PACES = (10_000, 25_000, 50_000)
TICK = 0.01  # seconds between two handfuls of records
#: Records a customer, as many as in the turns that the rates are of.
PER_CUSTOMER = 150
FIRST = 2_000  # records that show whether the engine is awake
#: Without an effect after the last record: there are no more; without the first: there is none.
QUIET_SECONDS, FIRST_SECONDS = 5.0, 180.0

Figures = dict[str, Any]


def run(rates: dict[str, int], seconds: int = SECONDS) -> dict[str, list[Figures]]:
    """{engine: figures at each of LOADS of its rate}, khaywe's and peers'."""
    found = {}
    with pipeline.prepared(seed(), predict=False) as settings:
        raw = names.raw_topic("cdr")
        with pipeline.working(settings):
            found["khaywe"] = measure(settings, raw, names.BEHAVIOR_SCORES, _paces(rates["khaywe"]), seconds)
        for peer in EVENTS:
            raw, prefix = f"raw_{peer}", f"{peer}-"
            topics.ensure_raw_topic(settings, raw)
            with started(peer, settings, raw, prefix):
                scores = prefix + names.BEHAVIOR_SCORES
                found[peer] = measure(settings, raw, scores, _paces(rates[peer]), seconds)
    for name, figures in found.items():
        pipeline.say(f"{name}: {figures}")
    return found


def alone(paces: Sequence[int] = PACES, seconds: int = SECONDS) -> list[Figures]:
    """khaywe's at these paces."""
    with pipeline.prepared(seed(), predict=False) as settings, pipeline.working(settings):
        return measure(settings, names.raw_topic("cdr"), names.BEHAVIOR_SCORES, list(paces), seconds)


def _paces(rate: int) -> list[int]:
    return [max(1, int(rate * load)) for load in LOADS]


def measure(settings: Settings, raw: str, scores: str, paces: list[int], seconds: int) -> list[Figures]:
    """Send at each pace (records a second) for so long and await what changes; latencies in ms.

    Raises RuntimeError where nothing comes.
    """
    consumer = Consumer(
        settings.kafka_config(**{
            "group.id": f"latency-{scores}", "isolation.level": "read_committed", "fetch.wait.max.ms": 5,
            "enable.auto.commit": False, "auto.offset.reset": "earliest",
        })
    )  # fmt: skip
    consumer.assign([TopicPartition(scores, at, 0) for at in range(settings.partitions)])
    with TemporaryDirectory() as directory:
        file = Path(directory) / "sent.npy"
        customers = max(1, sum(paces) * seconds // PER_CUSTOMER)
        given = [settings.bootstrap_servers(), raw, str(file), str(customers), str(seconds), *map(str, paces)]
        command = [sys.executable, "-m", "bench.latency", *given]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as sender:
            if not _read(consumer, FIRST_SECONDS):
                sender.kill()
                raise RuntimeError(f"nothing on {scores} within {FIRST_SECONDS:.0f} s")
            assert sender.stdin is not None
            sender.stdin.close()  # it goes on
            seen: list[tuple[int, float]] = []
            while (more := _read(consumer, QUIET_SECONDS)) or sender.poll() is None:
                seen += more
        consumer.close()
        sent = np.load(file)  # the first record of each handful, and when it was sent
    numbers, at = np.array(seen).T
    late = (at - sent[1][np.searchsorted(sent[0], numbers, "right") - 1]) * 1000
    found, begin = [], FIRST
    for pace in paces:
        end = begin + pace * seconds
        p50, p99 = np.percentile(late[((begin + end) // 2 <= numbers) & (numbers < end)], [50, 99])
        found.append({
            "records_per_second": pace,
            "latency_p50_ms": round(float(p50), 1),
            "latency_p99_ms": round(float(p99), 1),
        })  # fmt: skip
        begin = end
    return found


def _read(consumer: Consumer, patience: float) -> list[tuple[int, float]]:
    """Numbers of the records that effects came of, and when they were read; none after so many seconds."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        messages = consumer.consume(1_000, 0.05)
        now, found = time.time(), []
        for message in messages:
            if (error := message.error()) is not None:
                raise RuntimeError(str(error))
            cause = json.loads(message.value() or b"")["cause"]
            if cause["source"] == pipeline.SOURCE["name"]:
                found.append((int(cause["event_id"]), now))
        if found:
            return found
    return []


def send(broker: str, raw: str, file: str, customers: int, seconds: int, paces: list[int]) -> None:
    """Send the first records, wait for the end of the input, send the others at one pace after the other.

    `file` keeps the number of the first of each handful, and when it was sent.
    """
    producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random", "linger.ms": 1})
    many = FIRST + sum(paces) * seconds
    blocks = cdr_blocks(11, customers, many, 2, pipeline.START)
    pairs = (pair for keys, values in blocks for pair in zip(keys, values, strict=True))
    _put(producer, raw, pairs, FIRST)
    producer.flush()
    sys.stdin.read()
    sent = []
    number, due = FIRST, time.time()
    for pace in paces:
        handful = max(1, round(pace * TICK))
        end = number + pace * seconds
        while number < end:
            while (wait := due - time.time()) > 0:
                producer.poll(min(wait, 0.001))
            sent.append((number, time.time()))
            many = min(handful, end - number)
            _put(producer, raw, pairs, many)
            number += many
            due += many / pace
    producer.flush()
    np.save(file, np.array(sent).T)


def _put(producer: Producer, raw: str, pairs: Iterator[tuple[bytes, bytes]], many: int) -> None:
    for key, value in islice(pairs, many):
        producer.produce(raw, value, key)


if __name__ == "__main__":
    broker, raw, file, customers, seconds, *paces = sys.argv[1:]
    send(broker, raw, file, int(customers), int(seconds), [int(pace) for pace in paces])
