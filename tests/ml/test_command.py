"""`khaywe ml` as a user calls it: what it prints, and what it says of bad files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from cli.main import cli
from config import topics
from config.settings import Settings, settings
from loyalty import row
from loyalty.calendar import DAY_MS
from loyalty.state import ROW_KEY
from loyalty.times import iso
from ml import features, uci
from ml.models import KINDS, UCI
from ml.registry import SHIPPED, Registry
from ml.simulator import AS_OF_DAY, fold
from streams import topics as on_brokers
from tables import snapshots

LINES = uci.FILE.read_text().splitlines()


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["ml", *arguments], input=stdin)


def predict(path: Path | str, *more: str, stdin: str | None = None) -> Result:
    return run("predict", "--model", UCI, "--data", str(path), *more, stdin=stdin)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a CSV file of lines."""

    def write(*lines: str) -> Path:
        path = tmp_path / "customers.csv"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """KHAYWE_MODELS, empty."""
    path = tmp_path / "models"
    path.mkdir()
    monkeypatch.setenv("KHAYWE_MODELS", str(path))
    settings.cache_clear()
    yield path
    settings.cache_clear()


def rows(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_a_row_for_each_row_in_their_order() -> None:
    result = predict(uci.FILE)
    assert result.stdout.splitlines()[0] == "row,probability,risk_level"
    found = rows(result)
    assert [int(each["row"]) for each in found] == list(range(len(LINES) - 1))
    model = Registry().load(UCI)
    expected = model.predict(uci.table().values)
    assert [each["risk_level"] for each in found] == expected["risk_level"].tolist()
    np.testing.assert_allclose(
        [float(each["probability"]) for each in found], expected["probability"], atol=1e-6
    )


def test_columns_in_any_order_case_and_spacing_without_the_label_and_with_others(written: Any) -> None:
    table = list(csv.DictReader(LINES))[:30]
    order = [name for name in reversed(list(table[0])) if name != uci.LABEL]
    header = ",".join([*(name.upper().replace(" ", "_") for name in order), "note"])
    mixed = written(header, *(",".join([*(each[name] for name in order), "x"]) for each in table))
    plain = predict(uci.FILE).stdout.splitlines()[:31]
    assert predict(mixed).stdout.splitlines() == plain
    assert predict("-", stdin="\n".join(LINES[:31])).stdout.splitlines() == plain
    spaced = written(LINES[0].replace(",", " , ").replace("Call Failure", " call  failure"), *LINES[1:31])
    assert predict(spaced).stdout.splitlines() == plain


def test_a_header_alone_gives_a_header_alone(written: Any) -> None:
    assert predict(written(LINES[0])).stdout == "row,probability,risk_level\n"


def changed(column: str, value: str) -> str:
    fields = LINES[1].split(",")
    fields[LINES[0].split(",").index(column)] = value
    return ",".join(fields)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        ([LINES[0].replace("Seconds of Use,", ""), LINES[1]], "no column 'Seconds of Use'"),
        (
            [LINES[0] + ",call failure,CALL FAILURE".replace("call failure,", "Call Failure,")],
            "which column is",
        ),
        ([LINES[0], changed("Age", "nan")], "line 2, column 'Age': 'nan' is no finite number"),
        ([LINES[0], LINES[1], changed("Age", "inf")], "line 3, column 'Age': 'inf' is no finite number"),
        ([LINES[0], changed("Seconds of Use", "")], "column 'Seconds of Use': no value"),
        ([LINES[0], changed("Age", "old")], "column 'Age': 'old' is no number"),
        (
            [LINES[0], changed("Tariff Plan", "3")],
            "'Tariff Plan': '3' is no known category, one of 1, 2 is",
        ),
        ([LINES[0], changed("Age Group", "6")], "column 'Age Group': '6' is no known category"),
        ([LINES[0], changed("Complains", "yes")], "column 'Complains': 'yes' is no number, one of 0, 1 is"),
        ([LINES[0], changed("Call Failure", "-1")], "column 'Call Failure': '-1' is below 0"),
        ([LINES[0], changed("Age", "1e39")], "column 'Age': '1e39' is no finite number"),
        ([LINES[0], LINES[1] + ",1"], "line 2: 15 fields, the header line names 14"),
        ([LINES[0], "," * 13], "no value"),
        ([LINES[0], '"unclosed'], "no CSV"),
    ],
)
def test_bad_input_is_said_by_line_and_column(written: Any, lines: list[str], said: str) -> None:
    result = predict(written(*lines))
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_files_and_models_that_are_not_there(tmp_path: Path) -> None:
    result = predict(tmp_path / "none.csv")
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert "no UTF-8" in predict(tmp_path / "bytes.csv").stderr
    result = run("predict", "--model", "nonsense", "--data", str(uci.FILE))
    assert "there is no model 'nonsense'" in result.stderr
    assert "churn-uci" in result.stderr


def test_a_model_of_rows_takes_features_by_name(written: Any) -> None:
    path = written(",".join(features.NAMES), ",".join("0" for _ in features.NAMES))
    (found,) = rows(run("predict", "--model", "campaign_response", "--data", str(path)))
    assert found["will_respond"] == found["response_prediction"]
    assert found["insufficient_history"] == "yes"


def test_explains_rows(written: Any) -> None:
    result = run("explain", "--model", UCI, "--data", str(uci.FILE), "--row", "8")
    assert result.stdout.startswith("8: Churn: high, ")
    told = json.loads(run("explain", "--model", UCI, "--data", str(uci.FILE), "--row", "8", "--json").stdout)
    assert told[0]["level"] == "high"
    assert all(factor["contribution"] > 0 for factor in told[0]["factors"])
    assert (
        "there is no row 3"
        in run("explain", "--model", UCI, "--data", str(written(*LINES[:4])), "--row", "3").stderr
    )


def test_lists_what_there_is(elsewhere: Path) -> None:
    assert "No models" in run("list").stdout
    (elsewhere / "churn").mkdir()
    (elsewhere / "churn" / "1.onnx").write_bytes(b"no")
    assert "it is no model of khaywe's" in run("list").stdout
    settings.cache_clear()


def test_lists_the_shipped_ones() -> None:
    found = json.loads(run("list", "--json").stdout)
    assert {each["model"] for each in found} == set(KINDS)
    assert all(each["active"] for each in found)


def test_validates(elsewhere: Path) -> None:
    result = run("validate")
    assert result.exit_code == 1
    assert "there is no model 'churn'" in result.stdout
    settings.cache_clear()


def test_the_shipped_ones_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("validate", "--model", "churn", "--model", UCI, "--model", "rfm", "--json")
    failed = [each for each in json.loads(result.stdout) if not each["holds"]]
    assert [each for each in failed if each["check"] != "latency"] == []
    assert result.exit_code == bool(failed)


def test_trains_on_a_file_and_activates(elsewhere: Path, written: Any) -> None:
    path = written(*LINES[:1200])
    made = run("train", "--model", UCI, "--data", str(path), "--date", "2026-01-02")
    assert made.exit_code == 0, made.output
    (version,) = Registry(elsewhere).versions(UCI)
    assert version.startswith("2026-01-02-")
    assert Registry(elsewhere).load(UCI).card.rows == 1199
    file = Registry(elsewhere).path(UCI, version).read_bytes()
    run("train", "--model", UCI, "--data", str(path), "--date", "2026-01-02")
    assert Registry(elsewhere).path(UCI, version).read_bytes() == file, "the same bytes"
    assert "is active" in run("activate", "--model", UCI, "--version", version).stdout
    assert "cannot be read" in run("activate", "--model", UCI, "--version", "x").stderr


def test_training_data_of_the_wrong_kind_is_refused(written: Any) -> None:
    assert "there is no model 'x'" in run("train", "--model", "x").stderr
    assert "is no data for churn" in run("train", "--model", "churn", "--data", str(uci.FILE)).stderr
    no_label = written(*(line.rpartition(",")[0] for line in LINES[:300]))
    assert "no column 'Churn'" in run("train", "--model", UCI, "--data", str(no_label)).stderr
    assert (
        "customers have a label" in run("train", "--model", UCI, "--data", str(written(*LINES[:50]))).stderr
    )


def test_writes_a_report(tmp_path: Path, elsewhere: Path) -> None:
    import shutil

    for name in ("churn", "rfm"):
        shutil.copytree(SHIPPED / name, elsewhere / name)
    from ml import table as tables
    from tests.ml.customers import table

    tables.write(table(), tmp_path / "today.parquet")
    out = tmp_path / "models.html"
    result = run("report", "--out", str(out), "--data", str(tmp_path / "today.parquet"))
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert page.count("<svg") == 4, "figures of each, and drift of each"
    assert all(word in page for word in ("Drift", "use_trend", "share_of_the_way"))
    assert "<script" not in page


def silent_half(folder: Path) -> tuple[Path, list[bytes]]:
    """A snapshot of customers who call daily, and what they do later: half of them nothing any more."""
    count, day = 600, AS_OF_DAY
    end = (day + 1) * DAY_MS
    ids = [f"c{n:03}" for n in range(count)]

    def call(n: int, days: float) -> bytes:
        at = iso(int(end + days * DAY_MS))
        return msgspec.json.encode(
            {
                "event_id": f"{n}:{days}", "customer_id": ids[n], "event_type": "voice_call",
                "source": "cdr", "value": 60, "occurred_at": at, "received_at": at, "attributes": {},
            }
        )  # fmt: skip

    before = [call(n, -ago - 0.5) for ago in range(29, -1, -1) for n in range(count) if n % 2 or ago > 10]
    made = fold(before, ids, day)
    header = snapshots.Header(1, row.FORMAT, "log", 1, 0, len(before), 0, end - 1, "2025-07-01T00:00:00Z")
    entries = [(ROW_KEY + id.encode(), made[n].tobytes()) for n, id in enumerate(ids)]
    later = [call(n, after + 0.5) for after in (3, 9, 31) for n in range(count) if n % 2 or after > 30]
    return snapshots.write(entries, header, folder), later


def test_a_dataset_from_snapshots_and_a_file(tmp_path: Path, elsewhere: Path) -> None:
    """The table says who fell silent, and a model learns from it."""
    path, later = silent_half(tmp_path / "snapshots")
    events = tmp_path / "later.jsonl"
    events.write_bytes(b"\n".join(later) + b"\n")
    out = tmp_path / "table.parquet"
    arguments = ("dataset", "--out", str(out), "--snapshots", str(path), "--events", str(events))
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "churn: 600 rows, mean 0.500" in result.stdout
    trained = run("train", "--model", "churn", "--data", str(out))
    assert trained.exit_code == 0, trained.output
    assert "auc 1.0000" in trained.stdout
    refused = run("train", "--model", "payment_default", "--data", str(out))
    assert "payment_default: 0 customers have a label" in refused.stderr

    events.write_bytes(later[0] + b"\n")
    assert "the events end at" in run(*arguments).stderr
    events.write_bytes(b'{"event_type":"voice_call"}\n')
    assert "line 1: no CustomerEvent" in run(*arguments).stderr
    (tmp_path / "none").mkdir()
    refused = run("dataset", "--out", str(out), "--snapshots", str(tmp_path / "none"))
    assert "no snapshots in" in refused.stderr


def test_a_dataset_from_the_topic(
    services: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same from customer-events, among records that are none, and those of others."""
    path, later = silent_half(tmp_path / "snapshots")
    on_brokers.create(services)
    producer = Producer(services.producer_config())
    for value in (*later, None):
        producer.produce(topics.CUSTOMER_EVENTS, value, key=b"c")
    for partition in range(services.partitions):  # so that each of the new topic has its leader
        producer.produce(topics.CUSTOMER_EVENTS, b"no event", partition=partition)
    assert producer.flush(30) == 0
    del producer  # which would look for the broker when that is gone
    monkeypatch.setenv("KHAYWE_HOME", str(services.home))
    settings.cache_clear()
    try:
        result = run("dataset", "--out", str(tmp_path / "t.parquet"), "--snapshots", str(path))
    finally:
        settings.cache_clear()
    assert result.exit_code == 0, result.output
    assert "churn: 600 rows, mean 0.500" in result.stdout
