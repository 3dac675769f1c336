"""Ten thousand customers, and a million who are as far in the game: what many rows cost, and nothing else.

`bench.scaling` lets a million customers begin, and most of what it measures is their first missions.  Here
10,000 customers make 150 records each before the clock starts and 120 more while it runs.  Then each of them
is there a hundred times, rows and side entries, written to the changelog; a worker with an empty store takes
that over, and works on as many records as before, at as many a customer and day.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
from confluent_kafka import Producer

from bench import pipeline
from bench.pipeline import START, say
from bench.scaling import DAILY, kept
from catalog.draft import seed
from config import topics as names
from config.settings import Settings
from loyalty.state import PARTITION_KEY, PartitionRow
from streams.partition import partition_of
from tables.restore import topic_id
from tables.store import META_KEY, RocksStore

FEW, TIMES = 10_000, 100
#: Records that make the few what they are, and records that are measured.
BEFORE, EVENTS = 1_500_000, 1_200_000
#: Records that the many begin with, unmeasured: until the rows in memory are those of who does much.
AGAIN = 500_000

Entry = tuple[bytes, bytes | None, int]  # key, value, partition


def run(share: float = 1.0) -> dict[str, Any]:
    """{"10000": figures, "1000000": figures}; `share` of customers and records: to see that it works."""
    few, before, events, again = (int(share * each) for each in (FEW, BEFORE, EVENTS, AGAIN))
    many = few * TIMES
    days = (before + events) / few / DAILY
    with pipeline.prepared(seed(), predict=False) as settings:
        pairs = pipeline.records(before + events, few, days)
        first = pipeline.work(settings, pairs, before + events, before)
        _multiply(settings)
        days_again = (again + events) / many / DAILY
        then = START + timedelta(days=days)
        pairs = pipeline.records(again + events, many, days_again, then, before + events)
        second = pipeline.work(settings, pairs, again + events, again)
    return {str(few): kept(first), str(many): kept(second)}


def _multiply(settings: Settings) -> None:
    """Write everybody TIMES times to the changelog, in place of themselves; the worker's stores go."""
    stored = _stored(settings)
    say(f"{len(stored):,} entries, each {TIMES} times")
    producer = Producer(settings.producer_config(**pipeline.SENDING))
    gone = ((key, None, at) for key, _, at in stored)
    pipeline.put(producer, names.CHANGELOG, gone)
    pipeline.put(producer, names.CHANGELOG, _copies(stored, settings.partitions))
    shutil.rmtree(settings.home_dir / "workers")


def _stored(settings: Settings) -> list[tuple[bytes, bytes, int]]:
    changelog = topic_id(settings.kafka_config(), names.CHANGELOG)
    found = []
    for partition in range(settings.partitions):
        path = settings.home_dir / "workers" / "bench-0" / "customers" / str(partition)
        store = RocksStore(path, changelog)
        found += [(key, value, partition) for key, value in store.scan(b"") if key != META_KEY]
        store.close()
    return found


def _copies(stored: list[tuple[bytes, bytes, int]], partitions: int) -> Iterator[Entry]:
    """Customer N as TIMES * N and those that follow: who does much is among the first, as before."""
    owed: Counter[int] = Counter()
    rows = []
    for key, value, at in stored:
        if key == PARTITION_KEY:
            row = msgspec.json.decode(value, type=PartitionRow)
            owed.update(row.owed)
            rows.append((row, at))
            continue
        id, nul, rest = key[1:].partition(b"\0")
        number = int(id[4:]) * TIMES
        for copy in range(number, number + TIMES):
            other = b"%b%08d" % (id[:4], copy)
            yield key[:1] + other + nul + rest, value, partition_of(other, partitions)
    for row, at in rows:
        # Which partition has which copy is as good as drawn: all owe the same.
        row.owed = {month: points * TIMES // partitions for month, points in sorted(owed.items())}
        yield PARTITION_KEY, msgspec.json.encode(row), at
