"""The plan is the seed's alone; a short run loses nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.load import records
from tests.chaos.plan import FIRST, KINDS, MOST, SERVICES, plan
from tests.chaos.run import run
from tests.conftest import HOMES

#: As many as take about two minutes with what is before and after them.
CYCLES, SEED = 6, 2


def test_the_plan_is_a_function_of_the_seed() -> None:
    assert plan(7, 200) == plan(7, 200)
    assert plan(7, 20) == plan(7, 200)[:20]
    assert plan(7, 20) != plan(8, 20)
    assert list(islice(records(7), 500)) == list(islice(records(7), 500))
    assert next(records(7)) != next(records(8))


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_has_every_kind_and_strikes_only_who_is_there(seed: int) -> None:
    cycles = plan(seed, 3 * len(KINDS))
    first = Counter(cycle.faults[0].kind for cycle in cycles)
    assert set(first) == set(KINDS)
    crew = set(FIRST)
    for cycle in cycles:
        hit = [fault.worker for fault in cycle.faults if fault.kind not in SERVICES]
        assert len(hit) == len(set(hit))
        after = set(cycle.crew)
        for fault in cycle.faults:
            assert (fault.worker == "") == (fault.kind in SERVICES)
            if fault.worker:
                assert fault.worker in (after - crew if fault.kind == "worker added" else crew)
        assert 1 <= len(after) <= MOST
        crew = after


def test_a_short_run_loses_nothing() -> None:
    # Not tmp_path: PostgreSQL, which does not run as root, must be able to pass through.
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    try:
        report = run(SEED, CYCLES, home, lambda lived: None, lambda what: None)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert report.good, (report.failed, report.verdict, report.notes, report.command, report.logs)
    assert report.verdict is not None
    assert report.verdict.records > 1_000
    assert sum(report.faults.values()) >= CYCLES - sum(report.not_here.values())
