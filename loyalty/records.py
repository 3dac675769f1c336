"""Records of `customer-events` one by one: as structs, decoded when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.spans import Spans


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
        """`found`: those that are decoded already; `causes`: where those of all others begin and end."""
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

    def causes(self, which: NDArray[np.int64]) -> tuple[Spans, Spans]:
        """Source and event_id of these records, without decoding them."""
        text = np.frombuffer(self._text, np.uint8)
        begin, end, other, last = (places[which] for places in self._causes)
        sources, event_ids = Spans(text, begin, end), Spans(text, other, last)
        unread = np.flatnonzero(end == 0)
        if not len(unread):
            return sources, event_ids
        records = [self[i] for i in which[unread].tolist()]
        return (
            sources.but(unread, [record.source.encode() for record in records]),
            event_ids.but(unread, [record.event_id.encode() for record in records]),
        )
