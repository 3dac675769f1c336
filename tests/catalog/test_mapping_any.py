"""Whatever stands in a record, a mapping gives an event or a reason, and every event can go on the wire."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.content import SourceContent
from catalog.mapping import Rejected, compile_mapping, encode_event, explain
from loyalty.content import Decisions
from loyalty.events import SOURCE_TYPES

#: The same moment as each format writes it.
TIMES: dict[str, Any] = {
    "iso8601": "2020-01-01 00:02:47",
    "epoch_s": 1577836967,
    "epoch_ms": 1577836967000,
    "%Y%m%d%H%M%S": "20200101000247",
    "%d/%m/%Y %H:%M:%S": "01/01/2020 00:02:47",
}
KINDS: list[dict[str, Any]] = [
    {"event_type": "recharge"},
    {"event_type_field": "kind"},
    {"event_type_field": "kind", "event_types": {"sms": "sms", "1": "voice_call"}},
]
MORE: list[dict[str, Any]] = [
    {},
    {"event_id_field": "no", "attributes": {"a": "x", "b": "deep.er"}},
    {"attributes_field": "rest", "id_format": {"remove": "-", "prefixes": {"00": "+"}}, "value_scale": 1e3},
]
SOURCES = [
    SourceContent(
        "s",
        "custom",
        {"customer_id_field": "id", "value_field": "v", "timestamp_field": "at", "timestamp_format": how}
        | {"timezone": "Europe/Paris", **kind, **more},
    )
    for how in TIMES
    for kind in KINDS
    for more in MORE
]
COMPILED = [compile_mapping(source, Decisions()) for source in SOURCES]

#: JSON's values, and what Avro has beside them.
texts = st.text(max_size=12) | st.sampled_from(
    [" ", "nan", "inf", "1e400", "1_0", "_tick", "x" * 300, "\x00", "٣"]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=4)
    | st.sampled_from([10**400, 2**64, -(2**63) - 1, Decimal("NaN"), Decimal("1e999999"), Decimal("3.5")])
    | st.sampled_from([datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), datetime.max, date.min])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
received = st.sampled_from([0, 1577836967000, 4_102_444_799_999])


def good(number: int) -> dict[str, Any]:
    mapping = SOURCES[number].event_mapping
    at = TIMES[mapping["timestamp_format"]]
    return {"id": "00-17", "kind": "sms", "v": "1", "at": at, "no": 5, "rest": {"c": 1, "_path": "x"}}


@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_a_good_record_is_an_event(number: int) -> None:
    event = COMPILED[number](good(number), 1577836967000, b"")
    assert not isinstance(event, Rejected)
    assert event.occurred_at == 1577836967000 - (
        0 if "epoch" in str(SOURCES[number].event_mapping) else 3_600_000
    )


@settings(max_examples=1_500, deadline=None, database=None)
@given(
    number=st.integers(0, len(SOURCES) - 1),
    field=st.sampled_from(["id", "kind", "v", "at", "no", "x", "deep", "rest"]),
    value=values,
    nested=st.booleans(),
    timestamp=received,
)
def test_any_value_in_any_field(number: int, field: str, value: Any, nested: bool, timestamp: int) -> None:
    record = good(number) | {field: {"er": value} if nested else value}
    event = COMPILED[number](record, timestamp, b"raw")
    steps = explain(SOURCES[number], Decisions(), record, timestamp, b"raw")
    rejected = [step.result for step in steps if isinstance(step.result, Rejected)]
    if isinstance(event, Rejected):
        assert event == rejected[0]
        assert event.message.startswith(f"{event.field}: ")
        msgspec.json.encode(event)
        return
    assert rejected == []
    wire = msgspec.json.decode(encode_event(event, "s", timestamp, backfill=True))
    assert wire["event_type"] in SOURCE_TYPES
    assert type(wire["value"]) in (int, float)
    assert abs(wire["value"]) <= 1e15
    assert wire["value"] >= 0 or wire["event_type"] == "recharge"
    assert wire["customer_id"].strip()
    assert "\x00" not in wire["customer_id"]
    assert len(wire["customer_id"].encode()) <= 256
    assert wire["attributes"].pop("_backfill") is True
    assert not any(name.startswith("_") for name in wire["attributes"])
    assert all(type(each) in (str, int, float, bool, type(None)) for each in wire["attributes"].values())


def test_null_is_said_and_absence_is_not() -> None:
    mapping = {"customer_id_field": "id", "event_type": "profile_update", "timestamp_field": "at"}
    names = {"segment": "seg", "tariff": "plan.name", "language": "lang"}
    source = SourceContent("crm", "crm", mapping | {"attributes": names})
    record = {"id": "1", "at": "2020-01-01", "seg": None, "plan": {"name": None}}
    event = compile_mapping(source, Decisions())(record, 1577836967000, b"")
    assert not isinstance(event, Rejected)
    assert event.attributes == {"segment": None, "tariff": None}
