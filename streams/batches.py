"""What an agent receives: everything one poll returned, partition by partition, as one message.

A `Poll` belongs to an `Epoch`, the time between two assignments of the consumer group.  Work of an older
epoch must be dropped: its partitions may have another owner, and the broker refuses its offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streams.librdkafka import Headers
from streams.records import Partition as Partition
from streams.records import Records


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition between the fetch positions `begin` (inclusive) and `end` (exclusive).

    Positions are not record offsets: transaction markers and compaction leave gaps between records, at the
    end too.  Batches of a partition must chain: one begins where the last committed one ended.
    """

    source: Partition
    begin: int
    end: int
    records: Records


@dataclass(eq=False, slots=True)
class Epoch:
    """One assignment: what the group's coordinator handed to this member, and with which credentials.

    `positions` holds what is read, and the position of each that was committed last.
    """

    group: str
    generation: int
    member: str
    assigned: frozenset[Partition]
    alive: bool = True
    taken: bool = False
    positions: dict[Partition, int] = field(default_factory=dict)

    def again(self) -> Epoch:
        """The same assignment, to be taken over anew (after an abort)."""
        return Epoch(self.group, self.generation, self.member, self.assigned)


@dataclass(frozen=True, slots=True)
class Poll:
    """What one poll returned; without batches it lets a processor do what time demands."""

    epoch: Epoch
    batches: Sequence[RecordBatch]


class Sink(Protocol):
    """Where a processor's output of one transaction goes."""

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        """Queue a record; without a partition it is placed by murmur2 of its key."""

    def send_many(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None],
        headers: Headers | None = None,
    ) -> None:  # fmt: skip
        """Queue many records, each placed as `send` places it."""

    def send_rows(
        self, topic: str, partition: int, keys: Sequence[bytes], values: Sequence[bytes | None]
    ) -> None:
        """Queue many records of one partition; the transaction then knows the offset after the last one."""


class Commit(Protocol):
    """Runs one transaction: `fill` queues its records, `offsets` are the positions it commits."""

    def __call__(self, offsets: dict[Partition, int], fill: Fill) -> dict[Partition, int]:
        """Commit; returns for each partition written by `send_rows` the offset after its last record.

        Raises `Aborted` where nothing was committed and the partitions must be taken over anew.
        """


class Fill(Protocol):
    """Queues the records of one transaction."""

    def __call__(self, sink: Sink) -> None:
        """Called once; an exception aborts the transaction."""


class Processor(Protocol):
    """What stands behind an agent.  All calls come from one thread, one at a time."""

    def reads(self, assigned: frozenset[Partition]) -> set[Partition]:
        """The partitions that the owner of `assigned` reads."""

    def take(self, epoch: Epoch) -> None:
        """Take over `epoch.assigned`; `epoch.positions` holds the stable committed positions of what is read.

        Whatever is held of an earlier epoch and cannot be proven current must be dropped here.
        """

    def process(self, poll: Poll, commit: Commit) -> None:
        """Work on a poll: one `commit` (or more, for work that is too long for one)."""

    def drop(self) -> None:
        """The epoch has ended or a transaction was aborted: forget what was not committed."""

    def close(self) -> None:
        """The worker stops."""


class Aborted(Exception):
    """A transaction was aborted; nothing of it exists.  The partitions are taken over anew."""
