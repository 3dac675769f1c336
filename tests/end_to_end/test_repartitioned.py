"""Workers, more partitions, workers again: nothing lost, nothing doubled, everybody's life goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from config.topics import CHANGELOG, CUSTOMER_EVENTS
from loyalty.state import PARTITION_KEY
from streams.partition import partition_of
from tests.agents.test_repartition_state import known, moved
from tests.faults.harness import workers
from tests.faults.pipeline import EFFECTS, SOURCE, Pipeline, mixed
from tests.loyalty.compiled_partition import CompiledPartition

BEFORE, AFTER = 2, 5


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path / "home", partitions=BEFORE)
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()


def partitions_are(pipeline: Pipeline, number: int) -> None:
    pipeline.environment["KHAYWE_PARTITIONS"] = str(number)
    pipeline.settings = Settings(_env_file=None, home=pipeline.home, clock="event", partitions=number)


def test_customers_live_on_in_more_partitions(pipeline: Pipeline) -> None:
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        pipeline.send(mixed(31, 100, 1_000))
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-12T00:00:00Z")
        pipeline.settled(worker.log)
        assert "workers run" in pipeline.khaywe("repartition", str(AFTER), fails=True)
        assert worker.stop() == 0

    ends = {m.partition(): m.offset() + 1 for m in pipeline.committed(CUSTOMER_EVENTS)}
    assert f"each in one of {AFTER} partitions" in pipeline.khaywe("repartition", str(AFTER))
    assert f"has {AFTER} partitions, not {BEFORE}" in pipeline.khaywe("worker", fails=True)
    partitions_are(pipeline, AFTER)

    worker = pipeline.worker("b")
    with workers(worker):
        worker.start()
        pipeline.send(mixed(32, 120, 1_000, "later"))
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-20T00:00:00Z")
        pipeline.khaywe("command", "recalculate", "--segment", "all")
        pipeline.settled(worker.log)
        assert worker.stop() == 0
    check(pipeline, ends)


def check(pipeline: Pipeline, ends: dict[int, int]) -> None:
    """Rows and effects are what folds make of the log: as many as there were, then as many as there are."""
    log, contents = pipeline.committed(CUSTOMER_EVENTS), pipeline.contents()
    events = Counter(json.loads(m.value())["event_id"] for m in log if b'"mixed"' in m.value())
    assert events.keys() == pipeline.sent
    assert max(events.values()) == 1
    later = [m for m in log if m.offset() >= ends.get(m.partition(), 0)]
    assert all(partition_of(m.key(), AFTER) == m.partition() for m in later if m.key())
    assert {m.partition() for m in later} == set(range(AFTER))

    expected: Counter[str] = Counter()

    def fold(partition: CompiledPartition, records: list[Any]) -> None:
        told = partition.fold([(m.offset(), m.value()) for m in records])
        expected.update(each["value"]["effect_id"] for each in told if each["topic"] in EFFECTS)

    first = [CompiledPartition(partition=n, sweeps=True, contents=contents) for n in range(BEFORE)]
    for n, each in enumerate(first):
        fold(each, [m for m in log if m.partition() == n and m.offset() < ends[n]])
    table = moved([each.changelog.content for each in first], AFTER)
    then = [CompiledPartition(partition=n, sweeps=True, contents=contents) for n in range(AFTER)]
    for n, each in enumerate(then):
        each.changelog.content = dict(table[n])
        each._start()
        fold(each, [m for m in later if m.partition() == n])

    last = {(m.partition(), m.key()): m.value() for m in pipeline.committed(CHANGELOG)}
    found: list[dict[bytes, bytes]] = [{} for _ in range(AFTER)]
    for (partition, key), value in last.items():
        if value is not None:
            found[partition][key] = value
    assert known(found) == known([each.changelog.content for each in then])
    for n, each in enumerate(then):
        plain = {key: value for key, value in each.changelog.content.items() if key != PARTITION_KEY}
        assert {key: value for key, value in found[n].items() if key != PARTITION_KEY} == plain
    published = [json.loads(m.value()) for topic in EFFECTS for m in pipeline.committed(topic)]
    assert Counter(v["effect_id"] for v in published if v.get("partition", 0) is not None) == expected
