"""The table of a worker: taken, flushed, let go of and taken again; its memory; stores that break."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient

from config import topics as names
from config.settings import Settings
from loyalty.packing import pack
from loyalty.row import FORMAT, OPEN, ROW
from loyalty.state import State
from streams import topics as on_brokers
from tables import customers
from tables.customers import CustomerTable
from tables.errors import StoreDamaged
from tables.restore import topic_id
from tables.store import RocksStore
from tests.faults.harness import until
from tests.tables.rows import due_of, key, producer, row


@pytest.fixture
def settings(fresh: Settings, tmp_path: Path) -> Settings:
    """A home of its own on the session's Kafka, with an empty changelog."""
    return fresh.model_copy(
        update={
            "home": tmp_path, "kafka": fresh.bootstrap_servers(), "cache_rows": 4_000, "store_interval": 0.001
        }
    )  # fmt: skip


@cache
def sending(servers: str) -> Producer:
    """One for all folds: each waits half a second for its first acknowledgement."""
    return producer(Settings(_env_file=None, kafka=servers))


def fold(table: CustomerTable, settings: Settings, partition: int, numbers: range, due: int) -> State:
    """Change rows, and commit them to the changelog as the worker does."""
    state = table.state(partition)
    slots = state.slots([key(n)[1:] for n in numbers])
    rows = state.rows
    rows["format"][slots], rows["state"][slots] = FORMAT, OPEN
    rows["due"][slots] = due + np.array(numbers)
    state.touch(slots)
    changes = state.changes()
    sender = sending(settings.kafka or "")
    ends: list[int] = []

    def delivered(_: KafkaError | None, message: Message[Any, Any]) -> None:
        offset = message.offset()
        assert offset is not None
        ends.append(offset + 1)

    for each, value in zip(changes.keys, changes.values, strict=True):
        sender.produce(names.CHANGELOG, value, each, partition, on_delivery=delivered)
    sender.flush(60)
    table.committed(partition, max(ends))
    return state


def dues(table: CustomerTable, partition: int, numbers: range) -> list[int | None]:
    found = (table.get(partition, key(n)[1:]) for n in numbers)
    return [None if value is None else due_of(value) for value in found]


def store_of(settings: Settings, partition: int) -> Path:
    return settings.home_dir / "workers" / "w" / "customers" / str(partition)


def test_taken_again_after_a_release_and_after_a_drop(settings: Settings) -> None:
    table = CustomerTable(settings, "w")
    table.take(1)
    fold(table, settings, 1, range(10), 100)
    table.maybe_flush(float("inf"))
    fold(table, settings, 1, range(5, 15), 1_000)
    table.release(1)
    assert table.partitions == []
    offset = RocksStore(store_of(settings, 1), topic_id(settings.kafka_config(), names.CHANGELOG))
    assert offset.offset() == 20
    offset.close()
    wanted = [*range(100, 105), *range(1_005, 1_015), None]
    for _ in range(2):
        state = table.take(1)
        assert (len(state), table.offset(1)) == (15, 20)
        assert dues(table, 1, range(16)) == wanted
        table.drop(1)
    table.take(1)
    fold(table, settings, 1, range(1), 7)
    table.drop(1)  # what was not flushed comes from the changelog
    table.take(1)
    assert dues(table, 1, range(16)) == [7, *wanted[1:]]
    table.drop(1)


def test_rows_that_nobody_committed_are_not_stored(settings: Settings) -> None:
    table = CustomerTable(settings, "w")
    state = table.take(0)
    fold(table, settings, 0, range(10), 100)
    slots = state.slots([key(3)[1:]])
    state.rows["due"][slots] = 666
    state.touch(slots)
    table.release(0)  # as when a worker stops in the middle of a fold
    table.take(0)
    assert dues(table, 0, range(4)) == [100, 101, 102, 103]
    table.drop(0)


def test_partitions_share_the_rows_in_memory(settings: Settings) -> None:
    table = CustomerTable(settings, "w")
    table.take(0)
    for start in range(0, 12_000, 500):
        fold(table, settings, 0, range(start, start + 500), 0)
        table.maybe_flush(float("inf"))
    assert table.state(0)._used <= 4_500
    table.take(1)
    table.maybe_flush(float("inf"))
    for start in range(0, 12_000, 500):
        for partition in (0, 1):
            fold(table, settings, partition, range(start, start + 500), 1)
        table.maybe_flush(float("inf"))
    assert all(table.state(partition)._used <= 2_500 for partition in (0, 1))
    assert dues(table, 0, range(12_000)) == list(range(1, 12_001))
    for partition in (0, 1):
        table.release(partition)


def test_many_changed_rows_do_not_wait_for_their_turn(settings: Settings) -> None:
    table = CustomerTable(settings, "w")
    table.take(0)
    table._interval = 10**6
    fold(table, settings, 0, range(10), 0)
    table.maybe_flush(0.0)
    assert table.state(0).pending().keys
    fold(table, settings, 0, range(3_000), 0)
    table.maybe_flush(0.0)
    assert not table.state(0).pending().keys
    table.release(0)


def broken(settings: Settings) -> CustomerTable:
    """A table whose store was damaged while nobody held it."""
    table = CustomerTable(settings, "w")
    table.take(0)
    fold(table, settings, 0, range(5_000), 10)
    table.release(0)
    file = max(store_of(settings, 0).glob("*.sst"), key=lambda file: file.stat().st_size)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    file.write_bytes(content)
    return table


def test_a_store_found_damaged_is_rebuilt_at_once(settings: Settings) -> None:
    table = broken(settings)
    assert len(table.take(0)) == 5_000
    assert dues(table, 0, range(5_000)) == list(range(10, 5_010))
    table.release(0)
    assert len(table.take(0)) == 5_000
    table.release(0)


def test_a_store_damaged_later_is_rebuilt_when_taken_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = broken(settings)
    with monkeypatch.context() as patched:
        # The index without a look at the rows: damage shows when they are read.
        patched.setattr(customers, "restore", index_only)
        state = table.take(0)
    with pytest.raises(StoreDamaged):
        state.slots([key(n)[1:] for n in range(5_000)])
    table.drop(0)
    assert not store_of(settings, 0).exists()
    table.take(0)
    assert dues(table, 0, range(5_000)) == list(range(10, 5_010))
    table.drop(0)


def index_only(
    _: object, topic: str, partition: int, store: RocksStore, state: State, __: object
) -> tuple[int, int]:
    state.load_many([key(n)[1:] for n in range(5_000)], [row(10 + n) for n in range(5_000)])
    return 5_000, 5_000


def test_a_damaged_store_is_let_go_of_without_a_word_of_error(settings: Settings) -> None:
    table = broken(settings)
    table.take(0)
    fold(table, settings, 0, range(10), 50)
    table.store(0).damaged = True
    table.release(0)
    assert not store_of(settings, 0).exists()
    table.take(0)
    assert dues(table, 0, range(12)) == [*range(50, 60), 20, 21]
    table.drop(0)


def test_a_changelog_made_anew_empties_the_table(settings: Settings) -> None:
    table = CustomerTable(settings, "w")
    table.take(0)
    fold(table, settings, 0, range(10), 0)
    table.release(0)
    admin = AdminClient(settings.kafka_config())
    admin.delete_topics([names.CHANGELOG])[names.CHANGELOG].result()
    until("it is gone", lambda: names.CHANGELOG not in admin.list_topics(timeout=10).topics)
    on_brokers.create(settings)
    assert len(table.take(0)) == 0
    table.drop(0)


def test_memory_of_those_who_are_known_and_not_in_use() -> None:
    """At most 250 bytes a customer beside the rows: ids, index, due times."""
    import tracemalloc

    count = 200_000
    one = np.zeros(1, ROW)
    one["format"], one["state"] = FORMAT, OPEN
    (value,) = pack(one, np.array([0]))
    State(RocksStoreless(), 1_000).load_many([b"48"], [value])  # compiles, which tracing makes very slow
    tracemalloc.start()
    state = State(RocksStoreless(), 1_000)
    for start in range(0, count, 2_000):
        ids = [b"48%09d" % (n * 7_919) for n in range(start, start + 2_000)]
        state.load_many(ids, [value] * 2_000)
    assert not len(state.due(-1, 10))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / count < 250


class RocksStoreless:
    """Nothing is ever read from it."""

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        raise AssertionError("not to be read")

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        raise AssertionError("not to be read")

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError("not to be read")
