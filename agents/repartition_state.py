"""Where each entry of the customer table belongs in another number of partitions, and what must not change.

Pure: the content of changelog partitions in, what each of them must get out.  Rows and side entries, those of
accounts (`template:7`) too, go where murmur2 places the customer's id.  Two kinds belong to no customer: each
partition has its own row, and whose erased id stands only as a hash is known in every partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import numpy as np

from loyalty.effects import digest
from loyalty.row import OPEN
from loyalty.side import ERASED
from loyalty.state import PARTITION_KEY, ROW_KEY, PartitionRow
from loyalty.upgrade import current_many
from streams.partition import partition_of

#: A partition of the changelog as it is committed and compacted: key -> value.
Entries = Mapping[bytes, bytes]
#: What one partition gets: key and value, None to delete.
Put = tuple[int, bytes, bytes | None]

#: Rows that are looked at together: some megabytes.
CHUNK = 2_000


class Uneven(ValueError):
    """Partitions that do not stand at the same tick, revision and command; the message says which."""


def customer_of(key: bytes) -> bytes | None:
    """Whose an entry is; None: nobody's alone."""
    if key == PARTITION_KEY or key.startswith(ERASED):
        return None
    return key[1:] if key[:1] == ROW_KEY else key[1:].split(b"\0", 1)[0]


@dataclass(slots=True)
class Sums:
    """What a change of partitions leaves as it is.  `owed`: points of open customers by month."""

    customers: int = 0
    points: int = 0
    debt: int = 0
    side: int = 0
    owed: Counter[int] = field(default_factory=Counter)
    erased: set[bytes] = field(default_factory=set)  # hashes

    def add(self, entries: Entries) -> dict[bytes, list[tuple[int, int]]]:
        """Count a partition; lots (month, points) of its open customers by id.  Raises RowFormatError."""
        self.side += sum(1 for key in entries if key[:1] != ROW_KEY and customer_of(key) is not None)
        self.erased.update(key[len(ERASED) :] for key in entries if key.startswith(ERASED))
        lots: dict[bytes, list[tuple[int, int]]] = {}
        rows = ((key[1:], value) for key, value in entries.items() if key[:1] == ROW_KEY)
        while chunk := list(islice(rows, CHUNK)):
            ids = [id for id, _ in chunk]
            found = current_many(ids, [value for _, value in chunk])
            self.customers += len(ids)
            self.points += int(found["lot_points"].sum(dtype=np.int64))
            self.debt += int(found["debt"].sum(dtype=np.int64))
            some = np.flatnonzero((found["state"] == OPEN) & (found["lot_month"] != 0).any(axis=1))
            for n in some.tolist():
                pairs = zip(found["lot_month"][n].tolist(), found["lot_points"][n].tolist(), strict=True)
                lots[ids[n]] = [(month, points) for month, points in pairs if month]
                for month, points in lots[ids[n]]:
                    self.owed[month] += points
        return lots

    def shown(self) -> str:
        """For people."""
        return f"{self.customers:,} customers, {self.points:,} points, {self.side:,} side entries"


class Placing:
    """Places everything for `partitions`; the partitions that there were are given one after the other."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.sums = Sums()
        self._owed: list[Counter[int]] = [Counter() for _ in range(partitions)]
        self._known: dict[int, PartitionRow] = {}
        self._stubs: dict[int, set[bytes]] = {}
        self._returned: set[bytes] = set()

    def look(self, partition: int, entries: Entries) -> None:
        """First, every partition: what it holds."""
        lots = self.sums.add(entries)
        for id, each in lots.items():
            owed = self._owed[partition_of(id, self.partitions)]
            for month, points in each:
                owed[month] += points
        if PARTITION_KEY in entries:
            self._known[partition] = msgspec.json.decode(entries[PARTITION_KEY], type=PartitionRow)
        self._stubs[partition] = {key for key in entries if key.startswith(ERASED)}

    def move(self, partition: int, entries: Entries) -> Iterator[Put]:
        """Then, every partition: what leaves it."""
        for key, value in entries.items():
            id = customer_of(key)
            if id is None:
                continue
            if key[:1] == ROW_KEY and self.sums.erased and digest(id) in self.sums.erased:
                self._returned.add(digest(id))
            place = partition_of(id, self.partitions)
            if place != partition:
                yield place, key, value
                yield partition, key, None

    def rest(self, before: int) -> Iterator[Put]:
        """At last: what every partition has.  `before`: how many there were.  Raises Uneven."""
        common = self.common(before)
        # Who has a row has come back since: a copy of the stub elsewhere must not erase them anew.
        wanted = {ERASED + each for each in self.sums.erased - self._returned}
        for partition in range(self.partitions):
            has = self._stubs.get(partition, set())
            yield from ((partition, key, b"1") for key in sorted(wanted - has))
            yield from ((partition, key, None) for key in sorted(has - wanted))
            owed = {month: points for month, points in sorted(self._owed[partition].items()) if points}
            row = msgspec.structs.replace(common, owed=owed)
            if self._known.get(partition) != row and (row != PartitionRow() or partition in self._known):
                yield partition, PARTITION_KEY, msgspec.json.encode(row)
        # Where there are fewer now, nothing stays behind.
        for partition, stubs in sorted(self._stubs.items()):
            if partition >= self.partitions:
                yield from ((partition, key, None) for key in sorted(stubs))
                if partition in self._known:
                    yield partition, PARTITION_KEY, None

    def common(self, before: int) -> PartitionRow:
        """The row of all partitions, but for what is owed.  Raises Uneven."""
        rows = {n: self._known.get(n, PartitionRow()) for n in {*range(before), *self._known}}
        plain = {n: msgspec.structs.replace(row, owed={}) for n, row in rows.items()}
        first = plain[0]
        for n, row in sorted(plain.items()):
            if row != first:
                raise Uneven(f"partition 0 stands at {_said(first)}, partition {n} at {_said(row)}")
        return first


def _said(row: PartitionRow) -> str:
    return f"tick {row.tick}{'' if row.tick_done else ' (not done)'}, revision {row.revision}" + (
        f", command {row.command}" if row.command else ""
    )


def misplaced(partition: int, entries: Entries, partitions: int) -> int:
    """Entries that belong elsewhere."""
    ids = (customer_of(key) for key in entries)
    return sum(1 for id in ids if id is not None and partition_of(id, partitions) != partition)
