"""Products, the systems they come from, what is fetched on a schedule; what granting an offer means."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; offers that are there become plain ones, for everybody."""
    for column in _offer_columns():
        op.add_column("offers", column)
    for column in _offer_columns():
        op.alter_column("offers", column.name, server_default=None)
    op.create_table(
        "products",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("external_system", sa.String(63), nullable=False),
        sa.Column("external_product_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("product_type", sa.String(63), nullable=False),
        sa.Column("category", sa.String(100), nullable=False),
        sa.Column("price", sa.Numeric(18, 6), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("recurring", sa.Boolean, nullable=False),
        sa.Column("billing_cycle", sa.String(16)),
        sa.Column("features", sa.JSON, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("is_available", sa.Boolean, nullable=False),
        sa.Column("target_segments", sa.ARRAY(sa.String(100)), nullable=False),
        sa.Column("min_customer_value", sa.Numeric(18, 6)),
        sa.Column("max_customer_value", sa.Numeric(18, 6)),
        sa.Column("last_synced", _TIME),
        sa.Column("sync_frequency", sa.String(16)),
        sa.Column("withdrawn_at", _TIME),
        sa.Column("version", sa.BigInteger, nullable=False),
        *(_now(name) for name in ("created_at", "updated_at")),
        sa.UniqueConstraint("external_system", "external_product_id", name="products_external"),
    )
    op.create_index(
        "products_for_sale",
        "products",
        ["product_type"],
        postgresql_where=sa.text("is_active and is_available"),
    )
    op.create_table(
        "product_systems",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("connection", sa.JSON, nullable=False),
        sa.Column("mapping", sa.JSON, nullable=False),
        sa.Column("frequency", sa.String(16)),
        sa.Column("version", sa.BigInteger, nullable=False),
        _now("updated_at"),
    )
    op.create_table(
        "product_syncs",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("external_system", sa.String(63), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("created", "updated", "unchanged", "withdrawn", "refused")
        ),
        sa.Column("refusals", sa.JSON, nullable=False),
        sa.Column("error", sa.String, nullable=False),
    )
    op.create_index("product_syncs_newest", "product_syncs", ["external_system", "id"])
    op.create_table(
        "fetches",
        sa.Column("name", sa.String(80), primary_key=True),
        _count("fence"),
        sa.Column("holder", sa.String),
        sa.Column("held_until", _TIME),
        _count("page"),
        sa.Column("cursor", sa.String),
        sa.Column("prepared", sa.String),
        _count("records"),
        _count("last_records"),
        sa.Column("last_began", _TIME),
        sa.Column("last_ended", _TIME),
        sa.Column("last_error", sa.String, server_default="", nullable=False),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
    )


def _offer_columns() -> list[sa.Column[object]]:
    def column(name: str, kind: sa.types.TypeEngine[object], default: str) -> sa.Column[object]:
        return sa.Column(name, kind, nullable=False, server_default=sa.text(default))

    return [
        column("category", sa.String(63), "''"),
        column("lifecycle_stage", sa.String(100), "'all'"),
        column("target_value_segment", sa.String(16), "'all'"),
        column("segments", sa.JSON(), "'[]'"),
        column("kind", sa.String(16), "''"),
        column("value", sa.Float(), "0"),
        column("cost", sa.Float(), "0"),
        column("points_factor", sa.Float(), "1"),
        column("discount", sa.Float(), "0"),
        column("bonus", sa.JSON(), "'{}'"),
        column("valid_days", sa.Integer(), "0"),
    ]


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, _TIME, server_default=sa.func.now(), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, server_default="0", nullable=False)


def downgrade() -> None:
    """Remove them."""
    for table in ("fetches", "product_syncs", "product_systems", "products"):
        op.drop_table(table)
    for column in _offer_columns():
        op.drop_column("offers", column.name)
