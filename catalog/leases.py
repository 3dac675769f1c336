"""Who fetches what is fetched on a schedule: one at a time, however many workers run, and how far it is.

A lease is held for seconds and renewed.  What a holder writes after a later one took it is refused: the fence
is higher then.  All times are PostgreSQL's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from catalog.database import transaction
from catalog.product_models import FetchRow
from config.errors import KhayweError

log = logging.getLogger(__name__)

#: Seconds a holder counts as alive without a sign of it.
HOLD_SECONDS = 30.0
#: Seconds until a run that failed is tried again, doubled each time, never longer than its interval.
AGAIN_SECONDS = 30.0

_TAKE = text("""
    update fetches
    set fence = fence + 1, holder = :holder, held_until = now() + make_interval(secs => :hold),
        last_began = now(), last_records = 0
    where name = (
        select name from fetches
        where name = :name and (held_until is null or held_until <= now()) and (
            cast(:every as float) is null or last_ended is null or last_ended < last_began
            or last_began + make_interval(secs => case
                when failures > 0 then least(:every, :again * power(2, least(failures, 12) - 1)) else :every
            end) <= now()
        )
        for update skip locked
    )
    returning fence, page, cursor, prepared
""")


class LeaseLost(KhayweError):
    """Another one holds it now."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is fetched by another one now", hint="this one was paused; nothing to do")


class UnderWay(KhayweError):
    """Somebody fetches it at this moment."""


@dataclass(slots=True)
class Lease:
    """What its holder may write: `page` pages were written, the next one begins at `cursor`."""

    name: str
    fence: int
    page: int
    cursor: str | None
    prepared: str | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class FetchState:
    """How something that is fetched stands."""

    name: str
    holder: str | None
    records: int
    last_records: int
    last_began: datetime | None
    last_ended: datetime | None
    last_error: str
    failures: int


class Leases:
    """The leases of one process."""

    def __init__(self, engine: Engine, holder: str, hold: float = HOLD_SECONDS) -> None:
        self._engine = engine
        self._holder = holder
        self._hold = hold

    def take(self, name: str, every: float | None = None) -> Lease | None:
        """The lease, if nobody holds it and `every` seconds have passed (None: at once); else None."""
        how: dict[str, Any] = {"name": name, "holder": self._holder, "hold": self._hold}
        with transaction(self._engine) as session:
            session.execute(
                text("insert into fetches (name) values (:name) on conflict do nothing"), {"name": name}
            )
            found = session.execute(_TAKE, how | {"every": every, "again": AGAIN_SECONDS}).one_or_none()
        return None if found is None else Lease(name, *found)

    def take_now(self, name: str, shown: str) -> Lease:
        """The lease, at once.  Raises UnderWay, which says of `shown` who holds it."""
        lease = self.take(name)
        if lease is not None:
            return lease
        who, since = self.holder(name) or ("another one", None)
        when = f" since {since.astimezone(UTC):%H:%M:%S} UTC" if since is not None else ""
        raise UnderWay(f"{shown} is being fetched by {who}{when}", hint="ask again when it has ended")

    @contextmanager
    def renewed(self, lease: Lease) -> Iterator[None]:
        """Renew the lease beside whatever is done."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._hold / 3):
                try:
                    with transaction(self._engine) as session:
                        self.check(session, lease)
                except LeaseLost:
                    return
                except Exception as error:  # whatever it is: the next one may succeed before the time is up
                    log.warning("the lease of %s is not renewed: %s", lease.name, error)

        beside = threading.Thread(target=renew, name=f"lease of {lease.name}", daemon=True)
        beside.start()
        try:
            yield
        finally:
            done.set()
            beside.join()

    def check(self, session: Session, lease: Lease) -> None:
        """Hold it for this transaction, and for seconds from now.  Raises LeaseLost."""
        self._write(session, lease, "held_until = now() + make_interval(secs => :hold)", hold=self._hold)

    def prepare(self, lease: Lease, cursor: str) -> None:
        """Note the cursor behind the page that Kafka gets now.  Raises LeaseLost."""
        with transaction(self._engine) as session:
            self._write(session, lease, "prepared = :cursor", cursor=cursor)

    def keep(self, lease: Lease, cursor: str | None, page: int, records: int) -> None:
        """Kafka has the page: the next one begins at `cursor`.  Raises LeaseLost."""
        with transaction(self._engine) as session:
            self._write(
                session,
                lease,
                "cursor = :cursor, page = :page, prepared = null, records = records + :records,"
                " last_records = last_records + :records",
                cursor=cursor,
                page=page,
                records=records,
            )
        lease.cursor, lease.page, lease.prepared = cursor, page, None

    def release(self, lease: Lease, error: str | None = "") -> None:
        """Let go of it after a run, with what went wrong ("": nothing; None: it is to go on elsewhere)."""
        with transaction(self._engine) as session:
            self.ended(session, lease, error)

    def ended(self, session: Session, lease: Lease, error: str | None = "", records: int = 0) -> None:
        """The same within a transaction.  One that is lost is let go of already."""
        how = "holder = null, held_until = null, last_records = last_records + :records"
        how += ", records = records + :records"
        if error is not None:
            how += (
                ", last_ended = now(), last_error = :error,"
                " failures = case when :error = '' then 0 else failures + 1 end"
            )
        self._update(session, lease, how, error=error, records=records)

    def holder(self, name: str) -> tuple[str, datetime] | None:
        """Who holds it now, and since when."""
        with transaction(self._engine) as session:
            found = session.execute(
                text("select holder, last_began from fetches where name = :name and held_until > now()"),
                {"name": name},
            ).one_or_none()
        return None if found is None else (found[0], found[1])

    def states(self, prefix: str) -> list[FetchState]:
        """All whose names begin so, by name."""
        with transaction(self._engine) as session:
            rows = session.scalars(
                select(FetchRow)
                .where(FetchRow.name.startswith(prefix, autoescape=True))
                .order_by(FetchRow.name)
            )
            names = FetchState.__dataclass_fields__
            return [FetchState(**{name: getattr(row, name) for name in names}) for row in rows]

    def _write(self, session: Session, lease: Lease, how: str, **values: Any) -> None:
        if lease.lost or not self._update(session, lease, how, **values):
            lease.lost = True
            raise LeaseLost(lease.name)

    def _update(self, session: Session, lease: Lease, how: str, **values: Any) -> bool:
        done = session.execute(
            text(f"update fetches set {how} where name = :name and fence = :fence and holder is not null"),
            values | {"name": lease.name, "fence": lease.fence},
        )
        return bool(done.rowcount)  # type: ignore[attr-defined]
