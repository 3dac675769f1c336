"""Lives with predictions, compiled and plain: whose asks are answered in the log, and the log told again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from loyalty.asking import DAILY, INLINE, SETS, Ask, prediction_id, prediction_record
from loyalty.effects import Cause
from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition, decode_row
from tests.reference.answers import answers
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Value, run_log
from tests.reference.streams_game import game_log, playing


@pytest.mark.parametrize("revisions", [(29, 20, 29), (29, 21, 22), (25, 26, 30, 31, 36)])
def test_asks_that_are_answered_agree_over_months(revisions: tuple[int, ...]) -> None:
    segments = playing(sum(revisions), customers=25, events=700, days=60, revisions=revisions)
    fold = ReferenceFold(0, CONTENTS)
    expected = run_log(fold, segments, answered=True)
    assert fold.counts["predictions_taken"] > 500
    ours = CompiledPartition(sizes=[300, 1, 57], chunk=40, ends=["", "flush", "crash", ""], max_rows=20)
    agree(ours, run_log(ours, segments, answered=True), fold, expected)


class Recorded(CompiledPartition):
    """A partition that keeps its log."""

    def __init__(self) -> None:
        super().__init__(sweeps=True)
        self.log: list[tuple[int, Value]] = []

    def fold(self, records: Sequence[tuple[int, Value]]) -> list[dict[str, Any]]:
        self.log += records
        return super().fold(records)


def test_a_log_with_answers_gives_the_same_again_whatever_the_batches() -> None:
    """As in a replay: nobody answers, what was answered stands in the log."""
    segments = playing(7, customers=25, events=600, days=40, revisions=(20, 29, 21))
    live = Recorded()
    effects = run_log(live, segments, answered=True)
    assert live.counts["predictions_taken"] > 500
    for sizes, chunk, ends in (
        ([5_000], 5_000, [""]),
        ([1], 1, [""]),
        ([137, 1, 2_000], 64, ["", "flush", "crash"]),
    ):
        again = CompiledPartition(sizes=sizes, chunk=chunk, ends=ends, sweeps=True, max_rows=30)
        assert again.fold(live.log) == effects
        assert again.asks == live.asks
        assert again.forwards == live.forwards
        assert again.changelog.content == live.changelog.content
    kept = CompiledPartition(sizes=[5_000])
    fold = ReferenceFold(0, CONTENTS, decode_row)
    agree(kept, kept.fold(live.log), fold, fold.fold(live.log))


def test_the_product_answers_as_the_page_says() -> None:
    r, compared = Random(3), 0
    for _ in range(12):
        fold = ReferenceFold(0, CONTENTS)
        game_log(r).run(fold)
        for asked in fold.asks:
            ask = Ask(
                asked["customer_id"].encode(), asked["sets"], asked["as_of"], asked["revision"],
                Cause(**asked["cause"]),
            )  # fmt: skip
            for _, value in answers(asked):
                record = json.loads(value)
                said = dict(record["attributes"])
                which = {name: bit for bit, name in SETS.items()}[said.pop("set")]
                assert prediction_id(ask, which) == record["event_id"]
                key, theirs = prediction_record(ask, which, record["event_id"], said)
                assert (key, json.loads(theirs)) == (ask.id, record)
                compared += 1
    assert compared > 100
    assert (SETS[INLINE], SETS[DAILY]) == ("inline", "daily")
