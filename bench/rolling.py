"""A rolling restart of two workers under load: how long partitions stand still, and that nothing is lost.

    python -m bench.rolling [--rate 500] [--customers 2000] [--partitions 4] [--json]

Its own Kafka, PostgreSQL and two workers.  How far a partition got, and when, is read from the topics: the
broker's times of the records that were committed on customer-events (normaliser) and changelog (customers).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from config import topics
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, mixed

#: Seconds of load before the first restart, between two, and after the last.
CALM = 6.0
#: Seconds between two sends.
EVERY = 0.1
_RESTORED = re.compile(r"customers/(\d+): .* the changelog read from (\d+) to (\d+)")


@dataclass(slots=True)
class Restarted:
    """One worker's restart, in seconds since SIGTERM."""

    worker: str
    gone: float  # the process has ended
    back: float  # the new one has joined and taken partitions over
    stalls: dict[str, float] = field(default_factory=dict)  # longest standstill of a partition, by topic


@dataclass(slots=True)
class Rolled:
    """A run.  `full`: hand-overs that read a partition's whole changelog, `tails`: those that did not."""

    records: int
    restarts: list[Restarted]
    calm: dict[str, float]  # longest standstill while nothing was restarted
    full: int
    tails: int

    @property
    def stall(self) -> float:
        """The longest standstill of all, seconds."""
        return max(seconds for each in self.restarts for seconds in each.stalls.values())


class _Load(threading.Thread):
    """Sends records at a steady rate until it is told to stop."""

    def __init__(self, pipeline: Pipeline, rate: int, customers: int) -> None:
        super().__init__(name="load", daemon=True)
        self._pipeline, self._rate, self._customers = pipeline, rate, customers
        self._end = threading.Event()
        self.failed: BaseException | None = None

    def run(self) -> None:
        """Send."""
        number, due = 0, time.monotonic()
        try:
            while not self._end.is_set():
                count = max(1, round(self._rate * EVERY))
                self._pipeline.send(mixed(number, self._customers, count, f"r{number}-"))
                number += 1
                due = max(due + EVERY, time.monotonic() - 1.0)
                self._end.wait(max(0.0, due - time.monotonic()))
        except BaseException as error:
            self.failed = error

    def stop(self) -> None:
        """Send no more."""
        self._end.set()
        self.join()
        if self.failed is not None:
            raise self.failed


def run(home: Path, rate: int = 500, customers: int = 2_000, partitions: int = 4) -> Rolled:
    """Restart one worker, then the other.  Raises AssertionError where a record is lost or doubled."""
    pipeline = Pipeline(home, partitions=partitions, session_timeout=10, transaction_timeout=10)
    try:
        pipeline.add_source(SOURCE)
        crew = [pipeline.worker("a"), pipeline.worker("b")]
        with workers(*crew):
            for worker in crew:
                worker.start()
                until("it has taken over", lambda: _taken(worker) >= 2, 300, worker.log)  # noqa: B023
            pipeline.send(mixed(1, customers, 2 * customers, "first-"))
            pipeline.settled(crew[0].log)
            load = _Load(pipeline, rate, customers)
            load.start()
            time.sleep(CALM)
            spans, restarts = [(time.time() - CALM + 1, time.time())], []
            for worker in crew:
                restarts.append(_restart(worker))
                spans.append((restarts[-1][1], time.time() + CALM - 1))
                time.sleep(CALM)
            load.stop()
            pipeline.settled(crew[0].log)
        pipeline.check()
        times = {topic: _times(pipeline, topic) for topic in (topics.CUSTOMER_EVENTS, topics.CHANGELOG)}
        for (begin, end), (restarted, _) in zip(spans[1:], restarts, strict=True):
            restarted.stalls = {topic: _longest(found, begin, end) for topic, found in times.items()}
        calm = {topic: _longest(found, *spans[0]) for topic, found in times.items()}
        begun = restarts[0][1]
        full, tails = _restores(crew, begun)
        return Rolled(len(pipeline.sent), [each for each, _ in restarts], calm, full, tails)
    finally:
        pipeline.close()


def _taken(worker: Worker) -> int:
    return worker.log.read_text().count("took over") if worker.log.exists() else 0


def _restart(worker: Worker) -> tuple[Restarted, float]:
    """Stop it, start it, await it.  With the time (Unix) of its SIGTERM."""
    begun, had = time.time(), _taken(worker)
    code = worker.stop()
    assert code == 0, f"{worker.log}: ended with {code}"
    gone = time.time()
    worker.start()
    until("it has taken over again", lambda: _taken(worker) >= had + 2, 300, worker.log)
    return Restarted(worker.log.stem, gone - begun, time.time() - begun), begun


def _times(pipeline: Pipeline, topic: str) -> dict[int, list[float]]:
    """When the broker took what is committed, by partition; Unix seconds."""
    found = defaultdict(list)
    for message in pipeline.committed(topic):
        found[message.partition()].append(message.timestamp()[1] / 1000)
    return found


def _longest(times: dict[int, list[float]], begin: float, end: float) -> float:
    """Longest time between two records of a partition, in a span."""
    longest = 0.0
    for found in times.values():
        within = [begin, *(at for at in found if begin < at < end), end]
        longest = max(longest, max(later - earlier for earlier, later in pairwise(within)))
    return longest


def _restores(crew: list[Worker], since: float) -> tuple[int, int]:
    """Partitions restored from the log's start, and from where a store was, as the logs tell since then."""
    full = tails = 0
    for worker in crew:
        for line in worker.log.read_text().splitlines():
            found = _RESTORED.search(line)
            if found is None or datetime.fromisoformat(line.split()[0]).astimezone(UTC).timestamp() < since:
                continue
            if found[2] == "0":
                full += 1
            else:
                tails += 1
    return full, tails


def shown(rolled: Rolled) -> str:
    """For people."""
    lines = [f"{rolled.records:,} records, none lost, none doubled"]
    for each in rolled.restarts:
        stalls = ", ".join(f"{topic} {seconds:.2f} s" for topic, seconds in each.stalls.items())
        lines.append(
            f"worker {each.worker}: gone after {each.gone:.1f} s, back after {each.back:.1f} s; "
            f"longest standstill of a partition: {stalls}"
        )
    calm = ", ".join(f"{topic} {seconds:.2f} s" for topic, seconds in rolled.calm.items())
    lines.append(f"without a restart: {calm}")
    lines.append(f"restores: {rolled.tails} of a store and the changelog's rest, {rolled.full} from nothing")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--rate", type=int, default=500, help="raw records a second")
    asked.add_argument("--customers", type=int, default=2_000)
    asked.add_argument("--partitions", type=int, default=4)
    asked.add_argument("--json", action="store_true", help="for a program to read")
    given = asked.parse_args()
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    try:
        rolled = run(home / "home", given.rate, given.customers, given.partitions)
        plain: dict[str, Any] = asdict(rolled) | {"stall": rolled.stall}
        print(json.dumps(plain, indent=2) if given.json else shown(rolled))
        for name in "ab":
            shutil.copy(home / "home" / f"{name}.log", Path(tempfile.gettempdir()) / f"rolling-{name}.log")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
