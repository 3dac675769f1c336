"""Many texts without an object of Python's for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from loyalty.blake2 import digests
from loyalty.compiled import compiled


@dataclass(slots=True)
class Texts:
    """Texts one after the other: `places` of `data` are where each begins, and where the last ends."""

    data: NDArray[np.uint8]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """These texts."""
        places = np.array([0, *accumulate(map(len, texts))], np.int64)
        return cls(np.frombuffer(b"".join(texts), np.uint8), places)

    def __len__(self) -> int:
        return len(self.places) - 1

    def split(self) -> list[bytes]:
        """Each text."""
        whole = self.data.tobytes()
        return [whole[a:b] for a, b in pairwise(self.places.tolist())]

    def hashed(self) -> NDArray[np.uint8]:
        """The BLAKE2b of each text in hexadecimal digits, (texts, HEX)."""
        return digests(self.data, self.places)


class Spans(Sequence[bytes]):
    """Pieces of a text, in any order; each becomes bytes when it is asked for."""

    def __init__(self, text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self.text, self.starts, self.ends = text, starts, ends

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Spans:
        """These texts."""
        if isinstance(texts, Spans):
            return texts
        joined = Texts.of(texts)
        return cls(joined.data, joined.places[:-1], joined.places[1:])

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, n: int) -> bytes: ...
    @overload
    def __getitem__(self, n: slice) -> Spans: ...
    def __getitem__(self, n: int | slice) -> bytes | Spans:
        """A piece, or some of them."""
        if isinstance(n, slice):
            return Spans(self.text, self.starts[n], self.ends[n])
        return self.text[self.starts[n] : self.ends[n]].tobytes()

    def take(self, which: NDArray[np.integer]) -> Spans:
        """Pieces by number, any of them any often."""
        return Spans(self.text, self.starts[which], self.ends[which])

    def joined(self) -> Texts:
        """The pieces one after the other."""
        places = np.zeros(len(self) + 1, np.int64)
        np.cumsum(self.ends - self.starts, out=places[1:])
        data = np.empty(places[-1], np.uint8)
        _join(self.text, self.starts, places, data)
        return Texts(data, places)

    def all(self) -> list[bytes]:
        """Each piece."""
        return self.joined().split()


@compiled
def _join(
    text: NDArray[np.uint8], starts: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]
) -> None:
    for n in range(len(starts)):
        at, to = np.uint64(starts[n]), np.uint64(places[n])
        for i in range(np.uint64(places[n + 1]) - to):
            data[to + i] = text[at + i]
