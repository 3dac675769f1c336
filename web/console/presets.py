"""What a data source of each of the eight types usually looks like: where a new one's editor begins.

A mapping as the editor has it, and a record that it fits; people change names of fields to their own.
"""

from __future__ import annotations

import json
from typing import Any

PRESETS: dict[str, dict[str, str]] = {
    "cdr": {
        "customer_id_field": "msisdn", "event_type_field": "record_type", "value_field": "duration",
        "timestamp_field": "start_time", "event_id_field": "cdr_id",
        "event_types": "MOC = voice_call\nROAM = roaming_call", "attributes": "cell = cell_id",
    },
    "billing": {
        "customer_id_field": "account.msisdn", "event_type_field": "kind", "value_field": "amount_cents",
        "value_scale": "0.01", "timestamp_field": "booked_at", "event_id_field": "transaction_id",
        "event_types": "TOPUP = recharge\nPAYMENT = payment\nBUNDLE = bundle_purchase\nINVOICE = invoice",
        "attributes": "on_time = on_time",
    },
    "crm": {
        "customer_id_field": "customer", "event_type_field": "change", "timestamp_field": "at",
        "event_id_field": "id",
        "event_types": "NEW = activation\nCHANGED = profile_update\nTICKET = complaint\nEND = customer_ended",
        "attributes": "segment = profile.segment\nlanguage = profile.language",
    },
    "app": {
        "customer_id_field": "user", "event_type_field": "event", "timestamp_field": "ts",
        "timestamp_format": "epoch_ms", "event_id_field": "uuid",
        "event_types": "login = app_login\nfeature = feature_use\nview = content_view\nshare = social_share",
        "attributes": "feature = screen",
    },
    "network": {
        "customer_id_field": "imsi_msisdn", "event_type": "data_session", "value_field": "bytes",
        "value_scale": "0.00000095367431640625", "timestamp_field": "ended",
        "timestamp_format": "epoch_s", "event_id_field": "session",
    },
    "dwh": {
        "customer_id_field": "subscriber_id", "event_type": "invoice", "value_field": "net_amount",
        "timestamp_field": "invoice_date", "timestamp_format": "%Y-%m-%d", "event_id_field": "invoice_no",
    },
    "xiva": {
        "customer_id_field": "subscriber", "event_type_field": "operation", "value_field": "price",
        "timestamp_field": "performed", "event_id_field": "operation_id",
        "event_types": "buy = bundle_purchase\nrenew = auto_renew\nupgrade = plan_upgrade",
        "attributes": "product = product_id",
    },
    "custom": {
        "customer_id_field": "customer_id", "event_type_field": "event_type", "value_field": "value",
        "timestamp_field": "occurred_at", "event_id_field": "event_id", "attributes_field": "attributes",
    },
}  # fmt: skip
SAMPLES: dict[str, dict[str, Any]] = {
    "cdr": {
        "cdr_id": "c-1", "msisdn": "+15550001", "record_type": "MOC", "duration": 182,
        "start_time": "2026-03-01T12:00:00Z", "cell_id": "310-26-1",
    },
    "billing": {
        "transaction_id": "t-1", "account": {"msisdn": "+15550001"}, "kind": "TOPUP", "amount_cents": 2000,
        "booked_at": "2026-03-01T12:00:00Z",
    },
    "crm": {
        "id": "p-1", "customer": "+15550001", "change": "CHANGED", "at": "2026-03-01T12:00:00Z",
        "profile": {"segment": "youth", "language": "en"},
    },
    "app": {"uuid": "a-1", "user": "+15550001", "event": "feature", "screen": "usage", "ts": 1772366400000},
    "network": {"session": "s-1", "imsi_msisdn": "+15550001", "bytes": 52428800, "ended": 1772366400},
    "dwh": {
        "invoice_no": "i-1", "subscriber_id": "+15550001", "net_amount": "29.90",
        "invoice_date": "2026-03-01",
    },
    "xiva": {
        "operation_id": "o-1", "subscriber": "+15550001", "operation": "buy", "product_id": "data-10gb",
        "price": 9.9, "performed": "2026-03-01T12:00:00Z",
    },
    "custom": {
        "event_id": "e-1", "customer_id": "+15550001", "event_type": "recharge", "value": 20,
        "occurred_at": "2026-03-01T12:00:00Z", "attributes": {"channel": "app"},
    },
}  # fmt: skip


def preset(source_type: str) -> dict[str, str]:
    """Fields of the editor for a new source of a type."""
    return PRESETS[source_type] | {
        "source_type": source_type, "sample": json.dumps(SAMPLES[source_type], indent=2)
    }  # fmt: skip
