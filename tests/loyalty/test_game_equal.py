"""The compiled game against the reference: the same rows, side entries, effects and forwards."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Log, run_log
from tests.reference.streams_game import game_log, game_logs, playing


def reference(log: Log) -> tuple[ReferenceFold, list[Any]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, log.run(fold)


@pytest.mark.parametrize("seed", range(6))
def test_the_game_agrees_with_the_reference_at_any_batch_size(seed: int) -> None:
    r = Random(seed)
    for _ in range(40):
        log = game_log(r)
        ours = CompiledPartition(sizes=[r.choice([1, 2, 7, 30, 5_000]) for _ in range(3)])
        agree(ours, log.run(ours), *reference(log))


@pytest.mark.parametrize("seed", range(100, 104))
def test_neither_crashes_nor_chunks_nor_evicted_rows_change_the_game(seed: int) -> None:
    r = Random(seed)
    for _ in range(40):
        log = game_log(r)
        ends = [*r.choices(["", "flush", "crash"], k=r.randint(1, 7)), ""]
        ours = CompiledPartition(sizes=[7, 1, 30], chunk=r.randint(1, 3), ends=ends, max_rows=3)
        agree(ours, log.run(ours), *reference(log))


@settings(max_examples=100, deadline=None)
@given(game_logs(), st.integers(1, 30))
def test_the_game_agrees_with_the_reference_on_what_hypothesis_finds(log: Log, size: int) -> None:
    ours = CompiledPartition(sizes=[size])
    agree(ours, log.run(ours), *reference(log))


@settings(max_examples=50, deadline=None)
@given(game_logs())
def test_the_game_gives_the_same_bytes_whatever_the_batches(log: Log) -> None:
    whole, single = CompiledPartition(sweeps=True), CompiledPartition(sweeps=True, sizes=[1], chunk=1)
    assert log.run(whole) == log.run(single)
    assert whole.forwards == single.forwards
    assert whole.changelog.content == single.changelog.content


@pytest.mark.parametrize("revisions", [(20, 21, 28), (22, 24, 28), (24, 25, 26, 27), (20, 21, 23, 25)])
def test_the_game_agrees_with_the_reference_over_months(revisions: tuple[int, ...]) -> None:
    segments = playing(sum(revisions), customers=40, events=2_000, days=120, revisions=revisions)
    fold = ReferenceFold(0, CONTENTS)
    ours = CompiledPartition(sizes=[5_000, 137, 1], chunk=40, ends=["", "flush", "crash", ""])
    agree(ours, run_log(ours, segments), fold, run_log(fold, segments))
