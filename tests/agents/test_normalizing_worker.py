"""A running normaliser: sources come and go, dead letters are replayed once, ticks follow the wall clock."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.catalog_feed import DEFAULTS, CatalogFeed
from catalog.service import CatalogService
from catalog.times import iso
from config import topics
from streams.embedded import services as embedded
from streams.topics import ensure_raw_topic
from tests.faults import forked
from tests.faults.harness import until, workers
from tests.faults.pipeline import SOURCE, Pipeline


class Normalizer(Pipeline):
    """A pipeline, of which only what the normaliser writes is looked at."""

    def __init__(self, home: Path, **settings: Any) -> None:
        super().__init__(home, partitions=2, **settings)
        self.catalog = CatalogService(self.settings.database_url(), self.settings)
        self.catalog.ensure_first_revision()

    def add(self, name: str, **mapping: Any) -> str:
        """A new source; returns its raw topic, which is there too."""
        given = SOURCE | {
            "name": name,
            "is_active": True,
            "connection_config": {"kafka_topic": f"raw_{name}"},
            "event_mapping": {**SOURCE["event_mapping"], **mapping},  # type: ignore[dict-item]
        }
        ensure_raw_topic(self.settings, f"raw_{name}")
        if self.catalog.latest().source(name) is None:
            self.catalog.add_sources([given])
        else:
            self.catalog.update_sources([given])
        return f"raw_{name}"

    def events(self, source: str) -> Counter[str]:
        """How often each event of a source stands on the log."""
        log = (json.loads(message.value()) for message in self.committed(topics.CUSTOMER_EVENTS))
        return Counter(event["event_id"] for event in log if event["source"] == source)

    def own(self, event_type: str) -> list[tuple[int, dict[str, Any]]]:
        """Partition and attributes of khaywe's own records of a type."""
        log = [(m.partition(), json.loads(m.value())) for m in self.committed(topics.CUSTOMER_EVENTS)]
        return [(partition, e["attributes"]) for partition, e in log if e["event_type"] == event_type]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Normalizer]:
    made = Normalizer(tmp_path_factory.mktemp("normalizer") / "home")
    try:
        yield made
    finally:
        made.catalog.close()
        made.close()


def record(number: int | str, **changes: Any) -> dict[str, Any]:
    at = "2020-01-01T00:00:00Z"
    return {"id": f"e{number}", "who": f"c{number}", "what": "sms", "much": 1, "at": at} | changes


SOON = 60.0


def test_sources_come_change_and_go_while_it_runs(pipeline: Normalizer) -> None:
    worker = pipeline.worker("a")
    with workers(worker):
        worker.start()
        until("the worker has the first marker out", lambda: pipeline.own("_marker"), 180, worker.log)

        topic = pipeline.add("coming")
        pipeline.send([record(1)], topic)
        until("a new source is read", lambda: pipeline.events("coming") == {"e1": 1}, SOON, worker.log)

        pipeline.catalog.switch_source("coming", False)
        until("a marker says it is off", lambda: marked(pipeline), SOON, worker.log)
        time.sleep(1.5)  # reads are looked at twice a second
        pipeline.send([record(2)], topic)
        time.sleep(2.0)
        assert pipeline.events("coming") == {"e1": 1}, "a source switched off is not read"

        pipeline.add("coming", event_type_field="type")
        pipeline.send([record(3, type="sms")], topic)
        until(
            "switched on again it goes on where it stopped, by its new mapping",
            lambda: (
                pipeline.events("coming") == {"e1": 1, "e3": 1}
                and [(e["offset"], e["reason"]) for e in letters(pipeline)] == [(1, "missing_event_type")]
            ),
            SOON,
            worker.log,
        )
        assert worker.stop() == 0
    assert {partition for partition, _ in pipeline.own("_marker")} == {0, 1}


def marked(pipeline: Normalizer) -> bool:
    """Does the newest revision's marker stand in both partitions?"""
    revision = pipeline.catalog.latest().revision
    return {p for p, a in pipeline.own("_marker") if a["revision"] == revision} == {0, 1}


def letters(pipeline: Normalizer, **filters: str) -> list[dict[str, Any]]:
    options = [part for name, value in filters.items() for part in (f"--{name}", value)]
    found: list[dict[str, Any]] = json.loads(pipeline.khaywe("dead-letters", "list", "--json", *options))
    return found


def replay(pipeline: Normalizer, *options: str) -> str:
    """All that `khaywe dead-letters replay` says, whether it fails or not."""
    done = forked.khaywe(os.environ | pipeline.environment, "dead-letters", "replay", *options)
    return done.stdout + done.stderr


def test_dead_letters_are_replayed_once_by_whoever_owns_partition_0(pipeline: Normalizer) -> None:
    topic = pipeline.add("broken", value_field="no_such_field")
    first, second = pipeline.worker("b"), pipeline.worker("c")
    with workers(first, second):
        first.start()
        pipeline.send([record(n, what="recharge") for n in range(3)], topic)
        pipeline.producer.produce(topic, b"{")
        pipeline.producer.flush()
        until("four dead letters", lambda: len(letters(pipeline, source="broken")) == 4, 180, first.log)
        shown = pipeline.khaywe("dead-letters", "list", "--source", "broken", "--reason", "missing_value")
        assert "no_such_field: recharge needs a value" in shown

        assert "0 replayed, 4 refused" in replay(pipeline, "--source", "broken")
        assert pipeline.events("broken") == {}

        pipeline.add("broken", value_field="much")
        until("the mended mapping counts", lambda: marked(pipeline), SOON, first.log)
        ids = [letter["id"] for letter in letters(pipeline, reason="missing_value")]
        assert "1 replayed, 0 refused" in replay(pipeline, "--id", ids[0])
        assert "already_replayed" in replay(pipeline, "--id", ids[0])
        assert first.stop() == 0

        second.start()
        assert "already_replayed" in replay(pipeline, "--id", ids[0])
        assert "2 replayed" in replay(pipeline, "--source", "broken")
        assert pipeline.events("broken") == {"e0": 1, "e1": 1, "e2": 1}
        replayed = {(letter["reason"], letter["replayed"]) for letter in letters(pipeline, source="broken")}
        assert replayed == {("missing_value", True), ("undecodable", False)}
        assert "there is no dead letter raw/0/99" in replay(pipeline, "--id", "raw/0/99")
        assert second.stop() == 0


def test_ticks_of_the_wall_clock_wait_for_raw_records(pipeline: Normalizer) -> None:
    topic = pipeline.add("late")
    pipeline.catalog.publish_outbox(pipeline.producer)  # else the worker learns of the source a second later
    arrived = (time.time_ns() // 1_000_000 // 60_000 - 10) * 60_000 + 1_234
    operator = Producer(pipeline.settings.producer_config(**{"transactional.id": "operator"}))
    operator.init_transactions()
    operator.begin_transaction()
    operator.produce(topic, json.dumps(record("late")).encode(), timestamp=arrived)
    operator.flush()
    worker = pipeline.worker("w", KHAYWE_CLOCK="wall")
    with workers(worker):
        worker.start()
        minute = iso(arrived - 1_234)
        until("the first tick", lambda: pipeline.own("_tick"), 180, worker.log)
        time.sleep(3.0)
        assert pipeline.own("_tick") == [(p, {"at": minute, "everyone": False}) for p in (0, 1)]
        assert pipeline.events("late") == {}
        operator.commit_transaction()
        until("the next tick", lambda: len(pipeline.own("_tick")) >= 4, 180, worker.log)
        assert worker.stop() == 0
    ticks = [(partition, attributes["at"]) for partition, attributes in pipeline.own("_tick")]
    now = iso(time.time_ns() // 1_000_000)
    assert all(minute < at <= now and at.endswith(":00.000Z") for _, at in ticks if at != minute)
    log = [(m.partition(), json.loads(m.value())) for m in pipeline.committed(topics.CUSTOMER_EVENTS)]
    (place,) = [(n, p) for n, (p, event) in enumerate(log) if event["source"] == "late"]
    before = {
        e["attributes"]["at"] for p, e in log[: place[0]] if p == place[1] and e["event_type"] == "_tick"
    }
    assert before == {minute}, "no later tick stands before the record"


def test_the_feed_keeps_every_revision_whatever_stands_between_and_whoever_is_away(
    pipeline: Normalizer, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.catalog.publish_outbox(pipeline.producer)
    newest = pipeline.catalog.latest().revision
    feed = CatalogFeed(pipeline.settings)
    assert feed.wait_first(0.0) is None
    assert feed.get(0, 0.0) == DEFAULTS
    feed.start()
    try:
        first = feed.wait_first(30)
        assert first is not None
        assert (first.revision, feed.revisions) == (newest, list(range(1, newest + 1)))
        assert feed.get(newest + 1, 0.0) is None

        for value in (b'{"revision": 1}', b'{"revision": "x"}', b"\xff", b"", None):
            pipeline.producer.produce(topics.CATALOG, value, b"7")
        pipeline.producer.flush()
        embedded.down(pipeline.settings, lambda what, share: None)
        assert feed.latest() == first, "Kafka away: it goes on with what it has"
        embedded.up(pipeline.settings, lambda what, share: None)

        pipeline.catalog.switch_source("late", False)
        pipeline.catalog.publish_outbox(pipeline.producer)
        found = feed.get(newest + 1, 60)
        assert found is not None
        assert found == feed.latest() == pipeline.catalog.latest()
        left_out = [entry.getMessage() for entry in caplog.records if "it is no revision" in entry.message]
        assert len(left_out) == 5
        assert "catalog, offset " in left_out[0]
        assert "`created_at`" in left_out[0], "names the field"
    finally:
        feed.stop()
