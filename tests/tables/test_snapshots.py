"""Snapshots: whole or not there, of one moment, noticed when damaged, written when their time has come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.settings import Settings
from loyalty import packing as rows
from loyalty.row import FORMAT, OPEN
from loyalty.state import PARTITION_KEY, SIDE_KEY
from tables import snapshots
from tables.customers import CustomerTable
from tables.errors import TableError
from tables.snapshots import Entry, Header, Snapshots
from tests.tables.rows import key, row

DAY = 86_400.0
NOON = 1_780_000_000.0


def header(**other: Any) -> Header:
    """Of an empty snapshot of partition 1."""
    plain = Header(snapshots.FORMAT, FORMAT, "log", 4, 1, 77, 3, 60_000, "2026-05-28T20:26:40Z")
    return msgspec.structs.replace(plain, **other)


def content(customers: int) -> list[Entry]:
    """What a partition with so many customers holds."""
    side = [(SIDE_KEY + b"c%06d\0p" % n, b"{}") for n in range(0, customers, 3)]
    return [*((key(n), row(n)) for n in range(customers)), *side, (PARTITION_KEY, b"{}")]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    wanted = content(2 * snapshots.BLOCK + 10)
    path = snapshots.write(iter(wanted), header(), tmp_path)
    assert path == tmp_path / "1" / "20260528T202640Z-77.snap"
    assert [entry for block in snapshots.read(path) for entry in block] == wanted
    found = snapshots.read_header(path)
    assert (found.customers, found.entries) == (2 * snapshots.BLOCK + 10, len(wanted))
    assert msgspec.structs.replace(found, customers=0, entries=0, checksum="") == header()


def test_an_empty_partition_has_a_snapshot_too(tmp_path: Path) -> None:
    path = snapshots.write([], header(), tmp_path)
    assert list(snapshots.read(path)) == []


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    path = snapshots.write(content(40), header(), tmp_path)
    whole = path.read_bytes()
    spaces = range(len(snapshots.MAGIC) + len(msgspec.json.encode(snapshots.read_header(path))), 1024)
    for place in [*range(0, len(whole), 7), len(whole) - 1]:
        if place in spaces:
            continue
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(TableError):
            list(snapshots.read(path))
    for length in (0, 10, 1023, 1024, 1026, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TableError):
            list(snapshots.read(path))
    path.write_bytes(whole + b"more")
    with pytest.raises(TableError):
        list(snapshots.read(path))


@pytest.mark.parametrize("name", ["format", "row_format"])
def test_a_newer_format_is_named(tmp_path: Path, name: str) -> None:
    path = snapshots.write([], header(**{name: 9}), tmp_path)
    with pytest.raises(
        TableError,
        match=f"has {name.replace('_', ' ')} 9, this version reads up to {FORMAT if 'row' in name else 1}",
    ):
        snapshots.read_header(path)


def test_no_snapshot_at_all(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else")
    with pytest.raises(TableError, match="is no snapshot"):
        snapshots.read_header(tmp_path / "other")
    with pytest.raises(TableError, match="No such file"):
        snapshots.read_header(tmp_path / "nothing")


def test_one_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def entries() -> Iterator[Entry]:
        yield from content(5)
        raise TableError("the store was closed")

    with pytest.raises(TableError, match="was closed"):
        snapshots.write(entries(), header(), tmp_path)
    assert list((tmp_path / "1").iterdir()) == []


def test_the_last_seven_are_kept_and_what_killed_workers_left_is_not(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "20260101T000000Z-1.4711.tmp").write_bytes(b"half")
    (tmp_path / "1" / "notes.txt").write_text("ours")
    for day in range(1, 11):
        snapshots.write([], header(created_at=f"2026-06-{day:02}T00:00:00Z", position=day), tmp_path)
    left = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert left == [*(f"202606{day:02}T000000Z-{day}.snap" for day in range(4, 11)), "notes.txt"]


@pytest.fixture
def table(fresh: Settings, tmp_path: Path) -> Iterator[tuple[Settings, CustomerTable]]:
    """A customer table over empty topics, and its settings: a snapshot a day."""
    settings = fresh.model_copy(update={"snapshots": tmp_path / "snapshots"})
    made = CustomerTable(settings, f"snapshots-{tmp_path.name}")
    yield settings, made
    for partition in made.partitions:
        made.drop(partition)


def folder(settings: Settings) -> Path:
    """Where the snapshots of `table` are."""
    assert settings.snapshots is not None
    return settings.snapshots


def fold(table: CustomerTable, partition: int, numbers: range, due: int) -> None:
    """A committed transaction that changes these customers."""
    state = table.state(partition)
    slots = state.slots([key(number)[1:] for number in numbers])
    state.rows["format"][slots], state.rows["state"][slots] = FORMAT, OPEN
    state.rows["due"][slots] = due
    state.touch(slots)
    state.side_put(SIDE_KEY + b"c000000\0p", b"%d" % due)
    state.partition.tick = due
    state.partition_changed()
    table.committed(partition, None)


def test_it_holds_the_moment_it_was_begun(table: tuple[Settings, CustomerTable]) -> None:
    settings, customers = table
    customers.take(0)
    fold(customers, 0, range(500), 60_000)
    fold(customers, 0, range(100), 120_000)
    writer = Snapshots(settings, customers)
    writer.maybe({0: 41}, NOON)
    assert snapshots.found(folder(settings), 0) == []  # not yet: a day from now
    writer.maybe({0: 42}, NOON + DAY + 1)
    fold(customers, 0, range(600), 180_000)  # while it is being written
    customers.maybe_flush(1e12)
    writer.wait()
    (path,) = snapshots.found(folder(settings), 0)
    found = snapshots.read_header(path)
    assert (found.position, found.customers, found.tick, found.partitions) == (42, 500, 120_000, 4)
    held = dict(entry for block in snapshots.read(path) for entry in block)
    dues = [rows.decode(held[key(number)])["due"] for number in range(500)]
    assert dues == [120_000] * 100 + [60_000] * 400
    assert held[SIDE_KEY + b"c000000\0p"] == b"120000"
    assert msgspec.json.decode(held[PARTITION_KEY])["tick"] == 120_000
    assert len(held) == 502  # and nothing of the store's own


def test_one_of_each_partition_a_day_whoever_holds_it(table: tuple[Settings, CustomerTable]) -> None:
    settings, customers = table
    for partition in (0, 1):
        customers.take(partition)
    writer = Snapshots(settings, customers)
    for hour in range(24 * 3 + 1):
        if hour == 30:
            writer = Snapshots(settings, customers)  # another worker, which knows only the directory
        for _ in range(3):
            writer.maybe({0: hour, 1: hour}, NOON + hour * 3600.0)
            writer.wait()
    for partition in (0, 1):
        written = [snapshots.read_header(path) for path in snapshots.found(folder(settings), partition)]
        # The directory was made at the time of this test's clock, which is not that of the files.
        assert [head.position for head in written] == [24, 48, 72]


def test_all_partitions_get_theirs_where_there_is_no_time_for_all(
    table: tuple[Settings, CustomerTable],
) -> None:
    settings, customers = table
    for partition in (0, 1, 2):
        customers.take(partition)
    writer = Snapshots(settings.model_copy(update={"snapshot_interval": 1.0}), customers)
    for second in range(8):
        writer.maybe({0: second, 1: second, 2: second}, NOON + second)
        writer.wait()
    written = [len(snapshots.found(folder(settings), partition)) for partition in (0, 1, 2)]
    assert sorted(written) == [2, 2, 3]


def test_a_directory_that_cannot_be_written_to_stops_nobody(
    table: tuple[Settings, CustomerTable], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, customers = table
    customers.take(0)
    (tmp_path / "file").write_text("no directory")
    writer = Snapshots(settings.model_copy(update={"snapshots": tmp_path / "file"}), customers)
    writer.maybe({0: 1}, NOON)
    writer.maybe({0: 1}, NOON + DAY)
    writer.wait()
    assert "no snapshot could be written" in caplog.text
    (tmp_path / "file").unlink()
    writer.maybe({0: 2}, NOON + DAY + 60)
    assert not (tmp_path / "file").exists()  # not again at once
    writer.maybe({0: 3}, NOON + DAY + snapshots.RETRY_SECONDS)
    writer.wait()
    assert [path.name.partition("-")[2] for path in snapshots.found(tmp_path / "file", 0)] == ["3.snap"]


def test_a_partition_that_goes_breaks_its_snapshot_off(table: tuple[Settings, CustomerTable]) -> None:
    settings, customers = table
    customers.take(0)
    fold(customers, 0, range(20_000), 60_000)
    writer = Snapshots(settings, customers)
    writer.maybe({0: 1}, NOON)
    going: Callable[[], None] = lambda: customers.release(0)  # noqa: E731
    writer.maybe({0: 1}, NOON + DAY)
    thread = threading.Thread(target=going)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    writer.wait()
    # Whichever was faster: a whole snapshot or none.
    for path in (folder(settings) / "0").iterdir():
        assert path.suffix == ".snap"
        assert sum(len(block) for block in snapshots.read(path)) == 20_002
