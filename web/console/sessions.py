"""Sessions of the console: who came in, until when, and the token that guards forms.

The cookie is 256 random bits, of which PostgreSQL keeps a hash.  It is exchanged for another every few
minutes; the one before is good for a moment more, for requests that were under way.  A session ends with its
key, its user, or itself; the role is always the user's of now, or what the OpenID provider said at the login.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    inspect,
    or_,
    select,
    text,
)
from sqlalchemy.schema import CreateSchema

from catalog.governance.audit import Caller, record
from catalog.governance.models import KeyRow, UserRow
from catalog.governance.people import People
from catalog.governance.store import Store

#: A session ends after that long, and sooner when nobody asks.
LASTS = timedelta(hours=12)
IDLE = timedelta(hours=2)
#: A token is exchanged after that long; the old one is good for OVERLAP more.
ROTATES = timedelta(minutes=15)
OVERLAP = timedelta(minutes=1)
#: "Last seen" may lag behind: a row is not written at every request.
SEEN_EVERY = timedelta(minutes=1)
#: One creation at a time, however many processes start: any number nobody else uses.
SCHEMA_LOCK = 7_310_424_029
SCHEMA = "console"

_TIME = DateTime(timezone=True)
_metadata = MetaData(schema=SCHEMA)
_sessions = Table(
    "sessions", _metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("old_hash", LargeBinary, index=True),
    # The key that was shown, else who the provider says it is; its role where the provider says that too.
    Column("key_id", Text),
    Column("user", Text),
    Column("role", Text),
    Column("guard", Text, nullable=False),
    Column("began_at", _TIME, nullable=False, server_default=text("now()")),
    Column("rotated_at", _TIME, nullable=False, server_default=text("now()")),
    Column("seen_at", _TIME, nullable=False, server_default=text("now()")),
)  # fmt: skip

#: For tables that were made when there were keys only.
_WITH_PROVIDER = f"""
    alter table {SCHEMA}.sessions alter column key_id drop not null,
        add column "user" text, add column role text
"""


@dataclass(frozen=True, slots=True)
class Session:
    """Who asks; `guard` stands in forms; `fresh` is the token that the cookie has from now on, if any."""

    caller: Caller
    guard: str
    fresh: str | None = None

    def guarded_by(self, given: str) -> bool:
        """Whether a form is one of ours."""
        return hmac.compare_digest(self.guard.encode(), given.encode())


class Sessions:
    """Sessions in PostgreSQL, schema `console`."""

    def __init__(self, store: Store, people: People) -> None:
        """Makes the table where there is none."""
        self._store = store
        self._people = people
        with store.engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
            connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            _metadata.create_all(connection)
            if "user" not in {each["name"] for each in inspect(connection).get_columns("sessions", SCHEMA)}:
                connection.execute(text(_WITH_PROVIDER))

    def begin(self, key: str) -> str | None:
        """The token of a new session; None for a key that opens nothing."""
        caller = self._people.caller_of_key(key)
        if caller is None:
            return None
        return self._begun(caller, key_id=caller.via.removeprefix("key:"))

    def vouched(self, caller: Caller, by_provider: bool) -> str:
        """The token of a new session of somebody whom the provider has sent; `by_provider`: with its role."""
        return self._begun(caller, user=caller.user, role=caller.role if by_provider else None)

    def _begun(self, caller: Caller, **who: str | None) -> str:
        token = secrets.token_urlsafe(32)
        with self._store.session() as session:
            session.execute(delete(_sessions).where(_over()))
            session.execute(
                _sessions.insert().values(hash=_hash(token), guard=secrets.token_urlsafe(32), **who)
            )
            record(session, caller, "enter", "console")
        return token

    def find(self, token: str, rotate: bool = False) -> Session | None:
        """The session of a token; `rotate` allows to exchange it."""
        hash, c = _hash(token), _sessions.c
        with self._store.session() as session:
            found: Any = session.execute(
                select(
                    c.hash, c.key_id, c.guard, c.rotated_at, c.seen_at, func.now().label("now"),
                    func.coalesce(c.user, KeyRow.user).label("name"),
                    func.coalesce(c.role, UserRow.role).label("role"),
                )
                .outerjoin(KeyRow, KeyRow.id == c.key_id)
                .outerjoin(UserRow, UserRow.name == func.coalesce(c.user, KeyRow.user))
                .where(
                    or_(c.hash == hash, (c.old_hash == hash) & (c.rotated_at > func.now() - OVERLAP)),
                    ~_over(),
                    or_(c.role.is_not(None), UserRow.active),
                    or_(
                        c.user.is_not(None),
                        and_(
                            KeyRow.id.is_not(None),
                            KeyRow.revoked_at.is_(None),
                            or_(KeyRow.expires_at.is_(None), KeyRow.expires_at > func.now()),
                        ),
                    ),
                )
            ).one_or_none()  # fmt: skip
            if found is None:
                return None
            now: datetime = found.now
            fresh = None
            mine = _sessions.update().where(c.hash == found.hash)
            if rotate and found.hash == hash and now - found.rotated_at > ROTATES:
                fresh = secrets.token_urlsafe(32)
                changed: Any = session.execute(
                    mine.values(hash=_hash(fresh), old_hash=hash, rotated_at=now, seen_at=now)
                )
                if not changed.rowcount:  # another request was first
                    fresh = None
            elif now - found.seen_at > SEEN_EVERY:
                session.execute(mine.values(seen_at=now))
        via = f"key:{found.key_id}" if found.key_id is not None else "oidc"
        return Session(Caller(found.name, found.role, via), found.guard, fresh)

    def end(self, token: str) -> None:
        """Whoever has the token is out."""
        hash = _hash(token)
        with self._store.session() as session:
            session.execute(
                delete(_sessions).where(or_(_sessions.c.hash == hash, _sessions.c.old_hash == hash))
            )


def _over() -> Any:
    c = _sessions.c
    return or_(c.began_at < func.now() - LASTS, c.seen_at < func.now() - IDLE)


def _hash(token: str) -> bytes:
    # 256 random bits need no slow hash: nobody guesses them.
    return hashlib.sha256(token.encode()).digest()
