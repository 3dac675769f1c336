"""One data source at work: raw records to events or dead letters, by its format and its mapping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import raw
from agents.commands import Refused
from agents.dead_letters import NORMALIZER, Letter, letter
from agents.raw import RegistryAway, Undecodable
from catalog.content import SourceContent
from catalog.mapping import Reason, Rejected, compile_mapping, encode_event
from catalog.plain_mapping import PlainMapping
from catalog.schema import Connection
from catalog.times import LATEST
from loyalty.content import Decisions
from loyalty.spans import Spans
from streams.records import Record, Records

log = logging.getLogger(__name__)

#: Header that marks a raw record as history (`khaywe ingest --backfill`).
BACKFILL = "khaywe-backfill"
#: Bytes of a raw record, as brokers allow by default.
LARGEST_RECORD = 1 << 20
#: Bytes of an event: what the fold may still add to one that it passes on fits into a record.
LARGEST_EVENT = 900 << 10

#: An event for customer-events: key and value.
Event = tuple[bytes, bytes]


class Events(NamedTuple):
    """Many of them, in columns."""

    keys: Spans
    values: Spans


class Reader:
    """A source's decoder and mapping, compiled.  Raises ValueError where they cannot be."""

    def __init__(self, source: SourceContent, decisions: Decisions) -> None:
        self.source = source
        self.decisions = decisions
        self._one = _compile(source, decisions)
        try:
            self._many: PlainMapping | None = PlainMapping(source, decisions)
        except ValueError as why:
            log.info("source %s is mapped record by record: %s", source.name, why)
            self._many = None

    def read(self, records: Records, events: list[Event | Events], letters: list[Letter]) -> None:
        """Append what each record becomes.  Raises RegistryAway; nothing is to be kept then."""
        left: Sequence[int] = range(len(records))
        mapped = None
        if self._many is not None:
            mapped = self._many.map(records.values, _plain(records))
            left = mapped.left
        for before, n in pairwise((-1, *left, len(records))):
            if mapped is not None and before + 1 < n:
                events.append(Events(mapped.keys[before + 1 : n], mapped.values[before + 1 : n]))
            if n < len(records):
                record = records[n]
                event = self._single(record)
                if isinstance(event, Rejected):
                    found = letter(record, NORMALIZER, self.source.name, event.reason, event.message)
                    letters.append(found)
                else:
                    events.append(event)

    def _single(self, record: Record) -> Event | Rejected:
        try:
            headers = record.headers()
        except UnicodeDecodeError:
            return Rejected(Reason.UNDECODABLE, "", "a header's name is no UTF-8")
        backfill = headers is not None and any(name == BACKFILL for name, _ in headers)
        return self._one(record.value(), record.timestamp()[1], backfill)

    def again(self, entry: Letter) -> Event:
        """What a dead letter becomes now.

        Raises Refused where its bytes are not kept or do not fit, RegistryAway.
        """
        kept = entry.value
        if kept is not None and kept.base64 is None:
            raise Refused("bytes_not_kept", f"it had {kept.size} bytes, of which only the hash was kept")
        backfill = any(name == BACKFILL for name, _ in entry.headers)
        event = self._one(kept.base64 if kept is not None else None, entry.timestamp, backfill)
        if isinstance(event, Rejected):
            raise Refused(event.reason, event.message)
        return event


def _compile(
    source: SourceContent, decisions: Decisions
) -> Callable[[bytes | None, int, bool], Event | Rejected]:
    """The function of a record's bytes, its Kafka timestamp (ms) and whether it is history."""
    name = source.name
    decode = decoder(Connection.model_validate(source.connection_config))
    map_record = compile_mapping(source, decisions)

    def one(content: bytes | None, timestamp: int, backfill: bool) -> Event | Rejected:
        if content is None:
            return Rejected(Reason.UNDECODABLE, "", "a null record (tombstone) is no event")
        if len(content) > LARGEST_RECORD:
            return Rejected(Reason.OVERSIZED, "", f"{len(content)} bytes, above {LARGEST_RECORD}")
        if not 0 <= timestamp < LATEST:
            return Rejected(Reason.BAD_TIMESTAMP, "", f"the record's Kafka timestamp {timestamp} is no time")
        try:
            mapped = map_record(decode(content), timestamp, content)
            if isinstance(mapped, Rejected):
                return mapped
            value = encode_event(mapped, name, timestamp, backfill)
        except (Undecodable, ValueError, RecursionError) as error:
            return Rejected(Reason.UNDECODABLE, "", str(error))
        except RegistryAway:
            raise
        except Exception as error:  # no record may stop a worker, whatever was not thought of
            log.exception("source %s: a record could not be mapped", name)
            return Rejected(Reason.UNDECODABLE, "", f"unexpected {type(error).__name__}: {error}")
        if len(value) > LARGEST_EVENT:
            return Rejected(Reason.OVERSIZED, "", f"the event has {len(value)} bytes, above {LARGEST_EVENT}")
        return mapped.customer_id.encode(), value

    return one


def _plain(records: Records) -> NDArray[np.int64]:
    """Kafka timestamps; -1 where there is more to be looked at than bytes of JSON."""
    values = records.values
    more = values.missing | (np.diff(values.ends, prepend=0) > LARGEST_RECORD)
    more[list(records.headers)] = True
    return np.where(more, -1, records.timestamps)


def decoder(connection: Connection) -> raw.Decode:
    """How the records of a source become fields."""
    if connection.columns is not None:
        return raw.csv_line(connection.columns, connection.delimiter)
    if connection.avro_schema is not None:
        return raw.avro_plain(connection.avro_schema)
    if connection.schema_registry is not None:
        return raw.avro_framed(connection.schema_registry)
    return raw.json_object
