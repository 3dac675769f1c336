"""khaywe and its peers by turns on one broker: the same game, each peer exact before it is timed.

A round is a turn of each; the figures are medians over the rounds.  A fifth of the records is worked off
first, the others become visible all at once, and then the clock starts, as in `bench.pipeline`.  A slow peer
gets fewer records of fewer customers, as many a customer, so that its turn takes as long: a smaller state is
in its favour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench import limit, pipeline
from bench.peers import check, start
from bench.pipeline import WARM, hidden, records, say, send
from catalog.draft import seed
from config import topics as names
from config.errors import KhayweError
from config.settings import Settings
from streams import topics

ROUNDS = 3
PER_CUSTOMER = 150
#: Records of a turn; those of khaywe are `pipeline.EVENTS`.
EVENTS = {"kafka_streams": 1_500_000, "quix_streams": 300_000, "faust_tutorial": 30_000}
GOALS = {"kafka_streams": 3, "quix_streams": 6, "faust_tutorial": 50}
LOOK_SECONDS = 0.25
STUCK_SECONDS = 120.0

Figures = dict[str, Any]


def run(rounds: int = ROUNDS, share: float = 1.0) -> Figures:
    """All turns; {"khaywe": ..., "librdkafka": ..., "peers": {...}}, with khaywe's multiples of each peer.

    `share` of the records: less than all of them shows that it works, and nothing else.
    """
    found: dict[str, list[Figures]] = {}
    for number in range(rounds):
        with pipeline.prepared(seed(), predict=False) as settings:
            if number == 0:
                for peer in EVENTS:
                    check.verify(peer, settings)
                    say(f"{peer}: right")
            for name, figures in _round(settings, share):
                say(f"{name}: {figures['events_per_second']:,} a second, "
                    f"{figures['events_per_cpu_second']:,} a second of CPU")  # fmt: skip
                found.setdefault(name, []).append(figures)
    middle = {name: _medians(turns) for name, turns in found.items()}
    khaywe, bare = middle.pop("khaywe"), middle.pop("librdkafka")
    for name, its in middle.items():
        its["khaywe_times_cpu"] = round(khaywe["events_per_cpu_second"] / its["events_per_cpu_second"], 2)
        its["khaywe_times"] = round(khaywe["events_per_second"] / its["events_per_second"], 2)
        its["goal_times_cpu"] = GOALS[name]
    khaywe["share_of_librdkafka"] = round(khaywe["events_per_second"] / bare["events_per_second"], 3)
    return {"khaywe": khaywe, "librdkafka": bare, "peers": middle}


def _medians(turns: list[Figures]) -> Figures:
    """Of each figure, and the rates of all turns."""
    middle: Figures = {name: round(median(turn[name] for turn in turns), 2) for name in turns[0]}
    for name in ("events_per_second", "events_per_cpu_second", "resident_bytes"):
        middle[name] = round(middle[name])
    return middle | {"turns": [turn["events_per_cpu_second"] for turn in turns]}


def _round(settings: Settings, share: float) -> Iterator[tuple[str, Figures]]:
    events = int(pipeline.EVENTS * share)
    customers = events // PER_CUSTOMER
    done = pipeline.work(settings, records(events, customers), events, int(WARM * events))
    yield "khaywe", {"customers": customers, **{name: done[name] for name in _KEPT}}
    yield "librdkafka", limit.measure(settings, names.raw_topic("cdr"), events)
    for peer, many in EVENTS.items():
        yield peer, turn(peer, settings, int(many * share))


_KEPT = ("events", "events_per_second", "events_per_cpu_second", "seconds", "cpu_seconds",
         "resident_bytes")  # fmt: skip


@contextmanager
def started(peer: str, settings: Settings, raw: str, prefix: str) -> Iterator[psutil.Process]:
    """A peer that has its partitions, with a state of its own."""
    with (
        TemporaryDirectory(prefix=f"khaywe-{peer}-") as home,
        start.running(peer, settings, raw, prefix, Path(home)) as process,
    ):
        start.await_assignment(peer, settings, prefix, process)
        yield psutil.Process(process.pid)


def turn(peer: str, settings: Settings, events: int) -> Figures:
    """A peer's turn on `events` records.  Raises KhayweError where it stops or loses some."""
    raw, prefix = f"raw_{peer}", f"{peer}-"
    topics.ensure_raw_topic(settings, raw)
    customers, known = events // PER_CUSTOMER, int(WARM * events)
    pairs = records(events, customers)
    with started(peer, settings, raw, prefix) as process:

        def await_folded(least: int) -> None:
            moved, before = time.monotonic(), 0
            while (now := start.folded(peer, settings, prefix)) < least:
                if now > before:
                    moved, before = time.monotonic(), now
                if not process.is_running() or time.monotonic() - moved > STUCK_SECONDS:
                    raise KhayweError(f"{peer} stopped after {now:,} of {events:,} records")
                time.sleep(LOOK_SECONDS)

        send(settings, raw, islice(pairs, known))
        await_folded(known)
        with hidden(settings, raw, pairs):
            first = time.perf_counter(), _cpu(process)
        await_folded(events)
        last = time.perf_counter(), _cpu(process)
        resident = process.memory_info().rss
    done, wall, cpu = events - known, last[0] - first[0], last[1] - first[1]
    return {
        "events": events,
        "customers": customers,
        "events_per_second": round(done / wall),
        "events_per_cpu_second": round(done / cpu),
        "seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "resident_bytes": resident,
    }


def _cpu(process: psutil.Process) -> float:
    """Seconds of CPU of a process and those it started."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)
