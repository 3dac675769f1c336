"""Restoring from snapshots: all or nothing, into the right place, and never over something by accident."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from config.settings import Settings
from config.topics import CHANGELOG, CUSTOMER_EVENTS
from loyalty import row as rows
from loyalty.state import PARTITION_KEY, SIDE_KEY, PartitionRow
from streams.names import CUSTOMERS_GROUP
from tables import reload, snapshots
from tables.customers import CustomerTable
from tables.errors import TableError
from tables.restore import topic_id
from tables.snapshots import Entry, Header
from tests.faults import forked
from tests.faults.harness import ROOT, until
from tests.tables.rows import due_of, key, producer, row

PARTITIONS = 4
CUSTOMERS = 2_000  # of a partition; more than one block


def content(partition: int) -> list[Entry]:
    """What the snapshot of a partition holds: customers of their own, one side entry, the partition row."""
    numbers = range(partition, PARTITIONS * CUSTOMERS, PARTITIONS)
    side = (SIDE_KEY + b"c%06d\0p" % partition, b'{"tariff":"a"}')
    known = (PARTITION_KEY, msgspec.json.encode(PartitionRow(tick=60_000, revision=3)))
    return [*((key(number), row(60_000 + number)) for number in numbers), side, known]


class Case:
    """Empty topics but for events in the log, a snapshot of each partition, a group of its own."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings, self.root = settings, root
        self.group = f"group-{uuid4().hex[:8]}"
        events = producer(settings)
        for number in range(100):
            events.produce(CUSTOMER_EVENTS, b"%d" % number, partition=number % PARTITIONS)
        assert events.flush(10) == 0
        self.files = [self.snapshot(partition) for partition in range(PARTITIONS)]

    def snapshot(self, partition: int, entries: list[Entry] | None = None, **other: object) -> Path:
        """Write one, at position 10 + partition."""
        log = topic_id(self.settings.kafka_config(), CUSTOMER_EVENTS)
        header = Header(
            snapshots.FORMAT, rows.FORMAT, log, PARTITIONS, partition, 10 + partition, 3, 60_000,
            "2026-05-28T20:26:40Z",
        )  # fmt: skip
        header = msgspec.structs.replace(header, **other)
        return snapshots.write(content(partition) if entries is None else entries, header, self.root)

    def restore(
        self, *paths: Path, force: bool = False, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """As the command does it."""
        made = reload.producer_of(self.settings)
        steps = reload.plan(self.settings, self.group, paths or [self.root], force)
        reload.load(self.settings, made, self.group, steps, progress)

    def positions(self) -> dict[int, int]:
        """What the group has committed."""
        asked = [TopicPartition(CUSTOMER_EVENTS, partition) for partition in range(PARTITIONS)]
        admin = AdminClient(self.settings.kafka_config())
        answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.group, asked)])
        found = answer[self.group].result().topic_partitions
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def records(self) -> dict[int, dict[bytes, bytes]]:
        """What the changelog says, by partition."""
        reader = Consumer(
            self.settings.kafka_config(**{
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            })
        )  # fmt: skip
        reader.assign([TopicPartition(CHANGELOG, partition, 0) for partition in range(PARTITIONS)])
        last: dict[int, dict[bytes, bytes]] = {partition: {} for partition in range(PARTITIONS)}
        ended: set[int] = set()
        while len(ended) < PARTITIONS:
            for message in reader.consume(10_000, 0.1):
                partition, key, value = message.partition(), message.key(), message.value()
                assert partition is not None
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(partition)
                    continue
                assert key is not None
                if value is None:
                    last[partition].pop(key, None)
                else:
                    last[partition][key] = value
        reader.close()
        return {partition: held for partition, held in last.items() if held}

    def untouched(self) -> bool:
        """Is nothing committed?"""
        return self.records() == {} and self.positions() == {}


@pytest.fixture
def case(fresh: Settings, tmp_path: Path) -> Case:
    return Case(fresh, tmp_path / "snapshots")


def test_rows_and_positions_come_back(case: Case) -> None:
    case.restore()
    assert case.records() == {partition: dict(content(partition)) for partition in range(PARTITIONS)}
    assert case.positions() == {0: 10, 1: 11, 2: 12, 3: 13}
    table = CustomerTable(case.settings, case.group)
    for partition in range(PARTITIONS):
        state = table.take(partition)
        assert len(state) == CUSTOMERS
        assert state.partition == PartitionRow(tick=60_000, revision=3)
        assert due_of(table.get(partition, b"c%06d" % (partition + 4)) or b"") == 60_004 + partition
        assert table.side(partition, SIDE_KEY) == [(SIDE_KEY + b"c%06d\0p" % partition, b'{"tariff":"a"}')]
        table.release(partition)


def test_records_are_replaced_only_by_force_and_then_wholly(case: Case) -> None:
    was = producer(case.settings)
    was.produce(CHANGELOG, row(1), key(2), 2)  # the snapshot has another row of it
    was.produce(CHANGELOG, row(1), b"cnew", 2)  # the snapshot knows nothing of it
    was.produce(CHANGELOG, row(1), b"cgone", 2)
    was.produce(CHANGELOG, None, b"cgone", 2)
    assert was.flush(10) == 0
    table = CustomerTable(case.settings, case.group)
    assert len(table.take(2)) == 2
    table.release(2)
    with pytest.raises(TableError, match=f"{CHANGELOG}/2 has records") as error:
        case.restore()
    assert "--force" in error.value.hint
    assert case.positions() == {}
    case.restore(force=True)
    assert case.records() == {partition: dict(content(partition)) for partition in range(PARTITIONS)}
    # A store that knew what was there before follows.
    assert len(table.take(2)) == CUSTOMERS
    assert table.get(2, b"new") is None
    assert due_of(table.get(2, b"c000002") or b"") == 60_002
    table.release(2)


def join(worker: Consumer) -> None:
    """Make it a member of its group."""
    worker.subscribe([CUSTOMER_EVENTS])
    until("it is a member", lambda: worker.poll(0.1) is not None or worker.assignment())


def test_not_under_running_workers(case: Case) -> None:
    worker = Consumer(case.settings.kafka_config(**{"group.id": case.group, "session.timeout.ms": 6000}))
    join(worker)
    with pytest.raises(TableError, match="1 workers run") as error:
        case.restore(force=True)
    assert "stop all workers" in error.value.hint
    worker.close()
    assert case.untouched()


def test_not_under_a_worker_that_starts_meanwhile(case: Case) -> None:
    worker = Consumer(case.settings.kafka_config(**{"group.id": case.group, "session.timeout.ms": 6000}))

    def start(_: int) -> None:
        if not worker.assignment():
            join(worker)

    with pytest.raises(TableError, match="1 workers run"):
        case.restore(progress=start)
    worker.close()
    assert case.untouched()


def test_a_damaged_snapshot_changes_nothing(case: Case) -> None:
    good = case.files[3].read_bytes()
    case.files[3].write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(TableError, match="is damaged"):
        case.restore()
    assert case.untouched()
    case.files[3].write_bytes(good)
    case.restore()
    assert len(case.positions()) == PARTITIONS


def test_a_restore_that_was_killed_has_done_nothing_and_stands_in_nobodys_way(case: Case) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from config.settings import Settings
from tables import reload
settings = Settings(_env_file=None, home={str(case.settings.home)!r}, clock="event")
producer = reload.producer_of(settings)
steps = reload.plan(settings, {case.group!r}, [Path({str(case.root)!r})], False)
sent = 0
def kill(count):
    global sent
    sent += count
    if sent > {3 * CUSTOMERS}:
        producer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
reload.load(settings, producer, {case.group!r}, steps, kill)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert case.positions() == {}
    case.restore()  # not refused: what was written never counted
    assert case.records() == {partition: dict(content(partition)) for partition in range(PARTITIONS)}
    assert len(case.positions()) == PARTITIONS


def test_a_partition_without_a_snapshot(case: Case) -> None:
    case.files[1].unlink()
    with pytest.raises(TableError, match="no snapshot of partition 1"):
        case.restore()
    case.restore(force=True)
    assert case.positions() == {0: 10, 2: 12, 3: 13}


@pytest.mark.parametrize(("position", "read_from"), [(9_999, 25), (-5, 0)])
def test_a_position_that_the_log_does_not_hold(case: Case, position: int, read_from: int) -> None:
    case.files[0].unlink()
    case.snapshot(0, position=position)
    with pytest.raises(TableError, match=rf"{CUSTOMER_EVENTS}/0 holds 0 to 25") as error:
        case.restore()
    assert f"read on from {read_from}" in error.value.hint
    case.restore(force=True)
    assert case.positions()[0] == read_from


def test_a_log_made_anew_is_read_from_its_start(case: Case) -> None:
    case.files[0].unlink()
    case.snapshot(0, log="of another day")
    with pytest.raises(TableError, match="another topic"):
        case.restore()
    case.restore(force=True)
    assert case.positions()[0] == 0


def test_never_into_another_number_of_partitions(case: Case) -> None:
    case.files[0].unlink()
    case.snapshot(0, partitions=8)
    with pytest.raises(TableError, match="8 partitions") as error:
        case.restore(force=True)
    assert "KHAYWE_PARTITIONS=8" in error.value.hint


def test_of_a_directory_the_newest_of_each_partition(tmp_path: Path) -> None:
    def write(partition: int, day: int, root: Path) -> Path:
        created = f"2026-06-{day:02}T00:00:00Z"
        header = Header(snapshots.FORMAT, rows.FORMAT, "log", 2, partition, day, 1, 0, created)
        return snapshots.write([], header, root)

    old, new, other = write(0, 1, tmp_path), write(0, 2, tmp_path), write(1, 1, tmp_path)
    assert reload.chosen([tmp_path]) == {0: new, 1: other}
    assert reload.chosen([tmp_path / "0"]) == {0: new}
    assert reload.chosen([old, other]) == {0: old, 1: other}
    with pytest.raises(TableError, match="both of partition 0"):
        reload.chosen([tmp_path, old])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="holds no snapshot"):
        reload.chosen([tmp_path / "empty"])


def test_the_commands(case: Case, environment: dict[str, str]) -> None:
    def khaywe(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.khaywe(environment | {"KHAYWE_SNAPSHOTS": str(case.root)}, *arguments)

    case.files[3].write_bytes(b"nothing")
    listed = json.loads(khaywe("snapshot", "list", "--json").stdout)
    assert [(entry["partition"], entry["customers"]) for entry in listed if "error" not in entry] == [
        (2, CUSTOMERS), (1, CUSTOMERS), (0, CUSTOMERS),
    ]  # fmt: skip
    assert [Path(entry["file"]) for entry in listed if "error" in entry] == [case.files[3]]
    table = khaywe("snapshot", "list").stdout
    assert "1970-01-01T00:01:00Z" in table
    assert "is no snapshot" in table
    case.snapshot(3)

    done = khaywe("restore", str(case.root))
    assert done.returncode == 0, done.stderr
    assert "partition 1: 2,000 customers as of 2026-05-28T20:26:40Z" in done.stdout
    assert "is read on from 11, 14 before its end" in done.stdout
    assert "8,000 customers restored" in done.stdout
    case.group = CUSTOMERS_GROUP
    assert case.positions() == {0: 10, 1: 11, 2: 12, 3: 13}

    again = khaywe("restore", str(case.root))
    assert again.returncode == 1
    assert "has records" in again.stderr
    assert "--force" in again.stderr
