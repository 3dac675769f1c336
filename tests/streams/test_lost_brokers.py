"""Clients of librdkafka that never find a broker again, as after a restart of the only one, are given up."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from prometheus_client import REGISTRY

from config.settings import Settings
from streams import source, transaction
from streams.batches import Aborted, Epoch, Partition, Sink
from streams.fetching import Event
from streams.positions import log_offsets
from streams.records import Record, Records
from streams.source import Source
from streams.transaction import Transactor

PLACE = Partition("topic", 0)


def replaced(app: str, why: str) -> float:
    """How often a client was, so far."""
    labels = {"app": app, "why": why}
    return REGISTRY.get_sample_value("khaywe_clients_replaced_total", labels) or 0.0


def timed_out() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "Local: Timed out", retriable=True))


class Lost:
    """A transactional producer whose coordinator is never found again, from some call on."""

    made = 0
    fails = ""

    def __init__(self, config: dict[str, Any]) -> None:
        Lost.made += 1
        self.ill = Lost.made == 1
        self._queued: list[Any] = []

    def _call(self, name: str) -> None:
        if self.ill and name == Lost.fails:
            raise timed_out()

    def init_transactions(self, timeout: float) -> None:
        self._call("init")

    def list_topics(self, topic: str, timeout: float) -> Any:
        self._call("topics")
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={})})

    def begin_transaction(self) -> None: ...

    def produce(self, topic: str, value: Any, key: Any, partition: int, on_delivery: Any) -> None:
        self._queued.append(on_delivery)

    def flush(self) -> None:
        error = KafkaError(KafkaError._MSG_TIMED_OUT) if self.ill and Lost.fails == "deliver" else None
        delivered = SimpleNamespace(topic=lambda: "rows", partition=lambda: 0, offset=lambda: 6)
        while self._queued:
            self._queued.pop()(error, delivered)

    def send_offsets_to_transaction(self, positions: Any, metadata: Any, timeout: float) -> None:
        self._call("offsets")

    def commit_transaction(self, timeout: float) -> None:
        self._call("commit")
        if self.ill and Lost.fails == "commit at once":
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "4 message(s) timed out"))

    def abort_transaction(self, timeout: float) -> None:
        """Succeeds: the coordinator was told of nothing yet, so that there is nothing to tell it."""


@pytest.mark.parametrize("fails", ["init", "topics", "deliver", "offsets", "commit", "commit at once"])
def test_a_producer_without_its_coordinator_is_given_up(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "Producer", Lost)
    monkeypatch.setattr(transaction, "HUNG_SECONDS", 0.2)
    Lost.made, Lost.fails = 0, fails
    before = replaced("app", "producer")
    transactor = Transactor(Settings(_env_file=None, kafka="nowhere:1"), "app", "worker")
    epoch = Epoch("app", 1, "member", frozenset({PLACE}))

    def fill(sink: Sink) -> None:
        sink.send_rows("rows", 0, [b"key"], [b"row"])

    if fails not in ("init", "topics"):
        with pytest.raises(Aborted):
            transactor.run(epoch, {PLACE: 1}, fill)
    assert transactor.run(epoch, {PLACE: 1}, fill) == {Partition("rows", 0): 7}
    assert Lost.made == 2
    assert replaced("app", "producer") == before + 1


class Deaf:
    """A consumer that reads one record, then loses its brokers for good."""

    made: list[Deaf]
    says = KafkaError._ALL_BROKERS_DOWN

    def __init__(self, config: dict[str, Any], most: int = 0) -> None:
        Deaf.made.append(self)
        self._said: list[tuple[list[Records], list[Event]]] = []

    def assign(self, positions: dict[Partition, int]) -> None:
        down = Event(KafkaError(KafkaError._ALL_BROKERS_DOWN), None, -1)
        one = Record(PLACE, positions[PLACE], 0, None, b"", None)
        self._said = [([Records.of(PLACE, [one])], []), ([], [down])]

    def take(self, most: int, seconds: float) -> tuple[list[Records], list[Event]]:
        return self._said.pop(0) if self._said else ([], [])

    def committed(self, asked: Any, timeout: float) -> Any:
        raise KafkaException(KafkaError(Deaf.says))

    def close(self) -> None: ...


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Source:
    Deaf.made = []
    monkeypatch.setattr(source, "Fetcher", Deaf)
    monkeypatch.setattr("streams.positions.Consumer", Deaf)
    found = Source(Settings(_env_file=None, kafka="nowhere:1"), "group")
    found.assign({PLACE: 5})
    return found


def test_a_consumer_without_brokers_is_given_up_and_reads_on(
    reads: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LOST_SECONDS", 0.0)
    before = replaced("group", "no_broker")
    begins = [batch.begin for _ in range(6) for batch in reads.poll(10)]
    assert begins == [5, 6, 7]
    assert len(Deaf.made) == 3
    assert replaced("group", "no_broker") == before + 2


@pytest.mark.parametrize("code", [KafkaError._ALL_BROKERS_DOWN, KafkaError._UNKNOWN_PARTITION])
def test_positions_that_cannot_be_had_are_asked_for_with_new_clients(
    reads: Source, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deaf, "says", code)
    reads.poll(10)
    before, count = len(Deaf.made), replaced("group", "no_positions")
    for _ in range(2):
        with pytest.raises(KafkaException):
            reads.committed({PLACE})
    assert len(Deaf.made) == before + 4  # one for positions, one that reads on, each time
    assert replaced("group", "no_positions") == count + 2
    assert [batch.begin for batch in reads.poll(10)] == [6]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> dict[Partition, int]:
    """What Kafka says of where partitions end; a look at every poll."""
    found: dict[Partition, int] = {}
    monkeypatch.setattr(source, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(source, "log_offsets", lambda admin, places, *_: {at: found[at] for at in places})
    return found


class Silent(Deaf):
    """A consumer that reads one record, then nothing more, and says nothing of it."""

    def assign(self, positions: dict[Partition, int]) -> None:
        super().assign(positions)
        del self._said[1:]


def test_a_consumer_that_gives_nothing_of_a_partition_with_records_is_given_up(
    reads: Source, ends: dict[Partition, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "Fetcher", Silent)
    reads.close()
    reads.assign({PLACE: 5})
    before, ends[PLACE] = len(Deaf.made), 7
    # One look at which it has come on, two at which it has not; then a new client has the rest.
    count = replaced("group", "silent_partition")
    assert [[batch.begin for batch in reads.poll(10)] for _ in range(4)] == [[5], [], [], [6]]
    assert replaced("group", "silent_partition") == count + 1
    assert len(Deaf.made) == before + 1
    for _ in range(4):
        assert reads.poll(10) == []
    assert len(Deaf.made) == before + 1


def test_a_consumer_that_reads_as_much_as_it_may_is_not_asked(
    reads: Source, ends: dict[Partition, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "Fetcher", Silent)
    reads.close()
    other = Partition("topic", 1)
    reads.assign({PLACE: 5, other: 5})
    ends |= {PLACE: 100, other: 100}
    more: list[tuple[list[Records], list[Event]]]
    more = [([Records.of(PLACE, [Record(PLACE, offset, 0, None, b"", None)])], []) for offset in range(6, 12)]
    monkeypatch.setattr(Deaf.made[-1], "_said", [*more])
    for _ in more:
        assert [batch.source for batch in reads.poll(1)] == [PLACE]
    made = len(Deaf.made)
    for _ in range(3):
        reads.poll(1)
    assert len(Deaf.made) == made + 1


def test_what_ends_with_an_aborted_transaction_is_read_to_its_end(
    services: Settings, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer(services.producer_config(**{"transactional.id": topic}))
    producer.init_transactions()
    for finish in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(topic, b"value", partition=0)
        producer.flush()
        finish()
    monkeypatch.setattr(source, "LOOK_SECONDS", 0.05)
    looks: list[dict[Partition, int]] = []

    def asked(*given: Any) -> dict[Partition, int]:
        looks.append(log_offsets(*given))
        return looks[-1]

    monkeypatch.setattr(source, "log_offsets", asked)
    reads = Source(services, "group")
    reads.assign({Partition(topic, 0): 0})
    records = 0
    deadline = time.monotonic() + 60
    while len(looks) < 10:
        assert time.monotonic() < deadline
        records += sum(len(batch.records) for batch in reads.poll(100))
    reads.close()
    assert records == 1
    assert set(looks[-1].values()) == {4}
    assert "trying with a new client" not in caplog.text
