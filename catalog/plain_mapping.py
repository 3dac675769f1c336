"""Simple sources mapped by compiled code, a batch at a time: most records of most operators.

Simple is a source of flat JSON whose five fields stand at the top, without attributes, scales and changes of
ids.  A record that is not plain (escapes, nested values, exponents, duplicate names, anything to be refused)
is left to `catalog.mapping`; what is mapped here becomes the same bytes there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalog import times
from catalog.content import SourceContent
from catalog.mapping import FUTURE_MS, LARGEST_UNITS, LONGEST_ID
from catalog.schema import Connection, EventMapping
from loyalty.calendar import days_before
from loyalty.compiled import compiled
from loyalty.content import Decisions
from loyalty.events import CODES, COUNTED, MONEY, SOURCE_TYPES, scale
from loyalty.log import Column
from loyalty.scan import NAME, code_of, coded
from loyalty.spans import Spans
from loyalty.texts import (
    CLOSE,
    COLON,
    COMMA,
    MINUS,
    NINE,
    POINT,
    QUOTE,
    SPACE,
    ZERO,
    Bytes,
    number_at,
    scalar_end,
    string_end,
)
from loyalty.times import LENGTH, put_time

#: Bytes of a field's name.
_FIELD = 64
#: Codes of a source that are known here.
_MOST_CODES = 200
_CUSTOMER, _TYPE, _VALUE, _TIME, _ID = range(5)
_ROLES = 5
_ABSENT, _STRING, _NUMBER, _WORD = range(4)
#: How a time is written: a letter of these for each digit, else the character itself.
_DIRECTIVES = {"Y": b"YYYY", "m": b"oo", "d": b"dd", "H": b"hh", "M": b"mm", "S": b"ss"}
_FORM = 32
_LONGEST_CUSTOMER = 64

_MEMBERS = (
    b'{"event_id":"', b'","customer_id":"', b'","event_type":"', b'","source":"', b'","value":',
    b',"occurred_at":"', b'","received_at":"', b'"}',
)  # fmt: skip
_TEXT = np.frombuffer(b"".join(_MEMBERS), np.uint8)
_STARTS = np.cumsum([0, *map(len, _MEMBERS)])

#: What compiled code knows of a source.
_SOURCE = np.dtype(
    [
        ("fields", "u1", (_ROLES, _FIELD)),
        ("lengths", "i8", (_ROLES,)),  # -1: none is read
        ("constant", "i8"),  # code of the one event type, 0: by the field
        ("forms", "u1", (4, _FORM)),
        ("form_lengths", "i8", (4,)),
        ("epoch", "i8"),  # ms of a unit, 0: times are texts
        ("names", "u1", (256, NAME)),  # of event types by code
        ("name_lengths", "i8", (256,)),
        ("least", "f8", (256,)),
        ("most", "f8", (256,)),
        ("counted", "u1", (256,)),
        ("source", "u1", (256,)),  # its name
        ("source_length", "i8"),
    ],
    align=True,
)


class Mapped(NamedTuple):
    """Key and value of each record by its number, but for those that are left."""

    left: list[int]
    keys: Spans
    values: Spans


class PlainMapping:
    """What of a source is mapped by compiled code.  Raises ValueError for one that is not simple."""

    def __init__(self, source: SourceContent, decisions: Decisions) -> None:
        mapping = EventMapping.model_validate(source.event_mapping)
        connection = Connection.model_validate(source.connection_config)
        if connection.columns or connection.avro_schema or connection.schema_registry:
            raise ValueError("not JSON")
        if mapping.attributes or mapping.attributes_field or mapping.id_format or mapping.value_scale != 1:
            raise ValueError("attributes, changed ids or scaled values")
        if mapping.event_id_field is None:
            raise ValueError("event ids are hashes")
        self._source = np.zeros(1, _SOURCE)
        known = self._source[0]
        self._fields(known, mapping)
        self._times(known, mapping)
        name = _ascii(source.name, 256)
        known["source"][: len(name)], known["source_length"] = list(name), len(name)
        for event_type in SOURCE_TYPES:
            code, text = CODES[event_type], event_type.encode()
            known["names"][code, : len(text)], known["name_lengths"][code] = list(text), len(text)
            most = LARGEST_UNITS / scale(event_type, decisions.currency_decimals)
            known["most"][code], known["least"][code] = most, -most if event_type in MONEY else 0.0
            known["counted"][code] = event_type in COUNTED
        known["constant"] = CODES[mapping.event_type] if mapping.event_type else 0
        types = mapping.event_types or {name: name for name in SOURCE_TYPES}
        codes = {
            code: CODES[name] for code, name in types.items() if code.isascii() and 0 < len(code) <= NAME
        }
        self._codes = coded(dict(list(codes.items())[:_MOST_CODES]))
        self._room = _STARTS[-1] + NAME + len(name) + 2 * LENGTH

    def _fields(self, known: Any, mapping: EventMapping) -> None:
        fields = (
            mapping.customer_id_field, mapping.event_type_field if not mapping.event_type else None,
            mapping.value_field, mapping.timestamp_field, mapping.event_id_field,
        )  # fmt: skip
        known["lengths"] = -1
        for role, field in enumerate(fields):
            if field is not None:
                if "." in field:
                    raise ValueError("a nested field")
                text = _ascii(field, _FIELD)
                known["fields"][role, : len(text)], known["lengths"][role] = list(text), len(text)

    def _times(self, known: Any, mapping: EventMapping) -> None:
        form = mapping.timestamp_format
        if form in (times.EPOCH_S, times.EPOCH_MS):
            known["epoch"] = 1000 if form == times.EPOCH_S else 1
            return
        forms: list[bytes] = []
        if form == times.ISO8601:
            seconds = b"YYYY-oo-ddThh:mm:ss"
            forms = [seconds + b"Z", seconds + b".fffZ"]
            if mapping.timezone == "UTC":
                forms += [seconds, seconds + b".fff"]
        elif mapping.timezone == "UTC":
            forms = [_form(form)]
        if not forms:
            raise ValueError("times of a place")
        known["form_lengths"] = -1
        for n, text in enumerate(forms):
            known["forms"][n, : len(text)], known["form_lengths"][n] = list(text), len(text)

    def map(self, raws: Column, arrived: NDArray[np.int64]) -> Mapped:
        """What becomes of records.

        `arrived`: Kafka timestamps, ms; a record with one below 0 is left.
        """
        count = len(raws.ends)
        out = np.empty(len(raws.text) + count * int(self._room), np.uint8)
        places = np.zeros((4, count), np.int64)
        read = np.frombuffer(raws.text, np.uint8)
        _map(
            read, raws.ends, arrived, self._source, self._codes, np.empty((_ROLES, 2), np.int64),
            np.empty(_ROLES, np.int64), out, places,
        )  # fmt: skip
        left = np.flatnonzero(places[3] == 0).tolist()
        return Mapped(left, Spans(read, places[0], places[1]), Spans(out, places[2], places[3]))


def _ascii(text: str, most: int) -> bytes:
    if not (text.isascii() and text.isprintable() and 0 < len(text) <= most) or '"' in text or "\\" in text:
        raise ValueError(f"{text!r} is not plain")
    return text.encode()


def _form(pattern: str) -> bytes:
    """A strptime pattern whose texts all have one width, as a form."""
    form, seen, at = b"", [], 0
    while at < len(pattern):
        if pattern[at] == "%":
            directive = pattern[at + 1 : at + 2]
            if directive not in _DIRECTIVES:
                raise ValueError(f"%{directive}")
            form += _DIRECTIVES[directive]
            seen.append(directive)
            at += 2
        else:
            # A letter could be taken for a digit's.
            if not " " <= pattern[at] <= "~" or pattern[at] in "Yodhmsf":
                raise ValueError(pattern)
            form += pattern[at].encode()
            at += 1
    if sorted(seen) != sorted(_DIRECTIVES) or len(form) > _FORM:
        raise ValueError(pattern)
    return form


@compiled
def _map(
    text: Bytes, ends: NDArray[np.int64], arrived: NDArray[np.int64], sources: NDArray[np.void],
    codes: NDArray[np.void], spans: NDArray[np.int64], kinds: NDArray[np.int64], out: Bytes,
    places: NDArray[np.int64],
) -> None:  # fmt: skip
    """`spans` (_ROLES, 2) and `kinds` (_ROLES,) are scratch space."""
    source, types = sources[0], codes[0]
    start = to = 0
    for n in range(ends.shape[0]):
        end = ends[n]
        if _fields_of(text, start, end, source, spans, kinds):
            customer = _customer(text, spans[_CUSTOMER, 0], spans[_CUSTOMER, 1], kinds[_CUSTOMER])
            code = source.constant
            if code == 0 and (kinds[_TYPE] == _STRING or kinds[_TYPE] == _NUMBER):
                code = code_of(text, spans[_TYPE, 0], spans[_TYPE, 1], types)
            at = _time(text, spans[_TIME, 0], spans[_TIME, 1], kinds[_TIME], source)
            value_end = _value(text, spans[_VALUE, 0], spans[_VALUE, 1], kinds[_VALUE], code, source)
            fits = customer and code > 0 and value_end >= 0
            fits &= times.EARLIEST <= at < times.LATEST and 0 <= arrived[n] < times.LATEST
            fits &= at - arrived[n] <= FUTURE_MS
            fits &= _event_id(text, spans[_ID, 0], spans[_ID, 1], kinds[_ID])
            if fits:
                places[0, n], places[1, n] = spans[_CUSTOMER, 0], spans[_CUSTOMER, 1]
                places[2, n] = to
                to = _copy(_TEXT, _STARTS[0], _STARTS[1], out, to)
                to = _copy(text, spans[_ID, 0], spans[_ID, 1], out, to)
                to = _copy(_TEXT, _STARTS[1], _STARTS[2], out, to)
                to = _copy(text, spans[_CUSTOMER, 0], spans[_CUSTOMER, 1], out, to)
                to = _copy(_TEXT, _STARTS[2], _STARTS[3], out, to)
                to = _copy(source.names[code], 0, source.name_lengths[code], out, to)
                to = _copy(_TEXT, _STARTS[3], _STARTS[4], out, to)
                to = _copy(source.source, 0, source.source_length, out, to)
                to = _copy(_TEXT, _STARTS[4], _STARTS[5], out, to)
                if value_end == 0:
                    out[to] = ZERO + 1
                    to += 1
                else:
                    to = _copy(text, spans[_VALUE, 0], value_end, out, to)
                to = _copy(_TEXT, _STARTS[5], _STARTS[6], out, to)
                to = put_time(out, to, at)
                to = _copy(_TEXT, _STARTS[6], _STARTS[7], out, to)
                to = put_time(out, to, arrived[n])
                to = _copy(_TEXT, _STARTS[7], _STARTS[8], out, to)
                places[3, n] = to
        start = end


@compiled
def _copy(source: Bytes, first: int, last: int, out: Bytes, at: int) -> int:
    for i in range(last - first):
        out[at + i] = source[first + i]
    return at + last - first


@compiled
def _spaces(text: Bytes, at: int, end: int) -> int:
    while at < end and text[at] == SPACE:
        at += 1
    return at


@compiled
def _fields_of(
    text: Bytes, at: int, end: int, source: Any, spans: NDArray[np.int64], kinds: NDArray[np.int64]
) -> bool:
    """Whether all is plain; where the values of wanted fields stand, strings without their quotes."""
    for role in range(_ROLES):
        kinds[role], spans[role, 0], spans[role, 1] = _ABSENT, 0, 0
    if at >= end or text[at] != 123:
        return False
    at += 1
    while True:
        at = _spaces(text, at, end)
        if at >= end or text[at] != QUOTE:
            return False
        name = at + 1
        name_end = string_end(text, name, end)
        if name_end < 0:
            return False
        at = _spaces(text, name_end + 1, end)
        if at >= end or text[at] != COLON:
            return False
        at = _spaces(text, at + 1, end)
        if at >= end:
            return False
        value = at
        at = scalar_end(text, value, end)
        if at < 0:
            return False
        for role in range(_ROLES):
            if source.lengths[role] != name_end - name:
                continue
            same = True
            for i in range(name_end - name):
                same &= source.fields[role, i] == text[name + i]
            if same:
                if kinds[role] != _ABSENT:
                    return False
                if text[value] == QUOTE:
                    kinds[role], spans[role, 0], spans[role, 1] = _STRING, value + 1, at - 1
                else:
                    digit = text[value] == MINUS or ZERO <= text[value] <= NINE
                    kinds[role] = _NUMBER if digit else _WORD
                    spans[role, 0], spans[role, 1] = value, at
        at = _spaces(text, at, end)
        if at >= end:
            return False
        if text[at] == CLOSE:
            return at + 1 == end
        if text[at] != COMMA:
            return False
        at += 1


@compiled
def _whole(text: Bytes, first: int, last: int) -> bool:
    """Digits and nothing else, without zeros before them."""
    if first >= last or (text[first] == ZERO and last - first > 1):
        return False
    digits = True
    for i in range(first, last):
        digits &= ZERO <= text[i] <= NINE
    return digits


@compiled
def _customer(text: Bytes, first: int, last: int, kind: int) -> bool:
    if kind == _NUMBER:
        return bool(_whole(text, first, last))
    if kind != _STRING or not 0 < last - first <= _LONGEST_CUSTOMER:
        return False
    known = True
    for i in range(first, last):
        byte = text[i]
        known &= ZERO <= byte <= NINE or 65 <= byte <= 90 or 97 <= byte <= 122
    return known


@compiled
def _event_id(text: Bytes, first: int, last: int, kind: int) -> bool:
    if kind == _NUMBER:
        return bool(_whole(text, first, last))
    return bool(kind == _STRING and 0 < last - first <= LONGEST_ID)


@compiled
def _value(text: Bytes, first: int, last: int, kind: int, code: int, source: Any) -> int:
    """Where the value ends as it is to be written; 0 for a 1 that nobody wrote, -1 where it is not plain."""
    if source.lengths[_VALUE] < 0:
        return 0 if source.counted[code] else -1
    if kind == _STRING and not _whole(text, first, last):
        return -1
    if kind != _STRING and kind != _NUMBER:
        return -1
    ended, number = number_at(text, first, last)
    if ended != last or not source.least[code] <= number <= source.most[code]:
        return -1
    point = first
    while point < last and text[point] != POINT:
        point += 1
    if point == last:
        return -1 if number == 0 and text[first] == MINUS else last
    if abs(number) < 0.001:
        return -1  # shorter with an exponent, perhaps
    while last > point + 2 and text[last - 1] == ZERO:
        last -= 1
    return last


@compiled
def _time(text: Bytes, first: int, last: int, kind: int, source: Any) -> int:
    """Milliseconds of a time; 0 where it is not plain."""
    if source.epoch:
        if kind != _NUMBER or not _whole(text, first, last):
            return 0
        _, number = number_at(text, first, last)
        return int(number) * source.epoch if number < times.LATEST else 0
    if kind != _STRING:
        return 0
    for n in range(source.form_lengths.shape[0]):
        if source.form_lengths[n] != last - first:
            continue
        year, month, day, hour, minute, second, part = 0, 0, 0, 0, 0, 0, 0
        fits: Any = True
        for i in range(last - first):
            byte: Any = np.int64(text[first + i])
            wanted: Any = source.forms[n, i]
            digit = byte - ZERO
            if wanted == 89:  # Y
                year = year * 10 + digit
            elif wanted == 111:  # o
                month = month * 10 + digit
            elif wanted == 100:  # d
                day = day * 10 + digit
            elif wanted == 104:  # h
                hour = hour * 10 + digit
            elif wanted == 109:  # m
                minute = minute * 10 + digit
            elif wanted == 115:  # s
                second = second * 10 + digit
            elif wanted == 102:  # f
                part = part * 10 + digit
            else:
                fits &= byte == wanted
                digit = 0
            fits &= 0 <= digit <= 9
        if not fits or not 1971 <= year <= 2099 or not 1 <= month <= 12 or day < 1:
            continue
        first_day = days_before(year, month)
        after = days_before(year + month // 12, month % 12 + 1)
        if day <= after - first_day and hour < 24 and minute < 60 and second < 60:
            days = first_day + day - 1
            return int((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + part)
    return 0
