"""Times on the wire: `2020-01-01T00:02:47.000Z` and nothing else, to milliseconds since 1970 and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS, days_before
from loyalty.compiled import compiled

LENGTH = 24
_PATTERN = np.frombuffer(b"dddd-dd-ddTdd:dd:dd.dddZ", np.uint8)
_FIRST_YEAR, _LAST_YEAR = 1971, 2099  # what fits into a row's seconds, and no 0 that could mean "never"
NO_TIME = -1

_DIGIT, _ZERO, _NINE = ord("d"), ord("0"), ord("9")


@compiled
def _number(text: NDArray[np.uint8], start: int, digits: int) -> int:
    number: Any = 0
    for i in range(start, start + digits):
        number = number * 10 + np.int64(text[i]) - _ZERO
    return int(number)


@compiled
def time_at(text: NDArray[np.uint8], start: int) -> int:
    """The time (ms) whose LENGTH characters begin at `start`; NO_TIME where none stands."""
    fits = True
    for i in range(LENGTH):
        byte, wanted = text[start + i], _PATTERN[i]
        fits &= (_ZERO <= byte <= _NINE) if wanted == _DIGIT else byte == wanted
    if not fits:
        return NO_TIME
    year, month = _number(text, start, 4), _number(text, start + 5, 2)
    day, hour = _number(text, start + 8, 2), _number(text, start + 11, 2)
    minute, second = _number(text, start + 14, 2), _number(text, start + 17, 2)
    fits &= _FIRST_YEAR <= year <= _LAST_YEAR and 1 <= month <= 12 and day >= 1
    fits &= hour < 24 and minute < 60 and second < 60
    if not fits:
        return NO_TIME
    first = days_before(year, month)
    after = days_before(year + month // 12, month % 12 + 1)
    if day > after - first:
        return NO_TIME
    seconds = ((first + day - 1) * 24 + hour) * 3600 + minute * 60 + second
    return int(seconds * 1000 + _number(text, start + 20, 3))


@compiled
def _parse(text: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
    for n in range(out.shape[0]):
        out[n] = time_at(text, n * LENGTH)


@compiled
def _put(text: NDArray[np.uint8], at: int, digits: int, number: int) -> None:
    for i in range(at + digits - 1, at - 1, -1):
        text[i] = _ZERO + number % 10
        number //= 10


@compiled
def put_time(text: NDArray[np.uint8], start: int, time: int) -> int:
    """Write a time (ms, from 1970 to 9999) in LENGTH characters; where they end."""
    for i in range(LENGTH):
        text[start + i] = _PATTERN[i]
    day, left = time // DAY_MS, time % DAY_MS
    # Years that begin in March, in eras of 400 (Hinnant's civil_from_days).
    since = day + 719_468
    of_era = since % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    _put(text, start, 4, year + since // 146_097 * 400 + (month >= 10))
    _put(text, start + 5, 2, (month + 2) % 12 + 1)
    _put(text, start + 8, 2, of_year - (153 * month + 2) // 5 + 1)
    _put(text, start + 11, 2, left // 3_600_000)
    _put(text, start + 14, 2, left // 60_000 % 60)
    _put(text, start + 17, 2, left // 1000 % 60)
    _put(text, start + 20, 3, left % 1000)
    return start + LENGTH


@compiled
def _format(times: NDArray[np.int64], text: NDArray[np.uint8]) -> None:
    for n in range(times.shape[0]):
        put_time(text, n * LENGTH, times[n])


def parse_many(texts: Sequence[str]) -> NDArray[np.int64]:
    """Milliseconds of each text, NO_TIME where it has another form or a year outside 1971 to 2099."""
    whole = [text if len(text) == LENGTH else "?" * LENGTH for text in texts]
    joined = "".join(whole).encode("ascii", "replace")  # a character, a byte
    out = np.empty(len(texts), np.int64)
    _parse(np.frombuffer(joined, np.uint8), out)
    return out


def iso_many(times: NDArray[np.int64]) -> list[str]:
    """Each time (ms, from 1970 to 9999) in the form of the wire."""
    text = np.empty(len(times) * LENGTH, np.uint8)
    _format(np.ascontiguousarray(times), text)
    joined = text.tobytes().decode()
    return [joined[start : start + LENGTH] for start in range(0, len(joined), LENGTH)]


def iso(time: int) -> str:
    """A time (ms) in the form of the wire."""
    return iso_many(np.array([time], np.int64))[0]
