"""Times of raw records to milliseconds since 1970 and back to the wire, fast for what streams bring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
#: 2100-01-01: what lies beyond is a mistake of whoever wrote it.
LATEST = 4_102_444_800_000

Parse = Callable[[Any], int]

_CLOCK = [f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86_400)]
_SECONDS = {text: second * 1000 for second, text in enumerate(_CLOCK)}


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def iso(ms: int) -> str:
    """ISO 8601 UTC with milliseconds: `2020-01-01T00:02:47.000Z`."""
    day, rest = divmod(ms, DAY_MS)
    second, milli = divmod(rest, 1000)
    return f"{_date(day)}T{_CLOCK[second]}.{milli:03}Z"


def from_datetime(moment: datetime) -> int:
    """Milliseconds of an aware datetime, what is finer cut off."""
    return (moment - EPOCH) // MILLISECOND


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it is no number")
    if isinstance(value, str):
        if "_" in value:
            raise ValueError("it is no number")
        return float(value)
    return value


def parser(timestamp_format: str, timezone: str) -> Parse:
    """A function from a field's value to milliseconds; it raises ValueError that says what is wrong.

    `iso8601`, `epoch_s`, `epoch_ms`, or a strptime format.  Times without an offset are the timezone's; one
    that comes twice when clocks go back is the earlier.
    """
    if timestamp_format == "epoch_ms":
        return lambda value: round(_number(value))
    if timestamp_format == "epoch_s":
        return lambda value: round(_number(value) * 1000)
    zone = ZoneInfo(timezone)
    if timestamp_format != "iso8601":
        return _strptime(timestamp_format, zone)
    return _iso8601(zone, timezone == "UTC")


def _strptime(timestamp_format: str, zone: ZoneInfo) -> Parse:
    strptime = datetime.strptime

    def parse(value: Any) -> int:
        moment = strptime(value if isinstance(value, str) else str(value), timestamp_format)
        return from_datetime(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))

    return parse


def _iso8601(zone: ZoneInfo, is_utc: bool) -> Parse:
    days: dict[str, int] = {}
    seconds = _SECONDS

    def slowly(value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError("it is no text")
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        ms = from_datetime(moment)
        if is_utc and len(value) >= 19 and len(days) < 4096:
            # Only after fromisoformat has accepted the date: the fast path trusts this table.
            midnight = datetime.fromisoformat(value[:10]).replace(tzinfo=UTC)
            if midnight.date().isoformat() == value[:10]:
                days[value[:10]] = from_datetime(midnight)
        return ms

    if not is_utc:
        return _cached_zone(slowly)

    def parse(value: Any) -> int:
        try:
            size = len(value)
            if value[10] in "T ":
                if size == 19:
                    return days[value[:10]] + seconds[value[11:]]
                if size == 20 and value[19] == "Z":
                    return days[value[:10]] + seconds[value[11:19]]
                if size == 24 and value[23] == "Z" and value[19] == "." and value[20:23].isdecimal():
                    return days[value[:10]] + seconds[value[11:19]] + int(value[20:23])
        except (KeyError, TypeError, IndexError):
            pass
        return slowly(value)

    return parse


def _cached_zone(slowly: Parse) -> Parse:
    """Seconds since the full hour are the same in every zone, unless its clocks change within that hour."""
    hours: dict[str, int | None] = {}

    def hour(prefix: str) -> int | None:
        first, last = slowly(prefix + ":00:00"), slowly(prefix + ":59:59")
        return first if last - first == 3_599_000 else None

    def parse(value: Any) -> int:
        if (
            isinstance(value, str)
            and len(value) == 19
            and value[10] in "T "
            and value[13] == value[16] == ":"
        ):
            prefix, minutes, rest = value[:13], value[14:16], value[17:]
            if (
                minutes.isdecimal()
                and rest.isdecimal()
                and minutes < "60"
                and rest < "60"
                and minutes.isascii()
            ):
                if prefix not in hours:
                    if len(hours) > 50_000:
                        hours.clear()
                    hours[prefix] = hour(prefix)
                start = hours[prefix]
                if start is not None and rest.isascii():
                    return start + int(minutes) * 60_000 + int(rest) * 1000
        return slowly(value)

    return parse
