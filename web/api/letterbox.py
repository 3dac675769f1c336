"""The topic `dead-letters` read from its end: the newest letters first, no more of them than are asked for.

A letter and the note that it was mapped again stand in one partition, the note behind the letter.  So what
was noted is known for all that is read from the end; it is kept, and only what is new is read the next time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import Message

from agents.dead_letters import Letter, Replayed, decode
from agents.tail import KafkaAway, Tail
from config import topics
from config.settings import Settings

#: Records of a partition that are read at a time.
CHUNK = 500
#: Records after which a page ends, though it is not full: what is looked for may be rare.
MOST_READ = 20_000
#: Seconds without any progress until Kafka counts as away.
PATIENCE = 30.0

#: Partition -> offset.
Places = dict[int, int]


@dataclass(slots=True)
class _Stack:
    """The letters of a partition that were read and not taken yet, the newest last; `low` is read down to."""

    begin: int
    low: int
    letters: list[tuple[int, int, Letter]] = field(default_factory=list)  # time, offset

    @property
    def below(self) -> int:
        """The offset below which everything is left."""
        return self.letters[-1][1] + 1 if self.letters else self.low

    @property
    def more(self) -> bool:
        """Whether something may be left."""
        return bool(self.letters) or self.low > self.begin


@dataclass(slots=True)
class Letterbox:
    """One reader for all requests of a process."""

    settings: Settings
    #: Records read so far.
    read: int = 0
    _replayed: set[str] = field(default_factory=set)
    #: By partition: from which offset to which every note is known.
    _known: dict[int, tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def page(
        self, wanted: Callable[[Letter, bool], bool], limit: int, before: Places | None = None
    ) -> tuple[list[tuple[Letter, bool]], Places | None]:
        """Letters below `before` (None: the newest), and whether they were mapped again; the next `before`.

        `wanted` is asked for each letter.  Raises KafkaAway, NoTopic.
        """
        with self._lock:
            found: list[tuple[Letter, bool]] = []
            stacks = self._stacks(before)
            for letter in self._down(stacks, MOST_READ):
                again = letter.id in self._replayed
                if wanted(letter, again):
                    found.append((letter, again))
                    if len(found) == limit:
                        break
            more = any(stack.more for stack in stacks.values())
            return found, {p: stack.below for p, stack in stacks.items()} if more else None

    def find(self, ids: set[str]) -> dict[str, Letter]:
        """Letters by id; those that are not there are left out.  Raises KafkaAway, NoTopic."""
        found: dict[str, Letter] = {}
        with self._lock:
            for letter in self._down(self._stacks(None), None):
                if letter.id in ids:
                    found.setdefault(letter.id, letter)
                    if len(found) == len(ids):
                        break
        return found

    def _stacks(self, before: Places | None) -> dict[int, _Stack]:
        """Where a page begins, with all that was noted behind it."""
        tail = Tail(self.settings, topics.DEAD_LETTERS, from_end=True)
        try:
            ends = dict(tail.positions)
            starts = {p: min((before or {}).get(p, end), end) for p, end in ends.items()}
            stacks = {p: _Stack(tail.begin(p), start) for p, start in starts.items()}
        finally:
            tail.close()
        for p, end in ends.items():
            if self._known.get(p, (0, end + 1))[1] > end:  # new to us, or the topic was made anew
                self._known[p] = end, end
        self._note({p: (self._known[p][1], end) for p, end in ends.items()})
        self._note({p: (start, self._known[p][0]) for p, start in starts.items()})
        return stacks

    def _note(self, ranges: dict[int, tuple[int, int]]) -> None:
        """Take the notes of what lies just behind, or just before, what is known."""
        unread = {p: (low, high) for p, (low, high) in ranges.items() if low < high}
        if unread:
            for _ in self._between(unread):
                pass
            for p, (low, high) in unread.items():
                self._known[p] = min(self._known[p][0], low), max(self._known[p][1], high)

    def _down(self, stacks: dict[int, _Stack], most: int | None) -> Iterator[Letter]:
        """Letters, of those that stand at the ends of their partitions the newest."""
        enough = None if most is None else self.read + most
        while True:
            empty = {p: stack for p, stack in stacks.items() if not stack.letters and stack.more}
            if empty:
                if enough is not None and self.read >= enough:
                    return
                self._fill(empty)
                continue
            full = [stack for stack in stacks.values() if stack.letters]
            if not full:
                return
            yield max(full, key=lambda stack: stack.letters[-1][0]).letters.pop()[2]

    def _fill(self, stacks: dict[int, _Stack]) -> None:
        ranges = {p: (max(stack.begin, stack.low - CHUNK), stack.low) for p, stack in stacks.items()}
        for record, entry in self._between(ranges):
            if isinstance(entry, Letter):
                stack = stacks[int(record.partition() or 0)]
                stack.letters.append((record.timestamp()[1], int(record.offset() or 0), entry))
        for p, (low, _) in ranges.items():
            stacks[p].low = low
            self._known[p] = min(self._known[p][0], low), self._known[p][1]

    def _between(self, ranges: dict[int, tuple[int, int]]) -> Iterator[tuple[Message, Letter | Replayed]]:
        """What stands in [low, high) of partitions; notes are taken."""
        one = next(iter(ranges)) if len(ranges) == 1 else None
        start = {p: low for p, (low, _) in ranges.items()}
        if one is None:
            # What is not asked for is read from where nothing stands yet.
            start = {p: high for p, (_, high) in self._known.items()} | start
        tail = Tail(self.settings, topics.DEAD_LETTERS, start=start, only=one)
        try:
            moved = time.monotonic()
            while any(tail.positions[p] < high for p, (_, high) in ranges.items()):
                before = dict(tail.positions)
                for record in tail.poll(0.1):
                    self.read += 1
                    _, high = ranges.get(int(record.partition() or 0), (0, 0))
                    if int(record.offset() or 0) < high:
                        entry = decode(record.value() or b"")
                        if isinstance(entry, Replayed):
                            self._replayed.add(entry.replayed)
                        yield record, entry
                if tail.positions != before:
                    moved = time.monotonic()
                elif time.monotonic() - moved > PATIENCE:
                    raise KafkaAway(self.settings, f"{topics.DEAD_LETTERS} cannot be read")
        finally:
            tail.close()
