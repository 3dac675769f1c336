"""The row's bytes: they stand in every changelog, so they may not change under one format number."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.hashing import hash64
from loyalty.packing import decode, is_packed, opened, pack, unpack
from loyalty.row import FORMAT, HASHES, LIFE, NO_TIME, RINGS, ROW, WORDS, RowFormatError, empty, read
from loyalty.state import State
from loyalty.upgrade import ROW_1, current

# They change with `FORMAT` only, and then a reader of the old bytes stays.
LAYOUT, CONTENT = "23c163287d7b9509", "c3f77b779e1aa977"
LAYOUT_1 = "c76db11a37d219d9"


def filled() -> np.ndarray:
    """A row in which every field has a value of its own."""
    rows = np.frombuffer(bytes(n % 251 for n in range(ROW.itemsize)), ROW).copy()
    row = rows[0]
    row["format"], row["state"], row["day"], row["hash_next"], row["recent_next"] = FORMAT, 1, 19_000, 5, 3
    return rows


def layout_of(form: np.dtype[Any]) -> list[tuple[str, str, int]]:
    """Name, type and offset of each field."""
    assert form.fields is not None
    assert form.names is not None
    return [(name, str(form.fields[name][0]), form.fields[name][1]) for name in form.names]


def test_the_layout_is_that_of_its_format() -> None:
    layout = layout_of(ROW)
    assert FORMAT == 2
    assert ROW.itemsize == 2368
    assert layout[0] == ("format", "uint16", 0)
    assert sha256(repr(layout).encode()).hexdigest()[:16] == LAYOUT


def test_the_layout_of_the_old_format_stays() -> None:
    layout = layout_of(ROW_1)
    assert ROW_1.itemsize == 1512
    assert sha256(repr(layout).encode()).hexdigest()[:16] == LAYOUT_1


def test_a_row_of_the_old_format_is_brought_up() -> None:
    old = np.frombuffer(bytes(n % 251 for n in range(ROW_1.itemsize)), ROW_1).copy()
    old["format"], old["state"], old["day"], old["hash_next"], old["recent_next"] = 1, 1, 19_000, 5, 3
    new = current(old.tobytes(), b"27820001111")[0]
    assert ROW_1.names is not None
    assert all((new[name] == old[name][0]).all() for name in ROW_1.names if name != "format")
    assert (new["format"], new["next_refresh"], new["month"]) == (FORMAT, old["due"][0], 624)
    assert new["id_hash"] == hash64(b"27820001111")
    assert not new["mission_status"].any()
    assert current(new.tobytes(), b"")[0] == new

    state = State()
    state.load_many([b"27820001111"], [old.tobytes()])
    assert state.rows[state.find(b"27820001111")] == new


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, ROW.itemsize - 1), max_size=40), st.integers(1, 255)), max_size=5
    )
)
def test_a_row_comes_out_of_its_stored_form_as_it_went_in(marks: list[tuple[list[int], int]]) -> None:
    raw = np.zeros((len(marks), ROW.itemsize), np.uint8)
    for row, (places, value) in zip(raw, marks, strict=True):
        row[places] = value
    rows = raw.reshape(-1).view(ROW)
    stored = pack(rows, np.arange(len(rows)))
    assert all(map(is_packed, stored))
    assert unpack(stored).tobytes() == rows.tobytes()
    for n, data in enumerate(stored):
        assert opened(data).tobytes() == raw[n].tobytes()
        for cut in (1, 2, 5, len(data) - 1):
            with pytest.raises(RowFormatError, match=f"row has {cut} bytes"):
                opened(data[:cut])
        with pytest.raises(RowFormatError, match=f"row has {len(data) + 8} bytes"):
            opened(data + bytes(8))


def test_a_stored_row_is_small() -> None:
    rows = empty()
    rows["format"], rows["state"], rows["as_of"] = FORMAT, 1, 5
    (stored,) = pack(rows, np.array([0]))
    assert stored == bytes.fromhex("0280 0300") + bytes(36) + rows.tobytes()[:16]


def test_every_cell_is_where_it_was() -> None:
    decoded = decode(filled().tobytes())
    assert sha256(repr(decoded).encode()).hexdigest()[:16] == CONTENT


def test_a_row_that_was_never_written_is_nothing_but_zeros() -> None:
    assert empty().tobytes() == bytes(ROW.itemsize)
    decoded = decode(empty().tobytes())
    assert decoded["state"] == decoded["as_of"] == decoded["weeks"] == 0
    assert decoded["hashes"] == decoded["recent"] == []
    assert not any(decoded["rings"].values())
    assert set(decoded["life"]) == set(LIFE)


def test_rings_are_read_by_day_whatever_day_it_is() -> None:
    for day in (0, 1, 29, 30, 89, 90, 19_000, 19_001, 47_000):
        rows = empty()
        row = rows[0]
        row["day"] = day
        row["calls"][day % 30] = 1
        row["calls"][(day - 29) % 30] = 2
        row["revenue"][(day - 89) % 90] = -3
        rings = decode(rows.tobytes())["rings"]
        assert rings["calls"] == {day: 1, day - 29: 2}
        assert rings["revenue"] == {day - 89: -3}
        assert list(rings["calls"]) == [day - 29, day]


def test_rings_of_hashes_and_events_are_read_oldest_first() -> None:
    rows = empty()
    row = rows[0]
    for n in range(HASHES + 3):
        row["hashes"][n % HASHES] = n + 1
        row["hash_next"] = (n + 1) % HASHES
    for n in range(11):
        row["recent_type"][n % 8], row["recent_at"][n % 8], row["recent_value"][n % 8] = n + 1, n + 100, -n
        row["recent_next"] = (n + 1) % 8
    decoded = decode(rows.tobytes())
    assert decoded["hashes"] == list(range(4, HASHES + 4))
    assert decoded["recent"] == [[n + 1, n + 100, -n] for n in range(3, 11)]


def test_extremes_survive() -> None:
    rows = empty()
    row = rows[0]
    row["due"], row["life_revenue"], row["weeks"], row["hashes"][0] = NO_TIME, -(2**62), 2**32 - 1, 2**64 - 1
    row["published"] = [0, 10_000, 1, 2, 3]
    for name in WORDS:
        row[name] = 2**32 - 1
    for name, (cell, _) in RINGS.items():
        row[name][0] = np.iinfo(cell).max
    decoded = decode(rows.tobytes())
    assert (decoded["due"], decoded["life"]["revenue"]) == (NO_TIME, -(2**62))
    assert (decoded["weeks"], decoded["hashes"]) == (2**32 - 1, [2**64 - 1])
    assert decoded["published"] == [0, 10_000, 1, 2, 3]
    assert all(decoded["profile"][name] == 2**32 - 1 for name in WORDS)
    assert {name: list(cells.values()) for name, cells in decoded["rings"].items()} == {
        name: [np.iinfo(cell).max] for name, (cell, _) in RINGS.items()
    }


def test_what_is_no_row_of_this_version_is_refused() -> None:
    newer = empty()
    newer["format"] = FORMAT + 2
    with pytest.raises(RowFormatError, match=r"row has format 4, this version reads up to 2: upgrade khaywe"):
        read(newer.tobytes() + b"more")
    with pytest.raises(RowFormatError, match=r"row has 0 bytes"):
        decode(b"")
    with pytest.raises(RowFormatError, match=r"row has 2367 bytes, format 0 has 2368: not a row"):
        decode(bytes(ROW.itemsize - 1))
