"""The compiled game against the reference: the same rows, side entries, effects and forwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Log, plain_forwards, run_log
from tests.reference.streams_game import game_logs, playing

COUNTED = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation",
    "links_refused", "ignored_erased",
)  # fmt: skip


def agree(ours: CompiledPartition, effects: list[Any], theirs: ReferenceFold, expected: list[Any]) -> None:
    """Everything that comes out is the same: effects as texts, as 1 and 1.0 are the same only here."""
    assert [json.dumps(effect) for effect in effects] == [json.dumps(effect) for effect in expected]
    assert ours.rows == {name: theirs.snapshot(name) for name in theirs.customers}
    assert ours.side == {name: kinds for name, kinds in theirs.side.items() if kinds}
    assert ours.erased == theirs.erased
    assert ours.partition_row == theirs.partition_row
    assert ours.plain_forwards == plain_forwards(theirs.forwards)
    assert ours.dead == theirs.dead
    assert [ours.counts[name] for name in COUNTED] == [theirs.counts[name] for name in COUNTED]


def reference(log: Log) -> tuple[ReferenceFold, list[Any]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, run_log(fold, log.segments, log.twice)


@settings(max_examples=400, deadline=None)
@given(game_logs(), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_the_game_agrees_with_the_reference_at_any_batch_size(log: Log, sizes: list[int]) -> None:
    ours = CompiledPartition(sizes=sizes)
    agree(ours, run_log(ours, log.segments, log.twice), *reference(log))


@settings(max_examples=300, deadline=None)
@given(
    game_logs(), st.integers(1, 3), st.lists(st.sampled_from(["", "flush", "crash"]), min_size=1, max_size=7)
)
def test_neither_crashes_nor_chunks_nor_evicted_rows_change_the_game(
    log: Log, chunk: int, ends: list[str]
) -> None:
    ends = ends if set(ends) != {"crash"} else [*ends, ""]
    ours = CompiledPartition(sizes=[7, 1, 30], chunk=chunk, ends=ends, max_rows=3)
    agree(ours, run_log(ours, log.segments, log.twice), *reference(log))


@settings(max_examples=50, deadline=None)
@given(game_logs())
def test_the_game_gives_the_same_bytes_whatever_the_batches(log: Log) -> None:
    whole, single = CompiledPartition(sweeps=True), CompiledPartition(sweeps=True, sizes=[1], chunk=1)
    assert run_log(whole, log.segments, log.twice) == run_log(single, log.segments, log.twice)
    assert whole.forwards == single.forwards
    assert whole.changelog.content == single.changelog.content


@pytest.mark.parametrize("revisions", [(20, 21, 28), (22, 24, 28), (24, 25, 26, 27), (20, 21, 23, 25)])
def test_the_game_agrees_with_the_reference_over_months(revisions: tuple[int, ...]) -> None:
    segments = playing(sum(revisions), customers=40, events=3_000, days=150, revisions=revisions)
    fold = ReferenceFold(0, CONTENTS)
    ours = CompiledPartition(sizes=[5_000, 137, 1], chunk=40, ends=["", "flush", "crash", ""])
    agree(ours, run_log(ours, segments), fold, run_log(fold, segments))
