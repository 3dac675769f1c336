"""The first rows of a projection, in the transaction that makes it: the erased, and what snapshots tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg2.extras import execute_values

from loyalty.times import iso
from projection import schema

_P = schema.NAME
#: Rows of one statement.
PAGE = 2_000

#: Tables that a snapshot's row goes to, with the columns that are given.
SEEDED = {
    "customers": (
        "customer_id", "hash", "state", "opened_at", "first_seen", "last_seen", "recent", "partition",
        "recorded_at",
    ),
    "missions": (
        "mission_id", "customer_id", "number", "name", "category", "status", "reason", "progress", "target",
        "tenths", "started_at", "ends_at", "changed_at", "day", "revision", "partition", "recorded_at",
    ),
    "badges": (
        "customer_id", "occurred_at", "effect_id", "day", "revision", "cause_source", "cause_event",
        "partition", "recorded_at", "log_offset", "number", "name", "level", "level_name", "reason",
    ),
    "tiers": ("customer_id", "level", "name", "since", "partition", "recorded_at"),
    "balances": ("customer_id", "balance", "as_of", "partition", "recorded_at"),
}  # fmt: skip


def erased(cursor: Any, found: Iterable[tuple[bytes, int]]) -> None:
    """Whoever is erased: hash, and when that was recorded (ms)."""
    execute_values(
        cursor,
        f"insert into {_P}.erased (hash, recorded_at, number) values %s",
        [(hash_, iso(recorded)) for hash_, recorded in found],
        template=f"(%s, %s, nextval('{_P}.erased_number'))",
        page_size=PAGE,
    )


def closed(cursor: Any, hashes: Iterable[bytes]) -> None:
    """Whoever may have been erased before the log begins, in partitions whose log was cut."""
    execute_values(
        cursor,
        f"insert into {_P}.closed (hash, partition) values %s",
        [(hash_, schema.EVERY) for hash_ in hashes],
        page_size=PAGE,
    )


def rows(cursor: Any, table: str, values: Sequence[tuple[object, ...]]) -> None:
    """Rows of one of the tables `SEEDED`."""
    if values:
        columns = ", ".join(SEEDED[table])
        execute_values(cursor, f"insert into {_P}.{table} ({columns}) values %s", values, page_size=PAGE)
