"""The plan is the seed's alone; a short run loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from config import topics
from tests.chaos import verdict
from tests.chaos.load import records
from tests.chaos.plan import FIRST, KINDS, MOST, SERVICES, plan
from tests.chaos.run import run
from tests.chaos.verdict import Verdict
from tests.conftest import HOMES
from tests.faults.pipeline import Folded

#: As many as take about two minutes with what is before and after them.
CYCLES, SEED = 2, 3


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


class Message(NamedTuple):
    """A record, as far as the verdict looks."""

    body: dict[str, Any]

    def value(self) -> bytes:
        return json.dumps(self.body).encode()


class Committed:
    """What stands on topics."""

    def __init__(self, **found: list[dict[str, Any]]) -> None:
        self._found = {name.replace("_", "-"): bodies for name, bodies in found.items()}
        self._found["raw_mixed"] = self._found.pop("raw", [])

    def committed(self, topic: str) -> list[Message]:
        return [Message(body) for body in self._found.get(topic, [])]

    def folded(self, log: Any) -> Folded:
        due: Counter[tuple[str, bytes, bytes | None]] = Counter(
            (topics.DECISIONS, b"c", json.dumps({"effect_id": id}).encode()) for id in "xyz"
        )
        return Folded({(0, b"Rc"): b""}, due)


def test_the_verdict_counts_what_is_lost_and_what_is_doubled() -> None:
    raw = [{"id": id} for id in "abcd"]
    events = [{"event_id": id, "source": "mixed"} for id in "abbb"]
    told = [{"effect_id": id} for id in "xyy"]
    pipeline: Any = Committed(raw=raw, customer_events=events, decisions=told, dead_letters=[{}])
    found = Verdict()
    verdict._records(pipeline, set("abcd"), found)
    verdict._effects(pipeline, found)
    assert (found.records, found.lost, found.doubled) == (4, 2, 2)
    assert (found.effects, found.effects_lost, found.effects_doubled) == (3, 1, 1)
    dead, row = found.wrong
    assert dead == "1 dead letters of records that are good"
    assert row == "changelog (0, b'Rc'): None instead of b''"


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
