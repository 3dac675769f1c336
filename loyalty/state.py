"""One partition's customers and side table, in memory, over a cold store.

Rows in use stand in one array, by slot.  Every known customer has an ordinal for the life of the state: its
id, slot (or none: the row is cold), `due` and `as_of`, so that a tick finds whoever is due without looking
at the rest.  Nothing is undone: after an abort the whole state is thrown away and built anew.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.row import ROW

ROW_KEY = b"c"
SIDE_KEY = b"s"
PARTITION_KEY = b"p"

#: `due` of a row that is not open.
NEVER = 2**63 - 1
OPEN = 1
MINUTE_MS = 60_000

Slots = NDArray[np.int32]


class Cold(Protocol):
    """Where rows and side values lie that are not in memory: RocksDB, or a dict in tests."""

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Rows by customer id."""

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Side entries whose key begins with `prefix`, in order."""


class PartitionRow(msgspec.Struct):
    """What a partition remembers of ticks, markers and an unfinished segment command."""

    tick: int = 0
    tick_done: bool = True
    revision: int = 0
    command: str = ""
    command_place: str = ""


@dataclass(slots=True)
class Changes:
    """Changelog records: rows first, then side entries, then the partition row; each key once."""

    keys: list[bytes]
    values: list[bytes | None]


class _Nothing:
    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        return [None] * len(ids)

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [None] * len(keys)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class State:
    """See the module's docstring.  Not thread-safe: one thread folds."""

    def __init__(self, cold: Cold | None = None, max_rows: int = 1_000_000) -> None:
        self.partition = PartitionRow()
        self.rows: NDArray[Any] = np.zeros(1024, ROW)
        self._cold: Cold = cold if cold is not None else _Nothing()
        self._max_rows = max_rows
        self._ordinals: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._slot_of = np.full(1024, -1, np.int32)
        self._due = np.full(1024, NEVER, np.int64)
        self._as_of = np.full(1024, NEVER, np.int64)
        self._owner = np.full(1024, -1, np.int32)  # slot -> ordinal
        self._pinned = np.zeros(1024, np.bool_)  # handed out in this transaction
        self._changed = np.zeros(1024, np.bool_)  # by this transaction
        self._dirty = np.zeros(1024, np.bool_)  # committed, not yet in the cold store
        self._used = 0
        self._free: list[int] = []
        self._clock_hand = 0
        self._handed: list[Slots] = []
        self._touched: list[Slots] = []
        self._buckets: dict[int, array[int]] = {}
        self._minutes: list[int] = []
        self._side_changed: dict[bytes, bytes | None] = {}
        self._side_pending: dict[bytes, bytes | None] = {}
        self._partition_changed = False
        self._partition_pending = False

    def __len__(self) -> int:
        return len(self._ids)

    # -- building it from what was committed --------------------------------------------------------

    def load_many(self, ids: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Committed rows that lie in the cold store: index them; they stay cold until somebody asks."""
        if not ids:
            return
        found = np.frombuffer(b"".join(rows), ROW)
        ordinals = np.fromiter((self._ordinal(id) for id in ids), np.int64, len(ids))
        slots = self._slot_of[ordinals]
        held = np.flatnonzero(slots >= 0)
        self.rows[slots[held]] = found[held]
        self._index(ordinals, found["state"], found["due"], found["as_of"])

    def unload(self, ids: Sequence[bytes]) -> None:
        """Rows that were deleted: known no longer as open."""
        for id in ids:
            ordinal = self._ordinals.get(id)
            if ordinal is not None:
                self._due[ordinal] = self._as_of[ordinal] = NEVER
                if self._slot_of[ordinal] >= 0:
                    self.rows[self._slot_of[ordinal]] = np.zeros(1, ROW)[0]

    def load_partition(self, value: bytes) -> None:
        """The committed partition row."""
        self.partition = msgspec.json.decode(value, type=PartitionRow)

    # -- rows ---------------------------------------------------------------------------------------

    def slots(self, ids: Sequence[bytes]) -> Slots:
        """Slot of each id; unknown ones get a row of zeros, cold ones are read in."""
        known = self._ordinals
        try:
            ordinals = np.fromiter(map(known.__getitem__, ids), np.int64, len(ids))
        except KeyError:
            ordinals = np.fromiter(map(self._ordinal, ids), np.int64, len(ids))
        slots = self._warm(ordinals)
        self._handed.append(slots)
        return slots

    def find(self, id: bytes) -> int:
        """Slot of a known customer, -1 for an unknown one."""
        ordinal = self._ordinals.get(id)
        if ordinal is None:
            return -1
        slots = self._warm(np.array([ordinal], np.int64))
        if not self.rows["format"][slots[0]] and not self.rows["state"][slots[0]]:
            return -1
        self._handed.append(slots)
        return int(slots[0])

    def id_of(self, slot: int) -> bytes:
        """Id of the customer in a slot."""
        return self._ids[int(self._owner[slot])]

    def ids_of(self, slots: Slots) -> list[bytes]:
        """Ids of the customers in these slots."""
        ids = self._ids
        return [ids[ordinal] for ordinal in self._owner[slots].tolist()]

    def touch(self, slots: Slots) -> None:
        """The fold has changed these rows."""
        if not len(slots):
            return
        self._changed[slots] = True
        self._touched.append(slots)
        rows = self.rows
        ordinals = self._owner[slots].astype(np.int64)
        self._index(ordinals, rows["state"][slots], rows["due"][slots], rows["as_of"][slots])

    def _ordinal(self, id: bytes) -> int:
        ordinal = self._ordinals.get(id)
        if ordinal is None:
            ordinal = self._ordinals[id] = len(self._ids)
            self._ids.append(id)
            if ordinal >= len(self._slot_of):
                grow = len(self._slot_of)
                self._slot_of = np.concatenate([self._slot_of, np.full(grow, -1, np.int32)])
                self._due = np.concatenate([self._due, np.full(grow, NEVER, np.int64)])
                self._as_of = np.concatenate([self._as_of, np.full(grow, NEVER, np.int64)])
        return ordinal

    def _index(
        self, ordinals: NDArray[np.int64], state: NDArray[Any], due: NDArray[Any], as_of: NDArray[Any]
    ) -> None:
        """Note `as_of` and `due` of these customers; a new `due` goes into its minute's bucket."""
        is_open = state == OPEN
        due = np.where(is_open, due, NEVER)
        self._as_of[ordinals] = np.where(is_open, as_of, NEVER)
        moved = np.flatnonzero((self._due[ordinals] != due) & (due != NEVER))
        self._due[ordinals] = due
        for ordinal, minute in zip(ordinals[moved].tolist(), (due[moved] // MINUTE_MS).tolist(), strict=True):
            bucket = self._buckets.get(minute)
            if bucket is None:
                bucket = self._buckets[minute] = array("q")
                heapq.heappush(self._minutes, minute)
            bucket.append(ordinal)

    def _warm(self, ordinals: NDArray[np.int64]) -> Slots:
        """Slots of these customers, cold rows read in."""
        slots = self._slot_of[ordinals]
        cold = np.flatnonzero(slots < 0)
        if not len(cold):
            self._pinned[slots] = True
            return slots
        wanted = np.unique(ordinals[cold])
        self._pinned[slots[slots >= 0]] = True
        places = self._room(len(wanted))
        self._slot_of[wanted] = places
        self._owner[places] = wanted
        self._pinned[places] = True
        rows = self._cold.rows([self._ids[ordinal] for ordinal in wanted.tolist()])
        found = [number for number, row in enumerate(rows) if row is not None]
        self.rows[places] = np.zeros(1, ROW)
        if found:
            content = b"".join(row for row in rows if row is not None)
            self.rows[places[found]] = np.frombuffer(content, ROW)
        return self._slot_of[ordinals]

    def _room(self, count: int) -> Slots:
        """Free slots: never used, let go of, or taken from clean rows that nobody holds."""
        places: list[int] = []
        if self._used + count > self._max_rows:
            self._evict(count)
        while self._free and len(places) < count:
            places.append(self._free.pop())
        fresh = count - len(places)
        if fresh:
            if self._used + fresh > len(self.rows):
                self._grow(self._used + fresh)
            places.extend(range(self._used, self._used + fresh))
            self._used += fresh
        return np.array(places, np.int32)

    def _evict(self, count: int) -> None:
        """Let go of clean rows, the longest unused first, roughly (the clock goes round)."""
        wanted = count - len(self._free)
        if wanted <= 0:
            return
        order = np.concatenate([np.arange(self._clock_hand, self._used), np.arange(0, self._clock_hand)])
        clean = order[~(self._pinned | self._dirty | self._changed)[order] & (self._owner[order] >= 0)][
            :wanted
        ]
        if not len(clean):
            return
        self._slot_of[self._owner[clean]] = -1
        self._owner[clean] = -1
        self._free.extend(clean.tolist())
        self._clock_hand = int(clean[-1] + 1) % max(self._used, 1)

    def _grow(self, least: int) -> None:
        size = max(least, min(2 * len(self.rows), len(self.rows) + 262_144))
        more = size - len(self.rows)
        self.rows = np.concatenate([self.rows, np.zeros(more, ROW)])
        self._owner = np.concatenate([self._owner, np.full(more, -1, np.int32)])
        for name in ("_pinned", "_changed", "_dirty"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more, np.bool_)]))

    # -- who is due ---------------------------------------------------------------------------------

    def due(self, at: int, limit: int) -> Slots:
        """Open rows with `due` <= at, in the order (due, id), at most `limit`."""
        found: set[int] = set()
        last = at // MINUTE_MS
        due = self._due
        for minute in heapq.nsmallest(len(self._minutes), self._minutes) if self._minutes else ():
            if minute > last or len(found) >= limit:
                break
            live = [o for o in self._buckets[minute] if due[o] // MINUTE_MS == minute]
            if live:
                self._buckets[minute] = array("q", dict.fromkeys(live))
                found.update(o for o in live if due[o] <= at)
            else:
                self._forget_minute(minute)
        return self._in_order(np.fromiter(found, np.int64, len(found)), limit)

    def _forget_minute(self, minute: int) -> None:
        del self._buckets[minute]
        self._minutes.remove(minute)
        heapq.heapify(self._minutes)

    def behind(self, at: int, limit: int) -> Slots:
        """Open rows with `as_of` < at or `due` <= at, in the order (due, id), at most `limit`."""
        count = len(self._ids)
        return self._in_order(np.flatnonzero((self._as_of[:count] < at) | (self._due[:count] <= at)), limit)

    def after(self, id: bytes, limit: int) -> Slots:
        """Open rows whose id is above the given one, in the order of their ids, at most `limit`."""
        count = len(self._ids)
        is_open = np.flatnonzero(self._due[:count] != NEVER).tolist()
        ids = self._ids
        later = heapq.nsmallest(limit, ((ids[o], o) for o in is_open if ids[o] > id))
        return self._hand(np.array([ordinal for _, ordinal in later], np.int64))

    def _in_order(self, ordinals: NDArray[np.int64], limit: int) -> Slots:
        due = self._due[ordinals]
        if len(ordinals) > limit:
            # All that share the last due time stay in: ids decide among them.
            border = np.partition(due, limit - 1)[limit - 1]
            ordinals = ordinals[due <= border]
        ids = self._ids
        chosen = sorted(ordinals.tolist(), key=lambda o: (self._due[o], ids[o]))[:limit]
        return self._hand(np.array(chosen, np.int64))

    def _hand(self, ordinals: NDArray[np.int64]) -> Slots:
        if not len(ordinals):
            return np.empty(0, np.int32)
        slots = self._warm(ordinals)
        self._handed.append(slots)
        return slots

    # -- side table ---------------------------------------------------------------------------------

    def side_get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key, as this transaction sees them."""
        changed, pending = self._side_changed, self._side_pending
        values: list[bytes | None] = []
        missing: list[int] = []
        for number, key in enumerate(keys):
            if key in changed:
                values.append(changed[key])
            elif key in pending:
                values.append(pending[key])
            else:
                values.append(None)
                missing.append(number)
        if missing:
            for number, value in zip(missing, self._cold.side([keys[n] for n in missing]), strict=True):
                values[number] = value
        return values

    def side_put(self, key: bytes, value: bytes | None) -> None:
        """Set a side value; None deletes it."""
        self._side_changed[key] = value

    def side_scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Side entries under a prefix in the order of their keys, as this transaction sees them."""
        found: dict[bytes, bytes | None] = dict(self._cold.scan(prefix))
        for overlay in (self._side_pending, self._side_changed):
            found.update((key, value) for key, value in overlay.items() if key.startswith(prefix))
        return iter([(key, value) for key, value in sorted(found.items()) if value is not None])

    def partition_changed(self) -> None:
        """The partition row was changed."""
        self._partition_changed = True

    # -- transactions -------------------------------------------------------------------------------

    def changes(self) -> Changes:
        """What this transaction has changed."""
        slots = self._distinct(self._touched, self._changed)
        return self._records(slots, self._side_changed, self._partition_changed)

    def committed(self) -> None:
        """The transaction is committed: its changes wait for the cold store."""
        for slots in self._touched:
            self._dirty[slots] = True
            self._changed[slots] = False
        for slots in self._handed:
            self._pinned[slots] = False
        self._touched.clear()
        self._handed.clear()
        self._side_pending.update(self._side_changed)
        self._side_changed.clear()
        self._partition_pending |= self._partition_changed
        self._partition_changed = False

    def pending(self) -> Changes:
        """What the cold store lacks."""
        return self._records(
            np.flatnonzero(self._dirty[: self._used]), self._side_pending, self._partition_pending
        )

    def flushed(self) -> None:
        """The cold store has all that was pending."""
        self._dirty[: self._used] = False
        self._side_pending.clear()
        self._partition_pending = False

    def _distinct(self, many: list[Slots], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        if not many:
            return np.empty(0, np.int64)
        return np.flatnonzero(flags[: self._used])

    def _records(self, slots: NDArray[np.int64], side: dict[bytes, bytes | None], partition: bool) -> Changes:
        ids = self._ids
        keys = [ROW_KEY + ids[ordinal] for ordinal in self._owner[slots].tolist()]
        values: list[bytes | None] = []
        if len(slots):
            values = list(self.rows.view(f"V{ROW.itemsize}")[slots].tolist())
        keys.extend(side.keys())
        values.extend(side.values())
        if partition:
            keys.append(PARTITION_KEY)
            values.append(msgspec.json.encode(self.partition))
        return Changes(keys, values)
