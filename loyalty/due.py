"""When customers are due, so that a tick finds those that are without looking at the rest."""

from __future__ import annotations

import heapq
from array import array

import numpy as np
from numpy.typing import NDArray

from loyalty.row import NO_TIME

_MINUTE = 60_000
_SLACK = 10_000  # entries of buckets that may be outdated, however few customers there are


class Due:
    """`at`: by ordinal, milliseconds since 1970, NO_TIME for who is never due."""

    def __init__(self) -> None:
        self.at = np.full(1024, NO_TIME, np.int64)
        # Whoever is due in a minute: ordinals, some of them due at another time by now, or twice.
        self._buckets: dict[int, array[int]] = {}
        self._minutes: list[int] = []  # a heap of their keys
        self._entries = 0
        self._bucketless = False

    def grow(self, more: int) -> None:
        """Room for so many ordinals more."""
        self.at = np.append(self.at, np.full(more, NO_TIME, np.int64))

    def disorder(self) -> None:
        """Many come at once: the buckets are filled when somebody asks."""
        self._bucketless = True

    def put(self, ordinals: NDArray[np.int64], due: NDArray[np.int64]) -> None:
        """These are due then; a new time goes into its minute's bucket."""
        moved = np.flatnonzero((self.at[ordinals] != due) & (due != NO_TIME))
        self.at[ordinals] = due
        if self._bucketless or not len(moved):
            return
        self._entries += len(moved)
        if self._entries > 2 * len(self.at) + _SLACK:
            self._bucketless = True  # most are of the past by now
            return
        for ordinal, minute in zip(ordinals[moved].tolist(), (due[moved] // _MINUTE).tolist(), strict=True):
            bucket = self._buckets.get(minute)
            if bucket is None:
                bucket = self._buckets[minute] = array("i")
                heapq.heappush(self._minutes, minute)
            bucket.append(ordinal)

    def until(self, at: int, limit: int) -> NDArray[np.int64]:
        """Those due until then, in no order: all, or those of the first minutes in which `limit` are."""
        if self._bucketless:
            self._fill()
        last = at // _MINUTE
        found: list[NDArray[np.int32]] = []
        count = 0
        live_minutes = []
        while self._minutes and self._minutes[0] <= last and count < limit:
            minute = heapq.heappop(self._minutes)
            bucket = self._buckets.pop(minute)
            ordinals = np.unique(np.frombuffer(bucket, np.int32))
            live = ordinals[self.at[ordinals] // _MINUTE == minute]
            self._entries -= len(bucket) - len(live)
            if len(live):
                self._buckets[minute] = array("i", live.tobytes())
                live_minutes.append(minute)
                found.append(live[self.at[live] <= at])
                count += len(found[-1])
        for minute in live_minutes:
            heapq.heappush(self._minutes, minute)
        return np.concatenate([np.empty(0, np.int32), *found]).astype(np.int64)

    def _fill(self) -> None:
        """All buckets anew."""
        ordinals = np.flatnonzero(self.at != NO_TIME).astype(np.int32)
        minutes = self.at[ordinals] // _MINUTE
        order = np.argsort(minutes, kind="stable")
        ordinals, minutes = ordinals[order], minutes[order]
        keys, starts = np.unique(minutes, return_index=True)
        parts = np.split(ordinals, starts[1:])
        self._minutes = keys.tolist()
        self._buckets = {
            minute: array("i", part.tobytes()) for minute, part in zip(self._minutes, parts, strict=False)
        }
        self._entries = len(ordinals)
        self._bucketless = False
