"""The whole pipeline in a test: a broker of its own, sources, workers as processes, and an undisturbed fold.

`Pipeline.check` reads back what is committed: every record sent stands once on customer-events; changelog and
effects are, byte for byte, what one undisturbed fold makes of the log.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from agents import lag as asked
from agents.catalog_feed import DEFAULTS
from catalog.content import Content, decode
from cli import lag
from config import topics
from config.settings import Settings
from loyalty import packing as rows
from loyalty.engine import Engine
from loyalty.log import joined
from loyalty.state import ROW_KEY, State
from tests import homes
from tests.faults import forked
from tests.faults.harness import Committed, Worker, until
from tests.reference.fold import ReferenceFold

#: What the fold tells, but for compacted topics' tombstones.
EFFECTS = (
    topics.BEHAVIOR_SCORES, topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS,
    topics.DECISIONS, topics.COMMAND_RESULTS, topics.CAMPAIGN_TRIGGERS,
)  # fmt: skip
#: Event types that records of the source have.
KINDS = (
    "voice_call", "sms", "data_session", "recharge", "app_login", "feature_use", "content_view", "payment",
)  # fmt: skip
SOURCE = {
    "name": "mixed",
    "source_type": "cdr",
    "connection_config": {"kafka_topic": "raw_mixed"},
    "event_mapping": {
        "customer_id_field": "who",
        "event_type_field": "what",
        "value_field": "much",
        "timestamp_field": "at",
        "event_id_field": "id",
        "attributes_field": "more",
    },
}


class Pipeline:
    """One khaywe of its own under `home`."""

    def __init__(self, home: Path, partitions: int = 4, **settings: Any) -> None:
        self.home = home
        self.environment = {
            "KHAYWE_HOME": str(home),
            "KHAYWE_CLOCK": "event",
            "KHAYWE_PARTITIONS": str(partitions),
            "KHAYWE_SESSION_TIMEOUT": "6",
            "KHAYWE_TRANSACTION_TIMEOUT": "6",
            "KHAYWE_STORE_INTERVAL": "0.5",
            "KHAYWE_WEB_PORT": "0",
            **{f"KHAYWE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.settings = Settings(_env_file=None, home=home, clock="event", partitions=partitions, **settings)
        self.up()
        self.khaywe("topics", "create")
        self.producer = Producer(self.settings.producer_config(**{"linger.ms": 5}))
        self.sent: set[str] = set()

    def up(self) -> None:
        """Start broker and database, or what of them does not run."""
        homes.up(self.settings)

    def close(self) -> None:
        """End broker and database."""
        homes.end(self.settings)

    def khaywe(self, *arguments: str, fails: bool = False) -> str:
        """Run a command; returns what it printed."""
        done = forked.khaywe({**os.environ, **self.environment}, *arguments)
        said = f"{arguments} -> {done.returncode}: {done.stdout}\n{done.stderr}"
        assert (done.returncode != 0) == fails, said
        return done.stderr if fails else done.stdout

    def add_source(self, source: dict[str, Any]) -> None:
        """Add a data source from its YAML (JSON is YAML)."""
        file = self.home / f"{source['name']}.yaml"
        file.write_text(json.dumps(source))
        self.khaywe("source", "add", "--file", str(file))

    def worker(self, name: str, **more: str) -> Worker:
        """A worker, not yet started."""
        environment = {**self.environment, "KHAYWE_WORKER": name, **more}
        command = ["-m", "tests.faults.khaywe", "worker", "--agents", "normalizer,customers"]
        return Worker(command, environment, self.home / f"{name}.log")

    def send(self, records: list[dict[str, Any]], topic: str = "raw_mixed") -> None:
        """Put raw records on the source's topic, acknowledged."""

        def delivered(error: object, message: object) -> None:
            assert error is None, error

        for record in records:
            self.producer.produce(
                topic, json.dumps(record).encode(), str(record["who"]).encode(), on_delivery=delivered
            )
            self.producer.poll(0)
            self.sent.add(record["id"])
        self.producer.flush()

    def settled(self, log: Path | None = None, seconds: float = 300) -> None:
        """Wait until nothing is behind."""
        pipeline = asked.Pipeline(self.settings, lag.hops(self.settings))
        try:
            until("the pipeline has caught up", lambda: pipeline.look().total == 0, seconds, log)
        finally:
            pipeline.close()

    # -- what is committed ----------------------------------------------------------------------------

    def committed(self, topic: str) -> list[Any]:
        """Every committed record of a topic, by partition and offset."""
        found = Committed(self.settings, topic).read()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def contents(self) -> dict[int, Content]:
        """Every revision by number."""
        found = {0: DEFAULTS}
        for message in self.committed(topics.CATALOG):
            content = decode(message.value())
            found[content.revision] = content
        return found

    def check(self) -> None:
        """Nothing lost, nothing doubled, everything as the reference says."""
        log = self.committed(topics.CUSTOMER_EVENTS)
        events = Counter(
            json.loads(m.value())["event_id"] for m in log if json.loads(m.value())["source"] == "mixed"
        )
        assert events.keys() == self.sent, (
            f"{len(self.sent - events.keys())} of {len(self.sent)} records lost"
        )
        assert max(events.values()) == 1, "records doubled on customer-events"

        folded = self.folded(log)
        assert folded.changelog
        last = {(m.partition(), m.key()): m.value() for m in self.committed(topics.CHANGELOG)}
        found = {key: value for key, value in last.items() if value is not None}
        # A customer at a time: a difference is to be read by people.
        assert {key for key in found if key[1][:1] == ROW_KEY} == {
            key for key in folded.changelog if key[1][:1] == ROW_KEY
        }
        for (partition, key), expected in folded.changelog.items():
            if key[:1] == ROW_KEY:
                assert rows.decode(found[partition, key]) == rows.decode(expected), key
        assert set(found) == set(folded.changelog)
        for at, value in folded.changelog.items():
            assert found[at] == value, f"{at}: {found[at]!r} instead of {value!r}"

        effects: Counter[tuple[str, bytes, bytes | None]] = Counter()
        for topic in EFFECTS:
            for m in self.committed(topic):
                # What the normaliser answered by itself (a tick's command) is nothing the fold knows.
                if json.loads(m.value()).get("partition", 0) is not None:
                    effects[topic, m.key(), m.value()] += 1
        assert max(effects.values()) == 1, "effects doubled"
        assert {topic for topic, _, _ in effects} >= set(EFFECTS[:5]), "not every kind of effect was at stake"
        missing, more = folded.effects - effects, effects - folded.effects
        assert not missing, f"{len(missing)} effects lost, as {next(iter(missing))}"
        assert not more, f"{len(more)} effects never due, as {next(iter(more))}"

    def folded(self, log: list[Any]) -> Folded:
        """What one fold, from the first record to the last and never disturbed, makes of the log."""
        contents = self.contents()
        result = Folded({}, Counter())
        for partition in range(self.settings.partitions):
            state = State()
            engine = Engine(partition, state, contents.__getitem__)
            records = [(m.offset(), m.value()) for m in log if m.partition() == partition]
            for start in range(0, len(records), 1_000):
                batch = records[start : start + 1_000]
                for outcome in engine.fold(joined(batch), batch[-1][0] + 1):
                    result.effects.update((e.topic, e.key, e.value) for e in outcome.effects)
                    changes = state.changes()
                    for key, value in zip(changes.keys, changes.values, strict=True):
                        if value is None:
                            result.changelog.pop((partition, key), None)
                        else:
                            result.changelog[partition, key] = value
                    state.committed()
        return result

    def check_reference(self) -> None:
        """The same rows and effects as the plain reference has, which knows nothing of batches and bytes."""
        log, contents = self.committed(topics.CUSTOMER_EVENTS), self.contents()
        expected: Counter[str] = Counter()
        found = {m.key(): m.value() for m in self.committed(topics.CHANGELOG)}
        for partition in range(self.settings.partitions):
            reference = ReferenceFold(partition, contents)
            records = [(m.offset(), m.value()) for m in log if m.partition() == partition]
            for effect in reference.fold(records):
                expected[effect["value"]["effect_id"]] += 1
            for customer in reference.customers:
                row = found[ROW_KEY + customer.encode()]
                assert rows.decode(row) == reference.snapshot(customer), customer
        published = (json.loads(m.value()) for topic in EFFECTS for m in self.committed(topic))
        assert Counter(v["effect_id"] for v in published if v.get("partition", 0) is not None) == expected


@dataclass
class Folded:
    """A changelog by (partition, key), and effects (topic, key, value)."""

    changelog: dict[tuple[int, bytes], bytes]
    effects: Counter[tuple[str, bytes, bytes | None]]


def mixed(seed: int, customers: int, count: int, prefix: str = "e") -> list[dict[str, Any]]:
    """Raw records of source `mixed`: all kinds, some late, some repeated under the same id."""
    import random
    from datetime import UTC, datetime, timedelta

    dice = random.Random(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    records = []
    for number in range(count):
        at = start + timedelta(minutes=number * 60 * 24 * 40 / count)
        if dice.random() < 0.05:
            at -= timedelta(days=dice.uniform(0, 60))
        records.append(
            {
                "id": f"{prefix}{number}",
                "who": f"c{dice.randrange(customers)}",
                "what": dice.choice(KINDS),
                "much": round(dice.uniform(0, 200), 2),
                "at": at.isoformat(),
                "more": {"on_time": dice.random() < 0.8},
            }
        )
    return records


def consents(customers: int) -> list[dict[str, Any]]:
    """Raw records of source `mixed`: the customers c0, c1 ... may be addressed."""
    return [
        {
            "id": f"consent-{number}", "who": f"c{number}", "what": "profile_update", "much": 1,
            "at": "2026-01-01T00:00:00Z", "more": {"consent": True},
        }
        for number in range(customers)
    ]  # fmt: skip
