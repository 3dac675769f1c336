"""Products in PostgreSQL: found, paged, edited, and suited to a customer.  Prices are exact decimals.

A product's version goes up with each change and is its etag: an edit that says another one is refused, so
that nobody overwrites what they have not seen.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, any_, func, literal, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog.database import connect, migrate, transaction
from catalog.product_entry import FIELDS, UNFIT, ProductEntry, ProductRefused, entry_of, parse_product, plain
from catalog.product_models import ProductRow
from config.errors import KhayweError
from loyalty.game import Sold

T = TypeVar("T")
#: Products of one page at most.
LARGEST_PAGE = 500
#: Features of a customer that say its value, the best first.
VALUE_FEATURES = ("customer_value", "predicted_ltv", "lifetime_value", "revenue_lifetime")
LARGEST_ID = 2**63 - 1
CYCLE_DAYS = {"daily": 1, "weekly": 7, "monthly": 30, "quarterly": 90, "yearly": 365}
LONGEST_VALIDITY = 36_500  # days
LARGEST_VALUE = 10**15


class NoSuchProduct(KhayweError):
    """There is none of this id."""


class ProductExists(KhayweError):
    """Its system has a product of this id already."""


class ProductChanged(KhayweError):
    """It is not as the editor saw it."""


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it stands."""

    id: int
    external_system: str
    external_product_id: str
    name: str
    description: str
    product_type: str
    category: str
    price: Decimal
    currency: str
    recurring: bool
    billing_cycle: str | None
    features: list[Any]
    attributes: dict[str, Any]
    is_active: bool
    is_available: bool
    target_segments: list[str]
    min_customer_value: Decimal | None
    max_customer_value: Decimal | None
    last_synced: datetime | None
    sync_frequency: str | None
    withdrawn_at: datetime | None
    created_at: datetime
    updated_at: datetime
    etag: str


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which products; None and "": any.

    Every word of `search` stands in name, description, external id, type or category.
    """

    external_system: str | None = None
    product_type: str | None = None
    category: str | None = None
    currency: str | None = None
    is_active: bool | None = None
    is_available: bool | None = None
    recurring: bool | None = None
    segment: str | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    search: str = ""


ANY = ProductFilter()


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of them; `next` is the cursor of those that follow, None at the end."""

    items: list[T]
    next: str | None = None


class Suited(msgspec.Struct, frozen=True, kw_only=True):
    """What may be recommended to a customer: `kind` as models know it, `value` what it brings, currency."""

    product_id: int
    name: str
    kind: str
    value: float
    price: Decimal
    currency: str
    segments: list[str]


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of one currency."""

    products: int
    lowest: Decimal
    highest: Decimal
    average: Decimal


class ProductStats(msgspec.Struct, frozen=True, kw_only=True):
    """The catalog in figures; `available` are those that are active too."""

    total: int
    active: int
    available: int
    withdrawn: int
    recurring: int
    by_system: dict[str, int]
    by_type: dict[str, int]
    by_category: dict[str, int]
    prices: dict[str, Prices]
    last_synced: datetime | None


class ProductCatalogService:
    """The products in PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        self._engine = connect(database_url)

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the schema up to date."""
        migrate(self._engine)

    # -- reading --------------------------------------------------------------------------------------

    def page(self, filter: ProductFilter = ANY, cursor: str | None = None, limit: int = 50) -> Page[Product]:
        """Products by id.  Raises ProductRefused for what is no cursor or no limit."""
        return self._page(select(ProductRow).where(*_conditions(filter)), cursor, limit)

    def count(self, filter: ProductFilter = ANY) -> int:
        """How many there are."""
        with transaction(self._engine) as session:
            return (
                session.scalar(select(func.count()).select_from(ProductRow).where(*_conditions(filter))) or 0
            )

    def get(self, product_id: int) -> Product:
        """One product.  Raises NoSuchProduct."""
        with transaction(self._engine) as session:
            return product_of(_row(session, product_id))

    def find(self, external_system: str, external_product_id: str) -> Product:
        """One product by its id in its system.  Raises NoSuchProduct."""
        with transaction(self._engine) as session:
            row = session.scalar(
                select(ProductRow).where(
                    ProductRow.external_system == _text("external_system", external_system),
                    ProductRow.external_product_id == _text("external_product_id", external_product_id),
                )
            )
            if row is None:
                raise NoSuchProduct(f"{external_system} has no product {external_product_id!r}")
            return product_of(row)

    def available(
        self,
        customer_value: Decimal | float | str | None = None,
        segment: str = "",
        product_type: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Product]:
        """What can be sold to a customer of this value (currency) and segment.

        Where one of them is unknown (None, ""), what is for everybody.  Raises ProductRefused.
        """
        query = select(ProductRow).where(*_suits(_value("customer_value", customer_value), segment))
        if product_type:
            query = query.where(ProductRow.product_type == product_type)
        return self._page(query, cursor, limit)

    def get_products_for_ml_recommendation(self, customer_features: Mapping[str, Any]) -> list[Suited]:
        """What models may choose from for a customer.

        The customer's value is the first known of `VALUE_FEATURES`; `segment` the profile's.
        """
        known = (customer_features.get(name) for name in VALUE_FEATURES)
        # NaN is how features say that they are unknown.
        value = _value(
            "customer_value", next((each for each in known if each is not None and each == each), None)
        )
        conditions = _suits(value, str(customer_features.get("segment") or ""))
        with transaction(self._engine) as session:
            rows = session.scalars(select(ProductRow).where(*conditions).order_by(ProductRow.id))
            return [
                Suited(
                    product_id=row.id,
                    name=row.name,
                    kind=row.product_type,
                    value=float(row.price),
                    price=plain(row.price),
                    currency=row.currency,
                    segments=row.target_segments,
                )
                for row in rows
            ]

    def sold(self, ids: Collection[int]) -> dict[int, Sold | str]:
        """As campaigns copy them; see the function `sold`."""
        with transaction(self._engine) as session:
            return sold(session, ids)

    def stats(self) -> ProductStats:
        """The catalog in figures, of one moment."""
        row = ProductRow
        sold = row.is_active & row.is_available
        figures = select(
            func.count(),
            func.count().filter(row.is_active),
            func.count().filter(sold),
            func.count().filter(row.withdrawn_at.is_not(None)),
            func.count().filter(row.recurring),
            func.max(row.last_synced),
        ).select_from(row)
        amounts = (func.min(row.price), func.max(row.price), func.avg(row.price))
        with transaction(self._engine) as session:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            total, active, available, withdrawn, recurring, synced = session.execute(figures).one()
            systems, types, categories = (
                _counted(session, each) for each in (row.external_system, row.product_type, row.category)
            )
            prices = session.execute(
                select(row.currency, func.count(), *amounts)
                .where(row.is_active)
                .group_by(row.currency)
                .order_by(row.currency)
            ).all()
        return ProductStats(
            total=total,
            active=active,
            available=available,
            withdrawn=withdrawn,
            recurring=recurring,
            by_system=systems,
            by_type=types,
            by_category=categories,
            prices={
                currency: Prices(
                    products=n, lowest=plain(low), highest=plain(high), average=plain(round(average, 6))
                )
                for currency, n, low, high, average in prices
            },
            last_synced=synced,
        )

    def _page(self, query: Select[Any], cursor: str | None, limit: int) -> Page[Product]:
        if not 1 <= limit <= LARGEST_PAGE:
            raise ProductRefused(
                "there is no such page", {"limit": f"must be 1 to {LARGEST_PAGE}, not {limit}"}
            )
        if cursor is not None:
            query = query.where(ProductRow.id > _after(cursor))
        with transaction(self._engine) as session:
            found = [
                product_of(row) for row in session.scalars(query.order_by(ProductRow.id).limit(limit + 1))
            ]
        if len(found) <= limit:
            return Page(found)
        return Page(found[:limit], base64.urlsafe_b64encode(b"%d" % found[limit - 1].id).decode())

    # -- editing --------------------------------------------------------------------------------------

    def create(self, given: Mapping[str, Any]) -> Product:
        """A new product.  Raises ProductRefused, ProductExists."""
        entry = parse_product(given)
        with transaction(self._engine) as session:
            return _save(session, ProductRow(version=0), entry)

    def edit(self, product_id: int, given: Mapping[str, Any], etag: str | None = None) -> Product:
        """Change the fields that are given, and no others.

        Raises NoSuchProduct, ProductRefused, ProductExists, and ProductChanged where it has another etag.
        """
        return self._change(product_id, etag, lambda row: {**entry_of(row), **given})

    def replace(self, product_id: int, given: Mapping[str, Any], etag: str | None = None) -> Product:
        """Put what is given in place of all fields.  Raises as `edit` does."""
        return self._change(product_id, etag, lambda row: dict(given))

    def delete(self, product_id: int, etag: str | None = None) -> None:
        """Remove it.  One of an external system that still has it comes back at the next sync.

        Raises NoSuchProduct, ProductChanged.
        """
        with transaction(self._engine) as session:
            session.delete(_row(session, product_id, etag, lock=True))

    def _change(self, product_id: int, etag: str | None, merged: Any) -> Product:
        with transaction(self._engine) as session:
            row = _row(session, product_id, etag, lock=True)
            before = entry_of(row)
            entry = parse_product(merged(row))
            if entry.model_dump() == before:
                return product_of(row)
            return _save(session, row, entry)


def sold(session: Session, ids: Collection[int]) -> dict[int, Sold | str]:
    """Products as campaigns copy them; why not, where one cannot be sold.  Unknown ones are left out."""
    rows = session.scalars(select(ProductRow).where(ProductRow.id.in_(ids))) if ids else ()
    return {row.id: _sold(row) for row in rows}


def _sold(row: ProductRow) -> Sold | str:
    if not row.is_active:
        return f"product {row.id}, {row.name!r}, is not active"
    if not row.is_available:
        return f"product {row.id}, {row.name!r}, cannot be sold now"
    return Sold(str(row.id), row.name, str(plain(row.price)), row.currency, validity_days(row))


def validity_days(product: ProductRow | Product) -> int:
    """How long it is valid: its attribute `validity_days`, else its billing cycle; 0: unknown."""
    said = product.attributes.get("validity_days")
    if type(said) is int and 0 < said <= LONGEST_VALIDITY:
        return said
    return CYCLE_DAYS.get(product.billing_cycle or "", 0)


def _counted(session: Session, column: Any) -> dict[str, int]:
    """How many products have each value of a column."""
    counts = session.execute(select(column, func.count()).group_by(column).order_by(column))
    return {value: count for value, count in counts}  # noqa: C416 (dict() of it has no type)


def product_of(row: ProductRow) -> Product:
    """A row as a product."""
    members: dict[str, Any] = {
        name: plain(value) if isinstance(value := getattr(row, name), Decimal) else value
        for name in Product.__struct_fields__
        if name != "etag"
    }
    return Product(**members, etag=str(row.version))


def fill(row: ProductRow, entry: ProductEntry) -> None:
    """Make the row say the entry, as its next version."""
    for name in FIELDS:
        setattr(row, name, getattr(entry, name))
    row.version += 1
    row.updated_at = func.now()


def _save(session: Session, row: ProductRow, entry: ProductEntry) -> Product:
    fill(row, entry)
    if entry.is_active:
        row.withdrawn_at = None  # who edits it knows better than the last sync
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise ProductExists(
            f"{entry.external_system} has a product {entry.external_product_id!r} already"
        ) from None
    session.refresh(row)
    return product_of(row)


def _row(session: Session, product_id: int, etag: str | None = None, lock: bool = False) -> ProductRow:
    row = None
    if 0 < product_id <= LARGEST_ID:
        row = session.get(ProductRow, product_id, with_for_update=lock)
    if row is None:
        raise NoSuchProduct(f"there is no product {product_id}")
    if etag is not None and etag != str(row.version):
        raise ProductChanged(
            f"product {product_id} has changed since: it is {row.version} now, not {etag}",
            hint="read it again, and say what shall be changed then",
        )
    return row


def _conditions(filter: ProductFilter) -> list[ColumnElement[bool]]:
    row = ProductRow
    found: list[ColumnElement[bool]] = []
    for name in (
        "external_system", "product_type", "category", "currency", "is_active", "is_available", "recurring",
    ):  # fmt: skip
        value = getattr(filter, name)
        if value is not None:
            found.append(getattr(row, name) == (_text(name, value) if isinstance(value, str) else value))
    if filter.segment is not None:
        found.append(_for_segment(filter.segment))
    if filter.min_price is not None:
        found.append(row.price >= _value("min_price", filter.min_price))
    if filter.max_price is not None:
        found.append(row.price <= _value("max_price", filter.max_price))
    texts = (row.name, row.description, row.external_product_id, row.category, row.product_type)
    for word in _text("search", filter.search).split():
        found.append(or_(*(text.icontains(word, autoescape=True) for text in texts)))
    return found


def _for_segment(segment: str) -> ColumnElement[bool]:
    anybody = func.cardinality(ProductRow.target_segments) == 0
    if not segment:
        return anybody
    return or_(anybody, literal(_text("segment", segment)) == any_(ProductRow.target_segments))


def _suits(value: Decimal | None, segment: str) -> list[ColumnElement[bool]]:
    row = ProductRow
    low, high = row.min_customer_value, row.max_customer_value
    if value is None:
        bounds = low.is_(None) & high.is_(None)
    else:
        bounds = or_(low.is_(None), low <= value) & or_(high.is_(None), high >= value)
    return [row.is_active.is_(True), row.is_available.is_(True), bounds, _for_segment(segment)]


def _text(field: str, given: str) -> str:
    """Raises ProductRefused for what PostgreSQL takes for no text."""
    if UNFIT.search(given):
        raise ProductRefused("no product can be told", {field: "has a character that cannot be kept"})
    return given


def _value(field: str, given: Decimal | float | str | None) -> Decimal | None:
    if given is None:
        return None
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or abs(value) > LARGEST_VALUE:
        raise ProductRefused("no product can be told", {field: f"must be an amount, not {str(given)[:50]!r}"})
    return value


def _after(cursor: str) -> int:
    try:
        found = int(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
    except ValueError:
        found = -1
    if not 0 <= found <= LARGEST_ID:
        raise ProductRefused("there is no such page", {"cursor": "is none that a page said"})
    return found
