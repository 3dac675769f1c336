"""An hour at half load: whether memory, open files, stores and the time of a transaction stay as they are.

A process of its own sends at an even pace; every ten seconds the worker is looked at.  The figures compare
the second quarter of the time with the last: what still grows then, grows for ever.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench import pipeline
from catalog.draft import seed
from config import topics as names

SECONDS = 3_600
LOOK_SECONDS = 10.0
RATE = 35_000  # records a second: half of what a worker did on the machine of the figures
CUSTOMERS = 100_000
_TAKEN = "khaywe_transaction_seconds"

Sample = dict[str, float]


def run(seconds: int = SECONDS, rate: int = RATE) -> dict[str, Any]:
    """Figures and samples; `samples` has a column for each quantity."""
    with pipeline.prepared(seed(), predict=False) as settings, TemporaryDirectory() as directory:
        raw = names.raw_topic("cdr")
        with pipeline.working(settings) as (worker,):
            process = psutil.Process(worker.pid)
            given = [settings.bootstrap_servers(), raw, str(rate), str(seconds), str(CUSTOMERS)]
            given += [f"{directory}/sent.npy"]
            sender = subprocess.Popen([sys.executable, "-m", "bench.latency", *given])
            samples: list[Sample] = []
            begun = time.monotonic()
            before = pipeline.metrics()
            while sender.poll() is None:
                time.sleep(LOOK_SECONDS)
                if worker.poll() is not None:
                    raise RuntimeError("the worker stopped")
                now = pipeline.metrics()
                samples.append(_look(process, settings.home_dir / "workers", before, now, begun))
                before = now
                pipeline.say(", ".join(f"{name} {value:,.1f}" for name, value in samples[-1].items()))
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        "seconds": seconds,
        "records_per_second": rate,
        "early": {name: round(mean(each[name] for each in early), 2) for name in samples[0]},
        "late": {name: round(mean(each[name] for each in late), 2) for name in samples[0]},
        "samples": {name: [round(each[name], 2) for each in samples] for name in samples[0]},
    }


def _look(
    process: psutil.Process, stores: Path, before: pipeline.Metrics, now: pipeline.Metrics, begun: float
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
        "stores_mb": sum(file.stat().st_size for file in stores.rglob("*") if file.is_file()) / 1e6,
        "events_per_second": grown("khaywe_events_total", "events") / LOOK_SECONDS,
        "transaction_ms": taken / count * 1000 if count else 0.0,
        "lag_records": lag,
    }
