"""`make bench`: every figure of docs/performance.md, on a machine that does nothing else."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import psutil

from bench import pipeline, restore, ticks

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Measure, print, and keep in bench/results.json."""
    khaywe = {**pipeline.run(), **restore.run(), **ticks.run()}
    results = {
        "machine": {
            "cores": psutil.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "python": platform.python_version(),
        },
        "khaywe": khaywe,
        "peers": {},
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
