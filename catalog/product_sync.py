"""Products of external systems, brought in line: a sync is one SQL transaction, and says what it did.

All records of the system are read first; where that fails, or gives nothing at all, nothing is changed.  What
the system has no longer is withdrawn, not deleted, and comes back when the system has it again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from sqlalchemy import ARRAY, BigInteger, Engine, any_, func, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from catalog.connectors.config import Fetched, Files, seconds
from catalog.connectors.opening import open_connector
from catalog.connectors.pages import ConnectorError, Record
from catalog.connectors.rest import Wait
from catalog.database import connect, migrate, transaction
from catalog.leases import Lease, Leases
from catalog.product_entry import (
    OWN,
    ProductRefused,
    SystemName,
    entry_of,
    faults_of,
    parse_product,
)
from catalog.product_mapping import ProductMapping, Unmapped
from catalog.product_models import ProductRow, ProductSyncRow, ProductSystemRow
from catalog.products import ProductChanged, fill
from config.errors import KhayweError
from config.settings import Settings

log = logging.getLogger(__name__)

#: Products of one system at most: more is a mistake of its connection.
MOST_PRODUCTS = 100_000
#: Refusals that a report keeps.
MOST_REFUSALS = 200
#: What the lease of a system is called.
PREFIX = "products:"
DONE, FAILED = "done", "failed"
_CONNECTION: TypeAdapter[Any] = TypeAdapter(Fetched)


class NoSuchSystem(KhayweError):
    """Nobody has said how this system is asked for products."""


class SystemEntry(BaseModel):
    """A system that products come from, as people say it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SystemName
    connection: Fetched = Field(description="REST, SQL or files, as of a polled data source.")
    mapping: ProductMapping
    frequency: str | None = Field(
        None, description="hourly, daily, weekly or '15 minutes'; none: when asked."
    )

    @field_validator("name")
    @classmethod
    def _is_another(cls, value: str) -> str:
        if value == OWN:
            raise ValueError(f"{OWN} is the system of products that are made here")
        return value

    @field_validator("connection")
    @classmethod
    def _is_read_whole(cls, value: Any) -> Any:
        if not isinstance(value, Files) and value.cursor_field is not None:
            raise ValueError("cursor_field: products are read whole at each sync")
        return value

    @field_validator("frequency")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return _frequency(value)


def _frequency(said: str | None) -> str | None:
    """Raises ValueError."""
    if said is not None and not 60 <= seconds(said) <= 31 * 86_400:
        raise ValueError("must be a minute at least, and 31 days at most")
    return said


class ProductSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system as it stands; `connection` and `mapping` as `connect` takes them."""

    name: str
    connection: dict[str, Any]
    mapping: dict[str, Any]
    frequency: str | None
    last_synced: datetime | None
    etag: str


class Refusal(msgspec.Struct, frozen=True):
    """A record that is no product, and why; `external_product_id` is "" where it has none."""

    external_product_id: str
    field: str
    reason: str


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync did, in products.  `refusals` are the first of those refused."""

    external_system: str
    started_at: datetime
    ended_at: datetime
    status: str
    created: int
    updated: int
    unchanged: int
    withdrawn: int
    refused: int
    refusals: list[Refusal]
    error: str


class ProductSyncService:
    """The systems that products come from, and their syncs."""

    def __init__(self, database_url: str, settings: Settings, wait: Wait = time.sleep) -> None:
        self._engine = connect(database_url)
        self._settings = settings
        self._wait = wait

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the schema up to date."""
        migrate(self._engine)

    def systems(self) -> list[ProductSystem]:
        """All of them, by name."""
        with transaction(self._engine) as session:
            rows = session.scalars(select(ProductSystemRow).order_by(ProductSystemRow.name)).all()
            return [_system(session, row) for row in rows]

    def system(self, name: str) -> ProductSystem:
        """One of them.  Raises NoSuchSystem."""
        with transaction(self._engine) as session:
            return _system(session, _found(session, name))

    def connect(self, given: Mapping[str, Any], etag: str | None = None) -> ProductSystem:
        """Say how a system is asked, for the first time or anew.

        Raises ProductRefused, and ProductChanged where it has another etag.
        """
        try:
            entry = SystemEntry.model_validate(dict(given))
        except ValidationError as error:
            faults = {
                name.replace("mapping.fields", "mapping"): why for name, why in faults_of(error).items()
            }
            raise ProductRefused("this system cannot be saved", faults) from None
        with transaction(self._engine) as session:
            row = session.get(ProductSystemRow, entry.name, with_for_update=True)
            if etag is not None and etag != str(row.version if row is not None else 0):
                raise ProductChanged(f"{entry.name} has changed since", hint="read it again")
            if row is None:
                row = ProductSystemRow(name=entry.name, version=0)
                session.add(row)
            row.connection = entry.connection.model_dump(mode="json", exclude_defaults=True)
            row.mapping = entry.mapping.plain()
            row.frequency = entry.frequency
            row.version += 1
            session.flush()
            return _system(session, row)

    def disconnect(self, name: str) -> None:
        """Ask it no more; its products stay as they are.  Raises NoSuchSystem."""
        with transaction(self._engine) as session:
            session.delete(_found(session, name))

    def schedule_sync(self, frequency: str | None, system: str | None = None) -> list[ProductSystem]:
        """Have a system (None: all) synced so often; None: only when asked.  Workers do it.

        Raises ProductRefused, NoSuchSystem.
        """
        try:
            _frequency(frequency)
        except ValueError as error:
            raise ProductRefused("syncs cannot be scheduled so", {"frequency": str(error)}) from None
        with transaction(self._engine) as session:
            rows = (
                session.scalars(select(ProductSystemRow).order_by(ProductSystemRow.name)).all()
                if system is None
                else [_found(session, system)]
            )
            for row in rows:
                if row.frequency != frequency:
                    row.frequency, row.version = frequency, row.version + 1
            session.flush()
            return [_system(session, row) for row in rows]

    def sync(self, system: str) -> SyncReport:
        """Bring its products in line, now.

        Raises NoSuchSystem, UnderWay, ConnectorError; the last leaves a report in `history` too.
        """
        self.system(system)
        leases = Leases(self._engine, "who asked for it")
        lease = leases.take_now(PREFIX + system, f"the products of {system}")
        return sync_system(self._engine, self._settings, leases, lease, self._wait)

    def sync_from_xiva(self) -> SyncReport:
        """`sync` of the system `xiva`."""
        return self.sync("xiva")

    def sync_from_crm(self) -> SyncReport:
        """`sync` of the system `crm`."""
        return self.sync("crm")

    def sync_from_billing(self) -> SyncReport:
        """`sync` of the system `billing`."""
        return self.sync("billing")

    def history(self, system: str | None = None, limit: int = 20) -> list[SyncReport]:
        """The last syncs, the newest first."""
        query = select(ProductSyncRow).order_by(ProductSyncRow.id.desc()).limit(limit)
        if system is not None:
            query = query.where(ProductSyncRow.external_system == system)
        with transaction(self._engine) as session:
            return [_report(row) for row in session.scalars(query)]


def frequencies(engine: Engine) -> dict[str, float]:
    """Seconds between two syncs, by the name of the lease, of those that are scheduled."""
    with transaction(engine) as session:
        rows = session.execute(
            select(ProductSystemRow.name, ProductSystemRow.frequency).where(
                ProductSystemRow.frequency.is_not(None)
            )
        )
        return {PREFIX + name: float(seconds(frequency)) for name, frequency in rows}


def sync_system(
    engine: Engine, settings: Settings, leases: Leases, lease: Lease, wait: Wait = time.sleep
) -> SyncReport:
    """A sync on a lease that was taken, and let go of it.  Raises ConnectorError, LeaseLost, NoSuchSystem."""
    name = lease.name.removeprefix(PREFIX)
    error = "unexpected end"
    try:
        with leases.renewed(lease):
            with transaction(engine) as session:
                system = _system(session, _found(session, name))
                started = session.execute(select(func.now())).scalar_one()
            try:
                records = _fetch(name, system.connection, settings, wait)
            except KhayweError as failed:
                with transaction(engine) as session:
                    session.add(_failed(name, started, str(failed)))
                raise
            with transaction(engine) as session:
                # First of all: from here on a later holder waits, and finds this one's work done.
                leases.check(session, lease)
                found = _Sync(session, name, ProductMapping.model_validate(system.mapping), system.frequency)
                row = found.all(records).row(started)
                session.add(row)
                session.flush()
                session.refresh(row)
                report = _report(row)
                leases.ended(session, lease, "", len(records))
        log.info(
            "products of %s: %d created, %d updated, %d unchanged, %d withdrawn, %d refused",
            name, report.created, report.updated, report.unchanged, report.withdrawn, report.refused,
        )  # fmt: skip
        return report
    except IntegrityError as failed:
        error = f"{name} has a product that was made here at the same moment: {failed.orig}"
        raise KhayweError(error, hint="sync again") from None
    except KhayweError as failed:
        error = str(failed)
        raise
    finally:
        # After a sync that worked, or a lease that was lost, there is nothing to let go of.
        with suppress(KhayweError):
            leases.release(lease, error)


def _fetch(name: str, connection: dict[str, Any], settings: Settings, wait: Wait) -> list[Record]:
    """All records of a system.  Raises ConnectorError, NoSecret."""
    records: list[Record] = []
    for page in open_connector(_CONNECTION.validate_python(connection), settings, wait).pages(None):
        records += page.records
        if len(records) > MOST_PRODUCTS:
            raise ConnectorError(
                f"{name} has more than {MOST_PRODUCTS:,} products",
                hint="look at its url and paging, or query",
            )
    if not records:
        raise ConnectorError(
            f"{name} answers without a single product: nothing was changed",
            hint="look at `records` of its connection; `khaywe product schedule` ends its syncs",
        )
    return records


@dataclass
class _Sync:
    """The transaction of a sync."""

    session: Session
    system: str
    mapping: ProductMapping
    frequency: str | None
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def all(self, records: list[Record]) -> _Sync:
        rows = self.session.scalars(
            select(ProductRow).where(ProductRow.external_system == self.system).with_for_update()
        )
        known = {row.external_product_id: row for row in rows}
        seen: set[str] = set()
        nameless = False
        for record in records:
            external = ""
            try:
                said = self.mapping.product(record)
                external = _id(said)
                if external in seen:
                    raise Unmapped("external_product_id", "is there twice; the first counts")
                seen.add(external)
                self._one(said, known.get(external))
            except Unmapped as why:
                external = external or self._id_of(record)
                self._refuse(external, why.field, str(why))
            except ProductRefused as why:
                ((name, reason), *_) = why.faults.items()
                self._refuse(external, name, reason)
            # It is there, if not as it should be: its product is not withdrawn.
            seen.add(external)
            nameless = nameless or not external
        self.session.flush()
        there = [row.id for external, row in known.items() if external in seen]
        self.session.execute(
            update(ProductRow)
            .where(ProductRow.id == any_(literal(there, ARRAY(BigInteger))))
            .values(last_synced=func.now(), sync_frequency=self.frequency),
            execution_options={"synchronize_session": False},
        )
        # A record without an id may be any of those that seem to be gone.
        if not nameless:
            self._withdraw(row for external, row in known.items() if external not in seen)
        return self

    def _one(self, said: dict[str, Any], row: ProductRow | None) -> None:
        before = entry_of(row) if row is not None else {}
        returns = row is not None and row.withdrawn_at is not None
        back = {"is_active": True} if returns else {}
        entry = parse_product({**before, **back, **said, "external_system": self.system}, "refused")
        if row is None:
            row = ProductRow(version=0, last_synced=func.now(), sync_frequency=self.frequency)
            self.session.add(row)
            self.created += 1
        elif entry.model_dump() == before and not returns:
            self.unchanged += 1
            return
        else:
            self.updated += 1
        fill(row, entry)
        row.withdrawn_at = None

    def _withdraw(self, rows: Any) -> None:
        for row in rows:
            if row.withdrawn_at is None:
                row.is_active, row.withdrawn_at = False, func.now()
                row.version, row.updated_at = row.version + 1, func.now()
                self.withdrawn += 1

    def _id_of(self, record: Record) -> str:
        """The id of a record that says something else wrong."""
        with suppress(Unmapped):
            only = {"external_product_id": self.mapping.rules()["external_product_id"]}
            return _id(self.mapping.model_copy(update={"use": None, "fields": only}).product(record))
        return ""

    def _refuse(self, external: str, name: str, reason: str) -> None:
        self.refusals.append(Refusal(external[:200], name, reason[:500]))

    def row(self, started: datetime) -> ProductSyncRow:
        """What it did."""
        return ProductSyncRow(
            external_system=self.system,
            started_at=started,
            ended_at=func.clock_timestamp(),
            status=DONE,
            created=self.created,
            updated=self.updated,
            unchanged=self.unchanged,
            withdrawn=self.withdrawn,
            refused=len(self.refusals),
            refusals=msgspec.to_builtins(self.refusals[:MOST_REFUSALS]),
            error="",
        )


def _failed(system: str, started: datetime, error: str) -> ProductSyncRow:
    """A sync that changed nothing."""
    counts = dict.fromkeys(("created", "updated", "unchanged", "withdrawn", "refused"), 0)
    return ProductSyncRow(
        external_system=system,
        started_at=started,
        ended_at=func.clock_timestamp(),
        status=FAILED,
        **counts,
        refusals=[],
        error=error,
    )


def _id(said: Mapping[str, Any]) -> str:
    """The external id, text or a whole number.  Raises Unmapped."""
    found = said.get("external_product_id")
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
        raise Unmapped("external_product_id", "is missing" if found is None else f"{found!r} is no id")
    return str(found).strip()


def _found(session: Session, name: str) -> ProductSystemRow:
    row = session.get(ProductSystemRow, name)
    if row is None:
        known = ", ".join(session.scalars(select(ProductSystemRow.name).order_by(ProductSystemRow.name)))
        raise NoSuchSystem(
            f"nobody has said how products of {name!r} are fetched",
            hint=f"`khaywe product connect FILE` does; there are: {known or 'none'}",
        )
    return row


def _system(session: Session, row: ProductSystemRow) -> ProductSystem:
    last = session.scalar(
        select(func.max(ProductSyncRow.ended_at)).where(
            ProductSyncRow.external_system == row.name, ProductSyncRow.status == DONE
        )
    )
    return ProductSystem(
        name=row.name,
        connection=row.connection,
        mapping=row.mapping,
        frequency=row.frequency,
        last_synced=last,
        etag=str(row.version),
    )


def _report(row: ProductSyncRow) -> SyncReport:
    members = {name: getattr(row, name) for name in SyncReport.__struct_fields__ if name != "refusals"}
    return SyncReport(**members, refusals=[Refusal(**each) for each in row.refusals])
