"""Raw records of every format to events, and every kind of poison to a dead letter with its reason."""

from __future__ import annotations

import io
import json
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import fastavro
import msgspec
import pytest

from agents import dead_letters
from agents.dead_letters import Letter
from agents.normalizing import ZERO, NormalizerProcessor
from catalog.content import Content, SourceContent
from config.settings import Settings
from loyalty.content import Decisions, ScoringPolicy
from streams.batches import Aborted, Epoch, Partition, Poll, RecordBatch
from streams.records import Records
from tests.agents.records import Sent, Transaction, batch, kafka_record

MAPPING = {
    "customer_id_field": "msisdn",
    "event_type_field": "kind",
    "event_types": {"CALL": "voice_call", "TOPUP": "recharge", "LOGIN": "app_login"},
    "value_field": "amount",
    "timestamp_field": "at",
    "event_id_field": "id",
    "attributes": {"cell": "place.cell"},
}
ARRIVED = 1_577_836_967_000  # 2020-01-01T00:02:47Z
GOOD = {"id": "e1", "msisdn": "4670", "kind": "CALL", "amount": 60, "at": "2020-01-01T00:02:00Z"}

AVRO_FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "msisdn", "type": ["null", "string"]},
    {"name": "kind", "type": "string"},
    {"name": "amount", "type": "double"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
AVRO = {"type": "record", "name": "Cdr", "fields": AVRO_FIELDS}


class Feed:
    """The catalog, as told."""

    def __init__(self, *sources: SourceContent, revision: int = 1) -> None:
        self.revise(*sources, revision=revision)

    def revise(self, *sources: SourceContent, revision: int) -> None:
        self.content = Content(
            revision=revision,
            created_at="",
            decisions=Decisions(),
            policy=ScoringPolicy(),
            sources=list(sources),
        )

    def latest(self) -> Content:
        return self.content


def source(name: str = "cdr", **connection: Any) -> SourceContent:
    return SourceContent(name, "cdr", MAPPING, {"kafka_topic": f"raw-{name}", **connection}, True)


def processor(feed: Feed, **settings: Any) -> NormalizerProcessor:
    found = NormalizerProcessor(Settings(_env_file=None, clock="event", **settings), feed)  # type: ignore[arg-type]
    found.take(epoch())
    return found


def epoch(*numbers: int) -> Epoch:
    """An epoch that owns these partitions of customer-commands; by default one that is not the first."""
    owned = frozenset(Partition(ZERO.topic, number) for number in numbers or (1,))
    return Epoch("khaywe-normalizer", 1, "me", owned, positions=dict.fromkeys(owned, 40))


def run(work: NormalizerProcessor, *batches: RecordBatch, owner: Epoch | None = None) -> Transaction:
    transaction = Transaction()
    work.process(Poll(owner or epoch(), batches), transaction)
    return transaction


def events(transaction: Transaction) -> list[dict[str, Any]]:
    found = [json.loads(sent.value or b"") for sent in transaction.of("customer-events")]
    return [event for event in found if not event["event_type"].startswith("_")]


def letters(transaction: Transaction) -> list[Letter]:
    found = [dead_letters.decode(sent.value or b"") for sent in transaction.of("dead-letters")]
    return [letter for letter in found if isinstance(letter, Letter)]


def raw(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def json_batch(*values: bytes | None, **more: Any) -> RecordBatch:
    return batch("raw-cdr", 5, values, timestamp=ARRIVED, **more)


def test_a_record_becomes_an_event_keyed_by_its_customer() -> None:
    sent = run(processor(Feed(source())), json_batch(raw(place={"cell": 7})))
    assert events(sent) == [
        {
            "event_id": "e1",
            "customer_id": "4670",
            "event_type": "voice_call",
            "source": "cdr",
            "value": 60,
            "occurred_at": "2020-01-01T00:02:00.000Z",
            "received_at": "2020-01-01T00:02:47.000Z",
            "attributes": {"cell": 7},
        }
    ]
    assert sent.of("customer-events")[-1].key == b"4670"
    assert sent.of("customer-events")[-1].partition == -1


def test_one_transaction_commits_where_every_batch_ends() -> None:
    work = processor(Feed(source(), source("other")))
    first, second = (
        json_batch(raw(), raw(id="e2"), begin=7),
        batch("raw-other", 1, [raw()], timestamp=ARRIVED),
    )
    gap = RecordBatch(Partition("raw-cdr", 1), 3, 5, Records.of(Partition("raw-cdr", 1), []))
    sent = run(work, first, second, gap)
    assert sent.offsets == [{first.source: 9, second.source: 1, gap.source: 5}]
    assert len(events(sent)) == 3


def test_a_heartbeat_without_work_commits_nothing() -> None:
    assert run(processor(Feed(source()))).offsets == []


def test_the_backfill_header_marks_history() -> None:
    sent = run(processor(Feed(source())), json_batch(raw(), headers=[("khaywe-backfill", b"1")]))
    assert events(sent)[0]["attributes"] == {"_backfill": True}
    sent = run(processor(Feed(source())), json_batch(raw(), headers=[("other", None)]))
    assert "attributes" not in events(sent)[0]


HUGE = json.dumps(GOOD | {"padding": "x" * (1 << 20)}).encode()

POISON: dict[str, tuple[bytes | None, str, str]] = {
    "null record": (None, "undecodable", "null record"),
    "broken JSON": (b'{"id": "e1", ', "undecodable", "truncated"),
    "no object": (b"[1]", "undecodable", "object"),
    "empty": (b"", "undecodable", "truncated"),
    "no UTF-8": (b'{"msisdn": "\xff"}', "undecodable", "utf-8"),
    "half a surrogate pair": (rb'{"id":"e","msisdn":"\ud800","kind":"CALL"}', "undecodable", ""),
    "NaN": (raw().replace(b"60", b"NaN"), "undecodable", ""),
    "beyond float64": (raw().replace(b"60", b"1e999"), "undecodable", "range"),
    "nested without end": (b'{"a":' * 50_000, "undecodable", "recursion"),
    "5000 digits": (raw().replace(b'"4670"', b"9" * 5000), "undecodable", ""),
    "oversized": (HUGE, "oversized", "1048576"),
    "no customer id": (raw(msisdn=None), "missing_customer_id", "msisdn"),
    "empty customer id": (raw(msisdn=""), "missing_customer_id", "msisdn"),
    "customer id of another kind": (raw(msisdn=[1]), "bad_customer_id", "msisdn"),
    "the character 0": (raw(msisdn="a\0b"), "bad_customer_id", "msisdn"),
    "unknown type": (raw(kind="FAX"), "unknown_event_type", "kind"),
    "reserved type": (raw(kind="_tick"), "reserved_event_type", "kind"),
    "no type": (raw(kind=None), "missing_event_type", "kind"),
    "no number": (raw(amount="many"), "bad_value", "amount"),
    "NaN as text": (raw(amount="nan"), "bad_value", "amount"),
    "infinite": (raw(amount="inf"), "bad_value", "amount"),
    "no value": (raw(amount=None), "missing_value", "amount"),
    "below 0": (raw(amount=-1), "bad_value", "amount"),
    "too large": (raw(amount=1e300), "bad_value", "amount"),
    "unreadable time": (raw(at="yesterday"), "bad_timestamp", "at"),
    "no time": (raw(at=None), "missing_timestamp", "at"),
    "a day and a second ahead": (raw(at="2020-01-02T00:02:48Z"), "future_event", "at"),
    "event id of another kind": (raw(id={}), "bad_event_id", "id"),
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_a_dead_letter_and_the_rest_goes_on(kind: str) -> None:
    value, reason, words = POISON[kind]
    poisoned = json_batch(raw(id="before"), value, raw(id="after"), begin=100, key=b"k")
    sent = run(processor(Feed(source())), poisoned)
    assert [event["event_id"] for event in events(sent)] == ["before", "after"]
    (letter,) = letters(sent)
    assert (letter.reason, letter.id, letter.offset) == (reason, "raw-cdr/5/101", 101)
    assert words in letter.message
    assert (letter.topic, letter.partition, letter.timestamp) == ("raw-cdr", 5, ARRIVED)
    assert (letter.source, letter.stage) == ("cdr", "normalizer")
    assert letter.key == dead_letters.Bytes(1, base64=b"k")
    assert sent.offsets == [{Partition("raw-cdr", 5): 103}]


def test_a_day_ahead_is_still_a_clock_that_differs() -> None:
    assert events(run(processor(Feed(source())), json_batch(raw(at="2020-01-02T00:02:47Z"))))


def test_an_event_too_large_for_the_log_is_a_dead_letter() -> None:
    mapping = MAPPING | {"attributes": {"a": "long", "b": "long"}}
    fat = SourceContent("cdr", "cdr", mapping, {"kafka_topic": "raw-cdr"})
    (letter,) = letters(run(processor(Feed(fat)), json_batch(raw(long="x" * 500_000), raw())))
    assert letter.reason == "oversized"


def test_a_kafka_timestamp_that_is_no_time() -> None:
    work = processor(Feed(source()))
    poisoned = batch("raw-cdr", 0, [raw()], timestamp=1_577_836_967_000_000)
    (letter,) = letters(run(work, poisoned))
    assert (letter.reason, letter.timestamp) == ("bad_timestamp", 1_577_836_967_000_000)
    assert dead_letters.time_of(letter) == "1577836967000000"


def test_a_header_that_cannot_be_read() -> None:
    place = Partition("raw-cdr", 0)
    odd: list[tuple[str | bytes, bytes | None]] = [(b"\xff", b"")]
    records = [
        kafka_record(raw(), topic="raw-cdr", headers=odd),
        kafka_record(raw(), topic="raw-cdr", offset=1, timestamp=ARRIVED),
    ]
    sent = run(processor(Feed(source())), RecordBatch(place, 0, 2, Records.of(place, records)))
    assert letters(sent)[0].message == "a header's name is no UTF-8"
    assert len(events(sent)) == 1


def test_original_bytes_are_kept_or_above_a_limit_their_hash() -> None:
    value = b"\x00\xff" * 1000
    headers = [("trace", b"\xff"), ("none", None)]
    sent = run(processor(Feed(source())), json_batch(value, HUGE, key=b"\xfe", headers=headers))
    small, large = letters(sent)
    shown = json.loads(sent.of("dead-letters")[0].value or b"")
    assert shown["value"]["base64"] == "AP8A" + shown["value"]["base64"][4:]
    assert small.value == dead_letters.Bytes(2000, base64=value)
    assert small.headers == [("trace", b"\xff"), ("none", None)]
    assert large.value == dead_letters.Bytes(len(HUGE), blake2b=blake2b(HUGE, digest_size=32).hexdigest())
    assert all(len(record.value or b"") < 1_000_000 for record in sent.of("dead-letters"))


def test_headers_beyond_their_limit_are_left_out_and_counted() -> None:
    headers = [("a", b"x" * 60_000), ("b", b"y" * 60_000), ("c", b"z")]
    (letter,) = letters(run(processor(Feed(source())), json_batch(b"", headers=headers)))
    assert ([name for name, _ in letter.headers], letter.headers_left_out) == (["a"], 2)


def test_an_aborted_transaction_counts_no_dead_letters() -> None:
    from streams.metrics import DEAD

    counter = DEAD.labels("cdr", "undecodable")
    before = counter._value.get()
    work, transaction = processor(Feed(source())), Transaction(aborts=True)
    with pytest.raises(Aborted):
        work.process(Poll(epoch(), [json_batch(b"")]), transaction)
    assert counter._value.get() == before
    run(work, json_batch(b""))
    assert counter._value.get() == before + 1


# -- CSV ----------------------------------------------------------------------------------------------


COLUMNS = ["id", "msisdn", "kind", "amount", "at", "note"]


def csv_run(*lines: bytes, delimiter: str = ",") -> Transaction:
    feed = Feed(source("csv", format="csv", columns=COLUMNS, delimiter=delimiter))
    return run(processor(feed), batch("raw-csv", 0, lines, timestamp=ARRIVED))


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        (b"e1,4670,CALL,60,2020-01-01T00:02:00Z,", ","),
        (b"e1,4670,CALL,60,2020-01-01T00:02:00Z,a note\r\n", ","),
        (b'e1,"4670",CALL,60,2020-01-01T00:02:00Z,"a, ""note"""\n', ","),
        (b'e1,4670,CALL,60,2020-01-01T00:02:00Z,"two\nlines"', ","),
        ("e1;4670;CALL;60;2020-01-01T00:02:00Z;é".encode(), ";"),
    ],
)
def test_a_csv_line(line: bytes, delimiter: str) -> None:
    (event,) = events(csv_run(line, delimiter=delimiter))
    assert (event["event_id"], event["customer_id"], event["value"]) == ("e1", "4670", 60)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"e1,4670,CALL,60", "4 fields, where the source names 6 columns"),
        (b"", "1 fields"),
        (b"a,b,c,d,e,f,g", "7 fields"),
        (b'a,"b,c,d,e,f', "CSV"),
        (b'a,"b"x,c,d,e,f', "CSV"),
        (b'a,b,c,d,e,"f"\na,b,c,d,e,"f"', "2 CSV lines"),
        (b"a,b,c,d,e,\xff", "utf-8"),
        (b'a,b,c,d,e,"' + b"x" * 200_000 + b'"', "CSV"),
    ],
)
def test_no_csv_line(line: bytes, words: str) -> None:
    (letter,) = letters(csv_run(line))
    assert letter.reason == "undecodable"
    assert words in letter.message


# -- Avro ---------------------------------------------------------------------------------------------


def avro(**changes: Any) -> bytes:
    record = GOOD | {"at": datetime(2020, 1, 1, 0, 2, tzinfo=UTC)} | changes
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(AVRO), record)
    return stream.getvalue()


def test_avro_by_the_schema_that_the_source_names() -> None:
    feed = Feed(source("avro", format="avro", avro_schema=AVRO))
    records = [avro(), b"\x01", avro() + b"x", avro(msisdn=None), avro(amount=float("nan")), avro(id="e2")]
    sent = run(processor(feed), batch("raw-avro", 0, records, timestamp=ARRIVED))
    assert [(e["event_id"], e["occurred_at"]) for e in events(sent)] == [
        ("e1", "2020-01-01T00:02:00.000Z"),
        ("e2", "2020-01-01T00:02:00.000Z"),
    ]
    assert [letter.reason for letter in letters(sent)] == [
        "undecodable", "undecodable", "missing_customer_id", "bad_value",
    ]  # fmt: skip
    assert "1 bytes follow" in letters(sent)[1].message


def test_avro_decimals_are_numbers() -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    fields = [field | {"type": decimal} if field["name"] == "amount" else field for field in AVRO_FIELDS]
    schema = AVRO | {"fields": fields}
    stream = io.BytesIO()
    record = GOOD | {"at": datetime(2020, 1, 1, 0, 2, tzinfo=UTC), "amount": Decimal("12.30")}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), record)
    feed = Feed(source("avro", format="avro", avro_schema=schema))
    (event,) = events(run(processor(feed), batch("raw-avro", 0, [stream.getvalue()], timestamp=ARRIVED)))
    assert event["value"] == 12.3


class Registry:
    """A schema registry that knows schema 7, and can be away."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                known = {"/schemas/ids/7": AVRO, "/schemas/ids/8": {"type": "nonsense"}}
                status = registry.status if self.path in known or registry.status != 200 else 404
                self.send_response(status)
                self.end_headers()
                self.wfile.write(msgspec.json.encode({"schema": json.dumps(known.get(self.path))}))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def registry() -> Iterator[Registry]:
    found = Registry()
    yield found
    found.server.shutdown()
    found.server.server_close()


def framed(record: bytes, number: int = 7) -> bytes:
    return b"\0" + struct.pack(">I", number) + record


def test_avro_in_confluents_framing(registry: Registry) -> None:
    work = processor(Feed(source("avro", format="avro", schema_registry=registry.url)))
    values = [
        framed(avro()),
        framed(avro(id="e2")),
        framed(avro(), 9),
        framed(avro(), 9),
        framed(b"", 8),
        b"{}",
    ]
    sent = run(work, batch("raw-avro", 0, values, timestamp=ARRIVED))
    assert [event["event_id"] for event in events(sent)] == ["e1", "e2"]
    assert [letter.reason for letter in letters(sent)] == ["undecodable"] * 4
    for letter, words in zip(letters(sent), ["schema 9", "schema 9", "schema 8", "framing"], strict=True):
        assert words in letter.message
    assert registry.asked == ["/schemas/ids/7", "/schemas/ids/9", "/schemas/ids/8"], (
        "each schema is asked for once"
    )


def test_a_registry_that_is_away_makes_its_source_wait_and_no_other(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = processor(Feed(source("avro", format="avro", schema_registry=registry.url), source()))
    first = batch("raw-avro", 0, [framed(avro())], timestamp=ARRIVED)
    second = batch("raw-avro", 0, [framed(avro(id="e2"))], begin=1, timestamp=ARRIVED)
    registry.status = 503
    sent = run(work, first, json_batch(raw()))
    assert sent.offsets == [{Partition("raw-cdr", 5): 1}], "its position is not committed"
    assert (len(events(sent)), letters(sent)) == (1, [])
    registry.status = 200
    assert run(work, second).offsets == [], "what was fetched meanwhile is dropped"
    assert work._let_go(100.0) == {"raw-avro"}
    assert run(work, second).offsets == []
    assert work._let_go(104.9) == {"raw-avro"}
    assert work._let_go(105.0) == set()
    assert run(work, second).offsets == [], "it goes on where it stopped, not later"
    sent = run(work, first, second)
    assert sent.offsets == [{Partition("raw-avro", 0): 2}]
    assert [event["event_id"] for event in events(sent)] == ["e1", "e2"]


def test_nothing_of_a_batch_is_sent_while_its_registry_is_away(registry: Registry) -> None:
    work = processor(Feed(source("avro", format="avro", schema_registry=registry.url)))
    run(work, batch("raw-avro", 1, [framed(avro())], timestamp=ARRIVED))
    registry.status = 503
    values = [framed(avro()), framed(b""), framed(avro(), 9)]
    sent = run(work, batch("raw-avro", 0, values, timestamp=ARRIVED))
    assert (sent.sent, sent.offsets) == ([], [])


# -- the catalog --------------------------------------------------------------------------------------


def test_a_changed_source_counts_from_the_next_poll_with_its_marker_before() -> None:
    feed = Feed(source())
    work = processor(feed)
    assert events(run(work, json_batch(raw())))[0]["value"] == 60
    changed = SourceContent("cdr", "cdr", MAPPING | {"value_scale": 2.0}, {"kafka_topic": "raw-cdr"})
    feed.revise(changed, revision=2)
    sent = run(work, json_batch(raw()))
    kinds = [json.loads(record.value or b"")["event_id"] for record in sent.of("customer-events")]
    assert kinds == ["revision:2"] * 4 + ["e1"]
    assert [record.partition for record in sent.of("customer-events")] == [0, 1, 2, 3, -1]
    assert events(sent)[0]["value"] == 120
    assert [r.key for r in run(work, json_batch(raw())).of("customer-events")] == [b"4670"], "once"


def test_what_was_fetched_of_a_source_switched_off_is_mapped_as_before() -> None:
    feed = Feed(source())
    work = processor(feed)
    run(work)
    feed.revise(SourceContent("cdr", "cdr", MAPPING, {"kafka_topic": "raw-cdr"}, False), revision=2)
    assert len(events(run(work, json_batch(raw())))) == 1


def test_a_source_that_cannot_be_compiled_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broken = SourceContent("broken", "cdr", {"customer_id_field": ""}, {})
    work = processor(Feed(broken, source()))
    assert len(events(run(work, json_batch(raw())))) == 1
    assert "source broken" in caplog.text


# -- commands, markers --------------------------------------------------------------------------------


def command_batch(*values: bytes | None, partition: int = 1, begin: int = 40) -> RecordBatch:
    return batch(ZERO.topic, partition, values, begin=begin, timestamp=ARRIVED)


def results(transaction: Transaction) -> list[dict[str, Any]]:
    return [json.loads(sent.value or b"") for sent in transaction.of("command-results")]


def commands_sent(transaction: Transaction, event_type: str = "_command") -> list[Sent]:
    return [
        sent
        for sent in transaction.of("customer-events")
        if json.loads(sent.value or b"")["event_type"] == event_type
    ]


def test_a_command_for_a_customer_goes_to_the_customer() -> None:
    sent = run(
        processor(Feed()),
        command_batch(b'{"command_id": "a", "command": "recalculate", "customer_id": "4670"}'),
    )
    (forwarded,) = commands_sent(sent)
    assert (forwarded.key, forwarded.partition) == (b"4670", -1)
    assert json.loads(forwarded.value or b"")["occurred_at"] == "2020-01-01T00:02:47.000Z"
    assert results(sent) == []
    assert sent.offsets == [{Partition(ZERO.topic, 1): 41}]


def test_a_command_for_a_segment_goes_everywhere() -> None:
    sent = run(
        processor(Feed()), command_batch(b'{"command_id": "a", "command": "recalculate", "segment": "all"}')
    )
    assert [record.partition for record in commands_sent(sent)] == [0, 1, 2, 3]
    assert json.loads(commands_sent(sent)[0].value or b"")["attributes"]["segment"] == "all"


def test_bad_commands_are_dead_letters_and_answered_where_they_have_an_id() -> None:
    values = [b"recalculate", b'{"command_id": "a"}', b'{"command_id": "b", "command": "dance"}', None]
    sent = run(processor(Feed()), command_batch(*values))
    assert [letter.reason for letter in letters(sent)] == ["invalid_command"] * 3
    found = [(r["command_id"], r["status"], r["reason"], r["partition"]) for r in results(sent)]
    assert found == [("a", "refused", "invalid_command", None), ("b", "refused", "unknown_command", None)]
    assert [record.key for record in sent.of("command-results")] == [b"a", b"b"]
    headers = dict(sent.of("command-results")[0].headers or [])
    assert headers["ce_id"].decode() == results(sent)[0]["effect_id"]


def test_a_command_at_a_time_that_is_none() -> None:
    value = b'{"command_id": "a", "command": "recalculate", "segment": "all"}'
    poisoned = batch(ZERO.topic, 1, [value], timestamp=-5)
    sent = run(processor(Feed()), poisoned)
    assert [letter.reason for letter in letters(sent)] == ["invalid_command"]
    assert commands_sent(sent) == []


TICK = b'{"command_id": "t", "command": "tick", "at": "2020-03-01"}'


def test_a_tick_by_command_brings_everyone_to_one_time() -> None:
    sent = run(processor(Feed()), command_batch(TICK, partition=0))
    ticks = commands_sent(sent, "_tick")
    assert [record.partition for record in ticks] == [0, 1, 2, 3]
    at = "2020-03-01T00:00:00.000Z"
    assert json.loads(ticks[0].value or b"")["attributes"] == {"at": at, "everyone": True}
    assert [(r["command_id"], r["status"]) for r in results(sent)] == [("t", "done")]


def test_a_tick_is_refused_elsewhere_and_where_the_wall_clock_writes_them() -> None:
    assert results(run(processor(Feed()), command_batch(TICK)))[0]["reason"] == "wrong_partition"
    wall = NormalizerProcessor(Settings(_env_file=None, clock="wall"), Feed())  # type: ignore[arg-type]
    sent = run(wall, command_batch(TICK, partition=0))
    assert results(sent)[0]["reason"] == "wall_clock"
    assert commands_sent(sent, "_tick") == []


def test_the_owner_of_partition_0_writes_markers_on_heartbeats_with_its_position() -> None:
    feed = Feed(revision=3)
    work = processor(feed)
    first = epoch(0)
    work.take(first)
    sent = run(work, owner=first)
    assert [record.partition for record in commands_sent(sent, "_marker")] == [0, 1, 2, 3]
    assert sent.offsets == [{ZERO: 40}], "its position fences it"
    assert run(work, owner=first).sent == []
    sent = run(work, command_batch(b"", partition=0), owner=first)
    feed.revise(revision=4)
    assert run(work, owner=first).offsets == [{ZERO: 41}]
    work.take(epoch(1))
    feed.revise(revision=5)
    assert run(work).sent == [], "no other owner does"


def test_an_aborted_marker_is_written_again() -> None:
    work = processor(Feed(revision=3))
    first = epoch(0)
    work.take(first)
    with pytest.raises(Aborted):
        work.process(Poll(first, []), Transaction(aborts=True))
    assert len(commands_sent(run(work, owner=first), "_marker")) == 4
