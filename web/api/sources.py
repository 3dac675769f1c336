"""Data sources: where events come from, how they are mapped; tried, polled, and their secrets."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from agents.polling import NotPolled, connection_of, poll_now, sample
from agents.tail import Tail
from agents.trial import Trial
from catalog.content import SourceContent
from catalog.governance.audit import Caller
from catalog.governance.rules import tag
from catalog.schema import DataSource
from catalog.service import NoSuch
from streams.topics import ensure_raw_topic, find
from web.api import etags, paging
from web.api.doors import Admin, Editor, Machine, Reader, guarded
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem

router = guarded("data sources")

EXAMPLE: dict[str, Any] = {
    "name": "crm",
    "source_type": "crm",
    "connection_config": {"kafka_topic": "raw_crm_events"},
    "event_mapping": {
        "customer_id_field": "msisdn",
        "event_type_field": "kind",
        "timestamp_field": "at",
        "event_id_field": "id",
    },
    "is_active": True,
}
_BODY = {"requestBody": {"content": {"application/json": {"example": EXAMPLE}}}}
#: Newest records of a topic that a test without a record shows.
NEWEST = 5

Id = Annotated[str, Path(max_length=63, description="The data source's name.")]


class Source(BaseModel):
    """A data source; `id` is its name."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"id": "crm", "topic": "raw_crm_events", **EXAMPLE}]}
    )

    id: str
    name: str
    source_type: str
    is_active: bool
    topic: str
    connection_config: dict[str, Any]
    event_mapping: dict[str, Any]


class Sample(BaseModel):
    """What to try: a record as it stands in the raw topic."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"record": {"msisdn": "1", "kind": "complaint", "at": "2026-03-01"}}]
        },
    )

    record: dict[str, Any] | str | None = Field(
        None, description="An object, or text (a CSV line). Unset: the newest records of the topic."
    )


class Switch(BaseModel):
    """On or off."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_active": False}]})

    is_active: bool


class SecretValue(BaseModel):
    """A secret."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"value": "s3cret"}]})

    value: str = Field(min_length=1, max_length=10_000)


def plain(source: SourceContent) -> dict[str, Any]:
    """A data source as JSON has it."""
    names = ("name", "source_type", "is_active", "topic", "connection_config", "event_mapping")
    return {"id": source.name} | {name: getattr(source, name) for name in names}


def _saved(parts: Parts, caller: Caller, name: str, action: str, before: Any) -> dict[str, Any]:
    """After an edit: publish it, make the topic, write it down."""
    found = parts.content().source(name)
    after = plain(found) if found is not None else None
    parts.note(caller, action, f"data-sources/{name}", before, after)
    said = parts.publish()
    if found is not None and found.is_active and said["published"]:
        ensure_raw_topic(parts.settings, found.topic)
    return (after or {}) | {"revision": parts.content().revision} | said


@router.get("/", summary="List data sources")
def sources(parts: P, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """All data sources, by name."""
    found = sorted((plain(each) for each in parts.content().sources), key=lambda each: str(each["name"]))
    return paging.of_list(found, "name", limit, cursor, str)


@router.post("/", status_code=201, summary="Add a data source", response_model=Source, openapi_extra=_BODY)
def add(parts: P, caller: Admin, given: DataSource, response: Response) -> dict[str, Any]:
    """It is checked, becomes a revision, and its topic is made where there is none."""
    parts.catalog.by(caller.user).add_sources([given.model_dump(mode="json", exclude_unset=True)])
    found = _saved(parts, caller, given.name, "create", None)
    etags.show(response, tag(plain(parts.catalog.source(given.name))))
    return found


@router.get("/{id}/", summary="Show a data source", response_model=Source)
def source(parts: P, caller: Reader, id: Id, response: Response) -> dict[str, Any]:
    """One data source, without secrets: it has only references to them."""
    found = plain(_find(parts, id))
    etags.show(response, tag(found))
    return found


@router.put("/{id}/", summary="Replace a data source", response_model=Source, openapi_extra=_BODY)
def replace(
    parts: P, caller: Admin, id: Id, given: DataSource, match: IfMatch, response: Response
) -> dict[str, Any]:
    """All of it; the name stays."""
    before = plain(_find(parts, id))
    etags.require(match, tag(before))
    if given.name != id:
        raise Problem(422, "name: cannot change", [("name", f"cannot change: it is {id!r}")])
    parts.catalog.by(caller.user).update_sources([given.model_dump(mode="json", exclude_unset=True)])
    found = _saved(parts, caller, id, "change", before)
    etags.show(response, tag(plain(_find(parts, id))))
    return found


@router.patch("/{id}/", summary="Switch a data source on or off", response_model=Source)
def switch(
    parts: P, caller: Admin, id: Id, given: Switch, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Off, its records wait in their topic."""
    before = plain(_find(parts, id))
    etags.require(match, tag(before))
    parts.catalog.by(caller.user).switch_source(id, given.is_active)
    found = _saved(parts, caller, id, "change", before)
    etags.show(response, tag(plain(_find(parts, id))))
    return found


@router.delete("/{id}/", status_code=204, summary="Remove a data source")
def remove(parts: P, caller: Admin, id: Id, match: IfMatch) -> None:
    """The topic and its records stay, old revisions too."""
    before = plain(_find(parts, id))
    etags.require(match, tag(before))
    parts.catalog.by(caller.user).remove_source(id)
    _saved(parts, caller, id, "remove", before)


@router.post("/{id}/test/", summary="Try a record, or the connection")
def test(parts: P, caller: Editor, id: Id, given: Sample) -> dict[str, Any]:
    """What becomes of a record, field by field; without one, of the newest records.  Nothing is sent."""
    found = _find(parts, id)
    trial = Trial(found, parts.content().decisions)
    if given.record is not None:
        return trial.text(_text(given.record)).plain()
    if "poll" in found.connection_config:
        records = sample(parts.settings, connection_of(found), NEWEST)
        values = [msgspec.json.encode(record) for record in records]
        return {"topic": found.topic, "samples": [trial.bytes(n, v).plain() for n, v in enumerate(values, 1)]}
    topics = find(parts.settings, [found.topic])
    if found.topic not in topics:
        raise Problem(409, f"there is no topic {found.topic}", hint="switch the source on: that makes it")
    samples = [trial.bytes(n, value).plain() for n, value in enumerate(_newest(parts, found.topic), 1)]
    return {"topic": found.topic, "partitions": topics[found.topic].partitions, "samples": samples}


def _text(record: dict[str, Any] | str) -> str:
    return record if isinstance(record, str) else json.dumps(record)


def _newest(parts: Parts, topic: str) -> list[bytes]:
    end = Tail(parts.settings, topic, from_end=True)
    ends, begins = end.positions, {p: end.begin(p) for p in end.positions}
    end.close()
    start = {p: max(begins[p], ends[p] - NEWEST) for p in ends}
    tail = Tail(parts.settings, topic, start=start)
    try:
        records = [each for each in tail.to_end() if each.value() is not None]
    finally:
        tail.close()
    records.sort(key=lambda each: each.timestamp()[1])
    return [each.value() or b"" for each in records[-NEWEST:]]


@router.post("/{id}/sync/", summary="Poll a data source now")
def sync(parts: P, caller: Machine, id: Id) -> dict[str, Any]:
    """Reads what is new into the raw topic; 409 for a source whose events are pushed."""
    found = _find(parts, id)
    try:
        polled = poll_now(parts.settings, found)
    except NotPolled as pushed:
        raise Problem(409, str(pushed), reason="pushed", hint=pushed.hint) from None
    answer = asdict(polled)
    parts.note(caller, "sync", f"data-sources/{id}", None, answer)
    return answer


@router.get("/{id}/secrets/", summary="Names of a data source's secrets")
def secrets(parts: P, caller: Admin, id: Id) -> dict[str, list[str]]:
    """Names only: nobody is shown a secret."""
    _find(parts, id)
    return {"names": [name.removeprefix(f"{id}.") for name in parts.vault.names(f"{id}.")]}


Name = Annotated[str, Path(pattern="^[a-z0-9_-]{1,63}$", description="Of the secret, e.g. `webhook`.")]


@router.put("/{id}/secrets/{name}/", status_code=204, summary="Save a secret")
def put_secret(parts: P, caller: Admin, id: Id, name: Name, given: SecretValue) -> None:
    """Kept encrypted.  A connection refers to it by `vault:ID.NAME`; `webhook` signs what is sent here."""
    _find(parts, id)
    parts.vault.put(f"{id}.{name}", given.value, caller)


@router.delete("/{id}/secrets/{name}/", status_code=204, summary="Forget a secret")
def remove_secret(parts: P, caller: Admin, id: Id, name: Name) -> None:
    """What refers to it fails from then on."""
    parts.vault.remove(f"{id}.{name}", caller)


def _find(parts: Parts, name: str) -> SourceContent:
    found = parts.content().source(name)
    if found is None:
        raise NoSuch(f"there is no data source {name!r}")
    return found
