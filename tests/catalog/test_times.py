"""Times against the plain way of reading them: `datetime` and `zoneinfo`, without anything remembered."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog import times
from catalog.times import EARLIEST, LATEST, check_format, iso, parser

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, DAY = 60_000, 86_400_000
#: Clocks change by half an hour, at midnight, twice a year, by seconds in 1972, never.
ZONES = (
    "UTC", "Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Monrovia",
    "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca",
)  # fmt: skip
PATTERNS = (
    "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "%d/%b/%Y:%H:%M:%S", "%m/%d/%Y %I:%M:%S %p",
    "%H:%M:%S %d-%m-%Y", "%Y-%m-%dT%H:%M:%S%z", "%d%m%Y %H%M%S", "%y%m%d%H%M%S",
)  # fmt: skip

moments = st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30))
#: Times around a change of clocks come as often as all others together.
CHANGES = (
    datetime(2021, 3, 28, 1), datetime(2021, 10, 31, 1), datetime(2021, 11, 7), datetime(2021, 4, 4, 1),
    datetime(1972, 1, 7), datetime(2011, 12, 29, 12), datetime(2022, 5, 8, 1),
)  # fmt: skip
changes = st.builds(lambda at, s: at + timedelta(seconds=s), st.sampled_from(CHANGES), st.integers(0, 10_800))
local_times = st.one_of(moments, changes)


def plain(moment: datetime, zone: str = "UTC") -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return (moment - EPOCH) // timedelta(milliseconds=1)


def outcome(parse: Callable[[Any], int], value: Any) -> int | str:
    try:
        return parse(value)
    except (ValueError, OverflowError):
        return "none"


def iso_text(moment: datetime, form: tuple[str, int, str]) -> str:
    between, digits, offset = form
    text = moment.strftime("%Y-%m-%d") + between + moment.strftime("%H:%M:%S.%f")
    return text[: 19 if digits == 0 else 20 + digits] + offset


forms = st.tuples(
    st.sampled_from("T "), st.sampled_from([0, 3, 6]), st.sampled_from(["", "Z", "+00:00", "-05:30"])
)


@given(st.lists(st.tuples(local_times, forms), min_size=1, max_size=30), st.sampled_from(ZONES))
@example([(datetime(2020, 1, 1, 0, 2, second), ("T", 0, "")) for second in (1, 2)], "UTC")
def test_iso8601_is_read_as_datetime_reads_it(given_times: list[Any], zone: str) -> None:
    parse = parser("iso8601", zone)
    texts = [iso_text(moment, form) for moment, form in given_times]
    for text in texts * 2:  # the second time from memory
        assert parse(text) == plain(datetime.fromisoformat(text), zone), text


@given(st.lists(st.text("0123456789-:TZ. +W٣", max_size=26), max_size=20))
@example(["2020-01-01 00:02:47", "2020-01-01 00:02:60", "2020-01-01 00:02:4", "2020-01-01 00:02"])
@example(["2020-01-01T00:02:47Z", "2020-02-30T00:02:47Z", "2020-01-01T00:02:47ZZ", ":47Z", ""])
@example(["2020-01-01T00:02:47.123", "2020-01-01T00:02.123", "2020-01-01 00:02:47.12"])
def test_what_is_no_iso8601_is_none_also_after_others_were_read(texts: list[str]) -> None:
    parse = parser("iso8601", "Europe/Warsaw")
    parse("2020-01-01 00:02:47")
    parse("2020-01-01T00:02:47.123Z")

    def by_datetime(text: str) -> int:
        return plain(datetime.fromisoformat(text.strip()), "Europe/Warsaw")

    for text in texts:
        assert outcome(parse, text) == outcome(by_datetime, text), text


@given(st.lists(local_times, min_size=1, max_size=30), st.sampled_from(ZONES), st.sampled_from(PATTERNS))
def test_a_pattern_is_read_as_strptime_reads_it(given_times: list[datetime], zone: str, pattern: str) -> None:
    parse = parser(pattern, zone)
    for moment in given_times * 2:
        text = moment.replace(tzinfo=timezone(timedelta(hours=2))).strftime(pattern)
        assert parse(text) == plain(datetime.strptime(text, pattern), zone), text


@given(st.text("0123456789", max_size=16), st.sampled_from(["%Y%m%d%H%M%S", "%d%m%Y%H%M%S", "%Y%m%d %H%M%S"]))
@example("2020010100024", "%Y%m%d%H%M%S")
@example("20200101000247", "%Y%m%d%H%M%S")
def test_digits_without_separators_are_read_as_strptime_reads_them(text: str, pattern: str) -> None:
    parse = parser(pattern, "UTC")
    for known in ("20200101000200", "20200101 000200", "01012020000200"):
        outcome(parse, known)

    def by_strptime(value: str) -> int:
        return plain(datetime.strptime(value, pattern))

    assert outcome(parse, text) == outcome(by_strptime, text)
    longer = text[:-2] + "59"
    assert outcome(parse, longer) == outcome(by_strptime, longer)


def test_a_time_that_comes_twice_is_the_earlier_and_one_that_never_came_is_of_the_old_offset() -> None:
    parse = parser("iso8601", "Europe/Warsaw")
    assert iso(parse("2021-10-31 02:30:00")) == "2021-10-31T00:30:00.000Z"
    assert iso(parse("2021-03-28 02:30:00")) == "2021-03-28T01:30:00.000Z"


def test_epochs() -> None:
    seconds, millis = parser("epoch_s", "UTC"), parser("epoch_ms", "UTC")
    assert seconds(1_577_836_967) == seconds("1577836967") == seconds(1_577_836_967.0) == 1_577_836_967_000
    assert seconds("1577836967.25") == seconds(1_577_836_967.25) == 1_577_836_967_250
    assert millis(1_577_836_967_250) == millis("1.57783696725e12") == 1_577_836_967_250
    nothing: tuple[Any, ...] = (None, True, "", "x", "1_577", math.nan, math.inf, "nan", "1e999", [], {})
    for bad in nothing:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            seconds(bad)


def test_avros_dates_are_times_in_every_format() -> None:
    aware, naive = datetime(2020, 1, 1, 0, 2, 47, tzinfo=UTC), datetime(2020, 1, 1, 1, 2, 47)
    for name in ("iso8601", "epoch_s", "epoch_ms", "%Y-%m-%d %H:%M:%S"):
        parse = parser(name, "Europe/Warsaw")
        assert parse(aware) == parse(naive) == 1_577_836_967_000
        assert parse(date(2020, 1, 1)) == 1_577_836_800_000 - 3_600_000


@pytest.mark.parametrize("name", ["iso8601", "epoch_s", "epoch_ms", "%Y-%m-%d %H:%M:%S"])
@pytest.mark.parametrize("value", [None, "", " ", [], {}, [1], {"a": 1}, True, object(), b"2020", "\ud800"])
def test_what_is_no_time_is_refused_in_no_other_way(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        parser(name, "UTC")(value)


@given(st.integers(EARLIEST, LATEST - 1))
@example(EARLIEST)
@example(LATEST - 1)
def test_iso_is_what_datetime_writes(ms: int) -> None:
    moment = EPOCH + timedelta(milliseconds=ms)
    assert iso(ms) == iso(ms) == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert parser("iso8601", "UTC")(iso(ms)) == ms


def test_what_is_remembered_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MOST_MINUTES", 10)
    monkeypatch.setattr(times, "_MINUTES", minutes := times._Fresh())
    for minute in range(100):
        iso(EARLIEST + minute * MINUTE)
        assert len(minutes) <= 10


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_with_a_date_can_be_used(name: str) -> None:
    check_format(name)


@pytest.mark.parametrize("name", ["ISO", "%H:%M", "%Y-%m", "%Q", "", "%Y-%m-%d %q"])
def test_patterns_that_give_no_date_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"iso8601|strptime|year, month and day"):
        check_format(name)
