"""`khaywe source` as a data engineer uses it, and docs/sources.md: what it says is what happens."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from agents.tail import KafkaAway, Tail
from catalog.content import decode
from catalog.mapping import Mapped, compile_mapping
from catalog.schema import Connection, DataSource, EventMapping
from catalog.service import CatalogService, content_of, parse_source
from cli.main import cli
from cli.source import read_sources
from config import topics as names
from config.errors import KhayweError
from config.settings import Settings, settings
from loyalty.content import Decisions
from loyalty.events import SOURCE_TYPES, UNITS
from streams import topics as on_brokers

KHAYWE = Path(sys.executable).with_name("khaywe")
DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
FLAGS = ("--type", "billing", "--customer-id", "id", "--timestamp", "at")
MAPPING = {"customer_id_field": "id", "timestamp_field": "at", "event_type": "recharge", "value_field": "v"}
GOOD = '{"id": "0018", "v": "96", "at": "2020-01-01 00:02:47"}'


class Khaywe:
    """The command on a catalog of its own."""

    def __init__(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = environment
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str) -> Result:
        settings.cache_clear()
        try:
            return CliRunner().invoke(cli, arguments)
        finally:
            settings.cache_clear()

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def khaywe(
    services: Settings, environment: dict[str, str], database: str, monkeypatch: pytest.MonkeyPatch
) -> Khaywe:
    on_brokers.create(services)
    mine = {name: value for name, value in environment.items() if name.startswith("KHAYWE_")}
    return Khaywe(mine | {"KHAYWE_DATABASE": database}, monkeypatch)


@pytest.fixture
def published(services: Settings, khaywe: Khaywe) -> Iterator[Tail]:
    tail = None
    deadline = time.monotonic() + 30
    while tail is None:  # a topic just made has no leader for a moment
        try:
            tail = Tail(services, names.CATALOG, from_end=True)
        except KafkaAway:
            assert time.monotonic() < deadline
    yield tail
    tail.close()


@pytest.fixture
def raw(topics: Any) -> str:
    """Name of a raw topic that is not there."""
    return str(topics("raw"))


def test_an_edit_is_published_and_its_topic_made(
    services: Settings, khaywe: Khaywe, published: Tail, raw: str
) -> None:
    flags = (*FLAGS, "--topic", raw, "--event-type", "recharge", "--value", "v")
    done = khaywe("source", "add", "billing", *flags)
    assert (done.exit_code, done.stdout) == (0, f"added billing: revision 2, published\nmade topic {raw}\n")
    assert raw in on_brokers.find(services, [raw])
    assert khaywe("source", "disable", "billing").stdout == "disabled billing: revision 3, published\n"
    assert khaywe.json("source", "enable", "billing") == {
        "sources": ["billing"], "revision": 4, "published": True, "topics_made": [],
    }  # fmt: skip
    found = [decode(record.value() or b"") for record in published.to_end()]
    assert [content.revision for content in found] == [1, 2, 3, 4]
    assert [source.is_active for content in found[1:] if (source := content.source("billing"))] == [
        True, False, True,
    ]  # fmt: skip


def test_every_flag_says_its_key(khaywe: Khaywe, raw: str) -> None:
    done = khaywe(
        "source", "add", "cdr", "--type", "cdr", "--topic", raw, "--format", "csv",
        "--columns", "id,at,kind,v,no,c", "--delimiter", ";", "--customer-id", "id", "--timestamp", "at",
        "--timestamp-format", "%d.%m.%Y %H:%M:%S", "--timezone", "Asia/Dhaka", "--event-type-field", "kind",
        "--event-types", "01=voice_call,02=sms", "--event-types", "3=recharge", "--value", "v",
        "--value-scale", "60", "--event-id", "no", "--attribute", "cell=c", "--attribute", "kind=kind",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    shown = {
        "name": "cdr",
        "source_type": "cdr",
        "is_active": True,
        "connection_config": {
            "kafka_topic": raw, "format": "csv", "columns": ["id", "at", "kind", "v", "no", "c"],
            "delimiter": ";",
        },
        "event_mapping": {
            "customer_id_field": "id", "timestamp_field": "at", "event_type_field": "kind",
            "value_field": "v", "event_id_field": "no",
            "event_types": {"01": "voice_call", "02": "sms", "3": "recharge"}, "value_scale": 60.0,
            "timestamp_format": "%d.%m.%Y %H:%M:%S", "timezone": "Asia/Dhaka",
            "attributes": {"cell": "c", "kind": "kind"},
        },
    }  # fmt: skip
    assert khaywe.json("source", "show", "cdr") == shown
    listed = khaywe.json("source", "list")
    assert [source["name"] for source in listed] == ["cdr", "custom"]
    assert listed[0] == shown
    assert "recharge, sms, voice_call" in khaywe("source", "list").stdout


def test_avro_takes_a_schema_from_a_file_or_a_registry(khaywe: Khaywe, raw: str, tmp_path: Path) -> None:
    fields = [{"name": name, "type": "string"} for name in ("id", "at")]
    schema = {"type": "record", "name": "r", "fields": fields}
    (tmp_path / "r.avsc").write_text(json.dumps(schema))
    avro = (*FLAGS, "--event-type", "sms", "--format", "avro", "--topic")
    assert khaywe("source", "add", "a", *avro, raw, "--avro-schema", str(tmp_path / "r.avsc")).exit_code == 0
    assert (
        khaywe("source", "add", "b", *avro, f"{raw}-b", "--schema-registry", "http://r:8081").exit_code == 0
    )
    configs = {each["name"]: each["connection_config"] for each in khaywe.json("source", "list")}
    assert configs["a"]["avro_schema"] == schema
    assert configs["b"]["schema_registry"] == "http://r:8081"
    (tmp_path / "in.jsonl").write_text('{"id": "0018", "at": "2020-01-01 00:02:47"}\n')
    tried = khaywe.json("source", "test", "a", "--file", str(tmp_path / "in.jsonl"))
    assert tried["records"] == {"fits": 1}
    assert tried["samples"][0]["event"]["customer_id"] == "0018"
    assert "a record in Avro is no text" in khaywe("source", "test", "a", "--record", "x").stderr


def test_what_is_shown_can_be_changed_and_given_back(khaywe: Khaywe, raw: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(
        [{"name": name, "source_type": "billing", "event_mapping": MAPPING,
          "connection_config": {"kafka_topic": f"{raw}-{name}"}} for name in ("a", "b")]
    ))  # fmt: skip
    assert khaywe("source", "add", "--file", str(file)).stdout.startswith(
        "added a, b: revision 2, published\n"
    )
    khaywe("source", "disable", "a")
    file.write_text(khaywe("source", "show", "a").stdout.replace("value_field: v", "value_field: amount"))
    assert khaywe("source", "update", "--file", str(file)).stdout == "changed a: revision 4, published\n"
    shown = khaywe.json("source", "show", "a")
    assert shown["event_mapping"] == MAPPING | {"value_field": "amount"}
    assert shown["is_active"] is False


REFUSED: list[tuple[list[str], int, str]] = [
    (["add"], 2, "give NAME and flags, or --file FILE"),
    (["add", "x"], 2, "--type is missing"),
    (["add", "x", "--type", "cdr", "--customer-id", "id"], 2, "--timestamp is missing"),
    (["add", "x", "--file", str(DOCS)], 2, "--file says it all"),
    (["add", "--file", str(DOCS), "--type", "cdr"], 2, "--file says it all"),
    (["add", "x", *FLAGS, "--event-types", "a"], 2, "'a' is not of the form CODE=TYPE"),
    (["add", "x", *FLAGS], 1, "event_mapping: say either event_type"),
    (["add", "x", *FLAGS, "--event-type", "topup"], 1, "there is no event type 'topup'"),
    (["add", "custom", *FLAGS, "--event-type", "sms"], 1, "there is a data source 'custom' already"),
    (["add", "x", *FLAGS, "--event-type", "sms", "--topic", "catalog"], 1, "khaywe's own"),
    (["show", "nope"], 1, "there is no data source 'nope'\nhint: there are: custom"),
    (["disable", "nope"], 1, "there is no data source 'nope'"),
    (["test", "nope", "--record", "{}"], 1, "there is no data source 'nope'"),
    (["test", "--record", "{}"], 2, "give NAME of a data source, or --source-file"),
    (["test", "custom"], 2, "give either --record RECORD or --file FILE"),
]


def test_what_is_refused_says_what_to_do(khaywe: Khaywe) -> None:
    for arguments, code, words in REFUSED:
        done = khaywe("source", *arguments)
        assert done.exit_code == code, arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert [source["name"] for source in khaywe.json("source", "list")] == ["custom"]


def test_kafka_away_lets_the_edit_stand(
    khaywe: Khaywe, services: Settings, published: Tail, raw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    khaywe("source", "list")
    monkeypatch.setenv("KHAYWE_KAFKA", "127.0.0.1:9")
    done = khaywe("source", "add", "x", *FLAGS, "--event-type", "sms", "--topic", raw)
    assert (done.exit_code, done.stdout) == (0, "added x: revision 2\n")
    assert "not published yet: Kafka did not take the catalog's revision" in done.stderr
    assert "The edit stands" in done.stderr
    assert khaywe.json("source", "show", "x")["is_active"]
    monkeypatch.delenv("KHAYWE_KAFKA")
    again = khaywe.json("source", "enable", "x")
    assert again == {"sources": ["x"], "revision": 2, "published": True, "topics_made": [raw]}
    assert [decode(record.value() or b"").revision for record in published.to_end()] == [1, 2]


def test_a_record_is_tried_field_by_field(khaywe: Khaywe, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({"name": "x", "source_type": "billing", "event_mapping": MAPPING}))
    there = ("source", "test", "--source-file", str(file))
    good = khaywe.json(*there, "--record", GOOD)
    assert good["fits"]
    assert good["event"] | {"received_at": ""} == {
        "event_id": good["event"]["event_id"], "customer_id": "0018", "event_type": "recharge", "source": "x",
        "value": 96, "occurred_at": "2020-01-01T00:02:47.000Z", "received_at": "",
    }  # fmt: skip
    assert good["steps"][2] == {"member": "value", "field": "v", "found": "96", "becomes": 96}
    assert good["steps"][3]["becomes"] == "2020-01-01T00:02:47.000Z"

    done = khaywe(*there, "--json", "--record", '{"id": 18, "v": "x", "at": "soon"}')
    bad = json.loads(done.stdout)
    assert (done.exit_code, bad["fits"], bad["reason"], bad["field"]) == (1, False, "bad_value", "v")
    assert [step.get("reason") for step in bad["steps"]] == [None, None, "bad_value", "bad_timestamp", None]

    for record, words in (
        ("{", "dead letter: undecodable: "),
        ("[]", "dead letter: undecodable: "),
        ('{"id": "", "v": 1, "at": "2020-01-01"}', "dead letter: missing_customer_id: id: "),
        ('{"id": "1", "v": 1, "at": "2098-01-01"}', "dead letter: future_event: at: "),
    ):
        done = khaywe(*there, "--record", record)
        assert done.exit_code == 1
        assert words in done.stdout


def test_a_file_is_tried_whole(khaywe: Khaywe, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        yaml.safe_dump({"name": "x", "source_type": "billing", "event_mapping": MAPPING})
    )
    (tmp_path / "in.csv").write_text(
        "id,v,at\n1,x,2020-01-01\n1,1,2020-01-01\n2,2,2020-01-01\n3,y,2020-01-01\n"
    )
    done = khaywe(
        "source", "test", "x", "--source-file", str(tmp_path / "s.yaml"), "--file", str(tmp_path / "in.csv"),
        "--json",
    )  # fmt: skip
    tried = json.loads(done.stdout)
    assert done.exit_code == 1
    assert tried["records"] == {"bad_value": 2, "fits": 2}
    assert [(sample["record"], sample["fits"]) for sample in tried["samples"]] == [(2, False), (3, True)]


def test_a_code_in_yaml_is_what_stands_there(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("{name: x, codes: {007: a, 010: b, 8: c}, number: 60, scale: 0.5, on: true, off: no}")
    assert read_sources(str(file)) == [
        {"name": "x", "codes": {"007": "a", "010": "b", 8: "c"}, "number": 60, "scale": 0.5, True: True,
         False: False}
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "x", "[x]", "{a: [}", "a: b: c"])
def test_a_file_that_is_no_data_source_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(KhayweError, match=re.escape(str(file))):
        read_sources(str(file))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)


def test_the_documentations_example_runs(khaywe: Khaywe, services: Settings, tmp_path: Path) -> None:
    (tmp_path / "recharges.csv").write_text(blocks("csv")[0])
    (tmp_path / "recharges.yaml").write_text(blocks("yaml")[0])
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    done = {}
    for line in commands:
        program, *arguments = shlex.split(line)
        assert program == "khaywe"
        done[line] = subprocess.run(
            [KHAYWE, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env=khaywe.environment,
        )  # fmt: skip
    tried, file, added, sent, _, by_flags = done.values()
    assert [each.returncode for each in done.values()] == [0, 1, 0, 0, 0, 0], done
    shown = [line.rstrip() for line in tried.stdout.splitlines()]
    assert shown[: len(shown) - 1] == blocks("text")[0].splitlines()
    assert "dead letter: missing_customer_id: caller_id: the customer id is empty" in file.stdout
    assert added.stdout.startswith("added recharges: revision 2, published")
    assert "4 records" in sent.stdout
    assert by_flags.stdout.startswith("added recharges-too: revision 3, published")
    service = CatalogService(khaywe.environment["KHAYWE_DATABASE"], services)
    one, other = service.source("recharges"), service.source("recharges-too")
    service.close()
    assert one.event_mapping == other.event_mapping


def test_the_documentations_sources_can_be_saved() -> None:
    parsed = [parse_source(yaml.safe_load(block)) for block in blocks("yaml")]
    assert len(parsed) == 3
    cdr, pgw = (compile_mapping(content_of(source), Decisions()) for source in parsed[1:])
    call = {"record_id": "r1", "a_number": "0 18-42", "kind": "01", "amount": "61",
            "started": "01.01.2020 06:02:47", "cell": "A1"}  # fmt: skip
    assert cdr(call, 1_577_836_968_000, b"") == Mapped(
        "+8801842", "voice_call", 61, 1_577_836_967_000, "r1", {"cell": "A1"}
    )
    session = {"subscriber": {"msisdn": "1842"}, "closed_at": 1_577_836_967_000, "volume_bytes": 3 << 20,
               "session_id": 9}  # fmt: skip
    assert pgw(session, 1_577_836_968_000, b"") == Mapped(
        "1842", "data_session", 3, 1_577_836_967_000, "9", None
    )


def test_the_documentation_has_every_key_and_event_type() -> None:
    text = DOCS.read_text()
    for model in (DataSource, Connection, EventMapping):
        for key in model.model_fields:
            assert f"\n| `{key}` |" in text, key
    units = dict(re.findall(r"^\| (seconds|messages|megabytes|currency|count)[^|]*\| (.*) \|$", text, re.M))
    for event_type in SOURCE_TYPES:
        assert f"`{event_type}`" in units[UNITS[event_type].value], event_type
