"""`khaywe product` and `khaywe poll`, against a real PostgreSQL, Kafka and HTTP server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from click.testing import CliRunner, Result

from catalog.service import CatalogService
from cli.main import cli
from config.settings import Settings
from config.settings import settings as process_settings
from streams.topics import create
from tests.catalog.http_api import Answer, Api, serving

Run = Callable[..., Result]
ITEMS = [
    {"id": 1, "name": "Pack S", "type": "data", "price": "4.50"},
    {"id": 2, "name": "Pack L", "type": "data", "price": "19.50"},
    {"id": 3, "name": "", "type": "voice", "price": "1"},
]
SYSTEM: dict[str, Any] = {
    "name": "xiva",
    "mapping": {
        "external_product_id": "id", "name": "name", "product_type": "type", "price": "price",
        "currency": {"default": "EUR"}, "category": {"default": "Mobile"},
    },
}  # fmt: skip


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        api.answer = lambda asked: Answer(ITEMS)
        yield api


@pytest.fixture
def run(services: Settings, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    monkeypatch.setenv("KHAYWE_HOME", str(services.home))
    monkeypatch.setenv("KHAYWE_DATABASE", database)
    monkeypatch.setenv("KHAYWE_CLOCK", services.clock)
    monkeypatch.setenv("KHAYWE_IMPORTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    process_settings.cache_clear()

    def call(*arguments: str, fails: int = 0) -> Result:
        result = CliRunner().invoke(cli, list(arguments))
        assert result.exit_code == fails, result.output + str(result.exception)
        return result

    yield call
    process_settings.cache_clear()


def test_products_from_connect_to_stats(run: Run, api: Api, tmp_path: Path) -> None:
    path = tmp_path / "xiva.yaml"
    path.write_text(yaml.safe_dump(SYSTEM | {"connection": {"kind": "rest", "url": f"{api.url}/p"}}))
    assert "when asked" in run("product", "connect", str(path)).output
    synced = run("product", "sync", "xiva", fails=1).output
    assert "2" in synced
    assert "is missing" in synced
    report = json.loads(run("product", "sync", "xiva", "--json", fails=1).output)
    assert (report["unchanged"], report["refused"]) == (2, 1)
    assert report["refusals"][0]["external_product_id"] == "3"

    listed = run("product", "list").output.splitlines()
    assert listed[0].split()[:3] == ["id", "system", "external"]
    assert [line.split()[2] for line in listed[1:]] == ["1", "2"]
    assert "4.50 EUR" in listed[1]
    assert "Pack L" in run("product", "list", "--search", "mobile 2").output
    assert "Pack S" not in run("product", "list", "--search", "mobile 2").output
    page = run("product", "list", "--limit", "1")
    assert "there are more: --cursor " in page.stderr
    cursor = page.stderr.split("--cursor ")[1].strip()
    (second,) = json.loads(run("product", "list", "--cursor", cursor, "--json").output)["items"]
    assert (second["name"], second["price"]) == ("Pack L", "19.50")
    shown = run("product", "show", str(second["id"])).output
    assert "external_product_id" in shown
    assert json.loads(run("product", "list", "--customer-value", "3", "--json").output)["next"] is None
    stats = run("product", "stats").output
    assert "xiva" in stats
    assert "12.00" in stats  # the average
    assert json.loads(run("product", "stats", "--json").output)["by_category"] == {"Mobile": 2}

    assert "daily" in run("product", "schedule", "daily").output
    assert "when asked" in run("product", "schedule", "never", "xiva").output
    history = json.loads(run("product", "history", "--json").output)
    assert [(each["created"], each["unchanged"]) for each in history] == [(0, 2), (2, 0)]
    api.answer = lambda asked: Answer(None, 404)
    failed = run("product", "sync", "xiva", fails=1)
    assert "answers 404" in failed.stderr
    assert "answers 404" in run("product", "history").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("product", "show", "5"), "there is no product 5"),
        (("product", "sync", "crm"), "nobody has said how products of 'crm' are fetched"),
        (("product", "list", "--limit", "0"), "limit: must be 1 to 500"),
        (("product", "list", "--cursor", "x"), "cursor: is none that a page said"),
        (("product", "list", "--customer-value", "much"), "customer_value: must be an amount"),
        (("product", "schedule", "often"), "frequency: must be like '5 minutes'"),
        (("poll", "now", "nothing"), "there is no data source 'nothing'"),
        (("poll", "now", "custom"), "custom is not polled: its records are sent to topic raw_custom_events"),
    ],
)
def test_what_goes_wrong_is_told(run: Run, arguments: tuple[str, ...], message: str) -> None:
    told = run(*arguments, fails=1)
    assert message in told.stderr


def test_a_poll_now_and_how_polls_stand(run: Run, services: Settings, database: str, tmp_path: Path) -> None:
    create(services)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.csv").write_text("who,at\n48,2026-01-01\n49,2026-01-02\n")
    name = f"files_{uuid4().hex[:8]}"
    catalog = CatalogService(database, services)
    catalog.ensure_first_revision()
    catalog.add_sources(
        [
            {
                "name": name,
                "source_type": "dwh",
                "connection_config": {"poll": {"kind": "files", "folder": "in"}},
                "event_mapping": {"customer_id_field": "who", "timestamp_field": "at", "event_type": "sms"},
            }
        ]
    )
    catalog.close()
    assert f"2 records in 1 pages written to raw_{name}_events" in run("poll", "now", name).output
    assert json.loads(run("poll", "now", name, "--json").output)["records"] == 0
    (state,) = json.loads(run("poll", "list", "--json").output)
    assert (state["name"], state["records"], state["failures"]) == (name, 2, 0)
    assert name in run("poll", "list").output


def test_help_says_it(run: Run) -> None:
    assert "product" in run("--help").output
    for command in ("list", "show", "sync", "stats", "connect", "systems", "schedule", "history"):
        assert command in run("product", "--help").output
