"""Workers as processes, and what came of them: started, killed, stopped, resumed, and read back committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agents.recorded import Reader, held
from config.settings import Settings
from streams.batches import Partition
from tests.faults.forked import ROOT, Forked


def until(what: str, holds: Callable[[], object], seconds: float = 180.0, log: Path | None = None) -> None:
    """Wait until `holds()`; an AssertionError that says what did not happen."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            tail = "\n" + log.read_text()[-4000:] if log is not None and log.exists() else ""
            raise AssertionError(f"not within {seconds:.0f} s: {what}{tail}")
        time.sleep(0.05)


def stand(settings: Settings, group: str, positions: dict[Partition, int]) -> None:
    """Commit a group's positions, though the broker's coordinator may be loading still."""
    member = Consumer(settings.kafka_config(**{"group.id": group, "enable.auto.commit": False}))

    def done() -> bool:
        try:
            member.commit(
                offsets=[TopicPartition(*place, at) for place, at in positions.items()], asynchronous=False
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
                return False
            raise
        return True

    try:
        until("positions are committed", done, 60)
    finally:
        member.close()


class Worker:
    """A worker process with its log; `command` is what follows the interpreter."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._command = command
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.process: Forked | subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> Worker:
        """Start it, with more environment this time."""
        environment = {**self._environment, **more}
        if "LD_PRELOAD" not in environment:
            self.process = Forked(self._command, environment, self.log, self.log)
            return self
        # What is preloaded is so into a new interpreter.
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *self._command], env=environment, cwd=ROOT, stdout=out, stderr=out
            )
        return self

    @property
    def alive(self) -> bool:
        """Is the process there, running or stopped?"""
        return self.process is not None and self.process.poll() is None

    @property
    def stopped(self) -> bool:
        """Did it stop itself (SIGSTOP)?"""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def kill(self) -> None:
        """kill -9, and gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(180)


@contextmanager
def workers(*all_of_them: Worker) -> Iterator[None]:
    """None of them outlives the test."""
    try:
        yield
    finally:
        for worker in all_of_them:
            if worker.alive:
                worker.kill()


class Committed:
    """A reader of what is committed on a topic, from its beginning."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._ends: dict[Partition, int] = {}
        self.messages: list[Message] = []

    def read(self) -> list[Message]:
        """Everything that is committed by now."""
        now = held(self._settings, [self._topic])
        wanted = {place: (self._ends.get(place, begin), end) for place, (begin, end) in now.items()}
        reader = Reader(self._settings, wanted)
        try:
            while not reader.done:
                self.messages += reader.read()
        finally:
            reader.close()
        self._ends = {place: end for place, (_, end) in wanted.items()}
        return self.messages

    def keys(self) -> Counter[bytes]:
        """How often each key stands there."""
        return Counter(message.key() or b"" for message in self.read())
