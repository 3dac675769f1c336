"""Records of a partition as Kafka gave them: in columns, and one by one for whoever needs all of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from loyalty.log import Column, Log

#: Names as they came: nobody promises UTF-8.
Headers = list[tuple[bytes, bytes | None]]


class Partition(NamedTuple):
    """A topic's partition."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Record:
    """All of one record, asked for as of confluent-kafka's messages."""

    _place: Partition
    _offset: int
    _timestamp: int
    _key: bytes | None
    _value: bytes | None
    _headers: Headers | None

    def topic(self) -> str:
        """Its topic."""
        return self._place.topic

    def partition(self) -> int:
        """Its partition."""
        return self._place.partition

    def offset(self) -> int:
        """Its offset."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """What made the time (1: the producer), and Kafka's timestamp in ms, -1 for none."""
        return 1, self._timestamp

    def key(self) -> bytes | None:
        """Its key."""
        return self._key

    def value(self) -> bytes | None:
        """Its bytes, None for a tombstone."""
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Its headers, None without any.  Raises UnicodeDecodeError."""
        return None if self._headers is None else [(name.decode(), value) for name, value in self._headers]


class Records(Sequence[Record]):
    """Records in their order; `timestamps` are Kafka's, in ms."""

    def __init__(
        self, place: Partition, offsets: NDArray[np.int64], timestamps: NDArray[np.int64], keys: Column,
        values: Column, headers: dict[int, Headers],
    ) -> None:  # fmt: skip
        """`headers`: of those that have some, by their number."""
        self.place, self.offsets, self.timestamps = place, offsets, timestamps
        self.keys, self.values, self.headers = keys, values, headers

    @classmethod
    def of(cls, place: Partition, records: Sequence[Record]) -> Records:
        """These."""
        return cls(
            place,
            np.array([record.offset() for record in records], np.int64),
            np.array([record.timestamp()[1] for record in records], np.int64),
            Column.of(record.key() for record in records),
            Column.of(record.value() for record in records),
            {n: record._headers for n, record in enumerate(records) if record._headers is not None},
        )

    @property
    def log(self) -> Log:
        """What the fold takes."""
        return Log(self.offsets, self.values)

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, n: int) -> Record: ...
    @overload
    def __getitem__(self, n: slice) -> Sequence[Record]: ...
    def __getitem__(self, n: int | slice) -> Record | Sequence[Record]:
        """All of a record."""
        if isinstance(n, slice):
            return [self[at] for at in range(*n.indices(len(self)))]
        if not -len(self) <= n < len(self):
            raise IndexError(n)
        n %= len(self)
        return Record(
            self.place, int(self.offsets[n]), int(self.timestamps[n]), self.keys.at(n), self.values.at(n),
            self.headers.get(n),
        )  # fmt: skip
