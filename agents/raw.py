"""Bytes of a raw record to its fields: JSON objects, CSV lines, Avro.

A decoder is a closure over what the source's connection says.  It raises `Undecodable` with words for whoever
sent the record; a schema registry that is away is no fault of the record and raises `RegistryAway`.
"""

from __future__ import annotations

import csv
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import fastavro
import msgspec

Fields = dict[str, Any]
Decode = Callable[[bytes], Fields]

#: Seconds a schema registry may take to answer.
REGISTRY_SECONDS = 3.0
#: Seconds for which a schema id that the registry does not know is not asked for again.
UNKNOWN_SECONDS = 10.0

json_object: Decode = msgspec.json.Decoder(dict[str, Any]).decode


class Undecodable(Exception):
    """The bytes are not what the source says they are."""


class RegistryAway(Exception):
    """The schema registry does not answer; the record may be good."""


def csv_line(columns: Sequence[str], delimiter: str) -> Decode:
    """Decoder of one CSV line, as Python's csv module reads it; empty fields are empty strings."""
    names = tuple(columns)
    width = len(names)

    def decode(value: bytes) -> Fields:
        line = value.decode().rstrip("\r\n")
        if '"' in line:
            fields = _quoted(line, delimiter)
        else:
            fields = line.split(delimiter)
        if len(fields) != width:
            raise Undecodable(f"{len(fields)} fields, where the source names {width} columns")
        return dict(zip(names, fields, strict=False))

    return decode


def _quoted(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Undecodable(f"no CSV line: {error}") from None
    if len(rows) != 1:
        raise Undecodable(f"{len(rows)} CSV lines in one record")
    return rows[0]


def avro_plain(schema: Any) -> Decode:
    """Decoder of Avro records without framing, written with `schema` (as JSON gives it)."""
    parsed = fastavro.parse_schema(schema)

    def decode(value: bytes) -> Fields:
        return _avro(value, 0, parsed)

    return decode


def avro_framed(registry: str) -> Decode:
    """Decoder of Avro records in Confluent's framing: 0, the schema's id in 4 bytes, the record."""
    schemas: dict[int, Any] = {}
    unknown: dict[int, float] = {}

    def decode(value: bytes) -> Fields:
        if len(value) < 5 or value[0] != 0:
            raise Undecodable("no schema registry framing: it begins with byte 0 and a schema id of 4 bytes")
        number = int.from_bytes(value[1:5], "big")
        schema = schemas.get(number)
        if schema is None:
            if time.monotonic() < unknown.get(number, 0.0):
                raise Undecodable(f"schema {number} is not in the registry {registry}")
            try:
                schema = schemas[number] = _fetch(registry, number)
            except Undecodable:
                unknown[number] = time.monotonic() + UNKNOWN_SECONDS
                raise
        return _avro(value, 5, schema)

    return decode


def _avro(value: bytes, start: int, schema: Any) -> Fields:
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        fields = fastavro.schemaless_reader(stream, schema, None)
    except Exception as error:  # fastavro raises whatever its parts raise
        raise Undecodable(f"no Avro record of this schema: {type(error).__name__} {error}") from None
    left = len(value) - stream.tell()
    if left:
        raise Undecodable(f"{left} bytes follow the Avro record: another schema wrote it")
    if not isinstance(fields, dict):
        raise Undecodable(f"the Avro schema gives {type(fields).__name__}, not a record")
    return {name: _number(value) for name, value in fields.items()}


def _number(value: Any) -> Any:
    """Avro's decimals as floats, wherever they stand: a mapping knows numbers, not their types."""
    kind = type(value)
    if kind is Decimal:
        return float(value)
    if kind is dict:
        return {name: _number(part) for name, part in value.items()}
    if kind is list:
        return [_number(part) for part in value]
    return value


def _fetch(registry: str, number: int) -> Any:
    url = f"{registry.rstrip('/')}/schemas/ids/{number}"
    try:
        with urllib.request.urlopen(url, timeout=REGISTRY_SECONDS) as answer:
            body = json.load(answer)
        text, kind = body["schema"], body.get("schemaType", "AVRO")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise Undecodable(f"schema {number} is not in the registry {registry}") from None
        raise RegistryAway(f"schema registry {registry}: {error}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RegistryAway(f"schema registry {registry}: {error}") from None
    try:
        if kind != "AVRO":
            raise ValueError(f"it is {kind}, not Avro")
        return fastavro.parse_schema(json.loads(text))
    except Exception as error:  # fastavro has no base of its errors
        raise Undecodable(f"schema {number} of the registry {registry} cannot be used: {error}") from None
