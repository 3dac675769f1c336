"""Raw records that never cease while faults strike, the same for a seed; and what became known of them."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Producer

from config.settings import Settings
from tests.faults.pipeline import SOURCE

CONNECTION: Any = SOURCE["connection_config"]
TOPIC = str(CONNECTION["kafka_topic"])
#: Records in a batch, and seconds between two.
BATCH, PAUSE = 25, 0.25
#: A few are busy, so that the game has something to give; the many do not fit into a worker's memory of rows.
BUSY, MANY = 150, 6_000
#: A million records lie between it and the day this was written: what is of tomorrow is refused.
START, STEP = datetime(2023, 1, 1, tzinfo=UTC), timedelta(minutes=2)
KINDS = (
    "voice_call", "sms", "data_session", "recharge", "app_login", "feature_use", "content_view", "payment",
)  # fmt: skip


def when(number: int) -> datetime:
    """The time that a record's event is at, but for late ones."""
    return START + number * STEP


def records(seed: int) -> Iterator[dict[str, Any]]:
    """Records of source `mixed` without end; one in twenty is late."""
    dice = random.Random(f"load {seed}")
    number = 0
    while True:
        at = when(number)
        if dice.random() < 0.05:
            at -= timedelta(days=dice.uniform(0, 60))
        customers = BUSY if dice.random() < 0.8 else MANY
        yield {
            "id": f"e{number}",
            "who": f"c{dice.randrange(customers)}",
            "what": dice.choice(KINDS),
            "much": round(dice.uniform(0, 200), 2),
            "at": at.isoformat(),
            "more": {"on_time": dice.random() < 0.8},
        }
        number += 1


class Load:
    """A thread that sends until it is told to end; while Kafka is away, records wait in its producer."""

    def __init__(self, settings: Settings, seed: int) -> None:
        # Idempotent: what the broker has but could not acknowledge is not sent twice, so no doubled record
        # is the sender's.
        self._producer = Producer(settings.producer_config(**{"linger.ms": 5, "log_level": 0}))
        self._records = records(seed)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent: set[str] = set()
        self.acknowledged = 0
        self.refused: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; everything is acknowledged then.  AssertionError where something was not."""
        self._ended.set()
        self._thread.join()
        left = self._producer.flush(120)
        assert not left, f"{left} raw records were not acknowledged within 120 s"
        assert not self.refused, f"{len(self.refused)} raw records were refused, as {self.refused[0]}"

    def _delivered(self, error: object, message: object) -> None:
        if error is not None:
            self.refused.append(str(error))
        self.acknowledged += 1

    def _run(self) -> None:
        while not self._ended.wait(PAUSE):
            for _ in range(BATCH):
                record = next(self._records)
                value, key = json.dumps(record).encode(), record["who"].encode()
                while True:
                    try:
                        self._producer.produce(TOPIC, value, key, on_delivery=self._delivered)
                        break
                    except BufferError:
                        self._producer.poll(0.1)
                self.sent.add(record["id"])
            self._producer.poll(0)
