"""Topics on a real broker: made as the registry says, compared with it, brought in line; keys."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewPartitions
from faust.transport.drivers.aiokafka import DefaultPartitioner as FaustPartitioner

from config.settings import Settings
from config.topics import CATALOG, CUSTOMER_EVENTS, DEAD_LETTERS, registry
from streams import topics as on_brokers
from streams.partition import murmur2, partition_of
from streams.topics import await_topics

KEYS = [f"{number:011d}".encode() for number in range(48_601_000_000, 48_601_000_990)] + [
    b"",
    b"a",
    b"ab",
    b"abc",
    b"abcd",
    "Zażółć".encode(),
    b"\xff\xfe\xfd\xfc\xfb",
    b"\x00" * 7,
    bytes(range(256)),
    b"tel:+48 601",
]


@pytest.fixture
def bare(services: Settings) -> Iterator[Settings]:
    """A broker without khaywe's topics, left so."""
    _delete(services)
    yield services
    _delete(services)


def _delete(settings: Settings) -> None:
    admin = AdminClient(settings.kafka_config())
    ours = {topic.name for topic in registry(settings)} | {"raw_custom_events"}
    ours &= set(admin.list_topics(timeout=10).topics)
    if ours:
        for answer in admin.delete_topics(list(ours)).values():
            answer.result()
        _await(lambda: not ours & set(admin.list_topics(timeout=10).topics))


def _await(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _with(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update=changes)


def test_create_makes_what_is_missing_once(bare: Settings) -> None:
    names = [topic.name for topic in registry(bare)]
    assert {problem.what for problem in on_brokers.check(bare)} == {"is missing"}
    assert sorted(on_brokers.create(bare)) == sorted([*names, "raw_custom_events"])
    assert on_brokers.create(bare) == []
    assert on_brokers.check(bare) == []
    found = on_brokers.find(bare, names)
    assert found[CUSTOMER_EVENTS].partitions == bare.partitions
    assert (found[CATALOG].partitions, found[CATALOG].config["retention.ms"]) == (1, "-1")
    assert found[DEAD_LETTERS].config["max.message.bytes"] == str(2 << 20)
    compacted = {name for name, topic in found.items() if topic.config["cleanup.policy"] == "compact"}
    assert compacted == {"customers-changelog", "behavior-scores", "predictions", "erasures"}


def test_two_that_create_at_once_do_not_fail(bare: Settings) -> None:
    code = (
        f"from config.settings import Settings; from streams.topics import create; "
        f"create(Settings(_env_file=None, home={str(bare.home)!r}))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert on_brokers.check(bare) == []


def test_check_tells_every_kind_of_difference(bare: Settings) -> None:
    on_brokers.create(bare)
    admin = AdminClient(bare.kafka_config())
    admin.create_partitions([NewPartitions(CATALOG, 2)])[CATALOG].result()
    admin.delete_topics([DEAD_LETTERS])[DEAD_LETTERS].result()
    await_topics(admin, {CATALOG: 2})
    _await(lambda: DEAD_LETTERS not in admin.list_topics(timeout=10).topics)
    told = {problem.topic: problem for problem in on_brokers.check(bare)}
    assert set(told) == {CATALOG, DEAD_LETTERS}
    assert told[CATALOG].what == "has 2 partitions, not 1"
    assert str(told[DEAD_LETTERS]) == "topic dead-letters: is missing; khaywe topics create"

    other = {problem.topic: problem for problem in on_brokers.check(_with(bare, partitions=8))}
    assert other[CUSTOMER_EVENTS].what == "has 4 partitions, not 8"
    assert other[CUSTOMER_EVENTS].todo.startswith("KHAYWE_PARTITIONS=4")
    more = [problem for problem in on_brokers.check(_with(bare, replication=2)) if problem.topic == CATALOG]
    assert [problem.what for problem in more] == ["has 2 partitions, not 1", "has 1 replicas, not 2"]


def test_alter_brings_configuration_in_line(bare: Settings) -> None:
    on_brokers.create(bare)
    week = _with(bare, retention=7)
    problems = on_brokers.check(week)
    assert {problem.todo for problem in problems} == {"khaywe topics create --alter"}
    assert "has retention.ms=2592000000, not 604800000" in {problem.what for problem in problems}
    assert sorted(on_brokers.alter(week)) == sorted(problem.topic for problem in problems)
    assert on_brokers.check(week) == []
    assert on_brokers.alter(week) == []


def test_a_broker_that_cannot_make_them_is_told_apart(bare: Settings) -> None:
    with pytest.raises(on_brokers.TopicError, match="customer-events cannot be made") as refused:
        on_brokers.create(_with(bare, replication=3))
    assert refused.value.hint == "set KHAYWE_REPLICATION to no more than there are brokers"


def test_a_raw_topic_is_made_once_and_the_operators_own_is_left(
    services: Settings, topics: Callable[..., str]
) -> None:
    missing = topics("raw_cdr_events")
    assert on_brokers.ensure_raw_topic(services, missing)
    assert not on_brokers.ensure_raw_topic(services, missing)
    assert on_brokers.find(services, [missing])[missing].partitions == services.partitions
    own = topics("raw_crm_events", partitions=1, config={"retention.ms": "1234"})
    before = on_brokers.find(services, [own])
    assert not on_brokers.ensure_raw_topic(services, own)
    assert on_brokers.find(services, [own]) == before
    with pytest.raises(on_brokers.TopicError, match="cannot be made"):
        on_brokers.ensure_raw_topic(services, "no such/name")


def test_a_broker_that_is_away_is_an_error(services: Settings) -> None:
    away = _with(services, kafka="127.0.0.1:1")
    admin = on_brokers._admin(away)
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.5)


@pytest.mark.parametrize("partitions", [1, 4, 7])
def test_a_thousand_keys_are_placed_alike_by_every_producer(
    services: Settings, topics: Callable[..., str], partitions: int
) -> None:
    assert len(set(KEYS)) == 1_000
    topic = topics("placed", partitions=partitions)
    placed: dict[bytes, int | None] = {}

    def delivered(error: object, message: Message) -> None:
        assert error is None
        placed[message.key() or b""] = message.partition()

    # As every producer of ours is made; an empty key is a key.
    producer = Producer(services.producer_config())
    for key in KEYS:
        producer.produce(topic, b"", key, on_delivery=delivered)
    assert producer.flush(30) == 0

    everywhere = list(range(partitions))
    assert FaustPartitioner is DefaultPartitioner
    assert placed == {key: DefaultPartitioner()(key, everywhere, everywhere) for key in KEYS}
    assert placed == {key: partition_of(key, partitions) for key in KEYS}


@pytest.mark.parametrize(
    ("key", "hashed"),
    # The expected values of Apache Kafka's own UtilsTest.testMurmur2, signed.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_javas(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed & 0xFFFFFFFF
