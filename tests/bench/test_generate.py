"""The generators: the same seed gives the same records, in order of time, as their readers expect them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from bench.generate import EVENT_TYPES, cdr_blocks, cdrs
from loyalty.events import SOURCE_TYPES

START = datetime(2020, 1, 1, tzinfo=UTC)
SUBSCRIBERS = [f"0018{n:07d}" for n in range(200)]


def test_a_seed_is_a_story() -> None:
    first = list(cdrs(7, SUBSCRIBERS, 20_000, 60, START))
    assert first == list(cdrs(7, SUBSCRIBERS, 20_000, 60, START))
    assert first != list(cdrs(8, SUBSCRIBERS, 20_000, 60, START))
    times = [record["event_time"] for record in first]
    assert times == sorted(times)
    assert times[0] >= "2020-01-01T00:00:00Z"
    assert times[-1] < "2020-03-01T00:00:00Z"
    assert len({record["event_id"] for record in first}) == len(first)


def test_every_kind_of_record_occurs_and_has_an_event_type() -> None:
    records = list(cdrs(7, SUBSCRIBERS, 20_000, 60, START))
    assert {record["cdr_type"] for record in records} == set(EVENT_TYPES)
    assert set(EVENT_TYPES.values()) <= SOURCE_TYPES
    assert {"feature"} == {key for r in records if r["cdr_type"] == "APP_FEATURE" for key in r["app"]}
    assert all(r["usage"] > 0 for r in records if "cell" in r)
    active = Counter(record["msisdn"] for record in records)
    assert max(active.values()) > 20 * min(active.values())


def test_some_subscribers_fall_silent() -> None:
    last: dict[str, str] = {}
    for record in cdrs(7, SUBSCRIBERS, 20_000, 60, START):
        last[record["msisdn"]] = record["event_time"]
    silent = sum(at < "2020-02-20" for at in last.values())
    assert 10 < silent < 60


def test_blocks_are_json_of_200_bytes_in_order_of_time() -> None:
    blocks = list(cdr_blocks(7, 1_000, 2_500, 10, START, block=1_000))
    assert [len(values) for _, values in blocks] == [1_000, 1_000, 500]
    keys = [key for block, _ in blocks for key in block]
    values = [value for _, block in blocks for value in block]
    assert {len(value) for value in values} == {200}
    records = [json.loads(value) for value in values]
    assert [record["msisdn"].encode() for record in records] == keys
    assert len({record["event_id"] for record in records}) == 2_500
    assert {record["cdr_type"] for record in records} == {"VOICE", "SMS", "DATA"}
    times = [record["event_time"] for record in records]
    assert times == sorted(times)
    assert times[-1].startswith("2020-01-10T23:5")
    assert blocks == list(cdr_blocks(7, 1_000, 2_500, 10, START, block=1_000))
