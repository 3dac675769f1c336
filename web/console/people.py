"""Users, roles, keys and the audit log: an admin's."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.governance import audit as log
from catalog.governance.people import ROLES
from catalog.service import faults_of
from web.api import people as governed
from web.api.doors import Admin
from web.api.parts import P
from web.api.problems import Problem
from web.console.gate import form_of
from web.console.rendering import page, say

router = APIRouter()
SHOWN = 200
AUDIT = 50
Word = Annotated[str, Query(max_length=200)]
Day = Annotated[str, Query(max_length=10)]


@router.get("/people/")
def people(request: Request, parts: P, caller: Admin) -> Response:
    """Users with their keys."""
    return _shown(request, parts, caller)


def _shown(request: Request, parts: P, caller: Admin, issued: Any = None) -> Response:
    users = parts.people.users(None, SHOWN)
    keys = governed.keys(parts, caller, None, SHOWN, None).items
    return page(request, "people.html", users=users, keys=keys, roles=ROLES, issued=issued)


def _back(request: Request) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}/people/", 303)


@router.post("/people/users")
def add_user(request: Request, parts: P, caller: Admin) -> Response:
    """A person or a system."""
    form = form_of(request)
    try:
        given = governed.NewUser.model_validate(
            {"name": form.get("name", "").strip(), "role": form.get("role")}
        )
    except ValidationError as error:
        raise Problem(422, "; ".join(f"{field}: {why}" for field, why in faults_of(error))) from None
    governed.add_user(parts, caller, given, Response())
    return _back(request)


@router.post("/people/users/{name}")
def change_user(request: Request, parts: P, caller: Admin, name: str) -> Response:
    """Another role, on or off."""
    form = form_of(request)
    try:
        given = governed.UserChange.model_validate(
            {"role": form["role"]} if "role" in form else {"active": form.get("active") == "on"}
        )
    except ValidationError as error:
        raise Problem(422, "; ".join(f"{field}: {why}" for field, why in faults_of(error))) from None
    governed.change_user(parts, caller, name, given, form.get("version", ""), Response())
    return _back(request)


@router.post("/people/keys")
def make_key(request: Request, parts: P, caller: Admin) -> Response:
    """A key, shown this once: the page that answers is the only one that ever has it."""
    form = form_of(request)
    ends = _midnight(form.get("expires", ""), ZoneInfo(parts.content().decisions.timezone), 1)
    given = governed.NewKey(user=form.get("user", "")[:100], note=form.get("note", "")[:500], expires_at=ends)
    return _shown(request, parts, caller, governed.make_key(parts, caller, given))


@router.post("/people/keys/{id}/revoke")
def revoke(request: Request, parts: P, caller: Admin, id: str) -> Response:
    """It works no longer."""
    governed.revoke_key(parts, caller, id)
    return _back(request)


@router.get("/people/audit")
def audit(
    request: Request, parts: P, caller: Admin, user: Word = "", resource: Word = "", action: Word = "",
    since: Day = "", until: Day = "",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """Who changed what, by whom, what and when; days are the operator's, both included."""
    zone = ZoneInfo(parts.content().decisions.timezone)
    found = governed.audit_log(
        parts, caller, user or None, resource or None, AUDIT, cursor, action or None,
        _midnight(since, zone, 0), _midnight(until, zone, 1),
    )  # fmt: skip
    with parts.store.session() as session:
        actions = log.actions(session)
    wanted = {"user": user, "resource": resource, "action": action, "since": since, "until": until}
    return page(
        request, "audit.html", entries=found.items, next=found.next, actions=actions, wanted=wanted,
        users=[each.name for each in parts.people.users(None, SHOWN)],
    )  # fmt: skip


def _midnight(day: str, zone: ZoneInfo, later: int) -> datetime | None:
    """When a day begins, or one some days later.  Raises Problem."""
    if not day:
        return None
    try:
        at = datetime.combine(date.fromisoformat(day), datetime.min.time(), zone)
        return at + timedelta(days=later)
    except (ValueError, OverflowError):
        raise Problem(422, say("people.no_day")) from None
