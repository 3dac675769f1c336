"""What the delivery to a subscription reads of PostgreSQL and keeps there, under its lease.

One transaction keeps positions, sides of scores, tries and dead letters together, and is refused where
another process holds the lease by now or somebody has changed the subscription.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.governance.store import Store
from catalog.governance.vault import Vault
from catalog.leases import Lease, Leases
from config.settings import Settings
from loyalty.effects import digest
from outwards.events import Event
from outwards.models import SCHEMA, AboveRow, Base, LetterRow, PositionRow, SubscriptionRow, TryRow
from outwards.query import Interest, parse
from outwards.reading import places
from outwards.subscriptions import secret_name
from streams.batches import Partition

log = logging.getLogger(__name__)

#: Dead letters of a subscription: one that refuses more than that is suspended.
MOST_LETTERS = 10_000


class Changed(Exception):
    """Somebody has changed or removed the subscription: begin anew with what it is."""


@dataclass(frozen=True, slots=True)
class Look:
    """A subscription that is to be delivered to: its version, and whether dead letters are asked for."""

    id: str
    version: int
    again: bool


@dataclass(slots=True)
class Trying:
    """A delivery that failed before."""

    tries: int
    first_at: datetime
    next_at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Dead:
    """A delivery that is given up."""

    event: Event
    trying: Trying


@dataclass(slots=True)
class News:
    """What has happened since the last time it was kept.  `tries` None: it is over."""

    positions: dict[Partition, int] = field(default_factory=dict)
    above: dict[str, bool] = field(default_factory=dict)
    tries: dict[str, Trying | None] = field(default_factory=dict)
    dead: list[Dead] = field(default_factory=list)
    erased: set[bytes] = field(default_factory=set)
    delivered: int = 0
    delivered_at: datetime | None = None
    error: tuple[str, datetime] | None = None
    suspend: bool = False
    letters_done: list[int] = field(default_factory=list)
    letters_failed: dict[int, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(
            self.positions or self.above or self.tries or self.dead or self.erased or self.delivered
            or self.error or self.suspend or self.letters_done or self.letters_failed
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription as its delivery begins.  `told_from`: below it, records only set sides."""

    callback: str
    secret: str
    interest: Interest
    delivered_at: datetime | None
    positions: Mapping[Partition, int]
    told_from: Mapping[Partition, int]
    tries: dict[str, Trying]


class Ledger:
    """Used from any thread, one call at a time for each subscription."""

    def __init__(self, store: Store, settings: Settings, leases: Leases) -> None:
        self._store, self._settings, self._leases = store, settings, leases
        self._vault = Vault(store, settings)

    def looks(self) -> tuple[list[Look], int]:
        """What is to be delivered to now, and how many are suspended.  Raises Away."""
        again = exists().where(LetterRow.subscription == SubscriptionRow.id, LetterRow.again)
        query = select(SubscriptionRow.id, SubscriptionRow.version, again)
        suspended = (
            select(func.count())
            .select_from(SubscriptionRow)
            .where(SubscriptionRow.active, SubscriptionRow.suspended_at.is_not(None))
        )
        with self._store.session() as session:
            rows = session.execute(
                query.where(SubscriptionRow.active, SubscriptionRow.suspended_at.is_(None)).order_by(
                    SubscriptionRow.id
                )
            )
            return [Look(*row) for row in rows], session.scalar(suspended) or 0

    def prune(self) -> None:
        """Dead letters wait as long as records do."""
        before = datetime.now(UTC) - timedelta(days=self._settings.retention)
        with self._store.session() as session:
            session.execute(delete(LetterRow).where(LetterRow.dead_at < before))

    def open(self, id: str, version: int) -> Standing:
        """Where it stands.  Raises Changed, Away, VaultError."""
        with self._store.session() as session:
            row = session.get(SubscriptionRow, id)
            if row is None or row.version != version:
                raise Changed
            kept = list(session.scalars(select(PositionRow).where(PositionRow.subscription == id)))
            tries = session.scalars(select(TryRow).where(TryRow.subscription == id))
            found = {each.event_id: _trying(each) for each in tries}
        secret = self._vault.get(secret_name(id))
        if secret is None:
            raise Changed
        interest = parse(row.query)
        positions, told_from = self._positions(id, version, interest, kept)
        return Standing(row.callback, secret, interest, row.delivered_at, positions, told_from, found)

    def _positions(
        self, id: str, version: int, interest: Interest, kept: Sequence[PositionRow]
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Partitions that are new, or of a topic made anew, begin where Kafka's log does."""
        there = places(self._settings, interest.topics())
        rows = {Partition(row.topic, row.partition): row for row in kept}
        fresh: list[PositionRow] = []
        for place, at in there.items():
            row = rows.get(place)
            if row is not None and row.topic_id == at.topic_id:
                if row.position < at.low:
                    log.warning(
                        "subscription %s: position %d of %s/%d is below the log's start %d: "
                        "retention removed records untold", id, row.position, *place, at.low,
                    )  # fmt: skip
                    row.position = at.low
                continue
            rows[place] = PositionRow(
                subscription=id, topic=place.topic, partition=place.partition, topic_id=at.topic_id,
                position=at.low, told_from=at.low,
            )  # fmt: skip
            fresh.append(rows[place])
        if fresh:
            with self._store.session() as session:
                _still(session, id, version)
                for row in fresh:
                    session.merge(row)
        return (
            {place: rows[place].position for place in there},
            {place: rows[place].told_from for place in there},
        )

    def above(self, id: str, customers: Sequence[str]) -> set[str]:
        """Of these customers, those who are above the value.  Raises Away."""
        query = select(AboveRow.customer_id).where(
            AboveRow.subscription == id, AboveRow.customer_id.in_(customers)
        )
        with self._store.session() as session:
            return set(session.scalars(query))

    def letters(self, id: str, limit: int) -> list[LetterRow]:
        """Dead letters that somebody asked for once more, the oldest first."""
        query = select(LetterRow).where(LetterRow.subscription == id, LetterRow.again)
        with self._store.session() as session:
            return list(session.scalars(query.order_by(LetterRow.id).limit(limit)))

    def keep(self, id: str, lease: Lease, news: News) -> None:
        """All of it, or nothing; and the lease for seconds from now.  Raises LeaseLost, Changed, Away."""
        with self._store.session() as session:
            self._leases.check(session, lease)
            if not news:
                return
            row = session.get(SubscriptionRow, id, with_for_update=True)
            if row is None:
                raise Changed
            if news.delivered:
                row.delivered += news.delivered
                row.delivered_at, row.failing_since, row.last_error = news.delivered_at, None, ""
            if news.error is not None:
                row.last_error, at = news.error
                row.failing_since = row.failing_since or at
            _positions(session, id, news.positions)
            _above(session, id, news.above)
            _tries(session, id, news.tries)
            if self._letters(session, id, news) or news.suspend:
                row.suspended_at = datetime.now(UTC)
                row.version += 1

    def _letters(self, session: Session, id: str, news: News) -> bool:
        """Whether there are now too many."""
        of_it = LetterRow.subscription == id
        if news.letters_done:
            session.execute(delete(LetterRow).where(of_it, LetterRow.id.in_(news.letters_done)))
        for number, error in news.letters_failed.items():
            session.execute(
                update(LetterRow)
                .where(LetterRow.id == number)
                .values(again=False, error=error, tries=LetterRow.tries + 1)
            )
        many = False
        if news.dead:
            now = datetime.now(UTC)
            rows = [
                {
                    "subscription": id, "event_id": dead.event.id, "event_type": dead.event.type,
                    "customer_hash": digest(dead.event.customer_id.encode()), "body": dead.event.body,
                    "tries": dead.trying.tries, "error": dead.trying.error, "first_at": dead.trying.first_at,
                    "dead_at": now, "again": False,
                }
                for dead in news.dead
            ]  # fmt: skip
            session.execute(_insert(LetterRow).on_conflict_do_nothing(), rows)
            count = select(func.count()).select_from(LetterRow).where(of_it)
            many = (session.scalar(count) or 0) >= MOST_LETTERS
        if news.erased:
            session.execute(delete(LetterRow).where(of_it, LetterRow.customer_hash.in_(news.erased)))
        return many


def _still(session: Session, id: str, version: int) -> SubscriptionRow:
    row = session.get(SubscriptionRow, id, with_for_update=True)
    if row is None or row.version != version:
        raise Changed
    return row


def _insert(row: type[Base]) -> Any:
    return insert(cast("Table", row.__table__))


def _trying(row: TryRow) -> Trying:
    return Trying(row.tries, row.first_at, row.next_at, row.error)


_MOVE = text(f"""
    update {SCHEMA}.positions as old set position = new.position
    from unnest(cast(:topics as text[]), cast(:partitions as int[]), cast(:positions as bigint[]))
        as new (topic, partition, position)
    where old.subscription = :id and old.topic = new.topic and old.partition = new.partition
""")


def _positions(session: Session, id: str, positions: Mapping[Partition, int]) -> None:
    if positions:
        session.execute(
            _MOVE,
            {
                "id": id,
                "topics": [place.topic for place in positions],
                "partitions": [place.partition for place in positions],
                "positions": list(positions.values()),
            },
        )


def _above(session: Session, id: str, above: Mapping[str, bool]) -> None:
    now = [{"subscription": id, "customer_id": each} for each, is_above in above.items() if is_above]
    if now:
        session.execute(_insert(AboveRow).on_conflict_do_nothing(), now)
    gone = [each for each, is_above in above.items() if not is_above]
    if gone:
        session.execute(delete(AboveRow).where(AboveRow.subscription == id, AboveRow.customer_id.in_(gone)))


def _tries(session: Session, id: str, tries: Mapping[str, Trying | None]) -> None:
    for event_id, trying in tries.items():
        if trying is None:
            session.execute(delete(TryRow).where(TryRow.subscription == id, TryRow.event_id == event_id))
        else:
            row = TryRow(subscription=id, event_id=event_id, tries=trying.tries, error=trying.error)
            row.first_at, row.next_at = trying.first_at, trying.next_at
            session.merge(row)
