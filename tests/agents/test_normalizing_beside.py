"""What the normaliser asks Kafka beside the stream: topics read without a group, and the horizon of ticks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from agents.raw_topics import Horizon, RawTopics
from agents.tail import NoTopic, Tail
from config.settings import Settings
from streams.batches import Partition

Topics = Callable[..., str]


@pytest.fixture
def producer(services: Settings) -> Producer:
    return Producer(services.producer_config())


@pytest.fixture
def transactional(services: Settings) -> Producer:
    producer = Producer(services.producer_config(**{"transactional.id": uuid4().hex}))
    producer.init_transactions()
    return producer


def values(tail: Tail) -> list[bytes | None]:
    return [record.value() for record in tail.to_end()]


def test_a_tail_reads_committed_records_to_the_end_as_it_is(
    services: Settings, topics: Topics, transactional: Producer
) -> None:
    topic = topics(partitions=1)
    for value, commit in ((b"1", True), (b"2", False), (b"3", True), (b"4", False)):
        transactional.begin_transaction()
        transactional.produce(topic, value)
        transactional.flush()
        transactional.commit_transaction() if commit else transactional.abort_transaction()
    tail = Tail(services, topic)
    assert values(tail) == [b"1", b"3"]
    assert values(tail) == []
    transactional.begin_transaction()
    transactional.produce(topic, b"5")
    transactional.commit_transaction()
    assert values(tail) == [b"5"]
    tail.close()


def test_a_tail_waits_for_a_transaction_that_is_open(
    services: Settings, topics: Topics, transactional: Producer
) -> None:
    topic = topics(partitions=1)
    transactional.begin_transaction()
    transactional.produce(topic, b"1")
    transactional.flush()
    tail = Tail(services, topic)
    reading = tail.to_end()
    assert tail.poll(0.5) == []
    transactional.commit_transaction()
    assert [record.value() for record in reading] == [b"1"]
    tail.close()


def test_a_tail_from_the_end_sees_what_comes(services: Settings, topics: Topics, producer: Producer) -> None:
    topic = topics(partitions=3)
    for partition in range(3):
        producer.produce(topic, b"old", partition=partition)
    producer.flush()
    tail = Tail(services, topic, from_end=True)
    producer.produce(topic, b"new", partition=2)
    producer.flush()
    assert values(tail) == [b"new"]
    tail.close()


def test_a_tail_of_no_topic_says_so(services: Settings, topics: Topics) -> None:
    with pytest.raises(NoTopic, match="there is no topic missing-"):
        Tail(services, topics("missing"))


def test_raw_topics_appear_and_grow(services: Settings, topics: Topics) -> None:
    first, later = topics(partitions=2), topics("later")
    raw = RawTopics(services)
    raw.start()
    try:
        raw.want(frozenset({first, later}))
        until(lambda: raw.partitions() == {Partition(first, 0), Partition(first, 1)})
        admin = AdminClient(services.kafka_config())
        admin.create_topics([NewTopic(later, 1, 1)])[later].result()
        until(lambda: Partition(later, 0) in raw.partitions())
        raw.want(frozenset({later}))
        assert raw.partitions() == {Partition(later, 0)}
    finally:
        raw.stop()


class Group:
    """A consumer group that moves as told, and the horizon of what it reads."""

    def __init__(self, services: Settings, topic: str, partitions: int) -> None:
        self.name = uuid4().hex
        self.topic = topic
        self.admin = AdminClient(services.kafka_config())
        places = {Partition(topic, p) for p in range(partitions)}
        self.horizon = Horizon(services, self.name, lambda: places, lambda: True)

    def commit(self, *offsets: int) -> None:
        places = [TopicPartition(self.topic, p, offset) for p, offset in enumerate(offsets)]
        asked = [ConsumerGroupTopicPartitions(self.name, places)]
        self.admin.alter_consumer_group_offsets(asked)[self.name].result()


@pytest.fixture
def group(services: Settings, topics: Topics) -> Iterator[Group]:
    group = Group(services, topics(partitions=2), 2)
    yield group
    group.horizon.stop()


def produce(producer: Producer, topic: str, partition: int, *timestamps: int) -> None:
    for timestamp in timestamps:
        producer.produce(topic, b"x", partition=partition, timestamp=timestamp)
    producer.flush()


NOW = time.time_ns() // 1_000_000


def test_the_horizon_is_the_oldest_record_not_yet_normalised(group: Group, producer: Producer) -> None:
    assert group.horizon.look() >= NOW
    produce(producer, group.topic, 0, NOW - 9_000, NOW - 7_000)
    produce(producer, group.topic, 1, NOW - 8_000, NOW - 6_000)
    assert group.horizon.look() == NOW - 9_000
    group.commit(1, 0)
    assert group.horizon.look() == NOW - 8_000
    group.commit(2, 1)
    assert group.horizon.look() == NOW - 6_000
    group.commit(2, 2)
    assert group.horizon.look() >= NOW


def test_an_open_transaction_holds_the_horizon_back(group: Group, transactional: Producer) -> None:
    transactional.begin_transaction()
    produce(transactional, group.topic, 1, NOW - 5_000)
    assert group.horizon.look() == NOW - 5_000
    transactional.abort_transaction()
    until(lambda: group.horizon.look() >= NOW)


def until(condition: Callable[[], Any], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
