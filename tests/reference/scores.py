"""The five behaviour scores of the reference: each component's measure and points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.reference.customer import Customer
from tests.reference.model import week

# Scores and their components, in the order of the design.
SCORES = {
    "engagement": ("calls", "data", "app", "sms", "recency"),
    "revenue": ("total", "recent_recharges", "arpu", "lifetime_value"),
    "loyalty": ("tenure", "transactions", "consistency", "on_time_payments"),
    "risk": ("churn_probability", "inactivity", "revenue_decline"),
    "digital": ("app_logins", "feature_use", "content_views", "web_logins"),
}


def measures(c: Customer, decimals: int, day: Callable[[int], int]) -> dict[str, float]:
    """Component -> measure, of a row as of its `as_of`.  `day`: ms -> local day."""
    currency = float(10**decimals)
    last_month = c.window("revenue", 30)
    month_before = c.window("revenue", 60) - last_month
    since = c.activation or c.first_event
    known = c.life["payments_known"]
    recent_weeks = [w for w in c.weeks if w > week(c.day) - 12]
    return {
        "calls": float(c.window("calls", 30)),
        "data": float(c.window("data_kb", 30)) / 1024.0,
        "app": float(
            sum(c.window(ring, 30) for ring in ("app_login", "feature_use", "content_view", "app_other"))
        ),
        "sms": float(c.window("sms", 30)),
        "recency": float(max(0, 30 - (c.day - day(c.last_activity)))) if c.last_activity else 0.0,
        "total": float(c.life["revenue"]) / currency,
        "recent_recharges": float(c.window("recharge", 30)) / currency,
        "arpu": float(c.window("revenue", 90)) / currency / 3.0,
        "lifetime_value": float(c.foretold.get("ltv", c.life["revenue"])) / currency,
        "tenure": float(max(0, c.day - day(since))) if since else 0.0,
        "transactions": float(c.life["transactions"]),
        "consistency": len(recent_weeks) / 12.0,
        "on_time_payments": float(c.life["payments_on_time"]) / float(known) if known else 0.0,
        "churn_probability": float(c.foretold.get("churn", 0)) / 10_000.0,
        "inactivity": float(max(0, c.day - day(c.last_transaction))) if c.last_transaction else 0.0,
        "revenue_decline": float(month_before - last_month) / float(month_before)
        if month_before > 0
        else 0.0,
        "app_logins": float(c.window("app_login", 30)),
        "feature_use": float(c.window("feature_use", 30)),
        "content_views": float(c.window("content_view", 30)),
        "web_logins": float(c.window("web_login", 30)),
    }


def components(
    c: Customer, policy: Any, decimals: int, day: Callable[[int], int]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Score -> component -> (measure, points)."""
    measured = measures(c, decimals, day)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for score, names in SCORES.items():
        found[score] = {}
        for name in names:
            part = policy.scores[score][name]
            share = min(max(measured[name] / float(part.full_at), 0.0), 1.0)
            found[score][name] = measured[name], float(part.weight) * share
    return found


def hundredths(parts: dict[str, dict[str, tuple[float, float]]]) -> list[int]:
    """The five scores in hundredths: the sum of the points from left to right, rounded half-even."""
    scores = []
    for score in SCORES:
        total = 0.0
        for _, points in parts[score].values():
            total += points
        scores.append(round(total * 100.0))
    return scores
