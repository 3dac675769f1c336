"""Users, keys, audit, drafts, secrets, commands, answers, simulations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMA = "governance"


def _time(name: str, now: bool = False, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.func.now() if now else None,
        nullable=nullable and not now,
    )  # fmt: skip


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        _time("created_at", now=True),
        schema=_SCHEMA,
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("user", sa.String(100), sa.ForeignKey(f"{_SCHEMA}.users.name"), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        _time("created_at", now=True),
        _time("expires_at"),
        _time("revoked_at"),
        _time("used_at"),
        schema=_SCHEMA,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, primary_key=True),
        _time("at", now=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("via", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("resource", sa.String, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        schema=_SCHEMA,
    )
    op.create_index("audit_resource", "audit", ["resource"], schema=_SCHEMA)
    op.create_table(
        "drafts",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("edits", sa.JSON, nullable=False),
        sa.Column("authors", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        _time("created_at", now=True),
        sa.Column("approved_by", sa.String),
        _time("approved_at"),
        sa.Column("published_by", sa.String),
        _time("published_at"),
        sa.Column("revision", sa.Integer),
        schema=_SCHEMA,
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("token", sa.LargeBinary, nullable=False),
        _time("updated_at", now=True),
        schema=_SCHEMA,
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("customer_id", sa.String),
        sa.Column("segment", sa.String),
        sa.Column("user", sa.String, nullable=False),
        _time("sent_at", now=True),
        sa.Column("expected", sa.Integer, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        schema=_SCHEMA,
    )
    op.create_table(
        "answers",
        sa.Column("user", sa.String, primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.JSON),
        _time("at", now=True),
        schema=_SCHEMA,
    )
    op.create_index("ix_governance_answers_at", "answers", ["at"], schema=_SCHEMA)
    op.create_table(
        "simulations",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("user", sa.String, nullable=False),
        _time("created_at", now=True),
        _time("ended_at"),
        sa.Column("report", sa.JSON),
        sa.Column("error", sa.String),
        schema=_SCHEMA,
    )


def downgrade() -> None:
    """Remove them."""
    for table in (
        "simulations", "answers", "commands", "secrets", "drafts", "audit", "keys", "users",
    ):  # fmt: skip
        op.drop_table(table, schema=_SCHEMA)
