"""Products in PostgreSQL: what is refused, found, paged, edited by two at once, and suited to a customer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from catalog.product_entry import ProductRefused
from catalog.product_models import Base
from catalog.products import (
    NoSuchProduct,
    ProductCatalogService,
    ProductChanged,
    ProductExists,
    ProductFilter,
)
from config.errors import KhayweError


def said(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "external_product_id": f"P-{number}", "name": f"Product {number}", "product_type": "data",
        "price": "9.90", "currency": "EUR",
    } | more  # fmt: skip


@pytest.fixture
def products(database: str) -> Iterator[ProductCatalogService]:
    service = ProductCatalogService(database)
    service.migrate()
    yield service
    service.close()


def test_the_models_are_what_the_migrations_make(products: ProductCatalogService, database: str) -> None:
    engine = create_engine(database)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    # The index of the outbox is made for one query and stands in the migration alone.
    assert [each for each in differences if "outbox_unpublished" not in str(each)] == []


def test_a_product_is_kept_as_said_and_its_price_is_exact(products: ProductCatalogService) -> None:
    features = ["5G", {"speed": 300}]
    made = products.create(
        said(
            description="10 GB", category="Mobile", price="0.000123", recurring=True, billing_cycle="monthly",
            features=features, attributes={"gb": 10, "é": None}, target_segments=["youth", "youth"],
            min_customer_value=5, max_customer_value="20.5",
        )
    )  # fmt: skip
    assert products.get(made.id) == made == products.find("own", "P-1")
    assert (made.price, made.features, made.attributes) == (
        Decimal("0.000123"),
        features,
        {"gb": 10, "é": None},
    )
    assert (made.target_segments, made.max_customer_value) == (["youth"], Decimal("20.50"))
    assert msgspec.to_builtins(made)["price"] == "0.000123"
    assert str(products.create(said(2, price=9.9)).price) == "9.90"
    assert str(products.create(said(3, price="123456789012.123456")).price) == "123456789012.123456"


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"name": " "}, "name", "at least 1 character"),
        ({"price": None}, "price", "Decimal input"),
        ({"price": "-1"}, "price", "greater than or equal to 0"),
        ({"price": "1.2345678"}, "price", "no more than 6 decimal places"),
        ({"price": "NaN"}, "price", "finite"),
        ({"currency": "euro"}, "currency", "match pattern"),
        ({"recurring": True}, "billing_cycle", "a recurring product needs one"),
        ({"billing_cycle": "monthly"}, "billing_cycle", "only a recurring product has one"),
        (
            {"min_customer_value": 2, "max_customer_value": 1},
            "max_customer_value",
            "below min_customer_value",
        ),
        ({"nmae": "x"}, "nmae", "no such field"),
        ({"description": "a\0b"}, "description", "cannot be kept"),
        ({"attributes": {"a": ["\0"]}}, "attributes", "cannot be kept"),
        ({"features": ["x" * 70_000]}, "features", "at most 65,536"),
        ({"target_segments": [""]}, "target_segments.0", "at least 1 character"),
        ({"id": 5}, "id", "no such field"),
        ({"attributes": {"a": [float("nan")]}}, "attributes", "cannot be kept"),
        ({"features": [10**40]}, "features", "cannot be kept"),
    ],
)
def test_what_is_refused_names_its_field(
    products: ProductCatalogService, change: dict[str, Any], field: str, why: str
) -> None:
    with pytest.raises(ProductRefused) as error:
        products.create(said(**change))
    assert list(error.value.faults) == [field]
    assert why in error.value.faults[field]
    assert products.count() == 0


def test_an_edit_changes_what_it_says_and_needs_the_etag_it_names(products: ProductCatalogService) -> None:
    made = products.create(said(description="old"))
    changed = products.edit(made.id, {"price": "12"}, made.etag)
    assert (changed.price, changed.description) == (Decimal("12"), "old")
    assert changed.etag != made.etag
    assert changed.updated_at > made.updated_at
    with pytest.raises(ProductChanged):
        products.edit(made.id, {"price": "13"}, made.etag)
    with pytest.raises(ProductRefused):
        products.edit(made.id, {"name": ""})
    assert products.edit(made.id, {"price": 12.0}) == changed  # says nothing new
    replaced = products.replace(made.id, said(), changed.etag)
    assert (replaced.description, replaced.price) == ("", Decimal("9.90"))
    with pytest.raises(ProductChanged):
        products.delete(made.id, changed.etag)
    products.delete(made.id, replaced.etag)
    for number in (made.id, 0, -1, 2**63):
        with pytest.raises(NoSuchProduct):
            products.get(number)


def test_of_many_editors_that_saw_the_same_one_comes_through(products: ProductCatalogService) -> None:
    made = products.create(said())

    def edit(number: int) -> str:
        try:
            return products.edit(made.id, {"name": f"Name {number}"}, made.etag).name
        except ProductChanged:
            return ""

    with ThreadPoolExecutor(6) as pool:
        names = [name for name in pool.map(edit, range(6)) if name]
    assert names == [products.get(made.id).name]


def test_of_many_that_make_one_product_one_does(products: ProductCatalogService) -> None:
    def create(_: int) -> bool:
        try:
            products.create(said())
        except ProductExists:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(create, range(6))) == 1
    other = products.create(said(external_system="crm"))
    with pytest.raises(ProductExists):
        products.edit(other.id, {"external_system": "own"})


def test_pages_hold_every_product_once(products: ProductCatalogService) -> None:
    ids = [products.create(said(number)).id for number in range(7)]
    found, cursor = [], None
    while True:
        page = products.page(cursor=cursor, limit=3)
        found += [product.id for product in page.items]
        if page.next is None:
            break
        if cursor is None:
            products.delete(ids[2])  # the last of the page that was just read
            products.create(said(99))
        cursor = page.next
    assert found[:7] == ids
    assert len(found) == 8
    for cursor in ("", "x", "é", "LTE=", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk="):
        with pytest.raises(ProductRefused, match="cursor"):
            products.page(cursor=cursor)
    for limit in (0, 501):
        with pytest.raises(ProductRefused, match="limit"):
            products.page(limit=limit)


def test_filters_and_search(products: ProductCatalogService) -> None:
    products.create(said(1, name="Night 100% data", category="Mobile", price=5, is_active=False))
    products.create(said(2, name="Day_Pass", product_type="roaming", price=10, target_segments=["gold"]))
    products.create(
        said(3, name="Family", external_system="crm", price=20, recurring=True, billing_cycle="yearly",
             currency="USD", is_available=False)
    )  # fmt: skip

    def names(**how: Any) -> list[str]:
        found = ProductFilter(**how)
        listed = [product.name for product in products.page(found).items]
        assert products.count(found) == len(listed)
        return listed

    assert names(search="NIGHT data") == names(search="100%") == ["Night 100% data"]
    assert names(search="y_p") == ["Day_Pass"]
    assert names(search="p-3") == names(external_system="crm") == names(currency="USD") == ["Family"]
    assert names(search="night pass") == []
    assert names(is_active=True) == ["Day_Pass", "Family"]
    assert names(is_available=False) == names(recurring=True) == ["Family"]
    assert names(product_type="roaming") == ["Day_Pass"]
    assert names(category="Mobile") == ["Night 100% data"]
    assert names(min_price=Decimal("5.01"), max_price=Decimal(10)) == ["Day_Pass"]
    assert names(segment="gold") == ["Night 100% data", "Day_Pass", "Family"]
    assert names(segment="youth") == names(segment="") == ["Night 100% data", "Family"]
    for field in ("search", "category", "segment"):
        with pytest.raises(ProductRefused, match=field):
            names(**{field: "a\0"})


def test_what_suits_a_customer(products: ProductCatalogService) -> None:
    products.create(said(1, name="all"))
    products.create(said(2, name="rich", min_customer_value=100))
    products.create(said(3, name="poor", max_customer_value="99.99"))
    products.create(said(4, name="gold", target_segments=["gold", "platinum"], min_customer_value=100))
    products.create(said(5, name="off", is_active=False))
    products.create(said(6, name="sold out", is_available=False))

    def names(*who: Any) -> list[str]:
        return [product.name for product in products.available(*who).items]

    assert names() == ["all"]
    assert names(100) == ["all", "rich"]
    assert names("99.99") == names(99.99) == ["all", "poor"]
    assert names(99.995) == ["all"]
    assert names(100, "gold") == ["all", "rich", "gold"]
    assert names(1, "gold") == ["all", "poor"]
    assert [product.name for product in products.available(100, product_type="voice").items] == []
    for wrong in ("much", "NaN", "1E+999999", 1e30):
        with pytest.raises(ProductRefused, match="customer_value"):
            names(wrong)
    with pytest.raises(ProductRefused, match="max_price"):
        products.page(ProductFilter(max_price=Decimal("1E+999999")))

    def suited(**features: Any) -> list[str]:
        return [each.name for each in products.get_products_for_ml_recommendation(features)]

    assert suited() == suited(predicted_ltv=None, segment=None) == ["all"]
    assert suited(predicted_ltv=150.0, revenue_lifetime=3.0, segment="gold") == ["all", "rich", "gold"]
    assert suited(predicted_ltv=float("nan"), revenue_lifetime=3.0) == ["all", "poor"]
    (first, *_) = products.get_products_for_ml_recommendation({})
    assert (first.kind, first.value, first.price, first.currency) == ("data", 9.9, Decimal("9.90"), "EUR")


def test_stats(products: ProductCatalogService) -> None:
    assert products.stats().total == 0
    products.create(said(1, price=1))
    products.create(said(2, price=2, product_type="voice", recurring=True, billing_cycle="daily"))
    products.create(said(3, price=2, is_available=False, external_system="crm", category="Mobile"))
    products.create(said(4, price=70, is_active=False, currency="USD"))
    stats = products.stats()
    assert (stats.total, stats.active, stats.available, stats.withdrawn, stats.recurring) == (4, 3, 2, 0, 1)
    assert stats.by_system == {"crm": 1, "own": 3}
    assert stats.by_type == {"data": 3, "voice": 1}
    assert stats.by_category == {"": 3, "Mobile": 1}
    assert list(stats.prices) == ["EUR"]
    euro = stats.prices["EUR"]
    assert (euro.products, euro.lowest, euro.highest) == (3, Decimal(1), Decimal(2))
    assert euro.average == Decimal("1.666667")


def test_postgresql_away_is_told(database: str) -> None:
    service = ProductCatalogService(database.rsplit("/", 1)[0] + "/nothing_of_that_name")
    with pytest.raises(KhayweError, match="PostgreSQL does not answer"):
        service.count()
    service.close()
