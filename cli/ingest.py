"""`khaywe ingest`: sends a file to a data source's raw topic.

Records are keyed by the customer's id as the file has it, so that those of one customer keep their order.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import click
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from agents.tail import KafkaAway
from catalog.content import SourceContent
from catalog.mapping import getter
from catalog.records import STDIN, Records, Row, as_avro, as_csv, as_json, open_records
from catalog.schema import Connection
from catalog.service import CatalogService
from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings
from streams.topics import ensure_raw_topic, find

#: Header of records that are history: they move counters and profile, and cause nothing.
BACKFILL = ("khaywe-backfill", b"1")
#: Seconds until a record that Kafka does not take is an error; a broker's restart is shorter.
DELIVERY_SECONDS = 60.0
ASK_SECONDS = 10.0
#: Seconds between two updates of the progress line: on a terminal, and where each is a line of a log.
REDRAW_SECONDS, LOG_SECONDS = 0.2, 10.0


class NotSent(KhayweError):
    """Kafka did not take a record."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent, in records and bytes of their values."""

    source: str
    topic: str
    records: int
    bytes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0


class Sender:
    """Sends records to one raw topic: idempotent, batched; what could not be delivered is an error."""

    def __init__(self, config: Settings, topic: str, backfill: bool = False) -> None:
        """Raises KafkaAway, NotSent where there is no such topic."""
        try:
            found = find(config, [topic]).get(topic)
        except KafkaException as error:
            raise KafkaAway(config, error.args[0].str()) from None
        if found is None:
            raise NotSent(
                f"there is no topic {topic}",
                hint="check the source's kafka_topic: `khaywe source show`",
            )
        self._topic = topic
        self._headers: list[tuple[str, str | bytes | None]] | None = [BACKFILL] if backfill else None
        self._failed: tuple[KafkaError, int] | None = None
        self._producer = Producer(
            config.producer_config(**{
                "linger.ms": 20,
                # The topic's limit is one of batches: a record that breaks it must break it alone.
                "batch.size": min(1_000_000, int(found.config["max.message.bytes"])),
                "message.max.bytes": 4 << 20,  # the topic decides
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 128 << 10,
                "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "delivery.report.only.error": True,
                "log_level": 2,  # what goes wrong is said below, in words
            })
        )  # fmt: skip
        self.records = 0
        self.bytes = 0

    def send(self, value: bytes, key: bytes | None = None) -> None:
        """Queue a record; waits where the queue is full.  Raises NotSent for an earlier one."""
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, on_delivery=self._delivered, headers=self._headers
                )
                break
            except BufferError:
                self.serve(0.1)
            except KafkaException as error:
                raise self._not_sent(error.args[0], len(value)) from None
        self.records += 1
        self.bytes += len(value)
        if not self.records & 0x3FF:
            self.serve(0)

    def serve(self, seconds: float) -> None:
        """Take Kafka's answers for up to so many seconds.  Raises NotSent."""
        self._producer.poll(seconds)
        if self._failed is not None:
            raise self._not_sent(*self._failed)

    def flush(self) -> None:
        """Wait until everything is delivered.  Raises NotSent."""
        left = self._producer.flush(DELIVERY_SECONDS + 5)
        if self._failed is not None:
            raise self._not_sent(*self._failed)
        if left:
            raise NotSent(f"{left} records to {self._topic} are not delivered")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = (error, len(message))

    def _not_sent(self, error: KafkaError, size: int) -> NotSent:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return NotSent(
                f"a record of {size:,} bytes is larger than topic {self._topic} takes",
                hint="leave it out, or raise the topic's max.message.bytes",
            )
        return NotSent(
            f"topic {self._topic} did not take a record: {error.str()}",
            hint="`khaywe status` says whether Kafka answers; ids make it harmless to send the file again",
        )


def encoder(source: SourceContent, kind: str) -> Callable[[Row], bytes]:
    """What turns rows of a file of that kind into the bytes the source takes.  Raises KhayweError."""
    connection = Connection.model_validate(source.connection_config)
    if connection.format == "avro":
        if connection.avro_schema is not None:
            return as_avro(connection.avro_schema)
        assert connection.schema_registry is not None
        number, schema = _registered(connection.schema_registry, f"{source.topic}-value")
        return as_avro(schema, b"\0" + number.to_bytes(4, "big"))
    if connection.format == "csv":
        if kind == "csv":
            return _line
        assert connection.columns is not None
        return as_csv(connection.columns, connection.delimiter)
    return _line if kind == "json" else as_json


def _line(row: Row) -> bytes:
    assert row.line is not None
    return row.line


def _registered(registry: str, subject: str) -> tuple[int, dict[str, Any]]:
    """Id and schema that the registry has for the topic."""
    url = f"{registry.rstrip('/')}/subjects/{subject}/versions/latest"
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            body = json.load(answer)
        return int(body["id"]), json.loads(body["schema"])
    except urllib.error.HTTPError as error:
        raise KhayweError(
            f"the schema registry {registry} has no schema of {subject}: {error}",
            hint="register the schema there first",
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise KhayweError(f"the schema registry {registry} does not answer as one: {error}") from None


def rows_of(source: SourceContent, records: Records) -> Iterator[Row]:
    """The file's rows, as a source of CSV lines names its columns."""
    connection = Connection.model_validate(source.connection_config)
    return records.rows(connection.columns, connection.delimiter)


def key_reader(path: str) -> Callable[[Row], bytes | None]:
    """Reads the record's key from the field at a dotted path; no such field: no key."""
    get = getter(path)

    def key(row: Row) -> bytes | None:
        value = get(row.fields)
        return None if value is None or value == "" else str(value).encode()

    return key


class Pace:
    """Lets `rate` records a second through, by the clock and not by pauses between them."""

    def __init__(self, rate: float, wait: Callable[[float], None]) -> None:
        self._rate = rate
        self._wait = wait
        self._started = time.monotonic()
        self._passed = 0
        self._step = max(1, int(rate / 100))

    def next(self) -> None:
        """Wait until the next record is due; at high rates a hundredth of a second's records go at once."""
        self._passed += 1
        if self._passed % self._step == 0:
            while (early := self._started + self._passed / self._rate - time.monotonic()) > 0:
                self._wait(early)


class Line:
    """The progress line: records, their rate, and the share of the file."""

    def __init__(self, update: Callable[[str, float | None], None]) -> None:
        self._update = update
        self._every = REDRAW_SECONDS if sys.stderr.isatty() else LOG_SECONDS
        self._last = self._started = time.monotonic()

    def show(self, records: int, share: float | None) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            self._update(f"{records:,} records, {records / (now - self._started):,.0f} a second", share)


class _Interrupt:
    """Ctrl-C ends the sending, not the command: what was sent is said all the same."""

    def __init__(self) -> None:
        self.happened = False

    def __enter__(self) -> _Interrupt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.happened = kind is KeyboardInterrupt
        return self.happened


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--source", "name", required=True, metavar="NAME", help="The data source.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Records a second.")
@click.option("--loop", is_flag=True, help="Send the file again and again, until Ctrl-C.")
@click.option("--backfill", is_flag=True, help="It is history: it moves counters and profile, no more.")
@click.option("--key", "key_field", metavar="FIELD", help="Field of the key, if not the customer's id.")
@click.option("--json", "plain", is_flag=True, help="For a program to read.")
def ingest(
    file: str,
    name: str,
    rate: float | None,
    loop: bool,
    backfill: bool,
    key_field: str | None,
    plain: bool,
) -> None:
    """Send FILE to a data source: CSV with a header line, JSON lines or Parquet, by its suffix.

    `-` reads CSV or JSON lines from standard input.  Records go to the source's raw topic as they are; the
    normaliser says which it cannot use (`khaywe dead-letters list`).
    """
    if loop and file == STDIN:
        raise click.UsageError("standard input cannot be sent twice: --loop needs a file")
    config = settings()
    service = CatalogService(config.database_url(), config)
    try:
        source = service.source(name)
    finally:
        service.close()
    sent, interrupted = send_file(config, source, file, rate, loop, backfill, key_field)
    if plain:
        ui.show_json({**asdict(sent), "seconds": round(sent.seconds, 3), "rate": round(sent.rate, 1)})
    else:
        mark = ", marked as history" if backfill else ""
        click.echo(
            f"{sent.records:,} records ({sent.bytes:,} bytes) sent to {sent.topic} in {sent.seconds:.1f} s,"
            f" {sent.rate:,.0f} a second{mark}"
        )
        if not source.is_active:
            click.echo(f"Data source {name} is switched off: `khaywe source enable {name}` has them read.")
    if interrupted and not loop:
        raise click.Abort


def send_file(
    config: Settings,
    source: SourceContent,
    file: str,
    rate: float | None = None,
    loop: bool = False,
    backfill: bool = False,
    key_field: str | None = None,
) -> tuple[Sent, bool]:
    """Send a file, once or until Ctrl-C; True: it was interrupted.  Raises KhayweError, OSError."""
    ensure_raw_topic(config, source.topic)
    sender = Sender(config, source.topic, backfill)
    key = key_reader(key_field or source.event_mapping["customer_id_field"])
    pace = Pace(rate, sender.serve) if rate else None
    started = time.monotonic()
    with ui.progress_line() as update, _Interrupt() as interrupt:
        line = Line(update)
        try:
            again = True
            while again:
                records = open_records(file)
                encode = encoder(source, records.kind)
                before = sender.records
                for row in rows_of(source, records):
                    sender.send(encode(row), key(row))
                    if pace is not None:
                        pace.next()
                    if pace is not None or not row.number & 0x3FF:
                        line.show(sender.records, records.read() / records.size if records.size else None)
                records.close()
                again = loop and sender.records > before
        finally:
            # What was read is sent, also before an error of the file is shown.
            sender.flush()
    seconds = time.monotonic() - started
    return Sent(source.name, source.topic, sender.records, sender.bytes, seconds), interrupt.happened
