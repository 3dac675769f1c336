"""The demo's input: two months of 925 subscribers, from four data sources, in the order it happened.

Top-ups and data sessions are third-party records (demo_data/README.md); CDRs and app events of the same
subscribers come from a seeded generator, with some records sent twice and some that cannot be used.  The CRM
tells of each subscriber once, when it is first seen; the gateway answers what a campaign sends.
"""

from __future__ import annotations

import csv
import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.generate import EVENT_TYPES, cdrs

encode = msgspec.json.encode

DATA = Path(__file__).with_name("demo_data")
START = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2020, 3, 1, tzinfo=UTC)
DAYS = (END - START).days
SEED = 925
#: CDRs and app events: about three a day of each subscriber.
CDRS = 160_000
#: Every so many CDRs one is sent twice, as networks do.
REPEAT_EVERY = 1_000

#: The source of a gateway's answers: what it has delivered.
GATEWAY = "sms-gateway"
#: One subscriber of so many wants no messages; one of so many reads French.
REFUSES, FRENCH = 10, 5

SOURCES: list[dict[str, Any]] = [
    {
        "name": "recharges",
        "source_type": "billing",
        "event_mapping": {
            "customer_id_field": "caller_id",
            "timestamp_field": "timestamp",
            "event_type": "recharge",
            "value_field": "amount",
        },
    },
    {
        "name": "mobiledata",
        "source_type": "network",
        "event_mapping": {
            "customer_id_field": "caller_id",
            "timestamp_field": "timestamp",
            "event_type": "data_session",
            "value_field": "volume",
        },
    },
    {
        "name": "cdr-app",
        "source_type": "cdr",
        "event_mapping": {
            "customer_id_field": "msisdn",
            "timestamp_field": "event_time",
            "event_type_field": "cdr_type",
            "event_types": EVENT_TYPES,
            "value_field": "usage",
            "event_id_field": "event_id",
            "attributes": {"feature": "app.feature", "content": "app.content", "cell": "cell"},
        },
    },
    {
        "name": "crm",
        "source_type": "crm",
        "event_mapping": {
            "customer_id_field": "subscriber",
            "timestamp_field": "since",
            "event_type": "profile_update",
            "attributes": {"consent": "marketing", "language": "language"},
        },
    },
    {
        "name": GATEWAY,
        "source_type": "custom",
        "event_mapping": {
            "customer_id_field": "to",
            "timestamp_field": "at",
            "event_type": "campaign_delivered",
            "event_id_field": "message_id",
            "attributes": {"trigger_id": "message_id"},
        },
    },
]


class Record(NamedTuple):
    """A raw record and when it is sent: ISO 8601 without a zone."""

    at: str
    source: str
    key: bytes | None
    value: bytes


def file_records(name: str) -> Iterator[Record]:
    """Records of recharges.csv or mobiledata.csv, as `khaywe ingest` sends them."""
    with (DATA / f"{name}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["caller_id"].encode()
            yield Record(row["timestamp"].replace(" ", "T"), name, key, encode(row))


@lru_cache(maxsize=1)
def subscribers() -> tuple[str, ...]:
    """Every id of both files, unchanged: `+88` and `00` begin different ones."""
    keys = {record.key for name in ("recharges", "mobiledata") for record in file_records(name)}
    return tuple(sorted(key.decode() for key in keys if key is not None))


def generated() -> Iterator[dict[str, Any]]:
    """The CDRs and app events, each once."""
    return cdrs(SEED, subscribers(), CDRS, DAYS, START)


def cdr_records() -> Iterator[Record]:
    """The same as they are sent: some twice, and between them what cannot be used."""
    bad = poison()
    every = CDRS // (len(bad) + 1)
    for number, record in enumerate(generated(), 1):
        at = record["event_time"].removesuffix("Z")
        sent = Record(at, "cdr-app", record["msisdn"].encode(), encode(record))
        yield sent
        if number % REPEAT_EVERY == 0:
            yield sent
        if number % every == 0 and bad:
            yield Record(at, "cdr-app", None, bad.pop(0))


def poison() -> list[bytes]:
    """One record of each kind that a source gets wrong."""
    good = {
        "event_id": "bad-1", "msisdn": subscribers()[0], "cdr_type": "VOICE", "usage": 60,
        "event_time": "2020-01-15T12:00:00Z",
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"msisdn": None},
        {"cdr_type": "FAX"},
        {"cdr_type": None},
        {"usage": "infinite"},
        {"usage": None},
        {"event_time": "15/01/2020 noon"},
        {"event_time": None},
        {"event_time": "2098-01-15T12:00:00Z"},
        {"cell": "x" * (950 << 10)},
    ]
    broken = [
        encode(good | {"event_id": f"bad-{number}"} | change) for number, change in enumerate(changes, 1)
    ]
    return [*broken, encode(good)[:-20], b"\xff\xfe", b""]


def profile(key: bytes, at: str) -> Record:
    """What the CRM says of a subscriber."""
    dice = int.from_bytes(blake2b(key, digest_size=8).digest())
    told = {
        "subscriber": key.decode(), "since": f"{at}Z", "marketing": dice % REFUSES != 0,
        "language": "fr" if dice % FRENCH == 1 else "en",
    }  # fmt: skip
    return Record(at, "crm", key, encode(told))


def replay() -> Iterator[Record]:
    """Everything, in the order it happened; but what the gateway says."""
    known: set[bytes] = set()
    for record in heapq.merge(
        file_records("recharges"), file_records("mobiledata"), cdr_records(), key=lambda record: record.at
    ):
        if record.key is not None and record.key not in known:
            known.add(record.key)
            yield profile(record.key, record.at)
        yield record
