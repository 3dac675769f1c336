"""Customers who are on no leaderboard, because they asked for it: by the hash of their id.

The list is people's, not the log's: it stands in PostgreSQL's schema `console`, and every change is in the
audit log.  An erased customer leaves the hash that an erasure leaves elsewhere too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Select, Table, Text, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateSchema

from catalog.governance.audit import Caller, record
from catalog.governance.store import Store
from loyalty.effects import digest
from web.api.parts import Parts

#: One creation at a time, however many processes start: any number nobody else uses.
SCHEMA_LOCK = 7_310_424_031
SCHEMA = "console"

_metadata = MetaData(schema=SCHEMA)
_unlisted = Table(
    "unlisted", _metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("by", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)  # fmt: skip


class Unlisted:
    """The list."""

    def __init__(self, store: Store) -> None:
        """Makes the table where there is none."""
        self._store = store
        with store.engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
            connection.execute(CreateSchema(SCHEMA, if_not_exists=True))
            _metadata.create_all(connection)

    def hashes(self) -> Select[Any]:
        """The hashes of all of them, as a query."""
        return select(_unlisted.c.hash)

    def has(self, customer_id: str) -> bool:
        """Whether a customer is on the list."""
        with self._store.session() as session:
            found = session.execute(select(_unlisted.c.by).where(_unlisted.c.hash == _hash(customer_id)))
            return found.one_or_none() is not None

    def among(self, customer_ids: Iterable[str]) -> set[str]:
        """Those of them who are on the list."""
        asked = {_hash(each): each for each in customer_ids}
        with self._store.session() as session:
            found = session.scalars(select(_unlisted.c.hash).where(_unlisted.c.hash.in_(list(asked))))
            return {asked[bytes(each)] for each in found}

    def put(self, customer_id: str, off: bool, caller: Caller) -> None:
        """Keep a customer off leaderboards, or show it there again."""
        mine = _unlisted.c.hash == _hash(customer_id)
        with self._store.session() as session:
            if off:
                given = {"hash": _hash(customer_id), "by": caller.user}
                changed: Any = session.execute(insert(_unlisted).values(given).on_conflict_do_nothing())
            else:
                changed = session.execute(delete(_unlisted).where(mine))
            if changed.rowcount:
                # The audit log, which nobody changes, names nobody who may be forgotten.
                what = f"leaderboards/{_hash(customer_id).hex()}"
                record(session, caller, "change", what, {"listed": off}, {"listed": not off})


def of(parts: Parts) -> Unlisted:
    """That of the app."""
    if Unlisted not in parts.kept:
        parts.kept[Unlisted] = Unlisted(parts.store)
    found: Unlisted = parts.kept[Unlisted]
    return found


def _hash(customer_id: str) -> bytes:
    return digest(customer_id.encode())
