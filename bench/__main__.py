"""`make bench`: every figure of docs/performance.md, on a machine that does nothing else.

`python -m bench peers` measures a part of it; bench/results.json keeps the others as they were.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench import (
    api,
    comparison,
    console,
    latency,
    pipeline,
    plot,
    predictions,
    projection,
    restore,
    scaling,
    settled,
    soak,
    ticks,
)

RESULTS = Path(__file__).with_name("results.json")

Results = dict[str, Any]


def peers() -> Results:
    """Rates by turns, then latencies at half of each one's rate."""
    found = comparison.run()
    engines = {"khaywe": found["khaywe"], **found["peers"]}
    rates = {name: each["events_per_second"] for name, each in engines.items()}
    for name, figures in latency.run(rates).items():
        engines[name]["latency"] = figures
    return {
        "comparison": {name: figures for name, figures in found.items() if name != "peers"},
        "peers": found["peers"],
    }


PARTS: dict[str, Callable[[], Results]] = {
    "peers": peers,
    "latency": lambda: {"latency": {"loads": latency.alone()}},
    "pipeline": lambda: {"khaywe": pipeline.run()},
    "restore": lambda: {"khaywe": restore.run()},
    "scaling": lambda: {"scaling": scaling.run()},
    "settled": lambda: {"settled": settled.run()},
    "soak": lambda: {"soak": soak.run()},
    "ticks": lambda: {"khaywe": ticks.run()},
    "predictions": lambda: {"predictions": predictions.measure()},
    "projection": lambda: {"projection": projection.measure()},
    "api": lambda: {"api": api.run()},
    "console": lambda: {"console": console.measure()},
}


def main() -> None:
    """Measure the parts that are named, or all; print, plot, and keep in bench/results.json."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := set(asked) - PARTS.keys():
        sys.exit(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results: Results = json.loads(RESULTS.read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    results["machine"] = {
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }
    for name in asked:
        pipeline.say(f"[bold]{name}[/bold]")
        for where, figures in PARTS[name]().items():
            kept = results.get(where, {}) if where == "khaywe" else {}
            results[where] = {**kept, **figures}
        results.setdefault("commits", {})[name] = commit.strip()
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    plot.draw(results)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
