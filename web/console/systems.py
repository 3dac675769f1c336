"""Systems that products come from: how each is reached, what its fields mean, how often, what syncs did."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse

from catalog.connectors.config import Fetched
from catalog.connectors.opening import open_connector
from catalog.product_entry import ProductRefused, SystemName, parse_product
from catalog.product_mapping import MAPPED, READY, ProductMapping, Unmapped
from catalog.product_sync import SystemEntry
from catalog.products import ProductChanged
from catalog.service import NoSuch, faults_of
from config.errors import KhayweError
from web.api import products as governed
from web.api.doors import Admin, Machine, Reader
from web.api.parts import P, Parts
from web.console import connecting
from web.console.gate import form_of
from web.console.rendering import page, pretty, say

router = APIRouter()

SHOWN = 20
#: Of a list: which one, and of its elements what is kept and what it is called.
LISTS = ("features", "attributes", "target_segments")
_CONNECTION: TypeAdapter[Any] = TypeAdapter(Fetched)
#: Of a connection only what is read whole.
FIELDS = tuple(name for name in connecting.FIELDS if "cursor_" not in name and name != "poll_in_order")
RULE = ("field", "values", "default", "each", "key", "value")
Name = Annotated[SystemName, Path()]


def vault_name(system: str, secret: str) -> str:
    """What a secret of a system is called in the vault: none of a data source's."""
    return f"products.{system}.{secret}"


@router.get("/products/systems/new")
def new(request: Request, parts: P, caller: Admin) -> Response:
    """An empty form."""
    return _editor(request, "", connecting.flat(None) | {"poll_kind": "rest", "use": "tmf620"}, {})


@router.get("/products/systems/{name}/")
def system(request: Request, parts: P, caller: Reader, name: Name) -> Response:
    """How it is asked, and what the last syncs did."""
    found = _found(parts, name)
    return page(
        request, "system.html", system=found, history=governed.history(parts, caller, name, SHOWN)["items"],
        flat=connecting.flat(found["connection"]), rules=_rules(found["mapping"]), mapped=MAPPED,
    )  # fmt: skip


def _found(parts: Parts, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(parts.product_sync.system(name))
    return found


def _rules(mapping: dict[str, Any]) -> dict[str, Any]:
    """What fields of products come of, with what a ready mapping says."""
    return ProductMapping.model_validate(mapping).rules()


@router.get("/products/systems/{name}/edit")
def edit(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """The form with a system in it."""
    found = _found(parts, name)
    values = connecting.flat(found["connection"]) | {
        "name": name, "frequency": found["frequency"] or "", "etag": found["etag"],
        "use": found["mapping"].get("use") or "",
    }  # fmt: skip
    given = ProductMapping.model_validate(found["mapping"])
    for field, rule in given.fields.items():
        values[f"{field}.field"] = ", ".join(rule.field)
        values[f"{field}.values"] = ", ".join(
            f"{code} = {_written(v)}" for code, v in (rule.values or {}).items()
        )
        values[f"{field}.default"] = "" if rule.default is None else _written(rule.default)
        values |= {f"{field}.{name}": getattr(rule, name) or "" for name in ("each", "key", "value")}
    return _editor(request, name, values, {})


def _written(value: Any) -> str:
    """A code's meaning as one writes it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) and _meant(value) == value else json.dumps(value)


def _meant(text: str) -> Any:
    """The reverse."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _editor(
    request: Request, was: str, values: dict[str, str], faults: dict[str, list[str]], status: int = 200
) -> Response:
    empty = dict.fromkeys(("name", "frequency", "etag", "use", "sample"), "")
    empty |= connecting.flat(None) | {f"{field}.{part}": "" for field in MAPPED for part in RULE}
    return page(
        request, "system_edit.html", status, was=was, values=empty | values | {"poll_secret_value": ""},
        faults=faults, mapped=MAPPED, lists=LISTS, ready=tuple(READY), kinds=connecting.KINDS,
    )  # fmt: skip


def _mapping(form: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"use": form["use"]} if form.get("use") else {}
    for field in MAPPED:
        rule: dict[str, Any] = {}
        for part in ("each", "key", "value"):
            if form.get(f"{field}.{part}", "").strip():
                rule[part] = form[f"{field}.{part}"].strip()
        paths = [each.strip() for each in form.get(f"{field}.field", "").split(",") if each.strip()]
        if paths:
            rule["field"] = paths
        codes = form.get(f"{field}.values", "").replace(",", "\n")
        if codes.strip():
            rule["values"] = {code: _meant(value) for code, value in connecting.pairs_of(codes).items()}
        if form.get(f"{field}.default", "").strip():
            rule["default"] = _meant(form[f"{field}.default"].strip())
        if rule:
            found[field] = rule
    return found


def _read(form: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The system that the form says, and its faults by field of the form."""
    name = form.get("name", "").strip()
    faults: defaultdict[str, list[str]] = defaultdict(list)
    connection, wrong = connecting.read(form, f"vault:{vault_name(name, 'secret')}")
    for field, message in wrong:
        faults[field].append(message)
    try:
        mapping = _mapping(form)
    except ValueError as error:
        mapping = {}
        faults["mapping"].append(str(error))
    given = {
        "name": name, "connection": connection, "mapping": mapping,
        "frequency": form.get("frequency", "").strip() or None,
    }  # fmt: skip
    try:
        SystemEntry.model_validate(given)
    except ValidationError as error:
        for path, message in faults_of(error):
            head, _, rest = path.partition(".")
            if head == "connection":
                field, message = connecting.field_of(rest, message)
            elif head == "mapping":
                field, message = _field_of(rest, message)
            else:
                field = head
            faults[field].append(message)
    return given, dict(faults)


def _field_of(path: str, message: str) -> tuple[str, str]:
    """A fault of the mapping, by the product's field."""
    steps = path.removeprefix("fields.").split(".")
    if steps[0] in MAPPED or steps[0] == "use":
        return steps[0], message
    name, sign, rest = message.partition(": ")
    return (name, rest) if sign and name in MAPPED else ("mapping", message)


@router.post("/products/systems/save")
def save(request: Request, parts: P, caller: Admin) -> Response:
    """It counts from the next sync on."""
    form, was = form_of(request), form_of(request).get("was", "")
    given, faults = _read(form)
    if was and given["name"] != was:
        faults["name"] = [say("systems.same_name", name=was)]
    if faults:
        return _editor(request, was, dict(form), faults, 422)
    before = _found(parts, was) if was else None
    try:
        # A new one has the tag that a system has which is not there yet.
        made = parts.product_sync.connect(given, form.get("etag", "") if was else "0")
    except ProductChanged:
        faults = {"": [say("problem.changed.words")]} if was else {"name": [say("systems.taken")]}
        return _editor(request, was, dict(form), faults, 412)
    parts.note(caller, "change", f"products/systems/{made.name}", before, msgspec.to_builtins(made))
    secret = connecting.secret_of(form)
    if secret:
        parts.vault.put(vault_name(made.name, "secret"), secret, caller)
    return RedirectResponse(f"{request.scope['root_path']}/products/systems/{made.name}/", 303)


@router.post("/products/systems/fetch")
def fetch(request: Request, parts: P, caller: Admin) -> Response:
    """The first record that the connection in the form gives, as the sample."""
    form = form_of(request)
    secret = connecting.secret_of(form)
    given, faults = _read(form)
    wrong = [f"{name}: {' '.join(said)}" for name, said in faults.items() if name.startswith("poll_")]
    sample, why = form.get("sample", ""), "; ".join(wrong)
    if secret:
        why = say("systems.save_first")
    elif not why:
        try:
            connection = _CONNECTION.validate_python(given["connection"])
            pages = open_connector(connection, parts.settings, lambda seconds: None).pages(None)
            record = next((each for found in pages for each in found.records), None)
            sample, why = (pretty(record), "") if record is not None else ("", say("systems.no_record"))
        except KhayweError as error:
            why = f"{error}. {error.hint or ''}".strip()
    return page(request, "part_system_sample.html", sample=sample, why=why)


@router.post("/products/systems/try")
def attempt(request: Request, parts: P, caller: Admin) -> Response:
    """What product becomes of the sample, field by field, and what is wrong with the form."""
    form = form_of(request)
    given, faults = _read(form)
    steps: list[tuple[str, Any]] = []
    why, whole, sample = "", False, form.get("sample", "").strip()
    mapping_fits = not any(name in MAPPED or name in ("mapping", "use") for name in faults)
    if sample and mapping_fits:
        try:
            record = json.loads(sample)
            if not isinstance(record, dict):
                raise ValueError(say("systems.no_object"))
            fields = ProductMapping.model_validate(given["mapping"]).product(record)
            steps = [(name, fields.get(name)) for name in MAPPED if name in fields]
            parse_product({"external_system": given["name"] or "x"} | fields, say("systems.becomes_none"))
            whole = True
        except Unmapped as error:
            why = f"{say(f'products.f.{error.field}')}: {error}"
        except ProductRefused as error:
            why = "; ".join(f"{name}: {message}" for name, message in error.faults.items())
        except ValueError as error:
            why = say("sources.no_json", why=error)
    return page(
        request, "part_system_tried.html", faults=faults, steps=steps, why=why, whole=whole, sample=sample,
        fields=("name", "frequency", "use", "mapping", *FIELDS, *MAPPED),
    )  # fmt: skip


@router.post("/products/systems/{name}/sync")
def sync(request: Request, parts: P, caller: Machine, name: Name) -> Response:
    """Now; what it did is the answer."""
    report = governed.sync(parts, caller, governed.ToSync(external_system=name))
    template = "part_synced.html" if "hx-request" in request.headers else "synced.html"
    return page(request, template, report=report, name=name)


@router.post("/products/systems/{name}/remove")
def remove(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """It is asked no more; its products stay."""
    governed.disconnect(parts, caller, name)
    with suppress(NoSuch):
        parts.vault.remove(vault_name(name, "secret"), caller)
    return RedirectResponse(f"{request.scope['root_path']}/products/", 303)
