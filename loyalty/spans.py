"""Many texts without an object of Python's for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
        places = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=places[1:])
        return cls(np.frombuffer(b"".join(texts), np.uint8), places)

    def __len__(self) -> int:
        return len(self.places) - 1

    def spans(self) -> Spans:
        """The same as pieces."""
        return Spans(self.data, self.places[:-1], self.places[1:])

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
        if text.flags.writeable:  # what is compiled for one kind of text is compiled for all
            text = text.view()
            text.flags.writeable = False
        self.text, self.starts, self.ends = text, starts, ends

    @classmethod
    def concatenated(cls, parts: Sequence[Spans]) -> Spans:
        """All of them, one part after the other."""
        starts, ends = (
            np.concatenate(each) for each in zip(*((p.starts, p.ends) for p in parts), strict=True)
        )
        if all(part.text is parts[0].text for part in parts):
            return cls(parts[0].text, starts, ends)
        shift = np.repeat(
            np.cumsum([0, *(len(part.text) for part in parts[:-1])]), [len(part) for part in parts]
        )
        return cls(np.concatenate([part.text for part in parts]), starts + shift, ends + shift)

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Spans:
        """These texts."""
        if isinstance(texts, Spans):
            return texts
        return Texts.of(texts).spans()

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

    def but(self, which: NDArray[np.integer], texts: Sequence[bytes]) -> Spans:
        """The same, with others at these places."""
        mine, others = self.joined(), Texts.of(texts)
        starts, ends = mine.places[:-1].copy(), mine.places[1:].copy()
        starts[which], ends[which] = others.places[:-1] + len(mine.data), others.places[1:] + len(mine.data)
        return Spans(np.concatenate([mine.data, others.data]), starts, ends)

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
