"""The catalog's tables in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, LargeBinary, String, UniqueConstraint, func
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship


class Base(DeclarativeBase):
    """All of the catalog's tables."""


class DataSourceRow(Base):
    """A data source as it stands now; revisions keep how it stood."""

    __tablename__ = "data_sources"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    source_type: Mapped[str] = mapped_column(String(16))
    connection_config: Mapped[dict[str, Any]] = mapped_column(JSON)  # not JSONB, which reorders keys
    event_mapping: Mapped[dict[str, Any]] = mapped_column(JSON)
    is_active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class RevisionRow(Base):
    """A revision, whole, under its number.  Never changed."""

    __tablename__ = "revisions"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)  # not JSONB: a policy has an order
    note: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class OutboxRow(Base):
    """A record that must reach Kafka, written in the SQL transaction of what it tells."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    topic: Mapped[str]
    key: Mapped[bytes] = mapped_column(LargeBinary)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class _Rule:
    """What all rules of the game have besides their number, which is never given to another one.

    A rule that is no longer wanted stays, with `active` false.  Names change places within a transaction.
    """

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        table = cls.__tablename__  # type: ignore[attr-defined]
        return (UniqueConstraint("name", name=f"{table}_name", deferrable=True, initially="DEFERRED"),)

    name: Mapped[str] = mapped_column(String(100))
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class TemplateRow(_Rule, Base):
    """A mission template as it stands now; members are those of `loyalty.game.Template`."""

    __tablename__ = "templates"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    category: Mapped[str] = mapped_column(String(32))
    description: Mapped[str]
    eligibility: Mapped[str]
    after: Mapped[list[str]] = mapped_column(JSON)
    goal: Mapped[dict[str, Any]] = mapped_column(JSON)
    target: Mapped[dict[str, Any]] = mapped_column(JSON)
    duration_days: Mapped[int]
    cooldown_days: Mapped[int]
    priority: Mapped[int]
    rewards: Mapped[dict[str, Any]] = mapped_column(JSON)
    limits: Mapped[dict[str, Any]] = mapped_column(JSON)


class BadgeRow(_Rule, Base):
    """A badge as it stands now."""

    __tablename__ = "badges"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    description: Mapped[str]
    levels: Mapped[list[BadgeLevelRow]] = relationship(
        order_by="BadgeLevelRow.level", cascade="all, delete-orphan"
    )


class BadgeLevelRow(Base):
    """A level of a badge: 1 to 4."""

    __tablename__ = "badge_levels"

    badge: Mapped[int] = mapped_column(ForeignKey("badges.number"), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    condition: Mapped[str]
    rewards: Mapped[dict[str, Any]] = mapped_column(JSON)


class EarningRow(_Rule, Base):
    """A rule of earning as it stands now."""

    __tablename__ = "earning_rules"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    types: Mapped[list[str]] = mapped_column(JSON)
    points_per_unit: Mapped[float]
    where: Mapped[str]


class OfferRow(_Rule, Base):
    """An offer as it stands now."""

    __tablename__ = "offers"

    offer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    description: Mapped[str]
    category: Mapped[str] = mapped_column(String(63))
    lifecycle_stage: Mapped[str] = mapped_column(String(100))
    target_value_segment: Mapped[str] = mapped_column(String(16))
    segments: Mapped[list[str]] = mapped_column(JSON)
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[float]
    cost: Mapped[float]
    points_factor: Mapped[float]
    discount: Mapped[float]
    bonus: Mapped[dict[str, float]] = mapped_column(JSON)
    valid_days: Mapped[int]


class CampaignRow(_Rule, Base):
    """A campaign as it stands now; `product` as it was copied."""

    __tablename__ = "campaigns"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    description: Mapped[str]
    trigger: Mapped[dict[str, Any]] = mapped_column(JSON)
    audience: Mapped[str]
    priority: Mapped[int]
    valid_from: Mapped[int] = mapped_column(BigInteger)
    valid_to: Mapped[int] = mapped_column(BigInteger)
    cooldown_days: Mapped[int]
    per_customer: Mapped[int]
    total: Mapped[int] = mapped_column(BigInteger)
    budget: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[int] = mapped_column(BigInteger)
    service: Mapped[bool]
    control_share: Mapped[float]
    conversion: Mapped[dict[str, Any]] = mapped_column(JSON)
    window_days: Mapped[int]
    offer: Mapped[int]
    offer_config: Mapped[dict[str, Any]] = mapped_column(JSON)
    product: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    product_config: Mapped[dict[str, Any]] = mapped_column(JSON)
    messages: Mapped[dict[str, str]] = mapped_column(JSON)  # not JSONB: the first language counts


class TierRow(Base):
    """A tier: 0 is the lowest."""

    __tablename__ = "tiers"

    tier: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(100))
    points: Mapped[int]


class GameSettingsRow(Base):
    """The one row of what the game has besides its rules."""

    __tablename__ = "game_settings"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    points_valid_months: Mapped[int]
    contact: Mapped[dict[str, Any]] = mapped_column(JSON)
