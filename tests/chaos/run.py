"""One run: a load, cycles of faults, and at the end the verdict."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos import verdict
from tests.chaos.field import PATIENCE, Field, Moved, machine
from tests.chaos.load import BATCH, Load, when
from tests.chaos.plan import KINDS, Cycle, Fault, plan
from tests.faults.harness import until

#: Records that must come after the last fault of a cycle, so that each partition shows that it is read.
MORE = 4 * BATCH
#: Cycles between two ticks that bring every customer to the load's time.
TICK_EVERY = 10

Say = Callable[[str], None]


@dataclass(slots=True)
class Lived:
    """A cycle as it went: seconds under faults, and from their end until all that had come was worked off."""

    cycle: int
    faults: list[str]
    struck: float
    recovered: float
    records: int


@dataclass(slots=True)
class Report:
    """A run."""

    seed: int
    cycles: int
    lived: list[Lived] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    not_here: Counter[str] = field(default_factory=Counter)
    disk: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    verdict: verdict.Verdict | None = None
    failed: str = ""
    logs: str = ""

    @property
    def good(self) -> bool:
        """Was nothing wrong?"""
        return not self.failed and self.verdict is not None and not self.verdict.wrong

    @property
    def command(self) -> str:
        """What has the same faults again."""
        return f"make chaos SEED={self.seed} CYCLES={self.cycles}"

    def plain(self) -> dict[str, Any]:
        """For a program."""
        kinds = {kind: self.faults.get(kind, 0) for kind in KINDS}
        return asdict(self) | {
            "faults": kinds,
            "not_here": dict(self.not_here),
            "good": self.good,
            "command": self.command,
            "machine": machine(),
        }


def run(seed: int, cycles: int, home: Path, lived: Callable[[Lived], None], doing: Say) -> Report:
    """Live through the plan of a seed.  `lived` gets each cycle, `doing` what happens now.

    Never raises for what goes wrong with khaywe: the report says it, and where its logs are.
    """
    report = Report(seed, cycles)
    began = time.monotonic()
    doing("starting Kafka, PostgreSQL and workers")
    field = Field(home)
    report.disk = next(iter(field.disks.values())).how
    try:
        load = Load(field.pipeline.settings, seed)
        field.start()
        load.start()
        field.everybody_works(doing)
        field.caught_up(doing)
        for cycle in plan(seed, cycles):
            one = _live(field, load, cycle, report, doing)
            report.lived.append(one)
            lived(one)
        doing("the load ends")
        load.stop()
        field.tick(_time(load, later=timedelta(days=1)))
        # The last one works off what the others' leaving makes: markers are written anew with each take-over.
        *others, last = sorted(field.crew)
        for name in others:
            _stopped(field, name, doing)
        field.pipeline.settled(field.workers[last].log, 300)
        field.pipeline.caught_up(field.workers[last].log, 300)
        _stopped(field, last, doing)
        doing("reading everything back")
        report.verdict = verdict.look(field.pipeline, load.sent)
    except (AssertionError, Moved) as error:
        report.failed = str(error)
    finally:
        report.notes = field.notes
        report.seconds = round(time.monotonic() - began, 1)
        if not report.good:
            field.tell_stacks()
            report.logs = _kept(field, seed)
        field.close()
    return report


def _stopped(field: Field, name: str, doing: Say) -> None:
    doing(f"{name} stops")
    field.everybody_lives()
    field.crew.remove(name)
    code = field.workers[name].stop()
    assert code == 0, f"{name} ended with {code} when it was told to stop"


def _live(field: Field, load: Load, cycle: Cycle, report: Report, doing: Say) -> Lived:
    if cycle.number % TICK_EVERY == 0:
        field.tick(_time(load))
    assert when(len(load.sent)) < datetime.now(UTC), "the load has come to today: its records are refused"
    began = time.monotonic()
    todo = [fault for fault in cycle.faults if field.can(fault)]
    report.not_here.update(fault.kind for fault in cycle.faults if fault not in todo)

    def one(fault: Fault) -> None:
        time.sleep(max(0.0, began + fault.after - time.monotonic()))
        field.strike(fault)

    doing(f"cycle {cycle.number}: " + ", ".join(map(str, todo)))
    with ThreadPoolExecutor(len(cycle.faults)) as pool:
        for done in [pool.submit(one, fault) for fault in todo]:
            done.result()
    struck = time.monotonic()
    report.faults.update(fault.kind for fault in todo)
    enough = load.acknowledged + MORE
    until("the load goes on", lambda: load.acknowledged >= enough, PATIENCE)
    field.caught_up(lambda what: doing(f"cycle {cycle.number}: {what}"))
    recovered = time.monotonic()
    field.everybody_works(lambda what: doing(f"cycle {cycle.number}: {what}"))
    field.may_end.clear()
    assert field.crew == set(cycle.crew), (field.crew, cycle.crew)
    return Lived(
        cycle.number,
        list(map(str, todo)),
        round(struck - began, 1),
        round(recovered - struck, 1),
        len(load.sent),
    )


def _time(load: Load, later: timedelta = timedelta()) -> str:
    """The time that the load's events have come to."""
    return (when(len(load.sent)) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _kept(field: Field, seed: int) -> str:
    """Logs of a run that failed, in a directory that stays."""
    directory = Path(tempfile.mkdtemp(prefix=f"khaywe-chaos-{seed}-"))
    for log in field.logs():
        with suppress(OSError):
            shutil.copy(log, directory)
    return str(directory)
