"""Sums of the projection that only the console shows: what each mission did, and who holds badges."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import distinct, func, select

from projection import schema


def by_number(db: Any, measure: str) -> list[tuple[int, str, int]]:
    """(number, detail, value) of a measure of docs/projection.md, in all."""
    c = schema.figures.c
    found = db.execute(
        select(c.number, c.detail, func.sum(c.value)).where(c.measure == measure).group_by(c.number, c.detail)
    )
    return [(number, detail, int(value)) for number, detail, value in found]


def by_day(db: Any, measure: str, number: int) -> list[tuple[date, str, int]]:
    """(day, detail, value) of one of its numbers."""
    c = schema.figures.c
    found = db.execute(
        select(c.day, c.detail, func.sum(c.value))
        .where(c.measure == measure, c.number == number)
        .group_by(c.day, c.detail)
        .order_by(c.day)
    )
    return [(day, detail, int(value)) for day, detail, value in found]


def trends(db: Any, since: date) -> list[dict[str, Any]]:
    """What happened by day, of all numbers together: `day`, `measure`, `detail`, `value`; oldest first."""
    c = schema.figures.c
    found = db.execute(
        select(c.day, c.measure, c.detail, func.sum(c.value).label("value"))
        .where(c.day >= since, c.measure.in_(("events", "missions", "badges", "points")))
        .group_by(c.day, c.measure, c.detail)
        .order_by(c.day)
    ).mappings()
    return [each | {"value": int(each["value"])} for each in map(dict, found)]


def holders(db: Any) -> dict[tuple[int, int], int]:
    """How many hold each (badge, level)."""
    c = schema.badges.c
    found = db.execute(
        select(c.number, c.level, func.count(distinct(c.customer_id))).group_by(c.number, c.level)
    )
    return {(number, level): int(count) for number, level, count in found}


def holding(db: Any, number: int, level: int, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Who holds a level, by id, and since when."""
    c = schema.badges.c
    statement = (
        select(c.customer_id, func.min(c.occurred_at).label("since"))
        .where(c.number == number, c.level == level)
        .group_by(c.customer_id)
        .order_by(c.customer_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(c.customer_id > after)
    return [dict(each) for each in db.execute(statement).mappings()]
