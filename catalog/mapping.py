"""How a source's raw records become CustomerEvents: checked when it is saved, compiled to closures to run.

A record that does not fit is `Rejected` with a reason and the field; nothing here raises because of a record.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec

from catalog.content import SourceContent
from catalog.schema import EventMapping
from catalog.times import LATEST, iso, parser
from loyalty.content import Decisions
from loyalty.events import COUNTED, MONEY, SOURCE_TYPES, scale

#: An event may lie this long after its arrival (clocks differ); later ones are mistakes.
FUTURE_MS = 86_400_000
#: Bytes of ids: they stand in every key.
LONGEST_ID = 256
#: Beyond this a float64 no longer counts single units.
LARGEST_UNITS = 9e15


class Reason(StrEnum):
    """Why a record is a dead letter."""

    UNKNOWN_SOURCE = "unknown_source"
    UNDECODABLE = "undecodable"
    OVERSIZED = "oversized"
    MISSING_CUSTOMER_ID = "missing_customer_id"
    BAD_CUSTOMER_ID = "bad_customer_id"
    MISSING_EVENT_TYPE = "missing_event_type"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    RESERVED_EVENT_TYPE = "reserved_event_type"
    MISSING_VALUE = "missing_value"
    BAD_VALUE = "bad_value"
    MISSING_TIMESTAMP = "missing_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_EVENT = "future_event"
    BAD_EVENT_ID = "bad_event_id"


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """What a record becomes: `occurred_at` in ms since 1970 UTC, `value` in the type's canonical unit."""

    customer_id: str
    event_type: str
    value: float
    occurred_at: int
    event_id: str
    attributes: dict[str, Any] | None


class Rejected(msgspec.Struct, frozen=True):
    """Why it becomes nothing: the reason, the field as the mapping names it, and words."""

    reason: Reason
    field: str
    message: str


MapRecord = Callable[[dict[str, Any], int, bytes], Mapped | Rejected]
Get = Callable[[dict[str, Any]], Any]


def getter(path: str) -> Get:
    """Reads a dotted path from nested objects; None where a step is missing."""
    steps = path.split(".")
    if len(steps) == 1:
        return lambda record: record.get(path)

    def get(record: dict[str, Any]) -> Any:
        value: Any = record
        for step in steps:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        return value

    return get


def compile_mapping(source: SourceContent, decisions: Decisions) -> MapRecord:
    """The function `(record, Kafka timestamp in ms, its bytes) -> Mapped | Rejected` of a source."""
    mapping = EventMapping.model_validate(source.event_mapping)
    customer_of = _customer(mapping)
    type_of = _event_type(mapping)
    value_of = _value(mapping, decisions)
    time_of = _time(mapping)
    id_of = _event_id(mapping, source.name)
    attributes_of = _attributes(mapping)

    def map_record(record: dict[str, Any], timestamp: int, content: bytes) -> Mapped | Rejected:
        customer = customer_of(record)
        if type(customer) is Rejected:
            return customer
        event_type = type_of(record)
        if type(event_type) is Rejected:
            return event_type
        value = value_of(record, event_type)
        if type(value) is Rejected:
            return value
        occurred_at = time_of(record, timestamp)
        if type(occurred_at) is Rejected:
            return occurred_at
        event_id = id_of(record, content)
        if type(event_id) is Rejected:
            return event_id
        return Mapped(customer, event_type, value, occurred_at, event_id, attributes_of(record))

    return map_record


def _scalar_id(value: Any) -> str | None:
    """An id as text: strings as they are, whole numbers in decimal; None for anything else."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return None


def _customer(mapping: EventMapping) -> Callable[[dict[str, Any]], Any]:
    field, get, form = mapping.customer_id_field, getter(mapping.customer_id_field), mapping.id_format
    removed = str.maketrans("", "", form.remove) if form is not None else None
    prefixes = [(p.old, p.new) for p in form.prefixes] if form is not None else []

    def customer(record: dict[str, Any]) -> str | Rejected:
        value = get(record)
        if type(value) is not str:
            if value is None:
                return Rejected(Reason.MISSING_CUSTOMER_ID, field, f"{field}: no customer id")
            value = _scalar_id(value)
            if value is None:
                return Rejected(
                    Reason.BAD_CUSTOMER_ID, field, f"{field}: a customer id is text or a whole number"
                )
        if removed is not None:
            value = value.translate(removed)
            for old, new in prefixes:
                if value.startswith(old):
                    value = new + value[len(old) :]
                    break
        if not value or value.isspace():
            return Rejected(Reason.MISSING_CUSTOMER_ID, field, f"{field}: the customer id is empty")
        if len(value) > 64 and len(value.encode()) > LONGEST_ID:
            return Rejected(
                Reason.BAD_CUSTOMER_ID, field, f"{field}: a customer id has at most {LONGEST_ID} bytes"
            )
        if not value.isprintable():
            return Rejected(
                Reason.BAD_CUSTOMER_ID, field, f"{field}: a customer id has no control characters"
            )
        return value

    return customer


def _event_type(mapping: EventMapping) -> Callable[[dict[str, Any]], Any]:
    constant = mapping.event_type
    if constant is not None:
        return lambda record: constant
    field = mapping.event_type_field or ""
    get, known = getter(field), mapping.event_types or {name: name for name in SOURCE_TYPES}

    def event_type(record: dict[str, Any]) -> str | Rejected:
        code = get(record)
        if code is None or code == "":
            return Rejected(Reason.MISSING_EVENT_TYPE, field, f"{field}: no event type")
        name = known.get(code if type(code) is str else str(_scalar_id(code)))
        if name is None:
            if type(code) is str and code.startswith("_"):
                return Rejected(Reason.RESERVED_EVENT_TYPE, field, f"{field}: {code[:80]!r} is reserved")
            return Rejected(
                Reason.UNKNOWN_EVENT_TYPE, field, f"{field}: the mapping knows no type {str(code)[:80]!r}"
            )
        return name

    return event_type


def _value(mapping: EventMapping, decisions: Decisions) -> Callable[[dict[str, Any], str], Any]:
    field = mapping.value_field
    get: Get = getter(field) if field else lambda record: None
    factor = mapping.value_scale
    limits = {name: LARGEST_UNITS / scale(name, decisions.currency_decimals) for name in SOURCE_TYPES}
    shown = field or "value_field"

    def bad(why: str) -> Rejected:
        return Rejected(Reason.BAD_VALUE, shown, f"{shown}: {why}")

    def value(record: dict[str, Any], event_type: str) -> float | Rejected:
        found = get(record)
        kind = type(found)
        if kind is not float and kind is not int:
            if kind is str:
                text = found.strip()
                if text:
                    try:
                        found = float(text) if "_" not in text else None
                    except ValueError:
                        found = None
                    if found is None:
                        return bad(f"{text[:80]!r} is no number")
                    if found.is_integer() and abs(found) < 2**53:
                        found = int(found)
                else:
                    found = None
            elif found is not None:
                return bad("it is no number")
            if found is None:
                if event_type in COUNTED:
                    return 1
                return Rejected(Reason.MISSING_VALUE, shown, f"{shown}: {event_type} needs a value")
        if factor != 1:
            try:
                found = found * factor
            except OverflowError:
                return bad("the number is too large")
        if not -limits[event_type] <= found <= limits[event_type]:
            return bad("the number is too large or none" if found == found else "it is no number (NaN)")
        if found < 0 and event_type not in MONEY:
            return bad(f"{event_type} cannot have a value below 0")
        return found

    return value


def _time(mapping: EventMapping) -> Callable[[dict[str, Any], int], Any]:
    field = mapping.timestamp_field
    get, parse = getter(field), parser(mapping.timestamp_format, mapping.timezone)

    def time(record: dict[str, Any], timestamp: int) -> int | Rejected:
        found = get(record)
        if found is None or found == "":
            return Rejected(Reason.MISSING_TIMESTAMP, field, f"{field}: no time")
        try:
            ms = parse(found)
        except (ValueError, TypeError, OverflowError):
            return Rejected(
                Reason.BAD_TIMESTAMP,
                field,
                f"{field}: {str(found)[:80]!r} is no time ({mapping.timestamp_format})",
            )
        if not 0 <= ms < LATEST:
            return Rejected(
                Reason.BAD_TIMESTAMP, field, f"{field}: {str(found)[:80]!r} is not between 1970 and 2100"
            )
        if ms - timestamp > FUTURE_MS:
            return Rejected(
                Reason.FUTURE_EVENT,
                field,
                f"{field}: {iso(ms)} is more than a day after its arrival at {iso(timestamp)}",
            )
        return ms

    return time


def _event_id(mapping: EventMapping, name: str) -> Callable[[dict[str, Any], bytes], Any]:
    field = mapping.event_id_field
    salt = name.encode() + b"\0"

    def hashed(content: bytes) -> str:
        return blake2b(salt + content, digest_size=16).hexdigest()

    if field is None:
        return lambda record, content: hashed(content)
    get = getter(field)

    def event_id(record: dict[str, Any], content: bytes) -> str | Rejected:
        value = get(record)
        if type(value) is str and 0 < len(value) <= LONGEST_ID:
            return value
        if value is None or value == "":
            return hashed(content)
        text = _scalar_id(value)
        if text is None or len(text) > LONGEST_ID:
            return Rejected(
                Reason.BAD_EVENT_ID,
                field,
                f"{field}: an event id is text of at most {LONGEST_ID} characters or a number",
            )
        return text

    return event_id


def _attributes(mapping: EventMapping) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    named = [(name, getter(path)) for name, path in mapping.attributes.items()]
    whole = getter(mapping.attributes_field) if mapping.attributes_field else None
    if not named and whole is None:
        return lambda record: None

    def attributes(record: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        if whole is not None:
            nested = whole(record)
            if isinstance(nested, dict):
                # What begins with _ is khaywe's own and cannot come from outside.
                found = {str(k): _flat(v) for k, v in nested.items() if not str(k).startswith("_")}
        for name, get in named:
            value = get(record)
            if value is not None:
                found[name] = _flat(value)
        return found or None

    return attributes


def _flat(value: Any) -> Any:
    """Scalars as they are; anything nested as its JSON."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return msgspec.json.encode(value, enc_hook=str).decode()


class _Wire(msgspec.Struct, omit_defaults=True):
    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str
    attributes: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode


def encode_event(event: Mapped, source: str, received_at: int, backfill: bool = False) -> bytes:
    """The CustomerEvent's JSON.  `received_at`: the raw record's Kafka timestamp, milliseconds."""
    attributes = event.attributes
    if backfill:
        attributes = {**(attributes or {}), "_backfill": True}
    return _encode(
        _Wire(
            event.event_id, event.customer_id, event.event_type, source, event.value,
            iso(event.occurred_at), iso(received_at), attributes,
        )
    )  # fmt: skip
