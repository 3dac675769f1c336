"""Data sources: all of them, and an editor that shows a sample record beside what becomes of it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from agents.polling import sample as fetched
from agents.trial import Trial
from catalog.governance.rules import tag
from catalog.schema import DataSource, SourceType
from catalog.service import Unfit, content_of, faults_of
from config.errors import KhayweError
from loyalty.events import SOURCE_TYPES
from web.api import sources as governed
from web.api.doors import Admin, Editor, Machine, Reader
from web.api.parts import P, Parts
from web.console import arriving, connecting
from web.console.gate import form_of
from web.console.missions import Word
from web.console.presets import preset
from web.console.rendering import page, pretty, said, say

router = APIRouter()

Name = Annotated[str, Path(max_length=63)]
TYPES: tuple[str, ...] = get_args(SourceType)
#: Fields of a mapping that are one word each.
WORDS = (
    "customer_id_field", "event_type_field", "event_type", "value_field", "value_scale", "timestamp_field",
    "timestamp_format", "timezone", "event_id_field", "attributes_field",
)  # fmt: skip
#: Fields of a mapping that have lines `name = value`.
LINES = ("event_types", "attributes")
#: How ids are made alike.
IDS = ("id_remove", "id_prefixes")
#: Members of a connection that say what comes and what its bytes are.
BYTES = ("kafka_topic", "format", "columns", "delimiter", "avro_schema", "schema_registry", "interval")
FORMATS = ("json", "csv", "avro")


@router.get("/sources/")
def sources(request: Request, parts: P, caller: Reader) -> Response:
    """All of them, with what came and what could not be used; asked for again every few seconds."""
    found = sorted((governed.plain(each) for each in parts.content().sources), key=lambda each: each["name"])
    template = "part_sources.html" if "hx-request" in request.headers else "sources.html"
    now, away = arriving.look(parts)
    rejected, unread = arriving.letters_by_source(parts)
    return page(
        request, template, sources=found, now=now, rejected=rejected, away=away or unread,
    )  # fmt: skip


@router.get("/sources/new")
def new(request: Request, parts: P, caller: Admin, of: Annotated[str, Query(max_length=20)] = "") -> Response:
    """An empty editor, or one of a type that has what is usual for it."""
    values = {"source_type": "billing", "is_active": "on", "timezone": "UTC", "format": "json"}
    return _editor(
        request, parts, "", values | connecting.flat(None) | (preset(of) if of in TYPES else {}), {}
    )


@router.post("/sources/try")
def attempt(request: Request, parts: P, caller: Editor) -> Response:
    """What becomes of the sample under the mapping as it stands in the editor."""
    form = form_of(request)
    source, faults = _read(form)
    outcome, said = None, ""
    sample = form.get("sample", "").strip()
    if source is not None and sample:
        try:
            outcome = Trial(content_of(source), parts.content().decisions).text(sample).plain()
        except KhayweError as error:
            said = str(error)
    return page(
        request, "part_source_tried.html", faults=_by_field(faults), outcome=outcome, said=said,
        sample=sample, fields=FIELDS,
    )  # fmt: skip


@router.get("/sources/{name}/")
def source(request: Request, parts: P, caller: Reader, name: Name) -> Response:
    """The editor with a source in it; whoever may not save sees what becomes of the sample."""
    found = governed.plain(governed._find(parts, name))
    return _editor(
        request, parts, name, _flat(found) | {"base": tag(found), "sample": _newest(parts, name)}, {}
    )


@router.post("/sources/save")
def save(request: Request, parts: P, caller: Admin) -> Response:
    """It becomes a revision at once, and its topic is made."""
    form = form_of(request)
    name = form.get("was", "")
    given, faults = _read(form)
    if given is not None:
        try:
            if name:
                governed.replace(parts, caller, name, given, form.get("base", ""), Response())
            else:
                governed.add(parts, caller, given, Response())
            secret = connecting.secret_of(form)
            if secret:
                governed.put_secret(parts, caller, given.name, SECRET, governed.SecretValue(value=secret))
            return RedirectResponse(f"{request.scope['root_path']}/sources/", 303)
        except Unfit as unfit:
            faults = unfit.faults
    return _editor(request, parts, name, form, _by_field(faults), 422)


@router.post("/sources/fetch")
def fetch(request: Request, parts: P, caller: Admin) -> Response:
    """The first record that a poll would bring, as the sample; nothing is written."""
    form = form_of(request)
    source, faults = _read(form)
    record, why = form.get("sample", ""), ""
    if connecting.secret_of(form):
        why = say("systems.save_first")
    elif source is None or source.connection_config.poll is None:
        why = "; ".join(f"{field}: {message}" for field, message in faults) or say("sources.not_polled")
    else:
        try:
            found = fetched(parts.settings, source.connection_config, 1)
            record, why = (pretty(found[0]), "") if found else (record, say("systems.no_record"))
        except KhayweError as error:
            why = f"{error}. {error.hint or ''}".strip()
    return page(request, "part_source_sample.html", sample=record, why=why)


@router.post("/sources/{name}/remove")
def remove(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """Its topic and records stay."""
    governed.remove(parts, caller, name, form_of(request).get("base", ""))
    return RedirectResponse(f"{request.scope['root_path']}/sources/", 303)


@router.post("/sources/{name}/switch")
def switch(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """On or off."""
    before = governed.plain(governed._find(parts, name))
    given = governed.Switch(is_active=not before["is_active"])
    governed.switch(parts, caller, name, given, form_of(request).get("base", ""), Response())
    return RedirectResponse(f"{request.scope['root_path']}/sources/{name}/", 303)


@router.post("/sources/{name}/sync")
def sync(request: Request, parts: P, caller: Machine, name: Name) -> Response:
    """A polled source is polled now."""
    answer = governed.sync(parts, caller, name)
    return said(request, kind="good", words=say("sources.synced", n=answer.get("records", 0)))


# -- the form -------------------------------------------------------------------------------------------

#: What the secret that is typed into the form is called.
SECRET = "poll"
FIELDS = ("name", "source_type", *BYTES, *connecting.FIELDS, *WORDS, *LINES, *IDS)


def _newest(parts: Parts, name: str) -> str:
    """The newest record of the raw topic, as text; nothing where there is none or Kafka is away."""
    found = governed._find(parts, name)
    if "poll" in found.connection_config or found.connection_config.get("format") == "avro":
        return ""
    try:
        records = governed._newest(parts, found.topic)
    except KhayweError:
        return ""
    text = records[-1].decode("utf-8", "replace") if records else ""
    try:
        return pretty(json.loads(text))
    except ValueError:
        return text


def _editor(
    request: Request, parts: Parts, was: str, values: dict[str, str] | Any, faults: dict[str, list[str]],
    status: int = 200,
) -> Response:  # fmt: skip
    empty = dict.fromkeys((*FIELDS, "base", "sample", "is_active"), "") | connecting.flat(None)
    return page(
        request, "source.html", status, was=was, faults=faults, types=TYPES, words=WORDS, lines=LINES,
        values=empty | dict(values) | {"poll_secret_value": ""}, formats=FORMATS,
        event_types=[Word(each, "") for each in sorted(SOURCE_TYPES)], kinds=("", *connecting.KINDS),
    )  # fmt: skip


def _flat(found: dict[str, Any]) -> dict[str, str]:
    mapping, connection = dict(found["event_mapping"]), dict(found["connection_config"])
    values = {
        "name": found["name"], "source_type": found["source_type"],
        "is_active": "on" if found["is_active"] else "", "format": "json",
    } | connecting.flat(connection.get("poll"))  # fmt: skip
    for name in BYTES:
        if connection.get(name) is not None:
            values[name] = str(connection[name])
    if isinstance(connection.get("interval"), int):
        values["interval"] = connecting.spoken(connection["interval"])
    values["columns"] = ", ".join(connection.get("columns") or ())
    values["avro_schema"] = pretty(connection["avro_schema"]) if connection.get("avro_schema") else ""
    for name in LINES:
        values[name] = connecting.lines_of(mapping.get(name) or {})
    for name in WORDS:
        values[name] = "" if mapping.get(name) is None else str(mapping[name])
    ids = mapping.get("id_format") or {}
    values["id_remove"] = ids.get("remove", "")
    values["id_prefixes"] = connecting.lines_of(ids.get("prefixes") or {})
    return values


def _read(form: Any) -> tuple[DataSource | None, list[tuple[str, str]]]:
    """The data source that the form says, or its faults."""
    reference = f"vault:{form.get('name', '').strip()}.{SECRET}"
    poll, faults = connecting.read(form, reference)
    given = {
        "name": form.get("name", "").strip(), "source_type": form.get("source_type", ""),
        "connection_config": _bytes(form, poll, faults), "event_mapping": _mapping(form, faults),
        "is_active": form.get("is_active") == "on",
    }  # fmt: skip
    try:
        found = DataSource.model_validate(given)
    except ValidationError as error:
        return None, faults + faults_of(error)
    return (None if faults else found), faults


def _bytes(form: Any, poll: dict[str, Any] | None, faults: list[tuple[str, str]]) -> dict[str, Any]:
    """The connection: only what the form's choices leave something to say of."""
    found: dict[str, Any] = {"kafka_topic": form["kafka_topic"].strip()} if form.get("kafka_topic") else {}
    if poll is not None:
        every = form.get("interval", "").strip()
        return found | {"poll": poll} | ({"interval": every} if every else {})
    if form.get("format", "json") != "json":
        found["format"] = form["format"]
    if form.get("format") == "csv":
        found["columns"] = [each.strip() for each in form.get("columns", "").split(",") if each.strip()]
        found |= {"delimiter": form["delimiter"]} if form.get("delimiter") else {}
    if form.get("format") == "avro":
        if form.get("schema_registry", "").strip():
            found["schema_registry"] = form["schema_registry"].strip()
        if form.get("avro_schema", "").strip():
            try:
                found["avro_schema"] = json.loads(form["avro_schema"])
            except ValueError as error:
                faults.append(("avro_schema", say("sources.no_json", why=error)))
    return found


def _mapping(form: Any, faults: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in WORDS:
        text = form.get(name, "").strip()
        if text and name == "value_scale":
            try:
                found[name] = float(text)
            except ValueError:
                faults.append((name, say("sources.no_number")))
        elif text:
            found[name] = text
    ids: dict[str, Any] = {"remove": form["id_remove"]} if form.get("id_remove") else {}
    for name in (*LINES, "id_prefixes"):
        try:
            pairs = connecting.pairs_of(form.get(name, ""))
        except ValueError as error:
            faults.append((name, str(error)))
            continue
        if pairs and name == "id_prefixes":
            ids["prefixes"] = pairs
        elif pairs:
            found[name] = pairs
    return found | ({"id_format": ids} if ids else {})


def _by_field(faults: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path, why in faults:
        place, message = _place(path, why)
        found[place if place in FIELDS else ""].append(message)
    return dict(found)


def _place(path: str, message: str) -> tuple[str, str]:
    """A fault by the form's field."""
    head, *steps = path.split(".")
    if head == "connection_config" and steps[:1] == ["poll"]:
        return connecting.field_of(".".join(steps[1:]), message)
    if head in ("connection_config", "event_mapping"):
        if not steps:  # of it as a whole: it says the field itself
            name, sign, rest = message.partition(": ")
            name = name.replace("poll.", "poll_")
            return (name, rest) if sign and name in FIELDS else ("", message)
        if steps[0] == "id_format":
            return ("id_prefixes" if steps[-1] == "prefixes" else "id_remove"), message
        return steps[0], message
    if not head:  # of the source as a whole
        name, sign, rest = message.removeprefix("event_mapping.").partition(": ")
        return (name.split(".")[0], rest) if sign else ("", message)
    return head, message
