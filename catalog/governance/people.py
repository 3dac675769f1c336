"""Users, their roles and their API keys.  Of a key only the hash of its secret is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.governance.audit import Caller, record
from catalog.governance.models import KeyRow, UserRow
from catalog.governance.store import Store
from catalog.service import NoSuch, Taken, Unfit

Role = Literal["viewer", "marketer", "approver", "admin", "system"]
ROLES: tuple[Role, ...] = get_args(Role)
#: How long "last used" may lag behind: a row is not written at every request.
USED_EVERY = timedelta(minutes=1)
_KEY = re.compile(r"khaywe_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A key just made: the only time that it can be read whole."""

    row: KeyRow
    key: str


class People:
    """Users and keys in PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def users(self, after: str | None, limit: int) -> list[UserRow]:
        """Users by name, after a name."""
        query = select(UserRow).order_by(UserRow.name).limit(limit)
        if after is not None:
            query = query.where(UserRow.name > after)
        with self._store.session() as session:
            return list(session.scalars(query))

    def user(self, name: str) -> UserRow:
        """One user.  Raises NoSuch."""
        with self._store.session() as session:
            return _user(session, name)

    def add_user(self, name: str, role: Role, caller: Caller) -> UserRow:
        """A new user.  Raises Unfit, Taken."""
        if not _USER.fullmatch(name):
            raise Unfit("the user", [("name", "has letters, digits and _.@+- only, at most 100")])
        with self._store.session() as session:
            if session.get(UserRow, name) is not None:
                raise Taken(f"there is a user {name!r} already")
            row = UserRow(name=name, role=role, active=True)
            session.add(row)
            session.flush()
            record(session, caller, "create", f"users/{name}", None, plain_user(row))
            return row

    def change_user(
        self, name: str, role: Role | None, active: bool | None, version: int, caller: Caller
    ) -> UserRow:
        """Another role, on or off.  Raises NoSuch, Stale, Taken where nobody would be admin any more."""
        with self._store.session() as session:
            row = _user(session, name, lock=True)
            if row.version != version:
                raise Stale(f"the user {name!r} was changed meanwhile")
            before = plain_user(row)
            row.role = role if role is not None else row.role
            row.active = active if active is not None else row.active
            row.version += 1
            session.flush()
            admins = select(func.count()).where(UserRow.role == "admin", UserRow.active)
            if before["role"] == "admin" and before["active"] and not session.scalar(admins):
                raise Taken(f"{name} is the last admin", hint="make somebody else admin first")
            record(session, caller, "change", f"users/{name}", before, plain_user(row))
            return row

    def keys(self, after: str | None, limit: int, user: str | None = None) -> list[KeyRow]:
        """Keys by id, after an id."""
        query = select(KeyRow).order_by(KeyRow.id).limit(limit)
        if after is not None:
            query = query.where(KeyRow.id > after)
        if user is not None:
            query = query.where(KeyRow.user == user)
        with self._store.session() as session:
            return list(session.scalars(query))

    def issue(self, user: str, note: str, expires_at: datetime | None, caller: Caller) -> Issued:
        """A new key of a user.  Raises NoSuch, Unfit."""
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise Unfit("the key", [("expires_at", "lies in the past")])
        secret = secrets.token_urlsafe(32)
        with self._store.session() as session:
            _user(session, user)
            row = KeyRow(
                id=secrets.token_hex(6), user=user, hash=_hash(secret), note=note,
                created_by=caller.user, expires_at=expires_at,
            )  # fmt: skip
            session.add(row)
            session.flush()
            session.refresh(row)
            record(session, caller, "create", f"keys/{row.id}", None, plain_key(row))
        return Issued(row, f"khaywe_{row.id}_{secret}")

    def revoke(self, id: str, caller: Caller) -> KeyRow:
        """End a key.  Raises NoSuch."""
        with self._store.session() as session:
            row = session.get(KeyRow, id, with_for_update=True)
            if row is None:
                raise NoSuch(f"there is no key {id!r}")
            if row.revoked_at is None:
                before = plain_key(row)
                row.revoked_at = datetime.now(UTC)
                record(session, caller, "revoke", f"keys/{id}", before, plain_key(row))
            return row

    def caller_of_key(self, key: str) -> Caller | None:
        """Whose key it is; None where it is nobody's (any more)."""
        found = _KEY.fullmatch(key)
        if found is None:
            return None
        id, secret = found.groups()
        now = datetime.now(UTC)
        with self._store.session() as session:
            row = session.get(KeyRow, id)
            if row is None or not hmac.compare_digest(row.hash, _hash(secret)):
                return None
            if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
                return None
            user = session.get_one(UserRow, row.user)
            if not user.active:
                return None
            if row.used_at is None or now - row.used_at > USED_EVERY:
                row.used_at = now
            return Caller(user.name, user.role, f"key:{id}")

    def caller_of_name(self, name: str, via: str) -> Caller | None:
        """An active user of that name, whom somebody else vouches for."""
        with self._store.session() as session:
            user = session.get(UserRow, name)
            return Caller(name, user.role, via) if user is not None and user.active else None


class Stale(Taken):
    """What is edited was changed by somebody else since it was read."""


def plain_user(row: UserRow) -> dict[str, object]:
    """A user as JSON has it."""
    return {"name": row.name, "role": row.role, "active": row.active}


def plain_key(row: KeyRow) -> dict[str, object]:
    """A key as JSON has it: without its secret."""

    def time(at: datetime | None) -> str | None:
        return at.isoformat() if at is not None else None

    return {
        "id": row.id,
        "user": row.user,
        "note": row.note,
        "created_by": row.created_by,
        "created_at": time(row.created_at),
        "expires_at": time(row.expires_at),
        "revoked_at": time(row.revoked_at),
        "used_at": time(row.used_at),
    }


def _user(session: Session, name: str, lock: bool = False) -> UserRow:
    row = session.get(UserRow, name, with_for_update=lock)
    if row is None:
        raise NoSuch(f"there is no user {name!r}")
    return row


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash: nobody guesses them.
    return hashlib.sha256(secret.encode()).digest()
