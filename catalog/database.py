"""The catalog's database: an engine, and its schema brought up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, text

#: Any number nobody else uses: one migration at a time, however many processes start.
MIGRATION_LOCK = 7_310_424_001


def connect(url: str) -> Engine:
    """An engine whose connections are tried before use."""
    return create_engine(url, pool_pre_ping=True, pool_size=2, connect_args={"connect_timeout": 5})


def migrate(engine: Engine) -> None:
    """Bring the schema to this version.  Several processes may call it at once."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config
