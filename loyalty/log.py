"""Records in columns: as the fold takes them, one after the other in one text; and pieces of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Log:
    """`ends`: where each value ends in `text`, the first begins at 0; one that is `missing` has no bytes."""

    offsets: NDArray[np.int64]
    text: bytes
    ends: NDArray[np.int64]
    missing: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offsets)


def joined(records: Sequence[tuple[int, bytes | None]]) -> Log:
    """The log of (offset, value), None for a record without one."""
    values = [value or b"" for _, value in records]
    return Log(
        np.array([offset for offset, _ in records], np.int64),
        b"".join(values),
        np.cumsum(np.fromiter(map(len, values), np.int64, len(values))),
        np.array([value is None for _, value in records], np.bool_),
    )


class Spans(Sequence[bytes]):
    """Pieces of a text (u1), in any order; each becomes bytes when it is asked for."""

    def __init__(self, text: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self.text, self.starts, self.ends = text, starts, ends

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

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))
