"""`khaywe lag`: what counts as behind, and that waiting ends when nothing is, and not before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from agents.lag import Hop, Lag, Pipeline
from cli.lag import as_plain, wait, words
from config.errors import KhayweError
from config.settings import Settings

Topics = Callable[..., str]


class Two:
    """A pipeline of two hops with topics and groups of their own: one raw topic, one log."""

    def __init__(self, config: Settings, topics: Topics) -> None:
        self.config = config
        self.raw, self.log = topics("raw", partitions=2), topics("log", partitions=2)
        self.groups = {"normalizer": topics("group"), "customers": topics("group")}
        self.pipeline = Pipeline(
            config,
            [
                Hop("normalizer", self.groups["normalizer"], (self.raw, "never-made")),
                Hop("customers", self.groups["customers"], (self.log,)),
            ],
        )

    def send(self, topic: str, count: int, partition: int = 0) -> None:
        """Records outside of transactions."""
        producer = Producer(self.config.producer_config())
        for number in range(count):
            producer.produce(topic, b"%d" % number, partition=partition)
        assert producer.flush(10) == 0

    def transaction(self, topic: str, count: int, partition: int = 0) -> Producer:
        """A transaction with records, delivered and still open."""
        producer = Producer(self.config.producer_config(**{"transactional.id": f"lag-{time.monotonic_ns()}"}))
        producer.init_transactions(10)
        producer.begin_transaction()
        for number in range(count):
            producer.produce(topic, b"%d" % number, partition=partition)
        assert producer.flush(10) == 0
        return producer

    def commit(self, app: str, topic: str, position: int, partition: int = 0) -> None:
        """Move a group to a position."""
        consumer = Consumer(self.config.kafka_config(**{"group.id": self.groups[app]}))
        consumer.commit(offsets=[TopicPartition(topic, partition, position)], asynchronous=False)
        consumer.close()

    def behind(self) -> tuple[int, int]:
        """Of the first hop and of the second."""
        lag = self.pipeline.look()
        return lag.behind("normalizer"), lag.behind("customers")


@pytest.fixture
def two(services: Settings, topics: Topics) -> Two:
    """Two hops that nothing was sent to."""
    return Two(services, topics)


def test_a_group_without_commits_is_behind_from_the_logs_start(two: Two) -> None:
    assert two.behind() == (0, 0)
    two.send(two.raw, 5)
    two.send(two.raw, 2, partition=1)
    two.send(two.log, 3)
    assert two.behind() == (7, 3)
    two.commit("normalizer", two.raw, 4)
    assert two.behind() == (3, 3)
    two.commit("normalizer", two.raw, 5)
    two.commit("normalizer", two.raw, 2, partition=1)
    two.commit("customers", two.log, 3)
    assert two.behind() == (0, 0)


def test_what_retention_removed_is_not_waited_for(services: Settings, two: Two) -> None:
    from confluent_kafka.admin import AdminClient

    two.send(two.raw, 5)
    admin = AdminClient(services.kafka_config())
    for answer in admin.delete_records([TopicPartition(two.raw, 0, 3)]).values():
        answer.result()
    assert two.behind() == (2, 0)
    two.commit("normalizer", two.raw, 1)
    assert two.behind() == (2, 0)


def test_trailing_transaction_markers_are_nothing_to_do(two: Two) -> None:
    two.transaction(two.log, 3).commit_transaction(10)
    lag = two.pipeline.look()
    assert [(p.end, p.behind) for p in lag.places if p.topic == two.log] == [(4, 4), (0, 0)]
    two.commit("customers", two.log, 2)
    assert two.behind() == (0, 2)
    for done in (3, 4):
        two.commit("customers", two.log, done)
        assert two.behind() == (0, 0)


def test_aborted_records_are_nothing_to_do(two: Two) -> None:
    two.transaction(two.log, 3).abort_transaction(10)
    assert two.behind() == (0, 0)
    two.send(two.log, 1)
    assert two.behind() == (0, 5)


def test_records_behind_an_open_transaction_are_waited_for(two: Two) -> None:
    producer = two.transaction(two.log, 3)
    two.send(two.log, 2)
    lag = two.pipeline.look()
    place = next(place for place in lag.places if place.topic == two.log)
    assert (place.behind, place.hidden) == (0, 5)
    assert lag.total == 5
    producer.commit_transaction(10)
    two.commit("customers", two.log, 5)
    assert two.behind() == (0, 0)


def test_waiting_ends_when_both_hops_are_done(two: Two) -> None:
    two.send(two.raw, 5)
    shown: list[str] = []
    moved = threading.Event()

    def show(what: str, lag: Lag) -> None:
        shown.append(what)
        moved.set()

    found: list[Lag] = []
    waiter = threading.Thread(target=lambda: found.append(wait(two.pipeline, 60, show)))
    waiter.start()

    def see(what: str) -> None:
        end = time.monotonic() + 30
        while not any(line.startswith(what) for line in shown):
            moved.clear()
            assert moved.wait(end - time.monotonic()), shown
        assert not found

    see("normaliser 5 behind; no worker runs the normaliser")
    two.send(two.log, 4)
    two.commit("normalizer", two.raw, 5)
    see("customers 4 behind")
    two.commit("customers", two.log, 4)
    waiter.join(30)
    assert found[0].total == 0


def test_waiting_in_vain_says_what_is_missing(two: Two) -> None:
    two.send(two.raw, 5)
    with pytest.raises(KhayweError, match=r"normaliser 5 behind, after 0.1 s") as error:
        wait(two.pipeline, 0.1, lambda what, lag: None)
    assert "khaywe worker" in error.value.hint
    member = Consumer(
        two.config.kafka_config(**{"group.id": two.groups["normalizer"], "session.timeout.ms": 6000})
    )
    member.subscribe([two.raw])
    while not member.assignment():
        member.poll(0.1)
    with pytest.raises(KhayweError) as error:
        wait(two.pipeline, 0.1, lambda what, lag: None)
    assert "stuck" in error.value.hint
    member.close()


def test_waiting_names_an_open_transaction(two: Two) -> None:
    producer = two.transaction(two.log, 3)
    member = Consumer(two.config.kafka_config(**{"group.id": two.groups["customers"]}))
    member.subscribe([two.log])
    while not member.assignment():
        member.poll(0.1)
    with pytest.raises(KhayweError) as error:
        wait(two.pipeline, 0.1, lambda what, lag: None)
    assert f"open are left, on {two.log}" in error.value.hint
    producer.abort_transaction(10)
    member.close()


def test_plain_form_and_words(two: Two) -> None:
    two.send(two.log, 4)
    lag = two.pipeline.look()
    plain: dict[str, Any] = as_plain(lag)
    assert plain["behind"] == 4
    assert plain["normalizer"]["behind"] == 0
    assert plain["customers"]["partitions"][0] == {
        "topic": two.log, "partition": 0, "position": None, "end": 4, "behind": 4, "hidden": 0,
    }  # fmt: skip
    assert words(lag) == "customers 4 behind"
