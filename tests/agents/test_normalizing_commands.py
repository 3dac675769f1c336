"""What may stand on `customer-commands`, and what khaywe itself writes to the log."""

from __future__ import annotations

import json
from hashlib import blake2b

import pytest

from agents import commands
from agents.clock import Clock, marker, tick
from agents.commands import Refused, Unreadable, parse
from loyalty.decode import OPS
from tests.agents.records import kafka_record

GOOD = {"command_id": "a", "command": "recalculate", "customer_id": "c"}


def parsed(**members: object) -> commands.Command:
    return parse(json.dumps(GOOD | members).encode())


def test_a_command_is_read() -> None:
    command = parsed(arguments={"x": 1})
    assert (command.command_id, command.customer_id, command.arguments) == ("a", "c", {"x": 1})


@pytest.mark.parametrize(
    ("value", "words", "command_id"),
    [
        (None, "null record", None),
        (b"recalculate", "no JSON object", None),
        (b"[]", "no JSON object", None),
        (b"\xff", "no JSON object", None),
        (b'{"a":' * 20_000, "no JSON object", None),
        (b"{}", "`command_id`", None),
        (b'{"command_id": 7, "command": "recalculate"}', r"\$.command_id", None),
        (b'{"command_id": "", "command": "recalculate"}', r"\$.command_id", None),
        (b'{"command_id": "a"}', "`command`", "a"),
        (b'{"command_id": "a", "command": "recalculate"}', "`customer_id` or `segment`", "a"),
    ],
)
def test_what_is_no_command_says_why(value: bytes | None, words: str, command_id: str | None) -> None:
    with pytest.raises(Unreadable, match=words) as caught:
        parse(value)
    assert caught.value.command_id == command_id


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"segment": "all"}, "either"),
        ({"customer_id": "a\0b"}, "character 0"),
        ({"customer_id": ""}, "customer_id"),
        ({"arguments": []}, "arguments"),
        ({"command": None}, "command"),
    ],
)
def test_a_broken_command_keeps_its_id(members: dict[str, object], words: str) -> None:
    with pytest.raises(Unreadable, match=words) as caught:
        parsed(**members)
    assert caught.value.command_id == "a"


@pytest.mark.parametrize("name", commands.FORWARDED)
def test_every_command_of_the_game_says_whom_it_concerns(name: str) -> None:
    assert parsed(command=name, arguments={"points": "many"}).command == name, "the fold refuses the rest"
    with pytest.raises(Unreadable, match="either"):
        parsed(command=name, segment="all")


def test_the_fold_knows_every_command_that_enters_the_log() -> None:
    assert {*OPS, "predict"} == set(commands.FORWARDED)


def test_unknown_commands_are_left_to_the_one_who_knows_them() -> None:
    assert parse(b'{"command_id": "a", "command": "dance"}').command == "dance"


def test_a_command_becomes_an_event_at_the_time_kafka_had_it() -> None:
    event = json.loads(
        commands.forwarded(parsed(arguments={"n": 1}), kafka_record(b"", timestamp=1_577_836_967_005))
    )
    assert event == {
        "event_id": "a",
        "customer_id": "c",
        "event_type": "_command",
        "source": "khaywe",
        "value": 1,
        "occurred_at": "2020-01-01T00:02:47.005Z",
        "received_at": "2020-01-01T00:02:47.005Z",
        "attributes": {"command_id": "a", "command": "recalculate", "arguments": {"n": 1}},
    }


def test_a_result_has_the_id_that_the_design_gives_it() -> None:
    record = kafka_record(b"", timestamp=1_577_836_967_005)
    result = commands.result("a", "c", record, 3, commands.REFUSED, "unknown_command", "no")
    assert result.effect_id == blake2b(b"c\x1fcommand\x1f3\x1fkhaywe\x1fa\x1f0", digest_size=16).hexdigest()
    shown = json.loads(commands.encode(result))
    assert shown["partition"] is None
    assert shown["cause"] == {"source": "khaywe", "event_id": "a"}
    assert commands.decode_result(commands.encode(result)) == result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-02-01", "2020-02-01T00:00:00.000Z"),
        ("2020-02-01T03:00:00+03:00", "2020-02-01T00:00:00.000Z"),
        ("2020-02-01T00:00:00.250999Z", "2020-02-01T00:00:00.250Z"),
    ],
)
def test_the_time_of_a_tick_is_utc_where_nothing_else_is_said(text: str, expected: str) -> None:
    assert commands.instant(text) == expected


@pytest.mark.parametrize("text", [None, "", "soon", "1970-12-31", "2100-01-01", "0001-01-01T00:00:00+14:00"])
def test_a_tick_needs_a_time(text: str | None) -> None:
    with pytest.raises(Refused) as caught:
        commands.instant(text)
    assert caught.value.reason == "invalid_time"


def test_markers_and_ticks_are_no_source_events() -> None:
    assert json.loads(marker(7, 1_577_836_800_000)) == {
        "event_id": "revision:7",
        "customer_id": "",
        "event_type": "_marker",
        "source": "khaywe",
        "value": 1,
        "occurred_at": "2020-01-01T00:00:00.000Z",
        "received_at": "2020-01-01T00:00:00.000Z",
        "attributes": {"revision": 7},
    }
    at = "2020-01-01T00:00:00.000Z"
    event = json.loads(tick(at, everyone=True))
    assert (event["event_id"], event["attributes"]) == (f"tick:{at}", {"at": at, "everyone": True})


def types(records: list[bytes]) -> list[str]:
    return [json.loads(record)["event_id"] for record in records]


MINUTE = 60_000


def test_the_clock_says_what_is_due_once() -> None:
    clock = Clock(wall=True)
    now = 1_577_836_800_000 + MINUTE + 5_000
    assert clock.waits(now)
    assert types(clock.due(1, 0, now)) == ["revision:1"], "no tick while the horizon is unknown"
    assert types(clock.due(1, now, now)) == ["revision:1", "tick:2020-01-01T00:01:00.000Z"]
    clock.written(1, now)
    assert clock.due(1, now + 54_000, now + 54_000) == []
    assert not clock.waits(now + 54_000)
    assert types(clock.due(2, now + 55_000, now + 55_000)) == ["revision:2", "tick:2020-01-01T00:02:00.000Z"]


def test_a_tick_waits_for_the_horizon_and_lateness_makes_one_of_many() -> None:
    clock = Clock(wall=True)
    start = 1_577_836_800_000
    clock.written(1, start)
    now = start + 10 * MINUTE
    assert clock.due(1, start + MINUTE - 1, now) == []
    assert types(clock.due(1, start + 7 * MINUTE + 1, now)) == ["tick:2020-01-01T00:07:00.000Z"]


def test_after_a_take_over_both_are_written_again() -> None:
    clock = Clock(wall=True)
    clock.written(4, MINUTE)
    clock.taken_over()
    assert types(clock.due(4, MINUTE, MINUTE)) == ["revision:4", "tick:1970-01-01T00:01:00.000Z"]


def test_the_event_clock_writes_no_ticks() -> None:
    clock = Clock(wall=False)
    assert types(clock.due(1, 10 * MINUTE, 10 * MINUTE)) == ["revision:1"]
    assert not clock.waits(10 * MINUTE)
