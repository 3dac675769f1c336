"""Users, their keys, and the audit log.  All of it is an admin's, but for who one is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.governance import audit
from catalog.governance.people import Role, plain_key, plain_user
from web.api import etags, paging
from web.api.doors import Admin, Reader, guarded
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P

router = guarded("people")


class NewUser(BaseModel):
    """A user to be."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "anna", "role": "marketer"}]}
    )

    name: str = Field(max_length=100)
    role: Role


class UserChange(BaseModel):
    """What changes of a user."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "approver"}]})

    role: Role | None = None
    active: bool | None = None


class User(BaseModel):
    """A person or a system."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "anna", "role": "marketer", "active": True}]}
    )

    name: str
    role: Role
    active: bool = True


class NewKey(BaseModel):
    """A key to be."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user": "crm-system", "note": "for its webhooks"}]}
    )

    user: str = Field(max_length=100)
    note: str = Field("", max_length=500)
    expires_at: AwareDatetime | None = None


class Key(BaseModel):
    """A key without its secret."""

    id: str
    user: str
    note: str
    created_by: str
    created_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class IssuedKey(Key):
    """A key just made: `key` is shown this once."""

    key: str


@router.get("/me/", summary="Who I am")
def me(caller: Reader) -> User:
    """The user and role that the key or token stands for."""
    return User.model_validate({"name": caller.user, "role": caller.role})


@router.get("/users/", summary="List users")
def users(parts: P, caller: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """All users, by name."""
    rows = parts.people.users(paging.decode(cursor, str), limit + 1)
    return paging.page(rows, limit, lambda row: row.name, plain_user)


@router.post("/users/", status_code=201, summary="Add a user")
def add_user(parts: P, caller: Admin, given: NewUser, response: Response) -> User:
    """Add a person or a system with a role."""
    row = parts.people.add_user(given.name, given.role, caller)
    etags.show(response, row.version)
    return User.model_validate(plain_user(row))


@router.get("/users/{name}/", summary="Show a user")
def user(parts: P, caller: Admin, name: str, response: Response) -> User:
    """One user."""
    row = parts.people.user(name)
    etags.show(response, row.version)
    return User.model_validate(plain_user(row))


@router.patch("/users/{name}/", summary="Change a user's role, or switch the user off")
def change_user(
    parts: P, caller: Admin, name: str, given: UserChange, tag: IfMatch, response: Response
) -> User:
    """A user that is not active cannot come in; the last admin stays."""
    row = parts.people.change_user(name, given.role, given.active, etags.version(tag), caller)
    etags.show(response, row.version)
    return User.model_validate(plain_user(row))


@router.get("/keys/", summary="List API keys")
def keys(
    parts: P, caller: Admin, user: Annotated[str | None, Query(max_length=100)] = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page:  # fmt: skip
    """All keys, without their secrets."""
    rows = parts.people.keys(paging.decode(cursor, str), limit + 1, user)
    return paging.page(rows, limit, lambda row: row.id, plain_key)


@router.post("/keys/", status_code=201, summary="Make an API key")
def make_key(parts: P, caller: Admin, given: NewKey) -> IssuedKey:
    """The answer has the key, whole, this once: only a hash of it is kept."""
    issued = parts.people.issue(given.user, given.note, given.expires_at, caller)
    return IssuedKey.model_validate(plain_key(issued.row) | {"key": issued.key})


@router.delete("/keys/{id}/", summary="Revoke an API key")
def revoke_key(parts: P, caller: Admin, id: str) -> Key:
    """It works no longer, within two seconds everywhere."""
    return Key.model_validate(plain_key(parts.people.revoke(id, caller)))


@router.get("/audit/", summary="Who changed what")
def audit_log(
    parts: P, caller: Admin, user: Annotated[str | None, Query(max_length=100)] = None,
    resource: Annotated[str | None, Query(max_length=200, description="Its path, or how it begins.")] = None,
    limit: Limit = 50, cursor: Cursor = None,
    action: Annotated[str | None, Query(max_length=100, description="What was done, e.g. `publish`.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="From then on.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Before then.")] = None,
) -> Page:  # fmt: skip
    """Every change, the newest first, with what was there before and after."""
    with parts.store.session() as session:
        rows = audit.entries(
            session, paging.decode(cursor, int), limit + 1, user, resource, action, since, until
        )
    return paging.page(rows, limit, lambda row: row.id, _plain)


def _plain(row: Any) -> dict[str, Any]:
    names = ("id", "at", "user", "role", "via", "action", "resource", "before", "after")
    return {name: getattr(row, name) for name in names}
