"""Tables of the schema `outwards`: subscriptions, how far each is, what is tried again, what was given up."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, MetaData, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "outwards"
_Time = DateTime(timezone=True)


class Base(DeclarativeBase):
    """All tables of the schema."""

    metadata = MetaData(schema=SCHEMA)


class SubscriptionRow(Base):
    """A system that wants to be told: where, and of what.  Its secret is in the vault.

    `suspended_at`: nobody took anything for so long that nothing is tried until somebody resumes it.
    """

    __tablename__ = "subscriptions"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    callback: Mapped[str] = mapped_column(Text)
    query: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    active: Mapped[bool]
    version: Mapped[int] = mapped_column(default=1)
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    delivered: Mapped[int] = mapped_column(BigInteger, default=0)
    delivered_at: Mapped[datetime | None] = mapped_column(_Time)
    failing_since: Mapped[datetime | None] = mapped_column(_Time)
    last_error: Mapped[str] = mapped_column(Text, default="")
    suspended_at: Mapped[datetime | None] = mapped_column(_Time)


def _of_subscription() -> Mapped[str]:
    return mapped_column(ForeignKey(SubscriptionRow.id, ondelete="CASCADE"), primary_key=True)


class PositionRow(Base):
    """How far a subscription is in a partition.  Records below `told_from` only set sides of scores."""

    __tablename__ = "positions"

    subscription: Mapped[str] = _of_subscription()
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True)
    topic_id: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
    told_from: Mapped[int] = mapped_column(BigInteger)


class AboveRow(Base):
    """A customer whose score is at or above the subscription's value; all others are below it."""

    __tablename__ = "above"

    subscription: Mapped[str] = _of_subscription()
    customer_id: Mapped[str] = mapped_column(primary_key=True)


class TryRow(Base):
    """A delivery that failed and is tried again: at most one in each lane."""

    __tablename__ = "tries"

    subscription: Mapped[str] = _of_subscription()
    event_id: Mapped[str] = mapped_column(primary_key=True)
    tries: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(_Time)
    next_at: Mapped[datetime] = mapped_column(_Time)
    error: Mapped[str] = mapped_column(Text)


class LetterRow(Base):
    """A delivery that was given up.  `again`: somebody asked for one more try."""

    __tablename__ = "letters"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subscription: Mapped[str] = mapped_column(ForeignKey(SubscriptionRow.id, ondelete="CASCADE"), index=True)
    event_id: Mapped[str]
    event_type: Mapped[str]
    customer_hash: Mapped[bytes] = mapped_column(LargeBinary)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    tries: Mapped[int]
    error: Mapped[str] = mapped_column(Text)
    first_at: Mapped[datetime] = mapped_column(_Time)
    dead_at: Mapped[datetime] = mapped_column(_Time)
    again: Mapped[bool] = mapped_column(default=False)
