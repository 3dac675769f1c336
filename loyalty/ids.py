"""Customer ids, each with the ordinal that it has for good: a table of hashes over their text.

A million ids take 35 MB so, as keys of a dict 130 MB, and records are found by pieces of their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.hashing import hash64, hash64_many
from loyalty.spans import Spans

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ONE = np.uint64(1)


class _Held(NamedTuple):
    """Replaced as a whole where it grows: another thread may be looking something up."""

    text: NDArray[np.uint8]
    places: NDArray[np.int64]  # by ordinal, where each begins; the end of the last follows
    table: NDArray[np.uint64]  # the upper half of a hash, ordinal + 1; 0: free.  By the upper half.


class Ids:
    """Only ever more of them.  One thread adds; others may look."""

    def __init__(self) -> None:
        self._held = _Held(np.zeros(16, np.uint8), np.zeros(2, np.int64), np.zeros(2, np.uint64))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, ids: Sequence[bytes], hashes: NDArray[np.uint64] | None = None) -> NDArray[np.int64]:
        """The ordinal of each, -1 of one that is not known; `hashes` are `hash64` of theirs."""
        return self._find(*_columns(ids, hashes))[0]

    def add(self, ids: Sequence[bytes], hashes: NDArray[np.uint64] | None = None) -> NDArray[np.int64]:
        """The ordinal of each; new ones get the next."""
        spans, hashed = _columns(ids, hashes)
        found, unknown = self._find(spans, hashed)
        if unknown:
            sizes = (spans.ends - spans.starts)[found < 0]
            self._grow(self._count + unknown, int(self._held.places[self._count] + sizes.sum()))
            self._count = _add(*self._held, self._count, spans.text, spans.starts, spans.ends, hashed, found)
        return found

    def one(self, id: bytes) -> int:
        """The ordinal of an id, -1 if it is not known."""
        return int(_one(*self._held, np.frombuffer(id, np.uint8), np.uint64(hash64(id))))

    def at(self, ordinals: NDArray[np.integer]) -> Spans:
        """The ids of these."""
        text, places = self._held.text, self._held.places
        return Spans(text, places[ordinals], places[ordinals + 1])

    def all(self) -> Spans:
        """All ids, by ordinal."""
        return self.at(np.arange(self._count))

    def _find(self, ids: Spans, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], int]:
        """The ordinals, and how many are not known."""
        found = np.empty(len(ids), np.int64)
        return found, _find(*self._held, ids.text, ids.starts, ids.ends, hashes, found)

    def _grow(self, count: int, size: int) -> None:
        """Have room for so many ids of so many bytes in all."""
        text, places, table = self._held
        if size > len(text):
            text = np.append(text, np.zeros(max(size - len(text), len(text) // 2), np.uint8))
        if count >= len(places):
            places = np.append(places, np.zeros(max(count + 1 - len(places), len(places) // 2), np.int64))
        if 2 * count > len(table):
            table = np.zeros(1 << (2 * count - 1).bit_length(), np.uint64)
            _move(self._held.table, table)
        self._held = _Held(text, places, table)


def _columns(ids: Sequence[bytes], hashes: NDArray[np.uint64] | None) -> tuple[Spans, NDArray[np.uint64]]:
    spans = Spans.of(ids)
    return spans, hash64_many(spans) if hashes is None else np.ascontiguousarray(hashes)


@compiled
def _place(
    text: NDArray[np.uint8], places: NDArray[np.int64], table: NDArray[np.uint64],
    other: NDArray[np.uint8], start: int, end: int, hashed: Any,
) -> Any:  # fmt: skip
    """Where an id stands in the table, or would."""
    mask, tag = np.uint64(len(table) - 1), hashed >> _HALF
    place = tag & mask
    while table[place] != 0:
        if table[place] >> _HALF == tag:
            ordinal = np.int64((table[place] & _LOW) - _ONE)
            first = places[ordinal]
            same = places[ordinal + 1] - first == end - start
            for i in range(end - start if same else 0):
                same &= text[first + i] == other[start + i]
            if same:
                break
        place = (place + _ONE) & mask
    return place


@compiled
def _one(
    text: NDArray[np.uint8], places: NDArray[np.int64], table: NDArray[np.uint64],
    id: NDArray[np.uint8], hashed: Any,
) -> Any:  # fmt: skip
    return np.int64(table[_place(text, places, table, id, 0, len(id), hashed)] & _LOW) - 1


@compiled
def _find(
    text: NDArray[np.uint8], places: NDArray[np.int64], table: NDArray[np.uint64],
    other: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64],
    hashes: NDArray[np.uint64], found: NDArray[np.int64],
) -> int:  # fmt: skip
    unknown = 0
    for n in range(len(starts)):
        place = _place(text, places, table, other, starts[n], ends[n], hashes[n])
        found[n] = np.int64(table[place] & _LOW) - 1
        unknown += found[n] < 0
    return unknown


@compiled
def _add(
    text: NDArray[np.uint8], places: NDArray[np.int64], table: NDArray[np.uint64], count: int,
    other: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64],
    hashes: NDArray[np.uint64], found: NDArray[np.int64],
) -> int:  # fmt: skip
    """How many there are then."""
    for n in range(len(starts)):
        if found[n] >= 0:
            continue
        place = _place(text, places, table, other, starts[n], ends[n], hashes[n])
        if table[place] == 0:
            at = places[count]
            for i in range(ends[n] - starts[n]):
                text[at + i] = other[starts[n] + i]
            count += 1
            places[count] = at + ends[n] - starts[n]
            table[place] = hashes[n] >> _HALF << _HALF | np.uint64(count)
        found[n] = np.int64(table[place] & _LOW) - 1
    return count


@compiled
def _move(before: NDArray[np.uint64], table: NDArray[np.uint64]) -> None:
    mask = np.uint64(len(table) - 1)
    for entry in before:
        if entry != 0:
            place = (entry >> _HALF) & mask
            while table[place] != 0:
                place = (place + _ONE) & mask
            table[place] = entry
