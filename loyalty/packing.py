"""Rows as they are stored: most of a row is zeros, so a stored one has a bit for each of its words, and those
that are not 0.  A fourth of the bytes for the changelog, RocksDB and snapshots to carry.

    format | 0x8000 (u2) · a bit for each word, lowest first, up to a whole word · the words that are not 0

All is little-endian and in words of 8 bytes, so that it is packed and unpacked a word at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.row import FORMAT, ROW, NewerRow, RowFormatError, plain, read

WORDS = ROW.itemsize // 8
_FIRST = 16  # bit of the first word: those before are the format
_HEAD = (_FIRST + WORDS + 63) // 64  # words
_MARK = 0x8000
_PACKED = (FORMAT | _MARK).to_bytes(2, "little")
assert ROW.itemsize % 8 == 0

Words = NDArray[np.uint64]


# Nothing that a change of ROW changes is a constant of these: numba would go on with the old one.


@compiled
def _sizes(words: Words, slots: NDArray[np.int64], before: int, out: NDArray[np.int64]) -> None:
    for n in range(slots.shape[0]):
        count = 0
        for w in range(words.shape[1]):
            count += words[slots[n], w] != 0
        out[n] = before + count


@compiled
def _pack(words: Words, slots: NDArray[np.int64], before: int, mark: int, out: Words) -> None:
    at = 0
    for n in range(slots.shape[0]):
        head, at = at, at + before
        out[head] = mark
        for w in range(words.shape[1]):
            word = words[slots[n], w]
            if word != 0:
                bit = _FIRST + w
                out[head + bit // 64] |= np.uint64(1) << np.uint64(bit % 64)
                out[at] = word
                at += 1


@compiled
def _unpack(packed: Words, ends: NDArray[np.int64], before: int, words: Words) -> int:
    """Fill `words`; the first row whose length is not what its bits say, -1 for none."""
    head: Any = 0
    for n in range(ends.shape[0]):
        at, end = head + before, ends[n]
        for w in range(words.shape[1]):
            bit = _FIRST + w
            if packed[head + bit // 64] >> np.uint64(bit % 64) & np.uint64(1):
                if at >= end:
                    return n
                words[n, w] = packed[at]
                at += 1
        if at != end:
            return n
        head = end
    return -1


def pack(rows: NDArray[np.void], slots: NDArray[Any]) -> list[bytes]:
    """The stored form of rows (ROW) by their slots."""
    words, slots = rows.view(np.uint64).reshape(-1, WORDS), slots.astype(np.int64)
    sizes = np.empty(len(slots), np.int64)
    _sizes(words, slots, _HEAD, sizes)
    out = np.zeros(int(sizes.sum()), np.uint64)
    _pack(words, slots, _HEAD, FORMAT | _MARK, out)
    joined = out.tobytes()
    return [joined[start:end] for start, end in pairwise(accumulate((sizes * 8).tolist(), initial=0))]


def is_packed(data: bytes) -> bool:
    """Whether these are bytes of a stored row of today's format."""
    return data[:2] == _PACKED


def unpack(stored: Sequence[bytes]) -> NDArray[np.void]:
    """The rows (ROW) of their stored forms, all of which `is_packed`.  Raises RowFormatError."""
    words = np.zeros((len(stored), WORDS), np.uint64)
    lengths = np.fromiter(map(len, stored), np.int64, len(stored))
    odd = np.flatnonzero((lengths % 8 != 0) | (lengths < 8 * _HEAD))
    if len(odd):
        bad = int(odd[0])
    else:
        bad = _unpack(np.frombuffer(b"".join(stored), np.uint64), np.cumsum(lengths // 8), _HEAD, words)
    if bad >= 0:
        raise RowFormatError(f"row has {len(stored[bad])} bytes, its bits say otherwise: not a row")
    return words.reshape(-1).view(ROW)


def opened(data: bytes) -> NDArray[np.void]:
    """The row of its bytes, stored or plain, shape (1,).  Raises RowFormatError."""
    if is_packed(data):
        return unpack([data])
    found = int.from_bytes(data[:2], "little")
    if found & _MARK and found & ~_MARK > FORMAT:
        raise NewerRow(found & ~_MARK)
    return read(data)


def decode(data: bytes) -> dict[str, Any]:
    """Plain values of a row's bytes, stored or plain; see `loyalty.row.plain`.  Raises RowFormatError."""
    return plain(opened(data)[0])
