"""Pages by cursor: `limit` and `cursor` in, `items` and `next` out; a cursor says where a page begins."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from web.api.problems import Problem

MOST = 500
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most items of a page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before.")]


class Page(BaseModel):
    """A page of a list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [], "next": None}]})

    items: list[dict[str, Any]]
    next: str | None = None


def encode(place: Any) -> str:
    """A cursor that says a place."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def decode(cursor: str | None, kind: type[T]) -> T | None:
    """The place that a cursor says; None without one.  Raises Problem."""
    if cursor is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        found = None
    if type(found) is not kind or (isinstance(found, int) and not -(2**63) <= found < 2**63):
        raise Problem(422, "cursor: is none of ours", [("cursor", "is none of ours: take `next` of a page")])
    return found


def page(
    rows: Sequence[Any], limit: int, place: Callable[[Any], Any], plain: Callable[[Any], dict[str, Any]]
) -> Page:
    """A page of rows, of which one more than `limit` was asked for."""
    shown = rows[:limit]
    return Page(
        items=[plain(row) for row in shown],
        next=encode(place(shown[-1])) if len(rows) > limit else None,
    )


def of_list(
    items: Sequence[dict[str, Any]], key: str, limit: int, cursor: str | None, kind: type[Any] = int
) -> Page:
    """A page of a list that is there whole, sorted by `key`."""
    after = decode(cursor, kind)
    left = [each for each in items if after is None or each[key] > after]
    return page(left[: limit + 1], limit, lambda each: each[key], lambda each: each)
