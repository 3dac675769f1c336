"""A log with what a worker makes of it, written by hand: for tests of what folds it again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agents.recorded import Reader, held
from catalog.content import Content, encode
from config import topics
from config.settings import Settings
from loyalty import row
from loyalty.content import Decisions, ScoringPolicy
from loyalty.effects import Effect
from loyalty.engine import Engine
from loyalty.game import Game
from loyalty.log import joined
from loyalty.state import State
from streams import topics as on_brokers
from streams.names import CUSTOMERS_GROUP
from tables import snapshots
from tables.restore import topic_id
from tests import homes
from tests.faults import forked
from tests.faults.harness import until


@pytest.fixture(scope="module")
def broker() -> Iterator[Settings]:
    """A Kafka of the module's own: the catalog is made anew for each test."""
    home = Path(tempfile.mkdtemp(prefix=f"{homes.HOMES}{os.getpid()}-"))
    settings = Settings(_env_file=None, home=home, clock="event", partitions=3)
    try:
        homes.up(settings)
        yield settings
    finally:
        homes.end(settings)
        shutil.rmtree(home)


@pytest.fixture
def recording(broker: Settings) -> Recording:
    """An empty log."""
    return Recording(broker)


def khaywe(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on it."""
    mine = {"KHAYWE_HOME": str(settings.home), "KHAYWE_PARTITIONS": str(settings.partitions)}
    return forked.khaywe(os.environ | mine, *arguments)


def delivered(error: object, _: object) -> None:
    """Every record is there."""
    assert error is None, error


class Recording:
    """Topics made anew, and a worker that folds when it is told to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        admin = AdminClient(settings.kafka_config())
        mine = [topic.name for topic in topics.registry(settings)]
        there = [name for name in mine if name in admin.list_topics(timeout=10).topics]
        for gone in admin.delete_topics(there).values() if there else ():
            gone.result()
        until("topics are gone", lambda: not set(mine) & admin.list_topics(timeout=10).topics.keys())
        on_brokers.create(settings)
        self._producer = Producer(settings.producer_config())
        self._contents: dict[int, Content] = {}
        self._engines = {
            partition: Engine(partition, State(), self._contents.__getitem__)
            for partition in range(settings.partitions)
        }
        self._changelogs: dict[int, dict[bytes, bytes]] = {partition: {} for partition in self._engines}
        self._positions = dict.fromkeys(self._engines, 0)

    def content(self, game: Game, revision: int = 1, policy: ScoringPolicy | None = None) -> Content:
        """Publish a revision; its marker is the caller's."""
        content = Content(
            revision=revision, created_at="2026-01-01T00:00:00.000Z", decisions=Decisions(),
            policy=policy or ScoringPolicy(), game=game,
        )  # fmt: skip
        self._contents[revision] = content
        self._producer.produce(topics.CATALOG, encode(content), str(revision))
        self._producer.flush()
        return content

    def log(self, *records: bytes, everywhere: bool = False) -> None:
        """Write records of customer-events where their customers are, or each to all partitions."""
        for record in records:
            customer = json.loads(record)["customer_id"]
            if everywhere or not customer:
                for partition in self._engines:
                    self._producer.produce(topics.CUSTOMER_EVENTS, record, None, partition, delivered)
            else:
                self._producer.produce(topics.CUSTOMER_EVENTS, record, customer, on_delivery=delivered)
        self._producer.flush()

    def work(self, tamper: Callable[[Effect], Iterable[Effect]] = lambda effect: [effect]) -> list[Effect]:
        """Fold what is new, publish effects as `tamper` gives them, forward, and commit; all effects."""
        told: list[Effect] = []
        while fresh := self._fresh():
            for partition, (values, end) in fresh.items():
                engine, changelog = self._engines[partition], self._changelogs[partition]
                for outcome in engine.fold(joined(list(enumerate(values))), len(values)):
                    changes = engine.state.changes()
                    for entry, content in zip(changes.keys, changes.values, strict=True):
                        changelog.pop(entry, None)
                        if content is not None:
                            changelog[entry] = content
                    engine.state.committed()
                    for effect in outcome.effects:
                        told.append(effect)
                        for each in tamper(effect):
                            self.publish(each)
                    for key, value in outcome.forwards:
                        self._producer.produce(topics.CUSTOMER_EVENTS, value, key)
                self._positions[partition] = end
            self._producer.flush()
        member = Consumer(self.settings.kafka_config(**{"group.id": CUSTOMERS_GROUP}))
        places = [TopicPartition(topics.CUSTOMER_EVENTS, p, end) for p, end in self._positions.items()]
        member.commit(offsets=places, asynchronous=False)
        member.close()
        return told

    def publish(self, effect: Effect) -> None:
        """Put an effect on its topic."""
        self._producer.produce(effect.topic, effect.value, effect.key, headers=[*effect.headers])
        self._producer.poll(0)

    def recorded(self, topic: str) -> list[tuple[int, int, bytes]]:
        """Partition, offset and value of all that a topic holds."""
        reader = Reader(self.settings, held(self.settings, [topic]))
        found = []
        while not reader.done:
            found += [(m.partition() or 0, m.offset() or 0, m.value() or b"") for m in reader.read()]
        reader.close()
        return found

    def _fresh(self) -> dict[int, tuple[list[bytes | None], int]]:
        offsets = held(self.settings, [topics.CUSTOMER_EVENTS])
        wanted = {place: (self._positions[place.partition], end) for place, (_, end) in offsets.items()}
        reader = Reader(self.settings, wanted)
        found: dict[int, tuple[list[bytes | None], int]] = {}
        while not reader.done:
            for message in reader.read():
                found.setdefault(int(message.partition() or 0), ([], 0))[0].append(message.value())
        reader.close()
        ends = {place.partition: end for place, (_, end) in wanted.items()}
        return {partition: (values, ends[partition]) for partition, (values, _) in sorted(found.items())}

    def snapshot(self, root: Path) -> None:
        """Write a snapshot of each partition as it stands."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        log = topic_id(self.settings.kafka_config(), topics.CUSTOMER_EVENTS)
        for partition, engine in self._engines.items():
            known = engine.state.partition
            header = snapshots.Header(
                snapshots.FORMAT, row.FORMAT, log, self.settings.partitions, partition,
                self._positions[partition], known.revision, known.tick, now,
            )  # fmt: skip
            snapshots.write(sorted(self._changelogs[partition].items()), header, root)

    def cut(self, topic: str) -> None:
        """Lose what is there so far, as retention would."""
        ends = {place: end for place, (_, end) in held(self.settings, [topic]).items()}
        admin = AdminClient(self.settings.kafka_config())
        asked = [TopicPartition(*place, end) for place, end in ends.items()]
        for answer in admin.delete_records(asked).values():
            answer.result()
