"""Data sources: what they send, and an editor that shows a sample record beside what becomes of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError
from sqlalchemy import func, select
from starlette.responses import RedirectResponse

from agents.dead_letters import Letter, read
from agents.tail import KafkaAway, NoTopic
from agents.trial import Trial
from catalog.governance.rules import tag
from catalog.schema import DataSource, SourceType
from catalog.service import Unfit, content_of, faults_of
from config.errors import KhayweError
from loyalty.events import SOURCE_TYPES
from projection import schema
from web.api import sources as governed
from web.api.doors import Admin, Editor, Machine, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.console.gate import form_of
from web.console.missions import Word
from web.console.rendering import page, pretty, said, say

router = APIRouter()

Name = Annotated[str, Path(max_length=63)]
TYPES: tuple[str, ...] = get_args(SourceType)
#: Fields of a mapping that are one word each.
WORDS = (
    "customer_id_field", "event_type_field", "event_type", "value_field", "value_scale", "timestamp_field",
    "timestamp_format", "timezone", "event_id_field", "id_format",
)  # fmt: skip
#: Fields of a mapping that have lines `name = value`.
LINES = ("event_types", "attributes")


@router.get("/sources/")
def sources(request: Request, parts: P, caller: Reader) -> Response:
    """All of them, with what came and what could not be used."""
    rejected, away = letters_by_source(parts)
    with reading(parts) as session:
        c = schema.events.c
        last = dict(session.execute(select(c.source, func.max(c.occurred_at)).group_by(c.source)).all())
    found = sorted((governed.plain(each) for each in parts.content().sources), key=lambda each: each["name"])
    return page(request, "sources.html", sources=found, rejected=rejected, last=last, away=away)


def letters_by_source(parts: Parts) -> tuple[Counter[str], str]:
    """Dead letters that were not mapped again, by source; and why that cannot be said."""
    found: dict[str, str] = {}
    try:
        for entry in read(parts.settings):
            if isinstance(entry, Letter):
                found[entry.id] = entry.source
            else:
                found.pop(entry.replayed, None)
    except (KafkaAway, NoTopic) as error:
        return Counter(), str(error)
    return Counter(found.values()), ""


@router.get("/sources/new")
def new(request: Request, parts: P, caller: Admin) -> Response:
    """An empty editor."""
    values = {"source_type": "billing", "is_active": "on", "connection": "{}", "timezone": "UTC"}
    return _editor(request, parts, "", values, {})


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
        sample=sample, fields=(*FIELDS,),
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
            return RedirectResponse(f"{request.scope['root_path']}/sources/", 303)
        except Unfit as unfit:
            faults = unfit.faults
    return _editor(request, parts, name, form, _by_field(faults), 422)


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

FIELDS = ("name", "source_type", "connection", *WORDS, *LINES)


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
    return page(
        request, "source.html", status, was=was, faults=faults, types=TYPES, words=WORDS, lines=LINES,
        values=dict.fromkeys((*FIELDS, "base", "sample", "is_active"), "") | dict(values),
        event_types=[Word(each, "") for each in sorted(SOURCE_TYPES)], fields=FIELDS,
        polled='"poll"' in values.get("connection", ""),
    )  # fmt: skip


def _flat(found: dict[str, Any]) -> dict[str, str]:
    mapping = dict(found["event_mapping"])
    values = {
        "name": found["name"], "source_type": found["source_type"],
        "is_active": "on" if found["is_active"] else "", "connection": pretty(found["connection_config"]),
    }  # fmt: skip
    for name in LINES:
        values[name] = "\n".join(f"{key} = {value}" for key, value in (mapping.pop(name, None) or {}).items())
    for name in WORDS:
        value = mapping.pop(name, None)
        values[name] = "" if value is None else str(value)
    # What the form has no field for goes with it unseen, and comes back.
    values["rest"] = json.dumps(mapping)
    return values


def _read(form: Any) -> tuple[DataSource | None, list[tuple[str, str]]]:
    """The data source that the form says, or its faults."""
    faults: list[tuple[str, str]] = []
    try:
        connection = json.loads(form.get("connection", "").strip() or "{}")
    except ValueError as error:
        connection = {}
        faults.append(("connection", say("sources.no_json", why=error)))
    try:
        mapping = json.loads(form.get("rest", "") or "{}")
    except ValueError:
        mapping = {}
    for name in WORDS:
        text = form.get(name, "").strip()
        if text and name == "value_scale":
            try:
                mapping[name] = float(text)
            except ValueError:
                faults.append((name, say("sources.no_number")))
        elif text:
            mapping[name] = text
    for name in LINES:
        pairs = [line.partition("=") for line in form.get(name, "").splitlines() if line.strip()]
        if any(not sign for _, sign, _ in pairs):
            faults.append((name, say("sources.no_line")))
        elif pairs:
            mapping[name] = {key.strip(): value.strip() for key, _, value in pairs}
    given = {
        "name": form.get("name", "").strip(), "source_type": form.get("source_type", ""),
        "connection_config": connection, "event_mapping": mapping, "is_active": form.get("is_active") == "on",
    }  # fmt: skip
    try:
        found = DataSource.model_validate(given)
    except ValidationError as error:
        return None, faults + faults_of(error)
    return (None if faults else found), faults


def _by_field(faults: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for field, message in faults:
        steps = field.split(".")
        place = (
            "connection"
            if steps[0] == "connection_config"
            else steps[1]
            if steps[0] == "event_mapping" and len(steps) > 1
            else steps[0]
        )
        if place == "event_mapping":  # of the mapping as a whole: it says the field itself
            place, _, rest = message.partition(": ")
            message = rest or message
        found[place if place in FIELDS else ""].append(message)
    return dict(found)
