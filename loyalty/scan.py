"""Records in the form in which the normaliser writes them, read by compiled code, a batch at a time.

What has another form (spaces, escapes, letters beyond ASCII, another order, nested attributes, exponents) is
not `plain` and left to msgspec.  What is plain msgspec would read to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import EVENT
from loyalty.compiled import STAMP, compiled
from loyalty.hashing import BASIS, PRIME, finished
from loyalty.log import Log
from loyalty.spans import Spans
from loyalty.texts import CLOSE, COLON, COMMA, QUOTE, Bytes, number_at, scalar_end, string_end
from loyalty.times import LENGTH, NO_TIME, time_at

_BEFORE = (
    b'{"event_id":"', b'","customer_id":"', b'","event_type":"', b'","source":"', b'","value":',
    b',"occurred_at":"', b'","received_at":"', b'"}', b'","attributes":{',
)  # fmt: skip
_FORM = np.frombuffer(b"".join(_BEFORE), np.uint8)
_STARTS = np.cumsum([0, *map(len, _BEFORE)])
_EVENT_ID, _CUSTOMER_ID, _EVENT_TYPE, _SOURCE, _VALUE = range(5)
_OCCURRED_AT, _RECEIVED_AT, _END, _ATTRIBUTES = range(5, 9)

#: Bytes of a name, and places of a table of names.
NAME, _NAMES = 32, 512
#: Codes of names by the low bits of their hash, or in the places after that.
CODES = np.dtype(
    [
        ("name", "u1", (_NAMES, NAME)),
        ("length", "i8", (_NAMES,)),
        ("code", "u1", (_NAMES,)),
        (f"stamp_{STAMP}", "u1"),  # so that no cache gives code of other sources
    ],
    align=True,
)


def coded(codes: Mapping[str, int]) -> NDArray[np.void]:
    """CODES (1,) of names, which have at most NAME bytes; half its places may be filled."""
    table = np.zeros(1, CODES)
    for name, code in codes.items():
        text = np.frombuffer(name.encode(), np.uint8)
        place = _place(text)
        while table["length"][0, place]:
            place = (place + 1) % _NAMES
        table["name"][0, place, : len(text)] = text
        table["length"][0, place], table["code"][0, place] = len(text), code
    return table


@dataclass(slots=True)
class Scanned:
    """By record; what stands of one that is not plain says nothing."""

    plain: NDArray[np.bool_]
    events: NDArray[np.void]  # EVENT: at, kind, hash, id_hash
    values: NDArray[np.float64]
    ids: Spans  # customers
    told: NDArray[np.bool_]  # has one of the attributes asked for
    causes: NDArray[np.int64]  # (4, records): where source and event_id begin and end in the text


class Scanner:
    """Knows event types by name, and attributes that are worth reading."""

    def __init__(self, kinds: Mapping[str, int], attributes: Sequence[str]) -> None:
        self._types = coded(kinds)
        named = [f'"{name}"'.encode() for name in attributes]
        self._wanted = np.zeros((len(named), NAME), np.uint8)
        for row, text in zip(self._wanted, named, strict=True):
            row[: len(text)] = list(text)
        self._lengths = np.array([len(text) for text in named], np.int64)

    def scan(self, log: Log) -> Scanned:
        """What stands in each record."""
        text, ends = log.values.text, log.values.ends
        count = len(ends)
        events, values = np.zeros(count, EVENT), np.zeros(count)
        plain, told = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        places = np.zeros((6, count), np.int64)
        bytes_ = np.frombuffer(text, np.uint8)
        _scan(
            bytes_, ends, self._types, self._wanted, self._lengths, events,
            values, places, plain, told,
        )  # fmt: skip
        return Scanned(plain, events, values, Spans(bytes_, places[0], places[1]), told, places[2:])


@compiled
def _place(name: Bytes) -> np.int64:
    z = BASIS
    for byte in name:
        z = (z ^ np.uint64(byte)) * PRIME
    return np.int64(finished(z) % np.uint64(_NAMES))


@compiled
def _scan(
    text: Bytes, ends: NDArray[np.int64], types: NDArray[np.void], wanted: NDArray[np.uint8],
    lengths: NDArray[np.int64], events: Any, values: NDArray[np.float64], places: NDArray[np.int64],
    plain: NDArray[np.bool_], told: NDArray[np.bool_],
) -> None:  # fmt: skip
    start = 0
    known = types[0]
    for n in range(ends.shape[0]):
        end = ends[n]
        event_id = _member(text, start, end, _EVENT_ID)
        event_id_end = string_end(text, event_id, end)
        customer = _member(text, event_id_end, end, _CUSTOMER_ID)
        customer_end = string_end(text, customer, end)
        type_ = _member(text, customer_end, end, _EVENT_TYPE)
        type_end = string_end(text, type_, end)
        source = _member(text, type_end, end, _SOURCE)
        source_end = string_end(text, source, end)
        value = _member(text, source_end, end, _VALUE)
        value_end, values[n] = number_at(text, value, end)
        occurred = _member(text, value_end, end, _OCCURRED_AT)
        occurred_end = string_end(text, occurred, end)
        received = _member(text, occurred_end, end, _RECEIVED_AT)
        received_end = string_end(text, received, end)
        if received_end >= 0 and customer < customer_end and occurred_end == occurred + LENGTH:
            at = time_at(text, occurred)
            code = code_of(text, type_, type_end, known)
            done = _member(text, received_end, end, _END) == end
            if not done:
                first = _member(text, received_end, end, _ATTRIBUTES)
                done, told[n] = _attributes(text, first, end, wanted, lengths)
            if done and code and at != NO_TIME:
                event = events[n]
                event.at, event.kind = at, code
                z = BASIS
                for i in range(customer, customer_end):
                    z = (z ^ np.uint64(text[i])) * PRIME
                event.id_hash = finished(z)
                z = BASIS
                for i in range(source, source_end):
                    z = (z ^ np.uint64(text[i])) * PRIME
                z = z * PRIME  # the character 0 between them
                for i in range(event_id, event_id_end):
                    z = (z ^ np.uint64(text[i])) * PRIME
                event.hash = finished(z)
                places[0, n], places[1, n] = customer, customer_end
                places[2, n], places[3, n] = source, source_end
                places[4, n], places[5, n] = event_id, event_id_end
                plain[n] = True
        start = end


@compiled
def _member(text: Bytes, at: int, end: int, which: int) -> int:
    """Where the text goes on after this piece of the form; -1 where something else stands."""
    first, last = _STARTS[which], _STARTS[which + 1]
    if at < 0 or at + last - first > end:
        return -1
    for i in range(first, last):
        if text[at] != _FORM[i]:
            return -1
        at += 1
    return at


@compiled
def code_of(text: Bytes, start: int, end: int, codes: Any) -> int:
    """The code of a name by CODES, 0 for one that is not known."""
    length = end - start
    place = _place(text[start:end])
    while codes.length[place]:
        if codes.length[place] == length:
            same = True
            for i in range(length):
                same &= codes.name[place, i] == text[start + i]
            if same:
                return int(codes.code[place])
        place = (place + 1) % _NAMES
    return 0


@compiled
def _attributes(
    text: Bytes, at: int, end: int, wanted: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> tuple[bool, bool]:
    """Whether flat attributes and the record end at `end`, and whether one of the wanted is among them."""
    found = False
    if at < 0:
        return False, found
    if at + 2 == end and text[at] == CLOSE and text[at + 1] == CLOSE:
        return True, found
    while at < end:
        name = at
        if text[at] != QUOTE:
            return False, found
        at = string_end(text, at + 1, end)
        if at < 0 or at + 2 >= end or text[at + 1] != COLON:
            return False, found
        at += 1
        for n in range(lengths.shape[0]):
            if lengths[n] == at - name:
                same = True
                for i in range(lengths[n]):
                    same &= wanted[n, i] == text[name + i]
                found |= same
        at = scalar_end(text, at + 1, end)
        if at < 0 or at >= end:
            return False, found
        if text[at] == CLOSE:
            return at + 2 == end and text[at + 1] == CLOSE, found
        if text[at] != COMMA:
            return False, found
        at += 1
    return False, found
