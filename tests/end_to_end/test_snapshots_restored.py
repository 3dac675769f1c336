"""What comes back from workers' snapshots: a lost changelog to the byte, a lost Kafka as it is documented."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from config.topics import BEHAVIOR_SCORES, CHANGELOG, CUSTOMER_EVENTS
from loyalty import packing as rows
from loyalty.state import PARTITION_KEY, ROW_KEY
from streams.topics import ensure_raw_topic
from tables import snapshots
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, mixed
from tests.loyalty.compiled_partition import CompiledPartition


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path / "home", snapshot_interval=0.5)
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()


def changelog(pipeline: Pipeline) -> dict[tuple[int, bytes], bytes]:
    """What it says, by partition and key."""
    last = {(m.partition(), m.key()): m.value() for m in pipeline.committed(CHANGELOG)}
    return {key: value for key, value in last.items() if value is not None}


def test_a_lost_changelog_comes_back(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    pipeline.send(mixed(21, 300, 4_000))
    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        kept = snapshotted(pipeline, worker)  # those of before what follows
        pipeline.send(mixed(22, 320, 4_000, "later"))
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-20T00:00:00Z")
        pipeline.settled(worker.log)
        assert worker.stop() == 0
        before = changelog(pipeline)

        admin = AdminClient(pipeline.settings.kafka_config())
        admin.delete_topics([CHANGELOG])[CHANGELOG].result()
        until("it is gone", lambda: CHANGELOG not in admin.list_topics(timeout=10).topics)
        pipeline.khaywe("topics", "create")
        said = pipeline.khaywe("restore", str(kept))
        assert "customers restored" in said

        worker.start()
        pipeline.settled(worker.log)
        assert worker.stop() == 0
    assert changelog(pipeline) == before


def snapshotted(pipeline: Pipeline, worker: Worker) -> Path:
    """Wait for a snapshot of each partition from now on; where a copy of all of them lies."""
    root, partitions = snapshots.directory(pipeline.settings), range(pipeline.settings.partitions)
    behind = {partition: snapshots.found(root, partition) for partition in partitions}
    until(
        "there is a snapshot of each partition since",
        lambda: all(set(snapshots.found(root, p)) - set(behind[p]) for p in partitions),
        60,
        worker.log,
    )
    kept = pipeline.home / "kept"
    root.rename(kept)
    return kept


def held_by(pipeline: Pipeline) -> dict[bytes, bytes]:
    """What customers have, wherever it stands."""
    return {key: value for (_, key), value in changelog(pipeline).items() if key != PARTITION_KEY}


def lives(entries: dict[bytes, bytes]) -> dict[bytes, dict[str, int]]:
    """What each customer has done in all."""
    return {key: rows.decode(value)["life"] for key, value in entries.items() if key[:1] == ROW_KEY}


def test_customers_come_back_in_a_new_kafka(pipeline: Pipeline) -> None:
    """docs/reliability.md, "Kafka is lost": the same commands, with the records since then once more."""
    worker = pipeline.worker("a")
    first, later = mixed(23, 300, 3_000, "first"), mixed(24, 320, 1_000, "later")
    with workers(worker):
        worker.start()
        pipeline.send(first)
        pipeline.settled(worker.log)
        kept = snapshotted(pipeline, worker)
        pipeline.send(later)
        pipeline.settled(worker.log)
        assert worker.stop() == 0
    before = held_by(pipeline)

    pipeline.close()
    shutil.rmtree(pipeline.home / "kafka")
    pipeline.up()
    pipeline.khaywe("topics", "create")
    assert "is another topic than the one" in pipeline.khaywe("restore", str(kept), fails=True)
    assert "customers restored" in pipeline.khaywe("restore", "--force", str(kept))
    contents = {p: dict(chain.from_iterable(snapshots.read(newest(kept, p)))) for p in range(4)}
    ensure_raw_topic(pipeline.settings, "raw_mixed")
    pipeline.producer = Producer(pipeline.settings.producer_config())
    pipeline.send(first[-200:] + later)  # a little more than was lost: what is known counts once

    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        pipeline.khaywe("command", "recalculate", "--segment", "all")
        pipeline.khaywe("projection", "rebuild")
        assert worker.stop() == 0
    after = held_by(pipeline)
    assert len(lives(after)) > 300
    assert lives(after) == lives(before)

    log, known = pipeline.committed(CUSTOMER_EVENTS), pipeline.contents()
    assert known  # published again, from PostgreSQL
    expected: dict[bytes, bytes] = {}
    for partition, entries in contents.items():
        fold = CompiledPartition(partition=partition, sweeps=True, contents=known)
        fold.changelog.content = entries
        fold._start()
        fold.fold([(m.offset(), m.value()) for m in log if m.partition() == partition])
        expected |= fold.changelog.content
    expected.pop(PARTITION_KEY)
    assert after == expected
    scores = {m.key() for m in pipeline.committed(BEHAVIOR_SCORES)}
    assert scores == {key[1:] for key in lives(after)}  # by the recalculation


def newest(root: Path, partition: int) -> Path:
    """A partition's newest snapshot."""
    return snapshots.found(root, partition)[-1]
