"""The product catalog: cards, filters, details; added, edited, deleted; synchronised with its systems."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.product_entry import ProductEntry
from catalog.products import ProductFilter
from catalog.service import Unfit, faults_of
from config.errors import KhayweError
from web.api import products as governed
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.console.gate import form_of
from web.console.rendering import page, say

router = APIRouter()
SHOWN = 24
FIELDS = (
    "external_system", "external_product_id", "name", "description", "product_type", "category", "price",
    "currency", "billing_cycle", "target_segments", "min_customer_value", "max_customer_value",
)  # fmt: skip
FLAGS = ("recurring", "is_active", "is_available")
Text = Annotated[str, Query(max_length=100)]


@router.get("/products/")
def products(
    request: Request, parts: P, caller: Reader, search: Text = "", product_type: Text = "",
    category: Text = "", external_system: Text = "", status: Text = "",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """Cards, by filters."""
    wanted = {
        "search": search.replace("\0", ""), "product_type": product_type, "category": category,
        "external_system": external_system,
    }  # fmt: skip
    flags: dict[str, Any] = {
        "available": {"is_available": True}, "active": {"is_active": True}, "off": {"is_active": False},
    }.get(status, {})  # fmt: skip
    given: dict[str, Any] = {name: value or None for name, value in wanted.items() if name != "search"}
    found = parts.products.page(ProductFilter(search=wanted["search"], **given, **flags), cursor, SHOWN)
    systems = governed.systems(parts, caller)["items"]
    return page(
        request, "products.html", products=found.items, next=found.next, stats=governed.stats(parts, caller),
        wanted=wanted | {"status": status}, systems=systems,
        history=governed.history(parts, caller, None, 5)["items"],
    )  # fmt: skip


@router.get("/products/new")
def new(request: Request, parts: P, caller: Editor) -> Response:
    """An empty editor."""
    values = {"currency": parts.content().decisions.currency, "is_active": "on", "is_available": "on"}
    return _editor(request, None, values, {})


@router.get("/products/{id}/")
def product(request: Request, parts: P, caller: Reader, id: governed.Id) -> Response:
    """One of them."""
    return page(request, "product.html", product=parts.products.get(id))


@router.get("/products/{id}/edit")
def edit(request: Request, parts: P, caller: Editor, id: governed.Id) -> Response:
    """The editor with a product in it."""
    found = parts.products.get(id)
    values: dict[str, str] = {"etag": found.etag}
    for name in FIELDS:
        value = getattr(found, name)
        values[name] = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
    values |= {name: "on" if getattr(found, name) else "" for name in FLAGS}
    return _editor(request, id, values, {})


def _editor(
    request: Request, id: int | None, values: Any, faults: dict[str, str], status: int = 200
) -> Response:
    known = dict.fromkeys((*FIELDS, *FLAGS, "etag"), "") | dict(values)
    return page(
        request, "product_edit.html", status, id=id, values=known, faults=faults, fields=FIELDS, flags=FLAGS
    )


@router.post("/products/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Add it, or change the fields that the form has."""
    form = form_of(request)
    number = form.get("id", "")
    given: dict[str, Any] = {name: form.get(name) == "on" for name in FLAGS}
    faults: dict[str, str] = {}
    for name in FIELDS:
        text = form.get(name, "").strip()
        if name == "target_segments":
            given[name] = [each.strip() for each in text.split(",") if each.strip()]
        elif name in ("min_customer_value", "max_customer_value", "price") and text:
            try:
                given[name] = str(Decimal(text))
            except InvalidOperation:
                faults[name] = say("products.no_amount")
        elif text:
            given[name] = text
        elif number and name in ("min_customer_value", "max_customer_value", "billing_cycle"):
            given[name] = None
        elif number and name in ("description", "category", "product_type"):
            given[name] = ""
    if not faults:
        try:
            made = _saved(parts, caller, number, given, form.get("etag", ""))
            return RedirectResponse(f"{request.scope['root_path']}/products/{made['id']}/", 303)
        except ValidationError as error:
            faults = {field.split(".")[0]: message for field, message in faults_of(error)}
        except Unfit as unfit:
            faults = {field.split(".")[0]: message for field, message in unfit.faults}
        except KhayweError as error:
            found = getattr(error, "faults", None)
            if not isinstance(found, dict):
                raise
            faults = {str(field).split(".")[0]: str(message) for field, message in found.items()}
    return _editor(request, int(number) if number.isdecimal() else None, form, faults, 422)


def _saved(parts: Parts, caller: Any, number: str, given: dict[str, Any], etag: str) -> dict[str, Any]:
    if number.isdecimal():
        return governed.edit(parts, caller, int(number), given, etag, Response())
    return governed.create(parts, caller, ProductEntry.model_validate(given), Response())


@router.post("/products/{id}/delete")
def delete(request: Request, parts: P, caller: Editor, id: governed.Id) -> Response:
    """It is gone."""
    governed.delete(parts, caller, id, form_of(request).get("etag", ""))
    return RedirectResponse(f"{request.scope['root_path']}/products/", 303)
