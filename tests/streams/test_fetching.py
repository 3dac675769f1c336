"""Records out of librdkafka in columns: what confluent-kafka reads, and what else a consumer says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from config.settings import Settings
from streams.fetching import Event, Fetcher
from streams.records import Partition, Record, Records

SENT: list[tuple[bytes | None, bytes | None, list[tuple[str, str | bytes | None]] | None]] = [
    (b"k0", b"v0", None),
    (None, b"", [("a", b"1"), ("b", None), ("a", b"")]),
    (b"", None, None),
    (b"\x00\xff", b"x" * 100_000, [("\u00e9", b"\xff")]),
]


@pytest.fixture
def make(services: Settings) -> Iterator[Callable[..., Fetcher]]:
    made: list[Fetcher] = []

    def fetcher(most: int = 1_000, **more: Any) -> Fetcher:
        config = {"group.id": "fetching", "enable.auto.commit": False, "enable.partition.eof": True, **more}
        made.append(Fetcher(services.kafka_config(**config), most))
        return made[-1]

    yield fetcher
    for each in made:
        each.close()


def send(services: Settings, topic: str, partition: int, count: int = 1) -> None:
    producer = Producer(services.producer_config())
    for _ in range(count):
        for key, value, headers in SENT:
            producer.produce(topic, value, key, partition, headers=headers)
    producer.flush()


def taken(
    fetcher: Fetcher, enough: Callable[[list[Records], list[Event]], bool], most: int = 1_000
) -> tuple[list[Records], list[Event]]:
    """What is taken until it is enough."""
    records: list[Records] = []
    events: list[Event] = []
    end = time.monotonic() + 60
    while not enough(records, events):
        assert time.monotonic() < end, (records, events)
        more = fetcher.take(most, 0.1)
        records += more[0]
        events += more[1]
    return records, events


def count(records: list[Records]) -> int:
    return sum(map(len, records))


def plain(record: Any) -> tuple[Any, ...]:
    return (
        record.topic(), record.partition(), record.offset(), record.timestamp()[1], record.key(),
        record.value(), record.headers(),
    )  # fmt: skip


def test_they_are_those_that_others_read(services: Settings, topic: str, make: Any) -> None:
    for partition in (1, 0):
        send(services, topic, partition, 3)
    places = {Partition(topic, n): 0 for n in range(2)}
    fetcher = make()
    fetcher.assign(places)
    records, _ = taken(fetcher, lambda records, _: count(records) == 24)
    other = Consumer(services.kafka_config(**{"group.id": "fetching-other"}))
    other.assign([TopicPartition(*place, 0) for place in places])
    messages: list[Any] = []
    while len(messages) < 24:
        messages += other.consume(24, 1.0)
    other.close()
    for place in places:
        ours = [plain(record) for each in records if each.place == place for record in each]
        assert ours == [plain(message) for message in messages if message.partition() == place.partition]
        assert all(type(record) is Record for each in records for record in each)


def test_columns_say_the_same(services: Settings, topic: str, make: Any) -> None:
    send(services, topic, 0)
    fetcher = make()
    fetcher.assign({Partition(topic, 0): 0})
    (records,), _ = taken(fetcher, lambda records, _: count(records) == 4)
    assert records.log.values.text == b"v0" + b"x" * 100_000
    assert records.log.offsets.tolist() == [0, 1, 2, 3]
    assert records.log.values.ends.tolist() == [2, 2, 2, 100_002]
    assert records.log.values.missing.tolist() == [False, False, True, False]
    assert [record.value() for record in records[1:3]] == [b"", None]
    assert records[-1].offset() == 3
    with pytest.raises(IndexError):
        records[4]


def test_no_more_than_are_asked_for_and_from_where(services: Settings, topic: str, make: Any) -> None:
    send(services, topic, 0, 10)
    fetcher = make(7)
    fetcher.assign({Partition(topic, 0): 5})
    records, events = taken(fetcher, lambda _, events: bool(events))
    assert max(map(len, records)) <= 7
    assert [offset for each in records for offset in each.offsets.tolist()] == list(range(5, 40))
    assert (events[0].error.code(), events[0].place) == (KafkaError._PARTITION_EOF, Partition(topic, 0))
    assert events[0].offset == 40
    assert fetcher.end(Partition(topic, 0)) == 40
    assert fetcher.end(Partition(topic, 1)) < 0
    assert fetcher.watermarks(Partition(topic, 0), 10.0) == (0, 40)


def test_partitions_come_and_go(services: Settings, topic: str, make: Any) -> None:
    first, second = Partition(topic, 0), Partition(topic, 1)
    fetcher = make()
    fetcher.assign({first: 0})
    taken(fetcher, lambda _, events: bool(events))
    fetcher.add({second: 0})
    fetcher.remove({first})
    for partition in range(2):
        send(services, topic, partition)
    records, _ = taken(fetcher, lambda records, _: count(records) >= 4)
    assert {each.place for each in records} == {second}


def test_what_is_wrong_is_told(services: Settings, make: Any) -> None:
    with pytest.raises(KafkaException, match=r"no\.such\.setting"):
        make(**{"no.such.setting": 1})
    with pytest.raises(KafkaException):
        make().watermarks(Partition("nowhere", 0), 5.0)
    fetcher = make(**{"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    fetcher.assign({Partition("nowhere", 0): 0})
    _, events = taken(fetcher, lambda _, events: any(event.place is None for event in events))
    assert {event.error.code() for event in events} & {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}


def test_a_headers_name_that_is_no_utf8_is_an_error_of_who_asks() -> None:
    record = Record(Partition("t", 0), 0, 0, None, b"", [(b"\xff", b"")])
    with pytest.raises(UnicodeDecodeError):
        record.headers()
    assert record.value() == b""
