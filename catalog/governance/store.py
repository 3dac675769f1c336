"""The schema `governance` in PostgreSQL: brought up to date, and its sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from catalog.database import upgrade
from catalog.governance.models import SCHEMA
from catalog.service import Away, Unfit


class Store:
    """Sessions on an engine; faults of the connection are `Away`, unfit characters `Unfit`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def migrate(self) -> None:
        """Bring the schema to this version; several processes may call it at once.  Raises KhayweError."""
        with self._told(), self.engine.begin() as connection:
            upgrade(connection, Path(__file__).with_name("migrations"), SCHEMA)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed where nothing is raised."""
        with self._told(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise Away(
                f"PostgreSQL does not answer: {reason}", hint="`khaywe status` says whether it runs"
            ) from None
        except ValueError as error:
            # What neither PostgreSQL nor UTF-8 takes: the character 0, half a surrogate pair.
            if isinstance(error, UnicodeEncodeError) or "NUL" in str(error):
                raise Unfit("this", [("", "has a character that cannot be kept")]) from None
            raise
