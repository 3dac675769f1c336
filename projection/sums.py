"""Sums over everybody: programme figures by day, what is owed, leaderboards, what campaigns brought."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, distinct, func, select, true

from projection import schema
from projection.queries import _all, _between

#: Of the normal distribution: 95 in 100 lie between plus and minus this.
Z95 = 1.959963984540054
LEADERS = ("points", "balance", "badges", "missions", *schema.SCORES)
#: Of these it is known when they came, so that a season can be asked for.
BY_DAY = ("points", "badges", "missions")


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


def leaderboard(
    db: Any, by: str = "points", limit: int = 100, *, since: date | None = None, until: date | None = None,
    without: Select[Any] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The first of everybody, `by` one of LEADERS: `rank` (equal values share one), `customer_id`, `value`.

    `since`, `until`: only what came on these days, of BY_DAY.  `without`: hashes of customers who are not
    listed.  Raises ValueError for another `by`, or for days where they cannot be known.
    """
    season = since is not None or until is not None
    if season and by not in BY_DAY:
        raise ValueError(f"a season is known of {', '.join(BY_DAY)}")
    if by == "points":
        c = schema.ledger.c
        value: Any = func.sum(c.points)
        statement = (
            select(c.customer_id, value.label("value"))
            .where(c.kind == "points", _between(c.day, since, until))
            .group_by(c.customer_id)
        )
    elif by == "balance":
        statement = select(schema.balances.c.customer_id, schema.balances.c.balance.label("value"))
    elif by == "badges":
        c = schema.badges.c
        value = func.count(distinct(c.number * 4 + c.level))
        statement = select(c.customer_id, value.label("value")).where(_between(c.day, since, until))
        if season:  # of what only a snapshot tells nobody knows the day
            statement = statement.where(c.reason != "snapshot")
        statement = statement.group_by(c.customer_id)
    elif by == "missions":
        # A mission is one row of `missions`, and one for each thing told of it in the history.
        c = (schema.mission_history if season else schema.missions).c
        value = func.count(distinct(c.mission_id)) if season else func.count()
        statement = (
            select(c.customer_id, value.label("value"))
            .where(c.status == "completed", _between(c.day, since, until) if season else true())
            .group_by(c.customer_id)
        )
    elif by in schema.SCORES:
        statement = select(schema.scores.c.customer_id, schema.scores.c[by].label("value"))
    else:
        raise ValueError(f"a leaderboard is by {', '.join(LEADERS)}")
    held = statement.subquery()
    k = schema.customers.c
    mine = select(k.customer_id).where(k.customer_id == held.c.customer_id)
    nobody: ColumnElement[bool] = mine.where(k.state != "open").exists()
    if without is not None:
        nobody = nobody | mine.where(k.hash.in_(without)).exists()
    # Ranks of the first are those among the first: nobody else has to be put in order.
    first = (
        select(held.c.customer_id, held.c.value)
        .where(~nobody)
        .order_by(held.c.value.desc(), held.c.customer_id)
        .limit(limit)
        .subquery()
    )
    rank = func.rank().over(order_by=first.c.value.desc())
    found = _all(
        db,
        select(rank.label("rank"), first.c.customer_id, first.c.value).order_by(
            first.c.value.desc(), first.c.customer_id
        ),
    )
    whole = by not in schema.SCORES
    return [each | {"value": int(each["value"]) if whole else each["value"]} for each in found]


def campaign_figures(
    db: Any, campaign: int, *, since: date | None = None, until: date | None = None
) -> dict[str, Any]:
    """What came of a campaign's triggers of those days: by `arms`, the `uplift` of conversion, and `by_day`.

    An arm has triggered, delivered, converted, converted_by (`event`, `answer`), cost (minor units) and rate
    (converted of triggered, None without any); `by_day` has the same counts with `day` and `arm`.  All of
    them belong to the day of the trigger, so that days sum up to arms.  `uplift` is that of `uplift()`.
    """
    c = schema.triggers.c
    found = _all(
        db,
        select(
            c.day,
            c.arm,
            func.count().label("triggered"),
            func.count(c.delivered_at).label("delivered"),
            func.count(c.converted_at).label("converted"),
            func.count().filter(c.converted_by == "event").label("event"),
            func.count().filter(c.converted_by == "answer").label("answer"),
            func.coalesce(func.sum(c.cost), 0).label("cost"),
        )
        .where(c.campaign == campaign, c.triggered_at.is_not(None), _between(c.day, since, until))
        .group_by(c.day, c.arm)
        .order_by(c.day, c.arm.desc()),
    )
    days = [_counts(each) for each in found]
    arms: dict[str, dict[str, Any]] = {}
    for arm in ("treatment", "control"):
        own = [day for day in days if day["arm"] == arm]
        sums = {name: sum(day[name] for day in own) for name in ("triggered", "delivered", "converted")}
        by = {name: sum(day["converted_by"][name] for day in own) for name in ("event", "answer")}
        rate = sums["converted"] / sums["triggered"] if own else None
        arms[arm] = {**sums, "converted_by": by, "cost": sum(day["cost"] for day in own), "rate": rate}
    return {
        "campaign": campaign,
        "arms": arms,
        "uplift": uplift(arms["treatment"], arms["control"]),
        "by_day": days,
    }


def _counts(found: dict[str, Any]) -> dict[str, Any]:
    """A day and arm of a campaign."""
    return {
        **{name: found[name] for name in ("day", "arm", "triggered", "delivered", "converted")},
        "converted_by": {"event": found["event"], "answer": found["answer"]},
        "cost": int(found["cost"]),
    }


def uplift(treatment: dict[str, Any], control: dict[str, Any]) -> dict[str, float] | None:
    """The difference of two conversion rates, treatment less control; None where one arm is empty.

    `low` and `high` bound its 95 % interval: the hybrid score interval without continuity correction,
    method 10 of R. G. Newcombe, Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17 (1998), 873-890.
    """
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
    """A rate and the bounds of its score interval (E. B. Wilson, 1927)."""
    n, rate = arm["triggered"], arm["converted"] / arm["triggered"]
    middle = rate + Z95**2 / (2 * n)
    spread = Z95 * math.sqrt(rate * (1 - rate) / n + Z95**2 / (4 * n * n))
    whole = 1 + Z95**2 / n
    return rate, (middle - spread) / whole, (middle + spread) / whole
