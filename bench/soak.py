"""An hour at half load: whether memory, open files, stores and the time of a transaction stay as they are.

A process of its own sends at an even pace; every ten seconds the worker is looked at.  The figures compare
the second quarter of the time with the last: what still grows then, grows for ever.  Kafka keeps the newest
records only, so that the disk is as large after a day as after an hour.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench import pipeline
from catalog.draft import seed
from config import topics as names
from config.settings import Settings

SECONDS = 3_600
LOOK_SECONDS = 10.0
#: Records a second: half of what a worker kept up with on the machine of the figures, its sender beside it.
RATE = 25_000
CUSTOMERS = 100_000
#: What a partition of the raw topic and of customer-events keeps, and in segments of which size: it holds one
#: more of them, as only whole ones are removed, and what comes until Kafka looks again (five minutes).  Four
#: partitions of 9,000 raw records a second, 240 bytes each as they lie there, keep a quarter of an hour, and
#: customer-events, compressed, more; a worker at half load is seconds behind at most.
KEPT_BYTES, SEGMENT_BYTES = 2 << 30, 256 << 20
#: Nothing unread is removed below that many records behind, were all of them in one partition.
MOST_BEHIND = KEPT_BYTES // 300
#: So long Kafka has removed nothing yet, at RATE.
WHOLE_SECONDS = 600.0
_TAKEN = "khaywe_transaction_seconds"

Sample = dict[str, float]


def run(seconds: int = SECONDS, rate: int = RATE) -> dict[str, Any]:
    """Figures and samples; `samples` has a column for each quantity."""
    with pipeline.prepared(seed(), predict=False) as settings, TemporaryDirectory() as directory:
        raw = names.raw_topic("cdr")
        _keep_the_newest(settings, raw, names.CUSTOMER_EVENTS)
        with pipeline.working(settings) as (worker,):
            process = psutil.Process(worker.pid)
            given = [settings.bootstrap_servers(), raw, f"{directory}/sent.npy", str(CUSTOMERS), str(seconds)]
            command = [sys.executable, "-m", "bench.latency", *given, str(rate)]
            sender = subprocess.Popen(command, stdin=subprocess.DEVNULL)
            samples: list[Sample] = []
            volume: dict[str, dict[str, float]] = {}
            begun = time.monotonic()
            before = pipeline.metrics()
            while sender.poll() is None:
                time.sleep(LOOK_SECONDS)
                if worker.poll() is not None:
                    raise RuntimeError("the worker stopped")
                now = pipeline.metrics()
                samples.append(_look(process, settings.home_dir, before, now, begun))
                before = now
                pipeline.say(", ".join(f"{name} {value:,.1f}" for name, value in samples[-1].items()))
                if samples[-1]["seconds"] < WHOLE_SECONDS and now.get(("khaywe_records_in_total", raw)):
                    volume = _volume(settings.home_dir / "kafka", now, raw)
                if samples[-1]["lag_records"] > MOST_BEHIND:
                    raise RuntimeError("the worker is too far behind: Kafka may remove what it has not read")
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        "seconds": seconds,
        "records_per_second": rate,
        **volume,
        "early": {name: round(mean(each[name] for each in early), 2) for name in samples[0]},
        "late": {name: round(mean(each[name] for each in late), 2) for name in samples[0]},
        "samples": {name: [round(each[name], 2) for each in samples] for name in samples[0]},
    }


def _keep_the_newest(settings: Settings, *topics: str) -> None:
    config = {"retention.bytes": str(KEPT_BYTES), "segment.bytes": str(SEGMENT_BYTES)}
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    changes = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name in topics]
    admin = AdminClient(settings.kafka_config())  # has to live until all have answered
    for answer in admin.incremental_alter_configs(changes).values():
        answer.result()


def _sizes(directory: Path, pattern: str) -> dict[str, int]:
    """Bytes of files by the directory they are in, as far as they are still there when looked at."""
    sizes: Counter[str] = Counter()
    for file in directory.rglob(pattern):
        with suppress(FileNotFoundError):
            sizes[file.parent.name] += file.stat().st_size if file.is_file() else 0
    return sizes


def _volume(kafka: Path, now: pipeline.Metrics, raw: str) -> dict[str, dict[str, float]]:
    """What a raw record brings, by topic: bytes in a log that nothing was removed from, and records."""
    records = now["khaywe_records_in_total", raw]
    bytes_of: Counter[str] = Counter()
    for partition, size in _sizes(kafka, "*.log").items():
        bytes_of[partition.rpartition("-")[0]] += size
    written = {name[1]: value for name, value in now.items() if name[0] == "khaywe_records_out_total"}
    return {
        "bytes_a_record": {
            topic: round(size / records, 2)
            for topic, size in sorted(bytes_of.items())
            if size and not topic.startswith("__")
        },
        "records_a_record": {topic: round(value / records, 4) for topic, value in sorted(written.items())},
    }


def _look(
    process: psutil.Process, home: Path, before: pipeline.Metrics, now: pipeline.Metrics, begun: float
) -> Sample:
    def grown(*name: str) -> float:
        return now.get(name, 0.0) - before.get(name, 0.0)

    count = grown(f"{_TAKEN}_count", "khaywe-customers")
    taken = grown(f"{_TAKEN}_sum", "khaywe-customers")
    lag = sum(value for name, value in now.items() if name[0] == "khaywe_lag_records")
    return {
        "seconds": time.monotonic() - begun,
        "resident_mb": process.memory_info().rss / 1e6,
        "open_files": process.num_fds(),
        "threads": process.num_threads(),
        "stores_mb": sum(_sizes(home / "workers", "*").values()) / 1e6,
        "kafka_mb": sum(_sizes(home / "kafka", "*.log").values()) / 1e6,
        "events_per_second": grown("khaywe_events_total", "events") / LOOK_SECONDS,
        "transaction_ms": taken / count * 1000 if count else 0.0,
        "lag_records": lag,
    }
