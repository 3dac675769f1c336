"""Records tried on a data source, saved or not: what each becomes, and how, as the normaliser would do it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec

from agents.raw import RegistryAway, Undecodable
from agents.source_reader import decoder
from catalog.content import SourceContent
from catalog.mapping import Reason, Rejected, Step, compile_mapping, encode_event, explain
from catalog.schema import Connection
from cli.ingest import encoder, rows_of
from cli.records import open_records
from config.errors import KhayweError
from loyalty.content import Decisions

#: What the count of records that became events is called.
FITS = "fits"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record: the event, or why there is none; no steps where its bytes cannot be read."""

    number: int
    steps: list[Step]
    event: dict[str, Any] | None
    rejected: Rejected | None


class Trial:
    """A data source on which records are tried; they arrive now."""

    def __init__(self, source: SourceContent, decisions: Decisions) -> None:
        self.source = source
        self._decisions = decisions
        self._decode = decoder(Connection.model_validate(source.connection_config))
        self._map = compile_mapping(source, decisions)

    def text(self, record: str) -> Outcome:
        """Try a record as it stands in the raw topic.  Raises KhayweError."""
        if self.source.connection_config.get("format") == "avro":
            raise KhayweError(
                "a record in Avro is no text", hint="give its fields in a file of JSON lines: --file FILE"
            )
        return self._try(1, record.encode())

    def file(self, path: str) -> tuple[list[Outcome], Counter[str]]:
        """Try every record of a file, as `khaywe ingest` would send it.

        Gives the first outcome of each kind, and how often each kind came.  Raises KhayweError, OSError.
        """
        records = open_records(path)
        try:
            encode = encoder(self.source, records.kind)
            firsts: dict[str, Outcome] = {}
            counts: Counter[str] = Counter()
            for row in rows_of(self.source, records):
                outcome = self._try(row.number, encode(row))
                kind = FITS if outcome.rejected is None else str(outcome.rejected.reason)
                firsts.setdefault(kind, outcome)
                counts[kind] += 1
        finally:
            records.close()
        return list(firsts.values()), counts

    def _try(self, number: int, content: bytes) -> Outcome:
        now = time.time_ns() // 1_000_000
        try:
            record = self._decode(content)
            steps = explain(self.source, self._decisions, record, now, content)
            mapped = self._map(record, now, content)
            if isinstance(mapped, Rejected):
                return Outcome(number, steps, None, mapped)
            event = msgspec.json.decode(encode_event(mapped, self.source.name, now))
        except (Undecodable, ValueError, RecursionError) as error:
            return Outcome(number, [], None, Rejected(Reason.UNDECODABLE, "", str(error)))
        except RegistryAway as error:
            raise KhayweError(str(error)) from None
        return Outcome(number, steps, event, None)
