"""Alembic's environment: runs on the connection that `catalog.database.migrate` gives it."""

from __future__ import annotations

from alembic import context

from catalog.product_models import Base  # all tables: those of models, and of products

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
