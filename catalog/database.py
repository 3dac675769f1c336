"""The catalog's database: an engine, and schemas brought up to date by Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from config.errors import KhayweError

#: Any number nobody else uses: one migration at a time, however many processes start.
MIGRATION_LOCK = 7_310_424_001
#: Milliseconds until PostgreSQL ends a transaction nobody goes on with: a process that was stopped within one
#: holds a lock that all others wait for.
IDLE_MS = 20_000


def connect(url: str, pool: int = 2) -> Engine:
    """An engine that keeps `pool` connections, tried before use.  Raises KhayweError for what is no URL."""
    options = f"-c idle_in_transaction_session_timeout={IDLE_MS}"
    try:
        return create_engine(
            url, pool_pre_ping=True, pool_size=pool, connect_args={"connect_timeout": 5, "options": options}
        )
    except (ArgumentError, ImportError) as error:
        raise KhayweError(
            f"KHAYWE_DATABASE is no URL of PostgreSQL: {error}",
            hint="it looks like postgresql+psycopg2://user:password@host:5432/database",
        ) from None


def migrate(engine: Engine) -> None:
    """Bring the catalog's tables to this version, as `upgrade` does.  Raises KhayweError."""
    with engine.begin() as connection:
        upgrade(connection, Path(__file__).with_name("migrations"))


def upgrade(connection: Connection, migrations: Path, schema: str | None = None) -> None:
    """Bring the tables of a folder of migrations to this version, in the connection's transaction.

    `schema` is made where it is not there.  Several processes may call it at once.  Raises KhayweError.
    """
    # Only now: most processes never migrate, and it takes a tenth of a worker's start.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    if schema is not None:
        connection.execute(text(f"create schema if not exists {schema}"))
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise KhayweError(
            f"the tables of {schema or 'the catalog'} are not of this version of khaywe: {error}",
            hint="use the version that made them, or a newer one",
        ) from None


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A session in one transaction.  Raises KhayweError where PostgreSQL does not answer."""
    try:
        with Session(engine) as session, session.begin():
            yield session
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise KhayweError(
            f"PostgreSQL does not answer: {reason}", hint="`khaywe status` says whether it runs"
        ) from None
