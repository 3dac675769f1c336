"""What leaves a partition when one customer becomes another: the `_merge` record, and records re-keyed."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import msgspec

from loyalty.effects import SOURCE
from loyalty.records import Record

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(order="sorted").encode

_MEMBERS = (
    "event_id", "customer_id", "event_type", "source", "value", "occurred_at", "received_at", "attributes",
)  # fmt: skip


def merge_record(
    record: Record, hash_: int, row: bytes, entries: dict[int, int], profile: dict[str, Any]
) -> tuple[bytes, bytes]:
    """Key and value of the `_merge` by which a customer_link hands its row on, as bytes in base64."""
    to: str = record.attributes["to"]
    value = {
        "event_id": f"merge:{hash_:016x}",
        "customer_id": to,
        "event_type": "_merge",
        "source": SOURCE,
        "value": 1,
        "occurred_at": record.occurred_at,
        "received_at": record.received_at,
        "attributes": {
            "from": record.customer_id,
            "path": [record.customer_id],
            "row": b64encode(row).decode(),
            "ids": {f"{entry:016x}": time for entry, time in entries.items()},
            "profile": profile,
        },
    }
    return to.encode(), msgspec.json.encode(value)


def own_record(
    customer_id: str, event_type: str, event_id: str, at: str, attributes: dict[str, Any]
) -> tuple[bytes, bytes]:
    """Key and value of a record by which the fold speaks to another partition's."""
    value = {
        "event_id": event_id,
        "customer_id": customer_id,
        "event_type": event_type,
        "source": SOURCE,
        "value": 1,
        "occurred_at": at,
        "received_at": at,
        "attributes": attributes,
    }
    return customer_id.encode(), msgspec.json.encode(value)


def path_of(record: Record) -> list[str]:
    """The customers that a record has been re-keyed from."""
    path = record.attributes.get("path" if record.event_type == "_merge" else "_path")
    if isinstance(path, list) and all(isinstance(each, str) for each in path):
        return path
    return []


def rekeyed(record: Record, raw: bytes, to: str) -> tuple[bytes, bytes]:
    """Key and value of the same record for the customer that its own has become; attributes as they came."""
    fields = _fields(raw)
    path = msgspec.json.encode([*path_of(record), record.customer_id])
    attributes = _fields(fields.get("attributes", b"{}"))
    attributes["path" if record.event_type == "_merge" else "_path"] = msgspec.Raw(path)
    fields["customer_id"] = msgspec.Raw(msgspec.json.encode(to))
    fields["attributes"] = msgspec.Raw(msgspec.json.encode(attributes))
    return to.encode(), msgspec.json.encode({name: fields[name] for name in _MEMBERS})
