"""Templates, badges, tiers, earning, offers, and settings of the game."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _number(name: str = "number") -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _rule(table: str) -> list[sa.schema.SchemaItem]:
    now = sa.func.now()
    return [
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.UniqueConstraint("name", name=f"{table}_name", deferrable=True, initially="DEFERRED"),
    ]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "templates",
        _number(),
        sa.Column("category", sa.String(32), nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("eligibility", sa.String, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.Column("goal", sa.JSON, nullable=False),
        sa.Column("target", sa.JSON, nullable=False),
        sa.Column("duration_days", sa.Integer, nullable=False),
        sa.Column("cooldown_days", sa.Integer, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("rewards", sa.JSON, nullable=False),
        sa.Column("limits", sa.JSON, nullable=False),
        *_rule("templates"),
    )
    op.create_table(
        "badges", _number(), sa.Column("description", sa.String, nullable=False), *_rule("badges")
    )
    op.create_table(
        "badge_levels",
        sa.Column("badge", sa.Integer, sa.ForeignKey("badges.number"), primary_key=True),
        _number("level"),
        sa.Column("condition", sa.String, nullable=False),
        sa.Column("rewards", sa.JSON, nullable=False),
    )
    op.create_table(
        "earning_rules",
        _number(),
        sa.Column("types", sa.JSON, nullable=False),
        sa.Column("points_per_unit", sa.Float, nullable=False),
        sa.Column("where", sa.String, nullable=False),
        *_rule("earning_rules"),
    )
    op.create_table(
        "offers", _number("offer_id"), sa.Column("description", sa.String, nullable=False), *_rule("offers")
    )
    op.create_table(
        "tiers",
        _number("tier"),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("points", sa.Integer, nullable=False),
    )
    op.create_table(
        "game_settings", _number("id"), sa.Column("points_valid_months", sa.Integer, nullable=False)
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("game_settings", "tiers", "offers", "earning_rules", "badge_levels", "badges", "templates"):
        op.drop_table(table)
