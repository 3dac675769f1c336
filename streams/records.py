"""Records of one partition in columns: a batch is read column by column, one by one only where it must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from confluent_kafka import TIMESTAMP_CREATE_TIME
from numpy.typing import NDArray

from streams.librdkafka import Read, Taken

_SHIFT = 32  # bits of a partition's number


class HeadersUnreadable(ValueError):
    """A header's name is no UTF-8."""


class Record:
    """One of a batch's records; what is asked of it as of a `confluent_kafka.Message`."""

    __slots__ = ("_batch", "_n")

    def __init__(self, batch: Records, n: int) -> None:
        self._batch, self._n = batch, n

    def topic(self) -> str:
        """Its topic."""
        return self._batch.topic

    def partition(self) -> int:
        """Its partition."""
        return self._batch.partition

    def offset(self) -> int:
        """Its offset."""
        return self._batch.offsets[self._n]

    def timestamp(self) -> tuple[int, int]:
        """What kind of time it is, and Kafka's time of it, ms since 1970; below 0 where there is none."""
        return TIMESTAMP_CREATE_TIME, self._batch.times[self._n]

    def value(self) -> bytes | None:
        """Its value, None for a tombstone."""
        return self._batch.values[self._n]

    def key(self) -> bytes | None:
        """Its key."""
        return self._batch.keys[self._n]

    def headers(self) -> Read:
        """Its headers.  Raises HeadersUnreadable."""
        found = self._batch.headers.get(self._n, [])
        if found is None:
            raise HeadersUnreadable("a header's name is no UTF-8")
        return found


class Slices(Sequence[bytes | None]):
    """Pieces of bytes, cut when they are asked for; those that begin at -1 are None."""

    __slots__ = ("_begins", "_data", "_ends")

    def __init__(self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        self._data, self._begins, self._ends = data, begins.tolist(), ends.tolist()

    def __len__(self) -> int:
        return len(self._begins)

    def __iter__(self) -> Iterator[bytes | None]:
        data = self._data
        for begin, end in zip(self._begins, self._ends, strict=True):
            yield None if begin < 0 else data[begin:end]

    @overload
    def __getitem__(self, n: int) -> bytes | None: ...
    @overload
    def __getitem__(self, n: slice) -> list[bytes | None]: ...
    def __getitem__(self, n: Any) -> Any:
        if isinstance(n, slice):
            return [self[i] for i in range(*n.indices(len(self)))]
        return None if self._begins[n] < 0 else self._data[self._begins[n] : self._ends[n]]


class Records(Sequence[Record]):
    """Records of one partition, in the order of their offsets."""

    __slots__ = ("headers", "keys", "offsets", "partition", "times", "topic", "values")

    def __init__(
        self, topic: str, partition: int, offsets: list[int], times: list[int], values: list[bytes | None],
        keys: Sequence[bytes | None], headers: Mapping[int, Read | None],
    ) -> None:  # fmt: skip
        """`times` in ms; `headers` by index, of those that have some, None where they cannot be read."""
        self.topic, self.partition = topic, partition
        self.offsets, self.times, self.values, self.keys, self.headers = offsets, times, values, keys, headers

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, n: int) -> Record: ...
    @overload
    def __getitem__(self, n: slice) -> list[Record]: ...
    def __getitem__(self, n: Any) -> Any:
        places = range(len(self.offsets))[n]
        return Record(self, places) if isinstance(places, int) else [Record(self, each) for each in places]


def nothing(topic: str, partition: int) -> Records:
    """No records."""
    return Records(topic, partition, [], [], [], (), {})


def by_partition(taken: Taken) -> Iterator[Records]:
    """What was taken out of a consumer: the records of each partition."""
    data = taken.data
    places = taken.topic << _SHIFT | taken.partition
    for place in np.unique(places).tolist():
        kept = np.flatnonzero(places == place)
        begins, ends, *keys = taken.places[:, kept]
        values = [data[a:b] if a >= 0 else None for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
        headers = {}
        if taken.headers:
            at = {n: number for number, n in enumerate(kept.tolist())}
            headers = {at[n]: read for n, read in taken.headers.items() if n in at}
        yield Records(
            taken.topics[place >> _SHIFT], place & (1 << _SHIFT) - 1, taken.offset[kept].tolist(),
            taken.time[kept].tolist(), values, Slices(data, *keys), headers,
        )  # fmt: skip
