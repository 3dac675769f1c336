"""The features that conditions, personal targets and "why" speak about: names, units, windows.

Their values are computed in `loyalty.features`, in this order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from loyalty.conditions import Kind
from loyalty.events import CODES, SOURCE_TYPES, UNITS

_N, _W, _F = Kind.NUMBER, Kind.WORD, Kind.FLAG


class Feature(NamedTuple):
    """A measure of a customer."""

    name: str
    kind: Kind
    unit: str
    window_days: int  # 0: none
    description: str


def _window(name: str) -> int:
    found = re.search(r"_(\d+)_days$", name)
    return int(found[1]) if found else 0


def _all() -> list[Feature]:
    counters = {
        "calls": ("calls", "calls, roaming included"),
        "seconds": ("seconds", "time in calls"),
        "data_mb": ("MB", "data, roaming included"),
        "sms": ("messages", "SMS"),
        "app_login": ("events", "logins to the app"),
        "feature_use": ("events", "features of the app used"),
        "content_view": ("events", "content viewed"),
        "web_login": ("events", "logins to the web"),
        "app_other": ("events", "app installed, something shared, self-care"),
        "qoe": ("events", "network faults noticed"),
        "recharge": ("currency", "recharged"),
        "revenue": ("currency", "revenue, less refunds"),
    }
    found = [
        Feature(name, _N, "points", 0, f"the {name} score, 0 to 100")
        for name in ("engagement", "revenue", "loyalty", "risk", "digital")
    ]
    for name, (unit, text) in counters.items():
        found.append(Feature(f"{name}_30_days", _N, unit, 30, text))
    found.append(Feature("revenue_90_days", _N, "currency", 90, "revenue, less refunds"))
    found.append(Feature("app_events_30_days", _N, "events", 30, "all that was done in the app"))
    for name, unit, text in (
        ("calls", "calls", "calls"),
        ("seconds", "seconds", "time in calls"),
        ("data_mb", "MB", "data"),
        ("sms", "messages", "SMS"),
        ("app_events", "events", "all that was done in the app"),
        ("web_logins", "events", "logins to the web"),
        ("qoe", "events", "network faults noticed"),
        ("complaints", "events", "complaints"),
        ("referrals", "events", "customers brought"),
        ("transactions", "events", "transactions"),
        ("payments_known", "payments", "payments known to be on time or late"),
        ("payments_on_time", "payments", "payments on time"),
        ("revenue", "currency", "revenue, less refunds"),
        ("recharge", "currency", "recharged"),
    ):
        found.append(Feature(f"{name}_lifetime", _N, unit, 0, f"{text}, ever"))
    for event_type in sorted(SOURCE_TYPES, key=CODES.__getitem__):
        what = f"`{event_type}` events ever ({UNITS[event_type].value} each)"
        found.append(Feature(f"{event_type}_count", _N, "events", 0, what))
    for name, kind, unit, text in (
        ("tenure_days", _N, "days", "since the activation, else the first event"),
        ("days_since_last_activity", _N, "days", "unknown if there never was one"),
        ("days_since_last_transaction", _N, "days", "unknown if there never was one"),
        ("active_days_30", _N, "days", "days with activity among the last 30"),
        ("active_days_90", _N, "days", "days with activity among the last 90"),
        ("active_streak_days", _N, "days", "days in a row with activity, up to today or yesterday"),
        ("active_weeks_12", _N, "weeks", "weeks with activity among the last 12"),
        ("arpu", _N, "currency", "revenue a month, over 90 days"),
        ("revenue_decline", _N, "share", "fall of revenue, last 30 days against the 30 before"),
        ("on_time_share", _N, "share", "payments on time; unknown if none is known"),
        ("churn_probability", _N, "share", "of the churn model; unknown without one"),
        ("comebacks", _N, "times", "returns after 30 days or more without activity"),
        ("longest_absence_days", _N, "days", "the longest of those absences"),
        ("days_to_anniversary", _N, "days", "to the next anniversary of the activation, 0 today"),
        ("days_to_birthday", _N, "days", "to the next birthday, 0 today"),
        ("segment", _W, "word", "of the profile"),
        ("lifecycle_stage", _W, "word", "of the profile"),
        ("language", _W, "word", "of the profile"),
        ("timezone", _W, "word", "of the profile"),
        ("tariff", _W, "word", "of the profile"),
        ("consent", _F, "yes/no", "of the profile"),
        ("opted_in", _F, "yes/no", "whether the customer wants to take part"),
        ("points_balance", _N, "points", "that can be spent"),
        ("points_earned_this_year", _N, "points", "in the calendar year"),
        ("points_earned_lifetime", _N, "points", "ever"),
        ("tier", _N, "index", "0 is the lowest"),
        ("missions_completed", _N, "missions", "ever"),
        ("missions_active", _N, "missions", "now"),
        ("badges_held", _N, "levels", "of all badges"),
    ):
        found.append(Feature(name, kind, unit, 0, text))
    return found


FEATURES: tuple[Feature, ...] = tuple(_all())
INDEX: dict[str, int] = {feature.name: n for n, feature in enumerate(FEATURES)}
KINDS: dict[str, Kind] = {feature.name: feature.kind for feature in FEATURES}
