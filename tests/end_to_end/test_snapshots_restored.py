"""A lost changelog comes back from the workers' own snapshots and the log, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from config.topics import CHANGELOG
from tables import snapshots
from tests.faults.harness import until, workers
from tests.faults.pipeline import SOURCE, Pipeline, mixed


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path / "home", snapshot_interval=0.5)
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()


def changelog(pipeline: Pipeline) -> dict[bytes, bytes]:
    """What it says, all partitions together but for their own rows."""
    last = {(m.partition(), m.key()): m.value() for m in pipeline.committed(CHANGELOG)}
    return {key: value for key, value in last.items() if value is not None}


def test_a_lost_changelog_comes_back(pipeline: Pipeline) -> None:
    root = snapshots.directory(pipeline.settings)
    partitions = range(pipeline.settings.partitions)
    worker = pipeline.worker("a")
    pipeline.send(mixed(21, 300, 4_000))
    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        behind = {partition: snapshots.found(root, partition) for partition in partitions}
        until(
            "there is a snapshot of each partition since",
            lambda: all(set(snapshots.found(root, p)) - set(behind[p]) for p in partitions),
            60,
            worker.log,
        )
        kept = pipeline.home / "kept"
        root.rename(kept)  # those of before what follows
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
