"""The one stable hash: FNV-1a with splitmix64's finaliser, 64 bits, never 0.

Event ids, words of a profile and refresh minutes all come from it, so it is part of the row's format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.spans import Spans

BASIS = np.uint64(14695981039346656037)
PRIME = np.uint64(1099511628211)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_ONE = np.uint64(1)


@compiled
def mix(z: Any) -> Any:
    """splitmix64's finaliser."""
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@compiled
def finished(z: Any) -> Any:
    """The hash, of what FNV-1a has come to."""
    return max(mix(z), _ONE)


@compiled
def _hash(text: NDArray[np.uint8], start: int, end: int) -> Any:
    z = BASIS
    for i in range(start, end):
        z = (z ^ np.uint64(text[i])) * PRIME
    return finished(z)


@compiled
def _hashes(
    text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64], out: NDArray[np.uint64]
) -> None:
    for n in range(len(starts)):
        out[n] = _hash(text, starts[n], ends[n])


def hash64_many(items: Sequence[bytes]) -> NDArray[np.uint64]:
    """The hash of each of `items`, shape (len(items),)."""
    spans, out = Spans.of(items), np.empty(len(items), np.uint64)
    _hashes(spans.text, spans.starts, spans.ends, out)
    return out


def hash64(data: bytes) -> int:
    """The hash of `data`, 1 .. 2^64 - 1."""
    return int(_hash(np.frombuffer(data, np.uint8), 0, len(data)))


def word_hash(word: str) -> int:
    """The 32 bits a row keeps of a word; 0 for an empty one."""
    return hash64(word.encode()) & 0xFFFFFFFF if word else 0
