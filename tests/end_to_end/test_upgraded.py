"""Rows that an older version wrote are read and written anew; rows of a newer one stop a worker with words.

`format_1.json.gz` was written by the code of commit bfce593, the last with row format 1: a log of two
partitions, the changelog that its fold made of it, and each row as that version's own reader told it.
"""

from __future__ import annotations

import gzip
import json
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer
from rocksdict import Options, Rdict

from config.topics import CHANGELOG, CUSTOMER_EVENTS
from loyalty import packing
from loyalty.row import FORMAT
from loyalty.state import ROW_KEY
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP
from streams.partition import partition_of
from streams.positions import GroupPositions
from tables.restore import topic_id
from tables.store import META_KEY, Meta
from tests.faults.harness import Worker, stand, until, workers
from tests.faults.pipeline import EFFECTS, SOURCE, Pipeline, mixed
from tests.loyalty.compiled_partition import CompiledPartition

OLD = json.loads(gzip.decompress((Path(__file__).parent / "format_1.json.gz").read_bytes()))["partitions"]
PARTITIONS = len(OLD)
#: A row as the version after this one would write it: its format is all that this version may look at.
NEWER = (FORMAT + 1 | 0x8000).to_bytes(2, "little") + b"what nobody here can know"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    made = Pipeline(tmp_path_factory.mktemp("upgraded") / "home", partitions=PARTITIONS)
    try:
        yield made
    finally:
        made.close()


def entries(partition: int) -> dict[bytes, bytes]:
    """The changelog that format 1's version left."""
    return {b64decode(key): b64decode(value) for key, value in OLD[partition]["changelog"].items()}


def left_by_the_old_version(pipeline: Pipeline, worker: str) -> None:
    """Log, changelog, positions, and the worker's RocksDB, as they are when it is upgraded."""
    producer = Producer(pipeline.settings.producer_config())
    for n, old in enumerate(OLD):
        for value in old["log"]:
            who = json.loads(value)["customer_id"].encode()
            producer.produce(CUSTOMER_EVENTS, value.encode(), who or None, n)
        for key, row in entries(n).items():
            producer.produce(CHANGELOG, row, key, n)
    assert producer.flush(60) == 0
    ends = {Partition(CUSTOMER_EVENTS, n): len(old["log"]) for n, old in enumerate(OLD)}
    stand(pipeline.settings, CUSTOMERS_GROUP, ends)
    changelog = topic_id(pipeline.settings.kafka_config(), CHANGELOG)
    for n in range(PARTITIONS):
        path = pipeline.home / "workers" / worker / "customers" / str(n)
        path.parent.mkdir(parents=True, exist_ok=True)
        store = Rdict(str(path), Options(raw_mode=True))
        for key, row in entries(n).items():
            store[key] = row
        store[META_KEY] = msgspec.json.encode(Meta(1, changelog, len(entries(n)), time.time()))
        store.close()


def content(pipeline: Pipeline) -> list[dict[bytes, bytes]]:
    """What the changelog holds, by partition."""
    found: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
    for message in pipeline.committed(CHANGELOG):
        if message.value() is None:
            found[message.partition()].pop(message.key(), None)
        else:
            found[message.partition()][message.key()] = message.value()
    return found


def positions(pipeline: Pipeline) -> dict[Partition, int]:
    asker = GroupPositions(pipeline.settings, CUSTOMERS_GROUP, stable=True)
    try:
        return asker.of(Partition(CUSTOMER_EVENTS, n) for n in range(PARTITIONS))
    finally:
        asker.close()


def test_old_rows_are_read_and_new_ones_written(pipeline: Pipeline) -> None:
    left_by_the_old_version(pipeline, "a")
    pipeline.add_source(SOURCE)
    # Half of those that the old version knew, and some that it did not.
    later = [each for each in mixed(61, 20, 400, "new") if each["at"] >= "2026-01-01"]
    later += [each | {"id": f"n{each['id']}", "who": f"n{each['who']}"} for each in later[:20]]
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        pipeline.send(later)
        pipeline.settled(worker.log)
        pipeline.khaywe("command", "recalculate", "--customer", "c30")
        pipeline.settled(worker.log)
        assert worker.stop() == 0
    assert "caches another changelog or format; it is rebuilt from the changelog" in worker.log.read_text()

    found, contents = content(pipeline), pipeline.contents()
    log = pipeline.committed(CUSTOMER_EVENTS)
    touched = ({each["who"] for each in later} | {"c30"}) - {"c5", "c6"}  # they had ended
    expected: Counter[str] = Counter()
    for n, old in enumerate(OLD):
        fold = CompiledPartition(partition=n, sweeps=True, contents=contents)
        fold.changelog.content = entries(n)
        fold._start()
        since = [(m.offset(), m.value()) for m in log if m.partition() == n and m.offset() >= len(old["log"])]
        effects = fold.fold(since)
        expected.update(each["value"]["effect_id"] for each in effects if each["topic"] in EFFECTS)
        assert found[n] == fold.changelog.content
        for key, row in found[n].items():
            if key[:1] == ROW_KEY:
                anew = key[1:].decode() in touched
                assert packing.is_packed(row) if anew else row == entries(n)[key]
    published = [json.loads(m.value()) for topic in EFFECTS for m in pipeline.committed(topic)]
    assert Counter(each["effect_id"] for each in published) == expected
    assert max(expected.values()) == 1

    # What the old version knew of somebody who was only looked at again.
    was = OLD[partition_of(b"c30", PARTITIONS)]["plain"]["c30"]
    now = packing.decode(found[partition_of(b"c30", PARTITIONS)][b"cc30"])
    assert was["life"]["transactions"] > 0
    assert {name: now[name] for name in ("life", "first_event", "hashes")} == {
        name: was[name] for name in ("life", "first_event", "hashes")
    }


def refused(pipeline: Pipeline, worker: Worker, before: object) -> str:
    """What the worker said when it ended by itself, having committed nothing."""
    until("the worker has ended", lambda: not worker.alive, 120, worker.log)
    assert worker.process is not None
    assert worker.process.returncode == 1
    said = worker.log.read_text()
    assert "Traceback" not in said, said
    assert (positions(pipeline), content(pipeline)) == before
    return said


def test_a_newer_row_in_the_changelog_stops_the_worker(pipeline: Pipeline) -> None:
    """As a rollback does: the new version has written, the old one is started again."""
    place = partition_of(b"c31", PARTITIONS)
    was = content(pipeline)[place][ROW_KEY + b"c31"]
    producer = Producer(pipeline.settings.producer_config())
    producer.produce(CHANGELOG, NEWER, ROW_KEY + b"c31", place)
    assert producer.flush(30) == 0
    pipeline.send(mixed(62, 40, 200, "waits"))
    before = positions(pipeline), content(pipeline)
    worker = pipeline.worker("rolled-back")
    with workers(worker):
        worker.start()
        said = refused(pipeline, worker, before)
    assert (
        f"error: {CHANGELOG}/{place}: customer c31: row has format {FORMAT + 1}, this version reads up to"
        in said
    )
    assert "hint: run the version of khaywe that wrote it, or a newer one" in said
    producer.produce(CHANGELOG, was, ROW_KEY + b"c31", place)
    assert producer.flush(30) == 0


def test_a_newer_row_in_the_log_stops_the_worker(pipeline: Pipeline) -> None:
    """In a rolling upgrade a customer may be linked by a new worker to one of an old worker's partitions."""
    worker = pipeline.worker("not-yet-upgraded")
    with workers(worker):
        worker.start()
        pipeline.settled(worker.log)
        before = positions(pipeline), content(pipeline)
        record = json.loads(OLD[0]["log"][0]) | {
            "event_id": "merge:0123456789abcdef", "customer_id": "c33", "event_type": "_merge",
            "source": "khaywe", "value": 1,
            "attributes": {
                "from": "x", "path": ["x"], "row": b64encode(NEWER).decode(), "ids": {}, "profile": {},
            },
        }  # fmt: skip
        producer = Producer(pipeline.settings.producer_config())
        place = partition_of(b"c33", PARTITIONS)
        producer.produce(CUSTOMER_EVENTS, json.dumps(record).encode(), b"c33", place)
        assert producer.flush(30) == 0
        said = refused(pipeline, worker, before)
    assert f"error: {CUSTOMER_EVENTS}/{place} at " in said
    assert f"row has format {FORMAT + 1}, this version reads up to {FORMAT}" in said
    assert "hint: run the version of khaywe that wrote it, or a newer one" in said
