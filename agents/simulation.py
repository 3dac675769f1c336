"""What would have been: the recorded events through the same fold under a draft, beside what happened.

Two folds go through the log together.  One takes all that was recorded.  The other begins where the first
stands at the start, counts the draft's revision from there on, and takes what folds send each other not from
the record but from itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import groupby, islice, takewhile

import msgspec

from agents.clock import marker
from agents.recorded import Contents, Recorded, recorded
from agents.refolding import BATCH, Refold, Stretch, plan
from agents.tally import Tally
from catalog.content import Content
from config.settings import Settings
from streams.partition import partition_of

#: Characters of a time up to its minute: what comes within one is folded together, and answered after it.
_MINUTE = 16
#: What the operator's systems answered to grants that the draft may never have made.
_ANSWERS = frozenset(("grant_fulfilled", "grant_failed"))
_ANY_TIME = 946_684_800_000  # of the draft's marker: nobody reads it

#: A minute of a partition's log, None for all of before the range.
Minute = tuple[str | None, Iterator[Recorded]]


@dataclass(slots=True)
class Simulated:
    """What came of it.  `owed` are points in lots at the end: under the draft, and as recorded."""

    stretches: list[Stretch]
    draft: Tally = field(default_factory=Tally)
    recorded: Tally = field(default_factory=Tally)
    owed: tuple[int, int] = (0, 0)


class Simulation:
    """One run.  Memory holds a row of each customer, and one more of those that the draft makes another."""

    def __init__(
        self, settings: Settings, draft: Content, contents: Contents, since: str | None, until: str | None
    ) -> None:
        """Of the log's time [since, until), None: from the first, to the last record.

        The draft's revision must be above all recorded ones.  Raises KhayweError, KafkaException.
        """
        self._settings, self._draft, self._contents = settings, draft, contents
        self._since, self._until = since or "", until or "~"
        self._stretches = plan(settings, since)
        #: Offsets that are to be read, at most.
        self.total = sum(stretch.end - stretch.position for stretch in self._stretches)
        self._found = Simulated(self._stretches)
        self._recorded: dict[int, Refold] = {}
        self._drafts: dict[int, Refold] = {}
        #: Forwards that were sent before the range and are recorded in it; below 0, the other way round.
        self._under_way: Counter[bytes] = Counter()
        self._forwards = _Forwards(len(self._stretches))
        #: By partition, records of the range that the first fold has not taken yet: nobody waits for it.
        self._behind: dict[int, list[bytes | None]] = {stretch.partition: [] for stretch in self._stretches}

    def run(self, progress: Callable[[int], None]) -> Simulated:
        """Fold; `progress` is told how many more offsets are read.  Raises KhayweError, KafkaException."""
        with ExitStack() as stack:
            logs: dict[int, Iterator[Minute]] = {}
            for stretch in self._stretches:
                offsets = stretch.position, stretch.end
                records = recorded(self._settings, stretch.partition, offsets, progress)
                stack.enter_context(closing(records))
                logs[stretch.partition] = self._minutes(records)
            self._fold(logs)
        self._found.owed = _owed(self._drafts.values()), _owed(self._recorded.values())
        return self._found

    def _minutes(self, records: Iterable[Recorded]) -> Iterator[Minute]:
        since, until = self._since, self._until
        within = takewhile(lambda record: record.at < until, records)
        return groupby(within, lambda record: None if record.at < since else record.at[:_MINUTE])

    def _fold(self, logs: dict[int, Iterator[Minute]]) -> None:
        share = max(1_000, self._settings.cache_rows // (2 * len(logs)))
        heads: dict[int, Minute] = {}
        for stretch in self._stretches:
            partition = stretch.partition
            refold = stretch.refold(self._contents, share)
            self._recorded[partition] = refold
            head = next(logs[partition], None)
            if head is not None and head[0] is None:
                self._before(refold, head[1])
                head = next(logs[partition], None)
            if head is not None:
                heads[partition] = head
        self._under_way = Counter({value: count for value, count in self._under_way.items() if count})
        for partition, refold in self._recorded.items():
            self._drafts[partition] = refold.fork(self._content)
            self._under_draft(partition, [marker(self._draft.revision, _ANY_TIME)])
        while heads:
            minute = min(str(key) for key, _ in heads.values())
            for stretch in self._stretches:
                if stretch.partition in heads and heads[stretch.partition][0] == minute:
                    self._within(stretch, heads.pop(stretch.partition)[1])
                    head = next(logs[stretch.partition], None)
                    if head is not None:
                        heads[stretch.partition] = head
            for partition, values in self._forwards.rounds():
                self._under_draft(partition, values)
        for partition in self._recorded:
            self._as_recorded(partition)

    def _content(self, revision: int) -> Content:
        return self._draft if revision == self._draft.revision else self._contents(revision)

    def _before(self, refold: Refold, records: Iterator[Recorded]) -> None:
        while batch := list(islice(records, BATCH)):
            self._under_way.subtract(record.value or b"" for record in batch if record.forward)
            for outcome in refold.fold([record.value for record in batch]):
                self._under_way.update(value for _, value in outcome.forwards)

    def _within(self, stretch: Stretch, records: Iterator[Recorded]) -> None:
        while batch := list(islice(records, BATCH)):
            if not stretch.records:
                stretch.begin = batch[0].offset
            stretch.records += len(batch)
            stretch.end = batch[-1].offset + 1
            behind = self._behind[stretch.partition]
            behind += [record.value for record in batch]
            if len(behind) >= BATCH:
                self._as_recorded(stretch.partition)
            self._under_draft(stretch.partition, [record.value for record in batch if self._counts(record)])

    def _as_recorded(self, partition: int) -> None:
        for outcome in self._recorded[partition].fold(self._behind[partition]):
            self._found.recorded.add(outcome.effects)
        self._behind[partition].clear()

    def _counts(self, record: Recorded) -> bool:
        """Whether the draft takes a recorded record of the range."""
        if not record.forward:
            return record.event_type != "_marker" and record.event_type not in _ANSWERS
        value = record.value or b""
        if self._under_way[value] <= 0:
            return False
        self._under_way[value] -= 1
        return True

    def _under_draft(self, partition: int, values: list[bytes | None]) -> None:
        for outcome in self._drafts[partition].fold(values):
            self._found.draft.add(outcome.effects)
            for key, value in outcome.forwards:
                if self._under_way[value] < 0:
                    self._under_way[value] += 1  # already there: it overtook the range's begin
                else:
                    self._forwards.add(partition, key, value)


class _Forward(msgspec.Struct):
    event_type: str
    occurred_at: str


class _Forwards:
    """What folds send each other, on its way."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._waiting: list[tuple[str, int, int, int, bytes]] = []
        self._decode = msgspec.json.Decoder(_Forward).decode

    def add(self, partition: int, key: bytes, value: bytes) -> None:
        """Sent by `partition`, in its order."""
        head = self._decode(value)
        # Who asks an account first is served first, wherever that is; all else keeps the order of its sender.
        at = head.occurred_at if head.event_type == "_reserve" else ""
        self._waiting.append((at, partition, len(self._waiting), partition_of(key, self._partitions), value))

    def rounds(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """Records by the partition that they go to, until nobody sends any more."""
        while self._waiting:
            arrived, self._waiting = sorted(self._waiting), []
            for partition in range(self._partitions):
                values: list[bytes | None] = [value for _, _, _, to, value in arrived if to == partition]
                if values:
                    yield partition, values


def _owed(refolds: Iterable[Refold]) -> int:
    return sum(sum(refold.state.partition.owed.values()) for refold in refolds)
