"""What a catalog revision says about days and units: an operator's day, and whole numbers of a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS, calendar
from loyalty.decode import integers
from loyalty.policy import Content, compile_policy

Contents = Callable[[int], Content]
_EPOCH = date(1970, 1, 1)


class Eras:
    """Revisions by number, as far as the projection needs them.  `contents` may wait for one."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._found: dict[int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]] = {}
        self._dates: dict[int, str] = {}

    def _era(self, revision: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.void]]:
        found = self._found.get(revision)
        if found is None:
            content = self._contents(revision)
            zone = calendar(content.decisions.timezone)
            found = zone["starts"][0], zone["offsets"][0], compile_policy(content, revision)
            self._found[revision] = found
        return found

    def prepare(self, revisions: Iterable[int]) -> None:
        """Know these before anybody waits for whoever asks."""
        for revision in revisions:
            self._era(revision)

    def day(self, time: int, revision: int) -> int:
        """The local day of one time (ms)."""
        return int(self.days(np.array([time], np.int64), [revision])[0])

    def days(self, times: NDArray[np.int64], revisions: Sequence[int]) -> NDArray[np.int64]:
        """The local day of each time (ms), days since 1970, by the revision beside it."""
        days = np.empty(len(times), np.int64)
        numbers = np.asarray(revisions, np.int64)
        for revision in np.unique(numbers).tolist():
            starts, offsets, _ = self._era(revision)
            chosen = numbers == revision
            at = times[chosen]
            days[chosen] = (at + offsets[np.searchsorted(starts, at, "right") - 1]) // DAY_MS
        return days

    def units(
        self, values: NDArray[np.float64], kinds: NDArray[np.uint8], revision: int
    ) -> NDArray[np.int64]:
        """Values as the fold counts them, in smallest units."""
        return integers(values, kinds, self._era(revision)[2])

    def date(self, day: int) -> str:
        """A day as ISO 8601 has it."""
        found = self._dates.get(day)
        if found is None:
            found = self._dates[day] = (_EPOCH + timedelta(days=day)).isoformat()
        return found
