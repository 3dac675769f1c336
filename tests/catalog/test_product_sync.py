"""Products of external systems, of a real HTTP server, in a real PostgreSQL: brought in line, or refused."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine, text

from catalog.connectors.pages import ConnectorError
from catalog.database import connect
from catalog.leases import LeaseLost, Leases, UnderWay
from catalog.product_entry import ProductRefused
from catalog.product_mapping import ProductMapping, look
from catalog.product_sync import (
    PREFIX,
    NoSuchSystem,
    ProductSyncService,
    Refusal,
    SyncReport,
    SystemEntry,
    frequencies,
    sync_system,
)
from catalog.products import Product, ProductCatalogService, ProductChanged, ProductFilter
from catalog.secrets import NoSecret
from catalog.service import parse_source
from config.settings import Settings
from tests.catalog.http_api import Answer, Api, Asked, serving
from tests.faults.harness import until


def item(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number, "title": f"Pack {number}", "kind": "DATA", "cost": {"amount": "9.90", "unit": "EUR"},
    } | more  # fmt: skip


MAPPING = {
    "external_product_id": "id",
    "name": "title",
    "product_type": {"field": "kind", "values": {"data": "data", "voice": "voice"}},
    "price": "cost.amount",
    "currency": "cost.unit",
    "target_segments": "segments",
}


class Xiva:
    """A product catalog over HTTP, in pages by offset."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.broken: int | None = None
        #: Answers wait for it.
        self.open = threading.Event()
        self.open.set()

    def __call__(self, asked: Asked) -> Answer:
        self.open.wait(20)
        offset = int(asked.params["offset"])
        if self.broken is not None and offset >= self.broken:
            return Answer(None, 500)
        return Answer({"items": self.items[offset : offset + 2]})


@pytest.fixture
def xiva() -> Iterator[tuple[Api, Xiva]]:
    with serving() as api:
        api.answer = system = Xiva(item(1), item(2), item(3))
        yield api, system
        system.open.set()


@pytest.fixture
def sync(database: str, xiva: tuple[Api, Xiva]) -> Iterator[ProductSyncService]:
    service = ProductSyncService(database, Settings(_env_file=None), wait=lambda seconds: None)
    service.migrate()
    service.connect(system(xiva[0]))
    yield service
    service.close()


@pytest.fixture
def products(database: str) -> Iterator[ProductCatalogService]:
    service = ProductCatalogService(database)
    yield service
    service.close()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = create_engine(database)
    yield engine
    engine.dispose()


def system(api: Api, name: str = "xiva", **more: Any) -> dict[str, Any]:
    connection = {
        "kind": "rest", "url": f"{api.url}/products", "records": "items", "paging": {"kind": "offset"},
    }  # fmt: skip
    return {"name": name, "connection": connection, "mapping": MAPPING} | more


def counts(report: SyncReport) -> tuple[int, ...]:
    return (report.created, report.updated, report.unchanged, report.withdrawn, report.refused)


def every(products: ProductCatalogService, **how: Any) -> dict[str, Product]:
    return {each.external_product_id: each for each in products.page(ProductFilter(**how)).items}


def test_created_updated_unchanged_withdrawn_and_back(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    remote = xiva[1]
    first = sync.sync_from_xiva()
    assert (first.status, counts(first), first.external_system) == ("done", (3, 0, 0, 0, 0), "xiva")
    made = every(products)
    assert (made["1"].name, made["1"].product_type, made["1"].price) == ("Pack 1", "data", Decimal("9.90"))
    assert made["1"].last_synced is not None

    own = products.create(
        {"external_product_id": "1", "name": "Own", "product_type": "data", "price": 1, "currency": "EUR"}
    )
    products.edit(made["2"].id, {"category": "Mobile", "description": "words of our own"})
    remote.items = [item(1), item(2, cost={"amount": 12, "unit": "EUR"}), item(4)]
    second = sync.sync("xiva")
    assert counts(second) == (1, 1, 1, 1, 0)
    now = every(products, external_system="xiva")
    assert now["1"].etag == made["1"].etag
    assert (now["1"].last_synced or first.ended_at) > first.ended_at
    assert (now["2"].price, now["2"].category) == (Decimal(12), "Mobile")
    assert (now["3"].is_active, now["3"].withdrawn_at is not None) == (False, True)
    assert products.get(own.id) == own

    remote.items = [item(1), item(3)]
    third = sync.sync("xiva")
    assert counts(third) == (0, 1, 1, 2, 0)
    back = every(products, external_system="xiva")["3"]
    assert (back.is_active, back.withdrawn_at, back.id) == (True, None, made["3"].id)
    assert counts(sync.sync("xiva")) == (0, 0, 2, 0, 0)
    assert [counts(report) for report in sync.history("xiva")][1:] == [
        counts(each) for each in (third, second, first)
    ]
    assert products.stats().withdrawn == 2


def test_what_the_operator_switched_off_stays_off(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    sync.sync("xiva")
    products.edit(every(products)["1"].id, {"is_active": False})
    xiva[1].items[0] = item(1, title="Renamed")
    sync.sync("xiva")
    found = every(products)["1"]
    assert (found.name, found.is_active) == ("Renamed", False)


def test_what_is_refused_says_why_and_is_not_withdrawn(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    sync.sync("xiva")
    xiva[1].items = [
        item(1, kind="fax"), item(2, cost={"amount": "free", "unit": "EUR"}), item(5, title=None),
        item(6), item(6, title="Again"),
    ]  # fmt: skip
    report = sync.sync("xiva")
    assert report.refusals == [
        Refusal("1", "product_type", "'fax' is none of data, voice"),
        Refusal("2", "price", "Input should be a valid decimal"),
        Refusal("5", "name", "is missing"),
        Refusal("6", "external_product_id", "is there twice; the first counts"),
    ]
    assert counts(report) == (1, 0, 0, 1, 4)
    found = every(products)
    assert [number for number, product in found.items() if product.is_active] == ["1", "2", "6"]
    assert found["6"].name == "Pack 6"


def test_where_a_record_has_no_id_nothing_is_withdrawn(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    sync.sync("xiva")
    for nameless in (None, "", True, [1]):
        xiva[1].items = [item(1), item(2, id=nameless)]
        report = sync.sync("xiva")
        assert counts(report) == (0, 0, 1, 0, 1)
        assert report.refusals[0].field == "external_product_id"
    assert all(product.is_active for product in every(products).values())


def test_a_system_that_breaks_in_the_middle_changes_nothing(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    sync.sync("xiva")
    before = every(products)
    remote = xiva[1]
    remote.items = [item(9), item(8), item(7)]
    remote.broken = 2
    with pytest.raises(ConnectorError, match="500 Internal Server Error, tried 5 times"):
        sync.sync("xiva")
    remote.items, remote.broken = [], None
    with pytest.raises(ConnectorError, match="without a single product"):
        sync.sync("xiva")
    assert every(products) == before
    last, _, first = sync.history()
    assert (last.status, first.status, counts(last)) == ("failed", "done", (0, 0, 0, 0, 0))
    assert "without a single product" in last.error
    assert sync.system("xiva").last_synced == first.ended_at


def test_a_missing_secret_is_told_and_lets_go(sync: ProductSyncService, xiva: tuple[Api, Xiva]) -> None:
    given = system(xiva[0])
    given["connection"]["auth"] = {"kind": "bearer", "token": "env:XIVA"}
    sync.connect(given)
    with pytest.raises(NoSecret, match="env:XIVA"):
        sync.sync("xiva")
    assert sync.history()[0].status == "failed"
    sync.connect(system(xiva[0]))
    assert sync.sync("xiva").created == 3


def test_two_syncs_of_one_system_do_not_meet(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    remote = xiva[1]
    remote.open.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sync.sync, "xiva")
        until("the first asks", lambda: xiva[0].asked)
        with pytest.raises(UnderWay, match="the products of xiva is being fetched by who asked for it since"):
            sync.sync("xiva")
        remote.open.set()
        assert first.result(20).created == 3
    assert counts(sync.sync("xiva")) == (0, 0, 3, 0, 0)
    assert len(every(products)) == 3


def test_one_that_was_paused_writes_nothing(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva], database: str
) -> None:
    engine = connect(database)
    slow, quick = Leases(engine, "slow"), Leases(engine, "quick")
    lease = slow.take(PREFIX + "xiva")
    assert lease is not None
    with engine.begin() as connection:  # as if nobody had renewed it for long
        connection.execute(text("update fetches set held_until = now() - interval '1 s'"))
    second = quick.take_now(PREFIX + "xiva", "xiva")
    sync_system(engine, Settings(_env_file=None), quick, second)
    xiva[1].items = [item(7)]
    with pytest.raises(LeaseLost):
        sync_system(engine, Settings(_env_file=None), slow, lease)
    assert sorted(every(products)) == ["1", "2", "3"]
    assert all(product.is_active for product in every(products).values())
    assert [report.status for report in sync.history()] == ["done"]
    engine.dispose()


def test_a_lease_is_renewed_while_a_sync_takes_its_time(
    sync: ProductSyncService, xiva: tuple[Api, Xiva], database: str
) -> None:
    engine = connect(database)
    one, two = Leases(engine, "one", hold=0.6), Leases(engine, "two")
    remote = xiva[1]
    remote.open.clear()
    lease = one.take_now(PREFIX + "xiva", "xiva")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sync_system, engine, Settings(_env_file=None), one, lease)
        with engine.connect() as connection:
            until(
                "its time has passed",
                lambda: connection.execute(
                    text("select clock_timestamp() > last_began + interval '1 s' from fetches")
                ).scalar_one(),
            )
        assert two.take(PREFIX + "xiva") is None
        remote.open.set()
        assert running.result(20).created == 3
    engine.dispose()


def test_schedules(sync: ProductSyncService, xiva: tuple[Api, Xiva], engine: Engine) -> None:
    assert frequencies(engine) == {}
    sync.connect(system(xiva[0], "crm", frequency="15 minutes"))
    assert [each.frequency for each in sync.schedule_sync("daily")] == ["daily", "daily"]
    assert frequencies(engine) == {"products:crm": 86_400.0, "products:xiva": 86_400.0}
    assert sync.schedule_sync("2 hours", "crm")[0].frequency == "2 hours"
    sync.schedule_sync(None, "xiva")
    assert frequencies(engine) == {"products:crm": 7_200.0}
    for wrong in ("sometimes", "10 seconds", "99 days"):
        with pytest.raises(ProductRefused, match="frequency"):
            sync.schedule_sync(wrong)
    with pytest.raises(NoSuchSystem, match="'billing'"):
        sync.schedule_sync("daily", "billing")


def test_systems_are_kept_as_said_and_edited_with_an_etag(
    sync: ProductSyncService, xiva: tuple[Api, Xiva]
) -> None:
    found = sync.system("xiva")
    again = sync.connect(
        {"name": "xiva", "connection": found.connection, "mapping": found.mapping, "frequency": "daily"},
        found.etag,
    )
    assert (again.connection, again.mapping) == (found.connection, found.mapping)
    with pytest.raises(ProductChanged):
        sync.connect(system(xiva[0]), found.etag)
    sync.sync("xiva")
    assert sync.system("xiva").last_synced is not None
    sync.disconnect("xiva")
    assert sync.systems() == []
    for call in (sync.sync_from_crm, sync.sync_from_billing, sync.sync_from_xiva):
        with pytest.raises(NoSuchSystem):
            call()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": "own"}, "name"),
        ({"name": "X Y"}, "name"),
        ({"connection": {"kind": "rest"}}, "connection.rest.url"),
        (
            {"connection": {"kind": "rest", "url": "http://x/", "cursor_field": "a", "cursor_param": "b"}},
            "connection",
        ),
        ({"mapping": "tmf999"}, "mapping.use"),
        ({"mapping": {**MAPPING, "colour": "c"}}, "mapping"),
        ({"mapping": {"name": "n"}}, "mapping"),
        ({"mapping": {**MAPPING, "price": "a..b"}}, "mapping.price.field"),
        ({"mapping": {**MAPPING, "price": "a[x]"}}, "mapping.price.field"),
        ({"mapping": {**MAPPING, "price": {"key": "a"}}}, "mapping.price"),
        ({"frequency": "often"}, "frequency"),
        ({"secret": 1}, "secret"),
    ],
)
def test_a_system_that_cannot_be_asked_names_its_field(
    sync: ProductSyncService, xiva: tuple[Api, Xiva], change: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ProductRefused) as error:
        sync.connect(system(xiva[0]) | change)
    assert list(error.value.faults) == [fault]


OFFERING: dict[str, Any] = {
    "id": "14277",
    "href": "https://host:port/productCatalogManagement/v4/productOffering/14277",
    "name": "Unlimited S",
    "description": "Calls and data",
    "isSellable": True,
    "lifecycleStatus": "Active",
    "category": [{"id": "7", "name": "voice"}],
    "marketSegment": [{"id": "1", "name": "youth"}, {"id": "2", "name": "family"}],
    "prodSpecCharValueUse": [
        {"name": "Data", "productSpecCharacteristicValue": [{"isDefault": True, "value": "20 GB"}]},
        {"name": "Calls", "productSpecCharacteristicValue": [{"value": "unlimited"}]},
    ],
    "productOfferingPrice": [
        {"id": "1", "priceType": "oneTime", "price": {"unit": "EUR", "value": 5}},
        {
            "id": "2", "priceType": "recurring", "recurringChargePeriodType": "month",
            "recurringChargePeriodLength": 1, "price": {"unit": "EUR", "value": 19.99},
        },
    ],
}  # fmt: skip


def test_tmf620_is_ready(
    sync: ProductSyncService, products: ProductCatalogService, xiva: tuple[Api, Xiva]
) -> None:
    once = OFFERING | {
        "id": "2", "productOfferingPrice": OFFERING["productOfferingPrice"][:1], "lifecycleStatus": "Retired",
        "marketSegment": None, "isSellable": None,
    }  # fmt: skip
    odd = OFFERING | {"id": "3", "lifecycleStatus": "Asleep"}
    xiva[1].items = [OFFERING, once, odd, OFFERING | {"id": "4", "productOfferingPrice": []}]
    given = system(xiva[0], "billing", mapping="tmf620")
    sync.connect(given)
    report = sync.sync_from_billing()
    assert [(each.external_product_id, each.field) for each in report.refusals] == [
        ("3", "is_active"), ("4", "price"),
    ]  # fmt: skip
    found = every(products, external_system="billing")
    first, second = found["14277"], found["2"]
    assert (first.price, first.currency) == (Decimal("19.99"), "EUR")
    assert (first.recurring, first.billing_cycle) == (True, "monthly")
    assert (first.product_type, first.category, first.description) == ("voice", "voice", "Calls and data")
    assert first.attributes == {"Data": "20 GB", "Calls": "unlimited"}
    assert first.features == ["Data", "Calls"]
    assert first.target_segments == ["youth", "family"]
    assert (first.is_active, first.is_available) == (True, True)
    assert (second.price, second.recurring, second.is_active) == (Decimal(5), False, False)
    assert (second.target_segments, second.is_available) == ([], True)

    given["mapping"] = {
        "use": "tmf620", "product_type": {"default": "data"},
        "is_active": {"field": "lifecycleStatus", "values": {"ACTIVE": True}, "default": False},
    }  # fmt: skip
    sync.connect(given)
    sync.sync("billing")
    found = every(products, external_system="billing")
    assert {each.product_type for each in found.values()} == {"data"}
    assert {number: each.is_active for number, each in found.items()} == {
        "14277": True,
        "2": False,
        "3": False,
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 1), ("l[0].x", 1), ("l[1].x", 2), ("l[9].x", None), ("l[k=v].x", 2), ("l[k=w].x", None),
        ("a.b.c", None), ("a[0]", None), ("l.x", None), ("n[0][1]", 4), ("l[0]", {"x": 1}),
    ],
)  # fmt: skip
def test_paths(path: str, value: Any) -> None:
    record = {"a": {"b": 1}, "l": [{"x": 1}, {"k": "v", "x": 2}], "n": [[3, 4]]}
    assert look(record, path) == value


def test_a_mapping_is_written_as_it_was_read() -> None:
    said = {"use": "tmf620", "features": {"each": "f", "value": "n"}, "name": {"field": ["a", "b"]}}
    assert ProductMapping.model_validate(said).plain() == said
    assert ProductMapping.model_validate("tmf620").plain() == {"use": "tmf620"}
    with pytest.raises(ValidationError):
        ProductMapping.model_validate({"use": "tmf620", "name": 5})


def test_the_page_about_products_says_what_can_be_saved() -> None:
    page = (Path(__file__).parents[2] / "docs" / "products.md").read_text()
    system_, rules, source = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.S))
    entry = SystemEntry.model_validate(system_)
    record = {"id": 17, "title": "Night 10 GB", "kind": "DATA", "cost": {"amount": "9.90", "unit": "EUR"}}
    assert entry.mapping.product(record)["product_type"] == "data"
    SystemEntry.model_validate({**system_, "mapping": rules["mapping"]})
    polled = parse_source(source)
    assert (polled.connection_config.interval, polled.name) == (300, "billing")
