"""The schema `outwards` in PostgreSQL, brought up to date; its sessions are `catalog.governance.store`'s."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from catalog.database import MIGRATION_LOCK
from catalog.governance.store import Store
from outwards.models import SCHEMA


def migrate(store: Store) -> None:
    """Bring the schema to this version; several processes may call it at once.  Raises Away."""
    from alembic import command  # only now, as in `catalog.database`
    from alembic.config import Config

    with store.session() as session:
        connection = session.connection()
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
