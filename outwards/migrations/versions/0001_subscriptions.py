"""Subscriptions, positions, sides of scores, tries, dead letters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SCHEMA = "outwards"


def _time(name: str, nullable: bool = True, now: bool = False) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.func.now() if now else None, nullable=nullable
    )


def _of_subscription(key: bool = True) -> sa.Column[object]:
    return sa.Column(
        "subscription",
        sa.String(16),
        sa.ForeignKey(f"{_SCHEMA}.subscriptions.id", ondelete="CASCADE"),
        primary_key=key,
        nullable=False,
        index=not key,
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("callback", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_by", sa.String, nullable=False),
        _time("created_at", nullable=False, now=True),
        sa.Column("delivered", sa.BigInteger, nullable=False),
        _time("delivered_at"),
        _time("failing_since"),
        sa.Column("last_error", sa.Text, nullable=False),
        _time("suspended_at"),
        schema=_SCHEMA,
    )
    op.create_table(
        "positions",
        _of_subscription(),
        sa.Column("topic", sa.String, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("topic_id", sa.String, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("told_from", sa.BigInteger, nullable=False),
        schema=_SCHEMA,
    )
    op.create_table(
        "above", _of_subscription(), sa.Column("customer_id", sa.String, primary_key=True), schema=_SCHEMA
    )
    op.create_table(
        "tries",
        _of_subscription(),
        sa.Column("event_id", sa.String, primary_key=True),
        sa.Column("tries", sa.Integer, nullable=False),
        _time("first_at", nullable=False),
        _time("next_at", nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        schema=_SCHEMA,
    )
    op.create_table(
        "letters",
        sa.Column("id", sa.BigInteger, primary_key=True),
        _of_subscription(key=False),
        sa.Column("event_id", sa.String, nullable=False),
        sa.Column("event_type", sa.String, nullable=False),
        sa.Column("customer_hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        _time("first_at", nullable=False),
        _time("dead_at", nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        schema=_SCHEMA,
    )
    # A delivery that is given up twice (killed before its position was kept) is one letter.
    op.create_index("letters_event", "letters", ["subscription", "event_id"], unique=True, schema=_SCHEMA)
