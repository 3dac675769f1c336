"""Local days of the operator's timezone, as arrays that compiled code reads.

A timezone is a list of instants at which its offset from UTC changes.  It is worked out once, when content
is loaded, so that no event touches zoneinfo.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.row import NO_TIME

MINUTE_MS = 60_000
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(2101, 1, 1, tzinfo=UTC)
# No zone has changed its offset twice, and back, within half a day since 1970.
_STEP_S = 43_200

_CHANGES = 512  # two a year, and room for what governments think of
#: `offsets[i]` ms are added to a time in `starts[i] <= time < starts[i + 1]` (ms) to make it local.
CALENDAR = np.dtype([("starts", "i8", (_CHANGES,)), ("offsets", "i8", (_CHANGES,))])


@cache
def calendar(timezone: str) -> NDArray[np.void]:
    """The CALENDAR (1,) of an IANA timezone from 1970 to 2100.  Raises ZoneInfoNotFoundError."""
    zone = ZoneInfo(timezone)

    def offset(second: int) -> int:
        found = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
        assert found is not None
        return int(found.total_seconds())

    end = int((_END - _EPOCH).total_seconds())
    starts, offsets = [0], [offset(0)]
    for low in range(0, end, _STEP_S):
        while offset(low + _STEP_S) != offsets[-1]:
            same, other = max(low, starts[-1]), low + _STEP_S
            while other - same > 1:
                middle = (same + other) // 2
                same, other = (middle, other) if offset(middle) == offsets[-1] else (same, middle)
            starts.append(other)
            offsets.append(offset(other))
    result = np.zeros(1, CALENDAR)
    result["starts"] = NO_TIME
    result["starts"][0, : len(starts)] = np.array(starts, np.int64) * 1000
    result["offsets"][0, : len(offsets)] = np.array(offsets, np.int64) * 1000
    return result


@compiled
def local(time: int, calendar: Any) -> int:
    """A time (ms) with the offset that it has in a timezone added.  `calendar`: a record."""
    low, high = 0, _CHANGES
    while high - low > 1:
        middle = (low + high) // 2
        if calendar.starts[middle] <= time:
            low = middle
        else:
            high = middle
    return time + calendar.offsets[low]  # type: ignore[no-any-return]


@compiled
def day_of(time: int, calendar: Any) -> int:
    """The number of the local day of a time (ms), days since 1970-01-01.  `calendar`: a record."""
    return local(time, calendar) // DAY_MS


@compiled
def week_of(day: int) -> int:
    """The number of a day's ISO week."""
    return (day + 3) // 7


@compiled
def last_refresh(time: int, minute: int) -> int:
    """The last instant, not after a time (ms), at which the refresh minute (of the UTC day) begins."""
    at = minute * MINUTE_MS
    return (time - at) // DAY_MS * DAY_MS + at


@compiled
def days_before(year: int, month: int) -> int:
    """Days from 1970-01-01 to the first of a month (proleptic Gregorian; years begin in March)."""
    y = year - (month <= 2)
    m = (month + 9) % 12
    return y * 365 + y // 4 - y // 100 + y // 400 + (m * 153 + 2) // 5 - 719_468


@compiled
def month_of(day: int) -> int:
    """The month of a day, months since 1970-01: eras of 400 years (Hinnant's civil_from_days)."""
    since = day + 719_468
    of_era = since % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153  # 0: March
    return (year + since // 146_097 * 400 - 1970) * 12 + month + 2


@compiled
def days_to(day: int, month: int, of_month: int) -> int:
    """Days from `day` to the next such day of a year, 0 today; 29 February is 1 March in other years."""
    year = 1970 + month_of(day) // 12
    at = days_before(year, month) + of_month - 1
    if month == 2 and at > days_before(year, 3):
        at = days_before(year, 3)
    if at < day:
        at = days_before(year + 1, month) + of_month - 1
        if month == 2 and at > days_before(year + 1, 3):
            at = days_before(year + 1, 3)
    return at - day
