"""The poller beside a worker's agents: what the catalog says is due, and a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from agents.poller import Poller, product_jobs, source_jobs
from agents.polling import PREFIX, poll_states
from catalog.connectors.config import seconds
from catalog.content import Content
from catalog.database import connect, migrate
from catalog.leases import Leases
from catalog.product_sync import ProductSyncService
from catalog.products import ProductCatalogService
from catalog.service import content_of, parse_source
from config.settings import Settings
from loyalty.content import Decisions, ScoringPolicy
from streams.topics import create
from tests.catalog.http_api import Answer, Api, serving
from tests.faults.harness import Worker, until, workers

ITEM = {"id": 7, "name": "Pack", "type": "data", "price": "1.50"}
MAPPING = {
    "external_product_id": "id", "name": "name", "product_type": "type", "price": "price",
    "currency": {"default": "EUR"},
}  # fmt: skip


@pytest.fixture
def settings(services: Settings, database: str) -> Settings:
    create(services)
    return services.model_copy(update={"database": database})


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings.database_url())
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        api.answer = lambda asked: Answer([ITEM])
        yield api


def content(*sources: dict[str, Any]) -> Content:
    found = [content_of(parse_source(source)) for source in sources]
    return Content(revision=1, created_at="", decisions=Decisions(), policy=ScoringPolicy(), sources=found)


def source(name: str, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "source_type": "dwh",
        "connection_config": {"poll": {"kind": "files", "folder": folder.name}, "interval": "2 hours"},
        "event_mapping": {"customer_id_field": "who", "timestamp_field": "at", "event_type": "sms"},
        **more,
    }  # fmt: skip


def test_what_is_due_follows_the_newest_revision(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jsonl").write_text('{"who": "48", "at": "2026-01-01T00:00:00Z"}\n')
    there = settings.model_copy(update={"imports": tmp_path})
    feed: Any = SimpleNamespace(latest=lambda: None)
    due = source_jobs(there, feed)
    assert due(engine) == {}
    name = f"files_{tmp_path.name}"
    newest = content(source(name, folder), source("off", folder, is_active=False))
    feed.latest = lambda: newest
    assert {each: every for each, (every, _) in due(engine).items()} == {PREFIX + name: 7_200}
    poller = Poller(there, "worker-1", due)
    poller.start()
    try:
        until("the file is read", lambda: [state.records for state in poll_states(settings)] == [1])
        until("it is let go of", lambda: poll_states(settings)[0].holder is None)
    finally:
        poller.stop()
    feed.latest = lambda: msgspec.structs.replace(newest, sources=[])
    assert due(engine) == {}


def test_a_process_of_its_own_syncs_products_on_schedule_and_ends_when_told(
    settings: Settings, engine: Engine, api: Api, environment: dict[str, str], tmp_path: Path
) -> None:
    sync = ProductSyncService(settings.database_url(), settings)
    connection = {"kind": "rest", "url": f"{api.url}/products"}
    sync.connect({"name": "crm", "connection": connection, "mapping": MAPPING, "frequency": "hourly"})
    products = ProductCatalogService(settings.database_url())
    given = {**environment, "KHAYWE_DATABASE": settings.database_url()}
    command = ["-c", "from cli.main import main; main()", "worker", "--agents", "poller"]
    worker = Worker(command, given, tmp_path / "worker.log").start()
    with workers(worker):
        until("the products are there", products.count, 180, worker.log)
        until("it is told", lambda: "1 created" in worker.log.read_text(), 180, worker.log)
        assert worker.stop() == 0, worker.log.read_text()
    (product,) = products.page().items
    assert (product.external_product_id, product.sync_frequency) == ("7", "hourly")
    assert "Traceback" not in worker.log.read_text()
    assert Leases(engine, "").holder("products:crm") is None
    sync.close()
    products.close()


def test_no_schedule_nothing_is_due(engine: Engine, settings: Settings) -> None:
    assert product_jobs(settings)(engine) == {}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("30 seconds", 30),
        ("1 minute", 60),
        ("2 hours", 7_200),
        ("daily", 86_400),
        ("1 week", 604_800),
        (5, 5),
    ],
)
def test_intervals(said: Any, found: int) -> None:
    assert seconds(said) == found
