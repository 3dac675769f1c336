"""Tables of the schema `governance`: people, keys, drafts, what was done, secrets, commands on their way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, LargeBinary, MetaData, String, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA = "governance"
_Time = DateTime(timezone=True)


class Base(DeclarativeBase):
    """All tables of the schema."""

    metadata = MetaData(schema=SCHEMA)


class UserRow(Base):
    """A person or a system, and its role."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    active: Mapped[bool]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())


class KeyRow(Base):
    """An API key: its public id, and the hash of its secret."""

    __tablename__ = "keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey(UserRow.name))
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    note: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(_Time)
    revoked_at: Mapped[datetime | None] = mapped_column(_Time)
    used_at: Mapped[datetime | None] = mapped_column(_Time)


class AuditRow(Base):
    """A change: by whom, to what, and what was there before and after.  Never changed, never deleted."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_resource", "resource"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    user: Mapped[str]
    role: Mapped[str]
    via: Mapped[str]
    action: Mapped[str]
    resource: Mapped[str]
    before: Mapped[Any] = mapped_column(JSON)
    after: Mapped[Any] = mapped_column(JSON)


class DraftRow(Base):
    """Edits of the rules that wait for a second person."""

    __tablename__ = "drafts"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    note: Mapped[str]
    edits: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    authors: Mapped[list[str]] = mapped_column(JSON)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    approved_by: Mapped[str | None]
    approved_at: Mapped[datetime | None] = mapped_column(_Time)
    published_by: Mapped[str | None]
    published_at: Mapped[datetime | None] = mapped_column(_Time)
    revision: Mapped[int | None]


class SecretRow(Base):
    """A secret of a connection, encrypted."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now(), onupdate=func.now())


class CommandRow(Base):
    """A command that was sent, and where its results are looked for on `command-results`."""

    __tablename__ = "commands"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    command: Mapped[str]
    customer_id: Mapped[str | None]
    segment: Mapped[str | None]
    user: Mapped[str]
    sent_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    expected: Mapped[int]
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)


class AnswerRow(Base):
    """What a request with an idempotency key was answered; empty while it is under way."""

    __tablename__ = "answers"

    user: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[Any] = mapped_column(JSON, nullable=True)
    at: Mapped[datetime] = mapped_column(_Time, server_default=func.now(), index=True)


class SimulationRow(Base):
    """A simulation that was asked for, and its report."""

    __tablename__ = "simulations"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    asked: Mapped[dict[str, Any]] = mapped_column(JSON)
    user: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(_Time, server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(_Time)
    report: Mapped[Any] = mapped_column(JSON, nullable=True)
    error: Mapped[str | None]
