"""JSON of many predictions at once: texts with places for numbers, words and lists, filled by compiled code.

Features and predictions are float32, so a number is written with as few digits as read back to the same
float32, whole ones exactly and without a point, and what is no finite number as null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled

_TEXT, _OWN, _NUMBER, _FLAG, _WORD, _LIST, _SKIP = range(7)
_NUMBER_ROOM = 24  # bytes of the longest number, and a comma
_DIGITS = 9  # that any float32 is known by
_LITERALS = np.frombuffer(b"nulltruefalse", np.uint8)
_TEN, _ZERO = np.uint64(10), np.uint64(48)
_TENS: NDArray[np.float64] = np.array([10.0**n for n in range(23)])  # exact in float64


class Page:
    """A text for each of `rows` rows, put together piece by piece."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._pieces: list[tuple[int, int, int]] = []
        self._texts = bytearray()
        self._columns: list[NDArray[Any]] = []
        self._words: list[NDArray[np.uint32]] = []
        self._width = 0
        self._lists: NDArray[np.float32] = np.zeros((rows, 0), np.float32)
        self._own: Sequence[bytes] = ()

    def text(self, text: bytes) -> None:
        """The same in each row."""
        self._pieces.append((_TEXT, len(self._texts), len(text)))
        self._texts += text

    def own(self, texts: Sequence[bytes]) -> None:
        """A row's own text; once a page."""
        self._pieces.append((_OWN, 0, 0))
        self._own = texts

    def value(self, column: NDArray[Any]) -> None:
        """A row's own: a number, true or false, or a word of plain ASCII letters, (rows,)."""
        if column.dtype.kind == "U":
            points = np.ascontiguousarray(column).view(np.uint32).reshape(self.rows, -1)
            self._pieces.append((_WORD, self._width, points.shape[1]))
            self._words.append(points)
            self._width += points.shape[1]
        else:
            self._pieces.append((_FLAG if column.dtype.kind == "b" else _NUMBER, len(self._columns), 0))
            self._columns.append(column)

    def numbers(self, values: NDArray[np.float32]) -> None:
        """A row's numbers with commas between them, (rows, any); once a page."""
        self._pieces.append((_LIST, 0, 0))
        self._lists = np.ascontiguousarray(values, np.float32)

    def skip(self, column: NDArray[Any], pieces: int) -> None:
        """Leave the next so many pieces out of the rows where a number is below 0."""
        self._pieces.append((_SKIP, len(self._columns), pieces))
        self._columns.append(column)

    def texts(self) -> list[bytes]:
        """The text of each row."""
        if not self.rows:
            return []
        numbers = np.empty((self.rows, len(self._columns)))
        for at, column in enumerate(self._columns):
            numbers[:, at] = column
        words = np.concatenate(self._words, 1) if self._words else np.zeros((self.rows, 0), np.uint32)
        cells = len(self._pieces) + self._lists.shape[1]
        lengths = np.fromiter(map(len, self._own), np.int64, len(self._own))
        room = len(self._texts) + self._width + cells * _NUMBER_ROOM + int(lengths.max(initial=0))
        out, ends = np.empty(self.rows * room, np.uint8), np.empty(self.rows, np.int64)
        texts = np.frombuffer(bytes(self._texts), np.uint8)
        own = np.frombuffer(b"".join(self._own), np.uint8)
        pieces = np.array(self._pieces, np.int64)
        _write(pieces, texts, own, lengths, numbers, words, self._lists, _TENS, out, ends)
        places = ends.tolist()
        whole = out[: places[-1]].tobytes()
        return [whole[a:b] for a, b in zip([0, *places], places, strict=False)]


@compiled
def _write(
    pieces: NDArray[np.int64], texts: NDArray[np.uint8], own: NDArray[np.uint8], lengths: NDArray[np.int64],
    numbers: NDArray[np.float64], words: NDArray[np.uint32], lists: NDArray[np.float32],
    tens: NDArray[np.float64], out: NDArray[np.uint8], ends: NDArray[np.int64],
) -> None:  # fmt: skip
    at = owned = 0
    for row in range(len(ends)):
        piece = 0
        while piece < len(pieces):
            kind, first, count = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2]
            piece += 1
            if kind == _TEXT:
                at = _copy(texts, first, count, out, at)
            elif kind == _OWN:
                at = _copy(own, owned, lengths[row], out, at)
                owned += lengths[row]
            elif kind == _NUMBER:
                at = _number(numbers[row, first], tens, out, at)
            elif kind == _FLAG:
                if numbers[row, first]:
                    at = _copy(_LITERALS, 4, 4, out, at)
                else:
                    at = _copy(_LITERALS, 8, 5, out, at)
            elif kind == _WORD:
                at = _word(words, row, first, count, out, at)
            elif kind == _LIST:
                for i in range(lists.shape[1]):
                    if i:
                        out[at] = 44
                        at += 1
                    value = np.float64(lists[row, i])
                    digit = np.uint8(value) if 0 <= value < 10 else np.uint8(0)
                    if value == digit:  # most are
                        out[at] = 48 + digit
                        at += 1
                    else:
                        at = _number(value, tens, out, at)
            elif numbers[row, first] < 0:
                piece += count
        ends[row] = at


@compiled
def _copy(texts: NDArray[np.uint8], first: int, count: int, out: NDArray[np.uint8], at: int) -> int:
    source, to = np.uint64(first), np.uint64(at)  # unsigned places need no look from which end they count
    for i in range(np.uint64(count)):
        out[to + i] = texts[source + i]
    return at + count


@compiled
def _word(
    words: NDArray[np.uint32], row: int, first: int, count: int, out: NDArray[np.uint8], at: int
) -> int:
    out[at] = 34
    at += 1
    for i in range(first, first + count):
        if words[row, i] == 0:
            break
        out[at] = words[row, i]
        at += 1
    out[at] = 34
    return at + 1


@compiled
def _number(value: float, tens: NDArray[np.float64], out: NDArray[np.uint8], at: int) -> int:
    if not np.isfinite(value):
        return _copy(_LITERALS, 0, 4, out, at)
    if value < 0:
        out[at] = 45
        at += 1
    size = abs(value)
    if size < 9e15 and size == np.floor(size):
        return _whole(int(size), out, at)
    wanted = np.float32(size)
    size = np.float64(wanted)
    # size = mantissa of so many digits, `places` behind the point
    if size < 1e-6 or size >= 9e15:
        exponent = int(np.floor(np.log10(size)))
        scaled = size * 10.0 ** float(_DIGITS - 1 - exponent)
        at = _whole(int(np.rint(scaled)), out, at)
        out[at] = 101
        at += 1
        power = exponent - _DIGITS + 1
        if power < 0:
            out[at] = 45
            at += 1
        return _whole(abs(power), out, at)
    exponent = 0
    while size >= tens[exponent + 1]:
        exponent += 1
    while exponent <= 0 and size * tens[-exponent] < 1:
        exponent -= 1
    mantissa, places = 0, 0
    for digits in range(7, _DIGITS + 1):
        places = max(digits - 1 - exponent, 0)
        mantissa = int(np.rint(size * tens[places]))
        if np.float32(mantissa / tens[places]) == wanted:
            break
    figures = np.uint64(mantissa)  # unsigned: half the time of Python's signed division
    while places > 0 and figures % _TEN == 0:
        figures //= _TEN
        places -= 1
    ten = np.uint64(tens[places])
    at = _whole(int(figures // ten), out, at)
    if places > 0:
        out[at] = 46
        rest = figures % ten
        for i in range(at + places, at, -1):
            out[i] = _ZERO + rest % _TEN
            rest //= _TEN
        at += places + 1
    return at


@compiled
def _whole(number: int, out: NDArray[np.uint8], at: int) -> int:
    if number < 10:
        out[at] = 48 + number
        return at + 1
    length, above = 2, 100
    while number >= above:
        length += 1
        above *= 10
    rest = np.uint64(number)
    for i in range(at + length - 1, at - 1, -1):
        out[i] = _ZERO + rest % _TEN
        rest //= _TEN
    return at + length
