"""Where faults strike: a khaywe of its own with workers, broker and PostgreSQL, and how each fault is made.

A fault is made, lasts, and is undone: when `strike` returns, everything that ought to run does so, or tries.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from config import topics
from streams.batches import Partition
from streams.embedded import kafka, postgres
from streams.names import CUSTOMERS_GROUP, NORMALIZER_GROUP
from tests.chaos.disk import Disk
from tests.chaos.load import TOPIC
from tests.chaos.plan import FIRST, MOST, Fault
from tests.faults.harness import Worker, until
from tests.faults.pipeline import SOURCE
from tests.projection.test_projector import Projected

PARTITIONS = 4
SESSION = 6.0  # seconds, as `Pipeline` has it
#: Seconds until what must happen has happened, on the slowest machine.
PATIENCE = 180.0
STACKS_SECONDS = 5.0
#: Why a worker may end by itself, by its exit code.  It is started again, as whoever runs workers does.
ENDS = {
    1: "its disk was full",
    # A partition without a leader makes it read beside its own memory, up to 2.16 at least.
    -signal.SIGSEGV: "librdkafka crashed (https://github.com/confluentinc/librdkafka/issues/5280)",
}
SHIM = Path(__file__).with_name("clock.c")


class Moved(Exception):
    """A service came back at another port, because somebody took its own: the run says nothing."""


class Field:
    """All of it, under `home`."""

    def __init__(self, home: Path) -> None:
        self.pipeline = Projected(home, PARTITIONS, cache_rows=1_000, poll_records=2_000)
        self.pipeline.add_source(SOURCE)
        self.home = home
        names = [f"w{number}" for number in range(1, MOST + 1)]
        self.disks = {name: Disk(home / "workers" / name) for name in names}
        self.workers = {name: self._worker(name) for name in names}
        self.crew = set(FIRST)
        #: Where in a worker's log its present life begins.
        self._logged: dict[str, int] = {}
        #: Workers that a fault may still end, and with which exit code.
        self.may_end: set[tuple[str, int]] = set()
        self.notes: list[str] = []
        self._clock = self._shim()
        self._address = self.pipeline.settings.services()["kafka"]
        del self.pipeline.producer  # nothing that talks to itself while the broker is away
        found = AdminClient(self.pipeline.settings.kafka_config()).list_topics(TOPIC, timeout=30)
        self._raw = [Partition(TOPIC, number) for number in found.topics[TOPIC].partitions]

    def _worker(self, name: str) -> Worker:
        command = ["-m", "tests.faults.khaywe", "worker", "--agents", "normalizer,customers,projector"]
        environment = {**self.pipeline.environment, "KHAYWE_WORKER": name}
        return Worker(command, environment, self.home / f"{name}.log")

    def _shim(self) -> Path | None:
        """The clock that can be moved; None where there is no C compiler."""
        made = self.home / "clock.so"
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(made), str(SHIM), "-ldl"]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            return None
        return made if done.returncode == 0 else None

    def start(self) -> None:
        """The first workers."""
        for name in sorted(self.crew):
            self._start(name)

    def _start(self, name: str, **more: str) -> Worker:
        worker = self.workers[name]
        self._logged[name] = worker.log.stat().st_size if worker.log.exists() else 0
        return worker.start(**more)

    def close(self) -> None:
        """Everything ends."""
        for worker in self.workers.values():
            if worker.alive:
                worker.kill()
        broker = kafka.find(self.home)
        if broker is not None:
            broker.resume()
        self.pipeline.close()
        for disk in self.disks.values():
            disk.close()

    # -- faults ---------------------------------------------------------------------------------------

    def can(self, fault: Fault) -> bool:
        """Can this machine make it?"""
        return fault.kind != "clock moved" or self._clock is not None

    def strike(self, fault: Fault) -> None:
        """Make it, let it last, undo it.  AssertionError where it did not come about; Moved."""
        made: dict[str, Callable[[Fault], None]] = {
            "worker killed": self._killed,
            "worker killed at a step": self._killed_at,
            "worker paused": self._paused,
            "worker paused at a step": self._paused_at,
            "worker added": self._added,
            "worker removed": self._removed,
            "broker killed": self._broker_killed,
            "broker paused": self._broker_paused,
            "store deleted": self._store_deleted,
            "store truncated": self._store_truncated,
            "postgres stopped": self._postgres_stopped,
            "disk full": self._disk_full,
            "clock moved": self._clock_moved,
        }
        made[fault.kind](fault)

    def _killed(self, fault: Fault) -> None:
        self.workers[fault.worker].kill()
        time.sleep(fault.seconds)
        self._start(fault.worker)

    def _armed(self, fault: Fault, how: str) -> Worker:
        self.workers[fault.worker].kill()
        return self._start(fault.worker, FAULT=f"{fault.detail}:{how}")

    def _killed_at(self, fault: Fault) -> None:
        worker = self._armed(fault, "KILL")
        until(f"{fault}: it has killed itself", lambda: not worker.alive, PATIENCE, worker.log)
        assert worker.process is not None
        assert worker.process.returncode == -signal.SIGKILL, f"{fault}: it ended by itself"
        self._start(fault.worker)

    def _paused(self, fault: Fault) -> None:
        worker = self.workers[fault.worker]
        worker.signal(signal.SIGSTOP)
        time.sleep(SESSION + fault.seconds)
        worker.signal(signal.SIGCONT)

    def _paused_at(self, fault: Fault) -> None:
        worker = self._armed(fault, "STOP")
        until(f"{fault}: it has stopped itself", lambda: worker.stopped, PATIENCE, worker.log)
        time.sleep(SESSION + fault.seconds)
        worker.signal(signal.SIGCONT)

    def _added(self, fault: Fault) -> None:
        self._start(fault.worker)
        self.crew.add(fault.worker)

    def _removed(self, fault: Fault) -> None:
        self.crew.remove(fault.worker)
        code = self.workers[fault.worker].stop()
        # 1: Kafka did not answer meanwhile, and it left.
        assert code in (0, 1), f"{fault}: it ended with {code}"

    def _leaderless(self) -> None:
        self.may_end |= {(name, -signal.SIGSEGV) for name in self.workers}

    def _broker_killed(self, fault: Fault) -> None:
        self._leaderless()
        broker = kafka.find(self.home)
        assert broker is not None, "the broker had ended by itself"
        broker.kill()
        broker.wait(60)
        time.sleep(fault.seconds)
        kafka.start(self.home, lambda what, share: None)
        if self._address != f"127.0.0.1:{kafka.port(self.home)}":
            raise Moved(f"Kafka came back at port {kafka.port(self.home)} instead of {self._address}")

    def _broker_paused(self, fault: Fault) -> None:
        self._leaderless()
        broker = kafka.find(self.home)
        assert broker is not None, "the broker had ended by itself"
        broker.suspend()
        time.sleep(fault.seconds)
        broker.resume()

    def _store(self, fault: Fault) -> Path:
        return self.home / "workers" / fault.worker / "customers"

    def _harmed(self, fault: Fault, harm: Callable[[], None]) -> None:
        """Harm a store under its worker, or while that is down."""
        if fault.detail.startswith("under it"):
            harm()
            return
        self.workers[fault.worker].kill()
        harm()
        self._start(fault.worker)

    def _store_deleted(self, fault: Fault) -> None:
        self._harmed(fault, lambda: shutil.rmtree(self._store(fault), ignore_errors=True))

    def _store_truncated(self, fault: Fault) -> None:
        which, kept = map(float, fault.detail.split()[-2:])

        def cut() -> None:
            files = sorted(path for path in self._store(fault).rglob("*") if path.is_file())
            if files:
                victim = files[int(which * len(files))]
                with victim.open("r+b") as file:
                    file.truncate(int(kept * victim.stat().st_size))
                self.notes.append(f"{fault}: {victim.relative_to(self.home)}")

        self._harmed(fault, cut)

    def _postgres_stopped(self, fault: Fault) -> None:
        server, before = postgres.find(self.home), postgres.port(self.home)
        assert server is not None, "PostgreSQL had ended by itself"
        postgres.stop(server)
        time.sleep(fault.seconds)
        postgres.start(self.home, lambda what, share: None)
        if postgres.port(self.home) != before:
            raise Moved(f"PostgreSQL came back at port {postgres.port(self.home)} instead of {before}")

    def _disk_full(self, fault: Fault) -> None:
        worker, disk = self.workers[fault.worker], self.disks[fault.worker]
        if fault.detail == "at its start":
            worker.kill()
        disk.fill()
        if fault.detail == "at its start":
            self._start(fault.worker)
        assert worker.process is not None
        self.may_end.add((fault.worker, 1))
        if worker.alive:
            disk.limit(worker.process.pid)
        end = time.monotonic() + SESSION + fault.seconds
        while worker.alive and time.monotonic() < end:
            time.sleep(0.1)
        disk.make_room(worker.process.pid if worker.alive else None)

    def _clock_moved(self, fault: Fault) -> None:
        self.workers[fault.worker].kill()
        # Until it is started again for another reason.
        self._start(fault.worker, LD_PRELOAD=str(self._clock), CHAOS_CLOCK=fault.detail)

    # -- how it stands --------------------------------------------------------------------------------

    def caught_up(self, doing: Callable[[str], None]) -> None:
        """Wait until all that is on the raw topic now is normalised, folded and projected."""
        self._wait(NORMALIZER_GROUP, self._raw, doing, "normaliser")
        events = [Partition(topics.CUSTOMER_EVENTS, number) for number in range(PARTITIONS)]
        ends = self._wait(CUSTOMERS_GROUP, events, doing, "customers")
        self._until("projector", ends, self._projected, doing)

    def _wait(
        self, group: str, places: list[Partition], doing: Callable[[str], None], name: str
    ) -> dict[Partition, int]:
        ends: dict[Partition, int] = {}
        # A client for this question alone, which no fault before it has harmed.
        asker = Consumer(self.pipeline.settings.kafka_config(**{"group.id": group, "log_level": 0}))
        asked = [TopicPartition(*place) for place in places]

        def look() -> dict[Partition, int]:
            for place in places:
                if place not in ends:
                    ends[place] = asker.get_watermark_offsets(TopicPartition(*place), timeout=10)[1]
            found = asker.committed(asked, 10)
            return {Partition(each.topic, each.partition): each.offset for each in found}

        try:
            self._until(name, ends, look, doing)
        finally:
            asker.close()
        return ends

    def _until(
        self, name: str, ends: dict[Partition, int], look: Callable[[], dict[Partition, int]],
        doing: Callable[[str], None],
    ) -> None:  # fmt: skip
        def behind() -> int | None:
            try:
                found = look()
            except (KafkaException, psycopg2.Error):
                return None
            return sum(max(0, end - found.get(place, 0)) for place, end in ends.items())

        limit = time.monotonic() + PATIENCE
        while (left := behind()) != 0:
            doing(f"the {name} is {'?' if left is None else left} behind")
            self.everybody_lives()
            assert time.monotonic() < limit, f"the {name} is {left} behind after {PATIENCE:.0f} s"
            time.sleep(0.1)

    def _projected(self) -> dict[Partition, int]:
        rows = self.pipeline.sql(
            f"select partition, position from projection.offsets where topic = '{topics.CUSTOMER_EVENTS}'"
        )
        return {Partition(topics.CUSTOMER_EVENTS, number): position for number, position in rows}

    def everybody_lives(self) -> None:
        """AssertionError where a worker that ought to run has ended."""
        for name in sorted(self.crew):
            worker = self.workers[name]
            if worker.alive:
                continue
            assert worker.process is not None
            code = worker.process.returncode
            assert code is not None
            assert (name, code) in self.may_end, f"{name} ended by itself, with {code}: {worker.log}"
            self.notes.append(f"{name} ended: {ENDS[code]}")
            self._start(name)

    def everybody_works(self, doing: Callable[[str], None]) -> None:
        """Wait until each worker has joined since it was started: the next fault is to strike a member."""
        for name in sorted(self.crew):
            doing(f"{name} joins")

            def joined(name: str = name) -> bool:
                self.everybody_lives()
                with self.workers[name].log.open("rb") as log:
                    log.seek(self._logged[name])
                    return b"khaywe-customers: took over" in log.read()

            until(f"{name} has joined", joined, PATIENCE, self.workers[name].log)

    def tick(self, at: str) -> None:
        """Ask that every customer be brought to a time."""
        from agents.asking import send_command
        from agents.commands import TICK

        send_command(self.pipeline.settings, TICK, at=at)

    def tell_stacks(self) -> None:
        """Have each living worker write what its threads do into its log."""
        for worker in self.workers.values():
            if not worker.alive:
                continue
            before = worker.log.stat().st_size
            worker.signal(signal.SIGUSR1)
            limit = time.monotonic() + STACKS_SECONDS  # one that is stopped, or about to end, writes nothing
            while worker.alive and worker.log.stat().st_size == before and time.monotonic() < limit:
                time.sleep(0.05)

    def logs(self) -> list[Path]:
        """What is worth keeping of a run that failed."""
        return [*self.home.glob("*.log"), *(self.home / "logs").glob("*.log")]


def machine() -> dict[str, Any]:
    """What a reader of figures wants to know."""
    return {"cores": psutil.cpu_count(), "load": round(psutil.getloadavg()[0], 1)}
