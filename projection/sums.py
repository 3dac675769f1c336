"""Sums over everybody: programme figures by day, what is owed, leaderboards, what campaigns brought."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import case, distinct, func, select

from projection import schema
from projection.queries import _all, _between

#: Of the normal distribution: 95 in 100 lie between plus and minus this.
Z95 = 1.959963984540054
LEADERS = ("points", "balance", "badges", "missions", *schema.SCORES)


def programme(db: Any, *, since: date | None = None, until: date | None = None) -> list[dict[str, Any]]:
    """What happened by day: `day`, `measure`, `number`, `detail`, `value`; see docs/projection.md."""
    c = schema.figures.c
    found = _all(
        db,
        select(c.day, c.measure, c.number, c.detail, func.sum(c.value).label("value"))
        .where(_between(c.day, since, until))
        .group_by(c.day, c.measure, c.number, c.detail)
        .order_by(c.day, c.measure, c.number, c.detail),
    )
    return [each | {"value": int(each["value"])} for each in found]


def programme_totals(
    db: Any, *, since: date | None = None, until: date | None = None
) -> dict[str, dict[str, int]]:
    """The same summed up: measure -> detail -> value."""
    c = schema.figures.c
    totals: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for measure, detail, value in db.execute(
        select(c.measure, c.detail, func.sum(c.value))
        .where(_between(c.day, since, until))
        .group_by(c.measure, c.detail)
    ):
        totals[measure][detail] = int(value)
    return dict(totals)


def owed_by_day(db: Any, *, since: date | None = None, until: date | None = None) -> list[dict[str, Any]]:
    """By day on which points moved: granted, redeemed, expired (as positive numbers), and owed after it."""
    c = schema.figures.c

    def of(*kinds: str) -> Any:
        return func.coalesce(func.sum(c.value).filter(c.detail.in_(kinds)), 0)

    days = (
        select(
            c.day,
            of("points").label("granted"),
            (-of("redeemed")).label("redeemed"),
            (-of("expired")).label("expired"),
            func.sum(func.sum(c.value)).over(order_by=c.day).label("owed"),
        )
        .where(c.measure == "points")
        .group_by(c.day)
        .subquery()
    )
    found = _all(db, select(days).where(_between(days.c.day, since, until)).order_by(days.c.day))
    return [{name: value if name == "day" else int(value) for name, value in each.items()} for each in found]


def liability(db: Any) -> dict[str, int]:
    """Points owed to customers now, what customers owe after reversals (`debts`), how many are owed some."""
    b, k = schema.balances.c, schema.customers.c
    live = select(b.balance).outerjoin(schema.customers, k.customer_id == b.customer_id).where(
        func.coalesce(k.state, "open") == "open"
    ).subquery()  # fmt: skip
    owed, debts, customers = db.execute(
        select(
            func.coalesce(func.sum(live.c.balance).filter(live.c.balance > 0), 0),
            func.coalesce(-func.sum(live.c.balance).filter(live.c.balance < 0), 0),
            func.count().filter(live.c.balance > 0),
        )
    ).one()
    return {"owed": int(owed), "debts": int(debts), "customers": int(customers)}


def leaderboard(db: Any, by: str = "points", limit: int = 100) -> list[dict[str, Any]]:
    """The first of everybody, `by` one of LEADERS: `rank` (equal values share one), `customer_id`, `value`.

    Raises ValueError for another `by`.
    """
    if by == "points":
        c = schema.ledger.c
        value: Any = func.sum(c.points)
        statement = (
            select(c.customer_id, value.label("value")).where(c.kind == "points").group_by(c.customer_id)
        )
    elif by == "balance":
        statement = select(schema.balances.c.customer_id, schema.balances.c.balance.label("value"))
    elif by == "badges":
        c = schema.badges.c
        value = func.count(distinct(c.number * 4 + c.level))
        statement = select(c.customer_id, value.label("value")).group_by(c.customer_id)
    elif by == "missions":
        c = schema.missions.c
        statement = (
            select(c.customer_id, func.count().label("value"))
            .where(c.status == "completed")
            .group_by(c.customer_id)
        )
    elif by in schema.SCORES:
        statement = select(schema.scores.c.customer_id, schema.scores.c[by].label("value"))
    else:
        raise ValueError(f"a leaderboard is by {', '.join(LEADERS)}")
    held = statement.subquery()
    k = schema.customers.c
    rank = func.rank().over(order_by=held.c.value.desc())
    found = _all(
        db,
        select(rank.label("rank"), held.c.customer_id, held.c.value)
        .outerjoin(schema.customers, k.customer_id == held.c.customer_id)
        .where(func.coalesce(k.state, "open") == "open")
        .order_by(held.c.value.desc(), held.c.customer_id)
        .limit(limit),
    )
    whole = by not in schema.SCORES
    return [each | {"value": int(each["value"]) if whole else each["value"]} for each in found]


def campaign_figures(
    db: Any, campaign: int, *, since: date | None = None, until: date | None = None
) -> dict[str, Any]:
    """What came of a campaign's triggers of those days: by `arms`, and the `uplift` of conversion.

    An arm has triggered, delivered, converted, cost (minor units) and rate (share of triggered, None without
    any).  Uplift is the difference of the rates, treatment less control, with the bounds `low` and `high` of
    its 95 % interval (Newcombe's hybrid score interval, 1998, method 10); None without both arms.
    """
    c = schema.triggers.c
    found = db.execute(
        select(
            c.arm,
            func.count().label("triggered"),
            func.count(c.delivered_at).label("delivered"),
            func.count(c.converted_at).label("converted"),
            func.coalesce(func.sum(case((c.cost.is_(None), 0), else_=c.cost)), 0).label("cost"),
        )
        .where(c.campaign == campaign, c.triggered_at.is_not(None), _between(c.day, since, until))
        .group_by(c.arm)
    ).mappings()
    nothing = {"triggered": 0, "delivered": 0, "converted": 0, "cost": 0, "rate": None}
    arms: dict[str, dict[str, Any]] = {"treatment": dict(nothing), "control": dict(nothing)}
    for each in found:
        arm = {name: int(each[name]) for name in ("triggered", "delivered", "converted", "cost")}
        arms[each["arm"]] = arm | {"rate": arm["converted"] / arm["triggered"]}
    return {"campaign": campaign, "arms": arms, "uplift": uplift(arms["treatment"], arms["control"])}


def uplift(treatment: dict[str, Any], control: dict[str, Any]) -> dict[str, float] | None:
    """Difference of two rates with its 95 % interval; None where one arm is empty."""
    if not treatment["triggered"] or not control["triggered"]:
        return None
    (p, low, high), (q, least, most) = _wilson(treatment), _wilson(control)
    value = p - q
    return {
        "value": value,
        "low": value - math.hypot(p - low, most - q),
        "high": value + math.hypot(high - p, q - least),
    }


def _wilson(arm: dict[str, Any]) -> tuple[float, float, float]:
    """A rate and the bounds of its score interval (Wilson, 1927)."""
    n, rate = arm["triggered"], arm["converted"] / arm["triggered"]
    middle = rate + Z95**2 / (2 * n)
    spread = Z95 * math.sqrt(rate * (1 - rate) / n + Z95**2 / (4 * n * n))
    whole = 1 + Z95**2 / n
    return rate, (middle - spread) / whole, (middle + spread) / whole
