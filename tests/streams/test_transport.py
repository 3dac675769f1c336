"""Transport and transaction alone: one record out for each record in, whatever happens to the worker."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from config.settings import Settings
from tests.faults.harness import Committed, Worker, until, workers

STEPS = ["begun", "produced", "offsets", "committed"]


class Echo:
    """Two topics, workers that echo one onto the other, and the books of it."""

    def __init__(self, services: Settings, topics: Callable[..., str], directory: Path) -> None:
        self.source, self.out = topics("echo-in", 4), topics("echo-out", 4)
        self.sent: set[bytes] = set()
        self._settings, self._directory = services, directory
        self._producer = Producer(services.producer_config(**{"linger.ms": 5}))
        self.reader = Committed(services, self.out)

    def worker(self, name: str) -> Worker:
        environment = {
            "KHAYWE_HOME": str(self._settings.home),
            "KHAYWE_WORKER": f"{self.source}-{name}",
            "KHAYWE_SESSION_TIMEOUT": "6",
            "KHAYWE_TRANSACTION_TIMEOUT": "6",
            "KHAYWE_POLL_RECORDS": "500",
            "ECHO_APP": self.source,
            "ECHO_SOURCE": self.source,
            "ECHO_OUT": self.out,
        }
        command = ["-m", "tests.faults.echo", "worker", "-l", "info", "--without-web"]
        return Worker(command, environment, self._directory / f"{name}.log")

    def send(self, count: int) -> None:
        def delivered(error: KafkaError | None, message: Message[Any, Any]) -> None:
            assert error is None
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            self.sent.add(b"%d:%d" % (partition, offset))

        for number in range(count):
            self._producer.produce(self.source, b"x", b"%d" % number, on_delivery=delivered)
            self._producer.poll(0)
        self._producer.flush()

    def settled(self, log: Path) -> None:
        """All sent records came out, once each."""
        until("every record is out", lambda: self.reader.keys().keys() >= self.sent, 90, log)
        counts = self.reader.keys()
        assert counts.keys() == self.sent
        assert max(counts.values()) == 1


@pytest.fixture
def echo(services: Settings, topics: Callable[..., str], tmp_path: Path) -> Echo:
    return Echo(services, topics, tmp_path)


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_a_step(echo: Echo, step: str) -> None:
    worker = echo.worker("a")
    echo.send(3_000)
    with workers(worker):
        worker.start(ECHO_KILL=f"{step}:3")
        until(f"the worker has killed itself after {step}", lambda: not worker.alive, 180, worker.log)
        assert worker.process is not None
        assert worker.process.returncode == -signal.SIGKILL
        echo.send(500)
        worker.start()
        echo.settled(worker.log)


@pytest.mark.parametrize("step", ["offsets", "produced"])
def test_a_zombie_commits_nothing(echo: Echo, step: str) -> None:
    """Stopped within a transaction, its partitions taken over, then resumed: each record once."""
    zombie, heir = echo.worker("zombie"), echo.worker("heir")
    echo.send(3_000)
    with workers(zombie, heir):
        zombie.start(ECHO_STOP=f"{step}:2")
        until("the worker has stopped itself", lambda: zombie.stopped, 180, zombie.log)
        heir.start()
        until("its heir has taken over", lambda: echo.reader.keys().keys() >= echo.sent, 180, heir.log)
        zombie.signal(signal.SIGCONT)
        until("the zombie is refused", lambda: "aborted" in zombie.log.read_text(), 180, zombie.log)
        echo.send(2_000)
        echo.settled(zombie.log)


def test_partitions_move_under_load(echo: Echo) -> None:
    """Workers come, go, are killed and paused while records flow (seeded)."""
    dice = random.Random(7)
    crew = [echo.worker("a"), echo.worker("b")]
    with workers(*crew):
        crew[0].start()
        until("the first worker works", lambda: "took over" in crew[0].log.read_text(), 180, crew[0].log)
        paused: Worker | None = None
        for _ in range(8):
            end = time.monotonic() + dice.uniform(1.5, 4.0)
            while time.monotonic() < end:
                echo.send(200)
            if paused is not None:
                paused.signal(signal.SIGCONT)
                paused = None
                continue
            worker = dice.choice(crew)
            if not worker.alive:
                worker.start()
            elif dice.random() < 0.3 and all(w.alive for w in crew):
                worker.signal(signal.SIGSTOP)
                paused = worker
            elif dice.random() < 0.5:
                worker.kill()
            else:
                worker.stop()
        if paused is not None:
            paused.signal(signal.SIGCONT)
        if not crew[0].alive:
            crew[0].start()
        echo.settled(crew[0].log)
