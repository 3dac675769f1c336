"""What is refused when a data source is saved, and that the message names the field."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.schema import DataSource
from catalog.service import CatalogError, parse_source

MAPPING = {"customer_id_field": "id", "event_type": "recharge", "value_field": "v", "timestamp_field": "at"}
CODES = {"event_type": None, "event_type_field": "kind"}
AVRO = {"type": "record", "name": "r", "fields": [{"name": n, "type": "string"} for n in ("id", "v", "at")]}


def given(mapping: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "billing", "source_type": "billing", "event_mapping": MAPPING | (mapping or {}), **more}


def connected(**connection: Any) -> dict[str, Any]:
    return given(connection_config=connection)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (given(name="Billing"), "name: a name has small letters"),
        (given(name="khaywe"), "name: khaywe is the source of khaywe's own records"),
        (given(source_type="sms"), "source_type: .*'cdr'"),
        (given(colour="red"), "colour: "),
        (given({"customer_id": "id"}), "event_mapping.customer_id: "),
        (given({"customer_id_field": ""}), "event_mapping.customer_id_field: '' is no field"),
        (given({"value_field": "a..b"}), "event_mapping.value_field: 'a..b' is no field"),
        (given({"event_type": "topup"}), "event_mapping.event_type: there is no event type 'topup'"),
        (given({"event_type": "_tick"}), "event_mapping.event_type: '_tick': .* khaywe's own"),
        (given(CODES | {"event_types": {"1": "_marker"}}), "event_mapping.event_types: '_marker'"),
        (given({"event_type_field": "kind"}), "event_mapping: say either event_type"),
        (given({"event_type": None}), "event_mapping: say either event_type"),
        (given({"event_types": {"1": "sms"}}), "event_types goes with event_type_field"),
        (given({"value_field": None}), "value_field: recharge needs a value"),
        (given(CODES | {"value_field": None, "event_types": {"1": "sms", "2": "voice_call"}}),
         "value_field: voice_call needs a value"),
        (given({"value_scale": 0}), "event_mapping.value_scale: must be a number other than 0"),
        (given({"value_scale": float("nan")}), "event_mapping.value_scale: must be a number"),
        (given({"event_type": "sms", "value_field": None, "value_scale": 2}), "value_scale: there is no"),
        (given({"timestamp_format": "unix"}), "event_mapping.timestamp_format: .*iso8601"),
        (given({"timestamp_format": "%Y-%m-%Q"}), "event_mapping.timestamp_format: .*no strptime pattern"),
        (given({"timestamp_format": "%H:%M:%S"}), "event_mapping.timestamp_format: .*year, month and day"),
        (given({"timezone": "Mars/Olympus"}), "event_mapping.timezone: there is no timezone 'Mars/Olympus'"),
        (given({"timezone": "../etc/passwd"}), "event_mapping.timezone: there is no timezone"),
        (given({"attributes": {"_backfill": "x"}}), "event_mapping.attributes: .*_backfill"),
        (given({"attributes": {"tariff": "a."}}), "event_mapping.attributes: 'a.' is no field"),
        (given({"id_format": {"prefixes": {"": "+"}}}), "id_format.prefixes: an empty prefix"),
        (connected(kafka_topic="no topic"), "connection_config.kafka_topic: a topic has letters"),
        (connected(format="xml"), "connection_config.format: .*'json'"),
        (connected(format="csv"), "columns go with format csv"),
        (connected(columns=["id"]), "columns go with format csv"),
        (connected(format="csv", columns=[]), "columns: every column needs a name"),
        (connected(format="csv", columns=["id", "v", "at", "v"]), "columns: every column needs a name"),
        (connected(format="csv", columns=["id", "v", "at"], delimiter='"'), "delimiter: a quote"),
        (connected(format="csv", columns=["id", "amount", "at"]),
         r"event_mapping.value_field: there is no 'v' in a record, which has id, amount, at"),
        (connected(format="avro"), "needs either avro_schema or schema_registry"),
        (connected(format="avro", avro_schema={"type": "recor"}), "avro_schema: "),
        (connected(format="avro", avro_schema={"type": "string"}), "avro_schema: must be a record"),
        (connected(format="avro", avro_schema=AVRO | {"fields": AVRO["fields"][:2]}),
         "event_mapping.timestamp_field: there is no 'at' in a record"),
        (connected(format="avro", schema_registry="registry:8081"), "schema_registry: must be a URL"),
        (connected(format="avro", schema_registry="http://me:secret@registry"), "carries no secrets"),
        (connected(schema_registry="http://registry"), "go with format avro"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_field(source: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        parse_source(source)


@pytest.mark.parametrize(
    "source",
    [
        given(),
        given(CODES | {"event_types": {1: "sms"}, "value_field": None}),  # YAML reads 1 as a number
        given(CODES | {"event_types": None}),
        given({"timestamp_format": "%d/%m/%y"}),
        given({"value_scale": -0.01}),
        given({"value_field": "amounts.paid"}, connection_config={"kafka_topic": "Raw.Billing_1"}),
        connected(format="csv", columns=["id", "v", "at"], delimiter="\t"),
        connected(format="avro", avro_schema=AVRO),
        connected(format="avro", schema_registry="https://registry:8081/base"),
    ],
)
def test_what_can_work_is_taken(source: dict[str, Any]) -> None:
    parsed = parse_source(source)
    assert DataSource.model_validate(parsed.model_dump(mode="json", exclude_defaults=True)) == parsed


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(CatalogError) as refused:
        parse_source(given({"event_type": "topup", "timezone": "X"}, source_type="?"))
    assert {"event_type", "timezone", "source_type"} <= {
        line.strip().split(":")[0].rsplit(".")[-1] for line in str(refused.value).splitlines()[1:]
    }
