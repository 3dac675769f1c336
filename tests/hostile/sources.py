"""Data sources of every kind and good records of each: what hostile ones are made of."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, Literal

import fastavro
import msgspec

from catalog.content import SourceContent
from cli.demo_input import DATA, SOURCES, file_records, generated, profile, subscribers
from loyalty.events import SOURCE_TYPES

_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Cdr",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "msisdn", "type": ["null", "string"]},
        {"name": "kind", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "more", "type": {"type": "map", "values": ["null", "string", "long"]}},
        {"name": "parts", "type": {"type": "array", "items": "bytes"}},
    ],
}
_ANY = {"customer_id_field": "msisdn", "event_type_field": "kind", "value_field": "amount"}
_FULL = _ANY | {
    "timestamp_field": "at.when",
    "timezone": "Europe/Paris",
    "event_id_field": "id",
    "id_format": {"remove": " -()", "prefixes": {"00": "+"}},
    "attributes": {"to": "more.to", "on_time": "more.on_time", "segment": "more.segment"},
    "attributes_field": "more",
}
#: Of one kind each, often enough that customers live and play.
_TYPES = tuple(sorted(SOURCE_TYPES))


@dataclass(frozen=True, slots=True)
class Feed:
    """A data source, the form of its bytes, and good records of it."""

    source: SourceContent
    form: Literal["json", "csv", "avro"]
    good: tuple[bytes, ...]


@cache
def feeds() -> tuple[Feed, ...]:
    """The demo's sources on its real records, and one for each way a record can be written."""
    found = []
    for said in SOURCES:
        name = said["name"]
        source = SourceContent(
            name, said["source_type"], said["event_mapping"], {"kafka_topic": f"raw-{name}"}, True
        )
        if name == "cdr-app":
            good = [msgspec.json.encode(record) for record in islice(generated(), 400)]
        elif name in ("recharges", "mobiledata"):
            good = [record.value for record in islice(file_records(name), 400)]
        elif name == "crm":
            good = [profile(who.encode(), "2020-01-01T00:00:00").value for who in subscribers()[:400]]
        else:
            continue  # the gateway says what the demo's campaign has made it say
        found.append(Feed(source, "json", tuple(good)))
    return (*found, *_written())


def _source(name: str, mapping: dict[str, Any], **connection: Any) -> SourceContent:
    return SourceContent(name, "custom", mapping, {"kafka_topic": f"raw-{name}", **connection}, True)


def _written() -> list[Feed]:
    lines = (DATA / "recharges.csv").read_text().splitlines()[1:401]
    plain = {"customer_id_field": "caller_id", "event_type": "recharge", "value_field": "amount"}
    text = _source(
        "csv", plain | {"timestamp_field": "timestamp"},
        format="csv", columns=["caller_id", "amount", "timestamp"],
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO("caller_id,amount,timestamp\n" + "\n".join(lines))))
    pattern = _source(
        "pattern", plain | {"timestamp_field": "timestamp", "timestamp_format": "%Y-%m-%d %H:%M:%S"}
    )
    seconds = _source(
        "seconds", _ANY | {"timestamp_field": "at", "timestamp_format": "epoch_s", "value_scale": 1e3}
    )
    full = [_record(n) for n in range(400)]
    avro = _source(
        "avro", _ANY | {"timestamp_field": "at", "event_id_field": "id", "attributes_field": "more"},
        format="avro", avro_schema=_SCHEMA,
    )  # fmt: skip
    return [
        Feed(text, "csv", tuple(line.encode() for line in lines)),
        Feed(pattern, "json", tuple(msgspec.json.encode(row) for row in rows)),
        Feed(_source("full", _FULL), "json", tuple(msgspec.json.encode(each) for each in full)),
        Feed(
            seconds, "json",
            tuple(msgspec.json.encode(each | {"at": 1_577_836_800 + 40 * n}) for n, each in enumerate(full)),
        ),
        Feed(avro, "avro", tuple(_avro(each, n) for n, each in enumerate(full))),
    ]  # fmt: skip


def _record(n: int) -> dict[str, Any]:
    minute = f"2020-01-01T{n // 30 % 24:02d}:{n % 60:02d}"
    return {
        "id": f"e{n}",
        "msisdn": f"00{17 + n % 9}",
        "kind": _TYPES[n % len(_TYPES)] if n % 3 else ("voice_call", "recharge", "app_login")[n // 3 % 3],
        "amount": n % 50 + n % 4 / 4,
        "at": {"when": f"{minute}:{n % 60:02d}.{n % 1000:03d}"},
        "more": {"to": f"00{17 + n % 11}", "on_time": n % 2 == 0, "segment": "gold", "feature": f"f{n % 5}"},
    }


def _avro(record: dict[str, Any], n: int) -> bytes:
    stream = io.BytesIO()
    at = datetime(2020, 1, 1, n // 60 % 24, n % 60, tzinfo=UTC)
    more = {name: str(value) for name, value in record["more"].items()}
    fields = record | {"at": at, "more": more, "parts": [b"a", b"\xff" * (n % 7)]}
    fastavro.schemaless_writer(stream, _PARSED, fields)
    return stream.getvalue()


_PARSED = fastavro.parse_schema(_SCHEMA)
