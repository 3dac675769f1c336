"""Records of a partition as the fold takes them: in columns, all values one after the other in one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
