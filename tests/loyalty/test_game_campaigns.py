"""Campaigns on both folds: the same rows, decisions, triggers and accounts, whatever the batches."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.campaigns_seen import EVERYTHING, Watched
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Log, run_log
from tests.reference.streams_game import campaign_log, campaign_logs, playing


def reference(log: Log) -> tuple[ReferenceFold, list[Any]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, log.run(fold)


@pytest.mark.parametrize("seed", range(4))
def test_campaigns_agree_with_the_reference_at_any_batch_size(seed: int) -> None:
    r = Random(seed)
    for _ in range(40):
        log = campaign_log(r)
        ours = CompiledPartition(sizes=[r.choice([1, 2, 7, 30, 5_000]) for _ in range(3)])
        agree(ours, log.run(ours), *reference(log))


@pytest.mark.parametrize("seed", range(100, 103))
def test_neither_crashes_nor_chunks_nor_evicted_rows_change_campaigns(seed: int) -> None:
    r = Random(seed)
    for _ in range(40):
        log = campaign_log(r)
        ends = [*r.choices(["", "flush", "crash"], k=r.randint(1, 7)), ""]
        ours = CompiledPartition(sizes=[7, 1, 30], chunk=r.randint(1, 3), ends=ends, max_rows=3)
        agree(ours, log.run(ours), *reference(log))


@settings(max_examples=60, deadline=None)
@given(campaign_logs(), st.integers(1, 30))
def test_campaigns_agree_with_the_reference_on_what_hypothesis_finds(log: Log, size: int) -> None:
    ours = CompiledPartition(sizes=[size])
    agree(ours, log.run(ours), *reference(log))


@settings(max_examples=30, deadline=None)
@given(campaign_logs())
def test_campaigns_give_the_same_bytes_whatever_the_batches(log: Log) -> None:
    whole, single = CompiledPartition(sweeps=True), CompiledPartition(sweeps=True, sizes=[1], chunk=1)
    assert log.run(whole) == log.run(single)
    assert whole.forwards == single.forwards
    assert whole.changelog.content == single.changelog.content


@pytest.mark.parametrize("revisions", [(100, 101, 103), (102, 115, 121), (100, 102, 126, 131, 140)])
def test_campaigns_agree_with_the_reference_over_months(revisions: tuple[int, ...]) -> None:
    segments = playing(sum(revisions), customers=30, events=1_200, days=90, revisions=revisions)
    fold = ReferenceFold(0, CONTENTS)
    expected = run_log(fold, segments, answered=True)
    assert fold.counts["campaigns_triggered"] > 50
    ours = CompiledPartition(sizes=[5_000, 137, 1], chunk=40, ends=["", "flush", "crash", ""])
    agree(ours, run_log(ours, segments, answered=True), fold, expected)


def test_logs_by_chance_reach_everything_that_campaigns_do() -> None:
    r, found = Random(5), Counter[str]()
    for _ in range(500):
        fold = Watched(0, CONTENTS)
        campaign_log(r).run(fold)
        found += fold.seen
    assert not [each for each in EVERYTHING if not found[each]]
    assert set(found) <= set(EVERYTHING)
