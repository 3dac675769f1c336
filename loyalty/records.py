"""Records of `customer-events` one by one: as structs, decoded when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class Record(msgspec.Struct, gc=False):
    """A record as it stands on the topic."""

    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str
    attributes: dict[str, Any] = {}


#: Raises MsgspecError.
decode_one = msgspec.json.Decoder(Record).decode


class Records:
    """Records by index, each decoded when it is asked for."""

    __slots__ = ("_causes", "_ends", "_found", "_starts", "_text")

    def __init__(
        self, text: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], found: dict[int, Record],
        causes: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """`found`: those that are decoded already; `causes`: where `causes` of all others stand."""
        self._text, self._starts, self._ends = text, starts, ends
        self._found, self._causes = found, causes

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    def raw(self, i: int) -> bytes:
        """The bytes of a record."""
        return self._text[self._starts[i] : self._ends[i]]

    def __getitem__(self, i: int) -> Record:
        """The record at an index from 0."""
        record = self._found.get(i)
        if record is None:
            record = self._found[i] = decode_one(self.raw(i))
        return record

    def causes(self, which: NDArray[np.int64]) -> Iterator[tuple[bytes, bytes]]:
        """Source and event_id of these records, without decoding them."""
        text, found = self._text, self._found
        for i, a, b, c, d in zip(which.tolist(), *self._causes[:, which].tolist(), strict=True):
            record = found.get(i)
            if record is None:
                yield text[a:b], text[c:d]
            else:
                yield record.source.encode(), record.event_id.encode()
