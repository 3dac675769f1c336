"""The engine against the reference: the same rows, side table, effects and forwards, however a log is cut."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.engine import Engine
from loyalty.log import joined
from loyalty.state import State
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS, at, command, event, marker, tick
from tests.reference.streams import DAY, Log, logs, plain_forwards, realistic, run_log

COUNTED = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation",
    "links_refused",
)  # fmt: skip


def agree(ours: CompiledPartition, effects: list[Any], theirs: ReferenceFold, expected: list[Any]) -> None:
    """Everything that comes out is the same."""
    assert effects == expected
    assert ours.rows == {name: theirs.snapshot(name) for name in theirs.customers}
    assert ours.side == {name: kinds for name, kinds in theirs.side.items() if kinds}
    assert ours.partition_row == theirs.partition_row
    assert ours.plain_forwards == plain_forwards(theirs.forwards)
    assert ours.dead == theirs.dead
    assert all(ours.messages)
    assert [ours.counts[name] for name in COUNTED] == [theirs.counts[name] for name in COUNTED]


def reference(log: Log) -> tuple[ReferenceFold, list[Any]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, log.run(fold)


@settings(max_examples=400, deadline=None)
@given(logs(), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_agrees_with_the_reference_at_any_batch_size(log: Log, sizes: list[int]) -> None:
    ours = CompiledPartition(sizes=sizes)
    agree(ours, log.run(ours), *reference(log))


@settings(max_examples=300, deadline=None)
@given(logs(), st.integers(1, 3), st.lists(st.sampled_from(["", "flush", "crash"]), min_size=1, max_size=7))
def test_neither_crashes_nor_chunks_nor_evicted_rows_change_anything(
    log: Log, chunk: int, ends: list[str]
) -> None:
    ends = ends if set(ends) != {"crash"} else [*ends, ""]
    ours = CompiledPartition(sizes=[7, 1, 30], chunk=chunk, ends=ends, max_rows=3)
    agree(ours, log.run(ours), *reference(log))


@settings(max_examples=50, deadline=None)
@given(logs())
def test_the_same_bytes_whatever_the_batches(log: Log) -> None:
    whole, single = CompiledPartition(sweeps=True), CompiledPartition(sweeps=True, sizes=[1], chunk=1)
    assert log.run(whole) == log.run(single)
    assert whole.forwards == single.forwards
    assert whole.changelog.content == single.changelog.content


def test_agrees_with_the_reference_on_a_year_of_many_customers() -> None:
    log = [realistic(11, customers=150, events=6_000, days=365)]
    fold = ReferenceFold(0, CONTENTS)
    ours = CompiledPartition(sizes=[5_000, 137], chunk=40)
    agree(ours, run_log(ours, log), fold, run_log(fold, log))
    assert ours.counts["late_events"] > 100
    assert ours.counts["refreshes"] > 10_000


def test_a_long_tick_commits_its_own_position_until_its_last_chunk() -> None:
    ours = CompiledPartition(chunk=2)
    run_log(ours, [[event(name, "sms", "2020-01-01") for name in "abcde"]])
    event_f, later = event("f", "sms", "2020-01-01"), tick("2020-01-03")
    seen = []
    for outcome in ours.engine.fold(joined([(5, b"{"), (6, event_f), (7, later), (8, None), (9, later)]), 20):
        dead = [offset for offset, _, _ in outcome.dead]
        seen.append((outcome.position, len(outcome.effects), dead))
        ours.state.committed()
    assert seen == [(7, 3, [5]), (7, 2, []), (7, 2, []), (20, 0, [8])]
    assert ours.state.partition.tick_done


def test_a_segment_command_keeps_its_place() -> None:
    ours = CompiledPartition(chunk=2, ends=["crash"])
    names = ["b", "a", "ключ", "é", "c"]
    effects = run_log(
        ours,
        [[event(name, "sms", "2020-01-01") for name in names], [command("", command_id="x", segment="all")]],
    )
    recalculated = [e["key"] for e in effects if e["value"].get("reason") == "recalculate"]
    assert recalculated == ["a", "b", "c", "é", "ключ"]
    assert [e["value"]["status"] for e in effects if e["topic"] == "command-results"] == ["done"]
    assert ours.transactions == 4
    assert ours.partition_row["command"] == ""


def test_old_side_entries_are_swept_in_time_and_no_others() -> None:
    ours, start = CompiledPartition(sweeps=True), at("2020-01-01")
    oldest = 0
    for n in range(200):
        day = start + n * DAY
        run_log(ours, [[event("a", "recharge", day, 5), tick(day + DAY - 1)]])
        times = sorted(ours.side["a"]["e"].values())
        young = [start + k * DAY for k in range(n + 1) if k > n - 90]
        assert times[-len(young) :] == young
        oldest = max(oldest, n - (times[0] - start) // DAY)
    assert 110 < oldest <= 121


def test_agrees_with_the_reference_at_the_edges_of_rings_and_weeks() -> None:
    kinds = (
        "voice_call",
        "data_session",
        "sms",
        "app_login",
        "web_login",
        "qoe_degradation",
        "recharge",
        "refund",
    )
    late = [n * DAY for n in (0, 1, 28, 29, 30, 31, 58, 59, 60, 61, 88, 89, 90, 91)]
    weeks = [n * 7 * DAY + hours for n in (11, 12, 30, 31, 32, 33) for hours in (-DAY // 2, 0, DAY // 2)]
    now = at("2021-03-03T12:00")
    for zone in (0, 1, 4, 5):
        log = [marker(zone)] if zone else []
        log += [event(kind, kind, now) for kind in kinds]
        log += [event(kind, kind, now - ago, 3, f"{kind}{ago}") for kind in kinds for ago in late]
        log += [event(f"w{ago}", "activation", now, 1, f"w{ago}") for ago in weeks]
        log += [event(f"w{ago}", "referral", now - ago, 1, f"r{ago}") for ago in weeks]
        ticks = [tick(now + n * DAY // 2, everyone=True) for n in (1, 2, 13, 14, 59, 60, 61, 300, 450)]
        for count in (0, 3, len(ticks)):
            fold, ours = ReferenceFold(0, CONTENTS), CompiledPartition(sizes=[9])
            records = log + ticks[:count]
            agree(ours, run_log(ours, [records]), fold, run_log(fold, [records]))


@settings(max_examples=150, deadline=None)
@given(logs())
def test_a_sweep_changes_nothing_but_old_entries(log: Log) -> None:
    # But for a customer that begins anew at a time when what was swept was young.
    segments = [[value for value in of if b"customer_ended" not in (value or b"")] for of in log.segments]
    swept, kept = CompiledPartition(sweeps=True), CompiledPartition()
    assert run_log(swept, segments, log.twice) == run_log(kept, segments, log.twice)
    assert swept.rows == kept.rows
    for name, kinds in kept.side.items():
        young = swept.rows[name]["as_of"] - 90 * DAY
        gone = kinds.get("e", {}).items() - swept.side.get(name, {}).get("e", {}).items()
        assert all(time < young for _, time in gone)


def test_a_revision_is_asked_for_when_it_counts_and_once() -> None:
    asked = []

    def contents(revision: int) -> Any:
        asked.append(revision)
        return CONTENTS[revision]

    engine = Engine(0, State(), contents)
    records = [marker(1), marker(3), event("a", "sms", "2020-01-01"), tick("2020-01-05"), marker(2)]
    (outcome,) = engine.fold(joined(list(enumerate([*records, event("a", "sms", "2020-01-06")]))), 6)
    assert asked == [3]
    assert outcome.counts["markers"] == 2


def test_any_type_may_be_revenue_unless_it_was_paid_from_balance() -> None:
    calls = [
        event("a", "voice_call", "2020-01-01", n, paid_from=paid) for n, paid in ((5, "balance"), (7, "card"))
    ]
    log = [[marker(6), *calls, event("a", "refund", "2020-01-01", 1, paid_from="balance")]]
    fold, ours = ReferenceFold(0, CONTENTS), CompiledPartition()
    agree(ours, run_log(ours, log), fold, run_log(fold, log))
    assert ours.rows["a"]["life"]["revenue"] == 7 - 100
