"""Nothing lost, nothing doubled, every row and effect as the reference says, whatever happens."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import topics
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, mixed


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    # Not tmp_path: PostgreSQL, which does not run as root, must be able to pass through.
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    made = Pipeline(home, poll_records=2_000)
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()
        shutil.rmtree(home)


def took_over(worker: Worker, times: int, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until the worker's apps have taken partitions over so many times since its log began."""

    def has() -> bool:
        meanwhile()
        return worker.log.read_text().count("took over") >= times

    until(f"{times} take-overs", has, 180, worker.log)


def test_a_batch_of_records_becomes_what_the_reference_says(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    pipeline.send(mixed(1, 300, 8_000))
    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-20T00:00:00Z")
        pipeline.settled(worker.log)
        assert worker.stop() == 0
    pipeline.check()
    pipeline.check_reference()


@pytest.mark.parametrize("app", ["khaywe-customers", "khaywe-normalizer"])
def test_killed_at_each_step(pipeline: Pipeline, app: str) -> None:
    worker = pipeline.worker("a")
    pipeline.send(mixed(2, 200, 6_000))
    with workers(worker):
        for step in ("begun", "produced", "offsets", "committed"):
            worker.start(FAULT=f"{app}:{step}:2:KILL")
            until(f"the worker has killed itself after {step}", lambda: not worker.alive, 180, worker.log)
            assert worker.process is not None
            assert worker.process.returncode == -signal.SIGKILL
            pipeline.send(mixed(3, 200, 3_000, f"after-{step}-"))
        worker.start()
        pipeline.settled(worker.log)
    pipeline.check()


def test_killed_ten_times_under_load_with_two_workers(pipeline: Pipeline) -> None:
    dice = random.Random(11)
    crew = [pipeline.worker("a"), pipeline.worker("b")]
    with workers(*crew):
        for worker in crew:
            worker.start()
        for kill in range(10):
            end = time.monotonic() + dice.uniform(1.0, 3.5)
            number = 0
            while time.monotonic() < end:
                pipeline.send(mixed(100 * kill + number, 300, 300, f"k{kill}-{number}-"))
                number += 1
            victim = dice.choice(crew)
            victim.kill()
            victim.start()
        pipeline.settled(crew[0].log)
    pipeline.check()


@pytest.mark.parametrize("app", ["khaywe-customers", "khaywe-normalizer"])
def test_a_zombie_between_offsets_and_commit(pipeline: Pipeline, app: str) -> None:
    zombie, heir = pipeline.worker("zombie"), pipeline.worker("heir")
    pipeline.send(mixed(4, 200, 6_000))
    with workers(zombie, heir):
        zombie.start(FAULT=f"{app}:offsets:3:STOP")
        until("the worker has stopped itself", lambda: zombie.alive and zombie.stopped, 180, zombie.log)
        heir.start()
        pipeline.settled(heir.log)
        zombie.signal(signal.SIGCONT)
        until("the zombie is refused", lambda: "aborted" in zombie.log.read_text(), 180, zombie.log)
        pipeline.send(mixed(5, 200, 2_000, "later"))
        pipeline.settled(zombie.log)
    pipeline.check()


def test_partitions_handed_over_under_load(pipeline: Pipeline) -> None:
    first, second = pipeline.worker("first"), pipeline.worker("second")
    with workers(first, second):
        first.start()
        took_over(first, 2)
        number = iter(range(1_000))

        def load() -> None:
            pipeline.send(mixed(7, 300, 300, f"h{next(number)}-"))

        load()
        second.start()
        took_over(second, 2, load)
        assert first.stop() == 0
        took_over(second, 4, load)
        pipeline.settled(second.log)
    pipeline.check()


def test_the_broker_killed_and_back_under_load(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        took_over(worker, 2)
        for number in range(6):
            pipeline.send(mixed(number, 200, 1_000, f"b{number}-"))
            if number in (2, 4):
                os.kill(pipeline.settings.services()["pids"]["kafka"], signal.SIGKILL)
                pipeline.up()
        pipeline.settled(worker.log)
        assert worker.alive
    pipeline.check()


def test_a_worker_stops_while_kafka_is_away(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        took_over(worker, 2)
        os.kill(pipeline.settings.services()["pids"]["kafka"], signal.SIGKILL)
        assert worker.stop() in (0, 1)


def test_rocksdb_deleted_gives_the_same_rows(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    pipeline.send(mixed(6, 300, 5_000))
    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        worker.kill()
        shutil.rmtree(pipeline.home / "workers" / "a" / "customers")
        before = {m.key(): m.value() for m in pipeline.committed(topics.CHANGELOG)}
        pipeline.send(mixed(7, 10, 50, "few"))
        worker.start()
        pipeline.settled(worker.log)
    pipeline.check()
    after = {m.key(): m.value() for m in pipeline.committed(topics.CHANGELOG)}
    assert before.keys() <= after.keys()


def test_fifty_starts_with_a_changelog_to_recover_lose_nothing(pipeline: Pipeline) -> None:
    """Each start finds rows to restore and records waiting, and ends as soon as it has taken over."""
    worker = pipeline.worker("a", KHAYWE_SESSION_TIMEOUT="3")
    with workers(worker):
        for start in range(50):
            pipeline.send(mixed(start, 100, 200, f"s{start}-"))
            worker.start()
            took_over(worker, 2 * start + 2)
            # A killed member is missed only after its session; one that leaves lets the next start be quick.
            if start % 5 == 4:
                worker.kill()
            else:
                assert worker.stop() == 0
        worker.start()
        pipeline.settled(worker.log)
    pipeline.check()
