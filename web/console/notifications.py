"""Subscriptions of other systems: what each is told, how it stands, what was given up and is sent again."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.service import Unfit, faults_of
from outwards.query import CROSSING, DIRECTIONS, KINDS, SCORES
from web.api import notifications as governed
from web.api.doors import Machine
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.console.gate import form_of
from web.console.rendering import page, said, say

router = APIRouter()

SHOWN = 50
#: The members of the form that are one word each.
WORDS = ("callback", "note", "score", "value", "direction", "secret")
Cursor = Annotated[str | None, Query(max_length=2000)]


@router.get("/notifications/")
def notifications(request: Request, parts: P, caller: Machine) -> Response:
    """All of them, and how they stand."""
    found = governed.list_all(parts, caller, 100, None).items
    for each in found:
        each["letters"] = governed.subscriptions(parts).waiting(each["id"])[1]
        each |= split(each["query"])
    found.sort(key=lambda each: each["created_at"])
    return page(request, "notifications.html", subscriptions=found)


@router.get("/notifications/new")
def new(request: Request, parts: P, caller: Machine) -> Response:
    """An empty form."""
    return _editor(request, "", {"types": ["MissionStateChangeEvent"], "active": True}, {})


@router.get("/notifications/{id}/")
def notification(request: Request, parts: P, caller: Machine, id: str, cursor: Cursor = None) -> Response:
    """One of them: what is tried again, what was given up."""
    return _shown(request, parts, caller, id, cursor=cursor)


def _shown(
    request: Request, parts: Parts, caller: Machine, id: str, *, secret: str = "", cursor: str | None = None
) -> Response:
    found = governed.show(parts, caller, id, Response())
    letters = governed.letters(parts, caller, id, SHOWN, cursor)
    return page(
        request, "notification.html", one=found | split(found["query"]), letters=letters.items,
        next=letters.next, secret=secret, version=governed.subscriptions(parts).get(id).version,
    )  # fmt: skip


@router.get("/notifications/{id}/edit")
def edit(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """The form with a subscription in it."""
    row = governed.subscriptions(parts).get(id)
    values = {"callback": row.callback, "note": row.note, "active": row.active, "version": row.version}
    return _editor(request, id, values | split(row.query), {})


def _editor(
    request: Request, id: str, values: dict[str, Any], faults: dict[str, str], status: int = 200
) -> Response:
    empty = dict.fromkeys((*WORDS, "where", "version"), "") | {"types": [], "active": False}
    return page(
        request, "notification_edit.html", status, id=id, values=empty | values, faults=faults,
        kinds=KINDS, crossing=CROSSING, scores=SCORES, directions=DIRECTIONS,
    )  # fmt: skip


@router.post("/notifications/save")
def save(request: Request, parts: P, caller: Machine) -> Response:
    """A new one, whose secret the answer shows this once; or another callback, query, note of one."""
    form = form_of(request)
    id = form.get("id", "")
    values: dict[str, Any] = {name: form.get(name, "").strip() for name in (*WORDS, "version")}
    values |= {
        "types": [value for name, value in request.state.pairs if name == "types"],
        "where": form.get("where", ""), "active": form.get("active") == "on",
    }  # fmt: skip
    given = {name: values[name] for name in ("callback", "note", "active")}
    try:
        given["query"] = joined(values)
        if id:
            changed = governed.Given.model_validate(given)
            governed.change(parts, caller, id, changed, values["version"], Response())
            return _to(request, id)
        made = governed.New.model_validate(given | {"secret": values["secret"] or None})
        added = governed.add(parts, caller, made, Response())
        return _shown(request, parts, caller, added["id"], secret=added["secret"])
    except ValidationError as error:
        faults = dict(faults_of(error))
    except Unfit as unfit:
        faults = dict(unfit.faults)
    return _editor(request, id, values, faults, 422)


@router.post("/notifications/{id}/switch")
def switch(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """Paused, it keeps its place; what happens meanwhile is told once it goes on."""
    row = governed.subscriptions(parts).get(id)
    given = governed.Given(callback=row.callback, query=row.query, note=row.note, active=not row.active)
    governed.change(parts, caller, id, given, form_of(request).get("version", ""), Response())
    return _to(request, id)


@router.post("/notifications/{id}/resume")
def resume(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """One that was suspended goes on where it stands."""
    governed.resume(parts, caller, id)
    return _to(request, id)


@router.post("/notifications/{id}/secret")
def secret(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """Another secret, which this answer alone has."""
    made = governed.new_secret(parts, caller, id, governed.NewSecret())
    return _shown(request, parts, caller, id, secret=made["secret"])


@router.post("/notifications/{id}/remove")
def remove(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """It ends, with its dead letters."""
    governed.remove(parts, caller, id)
    return RedirectResponse(f"{request.scope['root_path']}/notifications/", 303)


@router.post("/notifications/{id}/send")
def send(request: Request, parts: P, caller: Machine, id: str) -> Response:
    """One more try for letters that are marked, or for all."""
    marked = [value for name, value in request.state.pairs if name == "letter"]
    given = governed.Letters(ids=None)
    if form_of(request).get("which") != "all":
        if not marked:
            raise Problem(422, say("letters.none_marked"))
        try:
            given = governed.Letters.model_validate({"ids": marked})
        except ValidationError as error:
            raise Problem(422, "; ".join(f"{field}: {why}" for field, why in faults_of(error))) from None
    asked = governed.send_again(parts, caller, id, given)["asked"]
    return said(request, kind="good", words=say("notifications.asked", n=asked))


def _to(request: Request, id: str) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}/notifications/{id}/", 303)


# -- queries in words -----------------------------------------------------------------------------------


def split(query: str) -> dict[str, Any]:
    """A query as the form has it: `types`, lines `where`, and of a crossing `score`, `value`, `direction`."""
    asked = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
    named = asked.pop("eventType", None)
    types = (
        [each.strip() for each in named.split(",")] if named else [each for each in KINDS if each != CROSSING]
    )
    found: dict[str, Any] = {"types": types, "score": "", "value": "", "direction": ""}
    if CROSSING in types:
        found |= {name: asked.pop(name) for name in ("score", "value", "direction") if name in asked}
    return found | {"where": "\n".join(f"{name} = {value}" for name, value in asked.items())}


def joined(values: dict[str, Any]) -> str:
    """The reverse.  Raises Unfit for lines that say nothing; the rest is checked where it is saved."""
    if not values["types"]:
        raise Unfit("the subscription", [("types", say("notifications.no_types"))])
    asked = [("eventType", ",".join(values["types"]))]
    if CROSSING in values["types"]:
        asked += [(name, values[name]) for name in ("score", "value", "direction") if values[name]]
    for line in values["where"].splitlines():
        name, sign, value = line.partition("=")
        if line.strip():
            if not sign:
                raise Unfit("the subscription", [("query", say("sources.no_line"))])
            asked.append((name.strip(), value.strip()))
    return urlencode(asked, safe=",")
