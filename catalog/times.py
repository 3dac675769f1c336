"""Times of raw records to milliseconds since 1970 UTC, and back to the text that stands on the log.

A feed repeats its minutes, so both ways remember them: a time costs two look-ups, not a parse.  Within one
minute of local time the offset to UTC does not change, so what is remembered holds for all its seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

#: Milliseconds of a time; raises ValueError (words for whoever sent the record) or OverflowError.
Parse = Callable[[Any], int]

ISO8601, EPOCH_S, EPOCH_MS = "iso8601", "epoch_s", "epoch_ms"

DAY_MS = 86_400_000
#: The years the fold reads: 1971 to 2099, as milliseconds [EARLIEST, LATEST).
EARLIEST = 31_536_000_000
LATEST = 4_102_444_800_000

#: Minutes remembered by one parser or the writer: ten weeks, about 10 MB.
MOST_MINUTES = 100_000

#: Characters of a text that is remembered: strptime takes any number of spaces where the pattern has one.
LONGEST = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_ISO_TAIL = re.compile(r":([0-5][0-9])(?:\.([0-9]{3}))?Z?", re.ASCII)
#: Directives of a fixed width; a text of these in full can be cut before its seconds.
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}


class _Fresh(dict[Any, Any]):
    """A memory that begins anew when it is full."""

    def remember(self, key: Any, value: Any) -> None:
        if len(self) >= MOST_MINUTES:
            self.clear()
        self[key] = value


def zone(name: str) -> ZoneInfo:
    """A timezone of the IANA list.  Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"there is no timezone {name!r}; names are those of the IANA list") from None


def parser(timestamp_format: str, timezone: str) -> Parse:
    """Parser of one source's times; those without an offset are local to `timezone`, the earlier if twice."""
    local = zone(timezone)
    if timestamp_format == ISO8601:
        return _iso8601(local)
    if timestamp_format == EPOCH_S:
        return _epoch(1000, local)
    if timestamp_format == EPOCH_MS:
        return _epoch(1, local)
    return _strptime(timestamp_format, local)


def check_format(timestamp_format: str) -> None:
    """Raises ValueError where no record's time could be read by it."""
    if timestamp_format in (ISO8601, EPOCH_S, EPOCH_MS):
        return
    if "%" not in timestamp_format:
        raise ValueError(
            f"{timestamp_format!r} is neither {ISO8601}, {EPOCH_S}, {EPOCH_MS} nor a strptime pattern"
        )
    probe = datetime(2031, 10, 24, 17, 38, 49, tzinfo=UTC)
    try:
        found = datetime.strptime(probe.strftime(timestamp_format), timestamp_format)
    except (ValueError, re.error) as error:
        raise ValueError(f"{timestamp_format!r} is no strptime pattern: {error}") from None
    if found.date() != probe.date():
        raise ValueError(f"{timestamp_format!r} does not give year, month and day")


def _since_epoch(found: datetime, local: tzinfo) -> int:
    if found.tzinfo is None:
        found = found.replace(tzinfo=local)
    return (found - _EPOCH) // _MS


def _other(value: Any, local: tzinfo, expected: str) -> int:
    """Avro's logical types come as Python's dates; all else is no time."""
    if isinstance(value, datetime):
        return _since_epoch(value, local)
    if isinstance(value, date):
        return _since_epoch(datetime.combine(value, time()), local)
    raise ValueError(f"is {type(value).__name__}, not {expected}")


def _iso8601(local: tzinfo) -> Parse:
    heads_local, heads_utc, tails = _Fresh(), _Fresh(), _Fresh()

    def parse(value: Any) -> int:
        try:
            heads = heads_utc if value[-1] == "Z" else heads_local
            return heads[value[:16]] + tails[value[16:]]  # type: ignore[no-any-return]
        except (LookupError, TypeError):
            return first_seen(value)

    def first_seen(value: Any) -> int:
        if type(value) is not str:
            return _other(value, local, "an ISO 8601 text")
        try:
            ms = _since_epoch(datetime.fromisoformat(value.strip()), local)
        except ValueError:
            raise ValueError("is no ISO 8601 time") from None
        tail = _ISO_TAIL.fullmatch(value, 16)
        if tail is not None and value[0].isdigit():
            in_minute = int(tail[1]) * 1000 + int(tail[2] or 0)
            tails.remember(value[16:], in_minute)
            (heads_utc if value[-1] == "Z" else heads_local).remember(value[:16], ms - in_minute)
        return ms

    return parse


def _epoch(factor: int, local: tzinfo) -> Parse:
    def parse(value: Any) -> int:
        kind = type(value)
        if kind is str:
            try:
                if "_" in value:
                    raise ValueError
                value = float(value) if "." in value or "e" in value or "E" in value else int(value)
            except ValueError:
                raise ValueError("is no number") from None
            kind = type(value)
        if kind is int:
            return value * factor  # type: ignore[no-any-return]
        if kind is float:
            if value - value != 0.0:
                raise ValueError("is no finite number")
            return round(value * factor)  # type: ignore[no-any-return]
        return _other(value, local, "a number")

    return parse


def _strptime(pattern: str, local: tzinfo) -> Parse:
    stand_alone = _seconds_stand_alone(pattern)
    minutes = _Fresh()

    def parse(value: Any) -> int:
        try:
            return minutes[value[:-2]] + _SECONDS[value[-2:]]  # type: ignore[no-any-return]
        except (LookupError, TypeError):
            return first_seen(value)

    def first_seen(value: Any) -> int:
        if type(value) is int:
            value = str(value)  # 20200101000247, as JSON has it
        if type(value) is not str:
            return _other(value, local, f"a text like {pattern}")
        try:
            ms = _since_epoch(datetime.strptime(value, pattern), local)
        except ValueError:
            raise ValueError(f"does not look like {pattern}") from None
        if len(value) <= LONGEST and value[-2:] in _SECONDS and stand_alone(value):
            minutes.remember(value[:-2], ms - _SECONDS[value[-2:]])
        return ms

    return parse


def _seconds_stand_alone(pattern: str) -> Callable[[str], bool]:
    """Whether the last two characters of a text that fits the pattern are its seconds and nothing else."""
    if pattern.endswith(":%S"):
        return lambda text: text[-3] == ":"
    directives = re.findall(r"%(.)", pattern)
    if not pattern.endswith("%S") or not set(directives) <= _WIDTHS.keys() or re.search(r"\s", pattern):
        return lambda text: False
    # Without separators the widths are ambiguous, unless each is the widest.
    width = len(pattern) + sum(_WIDTHS[directive] - 2 for directive in directives)
    return lambda text: len(text) == width


_SECONDS = {f"{second:02d}": second * 1000 for second in range(60)}
_TAILS = tuple(f":{ms // 1000:02d}.{ms % 1000:03d}Z" for ms in range(60_000))
_MINUTES = _Fresh()


def iso(ms: int) -> str:
    """ISO 8601 UTC of exactly 24 characters, `2020-01-01T00:02:47.000Z`.  Raises OverflowError."""
    minute, rest = divmod(ms, 60_000)
    try:
        return _MINUTES[minute] + _TAILS[rest]  # type: ignore[no-any-return]
    except KeyError:
        # isoformat, not strftime, which does not pad years on every platform.
        head = (_EPOCH + timedelta(minutes=minute)).isoformat()[:16]
        _MINUTES.remember(minute, head)
        return head + _TAILS[rest]
