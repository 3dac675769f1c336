"""What compiled code maps of a simple source is what the closures map, byte for byte; the rest it leaves."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.content import SourceContent
from catalog.mapping import Rejected, compile_mapping, encode_event
from catalog.plain_mapping import PlainMapping
from loyalty.content import Decisions
from loyalty.log import Column

ARRIVED = 1_577_923_367_000  # a day after the events
TIMES: dict[str, list[Any]] = {
    "iso8601": [
        "2020-01-01T00:02:47Z", "2020-01-01T00:02:47.123Z", "2020-01-01 00:02:47", "2020-01-01T00:02:47",
        "2020-02-29T00:00:00Z", "2019-02-29T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T00:02:60Z",
        "2020-01-01T00:02:47+01:00", "1970-12-31T00:00:00Z", "2020-01-09T00:00:00Z",
    ],
    "epoch_s": [1577836967, "1577836967", 0, -1, 1.5, 10**14],
    "epoch_ms": [1577836967000, 31_536_000_000, 31_535_999_999, 4_102_444_800_000],
    "%Y%m%d%H%M%S": ["20200101000247", 20200101000247, "20201301000247", "2020010100024"],
    "%d/%m/%Y %H:%M:%S": ["01/01/2020 00:02:47", "1/1/2020 00:02:47", "01/01/2020  00:02:47"],
    "%d.%m.%y %H:%M:%S": ["01.01.20 00:02:47"],
}  # fmt: skip
KINDS: list[dict[str, Any]] = [
    {"event_type": "complaint"},
    {"event_type_field": "kind"},
    {
        "event_type_field": "kind",
        "event_types": {"sms": "sms", "1": "voice_call", "ä": "sms", "x" * 40: "sms"},
    },
]
VALUES: list[dict[str, Any]] = [{}, {"value_field": "v"}]


def source(how: str, kind: int, value: int, zone: str = "UTC", **more: Any) -> SourceContent:
    mapping = {"customer_id_field": "id", "timestamp_field": "at", "event_id_field": "no"}
    mapping |= {"timestamp_format": how, "timezone": zone}
    return SourceContent("s", "custom", mapping | KINDS[kind] | VALUES[value] | more)


SIMPLE = [source(how, kind, 1) for how in list(TIMES)[:-1] for kind in range(3)]
SIMPLE += [source(how, 0, 0) for how in list(TIMES)[:-1]]
SIMPLE += [source("iso8601", 1, 1, "Europe/Paris"), source("iso8601", 1, 1, event_id_field="id")]
PLAIN = [PlainMapping(each, Decisions()) for each in SIMPLE]
SLOW = [compile_mapping(each, Decisions()) for each in SIMPLE]

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8) | st.sampled_from(
    ["", "a", "0017", "x" * 65, "y" * 257, "ä", "a b", '"', "\\"]
)
numbers = st.one_of(
    st.integers(-50, 50), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-(10**6), 10**6, allow_nan=False, places=4).map(float),
    st.sampled_from([0.0, -0.0, 1e15, 999999999999999, 0.001, 0.00099, 1e-7, 12.5]),
)  # fmt: skip
NAMES = ["id", "kind", "v", "no", "cell", ""]
scalars = words | numbers | st.booleans() | st.none()


def slow(number: int, raw: bytes, arrived: int) -> tuple[bytes, bytes] | None:
    """What the closures make of a record; None for nothing."""
    try:
        record = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        return None
    done = SLOW[number](record, arrived, raw)
    if isinstance(done, Rejected):
        return None
    return done.customer_id.encode(), encode_event(done, "s", arrived)


def mapped(number: int, raws: list[bytes], arrived: list[int]) -> list[tuple[bytes, bytes] | None]:
    found = PLAIN[number].map(Column.of(raws), np.array(arrived, np.int64))
    return [
        None if n in found.left else (key, value)
        for n, (key, value) in enumerate(zip(found.keys, found.values, strict=True))
    ]


def same(number: int, raw: bytes, arrived: int = ARRIVED) -> bool:
    """Whether the record was mapped here; its neighbours are, whatever it is."""
    neighbour = good(number)
    first, found, last = mapped(number, [neighbour, raw, neighbour], [ARRIVED, arrived, ARRIVED])
    assert first == last == slow(number, neighbour, ARRIVED) != None  # noqa: E711
    if found is None:
        return False
    assert found == slow(number, raw, arrived)
    return True


def fields(number: int) -> dict[str, Any]:
    at = TIMES[SIMPLE[number].event_mapping["timestamp_format"]][0]
    return {"id": "17", "kind": "sms", "v": 1, "at": at, "no": "n5", "cell": "c-1"}


def good(number: int) -> bytes:
    return msgspec.json.encode(fields(number))


@pytest.mark.parametrize("number", range(len(SIMPLE)))
def test_good_records_are_mapped_here(number: int) -> None:
    assert same(number, good(number))
    spaced = json.dumps(fields(number) | {"cell": 5.25, "on": True, "off": False, "none": None})
    assert same(number, spaced.encode())
    for at in TIMES[SIMPLE[number].event_mapping["timestamp_format"]]:
        same(number, msgspec.json.encode(fields(number) | {"at": at}))


WRITTEN = (
    b"0.0000001", b"0.00001", b"0.0005", b"0.001", b"0.0010", b"12.50", b"1.0", b"1.00", b"0.10", b"0.0",
    b"-0.0", b"-0", b"00.1", b"100000000000000.0", b"99999999999999.9", b"0.00000000000001", b"-5", b"-5.50",
    b"1.", b"123456789012345",
)  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_numbers_are_written_as_ever(written: bytes) -> None:
    for number in range(len(SIMPLE)):
        raw = good(number).replace(b'"v":1', b'"v":' + written)
        assert written in raw
        same(number, raw.replace(b'"sms"', b'"recharge"'))
        same(number, raw)


@settings(max_examples=1_000, deadline=None)
@given(
    number=st.integers(0, len(SIMPLE) - 1),
    changed=st.dictionaries(
        st.sampled_from(["id", "kind", "v", "no", "cell", ""]) | words, scalars, max_size=4
    ),
    gone=st.sets(st.sampled_from(["id", "kind", "v", "at", "no"]), max_size=1),
    at=st.integers(0, 20),
    arrived=st.sampled_from([ARRIVED, 0, -1, 4_102_444_800_000, 1577836967000]),
    spaced=st.booleans(),
)
def test_whatever_stands_in_a_record(
    number: int, changed: dict[str, Any], gone: set[str], at: int, arrived: int, spaced: bool
) -> None:
    ats = TIMES[SIMPLE[number].event_mapping["timestamp_format"]]
    record = fields(number) | {"at": ats[at % len(ats)]} | changed
    record = {name: value for name, value in record.items() if name not in gone}
    same(number, json.dumps(record).encode() if spaced else msgspec.json.encode(record), arrived)


@settings(max_examples=1_000, deadline=None)
@given(number=st.integers(0, len(SIMPLE) - 1), data=st.data())
def test_spoilt_bytes(number: int, data: Any) -> None:
    raw = bytearray(good(number))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 8))] = data.draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"0", b"-", b".", b",", b"}", b" ", b"\xc3", b'"id":"18",', b"{"]
            )
        )
    same(number, bytes(raw))


@pytest.mark.parametrize(
    "more",
    [
        {"attributes": {"a": "x"}},
        {"attributes_field": "rest"},
        {"id_format": {"remove": "-"}},
        {"value_scale": 60},
        {"event_id_field": None},
        {"customer_id_field": "a.b"},
        {"customer_id_field": "ä"},
        {"timestamp_format": "%d.%m.%y %H:%M:%S"},
        {"timestamp_format": "%Y-%m-%d"},
        {"timestamp_format": "%Y%m%d%H%M%S", "timezone": "Europe/Paris"},
    ],
)
def test_other_sources_are_left_to_the_closures(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PlainMapping(source("iso8601", 1, 1, **({"zone": more.pop("timezone", "UTC")} | more)), Decisions())


def test_nothing_of_nothing() -> None:
    assert mapped(0, [], []) == []
    assert mapped(0, [b""], [0]) == [None]
