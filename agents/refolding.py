"""A partition folded again, in memory, from a snapshot or from nothing: simulations and replays stand on it.

The state lies over a store in a dict, so that a second fold can go on from where a first one stands without
a second copy of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from agents.recorded import Offsets, held
from catalog.times import iso
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.engine import Engine, Outcome
from loyalty.log import joined
from loyalty.policy import Content
from loyalty.state import PARTITION_KEY, ROW_KEY, State
from loyalty.upgrade import current
from tables import snapshots
from tables.errors import TableError
from tables.restore import topic_id
from tables.snapshots import Header

#: Records folded at once.
BATCH = 5_000
#: Records after which changed rows go to the store, and side entries with them: scans walk those in between.
FLUSH = 20_000
_LOAD = 20_000


class Memory:
    """A cold store in a dict.  A copy shares what neither changes."""

    def __init__(self) -> None:
        self.partition: bytes | None = None
        self.customers: dict[bytes, bytes] = {}
        #: By customer: entries by their whole key.  Never changed in place: copies share them.
        self._side: dict[bytes, dict[bytes, bytes]] = {}

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Rows by customer id."""
        return [self.customers.get(id) for id in ids]

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key."""
        return [self._side.get(_owner(key), {}).get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """A customer's side entries whose key begins with `prefix`, in order."""
        entries = self._side.get(_owner(prefix), {})
        return iter(sorted(entry for entry in entries.items() if entry[0].startswith(prefix)))

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Entries of the changelog; None deletes."""
        fresh: set[bytes] = set()
        for key, value in zip(keys, values, strict=True):
            if key == PARTITION_KEY:
                self.partition = value
            elif key.startswith(ROW_KEY):
                _put(self.customers, key[len(ROW_KEY) :], value)
            else:
                owner = _owner(key)
                if owner not in fresh:
                    fresh.add(owner)
                    self._side[owner] = dict(self._side.get(owner, {}))
                _put(self._side[owner], key, value)

    def copy(self) -> Memory:
        """Another one with the same content."""
        other = Memory()
        other.partition, other.customers, other._side = self.partition, dict(self.customers), dict(self._side)
        return other


def _owner(key: bytes) -> bytes:
    return key.partition(b"\0")[0]


def _put(to: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        to.pop(key, None)
    else:
        to[key] = value


class Refold:
    """One partition's fold over a `Memory`; `share` is how many rows stand ready in the state."""

    def __init__(
        self, partition: int, memory: Memory, contents: Callable[[int], Content], share: int
    ) -> None:
        self.partition = partition
        self._memory, self._share = memory, share
        self.state = State(memory, share)
        entries = iter(memory.customers.items())
        while block := list(islice(entries, _LOAD)):
            self.state.load_many([id for id, _ in block], [row for _, row in block])
        if memory.partition is not None:
            self.state.load_partition(memory.partition)
        self._engine = Engine(partition, self.state, contents)
        self._unwritten = 0

    def fold(self, values: Sequence[bytes | None]) -> Iterator[Outcome]:
        """Fold records in their order; what each transaction would have committed."""
        for start in range(0, len(values), BATCH):
            batch = values[start : start + BATCH]
            for outcome in self._engine.fold(joined(list(enumerate(batch))), len(batch)):
                self.state.committed()
                yield outcome
            self._unwritten += len(batch)
            if self._unwritten >= FLUSH or self.state.crowded:
                self._write()

    def fork(self, contents: Callable[[int], Content]) -> Refold:
        """Another fold that goes on from here."""
        self._write()
        return Refold(self.partition, self._memory.copy(), contents, self._share)

    def _write(self) -> None:
        pending = self.state.pending()
        self._memory.write(pending.keys, pending.values)
        self.state.flushed()
        self._unwritten = 0


@dataclass(slots=True)
class Stretch:
    """A partition of customer-events that is folded again, and the offsets [begin, end) of the range in it.

    The fold begins at `position`: with the rows of a snapshot, or with none where the log begins.
    """

    partition: int
    position: int
    begin: int
    end: int
    snapshot: Path | None = None
    created_at: str = ""  # of the snapshot
    records: int = 0  # in the range

    def refold(self, contents: Callable[[int], Content], share: int) -> Refold:
        """The fold as it begins.  Raises TableError where the snapshot has gone meanwhile."""
        memory = Memory()
        for block in snapshots.read(self.snapshot) if self.snapshot is not None else ():
            memory.write([key for key, _ in block], [value for _, value in block])
        return Refold(self.partition, memory, contents, share)


def plan(settings: Settings, since: str | None, ends: Mapping[int, int] | None = None) -> list[Stretch]:
    """Where to begin in each partition of customer-events, to fold all of the log's time from `since` on.

    With the last snapshot that has seen nothing of that time, else with empty rows where the log is whole;
    None: from the log's beginning, else from the oldest snapshot.  Not behind `ends`, where they are given.
    Raises KhayweError where there is neither.
    """
    log = topic_id(settings.kafka_config(), topics.CUSTOMER_EVENTS)
    places = held(settings, [topics.CUSTOMER_EVENTS])
    found = []
    for place, (begin, end) in sorted(places.items()):
        if place.partition >= settings.partitions:
            continue  # customers have left it
        end = max(begin, min(end, end if ends is None else ends.get(place.partition, 0)))
        root = snapshots.directory(settings)
        found.append(_begun(root, place.partition, settings.partitions, (begin, end), log, since))
    return found


def _begun(
    root: Path, partition: int, partitions: int, offsets: Offsets, log: str, since: str | None
) -> Stretch:
    begin, end = offsets
    empty = Stretch(partition, 0, end, end)
    if since is None and begin == 0:
        return empty
    paths = snapshots.found(root, partition)
    oldest, unusable = "", 0
    for path in reversed(paths) if since is not None else paths:
        try:
            header = snapshots.read_header(path)
            if (header.log, header.partitions) != (log, partitions):
                raise TableError("of another log")
            if not begin <= header.position <= end:
                raise TableError("of a time that the log lacks")
            oldest = _seen(path, header)
        except TableError:
            unusable += 1
            continue
        if since is None or oldest < since:
            return Stretch(partition, header.position, end, end, path, header.created_at)
    if begin == 0:
        return empty
    what = f"{root} holds no snapshot that can be used"
    if oldest:
        what = f"no snapshot in {root} stands before {since}"
        hint = f"the oldest one that can be used has seen {oldest}: ask for a later --from"
    elif unusable:
        hint = f"{unusable} of its snapshots are damaged, of another log, or of a time that the log lacks"
    else:
        hint = "KHAYWE_SNAPSHOTS names the directory where workers write a snapshot a day"
    raise KhayweError(
        f"{topics.CUSTOMER_EVENTS}/{partition} begins at offset {begin:,}: what was before is gone, and "
        f"{what}; so nobody knows how customers stood then",
        hint=f"{hint}; `khaywe snapshot list` shows them",
    )


def _seen(path: Path, header: Header) -> str:
    """The latest time that anything in a snapshot has seen, "" for none."""
    seen = header.tick
    for block in snapshots.read(path):
        rows = [current(value, key[len(ROW_KEY) :]) for key, value in block if key.startswith(ROW_KEY)]
        if rows:
            seen = max(seen, int(np.concatenate(rows)["as_of"].max()))
    return iso(seen) if seen else ""
