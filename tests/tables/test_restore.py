"""Restoring from a real changelog: to its end, whatever stands there, from whatever store there was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from config.settings import Settings
from loyalty.row import FORMAT, ROW
from loyalty.state import PARTITION_KEY, SIDE_KEY, PartitionRow, State
from streams.topics import await_topics
from tables.errors import TableError
from tables.restore import STALE_SECONDS, Interrupted, restore, topic_id
from tables.store import META_KEY, RocksStore
from tests.tables.rows import due_of, key, producer, row

TIMEOUT = 60.0


@dataclass
class Log:
    """A changelog of one partition, and a store of it."""

    settings: Settings
    topic: str
    path: Path
    store: RocksStore | None = None
    words: int = 0

    def restored(self, go_on: Callable[[], bool] = lambda: True) -> tuple[State, int]:
        """State and end, of the store that was there before."""
        if self.store is None:
            self.store = RocksStore(self.path, topic_id(self.settings.kafka_config(), self.topic))
        state = State(self.store, 1_000)

        def progress(partition: int, done: int, total: int) -> bool:
            assert 0 <= done <= total
            self.words += 1
            return go_on()

        return state, restore(self.settings.kafka_config(), self.topic, 0, self.store, state, progress)[1]

    def reopen(self) -> None:
        if self.store is not None:
            self.store.close()
        self.store = None

    def rows(self, state: State) -> dict[int, int]:
        """{number of a customer: `due`}, the same in the state, its index and the store."""
        assert self.store is not None
        kept = {int(id[1:]): due_of(value) for id, value in self.store.all_rows()}
        for number, due in kept.items():
            slot = state.find(key(number)[1:])
            assert int(state.rows["due"][slot]) == due
        assert state.ids_of(state.after(b"", 10**6)).all() == [key(number)[1:] for number in sorted(kept)]
        state.committed()
        return kept


@pytest.fixture
def log(services: Settings, topics: Callable[..., str], tmp_path: Path) -> Iterator[Log]:
    made = Log(services, topics("changelog", 1, {"cleanup.policy": "compact"}), tmp_path / "store")
    yield made
    made.reopen()


def send(sender: Producer, log: Log, rows: dict[int, int | None]) -> None:
    for number, due in rows.items():
        sender.produce(log.topic, None if due is None else row(due), key(number), 0)
    sender.flush(TIMEOUT)


def commit(log: Log, rows: dict[int, int | None]) -> None:
    """One transaction."""
    sender = producer(log.settings, f"{log.topic}-commit")
    sender.begin_transaction()
    send(sender, log, rows)
    sender.commit_transaction(TIMEOUT)


def abort(log: Log, rows: dict[int, int | None]) -> None:
    sender = producer(log.settings, f"{log.topic}-abort")
    sender.begin_transaction()
    send(sender, log, rows)
    sender.abort_transaction(TIMEOUT)


def test_an_empty_changelog(log: Log) -> None:
    state, end = log.restored()
    assert (len(state), end, log.rows(state)) == (0, 0, {})


def test_markers_and_aborted_records_at_the_end(log: Log) -> None:
    commit(log, {1: 1, 2: 2})
    abort(log, {1: 100, 3: 100})
    commit(log, {2: 20})
    abort(log, {2: 100})
    state, end = log.restored()
    assert log.rows(state) == {1: 1, 2: 20}
    assert end == 10  # six records, four markers
    abort(log, dict.fromkeys(range(5000), 100))
    log.reopen()
    assert log.rows(log.restored()[0]) == {1: 1, 2: 20}


def test_nothing_but_aborted_records(log: Log) -> None:
    abort(log, {1: 100})
    state, _ = log.restored()
    assert log.rows(state) == {}


@pytest.mark.parametrize("commits", [True, False])
def test_an_open_transaction_is_waited_for(log: Log, commits: bool) -> None:
    commit(log, {1: 1})
    sender = producer(log.settings, f"{log.topic}-open")
    sender.begin_transaction()
    send(sender, log, {1: 10, 2: 20})
    commit(log, {3: 3})  # stands behind it: hidden until the first is decided
    found: list[tuple[State, int]] = []
    thread = threading.Thread(target=lambda: found.append(log.restored()))
    thread.start()
    deadline = time.monotonic() + TIMEOUT
    while log.words < 3 and time.monotonic() < deadline:  # it goes on saying how far it is
        time.sleep(0.01)
    assert log.words >= 3
    assert not found
    (sender.commit_transaction if commits else sender.abort_transaction)(TIMEOUT)
    thread.join(TIMEOUT)
    assert log.rows(found[0][0]) == ({1: 10, 2: 20, 3: 3} if commits else {1: 1, 3: 3})


def test_whoever_watches_can_end_it(log: Log) -> None:
    sender = producer(log.settings, f"{log.topic}-open")
    sender.begin_transaction()
    send(sender, log, {1: 10})
    with pytest.raises(Interrupted):
        log.restored(lambda: False)
    sender.abort_transaction(TIMEOUT)
    assert log.rows(log.restored()[0]) == {}


def test_tombstones_side_entries_and_the_partition_row(log: Log) -> None:
    sender = producer(log.settings)
    send(sender, log, {1: 1, 2: 2, 3: 3})
    send(sender, log, {2: None, 1: None, 4: None})
    send(sender, log, {1: 11})
    side = SIDE_KEY + b"c000001\0p"
    for value in (b"{}", None, b'{"segment":"a"}'):
        sender.produce(log.topic, value, side, 0)
    sender.produce(log.topic, b"x", SIDE_KEY + b"c000002\0p", 0)
    sender.produce(log.topic, None, SIDE_KEY + b"c000002\0p", 0)
    for tick in (5, 7):
        sender.produce(log.topic, msgspec.json.encode(PartitionRow(tick=tick)), PARTITION_KEY, 0)
    sender.flush(TIMEOUT)
    for _ in range(2):  # the second time from the warm store
        state, _ = log.restored()
        assert log.rows(state) == {1: 11, 3: 3}
        assert (len(state), state.find(b"c000002"), state.find(b"c000004")) == (2, -1, -1)
        assert state.partition.tick == 7
        assert list(state.side_scan(SIDE_KEY)) == [(side, b'{"segment":"a"}')]
        log.reopen()


def test_a_warm_store_reads_only_what_is_new(log: Log) -> None:
    send(producer(log.settings), log, {n: n for n in range(3_000)})
    log.restored()
    log.reopen()
    # What the store holds is believed: these rows would come back if the log were read again.
    store = RocksStore(log.path, topic_id(log.settings.kafka_config(), log.topic))
    store.write([key(n) for n in range(2_990)], [None] * 2_990, store.offset())
    store.close()
    send(producer(log.settings), log, {0: 7, 5_000: 5})
    state, _ = log.restored()
    assert log.rows(state) == {n: n for n in range(2_990, 3_000)} | {0: 7, 5_000: 5}


def test_a_wiped_store_gives_the_same_rows(log: Log) -> None:
    sender = producer(log.settings)
    for start in (0, 1_000, 2_000):
        send(sender, log, {n: n + start for n in range(start, start + 2_500)})
    first = log.rows(log.restored()[0])
    assert len(first) == 4_500
    assert log.store is not None
    log.store.wipe()
    assert log.rows(log.restored()[0]) == first


def test_rows_newer_than_the_offset_are_read_over(log: Log) -> None:
    send(producer(log.settings), log, {n: n for n in range(100)})
    send(producer(log.settings), log, {n: n + 1_000 for n in range(0, 100, 2)})
    send(producer(log.settings), log, dict.fromkeys(range(0, 100, 10)))
    wanted = log.rows(log.restored()[0])
    assert log.store is not None
    log.store.write([], [], 40)  # as after a crash between rows and offset
    log.reopen()
    state, _ = log.restored()
    assert log.rows(state) == wanted
    assert len(state) == 90


def test_holes_of_compaction(log: Log, services: Settings, topics: Callable[..., str]) -> None:
    eager = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
             "max.compaction.lag.ms": "100", "delete.retention.ms": "0"}  # fmt: skip
    log.topic = topics("compacted", 1, eager)
    sender = producer(services)
    wanted = {}
    for turn in range(5):
        # Some keys stand last in an early turn: what is left of the log has holes.
        rows: dict[int, int | None] = {n: 100 * turn + n for n in range(20) if turn == 0 or n % 5 < turn}
        send(sender, log, rows)
        wanted.update(rows)
        time.sleep(0.15)  # so that the next record begins a segment
    send(sender, log, {19: None})
    del wanted[19]
    deadline = time.monotonic() + 120
    while True:
        send(sender, log, {50: 50})
        offsets = _offsets(log)
        if offsets[-1] - offsets[0] >= len(offsets) and len(offsets) < 40:
            break
        assert time.monotonic() < deadline, "the broker has not compacted"
        time.sleep(0.5)
    assert log.rows(log.restored()[0]) == wanted | {50: 50}


def _offsets(log: Log) -> list[int]:
    offsets: list[int] = []
    consumer = Consumer(log.settings.kafka_config(**{"group.id": "count", "enable.partition.eof": True}))
    consumer.assign([TopicPartition(log.topic, 0, 0)])
    try:
        while True:
            message = consumer.poll(TIMEOUT)
            assert message is not None
            if message.error():
                return offsets
            offsets.append(int(message.offset() or 0))
    finally:
        consumer.close()


def remake(log: Log) -> None:
    admin = AdminClient(log.settings.kafka_config())
    admin.delete_topics([log.topic])[log.topic].result()
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            admin.create_topics([NewTopic(log.topic, 1, 1)])[log.topic].result()
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    await_topics(admin, {log.topic: 1})


def test_a_changelog_made_anew(log: Log) -> None:
    send(producer(log.settings), log, {n: n for n in range(10)})
    log.restored()
    log.reopen()
    remake(log)
    send(producer(log.settings), log, {n: n for n in range(5, 30)})
    assert log.rows(log.restored()[0]) == {n: n for n in range(5, 30)}


def test_a_store_ahead_of_the_log_begins_anew(log: Log) -> None:
    send(producer(log.settings), log, {1: 1})
    log.restored()
    assert log.store is not None
    log.store.write([key(2)], [row(2)], 1_000)
    assert log.rows(log.restored()[0]) == {1: 1}


@pytest.mark.parametrize("new", [True, False])
def test_a_store_that_may_have_missed_deletions_begins_anew(log: Log, new: bool) -> None:
    """Kafka removes tombstones in time: a store that was away longer would keep what they delete."""
    send(producer(log.settings), log, {1: 1})
    log.restored()
    assert log.store is not None
    log.store.write([key(2)], [row(2)], 1)  # its tombstone is gone from the log
    meta = msgspec.json.decode(log.store._db.get(META_KEY))
    meta["written_at"] -= STALE_SECONDS + 60
    log.store._db.put(META_KEY, msgspec.json.encode(meta))
    if new:
        send(producer(log.settings), log, {3: 3})
    wanted = {1: 1, 3: 3} if new else {1: 1, 2: 2}  # where nothing was written nothing was deleted
    assert log.rows(log.restored()[0]) == wanted


@pytest.mark.parametrize("value", [(FORMAT + 1).to_bytes(2, "little").ljust(ROW.itemsize, b"x"), b"short"])
def test_rows_of_another_format_are_refused_with_their_place(log: Log, value: bytes) -> None:
    sender: Any = producer(log.settings)
    sender.produce(log.topic, value, key(7), 0)
    sender.flush(TIMEOUT)
    with pytest.raises(TableError, match=rf"{log.topic}/0.*c000007"):
        log.restored()
