"""Many records as JSON: texts with places for words, numbers, times and lists, filled by compiled code.

The effects of the fold and the records of predictions are written so, and what their ids are made of.
Features and predictions are float32, so a number is written with as few digits as read back to the same
float32, whole ones exactly and without a point, and what is no finite number as null.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.blake2 import HEX
from loyalty.compiled import STAMP, compiled
from loyalty.spans import Texts
from loyalty.times import LENGTH, put_time

_TEXT, _PICK, _QUOTE, _INTEGER, _HUNDREDTHS, _TIME, _HEX, _NUMBER, _FLAG, _WORD, _LIST, _SKIP = range(12)
_NUMBER_ROOM = 24  # bytes of the longest number, and a comma
_ESCAPED = 6  # bytes at most of a byte in quotes
_DIGITS = 9  # that any float32 is known by
_LITERALS = np.frombuffer(b"nulltruefalse", np.uint8)
_HEXADECIMAL = np.frombuffer(b"0123456789abcdef", np.uint8)
_SHORT = np.frombuffer(b"btn?fr", np.uint8)  # escapes of 8 to 13 by a letter, but for 11
_NOWHERE: NDArray[np.int64] = np.zeros(0, np.int64)
_encode = msgspec.json.Encoder().encode
_TEN, _HUNDRED, _ZERO = np.uint64(10), np.uint64(100), np.uint64(48)
_TENS: NDArray[np.float64] = np.array([10.0**n for n in range(23)])  # exact in float64
_PIECE = np.dtype(
    [("kind", "i8"), ("first", "i8"), ("count", "i8"), (f"stamp_{STAMP}", "i8")]
)  # the stamp so that no cache gives code of other sources


def floats(values: NDArray[np.float64]) -> Texts:
    """Each number as msgspec writes it: as few digits as read back to the same float64, NaN as null."""
    data = np.frombuffer(_encode(values.tolist()), np.uint8)[1:-1]
    commas = np.flatnonzero(data == ord(","))
    places = np.zeros(len(values) + 1, np.int64)
    places[1:-1] = commas - np.arange(len(commas))
    places[-1] = len(data) - len(commas)
    return Texts(data[data != ord(",")], places)


class Page:
    """A text for each of `rows` rows, put together piece by piece."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._pieces: list[tuple[int, int, int, int]] = []
        self._constant = bytearray()
        self._texts: list[Texts] = []
        self._known = 0  # of those, so many texts
        self._integers: list[NDArray[Any]] = []
        self._floats: list[NDArray[Any]] = []
        self._hex: list[NDArray[np.uint8]] = []
        self._words: list[NDArray[np.uint32]] = []
        self._width = 0
        self._lists: NDArray[np.float32] = np.zeros((rows, 0), np.float32)
        self._room = 0

    def text(self, text: bytes) -> None:
        """The same in each row."""
        self._put(_TEXT, len(self._constant), len(text))
        self._constant += text
        self._room += len(text) * self.rows

    def pick(self, texts: Texts, which: NDArray[Any] | None = None) -> None:
        """One of `texts` by index, unset: a row's own."""
        self._chosen(_PICK, texts, which, 1)

    def quote(self, texts: Texts, which: NDArray[Any] | None = None) -> None:
        """The same, of UTF-8 that is no JSON yet."""
        self._chosen(_QUOTE, texts, which, _ESCAPED)

    def value(self, column: NDArray[Any]) -> None:
        """A row's own: a number, true or false, or a word of plain ASCII letters, (rows,)."""
        kind = column.dtype.kind
        if kind == "U":
            points = np.ascontiguousarray(column).view(np.uint32).reshape(self.rows, -1)
            self._put(_WORD, self._width, points.shape[1])
            self._words.append(points)
            self._width += points.shape[1]
            self._room += (points.shape[1] + 2) * self.rows
        elif kind == "f":
            self._put(_NUMBER, len(self._floats))
            self._floats.append(column)
            self._room += _NUMBER_ROOM * self.rows
        else:
            self._integer(_FLAG if kind == "b" else _INTEGER, column)

    def hundredths(self, column: NDArray[Any]) -> None:
        """Hundredths from 0 as a float of units, (rows,): 1250 as 12.5, 700 as 7.0."""
        self._integer(_HUNDREDTHS, column)

    def time(self, column: NDArray[np.int64]) -> None:
        """Times (ms, from 1970 to 9999) in the form of the wire, without quotes, (rows,)."""
        self._integer(_TIME, column)

    def hex(self, column: NDArray[np.uint8]) -> None:
        """HEX characters of a row's own, (rows, HEX)."""
        self._put(_HEX, len(self._hex))
        self._hex.append(column)
        self._room += HEX * self.rows

    def numbers(self, values: NDArray[np.float32]) -> None:
        """A row's numbers with commas between them, (rows, any); once a page."""
        self._put(_LIST)
        self._lists = np.ascontiguousarray(values, np.float32)
        self._room += self._lists.size * _NUMBER_ROOM

    def skip(self, column: NDArray[Any], pieces: int) -> None:
        """Leave the next so many pieces out of the rows where a number is below 0."""
        self._put(_SKIP, len(self._integers), pieces)
        self._integers.append(column)

    def written(self) -> Texts:
        """The text of each row."""
        data, starts, at = [np.frombuffer(self._constant, np.uint8)], [_NOWHERE], len(self._constant)
        for each in self._texts:
            data.append(each.data)
            starts.append(each.places + at)
            at += len(each.data)
        integers = np.empty((self.rows, len(self._integers)), np.int64)
        for at, column in enumerate(self._integers):
            integers[:, at] = column
        floats = np.empty((self.rows, len(self._floats)))
        for at, column in enumerate(self._floats):
            floats[:, at] = column
        words = np.concatenate(self._words, 1) if self._words else np.zeros((self.rows, 0), np.uint32)
        hexes = np.concatenate(self._hex, 1) if self._hex else np.zeros((self.rows, 0), np.uint8)
        out, places = np.empty(self._room, np.uint8), np.zeros(self.rows + 1, np.int64)
        _write(
            np.array(self._pieces, _PIECE), np.concatenate(data), np.concatenate(starts), integers, floats,
            hexes, words, self._lists, _TENS, out, places,
        )  # fmt: skip
        return Texts(out[: places[-1]], places)

    def _put(self, kind: int, first: int = 0, count: int = 0) -> None:
        self._pieces.append((kind, first, count, 0))

    def _integer(self, kind: int, column: NDArray[Any]) -> None:
        self._put(kind, len(self._integers))
        self._integers.append(column)
        self._room += max(_NUMBER_ROOM, LENGTH) * self.rows

    def _chosen(self, kind: int, texts: Texts, which: NDArray[Any] | None, growth: int) -> None:
        place = next((n for n, each in enumerate(self._texts) if each is texts), len(self._texts))
        if place == len(self._texts):
            self._texts.append(texts)
        # In the table of starts each of the texts before has one for its end.
        first = sum(len(each) + 1 for each in self._texts[:place])
        self._put(kind, len(self._integers), first)
        self._integers.append(np.arange(self.rows) if which is None else which)
        places = texts.places
        total = len(texts.data) if which is None else int((places[1:] - places[:-1])[which].sum())
        self._room += total * growth + 2 * self.rows


@compiled
def _write(
    pieces: Any, texts: NDArray[np.uint8], starts: NDArray[np.int64],
    integers: NDArray[np.int64], floats: NDArray[np.float64], hexes: NDArray[np.uint8],
    words: NDArray[np.uint32], lists: NDArray[np.float32], tens: NDArray[np.float64],
    out: NDArray[np.uint8], places: NDArray[np.int64],
) -> None:  # fmt: skip
    at = 0
    for row in range(len(places) - 1):
        n = 0
        while n < len(pieces):
            piece = pieces[n]
            kind, first, count = piece.kind, piece.first, piece.count
            n += 1
            if kind == _TEXT:
                at = _copy(texts, first, count, out, at)
            elif kind == _PICK:
                which = count + integers[row, first]
                at = _copy(texts, starts[which], starts[which + 1] - starts[which], out, at)
            elif kind == _QUOTE:
                which = count + integers[row, first]
                at = _quote(texts, starts[which], starts[which + 1], out, at)
            elif kind == _INTEGER:
                at = _integer(integers[row, first], out, at)
            elif kind == _HUNDREDTHS:
                at = _hundredths(np.uint64(integers[row, first]), out, at)
            elif kind == _TIME:
                at = put_time(out, at, integers[row, first])
            elif kind == _HEX:
                at = _copy(hexes[row], first * HEX, HEX, out, at)
            elif kind == _NUMBER:
                at = _number(floats[row, first], tens, out, at)
            elif kind == _FLAG:
                if integers[row, first]:
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
            elif integers[row, first] < 0:
                n += count
        places[row + 1] = at


@compiled
def _copy(texts: NDArray[np.uint8], first: int, count: int, out: NDArray[np.uint8], at: int) -> int:
    source, to = np.uint64(first), np.uint64(at)  # unsigned places need no look from which end they count
    for i in range(np.uint64(count)):
        out[to + i] = texts[source + i]
    return at + count


@compiled
def _quote(texts: NDArray[np.uint8], first: int, end: int, out: NDArray[np.uint8], at: int) -> int:
    out[at] = 34
    at += 1
    for i in range(first, end):
        byte = texts[i]
        if byte >= 32 and byte != 34 and byte != 92:
            out[at] = byte
            at += 1
            continue
        out[at] = 92
        if byte >= 32:
            out[at + 1] = byte
            at += 2
        elif 8 <= byte <= 13 and byte != 11:
            out[at + 1] = _SHORT[byte - 8]
            at += 2
        else:
            out[at + 1] = 117
            out[at + 2] = out[at + 3] = 48
            out[at + 4] = 48 + (byte >> 4)
            out[at + 5] = _HEXADECIMAL[byte & 15]
            at += 6
    out[at] = 34
    return at + 1


@compiled
def _integer(number: int, out: NDArray[np.uint8], at: int) -> int:
    if number < 0:
        out[at] = 45
        return _whole(~np.uint64(number) + np.uint64(1), out, at + 1)
    return _whole(np.uint64(number), out, at)


@compiled
def _hundredths(number: Any, out: NDArray[np.uint8], at: int) -> int:
    at = _whole(number // _HUNDRED, out, at)
    out[at] = 46
    rest = number % _HUNDRED
    out[at + 1] = _ZERO + rest // _TEN
    if rest % _TEN == 0:
        return at + 2
    out[at + 2] = _ZERO + rest % _TEN
    return at + 3


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
        return _whole(np.uint64(size), out, at)
    wanted = np.float32(size)
    size = np.float64(wanted)
    # size = mantissa of so many digits, `places` behind the point
    if size < 1e-6 or size >= 9e15:
        exponent = int(np.floor(np.log10(size)))
        scaled = size * 10.0 ** float(_DIGITS - 1 - exponent)
        at = _whole(np.uint64(np.rint(scaled)), out, at)
        out[at] = 101
        at += 1
        power = exponent - _DIGITS + 1
        if power < 0:
            out[at] = 45
            at += 1
        return _whole(np.uint64(abs(power)), out, at)
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
    at = _whole(figures // ten, out, at)
    if places > 0:
        out[at] = 46
        rest = figures % ten
        for i in range(at + places, at, -1):
            out[i] = _ZERO + rest % _TEN
            rest //= _TEN
        at += places + 1
    return at


@compiled
def _whole(number: Any, out: NDArray[np.uint8], at: int) -> int:
    if number < _TEN:
        out[at] = _ZERO + number
        return at + 1
    length, above = 2, _HUNDRED
    while number >= above:
        length += 1
        above *= _TEN
    for i in range(at + length - 1, at - 1, -1):
        out[i] = _ZERO + number % _TEN
        number //= _TEN
    return at + length
