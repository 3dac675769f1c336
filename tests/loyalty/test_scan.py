"""What compiled code reads of a record is what msgspec reads; whatever it does not know it leaves alone."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loyalty.decode import _scanner, decode
from loyalty.events import CODES, SOURCE_TYPES
from loyalty.hashing import hash64
from loyalty.log import Log, joined
from loyalty.records import Record
from loyalty.row import FORMAT
from loyalty.times import parse_many

PLAIN = (
    b'{"event_id":"0000000001","customer_id":"880100000002","event_type":"voice_call","source":"cdr",'
    b'"value":45,"occurred_at":"2026-01-01T00:00:00.000Z","received_at":"2026-01-03T00:00:00.000Z"}'
)
_read = msgspec.json.Decoder(Record).decode

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
NUMBERS = st.one_of(
    st.integers(-(10**16), 10**16),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**9), 10**9, allow_nan=False, places=3).map(float),
)
NAMES = st.sampled_from(["paid_from", "_backfill", "on_time", "paid_fro", "cell", ""]) | WORDS
SCALARS = st.one_of(WORDS, NUMBERS, st.booleans(), st.none())


@st.composite
def records(draw: Any) -> dict[str, Any]:
    """Members of a record in the order of the wire."""
    made = {
        "event_id": draw(WORDS),
        "customer_id": draw(WORDS),
        "event_type": draw(st.sampled_from([*SOURCE_TYPES, "_command", "voice", ""])),
        "source": draw(WORDS),
        "value": draw(NUMBERS),
        "occurred_at": draw(
            st.sampled_from(
                ["2026-02-28T23:59:59.999Z", "2026-02-29T00:00:00.000Z", "2024-02-29T01:02:03.004Z", ""]
            )
        ),
        "received_at": draw(WORDS),
    }
    if draw(st.booleans()):
        made["attributes"] = draw(st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=3))
    return made


def _same(raw: bytes) -> bool:
    """Whether it was read by compiled code; then all of it must be what msgspec and numpy say."""
    seen = _scanner.scan(joined(list(enumerate([PLAIN, raw, PLAIN]))))
    assert seen.plain[[0, 2]].all(), "its neighbours are read, whatever it is"
    assert seen.ids[0] == seen.ids[2] == b"880100000002"
    if not seen.plain[1]:
        return False
    record = _read(raw)
    event = seen.events[1]
    assert event["at"] == parse_many([record.occurred_at])[0] > 0
    assert event["kind"] == CODES[record.event_type]
    assert event["id_hash"] == hash64(record.customer_id.encode())
    assert event["hash"] == hash64(f"{record.source}\0{record.event_id}".encode())
    assert seen.values[1] == record.value
    assert seen.ids[1] == record.customer_id.encode() != b""
    assert seen.told[1] == any(name in record.attributes for name in ("paid_from", "_backfill", "on_time"))
    return True


@settings(max_examples=500, deadline=None)
@given(records())
def test_what_is_read_is_right(record: dict[str, Any]) -> None:
    _same(msgspec.json.encode(record))
    _same(json.dumps(record).encode())


@settings(max_examples=500, deadline=None)
@given(records(), st.data())
@example({"value": 1}, None)
def test_spoilt_records_are_read_right_or_not_at_all(record: dict[str, Any], data: Any) -> None:
    raw = bytearray(msgspec.json.encode(record))
    for _ in range(data.draw(st.integers(1, 3)) if data is not None else 0):
        at = data.draw(st.integers(0, len(raw)))
        if data.draw(st.booleans()):
            raw[at : at + 1] = data.draw(
                st.sampled_from([b"", b'"', b"\\", b"0", b"-", b".", b",", b"}", b" ", b"\xc3"])
            )
        else:
            del raw[at : at + data.draw(st.integers(1, 20))]
    _same(bytes(raw))


def test_the_normalisers_form_is_read() -> None:
    assert _same(PLAIN)
    assert _same(PLAIN[:-1] + b',"attributes":{}}')
    assert _same(PLAIN[:-1] + b',"attributes":{"cell":"a","n":-1.5,"t":true,"f":false,"none":null}}')
    assert _same(PLAIN[:-1] + b',"attributes":{"on_time":1}}')
    for value in (b"0", b"-0", b"-12.5", b"0.1", b"123456789012345", b"1234567.12345678"):
        assert _same(PLAIN.replace(b":45,", b":" + value + b",")), value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        PLAIN[:-1],
        PLAIN + b" ",
        PLAIN + b"}",
        PLAIN[:-1] + b',"attributes":{"a":[]}}',
        PLAIN[:-1] + b',"attributes":{"a":{}}}',
        PLAIN[:-1] + b',"attributes":{"a":1,}}',
        PLAIN[:-1] + b',"attributes":{,}}',
        PLAIN[:-1] + b',"attributes":{"a":tru}}',
        PLAIN[:-1] + b',"attributes":{"a":nulll}}',
        PLAIN[:-1] + b',"attributes":{"a":1}',
        PLAIN.replace(b":45,", b":045,"),
        PLAIN.replace(b":45,", b":45.,"),
        PLAIN.replace(b":45,", b":.5,"),
        PLAIN.replace(b":45,", b":-,"),
        PLAIN.replace(b":45,", b":1e3,"),
        PLAIN.replace(b":45,", b":1234567890123456,"),
        PLAIN.replace(b"880100000002", b""),
        PLAIN.replace(b"cdr", b"c\\u0064r"),
        PLAIN.replace(b"cdr", b"c\xc3\xa4r"),
        PLAIN.replace(b"cdr", b"c\x00r"),
        PLAIN.replace(b"voice_call", b"voice_cal"),
        PLAIN.replace(b"2026-01-01T", b"2026-13-01T"),
        PLAIN.replace(b'"source":"cdr",', b""),
    ],
)
def test_other_forms_are_left_alone(raw: bytes) -> None:
    assert not _same(raw)


def test_only_a_row_of_a_newer_version_is_called_newer() -> None:
    """Whoever folds stops there: no record may say so of itself."""
    words = f"row has format {FORMAT + 1}, this version reads up to {FORMAT}: upgrade khaywe"
    newer = b64encode((FORMAT + 1).to_bytes(2, "little")).decode()
    fields = json.loads(PLAIN)
    raws = [
        fields | {"event_type": words},
        fields | {"event_type": "_merge", "attributes": {"row": words}},
        fields | {"event_type": "_merge", "attributes": {"row": newer}},
    ]
    found = decode(joined([(n, json.dumps(raw).encode()) for n, raw in enumerate(raws)])).dead
    assert [reason for _, reason, _ in found] == ["unknown_event_type", "undecodable", "newer_row"]
    assert words in found[0][2]
    assert words in found[2][2]


def test_a_batch_is_the_same_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All forms mixed; and read once more as if none were known."""
    spaced = json.dumps(json.loads(PLAIN)).encode()
    bad = PLAIN.replace(b"voice_call", b"voice_cal")
    raws = [PLAIN, spaced, bad, b"{", None, PLAIN.replace(b"0002", b"0003"), spaced.replace(b"0002", b"0004")]
    first = decode(joined(list(enumerate(raws))))
    scan = _scanner.scan

    def blind(given: Log) -> Any:
        seen = scan(given)
        seen.plain[:] = False
        return seen

    monkeypatch.setattr(_scanner, "scan", blind)
    second = decode(joined(list(enumerate(raws))))
    assert first.offsets == second.offsets == [0, 1, 5, 6]
    assert first.ids.all() == second.ids.all()
    assert np.array_equal(first.events, second.events)
    assert np.array_equal(first.values, second.values)
    assert list(first.records) == list(second.records)
    assert first.dead == second.dead
    assert [offset for offset, _, _ in first.dead] == [2, 3, 4]
