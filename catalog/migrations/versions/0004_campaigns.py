"""Campaigns, and the rules of contact."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; contact has no rules yet."""
    op.create_table(
        "campaigns",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        *(_needed(name, sa.String) for name in ("description", "audience")),
        *(
            _needed(name, sa.JSON)
            for name in ("trigger", "conversion", "offer_config", "product_config", "messages")
        ),
        sa.Column("product", sa.JSON),
        *(
            _needed(name, sa.Integer)
            for name in ("priority", "cooldown_days", "per_customer", "window_days", "offer")
        ),
        *(_needed(name, sa.BigInteger) for name in ("valid_from", "valid_to", "total", "budget", "cost")),
        _needed("control_share", sa.Float),
        *(_needed(name, sa.Boolean) for name in ("service", "active")),
        _needed("name", sa.String(100)),
        *(
            sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
            for name in ("created_at", "updated_at")
        ),
        sa.UniqueConstraint("name", name="campaigns_name", deferrable=True, initially="DEFERRED"),
    )
    op.add_column("game_settings", sa.Column("contact", sa.JSON, nullable=False, server_default="{}"))
    op.alter_column("game_settings", "contact", server_default=None)


def _needed(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_column("game_settings", "contact")
    op.drop_table("campaigns")
