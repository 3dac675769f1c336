"""`khaywe ingest`: what a file's rows become on the raw topic, and what is said of bad files."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fastavro
import pyarrow
import pytest
from confluent_kafka import Message
from pyarrow import parquet

from agents.raw import avro_framed, avro_plain, csv_line
from agents.tail import Tail
from catalog.content import SourceContent
from catalog.records import Unreadable, open_records
from catalog.schema import Connection
from catalog.service import CatalogService
from cli.ingest import NotSent, Sender, encoder, send_file
from config.settings import Settings
from streams.partition import partition_of
from streams.topics import ensure_raw_topic

KHAYWE = str(Path(sys.executable).with_name("khaywe"))
Send = Callable[..., list[Message]]
SCHEMA = {
    "type": "record",
    "name": "Cdr",
    "fields": [{"name": "msisdn", "type": "string"}, {"name": "usage", "type": "long"}],
}


def source(topic: str, customer: str = "msisdn", **connection: Any) -> SourceContent:
    """A data source on a topic of its own."""
    return SourceContent("cdr", "cdr", {"customer_id_field": customer}, {"kafka_topic": topic, **connection})


@pytest.fixture
def send(services: Settings, topics: Callable[..., str], tmp_path: Path) -> Send:
    """`send(name, content, **connection)` writes a file, sends it, and gives the records on the topic."""

    def send(name: str, content: bytes, options: dict[str, Any] | None = None, **about: Any) -> list[Message]:
        topic = topics("raw", partitions=3)
        file = tmp_path / name
        file.write_bytes(content)
        sent, _ = send_file(services, source(topic, **about), str(file), **(options or {}))
        records = read(services, topic)
        assert sent.records == len(records)
        assert sent.bytes == sum(len(record.value() or b"") for record in records)
        return records

    return send


def read(config: Settings, topic: str) -> list[Message]:
    """All records of a topic, each partition in its order."""
    tail = Tail(config, topic)
    try:
        return list(tail.to_end())
    finally:
        tail.close()


def values(records: list[Message]) -> list[Any]:
    """JSON of the records in a stable order."""
    return sorted((json.loads(record.value() or b"null") for record in records), key=json.dumps)


def test_csv_rows_become_json_with_strings(send: Send) -> None:
    records = send("x.csv", b'\xef\xbb\xbfmsisdn,usage,note\r\n0018,1.50,"a,\nb"\r\n\r\n+88,7,\r\n')
    assert values(records) == [
        {"msisdn": "+88", "usage": "7", "note": ""},
        {"msisdn": "0018", "usage": "1.50", "note": "a,\nb"},
    ]
    for record in records:
        assert record.key() == json.loads(record.value() or b"")["msisdn"].encode()


def test_a_customers_records_keep_their_order(send: Send) -> None:
    lines = [b'{"msisdn":"%d","n":%d}' % (n % 50, n) for n in range(1000)]
    records = send("x.jsonl", b"\n".join(lines))
    seen: dict[bytes, list[int]] = {}
    for record in records:
        key = record.key()
        assert isinstance(key, bytes)
        assert record.partition() == partition_of(key, 3)
        seen.setdefault(key, []).append(json.loads(record.value() or b"")["n"])
    assert len(seen) == 50
    assert all(numbers == sorted(numbers) and len(numbers) == 20 for numbers in seen.values())


def test_json_lines_are_sent_byte_by_byte(send: Send) -> None:
    line = b'{"b": 1.10, "a" : {"msisdn":"+88"},"big":12345678901234567890123}'
    records = send("x.ndjson", b"  " + line + b"  \n\n", customer="a.msisdn")
    assert [(record.key(), record.value()) for record in records] == [(b"+88", line)]


def test_a_record_without_an_id_has_no_key_and_another_field_may_be_it(send: Send) -> None:
    content = b'{"usage": 1}\n{"msisdn": null}\n{"msisdn": ""}\n'
    assert [record.key() for record in send("x.jsonl", content)] == [None] * 3
    assert [record.key() for record in send("y.jsonl", content, {"key_field": "usage"})].count(b"1") == 1


def test_parquet_values_are_json_with_iso_times(send: Send) -> None:
    at = datetime(2020, 1, 1, 0, 2, 47, tzinfo=UTC)
    table = pyarrow.table(
        {
            "msisdn": ["0018", "0019"],
            "usage": [1.5, None],
            "at": pyarrow.array([at, None], pyarrow.timestamp("us", "UTC")),
            "ns": pyarrow.array([1_577_836_967_000_000_001, 0], pyarrow.timestamp("ns")),
            "tags": [["a"], []],
        }
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    assert values(send("x.parquet", buffer.getvalue())) == [
        {"msisdn": "0018", "usage": 1.5, "at": "2020-01-01T00:02:47Z", "ns": "2020-01-01T00:02:47",
         "tags": ["a"]},
        {"msisdn": "0019", "usage": None, "at": None, "ns": "1970-01-01T00:00:00", "tags": []},
    ]  # fmt: skip


def test_a_source_of_csv_lines_gets_them_raw(send: Send) -> None:
    about = {"format": "csv", "columns": ["msisdn", "usage"], "delimiter": ";"}
    decode = csv_line(["msisdn", "usage"], ";")
    for content in (b'msisdn;usage\n0018; 1\n"0;9";2\n', b'0018; 1\n"0;9";2\n'):
        records = send("x.csv", content, **about)
        assert sorted(record.value() or b"" for record in records) == [b'"0;9";2', b"0018; 1"]
    records = send("x.jsonl", b'{"usage":2,"msisdn":"0;9","more":1}\n{"msisdn":"8"}', **about)
    assert sorted(decode(record.value() or b"")["msisdn"] for record in records) == ["0;9", "8"]


def test_avro_with_a_schema_of_its_own(send: Send) -> None:
    records = send("x.jsonl", b'{"msisdn":"0018","usage":90,"more":1}', format="avro", avro_schema=SCHEMA)
    decode = avro_plain(SCHEMA)
    assert [decode(record.value() or b"") for record in records] == [{"msisdn": "0018", "usage": 90}]
    with pytest.raises(Unreadable, match="record 2 does not fit the source's Avro schema"):
        send("x.csv", b"msisdn,usage\n0018,90\n", format="avro", avro_schema=SCHEMA)


class Registry(BaseHTTPRequestHandler):
    """A schema registry with one schema, number 7, of every topic."""

    def do_GET(self) -> None:
        known = self.path.startswith("/subjects/raw-") and self.path.endswith("-value/versions/latest")
        found = known or self.path == "/schemas/ids/7"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"id": 7, "schema": json.dumps(SCHEMA)}).encode() if found else b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    """URL of a schema registry."""
    server = HTTPServer(("127.0.0.1", 0), Registry)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_avro_with_a_registry_is_framed(send: Send, registry: str) -> None:
    records = send("x.jsonl", b'{"msisdn":"0018","usage":90}', format="avro", schema_registry=registry)
    value = records[0].value() or b""
    assert value[:5] == b"\0\0\0\0\7"
    assert avro_framed(registry)(value) == {"msisdn": "0018", "usage": 90}
    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(SCHEMA), None)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"a,b\n1,2\n1,2,3\n", "x.csv, line 3: 3 fields, the header line names 2"),
        ("x.csv", b'a,b\n"1\n2",3\n"4\n', "x.csv, line 4: no CSV"),
        ("x.csv", b"a,b\n\xff,2\n", "x.csv, line 2: no UTF-8"),
        ("x.csv", b"a,a\n", "x.csv, line 1: the header line names 'a' twice"),
        ("x.csv", b"", "x.csv, line 1: there is no header line"),
        ("x.jsonl", b'{"a":1}\n{"a":\n', "x.jsonl, line 2: no JSON object"),
        ("x.jsonl", b"[1]\n", "x.jsonl, line 1: no JSON object"),
        ("x.parquet", b"a,b\n", "x.parquet: no Parquet file"),
        ("x.txt", b"", "x.txt: what kind of file is this?"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable) as error:
        list(open_records(str(tmp_path / name)).rows())
    assert said in str(error.value)


def test_what_stands_before_a_broken_line_is_sent(services: Settings, topics: Any, tmp_path: Path) -> None:
    topic = topics("raw", partitions=1)
    (tmp_path / "x.jsonl").write_bytes(b'{"a":1}\n{"a":2}\nno\n')
    with pytest.raises(Unreadable, match="line 3"):
        send_file(services, source(topic), str(tmp_path / "x.jsonl"))
    assert values(read(services, topic)) == [{"a": 1}, {"a": 2}]


def test_history_is_marked(send: Send) -> None:
    assert send("x.jsonl", b'{"a":1}')[0].headers() is None
    assert send("x.jsonl", b'{"a":1}', {"backfill": True})[0].headers() == [("khaywe-backfill", b"1")]


def test_a_rate_is_kept(services: Settings, topics: Any, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a":1}\n' * 300)
    sent, _ = send_file(services, source(topics("raw", partitions=1)), str(tmp_path / "x.jsonl"), rate=200)
    assert sent.seconds > 1.4


def test_a_record_that_the_topic_does_not_take_is_an_error(services: Settings, topics: Any) -> None:
    topic = topics("raw", partitions=1, config={"max.message.bytes": "1000"})
    sender = Sender(services, topic)
    sender.send(os.urandom(900))
    sender.send(os.urandom(2000))
    with pytest.raises(NotSent, match="record of 2,000 bytes is larger than topic raw-"):
        sender.flush()
    with pytest.raises(NotSent, match="record of 5,000,000 bytes is larger"):
        Sender(services, topic).send(bytes(5_000_000))
    with pytest.raises(NotSent, match="there is no topic nowhere"):
        Sender(services, "nowhere")


def test_an_encoder_fits_the_file_and_the_source() -> None:
    csv = source("x", format="csv", columns=["a"])
    assert encoder(csv, "csv") is encoder(source("x"), "json")
    assert Connection.model_validate(csv.connection_config).delimiter == ","


@pytest.fixture
def catalog(services: Settings, database: str, environment: dict[str, str], topics: Any) -> dict[str, str]:
    """Environment of a catalog with the data source `cdr`, whose topic is there."""
    service = CatalogService(database, services)
    service.ensure_first_revision()
    topic = topics("raw")
    service.add_sources(
        [
            {
                "name": "cdr",
                "source_type": "cdr",
                "connection_config": {"kafka_topic": topic},
                "event_mapping": {
                    "customer_id_field": "msisdn", "event_type": "sms", "timestamp_field": "at",
                },
            }
        ]
    )  # fmt: skip
    service.close()
    ensure_raw_topic(services, topic)
    return environment | {"KHAYWE_DATABASE": database, "TOPIC": topic}


def khaywe(environment: dict[str, str], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [KHAYWE, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, **more)


def test_the_command_reads_standard_input(services: Settings, catalog: dict[str, str]) -> None:
    done = khaywe(catalog, "ingest", "-", "--source", "cdr", input='{"msisdn":"1"}\n')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"1 records (14 bytes) sent to {catalog['TOPIC']} in ")
    done = khaywe(catalog, "ingest", "-", "--source", "cdr", "--json", input="msisdn,at\n2,x\n")
    assert json.loads(done.stdout)["records"] == 1
    assert values(read(services, catalog["TOPIC"])) == [{"msisdn": "1"}, {"msisdn": "2", "at": "x"}]


def test_an_unknown_source_names_the_known(catalog: dict[str, str]) -> None:
    done = khaywe(catalog, "ingest", "-", "--source", "nope", input="")
    assert done.returncode == 1
    assert "there is no data source 'nope'" in done.stderr
    assert "cdr" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loop_ends_with_ctrl_c_and_says_what_was_sent(
    services: Settings, catalog: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"a":1}\n' * 10)
    command = [KHAYWE, "ingest", str(tmp_path / "x.jsonl"), "--source", "cdr"]
    process = subprocess.Popen(
        [*command, "--loop", "--rate", "500"],
        env=catalog,
        stdout=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell has Ctrl-C switched off, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        end = time.monotonic() + 30
        while len(read(services, catalog["TOPIC"])) < 50:
            assert time.monotonic() < end
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0
    records = read(services, catalog["TOPIC"])
    assert said.startswith(f"{len(records):,} records (")
