"""Compiled and reference fold held against each other, and said where they part."""

from __future__ import annotations

import json
from typing import Any

from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.fold import ReferenceFold
from tests.reference.streams import plain_forwards

COUNTED = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation",
    "links_refused", "ignored_erased", "predictions_taken", "predictions_ignored",
    "campaigns_triggered", "campaigns_converted",
)  # fmt: skip


def agree(ours: CompiledPartition, effects: list[Any], theirs: ReferenceFold, expected: list[Any]) -> None:
    """Everything that comes out is the same: effects as texts, as 1 and 1.0 are the same only here."""
    assert [json.dumps(effect) for effect in effects] == [json.dumps(effect) for effect in expected]
    assert ours.asks == theirs.asks
    assert ours.rows == {name: theirs.snapshot(name) for name in theirs.customers}
    assert ours.side == {name: kinds for name, kinds in theirs.side.items() if kinds}
    assert ours.erased == theirs.erased
    assert ours.partition_row == theirs.partition_row
    assert ours.owed == theirs.owed
    assert ours.plain_forwards == plain_forwards(theirs.forwards)
    assert ours.dead == theirs.dead
    assert [ours.counts[name] for name in COUNTED] == [theirs.counts[name] for name in COUNTED]
