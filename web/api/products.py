"""The product catalog, and its synchronisation with other systems."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from catalog.product_entry import ProductEntry, SystemName
from catalog.products import Page as ProductPage
from catalog.products import Product, ProductFilter
from web.api import etags
from web.api.doors import Admin, Editor, Machine, Reader, guarded
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P
from web.api.problems import Problem

router = guarded("products")

Id = Annotated[int, Path(ge=1, lt=2**63)]
Text = Annotated[str | None, Query(max_length=100)]
Value = Annotated[Decimal | None, Query(ge=0, le=10**12, allow_inf_nan=False)]

_EXAMPLE: dict[str, Any] = {
    "external_product_id": "data-10gb", "name": "Data 10 GB", "description": "10 GB for 30 days",
    "product_type": "data", "category": "bundles", "price": "9.90", "currency": "USD",
    "target_segments": ["youth"], "is_active": True, "is_available": True,
}  # fmt: skip
_BODY = {"requestBody": {"content": {"application/json": {"example": _EXAMPLE}}}}


class ShownProduct(BaseModel):
    """A product; prices are exact, as text."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"id": 1, **_EXAMPLE}]})

    id: int
    external_system: str
    external_product_id: str
    name: str
    price: str
    currency: str
    is_active: bool
    is_available: bool
    last_synced: datetime | None = None


class ToSync(BaseModel):
    """Which system."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"external_system": "xiva"}]})

    external_system: SystemName


class System(BaseModel):
    """A system that products come from: how it is reached, what its fields mean, how often."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "connection": {"url": "https://xiva.example.com/products", "bearer": "vault:xiva.token"},
                    "mapping": "tmf620",
                    "frequency": "daily",
                }
            ]
        },
    )

    connection: dict[str, Any]
    mapping: str | dict[str, Any] = "tmf620"
    frequency: str | None = Field(None, max_length=63, description="hourly, daily, weekly, `15 minutes`.")


def _plain(product: Product) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(product)
    del found["etag"]
    return found


def _page(found: ProductPage[Product]) -> Page:
    return Page(items=[_plain(each) for each in found.items], next=found.next)


@router.get("/products/", summary="List products")
def products(
    parts: P, caller: Reader, external_system: Text = None, product_type: Text = None, category: Text = None,
    currency: Text = None, is_active: bool | None = None, is_available: bool | None = None,
    recurring: bool | None = None, segment: Text = None, min_price: Value = None, max_price: Value = None,
    search: Annotated[str, Query(max_length=100)] = "", limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """With filters, and search in names and descriptions."""
    wanted = ProductFilter(
        external_system=external_system, product_type=product_type, category=category, currency=currency,
        is_active=is_active, is_available=is_available, recurring=recurring, segment=segment,
        min_price=min_price, max_price=max_price, search=search,
    )  # fmt: skip
    return _page(parts.products.page(wanted, cursor, limit))


@router.post(
    "/products/", status_code=201, summary="Add a product", response_model=ShownProduct, openapi_extra=_BODY
)
def create(parts: P, caller: Editor, given: ProductEntry, response: Response) -> dict[str, Any]:
    """One of the operator's own, or of a system that is not synchronised."""
    made = parts.products.create(given.model_dump(exclude_unset=True))
    return _edited(parts, caller, response, "create", None, made)


@router.get("/products/available/", summary="Products for a customer")
def available(
    parts: P, caller: Reader, customer_value: Value = None, segment: Text = None, product_type: Text = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Those that can be sold now to a customer of a value, in a segment."""
    return _page(parts.products.available(customer_value, segment or "", product_type, cursor, limit))


@router.get("/products/stats/", summary="Products in figures")
def stats(parts: P, caller: Reader) -> dict[str, Any]:
    """How many there are: active, available, by type, category and system; prices."""
    found: dict[str, Any] = msgspec.to_builtins(parts.products.stats())
    return found


@router.post("/products/sync/", summary="Synchronise with a system now")
def sync(parts: P, caller: Machine, given: ToSync) -> dict[str, Any]:
    """One SQL transaction: created, updated, unchanged, withdrawn, refused with reasons."""
    report: dict[str, Any] = msgspec.to_builtins(parts.product_sync.sync(given.external_system))
    parts.note(caller, "sync", f"products/systems/{given.external_system}", None, report)
    if report["status"] == "failed":
        raise Problem(502, f"{given.external_system}: {report['error']}", report=report)
    return report


@router.get("/products/sync/", summary="Synchronisations until now")
def history(
    parts: P, caller: Reader, external_system: Text = None, limit: Limit = 20
) -> dict[str, list[dict[str, Any]]]:
    """The newest first."""
    return {
        "items": [msgspec.to_builtins(each) for each in parts.product_sync.history(external_system, limit)]
    }


@router.get("/products/systems/", summary="Systems that products come from")
def systems(parts: P, caller: Reader) -> dict[str, list[dict[str, Any]]]:
    """Without secrets: a connection has references to them."""
    return {"items": [msgspec.to_builtins(each) for each in parts.product_sync.systems()]}


@router.put("/products/systems/{name}/", summary="Say how a system is synchronised")
def connect(parts: P, caller: Admin, name: Annotated[SystemName, Path()], given: System) -> dict[str, Any]:
    """Its connection, mapping and frequency, whole."""
    before = [msgspec.to_builtins(each) for each in parts.product_sync.systems() if each.name == name]
    made: dict[str, Any] = msgspec.to_builtins(
        parts.product_sync.connect({"name": name} | given.model_dump(mode="json"))
    )
    parts.note(caller, "change", f"products/systems/{name}", before[0] if before else None, made)
    return made


@router.delete("/products/systems/{name}/", status_code=204, summary="Synchronise no more")
def disconnect(parts: P, caller: Admin, name: Annotated[SystemName, Path()]) -> None:
    """Its products stay."""
    before: Any = msgspec.to_builtins(parts.product_sync.system(name))
    parts.product_sync.disconnect(name)
    parts.note(caller, "remove", f"products/systems/{name}", before, None)


@router.get("/products/{id}/", summary="Show a product", response_model=ShownProduct)
def product(parts: P, caller: Reader, id: Id, response: Response) -> dict[str, Any]:
    """One product."""
    found = parts.products.get(id)
    etags.show(response, found.etag)
    return _plain(found)


@router.put("/products/{id}/", summary="Replace a product", response_model=ShownProduct, openapi_extra=_BODY)
def replace(
    parts: P, caller: Editor, id: Id, given: ProductEntry, match: IfMatch, response: Response
) -> dict[str, Any]:
    """All of it."""
    before = parts.products.get(id)
    made = parts.products.replace(id, given.model_dump(exclude_unset=True), match)
    return _edited(parts, caller, response, "change", before, made)


@router.patch(
    "/products/{id}/",
    summary="Change a product",
    response_model=ShownProduct,
    openapi_extra={"requestBody": {"content": {"application/json": {"example": {"price": "8.90"}}}}},
)
def edit(
    parts: P, caller: Editor, id: Id, given: dict[str, Any], match: IfMatch, response: Response
) -> dict[str, Any]:
    """Only the fields given."""
    before = parts.products.get(id)
    return _edited(parts, caller, response, "change", before, parts.products.edit(id, given, match))


@router.delete("/products/{id}/", status_code=204, summary="Delete a product")
def delete(parts: P, caller: Editor, id: Id, match: IfMatch) -> None:
    """It is gone; one that only cannot be sold any more is better switched off."""
    before = parts.products.get(id)
    parts.products.delete(id, match)
    parts.note(caller, "delete", f"products/{id}", _plain(before), None)


def _edited(
    parts: P, caller: Editor, response: Response, action: str, before: Product | None, after: Product
) -> dict[str, Any]:
    etags.show(response, after.etag)
    found = _plain(after)
    parts.note(caller, action, f"products/{after.id}", _plain(before) if before is not None else None, found)
    return found
