"""Pieces of JSON in a text of bytes, for compiled readers: each says where it ends, or -1 where none stands.

Only plain forms are known: strings of printable ASCII without escapes, numbers of at most 15 digits without
exponents, true, false, null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled

Bytes = NDArray[np.uint8]

#: Digits of a number: so many are exact in a float64, and so is the power of ten below them.
DIGITS = 15
TENS: NDArray[np.float64] = np.array([10.0**n for n in range(DIGITS + 1)])
_WORDS = np.frombuffer(b"truefalsenull", np.uint8)

QUOTE, ESCAPE, SPACE, LAST = 34, 92, 32, 126
COMMA, COLON, CLOSE, MINUS, POINT, ZERO, NINE = 44, 58, 125, 45, 46, 48, 57


@compiled
def string_end(text: Bytes, at: int, end: int) -> int:
    """Where a string ends that began before `at`; -1 where it has an escape or more than ASCII."""
    if at < 0:
        return -1
    while at < end:
        byte = text[at]
        if byte == QUOTE:
            return at
        if byte < SPACE or byte > LAST or byte == ESCAPE:
            return -1
        at += 1
    return -1


@compiled
def number_at(text: Bytes, at: int, end: int) -> tuple[int, float]:
    """Where a number ends, and the number: exact, being a quotient of exact ones (Clinger, PLDI 1990)."""
    if at < 0 or at >= end:
        return -1, 0.0
    negative = text[at] == MINUS
    if negative:
        at += 1
    first = at
    mantissa: Any = np.int64(0)
    while at < end and ZERO <= text[at] <= NINE and at - first <= DIGITS:
        mantissa = mantissa * 10 + np.int64(text[at]) - ZERO
        at += 1
    digits = at - first
    if digits == 0 or (digits > 1 and text[first] == ZERO):
        return -1, 0.0
    places = 0
    if at < end and text[at] == POINT:
        at += 1
        point = at
        while at < end and ZERO <= text[at] <= NINE and at - point <= DIGITS:
            mantissa = mantissa * 10 + np.int64(text[at]) - ZERO
            at += 1
        places = at - point
        if places == 0:
            return -1, 0.0
    if digits + places > DIGITS:
        return -1, 0.0
    number = np.float64(mantissa) / TENS[places]
    return at, -number if negative else number


@compiled
def scalar_end(text: Bytes, at: int, end: int) -> int:
    """Where a string, a number or a word ends; -1 where none stands."""
    if text[at] == QUOTE:
        closed = string_end(text, at + 1, end)
        return -1 if closed < 0 else int(closed + 1)
    for first, last in ((0, 4), (4, 9), (9, 13)):
        if text[at] == _WORDS[first]:
            if at + last - first > end:
                return -1
            for i in range(first, last):
                if text[at + i - first] != _WORDS[i]:
                    return -1
            return at + last - first
    return int(number_at(text, at, end)[0])
