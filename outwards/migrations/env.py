"""Alembic's environment of the schema `outwards`: runs on the connection that `store.migrate` gives it."""

from __future__ import annotations

from alembic import context

from outwards.models import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
