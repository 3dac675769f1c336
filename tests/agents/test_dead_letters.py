"""The form of dead letters on the topic, which must stay readable, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.dead_letters import LARGEST_KEPT, Bytes, Letter, Replayed, decode, encode, letter, time_of
from catalog.mapping import Reason
from tests.agents.records import kafka_record

PAGE = Path(__file__).parents[2] / "docs" / "dead-letters.md"

LETTER = Letter(
    id="raw/2/118",
    stage="normalizer",
    source="billing",
    reason="missing_value",
    message="amount: recharge needs a value",
    topic="raw",
    partition=2,
    offset=118,
    timestamp=1_577_836_967_000,
    key=Bytes(4, base64=b"4670"),
    value=None,
    headers=[("trace", b"\x01"), ("empty", None)],
)
GOLDEN = (
    b'{"id":"raw/2/118","stage":"normalizer","source":"billing","reason":"missing_value",'
    b'"message":"amount: recharge needs a value","topic":"raw","partition":2,"offset":118,'
    b'"timestamp":1577836967000,"key":{"size":4,"base64":"NDY3MA=="},"value":null,'
    b'"headers":[["trace","AQ=="],["empty",null]],"headers_left_out":0}'
)
NOTE = Replayed(replayed="raw/2/118", source="billing", command_id="c", revision=7)
GOLDEN_NOTE = b'{"replayed":"raw/2/118","source":"billing","command_id":"c","revision":7}'


@pytest.mark.parametrize(("entry", "golden"), [(LETTER, GOLDEN), (NOTE, GOLDEN_NOTE)])
def test_the_wire_format_stays(entry: Letter | Replayed, golden: bytes) -> None:
    assert encode(entry) == golden
    assert decode(golden) == entry


def test_a_letter_says_what_the_record_was() -> None:
    record = kafka_record(
        b"v", key=b"4670", topic="raw", partition=2, offset=118, timestamp=1_577_836_967_000
    )
    made = letter(record, "customers", "", "undecodable", "m" * 1000)
    assert (made.id, made.stage, len(made.message)) == ("raw/2/118", "customers", 500)
    assert time_of(made) == "2020-01-01T00:02:47.000Z"


def test_the_largest_letter_fits_into_a_record_of_any_broker() -> None:
    most = b"\xff" * LARGEST_KEPT
    record = kafka_record(most, key=most, headers=[(f"h{n}", b"x" * 1000) for n in range(100)])
    assert len(encode(letter(record, "normalizer", "s" * 63, "undecodable", "\\" * 1000))) < 1_000_000


def test_the_page_names_every_reason() -> None:
    table = PAGE.read_text().split("## Reasons")[1].split("## ")[0]
    named = {name for row in table.splitlines() if row.startswith("| `") for name in codes(row)}
    # A record of a topic without a source is never read; a replay may name one.
    assert named == {*Reason, "invalid_command"} - {Reason.UNKNOWN_SOURCE}


def codes(row: str) -> list[str]:
    return re.findall(r"`(\w+)`", row.split("|")[1])
