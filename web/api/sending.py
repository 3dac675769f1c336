"""What the API writes to Kafka: raw records and revisions.  An answer is given when Kafka has it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer

from agents.tail import KafkaAway
from catalog.service import CatalogService
from config.errors import KhayweError
from config.settings import Settings

#: Somebody waits for the answer.
ANSWER_MS = 8_000
#: Kafka ends a transaction that nobody goes on with: a list of a process that died.
TRANSACTION_MS = 15_000


@dataclass(frozen=True, slots=True)
class Raw:
    """A record to send; `timestamp` is Kafka's, in ms; `partition` -1: as the key says."""

    topic: str
    key: bytes | None
    value: bytes
    timestamp: int
    partition: int = -1


class Sending:
    """One producer for records that stand alone, one for lists; both made when first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._alone: Producer | None = None
        self._lists: Producer | None = None
        self._stopped = threading.Event()

    def one(self, record: Raw) -> None:
        """Send a record.  Raises KafkaAway."""
        done = threading.Event()
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed.append(error)
            done.set()

        try:
            self._producer().produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                delivered,
                timestamp=record.timestamp,
            )
        except (BufferError, KafkaException) as error:
            raise KafkaAway(self._settings, str(error)) from None
        if not done.wait(ANSWER_MS / 1000 + 2) or failed:
            raise KafkaAway(self._settings, failed[0].str() if failed else "no answer")

    def all_or_none(self, records: Sequence[Raw]) -> None:
        """Send records as one transaction.  Raises KafkaAway; then readers see none of them."""
        with self._lock:
            try:
                if self._lists is None:
                    self._lists = self._transactional()
                producer = self._lists
                producer.begin_transaction()
                for record in records:
                    producer.produce(
                        record.topic, record.value, record.key, record.partition, timestamp=record.timestamp
                    )
                producer.commit_transaction(ANSWER_MS / 1000)
            except (BufferError, KafkaException) as error:
                # Fenced or in doubt: a new producer's start ends what this one left open.
                self._lists = None
                raise KafkaAway(self._settings, str(error)) from None

    def publish(self, catalog: CatalogService) -> str:
        """Publish what waits in the catalog's outbox; why not, where Kafka is away: a worker does it then."""
        try:
            catalog.publish_outbox(self._producer())
        except (KhayweError, KafkaException) as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Send what is under way, and end."""
        self._stopped.set()
        if self._alone is not None:
            self._alone.flush(ANSWER_MS / 1000)

    def _producer(self) -> Producer:
        with self._lock:
            if self._alone is None:
                self._alone = Producer(
                    self._settings.producer_config(**{
                        "message.timeout.ms": ANSWER_MS,
                        "topic.metadata.propagation.max.ms": ANSWER_MS // 2,
                        "linger.ms": 2,
                        "log_level": 2,
                    })
                )  # fmt: skip
                threading.Thread(target=self._poll, args=(self._alone,), daemon=True).start()
            return self._alone

    def _poll(self, producer: Producer) -> None:
        while not self._stopped.is_set():
            producer.poll(0.2)

    def _transactional(self) -> Producer:
        producer = Producer(
            self._settings.producer_config(**{
                "transactional.id": f"khaywe-api-{uuid4().hex}",
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.timeout.ms": ANSWER_MS,
                "log_level": 2,
            })
        )  # fmt: skip
        producer.init_transactions(ANSWER_MS / 1000)
        return producer
