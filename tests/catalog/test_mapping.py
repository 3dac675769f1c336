"""What records become: each reason of a dead letter, what is kept, and that no record raises."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.content import SourceContent
from catalog.mapping import Mapped, Reason, Rejected, compile_mapping, encode_event, explain, getter
from catalog.schema import DataSource
from catalog.service import content_of
from loyalty.content import Decisions
from loyalty.events import COUNTED, SOURCE_TYPES, CustomerEvent

ARRIVAL = 1_577_836_968_000
AT = "2020-01-01 00:02:47"
BASE: dict[str, Any] = {
    "customer_id_field": "id",
    "event_type": "recharge",
    "value_field": "amount",
    "timestamp_field": "at",
}
KINDS = BASE | {"event_type": None, "event_type_field": "kind"}
RECORD: dict[str, Any] = {"id": "0018", "amount": 96, "at": AT}


def source(mapping: dict[str, Any]) -> SourceContent:
    return content_of(
        DataSource.model_validate({"name": "billing", "source_type": "billing", "event_mapping": mapping})
    )


def mapped(mapping: dict[str, Any], record: dict[str, Any], arrival: int = ARRIVAL) -> Mapped | Rejected:
    """The outcome; the steps of `explain` must tell the same story."""
    content = msgspec.json.encode(record, enc_hook=str)
    mine, decisions = source(mapping), Decisions()
    outcome = compile_mapping(mine, decisions)(record, arrival, content)
    steps = explain(mine, decisions, record, arrival, content)
    faults = [step.result for step in steps if isinstance(step.result, Rejected)]
    if isinstance(outcome, Rejected):
        assert outcome == faults[0]
    else:
        assert not faults
        assert {step.member: step.result for step in steps if "." not in step.member} == {
            name: getattr(outcome, name) for name in Mapped.__struct_fields__ if name != "attributes"
        }
    return outcome


def fits(mapping: dict[str, Any], record: dict[str, Any]) -> Mapped:
    outcome = mapped(mapping, record)
    assert isinstance(outcome, Mapped), outcome
    return outcome


def test_a_record_becomes_an_event() -> None:
    event = fits(
        BASE
        | {"event_id_field": "tx.id", "attributes": {"cell": "cell", "way": "tx.way", "none": "tx.none"}},
        RECORD | {"tx": {"id": 17, "way": "card"}, "cell": "A1", "more": 1},
    )
    assert event == Mapped("0018", "recharge", 96, 1_577_836_967_000, "17", {"cell": "A1", "way": "card"})
    assert encode_event(event, "billing", ARRIVAL) == (
        b'{"event_id":"17","customer_id":"0018","event_type":"recharge","source":"billing","value":96,'
        b'"occurred_at":"2020-01-01T00:02:47.000Z","received_at":"2020-01-01T00:02:48.000Z",'
        b'"attributes":{"cell":"A1","way":"card"}}'
    )


def test_history_is_marked() -> None:
    plain = fits(BASE, RECORD)
    event = msgspec.json.decode(encode_event(plain, "billing", ARRIVAL, backfill=True), type=CustomerEvent)
    assert event.attributes == {"_backfill": True}
    assert b"attributes" not in encode_event(plain, "billing", ARRIVAL)


@pytest.mark.parametrize(
    ("reason", "field", "mapping", "change"),
    [
        (Reason.MISSING_CUSTOMER_ID, "id", BASE, {"id": None}),
        (Reason.MISSING_CUSTOMER_ID, "id", BASE, {"id": ""}),
        (Reason.MISSING_CUSTOMER_ID, "id", BASE, {"id": "  "}),
        (Reason.MISSING_CUSTOMER_ID, "who.id", BASE | {"customer_id_field": "who.id"}, {"who": "x"}),
        (Reason.MISSING_CUSTOMER_ID, "id", BASE | {"id_format": {"remove": "-"}}, {"id": "--"}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": True}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": 1.5}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": ["0018"]}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": "00\x0018"}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": "x" * 257}),
        (Reason.BAD_CUSTOMER_ID, "id", BASE, {"id": "\u0436" * 129}),
        (Reason.MISSING_EVENT_TYPE, "kind", KINDS, {}),
        (Reason.MISSING_EVENT_TYPE, "kind", KINDS, {"kind": ""}),
        (Reason.UNKNOWN_EVENT_TYPE, "kind", KINDS, {"kind": "topup"}),
        (Reason.UNKNOWN_EVENT_TYPE, "kind", KINDS, {"kind": ["recharge"]}),
        (Reason.UNKNOWN_EVENT_TYPE, "kind", KINDS | {"event_types": {"None": "sms"}}, {"kind": {}}),
        (Reason.UNKNOWN_EVENT_TYPE, "kind", KINDS | {"event_types": {"t": "recharge"}}, {"kind": "recharge"}),
        (Reason.RESERVED_EVENT_TYPE, "kind", KINDS, {"kind": "_tick"}),
        (Reason.MISSING_VALUE, "amount", BASE, {"amount": None}),
        (Reason.MISSING_VALUE, "amount", BASE, {"amount": " "}),
        (Reason.MISSING_VALUE, "value_field", KINDS | {"value_field": None}, {"kind": "recharge"}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": "ninety"}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": "9_6"}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": True}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": [96]}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": math.nan}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": "nan"}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": math.inf}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": "-inf"}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": 10**14}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": 10**400}),
        (Reason.BAD_VALUE, "amount", BASE | {"value_scale": 0.01}, {"amount": 10**400}),
        (Reason.BAD_VALUE, "amount", BASE, {"amount": Decimal("sNaN")}),
        (Reason.BAD_VALUE, "amount", BASE | {"event_type": "voice_call"}, {"amount": -1}),
        (Reason.MISSING_TIMESTAMP, "at", BASE, {"at": None}),
        (Reason.MISSING_TIMESTAMP, "at", BASE, {"at": ""}),
        (Reason.BAD_TIMESTAMP, "at", BASE, {"at": "yesterday"}),
        (Reason.BAD_TIMESTAMP, "at", BASE, {"at": 1_577_836_967}),
        (Reason.BAD_TIMESTAMP, "at", BASE, {"at": "1970-12-31 23:59:59"}),
        (Reason.BAD_TIMESTAMP, "at", BASE, {"at": "2100-01-01 00:00:00"}),
        (Reason.BAD_TIMESTAMP, "at", BASE | {"timestamp_format": "epoch_s"}, {"at": math.inf}),
        (Reason.BAD_TIMESTAMP, "at", BASE | {"timestamp_format": "epoch_s"}, {"at": 10**400}),
        (Reason.BAD_TIMESTAMP, "at", BASE | {"timestamp_format": "epoch_s"}, {"at": 1e306}),
        (Reason.FUTURE_EVENT, "at", BASE, {"at": "2020-01-02T00:02:48.001Z"}),
        (Reason.BAD_EVENT_ID, "tx", BASE | {"event_id_field": "tx"}, {"tx": {"id": 1}}),
        (Reason.BAD_EVENT_ID, "tx", BASE | {"event_id_field": "tx"}, {"tx": "x" * 257}),
    ],
)
def test_what_does_not_fit_says_why_and_where(
    reason: Reason, field: str, mapping: dict[str, Any], change: dict[str, Any]
) -> None:
    outcome = mapped(mapping, RECORD | change)
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.reason, outcome.field) == (reason, field)
    assert outcome.message.startswith(f"{field}: ")
    assert len(outcome.message) < 200


@pytest.mark.parametrize("field", ["id", "amount", "at"])
def test_a_field_that_is_not_there_is_missing(field: str) -> None:
    outcome = mapped(BASE, {name: value for name, value in RECORD.items() if name != field})
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith("missing_")
    assert outcome.field == field


@pytest.mark.parametrize(
    ("found", "value"),
    [(96, 96), (96.25, 96.25), ("96", 96), (" 96.25 ", 96.25), ("1e2", 100), (-5, -5), (0, 0), ("-5.5", -5.5),
     (Decimal("96.25"), 96.25), (Decimal(96), 96), (9.99e12, 9.99e12)],
)  # fmt: skip
def test_amounts(found: Any, value: float) -> None:
    event = fits(BASE, RECORD | {"amount": found})
    assert event.value == value
    assert type(event.value) is type(value)


def test_the_scale_makes_the_unit() -> None:
    kilobytes = BASE | {"event_type": "data_session", "value_scale": 1 / 1024}
    assert fits(kilobytes, RECORD | {"amount": "2048"}).value == 2
    refund = BASE | {"event_type": "refund", "value_scale": -1}
    assert fits(refund, RECORD | {"amount": -5}).value == 5


@pytest.mark.parametrize("event_type", sorted(SOURCE_TYPES))
@pytest.mark.parametrize("record", [{}, {"amount": None}, {"amount": ""}])
def test_no_value_counts_one_where_events_are_counted(event_type: str, record: dict[str, Any]) -> None:
    outcome = mapped(KINDS, {"id": "0018", "at": AT, "kind": event_type} | record)
    if event_type in COUNTED:
        assert isinstance(outcome, Mapped)
        assert outcome.value == 1
    else:
        assert isinstance(outcome, Rejected)
        assert outcome.reason == Reason.MISSING_VALUE
    assert "sms" in COUNTED


def test_codes_are_text_or_whole_numbers() -> None:
    codes = KINDS | {"event_types": {"1": "recharge", "t": "refund"}}
    assert fits(codes, RECORD | {"kind": 1}).event_type == "recharge"
    assert fits(codes, RECORD | {"kind": 1.0}).event_type == "recharge"
    assert fits(codes, RECORD | {"kind": "t"}).event_type == "refund"


@pytest.mark.parametrize(
    ("found", "customer"),
    [("+880 (18)-42", "+8801842"), ("00880-1842", "+8801842"), ("0-1842", "+8801842"), ("1842", "1842"),
     (880, "880")],
)  # fmt: skip
def test_ids_are_made_alike(found: Any, customer: str) -> None:
    form = {"remove": " -()", "prefixes": {"00": "+", "0": "+880"}}
    assert fits(BASE | {"id_format": form}, RECORD | {"id": found}).customer_id == customer


def test_ids_are_left_as_they_are_unless_told() -> None:
    assert fits(BASE, RECORD | {"id": " +880 18 "}).customer_id == " +880 18 "
    assert fits(BASE, RECORD | {"id": 8_801_842}).customer_id == "8801842"
    assert fits(BASE, RECORD | {"id": 8_801_842.0}).customer_id == "8801842"


def test_an_event_id_is_the_records_or_a_hash_of_its_bytes_and_source() -> None:
    own = BASE | {"event_id_field": "tx"}
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    assert fits(own, RECORD | {"tx": 7}).event_id == "7"
    assert fits(own, RECORD | {"tx": uuid}).event_id == str(uuid)
    hashes = {fits(own, record).event_id for record in (RECORD | {"tx": None}, RECORD | {"tx": ""}, RECORD)}
    assert len(hashes) == 3
    assert fits(own, RECORD).event_id == fits(BASE, RECORD).event_id
    other = source(BASE)
    other = SourceContent("other", other.source_type, other.event_mapping)
    elsewhere = compile_mapping(other, Decisions())(RECORD, ARRIVAL, msgspec.json.encode(RECORD))
    assert isinstance(elsewhere, Mapped)
    assert elsewhere.event_id not in hashes


def test_an_event_may_be_a_day_early_and_not_more() -> None:
    assert isinstance(mapped(BASE, RECORD | {"at": "2020-01-02T00:02:48Z"}), Mapped)
    assert isinstance(mapped(BASE, RECORD | {"at": "1999-01-01T00:00:00Z"}), Mapped)


def test_a_nested_object_gives_attributes_but_none_of_khaywes_own() -> None:
    nested = {"a": 1, "b": None, "_backfill": True, "c": {"d": [1]}, "e": datetime(2020, 1, 1, tzinfo=UTC)}
    event = fits(BASE | {"attributes_field": "more", "attributes": {"a": "id"}}, RECORD | {"more": nested})
    assert event.attributes == {"a": "0018", "b": None, "c": '{"d":[1]}', "e": "2020-01-01 00:00:00+00:00"}
    assert fits(BASE | {"attributes_field": "more"}, RECORD | {"more": "text"}).attributes is None


def test_a_dotted_path_ends_where_there_is_no_object() -> None:
    assert getter("a.b.c")({"a": {"b": {"c": 1}}}) == 1
    for record in ({}, {"a": None}, {"a": 1}, {"a": {"b": [1]}}, {"a.b.c": 1}):
        assert getter("a.b.c")(record) is None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.decimals(), st.uuids(),
    st.datetimes(), st.dates(), st.binary(max_size=5),
    st.sampled_from(["0018", AT, "recharge", "sms", "_tick", 96, 1_577_836_967, 10**400, -(10**400)]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "_c"]), inner, max_size=3)
    ),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(["id", "amount", "at", "kind", "tx", "more"]), VALUES)
MAPPINGS = [
    BASE,
    KINDS | {"attributes_field": "more", "attributes": {"x": "more.a"}, "event_id_field": "tx"},
    KINDS | {"timestamp_format": "epoch_s", "value_scale": 0.01, "event_id_field": "tx.a"},
    BASE | {"timestamp_format": "epoch_ms", "timestamp_field": "more.a", "customer_id_field": "tx.a"},
    BASE | {"timestamp_format": "%Y-%m-%d %H:%M:%S", "timezone": "Europe/Warsaw"},
    BASE | {"id_format": {"remove": " ", "prefixes": {"0": "+"}}, "event_type": "sms", "value_field": None},
]
COMPILED = [compile_mapping(source(mapping), Decisions()) for mapping in MAPPINGS]


# Slow to begin with: the first text needs a table of all characters.
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, st.sampled_from(COMPILED), st.integers(0, 4_102_444_799_999), st.booleans())
def test_any_record_is_mapped_or_rejected_and_an_event_can_be_read(
    record: dict[str, Any], one: Any, arrival: int, backfill: bool
) -> None:
    outcome = one(record, arrival, b"content")
    if isinstance(outcome, Rejected):
        assert outcome.field
        assert outcome.message.startswith(outcome.field)
        return
    event = msgspec.json.decode(encode_event(outcome, "billing", arrival, backfill), type=CustomerEvent)
    assert event.customer_id == outcome.customer_id
    assert 0 < len(event.customer_id.encode()) <= 256
    assert event.event_type in SOURCE_TYPES
    assert math.isfinite(event.value)
    assert 1971 <= int(event.occurred_at[:4]) <= 2099
    assert event.attributes.get("_backfill", False) is backfill
    assert all(not name.startswith("_") or name == "_backfill" for name in event.attributes)
