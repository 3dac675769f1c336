"""The state against a plain dict: paging, side table, due order, what a transaction changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.packing import opened, pack
from loyalty.row import FORMAT, NO_TIME, OPEN
from loyalty.state import PARTITION_KEY, ROW_KEY, SIDE_KEY, PartitionRow, State


class Shelf:
    """A cold store in a dict."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        return [self.kept.get(ROW_KEY + id) for id in ids]

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.kept.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((k, v) for k, v in self.kept.items() if k.startswith(prefix)))

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        for key, value in zip(keys, values, strict=True):
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value


IDS = [b"c%d" % n for n in range(12)]
step = st.one_of(
    st.tuples(
        st.just("fold"), st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 5_000_000)), max_size=5)
    ),
    st.tuples(st.just("close"), st.sampled_from(IDS)),
    st.tuples(st.just("side"), st.tuples(st.sampled_from(IDS), st.integers(0, 3), st.booleans())),
    st.tuples(st.just("commit"), st.none()),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("limit"), st.integers(1, 8)),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("due"), st.tuples(st.integers(0, 5_000_000), st.integers(1, 4))),
    st.tuples(st.just("behind"), st.tuples(st.integers(0, 5_000_000), st.integers(1, 4))),
    st.tuples(st.just("after"), st.tuples(st.sampled_from([b"", *IDS]), st.integers(1, 4))),
)


class Model:
    """What the state must look like: id -> (due, as_of, open), and side entries."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[int, int, bool]] = {}
        self.side: dict[bytes, bytes] = {}

    def open(self) -> list[tuple[int, bytes, int]]:
        return sorted((due, id, as_of) for id, (due, as_of, is_open) in self.rows.items() if is_open)


def fold(state: State, id: bytes, due: int, is_open: bool = True) -> None:
    slots = state.slots([id])
    row = state.rows[int(slots[0])]
    row["format"], row["state"] = FORMAT, OPEN if is_open else 2
    row["due"], row["as_of"] = (due if is_open else NO_TIME), due // 2
    state.touch(slots)


@settings(max_examples=300, deadline=None)
@given(st.lists(step, max_size=40), st.sampled_from([3, 100]))
def test_like_a_dict(steps: list[tuple[str, Any]], max_rows: int) -> None:
    shelf, model = Shelf(), Model()
    state = State(shelf, max_rows)
    for name, given_ in steps:
        if name == "fold":
            for id, due in given_:
                fold(state, id, due)
                model.rows[id] = (due, due // 2, True)
        elif name == "close":
            fold(state, given_, 0, is_open=False)
            model.rows[given_] = (NO_TIME, 0, False)
        elif name == "side":
            id, number, there = given_
            key = SIDE_KEY + id + b"\0e%d" % number
            state.side_put(key, b"v" if there else None)
            model.side.pop(key, None)
            if there:
                model.side[key] = b"v"
        elif name == "commit":
            state.committed()
        elif name in ("flush", "limit", "restart"):
            state.committed()
            pending = state.pending()
            shelf.write(pending.keys, pending.values)
            state.flushed()
            if name == "limit":
                state.limit(given_)
            if name == "restart":
                state = State(shelf, max_rows)
                rows = [(key[1:], value) for key, value in shelf.scan(ROW_KEY)]
                state.load_many([id for id, _ in rows], [row for _, row in rows])
        elif name == "due":
            at, limit = given_
            wanted = [id for due, id, _ in model.open() if due <= at][:limit]
            assert state.ids_of(state.due(at, limit)).all() == wanted
        elif name == "behind":
            at, limit = given_
            wanted = [id for due, id, as_of in model.open() if as_of < at or due <= at][:limit]
            assert state.ids_of(state.behind(at, limit)).all() == wanted
        elif name == "after":
            after, limit = given_
            wanted = sorted(id for _, id, _ in model.open() if id > after)[:limit]
            assert state.ids_of(state.after(after, limit)).all() == wanted
    for id in IDS:
        seen = state.peek(id)
        slot = state.find(id)
        assert seen == (pack(state.rows, np.array([slot]))[0] if slot >= 0 else None)
        assert (slot >= 0) == (id in model.rows)
        if slot >= 0:
            due, as_of, is_open = model.rows[id]
            row = state.rows[slot]
            assert (int(row["due"]), int(row["as_of"]), row["state"] == OPEN) == (due, as_of, is_open)
        prefix = SIDE_KEY + id + b"\0"
        assert list(state.side_scan(prefix)) == sorted(
            (k, v) for k, v in model.side.items() if k.startswith(prefix)
        )
    keys = [*sorted(model.side), SIDE_KEY + b"nobody\0e"]
    assert state.side_get(keys) == [model.side.get(key) for key in keys]


def test_a_transaction_tells_what_it_changed_once() -> None:
    state = State(Shelf())
    fold(state, b"a", 60_000)
    fold(state, b"b", 60_000)
    fold(state, b"a", 120_000)
    state.side_put(SIDE_KEY + b"a\0p", b"1")
    state.side_put(SIDE_KEY + b"a\0p", None)
    state.partition.tick = 7
    state.partition_changed()
    changes = state.changes()
    assert sorted(changes.keys[:2]) == [ROW_KEY + b"a", ROW_KEY + b"b"]
    assert changes.keys[2:] == [SIDE_KEY + b"a\0p", PARTITION_KEY]
    assert changes.values[2] is None
    rows = dict(zip(changes.keys, changes.values, strict=True))
    assert opened(rows[ROW_KEY + b"a"] or b"")[0]["due"] == 120_000
    again = State()
    again.load_partition(changes.values[3] or b"")
    assert again.partition == PartitionRow(tick=7)
    state.committed()
    assert state.changes().keys == []
    assert sorted(state.pending().keys) == sorted(changes.keys)
    state.flushed()
    assert state.pending().keys == []


def test_no_more_rows_in_memory_than_allowed_once_they_are_stored() -> None:
    shelf = Shelf()
    state = State(shelf, max_rows=2_000)
    for start in range(0, 20_000, 1_000):
        ids = [b"%d" % n for n in range(start, start + 1_000)]
        slots = state.slots(ids)
        state.rows["format"][slots], state.rows["state"][slots] = FORMAT, OPEN
        state.rows["due"][slots] = np.arange(start, start + 1_000)
        state.touch(slots)
        state.committed()
        pending = state.pending()
        shelf.write(pending.keys, pending.values)
        state.flushed()
    assert len(state) == 20_000
    assert len(state.rows) <= 4_096
    slots = state.slots([b"%d" % n for n in range(0, 20_000, 7)][:1_000])
    assert state.rows["due"][slots].tolist() == list(range(0, 20_000, 7))[:1_000]


def test_rows_that_the_cold_store_lacks_come_back_as_they_were_committed() -> None:
    shelf = Shelf()
    state = State(shelf, max_rows=1_000)
    for start in range(0, 6_000, 500):
        slots = state.slots([b"%d" % n for n in range(start, start + 500)])
        state.rows["format"][slots], state.rows["state"][slots] = FORMAT, OPEN
        state.rows["due"][slots] = np.arange(start, start + 500)
        state.touch(slots)
        state.committed()
    assert len(state.rows) <= 2_048
    assert state.crowded
    assert opened(state.peek(b"17") or b"")[0]["due"] == 17
    slots = state.slots([b"%d" % n for n in range(0, 6_000, 13)])
    assert state.rows["due"][slots].tolist() == list(range(0, 6_000, 13))
    assert len(state.pending().keys) == 6_000
