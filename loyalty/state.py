"""One partition's customers and side table, in memory, over a cold store.

Rows in use stand in one array, by slot.  Every known customer has an ordinal for the life of the state: its
id, slot (or none: the row is cold), `due` and `as_of`, so that a tick finds whoever is due without looking
at the rest.  Nothing is undone: after an abort the whole state is thrown away and built anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.due import Due
from loyalty.ids import Ids
from loyalty.packing import pack
from loyalty.row import NO_TIME, NONE, OPEN, RAW, ROW
from loyalty.spans import Spans
from loyalty.upgrade import current_many

ROW_KEY = b"c"
SIDE_KEY = b"s"
PARTITION_KEY = b"p"

_UNKNOWN = b""
_SLOT_FLAGS = ("_pinned", "_changed", "_recent")
_STRIDE = 16_384  # slots that the clock's hand looks at together
_GROWTH = 65_536  # rows by which memory grows at most

Slots = NDArray[np.int32]
Ordinals = NDArray[np.int64]

_NOBODY: Ordinals = np.zeros(0, np.int64)


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
    owed: dict[int, int] = {}  # points in lots by the month that ends them, months since 1970


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
        """Without a cold store all rows stay in memory, else about `max_rows` of them."""
        self.partition = PartitionRow()
        self.rows: NDArray[Any] = np.zeros(1024, ROW)
        self._raw = self.rows.view(RAW)
        self._cold: Cold = cold if cold is not None else _Nothing()
        self._keeps_all = cold is None
        self._max_rows = max_rows
        # By ordinal.
        self._ids = Ids()
        self._slot_of = np.full(1024, -1, np.int32)
        self._due = Due()
        self._as_of = np.full(1024, NO_TIME, np.int64)
        self._known = np.zeros(1024, np.bool_)  # has a row, whatever its state
        self._at_rest = bytearray()  # 1: somebody looked for grants to be told again: there are none
        # By slot.
        self._owner = np.full(1024, -1, np.int32)  # ordinal
        self._pinned = np.zeros(1024, np.bool_)  # handed out in this transaction
        self._changed = np.zeros(1024, np.bool_)  # by this transaction
        self._recent = np.zeros(1024, np.bool_)  # used since the clock's hand passed
        self._used = 0  # slots from here on were never used
        self._free: list[int] = []
        self._hand = 0
        self._by_id = _NOBODY  # ordinals in the order of ids, while somebody walks through them
        self._side_changed: dict[bytes, bytes | None] = {}
        # By customer: keys of side entries in these two, so that nobody walks through all of them.
        self._side_keys: dict[bytes, set[bytes]] = {}
        self._pending: dict[bytes, bytes | None] = {}  # committed, not yet in the cold store
        self._partition_changed = False
        self._told: Changes | None = None  # this transaction's changes, until there are more

    def __len__(self) -> int:
        """Number of customers that have a row."""
        return int(np.count_nonzero(self._known[: len(self._ids)]))

    # -- building it from what was committed --------------------------------------------------------

    def load_many(self, ids: Sequence[bytes], rows: Sequence[bytes]) -> None:
        """Index committed rows that lie in the cold store; each is read in when somebody asks for it.

        Ids are distinct, and no transaction is under way.  Raises RowFormatError, and then loads none.
        """
        if not ids:
            return
        found = current_many(ids, rows)
        ordinals = self._ordinals_of(ids)
        if self._keeps_all:
            slots = self._warm(ordinals)
            self._pinned[slots] = False
        else:
            slots = self._slot_of[ordinals]
        warm = np.flatnonzero(slots >= 0)
        self._raw[slots[warm]] = found.view(RAW)[warm]
        self._due.disorder()
        self._index(ordinals, found["state"], found["due"], found["as_of"])

    def unload(self, ids: Sequence[bytes]) -> None:
        """These committed rows were deleted."""
        ordinals = self._ids.find(ids)
        ordinals = ordinals[ordinals >= 0]
        self._known[ordinals] = False
        self._as_of[ordinals] = NO_TIME
        self._due.put(ordinals, np.full(len(ordinals), NO_TIME, np.int64))
        slots = self._slot_of[ordinals]
        self._raw[slots[slots >= 0]] = np.zeros(1, RAW)

    def load_partition(self, value: bytes) -> None:
        """The committed partition row."""
        self.partition = msgspec.json.decode(value, type=PartitionRow)

    # -- rows ---------------------------------------------------------------------------------------

    def slots(self, ids: Sequence[bytes], hashes: NDArray[np.uint64] | None = None) -> Slots:
        """Slot of each id; unknown ones get a row of zeros, cold ones are read in.  `hashes`: of the ids."""
        return self._warm(self._ordinals_of(ids, hashes))

    def find(self, id: bytes) -> int:
        """Slot of a customer that has a row, else -1."""
        ordinal = self._ids.one(id)
        if ordinal < 0 or not self._known[ordinal]:
            return -1
        return int(self._warm(np.array([ordinal], np.int64))[0])

    def __contains__(self, id: bytes) -> bool:
        """Whether a customer has a row."""
        ordinal = self._ids.one(id)
        return ordinal >= 0 and bool(self._known[ordinal])

    def knows(self, ids: Sequence[bytes], hashes: NDArray[np.uint64] | None = None) -> NDArray[np.bool_]:
        """Which customers have a row."""
        ordinals = self._ids.find(ids, hashes)
        known: NDArray[np.bool_] = (ordinals >= 0) & self._known[ordinals]
        return known

    def peek(self, id: bytes) -> bytes | None:
        """A customer's row for somebody who looks in between; it is neither read in nor pinned."""
        ordinal = self._ids.one(id)
        if ordinal < 0 or not self._known[ordinal]:
            return None
        slot = self._slot_of[ordinal]
        return self._committed_rows([id])[0] if slot < 0 else pack(self.rows, np.array([slot]))[0]

    def sample(self, most: int) -> NDArray[Any]:
        """Copies of open committed rows, at most so many, evenly spread over all; none is read in."""
        ordinals = np.flatnonzero(self._due.at != NO_TIME)
        if len(ordinals) > most:
            ordinals = ordinals[np.arange(most) * len(ordinals) // most]
        slots = self._slot_of[ordinals]
        found = np.zeros(len(ordinals), ROW)
        warm, cold = np.flatnonzero(slots >= 0), np.flatnonzero(slots < 0)
        found.view(RAW)[warm] = self._raw[slots[warm]]
        ids = self._ids.at(ordinals[cold]).all()
        stored = [
            (n, id, row) for n, id, row in zip(cold, ids, self._committed_rows(ids), strict=True) if row
        ]
        if stored:
            places, owners, rows = zip(*stored, strict=True)
            found.view(RAW)[list(places)] = current_many(owners, rows).view(RAW)
        is_open: NDArray[Any] = found[found["state"] == OPEN]
        return is_open

    def opened(self) -> int:
        """Number of open rows."""
        return int(np.count_nonzero(self._due.at != NO_TIME))

    def id_of(self, slot: int) -> bytes:
        """Id of the customer in a slot."""
        return self._ids.at(self._owner[[slot]])[0]

    def ids_of(self, slots: NDArray[np.integer]) -> Spans:
        """Ids of the customers in these slots."""
        return self._ids.at(self._owner[slots])

    def touch(self, slots: Slots) -> None:
        """The fold has changed these rows."""
        if not len(slots):
            return
        self._changed[slots] = True
        self._told = None
        rows = self.rows
        ordinals = self._owner[slots].astype(np.int64)
        self._index(ordinals, rows["state"][slots], rows["due"][slots], rows["as_of"][slots])

    def _ordinals_of(self, ids: Sequence[bytes], hashes: NDArray[np.uint64] | None = None) -> Ordinals:
        """Ordinal of each id; new ones get the next."""
        ordinals = self._ids.add(ids, hashes)
        size = len(self._slot_of)
        if len(self._ids) > size:
            more = max(len(self._ids) - size, size // 2)
            self._slot_of = np.append(self._slot_of, np.full(more, -1, np.int32))
            self._due.grow(more)
            self._as_of = np.append(self._as_of, np.full(more, NO_TIME, np.int64))
            self._known = np.append(self._known, np.zeros(more, np.bool_))
        return ordinals

    # -- memory -------------------------------------------------------------------------------------

    def limit(self, max_rows: int) -> None:
        """Hold so many rows from now on.  If there are more, all become cold.  Between transactions only."""
        self._max_rows = max_rows
        if self._used <= max_rows or self._keeps_all:
            return
        if self._changed[: self._used].any():
            raise RuntimeError("rows of a transaction that is under way cannot be let go of")
        self._slot_of[self._owner[: self._used][self._owner[: self._used] >= 0]] = -1
        self.rows = np.zeros(1024, ROW)
        self._raw = self.rows.view(RAW)
        self._owner = np.full(1024, -1, np.int32)
        for name in _SLOT_FLAGS:
            setattr(self, name, np.zeros(1024, np.bool_))
        self._used = self._hand = 0
        self._free.clear()

    @property
    def crowded(self) -> bool:
        """So much waits for the cold store that it takes the memory of other rows."""
        return len(self._pending) > self._max_rows // 2

    def _warm(self, ordinals: NDArray[np.int64]) -> Slots:
        """Slots of these customers, pinned; cold rows are read in."""
        slots = self._slot_of[ordinals]
        cold = ordinals[slots < 0]
        if not len(cold):
            self._pinned[slots] = True
            return slots
        self._pinned[slots[slots >= 0]] = True
        wanted = np.unique(cold)
        places = self._room(len(wanted))
        self._slot_of[wanted] = places
        self._owner[places] = wanted
        self._pinned[places] = True
        self._raw[places] = np.zeros(1, RAW)
        stored = np.flatnonzero(self._known[wanted])
        ids = self._ids.at(wanted[stored]).all()
        rows = self._committed_rows(ids)
        found = [number for number, row in enumerate(rows) if row is not None]
        if found:
            present = [row for row in rows if row is not None]
            owners = [ids[number] for number in found]
            self._raw[places[stored[found]]] = current_many(owners, present).view(RAW)
        return self._slot_of[ordinals]

    def _committed_rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Rows that are not in memory, as they are stored or will be."""
        pending = self._pending
        found = [pending.get(ROW_KEY + id, _UNKNOWN) for id in ids]
        missing = [n for n, row in enumerate(found) if row is _UNKNOWN]
        for n, row in zip(missing, self._cold.rows([ids[n] for n in missing]), strict=True):
            found[n] = row
        return found

    def _room(self, count: int) -> Slots:
        """Free slots: let go of, taken from rows that nobody holds, or never used."""
        excess = self._used - len(self._free) + count - self._max_rows
        if excess > 0 and not self._keeps_all:
            self._evict(min(excess, count))
        reused = self._free[:count]
        del self._free[:count]
        fresh = count - len(reused)
        if self._used + fresh > len(self.rows):
            self._grow(self._used + fresh)
        places = np.array([*reused, *range(self._used, self._used + fresh)], np.int32)
        self._used += fresh
        return places

    def _evict(self, wanted: int) -> None:
        """Let go of rows that nobody holds, those used since the clock's hand last passed not yet."""
        passed = 0
        while wanted > 0 and passed < 2 * self._used:
            start = self._hand % self._used
            stop = min(start + _STRIDE, self._used)
            held = self._pinned[start:stop] | self._changed[start:stop]
            idle = ~(held | self._recent[start:stop]) & (self._owner[start:stop] >= 0)
            gone = start + np.flatnonzero(idle)[:wanted]
            if len(gone) == wanted:
                stop = int(gone[-1]) + 1
            self._recent[start:stop] = False
            self._slot_of[self._owner[gone]] = -1
            self._owner[gone] = -1
            self._free += gone.tolist()
            wanted -= len(gone)
            passed += stop - start
            self._hand = stop

    def _grow(self, least: int) -> None:
        size = max(least, min(2 * len(self.rows), len(self.rows) + _GROWTH))
        rows = np.zeros(size, ROW)
        raw = rows.view(RAW)
        raw[: self._used] = self._raw[: self._used]
        self.rows, self._raw = rows, raw
        more = size - len(self._owner)
        self._owner = np.append(self._owner, np.full(more, -1, np.int32))
        for name in _SLOT_FLAGS:
            setattr(self, name, np.append(getattr(self, name), np.zeros(more, np.bool_)))

    # -- who is due ---------------------------------------------------------------------------------

    def due(self, at: int, limit: int) -> Slots:
        """Open rows with `due` <= at, in the order (due, id), at most `limit`."""
        return self._in_order(self._due.until(at, limit), limit)

    def behind(self, at: int, limit: int) -> Slots:
        """Open rows with `as_of` < at or `due` <= at, in the order (due, id), at most `limit`."""
        count = len(self._ids)
        return self._in_order(
            np.flatnonzero((self._as_of[:count] < at) | (self._due.at[:count] <= at)), limit
        )

    def after(self, id: bytes, limit: int) -> Slots:
        """Open rows whose id is above the given one, in the order of their ids, at most `limit`."""
        if len(self._by_id) != len(self._ids):
            ids = self._ids.all().all()
            self._by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        start = bisect_right(self._by_id, id, key=lambda ordinal: self._ids.at(np.array([ordinal]))[0])
        later = self._by_id[start:]
        chosen = later[self._due.at[later] != NO_TIME][:limit]
        if len(chosen) < limit:
            self._by_id = _NOBODY  # whoever walks through has come to the end
        return self._warm(chosen)

    def _in_order(self, ordinals: NDArray[np.int64], limit: int) -> Slots:
        due = self._due.at[ordinals]
        if len(ordinals) > limit:
            # All that share the last due time stay in: ids decide among them.
            some = due <= np.partition(due, limit - 1)[limit - 1]
            ordinals, due = ordinals[some], due[some]
        ranked = sorted(zip(due.tolist(), self._ids.at(ordinals).all(), ordinals.tolist(), strict=True))
        return self._warm(np.array([ordinal for _, _, ordinal in ranked[:limit]], np.int64))

    def _index(
        self, ordinals: NDArray[np.int64], state: NDArray[Any], due: NDArray[Any], as_of: NDArray[Any]
    ) -> None:
        """Note what rows are known of these customers."""
        is_open = state == OPEN
        self._known[ordinals] = state != NONE
        self._as_of[ordinals] = np.where(is_open, as_of, NO_TIME)
        self._due.put(ordinals, np.where(is_open, due, NO_TIME))

    # -- side table ---------------------------------------------------------------------------------

    def side_get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key, as this transaction sees them."""
        changed, pending = self._side_changed, self._pending
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
        self._told = None
        owner = key[: key.index(0)]
        keys = self._side_keys.get(owner)
        if keys is None:
            self._side_keys[owner] = {key}
        else:
            keys.add(key)

    def side_scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Side entries under a prefix, in order, as this transaction sees them; quick for one customer's."""
        found: dict[bytes, bytes | None] = dict(self._cold.scan(prefix))
        whose, whole, _ = prefix.partition(b"\0")
        sets = [self._side_keys.get(whose, set())] if whole else list(self._side_keys.values())
        for key in (key for keys in sets for key in keys):
            if key.startswith(prefix):
                found[key] = self._side_changed[key] if key in self._side_changed else self._pending[key]
        return iter([(key, value) for key, value in sorted(found.items()) if value is not None])

    def at_rest(self, id: bytes) -> bool:
        """Whether a customer is known to have no grants to be told again; looking is a walk in the store."""
        ordinal = self._ids.one(id)
        return 0 <= ordinal < len(self._at_rest) and bool(self._at_rest[ordinal])

    def set_at_rest(self, id: bytes, at_rest: bool) -> None:
        """Somebody has looked, or given one."""
        ordinal = self._ids.one(id)
        if ordinal >= 0:
            self._at_rest.extend(bytes(max(0, len(self._ids) - len(self._at_rest))))
            self._at_rest[ordinal] = at_rest

    def partition_changed(self) -> None:
        """The partition row was changed."""
        self._partition_changed = True
        self._told = None

    # -- transactions -------------------------------------------------------------------------------

    def changes(self) -> Changes:
        """What this transaction has changed."""
        if self._told is None:
            slots = np.flatnonzero(self._changed[: self._used])
            keys = [ROW_KEY + id for id in self.ids_of(slots).all()]
            values: list[bytes | None] = list(pack(self.rows, slots))
            for n in np.flatnonzero(self.rows["state"][slots] == NONE).tolist():
                values[n] = None  # erased
            keys += self._side_changed.keys()
            values += self._side_changed.values()
            if self._partition_changed:
                keys.append(PARTITION_KEY)
                values.append(msgspec.json.encode(self.partition))
            self._told = Changes(keys, values)
        return self._told

    def committed(self) -> None:
        """The transaction is committed: its changes wait for the cold store."""
        if self._keeps_all:
            self._pending.update(self._side_changed)
        else:
            changes = self.changes()
            self._pending.update(zip(changes.keys, changes.values, strict=True))
        used = slice(0, self._used)
        self._changed[used] = False
        self._recent[used] |= self._pinned[used]
        self._pinned[used] = False
        self._side_changed.clear()
        self._partition_changed = False
        self._told = None

    def pending(self) -> Changes:
        """What the cold store lacks.  Between transactions only."""
        if self._changed[: self._used].any() or self._side_changed or self._partition_changed:
            raise RuntimeError("a transaction is under way")
        return Changes(list(self._pending), list(self._pending.values()))

    def flushed(self) -> None:
        """The cold store has all that was pending."""
        self._pending.clear()
        self._side_keys.clear()
