"""Rows on their way into the tables: lines of COPY into temporary tables, from there one statement a table.

A table takes rows in one of three ways: `NEW` keeps what is there under the key, `SET` replaces it, `ADD`
adds to its numbers.  What is new in a history also moves the figures of its day, in the same statement.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from loyalty.events import MONEY
from projection import schema

NULL = "\\N"
NEW, SET, ADD = "new", "set", "add"

# PostgreSQL's text has no character 0; the others would end a field or a line.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})


def plain(value: str) -> str:
    """Text as a field of a line."""
    return value.translate(_ESCAPES)


def json(raw: bytes | memoryview) -> str:
    """JSON as a field of a line."""
    return bytes(raw).decode().translate(_ESCAPES)


@dataclass(frozen=True, slots=True)
class Target:
    """A table and how rows get into it.

    `figures` is a query of (day, partition, measure, number, detail, value) over `new`: the rows that were
    not there before, and those of the erased, who still count among everybody.
    """

    table: Table
    how: str
    figures: str = ""
    #: Columns that keep what is there where a new row has nothing.
    kept: frozenset[str] = frozenset()

    @property
    def columns(self) -> list[str]:
        """In the order of a line."""
        return [column.name for column in self.table.columns]

    @property
    def key(self) -> list[str]:
        """Of the primary key."""
        return [column.name for column in self.table.primary_key]

    @property
    def stage(self) -> str:
        """Name of the temporary table."""
        return f"stage_{self.table.name}"

    def statements(self) -> tuple[str, str]:
        """Make the temporary table; merge it."""
        names = [f'"{name}"' for name in self.columns]
        columns, key = ", ".join(names), ", ".join(f'"{name}"' for name in self.key)
        into = f"{schema.NAME}.{self.table.name}"
        gone = ", false as gone" if self.figures else ""
        make = (
            f"create temporary table if not exists {self.stage} on commit delete rows as "
            f"select {columns}{gone} from {into} with no data"
        )
        insert = f"insert into {into} as old ({columns}) select {columns} from {self.stage}"
        if self.how == NEW:
            conflict = f"on conflict ({key}) do nothing"
        else:
            sets = ", ".join(self._set(name) for name in self.columns if name not in self.key)
            conflict = f"on conflict ({key}) do update set {sets}"
        if not self.figures:
            return make, f"{insert} {conflict}"
        merge = (
            f"with fresh as ({insert} where not gone {conflict} returning {columns}), "
            f"new as (select * from fresh union all select {columns} from {self.stage} where gone) "
            f"insert into {schema.NAME}.figures as old (day, partition, measure, number, detail, value) "
            f"select day, partition, measure, number, detail, sum(value) from ({self.figures}) as counted "
            "group by 1, 2, 3, 4, 5 on conflict (day, partition, measure, number, detail) "
            "do update set value = old.value + excluded.value"
        )
        return make, merge

    def _set(self, name: str) -> str:
        if self.how == ADD and name != "partition":
            return f'"{name}" = old."{name}" + excluded."{name}"'
        if name in self.kept:
            return f'"{name}" = coalesce(excluded."{name}", old."{name}")'
        return f'"{name}" = excluded."{name}"'


_COUNT = "select day, partition, {} as measure, {} as number, {} as detail, {} as value from new"
#: In the order in which they are merged.
TARGETS = (
    Target(schema.scores, SET),
    Target(schema.score_history, SET),
    Target(schema.missions, SET),
    Target(
        schema.mission_history, NEW,
        _COUNT.format("'missions'", "number", "status", "1") + " where status <> 'progress'",
    ),
    Target(schema.badges, NEW, _COUNT.format("'badges'", "number", "level_name", "1")),
    Target(schema.tiers, SET),
    Target(schema.tier_history, NEW, _COUNT.format("'tiers'", "level", "reason", "1")),
    Target(
        schema.ledger, NEW,
        _COUNT.format("'points'", "0", "kind", "points") + " where kind <> 'offer' and points <> 0 union all "
        + _COUNT.format("'grants'", "offer", "case when repeat > 0 then 'repeat' else kind end", "1")
        + " where offer >= 0",
    ),
    Target(schema.balances, SET),
    Target(schema.predictions, SET),
    Target(
        schema.decisions, NEW,
        _COUNT.format("'control'", "0", "kind || ':' || decision", "1") + " where control",
    ),
    Target(
        schema.trigger_history, NEW,
        _COUNT.format("'campaigns'", "campaign", "status || ':' || arm", "1") + " union all "
        + _COUNT.format("'cost'", "campaign", "''", "cost") + " where cost <> 0",
    ),
    Target(
        schema.triggers, SET,
        kept=frozenset({
            "cost", "triggered_at", "delivered_at", "converted_at", "converted_by", "body", "day",
        }),
    ),
    Target(schema.customers, SET),
    Target(
        schema.events, NEW,
        _COUNT.format("'events'", "0", "event_type", "1") + " union all "
        + _COUNT.format("'amount'", "0", "event_type", "units")
        + f" where event_type in ({', '.join(repr(name) for name in sorted(MONEY))}) and units <> 0",
    ),
    Target(schema.answers, NEW),
    Target(schema.usage, ADD),
    Target(schema.figures, ADD),
)  # fmt: skip
_STATEMENTS = {target.table.name: target.statements() for target in TARGETS}
_COLUMNS = {
    target.table.name: ", ".join([f'"{name}"' for name in target.columns] + ["gone"] * bool(target.figures))
    for target in TARGETS
}


@dataclass(slots=True)
class Stage:
    """Lines for each table: `rows` in any number, `last` one for each key."""

    rows: dict[str, list[str]] = field(default_factory=lambda: {target.table.name: [] for target in TARGETS})
    last: dict[str, dict[Any, str]] = field(
        default_factory=lambda: {target.table.name: {} for target in TARGETS}
    )
    _filled: list[str] = field(default_factory=list)

    def copy(self, cursor: Any) -> None:
        """COPY all of it into the temporary tables.  Raises psycopg2.Error."""
        for target in TARGETS:
            name = target.table.name
            lines = [*self.rows[name], *self.last[name].values()]
            if lines:
                self._filled.append(name)
                file = io.StringIO("\n".join([*lines, ""]))
                cursor.copy_expert(f"copy {target.stage} ({_COLUMNS[name]}) from stdin", file)

    def merge(self, cursor: Any) -> None:
        """From there into the tables.  Raises psycopg2.Error."""
        for name in self._filled:
            cursor.execute(_STATEMENTS[name][1])

    def clear(self, cursor: Any) -> None:
        """Take it out of the temporary tables again."""
        for name in self._filled:
            cursor.execute(f"delete from stage_{name}")
            self.rows[name], self.last[name] = [], {}
        self._filled = []


def make_stages(cursor: Any) -> None:
    """Make the temporary tables of a connection."""
    for make, _ in _STATEMENTS.values():
        cursor.execute(make)
