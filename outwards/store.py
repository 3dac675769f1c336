"""The schema `outwards` in PostgreSQL, brought up to date; its sessions are `catalog.governance.store`'s."""

from __future__ import annotations

from pathlib import Path

from catalog.database import upgrade
from catalog.governance.store import Store
from outwards.models import SCHEMA


def migrate(store: Store) -> None:
    """Bring the schema to this version; several processes may call it at once.  Raises KhayweError."""
    with store.session() as session:
        upgrade(session.connection(), Path(__file__).with_name("migrations"), SCHEMA)
