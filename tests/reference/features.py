"""The features of a customer: what conditions, targets and "why" speak about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from tests.reference.customer import ACTIVE_DAYS, Customer
from tests.reference.model import EPOCH_DATE, NO, UNIT_OF, WORDS, YES, birthday, date_of, week, word_hash
from tests.reference.scores import SCORES, measures

RINGS_30 = {
    "calls_30_days": "calls", "seconds_30_days": "seconds", "data_mb_30_days": "data_kb",
    "sms_30_days": "sms", "app_login_30_days": "app_login", "feature_use_30_days": "feature_use",
    "content_view_30_days": "content_view", "web_login_30_days": "web_login",
    "app_other_30_days": "app_other", "qoe_30_days": "qoe", "recharge_30_days": "recharge",
    "revenue_30_days": "revenue",
}  # fmt: skip
APP_RINGS = ("app_login", "feature_use", "content_view", "app_other")
LIFETIME = {
    "calls_lifetime": "calls", "seconds_lifetime": "seconds", "data_mb_lifetime": "data_kb",
    "sms_lifetime": "sms", "app_events_lifetime": "app_events", "web_logins_lifetime": "web_logins",
    "qoe_lifetime": "qoe", "complaints_lifetime": "complaints", "referrals_lifetime": "referrals",
    "transactions_lifetime": "transactions", "payments_known_lifetime": "payments_known",
    "payments_on_time_lifetime": "payments_on_time", "revenue_lifetime": "revenue",
    "recharge_lifetime": "recharge",
}  # fmt: skip


def features(
    c: Customer, scores: list[int], decimals: int, day: Callable[[int], int]
) -> dict[str, float | None]:
    """Name -> value, None where unknown; words are their hashes.  `day`: ms -> local day."""
    measured = measures(c, decimals, day)
    units = {"data_kb": 1024.0, "recharge": float(10**decimals), "revenue": float(10**decimals)}
    found: dict[str, float | None] = {}
    for name, score in zip(SCORES, scores, strict=True):
        found[name] = float(score) / 100.0
    for name, ring in RINGS_30.items():
        found[name] = float(c.window(ring, 30)) / units.get(ring, 1.0)
    found["revenue_90_days"] = float(c.window("revenue", 90)) / units["revenue"]
    found["app_events_30_days"] = float(sum(c.window(ring, 30) for ring in APP_RINGS))
    for name, figure in LIFETIME.items():
        found[name] = float(c.life[figure]) / units.get(figure, 1.0)
    for event_type in UNIT_OF:
        found[f"{event_type}_count"] = float(c.types.get(event_type, 0))

    since = c.activation or c.first_event
    found["tenure_days"] = float(max(0, c.day - day(since))) if since else None
    for name, last in (("activity", c.last_activity), ("transaction", c.last_transaction)):
        found[f"days_since_last_{name}"] = float(max(0, c.day - day(last))) if last else None
    for days in (30, 90):
        found[f"active_days_{days}"] = float(sum(c.day - days < each <= c.day for each in c.active_days))
    found["active_streak_days"] = float(streak(c))
    found["active_weeks_12"] = float(sum(week(c.day) - 12 < each <= week(c.day) for each in c.weeks))
    found["arpu"] = measured["arpu"]
    found["revenue_decline"] = measured["revenue_decline"]
    found["on_time_share"] = measured["on_time_payments"] if c.life["payments_known"] else None
    found["churn_probability"] = _foretold(c, "churn", 10_000.0)
    found["comebacks"] = float(c.comebacks)
    found["longest_absence_days"] = float(c.longest_absence)
    found["days_to_anniversary"] = _to_anniversary(c, day)
    found["days_to_birthday"] = _to_birthday(c)
    for name in WORDS:
        found[name] = float(word_hash(c.profile.get(name))) or None
    found["consent"] = {None: None, True: 1.0, False: 0.0}[c.profile.get("consent")]
    found["opted_in"] = {YES: 1.0, NO: 0.0}.get(c.opted)
    found["points_balance"] = float(c.balance)
    found["points_earned_this_year"] = float(c.year_points)
    found["points_earned_lifetime"] = float(c.points_earned)
    found["tier"] = float(c.tier)
    found["missions_completed"] = float(c.missions_completed)
    found["missions_active"] = float(sum(mission is not None for mission in c.missions))
    found["badges_held"] = float(len(c.badges))
    found["predicted_ltv"] = _foretold(c, "ltv", float(10**decimals))
    found["purchase_propensity"] = _foretold(c, "propensity", 10_000.0)
    found["campaign_response"] = _foretold(c, "response", 10_000.0)
    found["default_risk"] = _foretold(c, "default_risk", 10_000.0)
    found["upsell_propensity"] = _foretold(c, "upsell", 10_000.0)
    found["predicted_active_days"] = _foretold(c, "engagement", 100.0)
    found["rfm_score"] = _foretold(c, "rfm", 1.0)
    found["next_best_offer"] = _foretold(c, "offer", 1.0)
    return found


def _foretold(c: Customer, name: str, units: float) -> float | None:
    return float(c.foretold[name]) / units if name in c.foretold else None


def seen(name: str, value: float | None, c: Customer) -> Any:
    """A feature as a decision shows it: words as words, yes/no as booleans."""
    if name in WORDS:
        return c.profile.get(name)
    if name in ("consent", "opted_in") and value is not None:
        return value == 1.0
    return value


def streak(c: Customer) -> int:
    """Days with activity in a row, up to the row's day or the one before it."""
    last = c.day if c.day in c.active_days else c.day - 1
    days = 0
    while last - days in c.active_days and days < ACTIVE_DAYS:
        days += 1
    return days


def _to_anniversary(c: Customer, day: Callable[[int], int]) -> float | None:
    if not c.activation:
        return None
    first = date_of(day(c.activation))
    year = max(first.year + 1, date_of(c.day).year)
    return _days_to_next(c.day, year, first.month, first.day)


def _to_birthday(c: Customer) -> float | None:
    born = birthday(c.profile.get("birthday"))
    if not born:
        return None
    return _days_to_next(c.day, date_of(c.day).year, born // 100, born % 100)


def _days_to_next(today: int, year: int, month: int, day: int) -> float:
    """Days to the first such date from `year` on that is not before today."""
    there = _day_of(year, month, day)
    return float((there if there >= today else _day_of(year + 1, month, day)) - today)


def _day_of(year: int, month: int, day: int) -> int:
    """Number of a date; a day that the month has not is the first of the next month."""
    try:
        return (date(year, month, day) - EPOCH_DATE).days
    except ValueError:
        return (date(year, month + 1, 1) - EPOCH_DATE).days
