"""Subscriptions as the API and the command line have them: made, changed, listed, ended; dead letters too.

What is committed on the topics after a subscription was made is delivered to it: its positions are Kafka's
ends of that moment, in the same SQL transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from catalog.governance.audit import Caller, record
from catalog.governance.people import Stale
from catalog.governance.store import Store
from catalog.governance.vault import Vault
from catalog.product_models import FetchRow
from catalog.service import NoSuch, Taken, Unfit
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from outwards.models import AboveRow, LetterRow, PositionRow, SubscriptionRow, TryRow
from outwards.query import parse
from outwards.reading import places
from outwards.sending import fault_of
from streams.batches import Partition

#: Subscriptions in all.
MOST = 100
LEASE = "notify:"
SHORTEST_SECRET, LONGEST_SECRET = 16, 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription shall be."""

    callback: str
    query: str = ""
    note: str = ""
    active: bool = True


def secret_name(id: str) -> str:
    """What a subscription's secret is called in the vault."""
    return f"hub.{id}"


class Subscriptions:
    """All of them."""

    def __init__(self, store: Store, vault: Vault, settings: Settings) -> None:
        self._store, self._vault, self._settings = store, vault, settings

    def all(self) -> list[SubscriptionRow]:
        """The oldest first."""
        query = select(SubscriptionRow).order_by(SubscriptionRow.created_at, SubscriptionRow.id)
        with self._store.session() as session:
            return list(session.scalars(query))

    def get(self, id: str) -> SubscriptionRow:
        """One.  Raises NoSuch."""
        with self._store.session() as session:
            return _row(session, id)

    def waiting(self, id: str) -> tuple[list[TryRow], int]:
        """Deliveries that are tried again, the oldest first, and the number of dead letters."""
        with self._store.session() as session:
            tries = session.scalars(select(TryRow).where(TryRow.subscription == id).order_by(TryRow.first_at))
            letters = session.scalar(
                select(func.count()).select_from(LetterRow).where(LetterRow.subscription == id)
            )
            return list(tries), letters or 0

    def add(self, wanted: Wanted, secret: str | None, caller: Caller) -> tuple[SubscriptionRow, str]:
        """A new one, and its secret: shown to nobody afterwards.  Raises Unfit, Taken, Away."""
        self._check(wanted)
        secret = _secret(secret)
        id = secrets.token_hex(8)
        rows = self._positions(id, wanted.query)
        self._vault.put(secret_name(id), secret, caller)
        try:
            with self._store.session() as session:
                if (session.scalar(select(func.count()).select_from(SubscriptionRow)) or 0) >= MOST:
                    raise Taken(f"there are {MOST} subscriptions already", hint="DELETE those of no use")
                row = SubscriptionRow(id=id, created_by=caller.user, **_members(wanted))
                session.add(row)
                session.flush()
                session.refresh(row)
                session.add_all(rows)
                record(session, caller, "create", f"hub/{id}", None, plain(row))
        except KhayweError:
            self._vault.remove(secret_name(id), caller)
            raise
        return row, secret

    def change(self, id: str, version: int, wanted: Wanted, caller: Caller) -> SubscriptionRow:
        """What is delivered, where, whether; topics that are new to it begin now.

        Raises NoSuch, Stale, Unfit, Away.
        """
        self._check(wanted)
        rows = self._positions(id, wanted.query)
        with self._store.session() as session:
            row = _row(session, id, lock=True)
            if row.version != version:
                raise Stale(f"the subscription {id} was changed meanwhile")
            before, crossing = plain(row), parse(row.query).crossing
            for name, value in _members(wanted).items():
                setattr(row, name, value)
            row.version += 1
            if wanted.query != before["query"]:
                # Whoever delivers by the old query keeps nothing more: another lease follows.
                session.execute(
                    update(FetchRow)
                    .where(FetchRow.name == LEASE + id)
                    .values(fence=FetchRow.fence + 1, holder=None, held_until=None)
                )
            if parse(wanted.query).crossing != crossing:
                # Sides were those of another value: they are found anew, from the log's beginning.
                session.execute(delete(AboveRow).where(AboveRow.subscription == id))
                _forget(session, id, PositionRow.topic == topics.BEHAVIOR_SCORES)
            _forget(session, id, PositionRow.topic.not_in({each.topic for each in rows}))
            session.flush()
            kept = session.scalars(select(PositionRow).where(PositionRow.subscription == id))
            known = {(each.topic, each.partition) for each in kept}
            session.add_all(each for each in rows if (each.topic, each.partition) not in known)
            record(session, caller, "change", f"hub/{id}", before, plain(row))
            return row

    def new_secret(self, id: str, secret: str | None, caller: Caller) -> str:
        """Another secret, which counts at once.  Raises NoSuch, Unfit."""
        secret = _secret(secret)
        self.get(id)
        self._vault.put(secret_name(id), secret, caller)
        with self._store.session() as session:
            _row(session, id, lock=True).version += 1
        return secret

    def resume(self, id: str, caller: Caller) -> SubscriptionRow:
        """Try again what was suspended, from where it stands.  Raises NoSuch, Taken."""
        with self._store.session() as session:
            row = _row(session, id, lock=True)
            if row.suspended_at is None:
                raise Taken(f"the subscription {id} is not suspended")
            row.suspended_at = row.failing_since = None
            row.version += 1
            session.execute(delete(TryRow).where(TryRow.subscription == id))
            record(session, caller, "resume", f"hub/{id}")
            return row

    def remove(self, id: str, caller: Caller) -> None:
        """End it, with its dead letters.  Raises NoSuch."""
        with self._store.session() as session:
            row = _row(session, id, lock=True)
            record(session, caller, "remove", f"hub/{id}", plain(row), None)
            session.delete(row)
            session.execute(delete(FetchRow).where(FetchRow.name == LEASE + id))
        self._vault.remove(secret_name(id), caller)

    def letters(self, id: str, after: int, limit: int) -> list[LetterRow]:
        """Dead letters above a number, the oldest first.  Raises NoSuch."""
        query = select(LetterRow).where(LetterRow.subscription == id, LetterRow.id > after)
        with self._store.session() as session:
            _row(session, id)
            return list(session.scalars(query.order_by(LetterRow.id).limit(limit)))

    def send_again(self, id: str, ids: Sequence[int] | None, caller: Caller) -> int:
        """Ask for one more try of these letters (None: of all); how many.  Raises NoSuch, Taken."""
        with self._store.session() as session:
            row = _row(session, id)
            if not row.active or row.suspended_at is not None:
                raise Taken(f"the subscription {id} is not delivered to", hint="activate or resume it first")
            asked = update(LetterRow).where(LetterRow.subscription == id).values(again=True)
            if ids is not None:
                found = set(
                    session.scalars(
                        select(LetterRow.id).where(LetterRow.subscription == id, LetterRow.id.in_(ids))
                    )
                )
                for each in ids:
                    if each not in found:
                        raise NoSuch(f"there is no dead letter {each} of the subscription {id}")
                asked = asked.where(LetterRow.id.in_(ids))
            count = int(session.execute(asked).rowcount)  # type: ignore[attr-defined]
            record(session, caller, "send again", f"hub/{id}/dead-letters", None, {"letters": count})
            return count

    def _check(self, wanted: Wanted) -> None:
        fault = fault_of(wanted.callback, self._settings.notify_private)
        if fault:
            raise Unfit("the subscription", [("callback", fault)])
        parse(wanted.query)

    def _positions(self, id: str, query: str) -> list[PositionRow]:
        """From now on; of scores everything, to find out who is above the value now.  Raises Away."""
        found = places(self._settings, parse(query).topics())

        def row(place: Partition, topic_id: str, low: int, end: int) -> PositionRow:
            position = low if place.topic == topics.BEHAVIOR_SCORES else end
            return PositionRow(
                subscription=id, topic=place.topic, partition=place.partition, topic_id=topic_id,
                position=position, told_from=end,
            )  # fmt: skip

        return [row(place, at.topic_id, at.low, at.end) for place, at in found.items()]


def _members(wanted: Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("callback", "query", "note", "active")}


def _forget(session: Session, id: str, which: Any) -> None:
    session.execute(delete(PositionRow).where(PositionRow.subscription == id, which))


def _row(session: Session, id: str, lock: bool = False) -> SubscriptionRow:
    row = session.get(SubscriptionRow, id, with_for_update=lock)
    if row is None:
        raise NoSuch(f"there is no subscription {id!r}")
    return row


def _secret(given: str | None) -> str:
    if given is None:
        return secrets.token_urlsafe(32)
    if not SHORTEST_SECRET <= len(given) <= LONGEST_SECRET or not given.isascii() or not given.isprintable():
        words = f"has {SHORTEST_SECRET} to {LONGEST_SECRET} characters of ASCII"
        raise Unfit("the subscription", [("secret", words)])
    return given


def plain(row: SubscriptionRow) -> dict[str, Any]:
    """What somebody has set, as JSON has it."""
    return {
        "id": row.id, "callback": row.callback, "query": row.query, "note": row.note, "active": row.active
    }  # fmt: skip


def state(row: SubscriptionRow) -> dict[str, Any]:
    """The same, and how it stands: `delivering`, `failing`, `suspended` or `off`."""

    def time(at: datetime | None) -> str | None:
        return at.isoformat() if at is not None else None

    status = "off" if not row.active else "delivering" if row.failing_since is None else "failing"
    return plain(row) | {
        "status": status if row.suspended_at is None else "suspended",
        "created_by": row.created_by,
        "created_at": time(row.created_at),
        "delivered": row.delivered,
        "delivered_at": time(row.delivered_at),
        "failing_since": time(row.failing_since),
        "last_error": row.last_error,
        "suspended_at": time(row.suspended_at),
    }
