"""Polled data sources: their records into the raw topic, each page once, whoever polls and whenever it dies.

The steps of a page, with a test that kills between any two of them (tests/agents/test_polling.py):

1. `leased`: this process holds the source's lease in PostgreSQL.
2. `fetched`: a page of records and the cursor behind it.  Before the first one that has records, the
   transactional producer fences an earlier holder's: what that one left open in Kafka is aborted.
3. `prepared`: PostgreSQL has that cursor, as one that does not count yet.
4. Kafka has the records and the number of the page (`begun`, `produced`, `offsets`, `committed`), in one
   transaction: the number is the position of the group `khaywe-poll` on partition 0 of the raw topic.
5. `kept`: PostgreSQL counts the cursor.

Who takes over asks Kafka for the number: if it is the prepared page's, that cursor counts, otherwise the page
is fetched again.  A record has the same bytes each time it is fetched, so that one that comes twice all the
same (a source that says it twice, positions that Kafka forgot) has the same event id and counts once.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from agents.dead_letters import LARGEST_KEPT, NORMALIZER, Bytes, Letter
from agents.dead_letters import encode as encode_letter
from agents.source_reader import LARGEST_RECORD
from catalog.connectors.opening import open_connector
from catalog.connectors.pages import Page, encode
from catalog.content import SourceContent
from catalog.database import connect
from catalog.leases import FetchState, Lease, Leases
from catalog.mapping import Reason, getter
from catalog.schema import Connection
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from streams.batches import Aborted, Epoch, Partition, Sink
from streams.positions import GroupPositions
from streams.topics import ensure_raw_topic
from streams.transaction import Step, Transactor, no_step

log = logging.getLogger(__name__)

GROUP = "khaywe-poll"
#: Seconds in which Kafka must say how far a source is.
ASK_SECONDS = 30.0
#: Kafka's answers while a group's coordinator is being made or moves.
_MOVING = frozenset((
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError._WAIT_COORD,
    KafkaError._TIMED_OUT,
))  # fmt: skip
#: What the lease of a source is called.
PREFIX = "source:"


class NotPolled(KhayweError):
    """The source's records are sent to its topic; nothing is fetched."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What a run brought.  `refused`: records too large for a topic, which are dead letters."""

    source: str
    records: int
    pages: int
    refused: int


def poll_now(settings: Settings, source: SourceContent) -> Polled:
    """Fetch what is new, at once, and write it to the raw topic.

    Raises NotPolled, UnderWay, ConnectorError, KafkaException.
    """
    connection_of(source)
    engine = connect(settings.database_url())
    try:
        leases = Leases(engine, "who asked for it")
        return run(settings, leases, leases.take_now(PREFIX + source.name, source.name), source)
    finally:
        engine.dispose()


def poll_states(settings: Settings) -> list[FetchState]:
    """How the polled sources stand; `name` is `source:` and theirs."""
    engine = connect(settings.database_url())
    try:
        return Leases(engine, "").states(PREFIX)
    finally:
        engine.dispose()


def sample(settings: Settings, connection: Connection, most: int = 5) -> list[dict[str, Any]]:
    """The first records a polled source has now; nothing is written.  Raises NotPolled, ConnectorError."""
    if connection.poll is None:
        raise NotPolled("its records are sent to its topic: there is nothing to fetch")
    found: list[dict[str, Any]] = []
    for page in open_connector(connection.poll, settings, lambda seconds: None).pages(None):
        found += page.records
        if len(found) >= most:
            break
    return found[:most]


def connection_of(source: SourceContent) -> Connection:
    """Raises NotPolled."""
    connection = Connection.model_validate(source.connection_config)
    if connection.poll is None:
        raise NotPolled(
            f"{source.name} is not polled: its records are sent to topic {source.topic}",
            hint="connection_config.poll says how records are fetched",
        )
    return connection


def run(
    settings: Settings,
    leases: Leases,
    lease: Lease,
    source: SourceContent,
    stopping: threading.Event | None = None,
    on_step: Step = no_step,
) -> Polled:
    """Fetch and write all that is new, and let go of the lease.  Raises KhayweError, KafkaException."""
    stopping = stopping or threading.Event()
    error: str | None = "unexpected end"
    try:
        with leases.renewed(lease):
            done = _Run(settings, leases, lease, source, stopping, on_step).all()
        error = None if stopping.is_set() else ""
        return done
    except Aborted as aborted:
        error = f"Kafka: {aborted}"
        raise KhayweError(f"{source.name}: Kafka did not take a page: {aborted}") from None
    except KafkaException as failed:
        error = f"Kafka: {failed.args[0].str()}"
        raise
    except KhayweError as failed:
        error = str(failed)
        raise
    finally:
        leases.release(lease, error)


class _Run:
    """One run over a source's pages."""

    def __init__(
        self,
        settings: Settings,
        leases: Leases,
        lease: Lease,
        source: SourceContent,
        stopping: threading.Event,
        on_step: Step,
    ) -> None:
        connection = connection_of(source)
        assert connection.poll is not None
        self._leases, self._lease, self._source = leases, lease, source
        self._stopping, self._on_step = stopping, on_step
        self._settings = settings
        self._connector = open_connector(connection.poll, settings, stopping.wait)
        #: A cursor is one of this kind of connection, and means nothing to another.
        self._kind = f"{connection.poll.kind} {getattr(connection.poll, 'cursor_field', None) or ''}\n"
        self._transactor = Transactor(settings, GROUP, source.name, on_step)
        self._taken = False
        self._place = Partition(source.topic, 0)
        self._key = getter(source.event_mapping["customer_id_field"])

    def all(self) -> Polled:
        """Every page there is."""
        self._on_step("leased")
        try:
            if self._lease.prepared is not None:
                self._take_over()
            return self._pages()
        finally:
            self._transactor.close()

    def _pages(self) -> Polled:
        records = pages = refused = 0
        cursor = self._lease.cursor
        if cursor is not None:
            cursor = cursor.removeprefix(self._kind) if cursor.startswith(self._kind) else None
        for page in self._connector.pages(cursor):
            self._on_step("fetched")
            refused += self._write(page)
            self._on_step("kept")
            records, pages = records + len(page.records), pages + 1
            if self._stopping.is_set():
                break
        return Polled(self._source.name, records, pages, refused)

    def _take_over(self) -> None:
        """Fence an earlier holder, and find out whether the page it prepared is in Kafka."""
        self._taken = True
        ensure_raw_topic(self._settings, self._source.topic)
        self._transactor.open()
        lease, written = self._lease, self._written()
        if lease.prepared is not None and written == lease.page + 1:
            self._leases.keep(lease, lease.prepared, written, 0)
            return
        if written > lease.page:
            log.warning(
                "source %s: Kafka has page %d, PostgreSQL knows of %d (was it restored?):"
                " what follows its cursor is fetched again",
                self._source.name, written, lease.page,
            )  # fmt: skip
        self._leases.keep(lease, lease.cursor, max(written, lease.page), 0)

    def _written(self) -> int:
        """The number of the last page that Kafka has, 0 where it knows of none.  Raises KafkaException."""
        positions = GroupPositions(self._settings, GROUP, stable=True)
        end = time.monotonic() + ASK_SECONDS
        try:
            while True:
                try:
                    return positions.of([self._place]).get(self._place, 0)
                except KafkaException as error:
                    away = error.args[0].code() in _MOVING
                    if not away or time.monotonic() > end or self._stopping.wait(0.2):
                        raise
        finally:
            positions.close()

    def _write(self, page: Page) -> int:
        """Write a page, and count its cursor; the number of records that are too large."""
        lease, cursor = self._lease, self._kind + page.cursor
        if not page.records:
            self._leases.keep(lease, cursor, lease.page, 0)
            return 0
        if not self._taken:
            self._take_over()
        self._leases.prepare(lease, cursor)
        self._on_step("prepared")
        values = [encode(record) for record in page.records]
        keys = [self._key_of(record) for record in page.records]
        large = [number for number, value in enumerate(values) if len(value) > LARGEST_RECORD]
        number = lease.page + 1

        def fill(sink: Sink) -> None:
            for at, (value, key) in enumerate(zip(values, keys, strict=True)):
                if len(value) <= LARGEST_RECORD:
                    sink.send(self._source.topic, value, key)
                else:
                    entry = self._letter(f"poll-{number}/{at}", value, key)
                    sink.send(topics.DEAD_LETTERS, encode_letter(entry), self._source.topic.encode())

        self._transactor.run(Epoch(GROUP, -1, "", frozenset()), {self._place: number}, fill)
        self._leases.keep(lease, cursor, number, len(values))
        return len(large)

    def _key_of(self, record: dict[str, Any]) -> bytes | None:
        """Records of a customer keep their order."""
        value = self._key(record)
        return None if value is None or value == "" else str(value).encode()

    def _letter(self, place: str, value: bytes, key: bytes | None) -> Letter:
        assert len(value) > LARGEST_KEPT  # its hash is what is kept
        return Letter(
            id=f"{self._source.topic}/{place}",
            stage=NORMALIZER,
            source=self._source.name,
            reason=Reason.OVERSIZED,
            message=f"{len(value)} bytes, above {LARGEST_RECORD}",
            topic=self._source.topic,
            partition=0,
            offset=-1,
            timestamp=time.time_ns() // 1_000_000,
            key=Bytes.of(key),
            value=Bytes.of(value),
            headers=[],
        )
