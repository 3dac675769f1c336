"""Tables of products, of the systems they come from, and of what is fetched on a schedule."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    DateTime,
    Identity,
    Index,
    Numeric,
    String,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from catalog.models import Base

_TIME = DateTime(timezone=True)


class ProductRow(Base):
    """A product, the operator's own or an external system's; its id is never given to another one."""

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("external_system", "external_product_id", name="products_external"),
        Index("products_for_sale", "product_type", postgresql_where="is_active and is_available"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    external_system: Mapped[str] = mapped_column(String(63))
    external_product_id: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str]
    product_type: Mapped[str] = mapped_column(String(63))
    category: Mapped[str] = mapped_column(String(100))
    price: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    currency: Mapped[str] = mapped_column(String(3))
    recurring: Mapped[bool]
    billing_cycle: Mapped[str | None] = mapped_column(String(16))
    features: Mapped[list[Any]] = mapped_column(JSON)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    is_active: Mapped[bool]
    is_available: Mapped[bool]
    target_segments: Mapped[list[str]] = mapped_column(ARRAY(String(100)))
    min_customer_value: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    max_customer_value: Mapped[Decimal | None] = mapped_column(Numeric(18, 6))
    last_synced: Mapped[datetime | None] = mapped_column(_TIME)
    sync_frequency: Mapped[str | None] = mapped_column(String(16))
    #: When a sync took it out, which another sync may take back; None: no sync did.
    withdrawn_at: Mapped[datetime | None] = mapped_column(_TIME)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())


class ProductSystemRow(Base):
    """A system that products come from: how it is asked, and what its fields mean."""

    __tablename__ = "product_systems"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    connection: Mapped[dict[str, Any]] = mapped_column(JSON)
    mapping: Mapped[dict[str, Any]] = mapped_column(JSON)
    frequency: Mapped[str | None] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now(), onupdate=func.now())


class ProductSyncRow(Base):
    """What a sync did."""

    __tablename__ = "product_syncs"
    __table_args__ = (Index("product_syncs_newest", "external_system", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    external_system: Mapped[str] = mapped_column(String(63))
    started_at: Mapped[datetime] = mapped_column(_TIME)
    ended_at: Mapped[datetime] = mapped_column(_TIME)
    status: Mapped[str] = mapped_column(String(8))
    created: Mapped[int]
    updated: Mapped[int]
    unchanged: Mapped[int]
    withdrawn: Mapped[int]
    refused: Mapped[int]
    refusals: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    error: Mapped[str]


class FetchRow(Base):
    """What is fetched on a schedule: who fetches it now, and how far it is.  All times are PostgreSQL's."""

    __tablename__ = "fetches"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    #: Goes up with each holder: what an older one writes is refused.
    fence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    holder: Mapped[str | None]
    held_until: Mapped[datetime | None] = mapped_column(_TIME)
    #: Pages written, and where the next one begins.
    page: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cursor: Mapped[str | None]
    #: The cursor behind the page that is being written; it counts once Kafka has the page.
    prepared: Mapped[str | None]
    records: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_records: Mapped[int] = mapped_column(BigInteger, server_default="0")
    last_began: Mapped[datetime | None] = mapped_column(_TIME)
    last_ended: Mapped[datetime | None] = mapped_column(_TIME)
    last_error: Mapped[str] = mapped_column(server_default="")
    failures: Mapped[int] = mapped_column(server_default="0")
