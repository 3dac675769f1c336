"""Records into librdkafka without Python's objects: the same as confluent-kafka puts there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from config.settings import Settings
from streams.librdkafka import Headers, handle, produce

VALUES = [b"v0", b"", None, b"v3", b"x" * 10_000, b"\x00\xff"]
KEYS = [b"k0", b"", b"k2", None, b"k4", b"\x00"]
OWN = [b"id%d" % n for n in range(len(VALUES))]
COMMON = [("ce_source", b"khaywe"), ("empty", b"")]


def no_room() -> None:
    raise AssertionError("the queue was full")


@pytest.fixture
def producer(services: Settings) -> Producer:
    return Producer(services.producer_config(**{"linger.ms": 5}))


@pytest.fixture
def consumer(services: Settings, topic: str) -> Iterator[Consumer]:
    found = Consumer(
        services.kafka_config(**{
            "group.id": "librdkafka", "auto.offset.reset": "earliest", "enable.partition.eof": True,
        })
    )  # fmt: skip
    found.assign([TopicPartition(topic, n, 0) for n in range(services.partitions)])
    yield found
    found.close()


def polled(consumer: Consumer, count: int) -> list[Message]:
    """So many as confluent-kafka gives them."""
    found: list[Message] = []
    end = time.monotonic() + 60
    while len(found) < count and time.monotonic() < end:
        found += [message for message in consumer.consume(1_000, 0.1) if message.error() is None]
    return found


def test_producers_of_confluent_kafka_have_librdkafkas_first(producer: Producer, services: Settings) -> None:
    """No interface says so: if a new version of theirs keeps it elsewhere, this goes red."""
    assert handle(producer) != handle(Producer(services.producer_config()))


def test_an_object_that_is_no_such_client_is_refused() -> None:
    class Other:
        __slots__ = ("first",)

    with pytest.raises(RuntimeError, match="keeps its Other elsewhere"):
        handle(Other())  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [None, Headers("ce_id", OWN, COMMON)])
def test_what_is_queued_is_what_others_read(
    producer: Producer, consumer: Consumer, topic: str, headers: Headers | None
) -> None:
    produce(producer, topic, 1, KEYS, VALUES, headers, no_room)
    producer.flush()
    found = polled(consumer, len(VALUES))
    assert [message.value() for message in found] == VALUES
    assert [message.key() for message in found] == KEYS
    assert {message.partition() for message in found} == {1}
    wanted: list[Any] = [None if headers is None else [("ce_id", own), *COMMON] for own in OWN]
    assert [message.headers() for message in found] == wanted


def test_keys_are_placed_as_others_place_them(producer: Producer, consumer: Consumer, topic: str) -> None:
    keys = [b"%d" % n for n in range(100)]
    produce(producer, topic, -1, keys, keys, None, no_room)
    for key in keys:
        producer.produce(topic, None, key)
    producer.flush()
    found: dict[Any, set[Any]] = {}
    for message in polled(consumer, 200):
        found.setdefault(message.key(), set()).add(message.partition())
    assert len(found) == 100
    assert all(len(places) == 1 for places in found.values())


def test_a_full_queue_waits_for_room(services: Settings, consumer: Consumer, topic: str) -> None:
    producer = Producer(services.producer_config(**{"queue.buffering.max.messages": 10}))
    waited = []

    def full() -> None:
        waited.append(1)
        producer.poll(0.05)

    keys = [b"%d" % n for n in range(1_000)]
    produce(producer, topic, 2, keys, keys, None, full)
    producer.flush()
    assert waited
    assert [message.key() for message in polled(consumer, 1_000)] == keys


def test_a_record_too_large_is_an_error(producer: Producer, topic: str) -> None:
    with pytest.raises(KafkaException) as error:
        produce(producer, topic, 0, [None], [b"x" * 2_000_000], None, no_room)
    assert error.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
