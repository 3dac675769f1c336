"""A worker far behind, most of it in one partition: memory while it catches up, and what the others wait.

    python -m bench.backlog [--records 10000000] [--customers 50000] [--json]

Its own Kafka, PostgreSQL and one worker with normaliser and customers.  Partition 0 has ten times as many
records as each of the others.  Once those have no backlog, a command and an hour's tick go there, while 0
has one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from agents.asking import send_command, wait_results
from agents.recorded import held
from bench.scaling import DAILY
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP
from streams.partition import partition_of
from streams.positions import GroupPositions
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import KINDS, SOURCE, Pipeline

PARTITIONS = 4
#: Records of partition 0 for each one of another.
BUSIER = 10
#: Records of the busy partition that are folded before memory is looked at for the first time.
WARM = 0.1
START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 4 * 3600.0


@dataclass(slots=True)
class CaughtUp:
    """A run.  Memory is the worker's resident set, in bytes."""

    records: int
    seconds: float  # from the worker's take-over to the end of the backlog
    memory_early: int  # when a tenth was folded
    memory_most: int  # from then on
    busy_left: int  # of partition 0, not folded when the others had caught up
    command_seconds: float  # from its acknowledgement until its result is read
    command_overtook: int  # records of partition 0 folded between the command and its answer
    tick_seconds: float  # from its acknowledgement until it is folded
    still_left: int  # of partition 0, when the tick had passed in the others


class _Look:
    """How far the customers app is, by partition."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asker = GroupPositions(settings, CUSTOMERS_GROUP, stable=False)
        self._places = [Partition(CUSTOMER_EVENTS, n) for n in range(PARTITIONS)]

    def at(self) -> list[int]:
        """Positions."""
        found = self._asker.of(self._places)
        return [found.get(place, 0) for place in self._places]

    def quiet(self) -> bool:
        """Whether nothing is left in all partitions but the first."""
        ends, at = held(self._settings, [CUSTOMER_EVENTS]), self.at()
        return all(ends[place][1] == at[place.partition] for place in self._places[1:])

    def close(self) -> None:
        """Let go."""
        self._asker.close()


def run(home: Path, records: int, customers: int) -> CaughtUp:
    """Fill the raw topic, start a worker, watch it.  Raises AssertionError where records are lost."""
    pipeline = Pipeline(home, partitions=PARTITIONS, session_timeout=10, transaction_timeout=10)
    try:
        pipeline.add_source(SOURCE)
        shares = _fill(pipeline, records, customers)
        worker = pipeline.worker("a")
        look = _Look(pipeline.settings)
        with workers(worker):
            worker.start()
            until(
                "it has taken over", lambda: worker.log.read_text().count("took over") >= 2, 600, worker.log
            )
            found = _watch(pipeline, worker, look, records, customers, shares)
            look.close()
            assert worker.stop() == 0
        log = held(pipeline.settings, [CUSTOMER_EVENTS])
        assert sum(end - begin for begin, end in log.values()) >= records
        return found
    finally:
        pipeline.close()


def _watch(
    pipeline: Pipeline, worker: Worker, look: _Look, records: int, customers: int, shares: list[int]
) -> CaughtUp:
    assert worker.process is not None
    process, begun = psutil.Process(worker.process.pid), time.monotonic()
    early = most = 0

    def folded() -> list[int]:
        nonlocal most
        if early:
            most = max(most, process.memory_info().rss)
        return look.at()

    until("a tenth is folded", lambda: folded()[0] >= WARM * shares[0], SECONDS, worker.log)
    early = most = process.memory_info().rss
    until(
        "the others have no backlog",
        lambda: all(at >= share for at, share in zip(folded()[1:], shares[1:], strict=True)) and look.quiet(),
        SECONDS,
        worker.log,
    )
    busy_left = shares[0] - folded()[0]

    sent = send_command(pipeline.settings, "recalculate", customer_id=_names(customers=1)[1][0])
    asked, before = time.monotonic(), folded()[0]
    results = list(wait_results(pipeline.settings, sent, 120))
    command_seconds, overtook = time.monotonic() - asked, folded()[0] - before
    assert [result.status for result in results] == ["done"], results

    until("the others have no backlog again", look.quiet, SECONDS, worker.log)
    before_tick = folded()
    tick = START + _span(records, customers) + timedelta(hours=1)
    send_command(pipeline.settings, "tick", at=tick.strftime("%Y-%m-%dT%H:%M:%SZ"))
    asked = time.monotonic()
    until(
        "the tick has passed where nothing is behind",
        lambda: all(now > was for now, was in zip(folded()[1:], before_tick[1:], strict=True)),
        SECONDS,
        worker.log,
    )
    tick_seconds, still_left = time.monotonic() - asked, shares[0] - folded()[0]

    until("all is folded", lambda: folded()[0] >= shares[0], SECONDS, worker.log)
    seconds = time.monotonic() - begun
    pipeline.settled(worker.log)
    return CaughtUp(
        records, seconds, early, most, busy_left, command_seconds, overtook, tick_seconds, still_left
    )


def _names(customers: int) -> list[list[str]]:
    """So many customers of each partition."""
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    number = 0
    while min(map(len, found)) < customers:
        name = f"c{number}"
        place = found[partition_of(name.encode(), PARTITIONS)]
        if len(place) < customers:
            place.append(name)
        number += 1
    return found


def _fill(pipeline: Pipeline, records: int, customers: int) -> list[int]:
    """Raw records, acknowledged; how many of each partition."""
    producer, shares = pipeline.producer, [0] * PARTITIONS
    failed: list[Any] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    for partition, who, value in _records(records, customers):
        while True:
            try:
                producer.produce("raw_mixed", value, who, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        shares[partition] += 1
    assert producer.flush(600) == 0
    assert not failed, failed[0]
    return shares


def _span(records: int, customers: int) -> timedelta:
    """What time the records are of: customers of the busy partition have DAILY a day."""
    busy = records * BUSIER / (BUSIER + PARTITIONS - 1)
    return timedelta(days=busy / (customers / PARTITIONS) / DAILY)


def _records(records: int, customers: int) -> Iterator[tuple[int, bytes, bytes]]:
    names = _names(max(1, customers // PARTITIONS))
    pause = _span(records, customers) / records
    turns = [0] * BUSIER + list(range(1, PARTITIONS))
    for number in range(records):
        partition = turns[number % len(turns)]
        who = names[partition][number // len(turns) % len(names[partition])]
        at = (START + number * pause).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield (
            partition,
            who.encode(),
            (
                b'{"id":"b%d","who":"%s","what":"%s","much":%d.5,"at":"%s","more":{"on_time":true}}'
                % (number, who.encode(), KINDS[number % len(KINDS)].encode(), number % 90, at.encode())
            ),
        )


def shown(found: CaughtUp) -> str:
    """For people."""
    mb, busy = 1 << 20, "of the busy one"
    return "\n".join([
        f"{found.records:,} records behind, worked off in {found.seconds:.1f} s, two hops: "
        f"{found.records / found.seconds:,.0f}/s",
        f"memory: {found.memory_early / mb:,.0f} MB with a tenth folded, "
        f"{found.memory_most / mb:,.0f} MB at most after that",
        f"the other partitions had no backlog left when {found.busy_left:,} records {busy} were left",
        f"a command there: answered in {found.command_seconds:.2f} s, "
        f"{found.command_overtook:,} records {busy} meanwhile",
        f"a tick had passed there after {found.tick_seconds:.2f} s; {found.still_left:,} were left then",
    ])  # fmt: skip


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--records", type=int, default=10_000_000)
    asked.add_argument("--customers", type=int, default=50_000)
    asked.add_argument("--json", action="store_true", help="for a program to read")
    given = asked.parse_args()
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    try:
        found = run(home / "home", given.records, given.customers)
        print(json.dumps(asdict(found), indent=2) if given.json else shown(found))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
