"""Records in columns: as the fold takes them, one after the other in one text; and pieces of a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Column(NamedTuple):
    """Texts one after the other in one, by where each ends; `missing` ones have no bytes."""

    text: bytes
    ends: NDArray[np.int64]
    missing: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Iterable[bytes | None]) -> Column:
        """These."""
        given = list(texts)
        found = [text or b"" for text in given]
        ends = np.cumsum(np.fromiter(map(len, found), np.int64, len(found)))
        return cls(b"".join(found), ends, np.array([text is None for text in given], np.bool_))

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each begins."""
        return np.concatenate([np.zeros(1, np.int64), self.ends])[:-1]

    def all(self) -> list[bytes | None]:
        """All of them."""
        text, ends = self.text, self.ends.tolist()
        found: list[bytes | None] = [text[start:end] for start, end in pairwise([0, *ends])]
        for n in np.flatnonzero(self.missing).tolist():
            found[n] = None
        return found

    def at(self, n: int) -> bytes | None:
        """The text of a number."""
        return None if self.missing[n] else self.text[self.ends[n - 1] if n else 0 : self.ends[n]]


@dataclass(frozen=True, slots=True)
class Log:
    """Records of a partition: their offsets and values."""

    offsets: NDArray[np.int64]
    values: Column

    def __len__(self) -> int:
        return len(self.offsets)


def joined(records: Sequence[tuple[int, bytes | None]]) -> Log:
    """The log of (offset, value), None for a record without one."""
    offsets = np.array([offset for offset, _ in records], np.int64)
    return Log(offsets, Column.of(value for _, value in records))
