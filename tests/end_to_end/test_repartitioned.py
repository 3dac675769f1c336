"""Workers, more partitions, workers, fewer, workers: nothing lost, nothing doubled, lives go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.recorded import held
from config.settings import Settings
from config.topics import CHANGELOG, CUSTOMER_EVENTS
from loyalty.state import PARTITION_KEY
from streams.partition import partition_of
from tests.agents.test_repartition_state import known, moved
from tests.faults.harness import workers
from tests.faults.pipeline import EFFECTS, SOURCE, Pipeline, mixed
from tests.loyalty.compiled_partition import CompiledPartition

STAGES = 2, 5, 3
MOST = max(STAGES)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path / "home", partitions=STAGES[0])
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()


def partitions_are(pipeline: Pipeline, number: int) -> None:
    pipeline.environment["KHAYWE_PARTITIONS"] = str(number)
    pipeline.settings = Settings(_env_file=None, home=pipeline.home, clock="event", partitions=number)


def lived(pipeline: Pipeline, stage: int) -> dict[int, int]:
    """A worker, some weeks of records, a worker's end; where customer-events ends then."""
    worker = pipeline.worker("ab"[stage % 2])
    day = f"2026-02-{12 + 4 * stage}T00:00:00Z"
    with workers(worker):
        worker.start()
        pipeline.send(mixed(31 + stage, 100 + 20 * stage, 1_000, f"stage{stage}-"))
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", day)
        pipeline.khaywe("command", "recalculate", "--segment", "all")
        pipeline.settled(worker.log)
        if not stage:
            assert "workers run" in pipeline.khaywe("repartition", "4", fails=True)
        assert worker.stop() == 0
    return {place.partition: end for place, (_, end) in held(pipeline.settings, [CUSTOMER_EVENTS]).items()}


def test_customers_live_on_in_other_partitions(pipeline: Pipeline) -> None:
    ends = [lived(pipeline, 0)]
    for stage, number in enumerate(STAGES[1:], 1):
        before, there = STAGES[stage - 1], max(STAGES[: stage + 1])
        assert f"each in one of {number} partitions" in pipeline.khaywe("repartition", str(number))
        said = pipeline.khaywe("worker", fails=True)
        if there == number:
            assert f"has {number} partitions, not {before}" in said
        else:
            assert f"has {there} partitions, customers in {number}, not {before} of them" in said
        partitions_are(pipeline, number)
        ends.append(lived(pipeline, stage))
    check(pipeline, ends)


def check(pipeline: Pipeline, ends: list[dict[int, int]]) -> None:
    """Rows and effects are what folds make of the log, as many of them as there were partitions then."""
    log, contents = pipeline.committed(CUSTOMER_EVENTS), pipeline.contents()
    events = Counter(json.loads(m.value())["event_id"] for m in log if b'"mixed"' in m.value())
    assert events.keys() == pipeline.sent
    assert max(events.values()) == 1

    expected: Counter[str] = Counter()
    table: list[dict[bytes, bytes]] = [{} for _ in range(STAGES[0])]
    begins: dict[int, int] = {}
    for stage, number in enumerate(STAGES):
        if stage:
            table = moved(table, number)
            assert not any(table[number:])
        since = [
            m for m in log if begins.get(m.partition(), 0) <= m.offset() < ends[stage].get(m.partition(), 0)
        ]
        assert {m.partition() for m in since} == set(range(number))
        assert all(partition_of(m.key(), number) == m.partition() for m in since if m.key())
        for n in range(number):
            fold = CompiledPartition(partition=n, sweeps=True, contents=contents)
            fold.changelog.content = table[n]
            fold._start()
            told = fold.fold([(m.offset(), m.value()) for m in since if m.partition() == n])
            expected.update(each["value"]["effect_id"] for each in told if each["topic"] in EFFECTS)
            table[n] = fold.changelog.content
        begins = ends[stage]

    found: list[dict[bytes, bytes]] = [{} for _ in range(MOST)]
    for message in pipeline.committed(CHANGELOG):
        if message.value() is None:
            found[message.partition()].pop(message.key(), None)
        else:
            found[message.partition()][message.key()] = message.value()
    assert not any(found[STAGES[-1] :])
    assert known(found[: STAGES[-1]]) == known(table[: STAGES[-1]])
    for n, entries in enumerate(table):
        plain = {key: value for key, value in entries.items() if key != PARTITION_KEY}
        assert {key: value for key, value in found[n].items() if key != PARTITION_KEY} == plain
    published = [json.loads(m.value()) for topic in EFFECTS for m in pipeline.committed(topic)]
    assert Counter(v["effect_id"] for v in published if v.get("partition", 0) is not None) == expected
