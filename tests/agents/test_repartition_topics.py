"""`khaywe repartition` on a real Kafka: killed at every step it goes on, and it refuses what it must."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from agents import repartition as module
from config import topics as registry
from config.settings import Settings
from config.topics import CHANGELOG, CUSTOMER_EVENTS
from streams import topics
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP
from streams.positions import GroupPositions
from tables.restore import bounds
from tests import homes
from tests.agents.test_repartition_state import ALONE, Cluster, Table, customers, log, moved
from tests.faults import forked
from tests.faults.harness import stand, until

BEFORE = 2
STEPS = ("looked", "held", "fenced", "sent", "moved", "grown", "verified")
#: Those that leave the transaction open.
OPEN = STEPS[1:4]


@pytest.fixture(scope="module")
def table() -> Table:
    """Customers in two partitions."""
    cluster = Cluster(BEFORE)
    for segment in log(3, ALONE):
        cluster.fold(segment)
    return cluster.table


@pytest.fixture(scope="module")
def alone(table: Table) -> Iterator[Settings]:
    """A Kafka whose topics may change: that table, ten events that are folded in each partition."""
    home = Path(tempfile.mkdtemp(prefix=f"{homes.HOMES}{os.getpid()}-"))
    settings = Settings(_env_file=None, home=home, clock="event", partitions=BEFORE)
    try:
        homes.up(settings)
        topics.create(settings)
        producer = Producer(settings.producer_config())
        for n, entries in enumerate(table):
            for key, value in entries.items():
                producer.produce(CHANGELOG, b"old", key, n)
                producer.produce(CHANGELOG, value, key, n)
            for _ in range(10):
                producer.produce(CUSTOMER_EVENTS, b"{}", b"x", n)
        assert producer.flush(30) == 0
        stand(settings, CUSTOMERS_GROUP, {Partition(CUSTOMER_EVENTS, n): 10 for n in range(BEFORE)})
        yield settings
    finally:
        homes.end(settings)
        shutil.rmtree(home)


def run(settings: Settings, *args: str) -> subprocess.CompletedProcess[str]:
    mine = {"KHAYWE_HOME": str(settings.home), "KHAYWE_PARTITIONS": str(settings.partitions)}
    return forked.run(["-m", *args], os.environ | mine)


def khaywe(settings: Settings, *args: str) -> subprocess.CompletedProcess[str]:
    return run(settings, "tests.faults.khaywe", *args)


def starts(settings: Settings, partitions: int) -> bool:
    """Whether a worker that is started now, with that number, goes on."""
    try:
        return not topics.check(settings.model_copy(update={"partitions": partitions}))
    except KafkaException as error:
        if error.args[0].code() == KafkaError._TIMED_OUT:
            return False  # waits for the end of the transaction
        raise


def counts(settings: Settings) -> dict[str, int]:
    found = AdminClient(settings.kafka_config()).list_topics(timeout=30).topics
    return {
        topic.name: len(found[topic.name].partitions)
        for topic in registry.registry(settings)
        if topic.with_customers
    }


def there(settings: Settings) -> Table:
    """The changelog as it is committed."""
    return [
        module.read(settings, n, *bounds(settings.kafka_config(), CHANGELOG, n))
        for n in range(counts(settings)[CHANGELOG])
    ]


def test_it_refuses_with_words(alone: Settings) -> None:
    said = khaywe(alone, "repartition", "5000")
    assert said.returncode == 1
    assert "5,000 partitions are more than 4,096" in said.stderr

    member = Consumer(alone.kafka_config(**{"group.id": CUSTOMERS_GROUP, "enable.auto.commit": False}))
    member.subscribe([CUSTOMER_EVENTS])
    until("it is a member", lambda: member.poll(0.1) is not None or bool(member.assignment()), 60)
    said = khaywe(alone, "repartition", "3")
    member.close()
    assert "1 workers run" in said.stderr
    assert "stop all workers, then run this again" in said.stderr
    assert set(counts(alone).values()) == {BEFORE}


def test_killed_at_every_step_it_goes_on(alone: Settings, table: Table) -> None:
    """Each run begins where the one before was killed, and gets a step further."""
    after = BEFORE + 1
    for step in STEPS:
        killed = run(alone, "tests.agents.repartition_process", str(after), step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if step == "sent":
            assert not starts(alone, BEFORE)
        elif step not in OPEN:
            assert starts(alone, BEFORE) == (step == "looked")
            assert starts(alone, after) == (step in ("grown", "verified"))
    ends = [bounds(alone.kafka_config(), CHANGELOG, n) for n in range(after)]
    said = khaywe(alone, "repartition", str(after))
    assert said.returncode == 0, said.stderr
    assert f"each in one of {after} partitions" in said.stdout
    assert f"KHAYWE_PARTITIONS={after}" in said.stdout
    assert [bounds(alone.kafka_config(), CHANGELOG, n) for n in range(after)] == ends  # all was done before
    assert set(counts(alone).values()) == {after}
    assert there(alone) == moved(table, after)
    assert customers(there(alone)) == customers(table)
    places = [Partition(CUSTOMER_EVENTS, n) for n in range(after)]
    asker = GroupPositions(alone, CUSTOMERS_GROUP, stable=True)
    assert asker.of(places) == dict.fromkeys(places[:BEFORE], 10)
    asker.close()


def test_killed_at_every_step_to_fewer_it_goes_on(alone: Settings, table: Table) -> None:
    """The topics stay as they are: until the transaction is committed all is as before, then all is done."""
    before, after = BEFORE + 1, 1
    for step in STEPS:
        killed = run(alone, "tests.agents.repartition_process", str(after), step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if step not in OPEN:
            assert starts(alone, before) == (step == "looked")
            assert starts(alone, after) == (step != "looked")
    ends = [bounds(alone.kafka_config(), CHANGELOG, n) for n in range(before)]
    said = khaywe(alone, "repartition", str(after))
    assert said.returncode == 0, said.stderr
    assert f"each in one of {after} partitions" in said.stdout
    assert [bounds(alone.kafka_config(), CHANGELOG, n) for n in range(before)] == ends
    assert set(counts(alone).values()) == {before}  # Kafka takes none away
    assert there(alone) == moved(moved(table, before), after)
    assert customers(there(alone)) == customers(table)
    (problem, *_) = topics.check(alone.model_copy(update={"partitions": before}))
    assert "has 3 partitions, customers in 1, not 3 of them; KHAYWE_PARTITIONS=1" in str(problem)
    places = [Partition(CUSTOMER_EVENTS, n) for n in range(before)]
    asker = GroupPositions(alone, CUSTOMERS_GROUP, stable=True)
    assert asker.of(places) == {place: 0 if place.partition >= BEFORE else 10 for place in places}
    assert asker.retired(places) == set(places[after:])
    asker.close()


def test_into_partitions_that_customers_had_left(alone: Settings, table: Table) -> None:
    said = khaywe(alone, "repartition", str(BEFORE))
    assert said.returncode == 0, said.stderr
    assert customers(there(alone)) == customers(table)
    assert there(alone)[BEFORE:] == [{}]
    assert not topics.check(alone.model_copy(update={"partitions": BEFORE}))
    assert topics.check(alone.model_copy(update={"partitions": BEFORE + 1}))
    said = khaywe(alone, "repartition", str(BEFORE + 1))
    assert said.returncode == 0, said.stderr
    assert there(alone) == moved(table, BEFORE + 1)
    assert not topics.check(alone.model_copy(update={"partitions": BEFORE + 1}))


def test_what_is_not_folded_is_waited_for(alone: Settings) -> None:
    """It leaves a record behind, so it comes last."""
    producer = Producer(alone.producer_config())
    producer.produce(CUSTOMER_EVENTS, b"{}", b"x", 0)
    assert producer.flush(30) == 0
    before = counts(alone)
    said = khaywe(alone, "repartition", str(before[CUSTOMER_EVENTS] + 1))
    assert said.returncode == 1
    assert "1 records of customer-events wait to be folded" in said.stderr
    assert "khaywe worker --agents customers" in said.stderr
    assert counts(alone) == before
