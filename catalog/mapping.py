"""How a source's raw records become CustomerEvents: checked when it is saved, compiled to closures to run.

A record that does not fit is `Rejected` with a reason and the field; nothing here raises because of a record.
`explain` says the same step by step, from the same closures.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from hashlib import blake2b
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from catalog.content import SourceContent
from catalog.schema import EventMapping
from catalog.times import EARLIEST, LATEST, iso, parser
from loyalty.content import Decisions
from loyalty.events import COUNTED, MONEY, SOURCE_TYPES, scale

#: An event may lie this long after its arrival (clocks differ); later ones are mistakes.
FUTURE_MS = 86_400_000
#: Bytes of ids: they stand in every key.
LONGEST_ID = 256
#: In the smallest unit; the fold would cut off what lies beyond (docs/semantics.md).
LARGEST_UNITS = 1e15


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


class Step(msgspec.Struct, frozen=True):
    """How one member of the event came about: the field read (None: none), what stood there (None: nothing)
    and what became of it (a Rejected; None where it hangs on a member that was rejected).
    """

    member: str
    field: str | None
    found: Any
    result: Any


MapRecord = Callable[[dict[str, Any], int, bytes], Mapped | Rejected]
Get = Callable[[dict[str, Any]], Any]


def getter(path: str, missing: Any = None) -> Get:
    """Reads a dotted path from nested objects; `missing` where a step is not there."""
    steps = path.split(".")
    if len(steps) == 1:
        return lambda record: record.get(path, missing)

    def get(record: dict[str, Any]) -> Any:
        value: Any = record
        for step in steps:
            if not isinstance(value, dict):
                return missing
            value = value.get(step, missing)
        return value

    return get


def compile_mapping(source: SourceContent, decisions: Decisions) -> MapRecord:
    """The function `(record, Kafka timestamp in ms, its bytes) -> Mapped | Rejected` of a source."""
    mapping = EventMapping.model_validate(source.event_mapping)
    pick = _pick(_fields(mapping))
    customer_of = _customer(mapping)
    type_of = _event_type(mapping)
    value_of = _value(mapping, decisions)
    time_of = _time(mapping)
    id_of = _event_id(mapping, source.name)
    attributes_of = _attributes(mapping)

    def map_record(record: dict[str, Any], timestamp: int, content: bytes) -> Mapped | Rejected:
        customer, event_type, value, time, event_id = pick(record)
        customer = customer_of(customer)
        if type(customer) is Rejected:
            return customer
        event_type = type_of(event_type)
        if type(event_type) is Rejected:
            return event_type
        value = value_of(value, event_type)
        if type(value) is Rejected:
            return value
        time = time_of(time, timestamp)
        if type(time) is Rejected:
            return time
        event_id = id_of(event_id, content)
        if type(event_id) is Rejected:
            return event_id
        return Mapped(customer, event_type, value, time, event_id, attributes_of and attributes_of(record))

    return map_record


def explain(
    source: SourceContent, decisions: Decisions, record: dict[str, Any], timestamp: int, content: bytes
) -> list[Step]:
    """What `map_record` does with a record, member by member; it goes on after a member that is rejected."""
    mapping = EventMapping.model_validate(source.event_mapping)
    fields = _fields(mapping)
    found = _pick(fields)(record)
    event_type = _event_type(mapping)(found[1])
    attributes_of = _attributes(mapping)
    results = {
        "customer_id": _customer(mapping)(found[0]),
        "event_type": event_type,
        "value": None if type(event_type) is Rejected else _value(mapping, decisions)(found[2], event_type),
        "occurred_at": _time(mapping)(found[3], timestamp),
        "event_id": _event_id(mapping, source.name)(found[4], content),
    }
    steps = [
        Step(member, field, stood if field is not None else None, result)
        for (member, result), field, stood in zip(results.items(), fields, found, strict=True)
    ]
    attributes = (attributes_of(record) if attributes_of is not None else None) or {}
    for name, result in attributes.items():
        path = mapping.attributes.get(name) or f"{mapping.attributes_field}.{name}"
        steps.append(Step(f"attributes.{name}", path, getter(path)(record), result))
    return steps


def _fields(mapping: EventMapping) -> tuple[str | None, ...]:
    """The five fields read of every record, in the order of `pick`'s answer."""
    return (
        mapping.customer_id_field,
        mapping.event_type_field,
        mapping.value_field,
        mapping.timestamp_field,
        mapping.event_id_field,
    )


def _pick(fields: tuple[str | None, ...]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """Reads all fields at once; None for what is missing."""
    getters = [getter(field) if field is not None else lambda record: None for field in fields]

    def one_by_one(record: dict[str, Any]) -> tuple[Any, ...]:
        return tuple([get(record) for get in getters])

    if any(field is not None and "." in field for field in fields):
        return one_by_one
    # What no field is given for is not looked at, so any field does; itemgetter wants five.
    at_once = itemgetter(*(field if field is not None else fields[0] for field in fields))

    def pick(record: dict[str, Any]) -> tuple[Any, ...]:
        try:
            return at_once(record)  # type: ignore[no-any-return]
        except KeyError:
            return one_by_one(record)

    return pick


def _scalar_id(value: Any) -> str | None:
    """An id as text: strings as they are, whole numbers in decimal, UUIDs of Avro; None for anything else."""
    if type(value) is str:
        return value
    if type(value) is int or type(value) is UUID:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return None


def _customer(mapping: EventMapping) -> Callable[[Any], Any]:
    field, form = mapping.customer_id_field, mapping.id_format
    removed = str.maketrans("", "", form.remove) if form is not None else None
    prefixes = sorted(form.prefixes.items(), key=lambda pair: -len(pair[0])) if form is not None else []

    def customer(value: Any) -> str | Rejected:
        if removed is None and type(value) is str and value.isalnum() and len(value) <= 64:
            return value  # nearly all of them
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
        if not value.isprintable():
            return Rejected(
                Reason.BAD_CUSTOMER_ID, field, f"{field}: a customer id has no control characters"
            )
        if len(value) > 64 and len(value.encode()) > LONGEST_ID:
            return Rejected(
                Reason.BAD_CUSTOMER_ID, field, f"{field}: a customer id has at most {LONGEST_ID} bytes"
            )
        return value  # type: ignore[no-any-return]

    return customer


def _event_type(mapping: EventMapping) -> Callable[[Any], Any]:
    constant = mapping.event_type
    if constant is not None:
        return lambda code: constant
    field = mapping.event_type_field or ""
    known: dict[str | None, str] = {}
    known.update(mapping.event_types or {name: name for name in SOURCE_TYPES})

    def event_type(code: Any) -> str | Rejected:
        name = known.get(code if type(code) is str else _scalar_id(code))
        if name is None:
            if code is None or code == "":
                return Rejected(Reason.MISSING_EVENT_TYPE, field, f"{field}: no event type")
            if type(code) is str and code.startswith("_"):
                return Rejected(Reason.RESERVED_EVENT_TYPE, field, f"{field}: {_short(code)} is reserved")
            return Rejected(
                Reason.UNKNOWN_EVENT_TYPE, field, f"{field}: the mapping knows no type {_short(code)}"
            )
        return name

    return event_type


def _value(mapping: EventMapping, decisions: Decisions) -> Callable[[Any, str], Any]:
    field = mapping.value_field
    shown = field or "value_field"
    factor = mapping.value_scale
    most = {name: LARGEST_UNITS / scale(name, decisions.currency_decimals) for name in SOURCE_TYPES}
    # Only amounts may be below 0: a correction.
    least = {name: -most[name] if name in MONEY else 0.0 for name in SOURCE_TYPES}

    def bad(why: str) -> Rejected:
        return Rejected(Reason.BAD_VALUE, shown, f"{shown}: {why}")

    def value(found: Any, event_type: str) -> float | Rejected:
        kind = type(found)
        if kind is str and found.isdecimal() and len(found) < 16:
            found = int(found)  # nearly all amounts of CSV lines
        elif kind is not float and kind is not int:
            if field is None or found is None or found == "":
                return missing(event_type)
            number = _number(found)
            if number is None:
                return missing(event_type) if str(found).isspace() else bad(f"{_short(found)} is no number")
            found = number
        if factor != 1:
            try:
                found = found * factor
            except OverflowError:
                return bad("the number is too large")
        if least[event_type] <= found <= most[event_type]:
            return found  # type: ignore[no-any-return]
        if found != found:
            return bad("it is no number (NaN)")
        if found < 0 and event_type not in MONEY:
            return bad(f"{event_type} cannot have a value below 0")
        return bad("the number is too large")

    def missing(event_type: str) -> float | Rejected:
        if event_type in COUNTED:
            return 1
        return Rejected(Reason.MISSING_VALUE, shown, f"{shown}: {event_type} needs a value")

    return value if field is not None else lambda found, event_type: missing(event_type)


def _number(found: Any) -> int | float | None:
    """A number that is written as text, or Avro's decimal; None for anything else."""
    if type(found) is not Decimal and (type(found) is not str or "_" in found):
        return None
    try:
        number = float(found)
    except (ValueError, OverflowError):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _time(mapping: EventMapping) -> Callable[[Any, int], Any]:
    field = mapping.timestamp_field
    parse = parser(mapping.timestamp_format, mapping.timezone)

    def time(found: Any, timestamp: int) -> int | Rejected:
        try:
            ms = parse(found)
        except (ValueError, TypeError, OverflowError) as error:
            if found is None or found == "":
                return Rejected(Reason.MISSING_TIMESTAMP, field, f"{field}: no time")
            why = str(error) or "is no time"
            return Rejected(Reason.BAD_TIMESTAMP, field, f"{field}: {_short(found)} {why}")
        if EARLIEST <= ms < LATEST and ms - timestamp <= FUTURE_MS:
            return ms
        if not EARLIEST <= ms < LATEST:
            return Rejected(
                Reason.BAD_TIMESTAMP, field, f"{field}: {_short(found)} is not in the years 1971 to 2099"
            )
        return Rejected(
            Reason.FUTURE_EVENT,
            field,
            f"{field}: {iso(ms)} is more than a day after its arrival at {iso(timestamp)}",
        )

    return time


def _event_id(mapping: EventMapping, name: str) -> Callable[[Any, bytes], Any]:
    field = mapping.event_id_field
    begun = blake2b(name.encode() + b"\0", digest_size=16)

    def hashed(_: Any, content: bytes) -> str:
        whole = begun.copy()
        whole.update(content)
        return whole.hexdigest()

    if field is None:
        return hashed

    def event_id(value: Any, content: bytes) -> str | Rejected:
        if type(value) is str and 0 < len(value) <= LONGEST_ID:
            return value
        if value is None or value == "":
            return hashed(value, content)
        text = _scalar_id(value)
        if text is None or len(text) > LONGEST_ID:
            return Rejected(
                Reason.BAD_EVENT_ID,
                field,
                f"{field}: an event id is text of at most {LONGEST_ID} characters or a whole number",
            )
        return text

    return event_id


_MISSING = object()


def _attributes(mapping: EventMapping) -> Callable[[dict[str, Any]], dict[str, Any] | None] | None:
    named = [(name, getter(path, _MISSING)) for name, path in mapping.attributes.items()]
    whole = getter(mapping.attributes_field) if mapping.attributes_field else None
    if not named and whole is None:
        return None

    def attributes(record: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        if whole is not None:
            nested = whole(record)
            if isinstance(nested, dict):
                # What begins with _ is khaywe's own and cannot come from outside.
                found = {str(k): _flat(v) for k, v in nested.items() if not str(k).startswith("_")}
        for name, get in named:
            value = get(record)
            if value is not _MISSING:  # null is said: it clears what the profile has
                found[name] = value if type(value) is str else _flat(value)
        return found or None

    return attributes


def _flat(value: Any) -> Any:
    """Scalars as they are; anything nested as its JSON."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, enc_hook=str).decode()
    return str(value)


def _short(value: Any) -> str:
    """A value in a message: as it stood, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Wire(msgspec.Struct, omit_defaults=True, gc=False):
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
