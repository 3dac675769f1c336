"""Rows of a query on PostgreSQL, in the order of a cursor column, in one read-only transaction.

Rows stream from a server-side cursor, so that a large table needs no memory; whoever keeps a page goes on
behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psycopg2
from psycopg2 import sql

from catalog.connectors.config import Sql
from catalog.connectors.pages import ConnectorError, Page, Record, Secret, Since, decode, encode

CONNECT_SECONDS = 10


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cursor: rows from `value` on, those `seen` left out."""

    value: str | int | float | None = None
    seen: list[str] = []


class SqlConnector:
    """Implements `catalog.connectors.pages.Connector`."""

    def __init__(self, config: Sql, secret: Secret) -> None:
        self._config = config
        self._secret = secret
        self._where = f"the query on {config.database}"

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """See `Connector`."""
        try:
            yield from self._pages(_read(cursor))
        except psycopg2.Error as error:
            reason = str(error).strip().splitlines()
            raise ConnectorError(
                f"{self._where} fails: {reason[0] if reason else type(error).__name__}",
                hint="run it with psql as the same user",
            ) from None

    def _pages(self, place: _Place) -> Iterator[Page]:
        config = self._config
        since = None
        if config.cursor_field is not None:
            since = Since(self._where, config.cursor_field, True, place.value, dict.fromkeys(place.seen))
        url = self._secret(config.database).replace("postgresql+psycopg2://", "postgresql://", 1)
        connection = psycopg2.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            application_name="khaywe",
            options=f"-c statement_timeout={int(config.timeout * 1000)} -c timezone=UTC",
        )
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor("khaywe") as rows:
                rows.itersize = config.page
                rows.execute(*self._query(place.value))
                while found := rows.fetchmany(config.page):
                    names = self._names(rows.description)
                    records = [_plain(names, row) for row in found]
                    if since is None:
                        yield Page(records, "{}")
                        continue
                    records = since.fresh(records)
                    if records:
                        yield Page(
                            records, msgspec.json.encode(_Place(since.value, list(since.seen))).decode()
                        )
        finally:
            connection.close()

    def _query(self, value: Any) -> tuple[sql.Composable, tuple[Any, ...]]:
        query = sql.SQL("select * from ({}\n) as q").format(sql.SQL(self._config.query.replace("%", "%%")))
        if self._config.cursor_field is None:
            return query, ()
        column = sql.Identifier(self._config.cursor_field)
        first = value if value is not None else self._config.cursor_start
        if first is None:
            where = sql.SQL(" where {} is not null").format(column)
        else:
            where = sql.SQL(" where {} >= %s").format(column)
        # As text: PostgreSQL reads it as what the column is.
        values = () if first is None else (str(first),)
        return query + where + sql.SQL(" order by {}").format(column), values

    def _names(self, description: Any) -> list[str]:
        names = [column.name for column in description]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConnectorError(f"{self._where} has two columns {twice!r}", hint="give them names with AS")
        return names


def _plain(names: Sequence[str], row: Sequence[Any]) -> Record:
    """A row as JSON has it: times are ISO 8601, decimals keep every digit."""
    values = {name: bytes(v) if isinstance(v, memoryview) else v for name, v in zip(names, row, strict=True)}
    record: Record = decode(encode(values))
    return record


def _read(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place()
    try:
        return msgspec.json.decode(cursor.encode(), type=_Place)
    except ValueError as error:
        raise ConnectorError(f"the cursor kept is none of a query: {error}") from None
