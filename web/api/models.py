"""Models: which there are, their cards, and which version counts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from catalog.service import NoSuch
from ml.registry import SHIPPED, ModelError, Registry
from web.api import paging
from web.api.doors import Admin, Reader, guarded
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts

router = guarded("models")

Name = Annotated[str, Path(pattern="^[a-z0-9_-]{1,63}$")]


class Version(BaseModel):
    """Which version."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"version": "2026-03-01"}]})

    version: str = Field(pattern="^[A-Za-z0-9._-]{1,100}$")


def registry(parts: Parts) -> Registry:
    """The models that count here."""
    return Registry(parts.settings.models or SHIPPED)


@router.get("/ml/models/", summary="List models")
def models(parts: P, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """Each with its versions, the one that counts, and how good that is."""
    known = registry(parts)
    return paging.of_list([_plain(known, name) for name in known.names()], "name", limit, cursor, str)


def _plain(known: Registry, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "versions": known.versions(name)}
    try:
        card = known.load(name).card
    except ModelError as error:
        return found | {"active": None, "error": str(error)}
    members = ("kind", "about", "data", "rows", "date", "metric", "metrics", "limits")
    return found | {"active": card.version} | {member: getattr(card, member) for member in members}


@router.get("/ml/models/{name}/", summary="Show a model")
def model(parts: P, caller: Reader, name: Name) -> dict[str, Any]:
    """The card of the version that counts, whole."""
    known = registry(parts)
    if name not in known.names():
        raise NoSuch(f"there is no model {name!r}")
    found: dict[str, Any] = msgspec.to_builtins(known.load(name).card)
    return found | {"versions": known.versions(name)}


@router.post("/ml/models/{name}/activate/", summary="Let a version count")
def activate(parts: P, caller: Admin, name: Name, given: Version) -> dict[str, Any]:
    """Of the directory KHAYWE_MODELS as this process sees it; workers that share it take it up."""
    known = registry(parts)
    if name not in known.names() or given.version not in known.versions(name):
        raise NoSuch(f"there is no version {given.version} of {name}")
    before = _plain(known, name)["active"]
    known.activate(name, given.version)
    parts.note(caller, "activate", f"ml/models/{name}", before, given.version)
    return _plain(known, name)
