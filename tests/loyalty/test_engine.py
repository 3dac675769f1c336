"""The engine against the reference fold: the same rows, side table, effects and forwards, however it is cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, cycle, repeat
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.loyalty.compiled_partition import CompiledPartition, decode_row, without_expired
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Log, logs, plain_forwards, run_log

COUNTED = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation", "links_refused",
)  # fmt: skip


def agree(ours: CompiledPartition, effects: list[Any], theirs: ReferenceFold, expected: list[Any]) -> None:
    """Everything that comes out is the same; but the engine may have swept side entries that expired."""
    assert effects == expected
    assert ours.rows == {name: theirs.snapshot(name) for name in theirs.customers}
    assert _kept(ours.side, ours.rows) == _kept(theirs.side, ours.rows)
    assert ours.partition_row == theirs.partition_row
    assert _forwards(ours.plain_forwards) == _forwards(plain_forwards(theirs.forwards))
    assert ours.dead == theirs.dead
    assert all(ours.messages)
    assert [ours.counts[name] for name in COUNTED] == [theirs.counts[name] for name in COUNTED]


def _kept(side: dict[str, dict[str, Any]], rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    kept = {}
    for name, kinds in side.items():
        entries = without_expired(kinds.get("e", {}), rows[name]["as_of"])
        kept[name] = kinds | {"e": entries}
    return {name: kinds for name, kinds in kept.items() if any(kinds.values())}


def _forwards(forwards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for forward in forwards:
        attributes = forward["value"]["attributes"]
        if forward["value"]["event_type"] == "_merge":
            attributes["ids"] = without_expired(attributes["ids"], attributes["row"]["as_of"])
    return forwards


def reference(log: Log) -> tuple[ReferenceFold, list[Any]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, run_log(fold, log.segments, log.twice)


@settings(max_examples=400, deadline=None)
@given(logs(), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_agrees_with_the_reference_at_any_batch_size(log: Log, sizes: list[int]) -> None:
    ours = CompiledPartition(sizes=cycle(sizes))
    agree(ours, run_log(ours, log.segments, log.twice), *reference(log))


@settings(max_examples=300, deadline=None)
@given(logs(), st.integers(1, 3), st.lists(st.sampled_from(["", "flush", "crash"]), min_size=1, max_size=7))
def test_neither_crashes_nor_chunks_nor_evicted_rows_change_anything(
    log: Log, chunk: int, ends: list[str]
) -> None:
    ends = ends if set(ends) != {"crash"} else [*ends, ""]
    ours = CompiledPartition(sizes=cycle([7, 1, 30]), chunk=chunk, ends=cycle(ends), max_rows=3)
    agree(ours, run_log(ours, log.segments, log.twice), *reference(log))


@settings(max_examples=50, deadline=None)
@given(logs())
def test_the_same_bytes_whatever_the_batches(log: Log) -> None:
    whole, single = CompiledPartition(), CompiledPartition(sizes=repeat(1), chunk=1)
    assert run_log(whole, log.segments, log.twice) == run_log(single, log.segments, log.twice)
    assert whole.forwards == single.forwards
    assert whole.changelog.content == single.changelog.content
