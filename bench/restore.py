"""Restoring the customer table: a million rows from a real changelog, into an empty store and a warm one.

The changelog is written before the clock starts.  The restore runs in a process of its own, so that its
memory is that of the table alone; the clock covers everything from the first question to Kafka to the last
partition taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Producer

from bench.pipeline import SENDING, put, say
from config import topics as names
from config.settings import Settings
from loyalty.packing import pack
from loyalty.row import FORMAT, HASHES, OPEN, ROW
from loyalty.state import ROW_KEY
from streams import fetching, topics
from streams.embedded import services as embedded
from tables.customers import CustomerTable

ROWS = 1_000_000
PARTITIONS = 4
BLOCK = 50_000


def run(rows: int = ROWS) -> dict[str, Any]:
    """One run in a home of its own; returns the figures."""
    with TemporaryDirectory(prefix="khaywe-bench-") as home:
        settings = _settings(Path(home))
        try:
            embedded.up(settings, lambda what, share: None)
            topics.create(settings)
            size = _fill(settings, rows)
            cold, warm = (_in_process(settings, rows) for _ in range(2))
        finally:
            embedded.down(settings, lambda what, share: None)
    return {
        "rows": rows,
        "row_bytes": ROW.itemsize,
        "stored_row_bytes": round(size / rows),
        "restore_rows_per_second": round(rows / cold["seconds"]),
        "restore_cpu_seconds": cold["cpu_seconds"],
        "restore_resident_bytes": cold["resident_bytes"],
        "warm_start_rows_per_second": round(rows / warm["seconds"]),
    }


def _settings(home: Path) -> Settings:
    return Settings(_env_file=None, home=home, clock="event", partitions=PARTITIONS)


def _fill(settings: Settings, rows: int) -> int:
    """Rows of customers that do something on about a third of their days."""
    say(f"writing {rows:,} rows to the changelog")
    size = 0
    dice = np.random.default_rng(7)
    now = 1_780_000_000_000
    producer = Producer(settings.producer_config(**SENDING))
    for start in range(0, rows, BLOCK):
        block = np.zeros(min(BLOCK, rows - start), ROW)
        block["format"], block["state"], block["day"] = FORMAT, OPEN, now // 86_400_000
        for name in ("as_of", "first_event", "activation", "last_activity", "last_transaction"):
            block[name] = now - dice.integers(0, 10**9, len(block))
        block["due"] = now + dice.integers(0, 1440, len(block)) * 60_000
        block["hashes"] = dice.integers(1, 2**63, (len(block), HASHES))
        for name, most in (
            ("calls", 20),
            ("seconds", 3_000),
            ("sms", 9),
            ("data_kb", 10**6),
            ("revenue", 5_000),
        ):
            cells = dice.integers(1, most, block[name].shape)
            block[name] = np.where(dice.random(cells.shape) < 1 / 3, cells, 0)
        stored = pack(block, np.arange(len(block)))
        size += sum(map(len, stored))
        # The customers of one partition come in no order, as their events do.
        entries = (
            (b"%b%d" % (ROW_KEY, 447_000_000_000 + number * 7_919 % 1_000_003), row, number % PARTITIONS)
            for number, row in enumerate(stored, start)
        )
        put(producer, names.CHANGELOG, entries)
    return size


def _in_process(settings: Settings, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.restore", "--in", str(settings.home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["rows"] != rows:
        raise RuntimeError(f"{found['rows']} rows restored of {rows}")
    return found


def _restore(settings: Settings) -> dict[str, Any]:
    fetching.prepare()  # as a worker does before it takes partitions
    process = psutil.Process()
    before, started = process.cpu_times(), time.perf_counter()
    table = CustomerTable(settings, "bench")
    rows = sum(len(table.take(partition)) for partition in range(PARTITIONS))
    seconds, after = time.perf_counter() - started, process.cpu_times()
    resident = process.memory_info().rss
    for partition in table.partitions:
        table.release(partition)
    return {
        "rows": rows,
        "seconds": seconds,
        "cpu_seconds": round(after.user + after.system - before.user - before.system, 2),
        "resident_bytes": resident,
    }


if __name__ == "__main__":
    if "--in" in sys.argv:
        print(json.dumps(_restore(_settings(Path(sys.argv[-1])))))
    else:
        print(json.dumps(run(int(sys.argv[1]) if sys.argv[1:] else ROWS), indent=2))
