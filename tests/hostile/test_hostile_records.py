"""Hostile records: some 20,000 of the seeded ones, and whatever hypothesis makes of any JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import commands
from catalog.times import LONGEST, parser
from loyalty.decode import decode
from loyalty.log import joined
from loyalty.nesting import MOST_NESTED
from tests.agents.records import kafka_record
from tests.hostile.hostile import ANY_REVISION, ROUND, Judge, Wild
from tests.hostile.mutation import HUGE, HUGE_FOR_ALL, NASTY, Mutator
from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition, decode_row
from tests.reference.records import event
from tests.reference.streams import run_log


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_both_folds_agree() -> None:
    wild, went = Wild(20, huge_every=200), 0

    def done(records: int) -> None:
        nonlocal went
        went += records

    wild.run(4 * ROUND, done)
    books = wild.books.counts
    assert went == 4 * ROUND
    assert books["raw records"] == books["  events"] + books["  dead letters (raw)"]
    commands = books["  forwarded"] + books["  answered at once"] + books["  dead letters (commands)"]
    assert books["commands"] == commands
    assert min(books["  events"], books["  dead letters (raw)"], books["  dead letters (log)"]) > 100
    assert wild.books.reasons.keys() >= {
        "undecodable",
        "oversized",
        "bad_value",
        "bad_timestamp",
        "future_event",
    }


def test_the_same_seed_gives_the_same_records() -> None:
    made = [
        [Mutator(Random(3)).json(event("a", "sms", "2020-01-01"), b'{"b": 2}') for _ in range(9)]
        for _ in "ab"
    ]
    assert made[0] == made[1]


GOOD = event("a", "recharge", "2020-01-01", 5, "x", feature=1)
PLACES = (
    b'"recharge"',
    b'"a"',
    b'"x"',
    b'"test"',
    b": 5,",
    b'"2020-01-01T00:00:00.000Z"',
    b": 1}",
    b"{",
    b'"value"',
)


@pytest.mark.parametrize("place", PLACES)
def test_every_nasty_value_in_every_place(place: bytes) -> None:
    lead, tail = (place[:2], place[-1:]) if place[:1] == b":" else (b"", b"")
    log = [GOOD.replace(place, lead + value + tail, 1) for value in (*NASTY, *HUGE_FOR_ALL)]
    ours, theirs = CompiledPartition(contents=ANY_REVISION), Judge(0, ANY_REVISION, decode_row)
    agree(ours, run_log(ours, [log]), theirs, run_log(theirs, [log]))
    assert sum(theirs.verdicts.values()) == theirs.applied
    assert all(ours.messages)


def test_the_largest_are_read_or_refused() -> None:
    log = [GOOD.replace(b": 1}", b": " + value + b"}") for value in HUGE]
    ours = CompiledPartition(contents=ANY_REVISION)
    run_log(ours, [[*log, event("b", "sms", "2020-01-01")]])
    assert len(ours.dead) + ours.counts["events"] == len(HUGE) + 1
    assert "b" in ours.rows
    assert all(len(message) < 1_000 for message in ours.messages)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(sorted(json.loads(GOOD)))


@settings(max_examples=100, deadline=None, database=None)
@given(changes=st.dictionaries(members | st.text(max_size=8), values, max_size=3), end=st.integers(0, 400))
def test_any_json_in_any_member(changes: dict[str, Any], end: int) -> None:
    whole = json.dumps(json.loads(GOOD) | changes).encode()
    log = [GOOD, whole, whole[:end], whole[end:]]
    ours, theirs = CompiledPartition(contents=ANY_REVISION), Judge(0, ANY_REVISION, decode_row)
    agree(ours, run_log(ours, [log]), theirs, run_log(theirs, [log]))


def deep(levels: int) -> bytes:
    return GOOD.replace(b": 1}", b": " + b"[" * levels + b"]" * levels + b"}")


def called(depth: int, record: bytes) -> int:
    """How many records the fold reads of one, called from that deep."""
    return called(depth - 1, record) if depth else len(decode(joined([(0, record)])))


def test_how_deep_a_record_may_be_does_not_depend_on_who_calls() -> None:
    for levels in (MOST_NESTED - 2, MOST_NESTED - 1, MOST_NESTED, 500, 900, 990, 5_000):
        found = {called(depth, deep(levels)) for depth in (0, 100, 400)}
        assert found == {levels <= MOST_NESTED - 2}
    # Brackets in words are none.
    assert len(decode(joined([(0, GOOD.replace(b": 1}", b': "' + b'[{\\"' * 500 + b'"}'))]))) == 1


def test_what_a_parser_of_times_remembers_is_short() -> None:
    """A pattern's space stands for any number of them, so a record could be remembered by the megabyte."""
    parse = parser("%d/%m/%Y %H:%M:%S", "UTC")
    minutes = next(
        cell.cell_contents for cell in parse.__closure__ or () if isinstance(cell.cell_contents, dict)
    )
    for n in range(40):
        assert (
            parse("01/01/2020" + " " * 1_000 * (n + 1) + f"00:{n:02d}:00") == 1_577_836_800_000 + 60_000 * n
        )
    assert parse("01/01/2020 00:00:07") == 1_577_836_807_000
    assert list(minutes) == ["01/01/2020 00:00:"]
    assert all(len(key) <= LONGEST for key in minutes)


@pytest.mark.parametrize("name", [{"a": 1}, ["erase"], {}, [], 5, None, True, "dance"])
def test_a_command_of_any_type_is_refused_in_the_log(name: Any) -> None:
    said = {"command_id": "c", "command": name, "arguments": {}}
    log = [GOOD, event("a", "_command", "2020-01-02", **said), event("a", "sms", "2020-01-03")]
    ours, theirs = CompiledPartition(contents=ANY_REVISION), Judge(0, ANY_REVISION, decode_row)
    agree(ours, run_log(ours, [log]), theirs, run_log(theirs, [log]))
    assert not ours.dead


def test_a_command_that_is_accepted_is_no_dead_letter_of_the_fold() -> None:
    for levels in range(55, 70):
        said = b'{"command_id":"c","command":"erase","customer_id":"a","arguments":{"x":'
        value = said + b"[" * levels + b"]" * levels + b"}}"
        try:
            command = commands.parse(value)
        except commands.Unreadable:
            assert levels + 2 > MOST_NESTED - 1
            continue
        record = kafka_record(b"", timestamp=1_577_836_800_000)
        assert len(decode(joined([(0, commands.forwarded(command, record))]))) == 1
