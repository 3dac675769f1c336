"""Pages of a list by cursor: the place of the last row of a page says where the next one begins."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, Select, Uuid, tuple_
from sqlalchemy.types import TypeEngine

MOST = 1_000


class BadCursor(ValueError):
    """A cursor that no page of this list has given."""


class Page(NamedTuple):
    """Rows, and the cursor of the page after them; None: there is none."""

    rows: list[dict[str, Any]]
    next: str | None


def page(
    db: Any, statement: Select[Any], keys: Sequence[Column[Any]], limit: int, cursor: str | None,
    descending: bool = True,
) -> Page:  # fmt: skip
    """A page of a statement that has the columns `keys`, which together are one row's alone.

    Raises BadCursor, ValueError for a limit outside 1 to MOST.
    """
    if not 1 <= limit <= MOST:
        raise ValueError(f"limit is 1 to {MOST}")
    place = tuple_(*keys)
    if cursor is not None:
        after = tuple_(*_decode(cursor, keys))
        statement = statement.where(place < after if descending else place > after)
    order = [key.desc() if descending else key for key in keys]
    found = [row(each) for each in db.execute(statement.order_by(*order).limit(limit + 1)).mappings()]
    shown = found[:limit]
    more = len(found) > limit
    return Page(shown, _encode([shown[-1][key.name] for key in keys]) if more else None)


def row(mapping: Any) -> dict[str, Any]:
    """A row as plain values; ids as the topics have them."""
    return {
        name: value.replace("-", "") if name in IDS and value else value for name, value in mapping.items()
    }


IDS = frozenset({"effect_id", "mission_id", "grant_id", "reverses", "trigger_id"})


def _encode(values: list[Any]) -> str:
    shown = [value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(shown).encode()).decode().rstrip("=")


def _decode(cursor: str, keys: Sequence[Column[Any]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(keys):
            raise ValueError
        return [_value(value, key.type) for value, key in zip(values, keys, strict=True)]
    except (ValueError, TypeError, OverflowError):
        raise BadCursor(f"{cursor!r} is no cursor of this list") from None


def _value(value: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, DateTime):
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return at
    if isinstance(kind, Uuid):
        return str(UUID(value))
    if isinstance(kind, Integer):
        if type(value) is not int or not -(2**63) <= value < 2**63:
            raise ValueError
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value
