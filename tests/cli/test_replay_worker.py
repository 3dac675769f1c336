"""A real worker, killed in the middle, and everything that it published, the same on replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import topics
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


def test_what_a_worker_published_is_the_same_on_replay(pipeline: Pipeline, tmp_path: Path) -> None:
    root = snapshots.directory(pipeline.settings)
    partitions = range(pipeline.settings.partitions)
    records = sorted(mixed(31, 200, 6_000), key=lambda record: str(record["at"]))
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        pipeline.send(records[:1_500])
        until("something is published", lambda: pipeline.committed(topics.DECISIONS), 180, worker.log)
        worker.kill()
        worker.start()
        pipeline.settled(worker.log)
        behind = {partition: snapshots.found(root, partition) for partition in partitions}
        until(
            "there is a snapshot of each partition since",
            lambda: all(set(snapshots.found(root, p)) - set(behind[p]) for p in partitions),
            60,
            worker.log,
        )
        root.rename(tmp_path / "kept")
        pipeline.send(records[1_500:])
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-20T00:00:00Z")
        pipeline.settled(worker.log)
        found = json.loads(pipeline.khaywe("replay", "--json"))
        assert worker.stop() == 0
    assert found["same"] is True
    for topic in (topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS, topics.DECISIONS):
        assert found["topics"][topic]["equal"] > 100
        assert found["topics"][topic]["equal"] == len(pipeline.committed(topic))

    pipeline.environment["KHAYWE_SNAPSHOTS"] = str(tmp_path / "kept")
    since = ("--from", "2026-01-20", "--to", "2026-02-01")
    part = json.loads(pipeline.khaywe("replay", "--json", *since))
    assert part["same"] is True
    assert all(partition["snapshot"] for partition in part["partitions"])
    assert 0 < part["topics"][topics.DECISIONS]["equal"] < found["topics"][topics.DECISIONS]["equal"]

    # The catalog as it is, as a draft: what was decided before it was loaded apart, nothing is another.
    draft = tmp_path / "draft"
    pipeline.khaywe("catalog", "export", "--dir", str(draft))
    report = json.loads(pipeline.khaywe("simulate", "--catalog", str(draft), "--json", *since))
    assert report["customers"]["recorded"] > 100
    assert report["customers"]["difference"] == report["points"]["granted"]["difference"] == 0
    assert sum(mission["completed"]["recorded"] for mission in report["missions"]) > 50
    for mission in report["missions"]:
        assert {mission[name]["difference"] for name in ("given", "completed", "expired", "replaced")} == {0}
