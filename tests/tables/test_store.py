"""RocksDB as a cache: what a kill leaves, what damage does, whose it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from loyalty.row import FORMAT
from loyalty.state import PARTITION_KEY, SIDE_KEY, State
from tables.errors import StoreDamaged, TableError
from tables.store import META_KEY, RocksStore
from tests.tables.rows import due_of, key, row

# Offset n stands behind the rows of every write up to n; each write sets all 2,000 rows to its number.
WRITER = """
import sys
from pathlib import Path
from tables.store import RocksStore
from tests.tables.rows import key, row
store = RocksStore(Path(sys.argv[1]), "log")
number = 0
while True:
    number += 1
    store.write([key(n) for n in range(2_000)], [row(number)] * 2_000, number)
    print(number, flush=True)
"""


def test_a_kill_leaves_no_row_older_than_the_offset(tmp_path: Path) -> None:
    for kill_at in (3, 17, 40):  # a memory table holds five such writes: some are in files, some lost
        path = tmp_path / str(kill_at)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == kill_at:
                break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        store = RocksStore(path, "log")
        offset = store.offset()
        kept = [due_of(value) for _, value in store.all_rows()]
        assert -1 <= offset <= kill_at + 1
        assert len(kept) == (2_000 if offset > 0 else 0)
        assert all(offset <= due <= offset + 1 for due in kept)
        store.close()


def test_closed_and_opened_again(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "s", "log")
    assert store.offset() == -1
    side = SIDE_KEY + b"c000001\0p"
    store.write([key(1), key(2), side, PARTITION_KEY], [row(1), row(2), b"{}", b"{}"], 5)
    store.write([key(2), side], [None, None], 9)
    store.close()
    store = RocksStore(tmp_path / "s", "log")
    assert store.offset() == 9
    assert 0 <= store.age() < 60
    assert list(store.all_rows()) == [(b"c000001", row(1))]
    assert store.rows([b"c000001", b"c000002"]) == [row(1), None]
    assert store.side([side]) == [None]
    assert store.partition_row() == b"{}"
    assert store.rows([]) == []
    store.close()


def filled(path: Path, rows: int = 20_000) -> None:
    store = RocksStore(path, "log")
    store.write([key(n) for n in range(rows)], [row(n) for n in range(rows)], 7)
    store.close()


def tables(path: Path) -> list[Path]:
    return sorted(path.glob("*.sst"), key=lambda file: file.stat().st_size)


def damage(file: Path) -> None:
    """Turn bytes in the middle."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        found = opened.read(64)
        opened.seek(-len(found), os.SEEK_CUR)
        opened.write(bytes(byte ^ 0xFF for byte in found))


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def wanted(pattern: str) -> list[object]:
    return [pytest.param(pattern, break_, id=f"{break_.__name__} {pattern}") for break_ in (damage, truncate)]


@pytest.mark.parametrize(("pattern", "break_"), [*wanted("MANIFEST-*"), *wanted("CURRENT")])
def test_what_cannot_be_opened_is_wiped(tmp_path: Path, pattern: str, break_: object) -> None:
    path = tmp_path / "s"
    filled(path)
    for file in path.glob(pattern):
        break_(file)  # type: ignore[operator]
    store = RocksStore(path, "log")
    assert (store.offset(), list(store.all_rows())) == (-1, [])
    store.write([key(1)], [row(1)], 3)
    store.close()
    assert RocksStore(path, "log").offset() == 3


@pytest.mark.parametrize("read", ["all", "one by one", "view"])
@pytest.mark.parametrize("break_", [damage, truncate])
def test_damage_that_shows_at_a_read_is_told_and_the_store_goes(
    tmp_path: Path, read: str, break_: object
) -> None:
    path = tmp_path / "s"
    filled(path)
    break_(tables(path)[-1])  # type: ignore[operator]
    try:
        store = RocksStore(path, "log")
    except StoreDamaged:
        pytest.fail("must be wiped at the start, not told")
    if store.offset() == -1:  # it showed at the start
        assert not list(store.all_rows())
        store.close()
        return
    view = store.view()
    reads: dict[str, Callable[[], object]] = {
        "all": lambda: list(store.all_rows()),
        "view": lambda: list(view),
        "one by one": lambda: store.rows([b"c%06d" % n for n in range(20_000)]),
    }
    with pytest.raises(StoreDamaged, match="is damaged"):
        reads[read]()
    view.close()
    assert store.damaged
    store.close()
    assert not path.exists()
    assert RocksStore(path, "log").offset() == -1


@pytest.mark.parametrize("call", ["close", "wipe"])
def test_a_store_that_was_deleted_under_it_can_be_left_and_made_anew(tmp_path: Path, call: str) -> None:
    store = RocksStore(tmp_path / "store", "log")
    store.write([key(1)], [row(1)], 7)
    shutil.rmtree(tmp_path / "store")
    getattr(store, call)()  # RocksDB cannot write what it has in memory
    if call == "close":
        store = RocksStore(tmp_path / "store", "log")
    assert (store.offset(), list(store.all_rows())) == (-1, [])
    store.write([key(1)], [row(1)], 9)
    assert store.offset() == 9
    store.close()


def test_a_store_that_was_deleted_under_it_says_so_when_merges_begin(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "store", "log")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(StoreDamaged, match="is damaged"):
        store.merge(False)
    store.close()


def test_a_store_of_another_changelog_is_wiped(tmp_path: Path) -> None:
    filled(tmp_path / "s", 10)
    store = RocksStore(tmp_path / "s", "another log")
    assert (store.offset(), list(store.all_rows())) == (-1, [])
    store.close()


def test_rows_without_an_offset_are_wiped(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "s", "log")
    store._db.put(key(1), row(1))
    store.close()
    store = RocksStore(tmp_path / "s", "log")
    assert not list(store.all_rows())
    store.close()


def test_a_store_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path / "s", 10)
    store = RocksStore(tmp_path / "s", "log")
    newer = {"format": FORMAT + 1, "changelog": "log", "offset": 7, "written_at": 0.0}
    store._db.put(META_KEY, msgspec.json.encode(newer))
    store.close()
    for _ in range(2):
        with pytest.raises(TableError, match=f"format {FORMAT + 1}") as refused:
            RocksStore(tmp_path / "s", "log")
        assert "upgrade" in refused.value.hint


def test_a_store_of_another_process_is_refused(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        with pytest.raises(TableError, match="in use by another process"):
            RocksStore(tmp_path / "s", "log")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_view_stays_as_it_was_and_ends_with_the_store(tmp_path: Path) -> None:
    filled(tmp_path / "s", 5_000)
    store = RocksStore(tmp_path / "s", "log")
    view = store.view()
    store.write([key(n) for n in range(5_000)], [None] * 5_000, 8)
    assert [due_of(value) for _, value in view] == list(range(5_000))
    view.close()
    store.write([key(n) for n in range(1_000)], [row(n) for n in range(1_000)], 9)
    view = store.view()
    begun, ended = threading.Event(), threading.Event()

    def read() -> None:
        try:
            for _ in view:
                begun.set()
                while not view.stopped:
                    pass
        except TableError:
            ended.set()
        finally:
            view.close()

    threading.Thread(target=read).start()
    assert begun.wait(30)
    store.close()
    assert ended.is_set()
    # The lock is free again: nothing of the view holds the database open.
    RocksStore(tmp_path / "s", "log").close()


def test_reads_of_the_state_pass_the_damage_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    filled(path)
    store = RocksStore(path, "log")
    state = State(store, 1_000)
    rows = list(store.all_rows())
    state.load_many([id for id, _ in rows], [value for _, value in rows])
    store.close()
    damage(tables(path)[-1])
    store = RocksStore(path, "log")
    state._cold = store
    with pytest.raises(StoreDamaged):
        state.slots([b"c%06d" % n for n in range(20_000)])
    store.close()
