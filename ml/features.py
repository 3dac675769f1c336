"""What models see of a customer: one matrix, made from rows, the same for training and for serving.

`FEATURES` says what each column is.  Values are finite: what is unknown, or never was, is -1 where a measure
cannot be negative otherwise, so that no model meets a NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS, calendar
from loyalty.events import CODES
from loyalty.hashing import word_hash
from loyalty.row import QUARTER
from ml.row_features import TYPES, fill

Matrix = NDArray[np.float32]
Rows = NDArray[Any]  # of loyalty.row.ROW

#: Tariffs with a code of their own; any other is a bucket of its hash, so that it is stable too.
TARIFFS = ("prepaid", "postpaid", "hybrid")
TARIFF_BUCKETS = 12
#: Days of tenure, and days with activity, below which nothing can be said of a customer.
LEAST_TENURE, LEAST_ACTIVE_DAYS = 14, 3


@dataclass(frozen=True, slots=True)
class Feature:
    """A column: `about` reads as the begin of a sentence, `window` are the days it looks at."""

    name: str
    unit: str
    window: str
    about: str


def _of(unit: str, window: str, **named: str) -> list[Feature]:
    return [Feature(name, unit, window, about) for name, about in named.items()]


_30, _LIFE = "30 days", "lifetime"
_HALVES, _MONTHS = "15 days against the 15 before", "30 days against the 30 before"
#: The columns, in their order.  A trend is (now - before) / (now + before), 0 where both are.
FEATURES: tuple[Feature, ...] = (
    *_of("calls", _30, calls_30d="Calls"),
    *_of("seconds", _30, seconds_30d="Seconds of calls"),
    *_of("seconds", _30, call_length_30d="Average length of a call"),
    *_of("messages", _30, sms_30d="SMS"),
    *_of("MB", _30, data_mb_30d="Data"),
    *_of("currency", _30, recharge_30d="Recharged amount", revenue_30d="Revenue"),
    *_of("days", _30, recharge_days_30d="Days with a recharge"),
    *_of("currency", "90 days", revenue_90d="Revenue (monetary value of RFM)"),
    *_of("days", "90 days", paying_days_90d="Days with revenue (frequency of RFM)"),
    *_of("currency", "90 days", payment_size_90d="Revenue of a day that has some"),
    *_of(
        "days",
        "now",
        days_since_transaction="Days since the last transaction (recency of RFM)",
        days_since_activity="Days since the last activity",
        tenure_days="Tenure",
    ),
    *_of("days", "7 days", active_days_7="Days with activity"),
    *_of("uses", "7 days", uses_7d="Calls, SMS and app events"),
    *_of("days", _30, active_days_30="Days with activity"),
    *_of("days", "90 days", active_days_90="Days with activity"),
    *_of("weeks", "12 weeks", active_weeks_12="Weeks with activity"),
    *_of(
        "count",
        _30,
        app_events_30d="App events",
        app_logins_30d="App logins",
        feature_uses_30d="App features used",
        content_views_30d="Content views",
        web_logins_30d="Web logins",
        failures_30d="Network failures",
    ),
    *_of(
        "-1 to 1",
        _HALVES,
        calls_trend="Trend of calls",
        seconds_trend="Trend of seconds of calls",
        sms_trend="Trend of SMS",
        data_trend="Trend of data",
        recharge_trend="Trend of recharges",
        app_trend="Trend of app events",
        failures_trend="Trend of network failures",
        use_trend="Trend of calls, SMS and app events",
        active_days_trend="Trend of days with activity",
    ),
    *_of("-1 to 1", _MONTHS, revenue_trend="Trend of revenue"),
    *_of(
        "count",
        _LIFE,
        complaints="Complaints",
        referrals="Referrals",
        roaming_uses="Calls and data sessions abroad",
        purchases="Purchases",
        bundle_purchases="Bundles bought",
        plan_upgrades="Plan upgrades",
        auto_renewals="Automatic renewals",
        payments_known="Payments known as on time or late",
        campaigns_delivered="Campaigns delivered",
        campaigns_converted="Campaigns converted",
    ),
    *_of(
        "a month",
        _LIFE,
        purchases_per_month="Purchases in a month of tenure",
        bundles_per_month="Bundles bought in a month of tenure",
        roaming_per_month="Calls and data sessions abroad in a month of tenure",
        complaints_per_month="Complaints in a month of tenure",
    ),
    *_of("share", _LIFE, on_time_share="Share of payments on time"),
    *_of("share", _LIFE, campaign_share="Share of campaigns converted"),
    *_of("code", "now", tariff="Tariff"),
    *_of("0 or 1", "now", consent="Consent to marketing", opted_in="Opted in"),
)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
#: Columns where -1 means that it is unknown or never was.
UNKNOWNS = frozenset(
    (
        "days_since_transaction", "days_since_activity", "tenure_days", "on_time_share", "campaign_share",
        "consent",
        "opted_in",
    )
)  # fmt: skip


def matrix(
    rows: Rows, day: int | NDArray[np.int64] | None = None, *, decimals: int = 2, timezone: str = "UTC"
) -> Matrix:
    """The matrix of these rows, shape (len(rows), len(FEATURES)).

    `day` is the local day it is for (days since 1970-01-01), one or one a row; unset: the day each row stands
    at.  `decimals` and `timezone` are those of the revision.  Raises ValueError for a day before a row's.
    """
    stands = rows["day"].astype(np.int64)
    days = stands if day is None else np.array(np.broadcast_to(np.asarray(day, np.int64), stands.shape))
    if np.any(days < stands):
        raise ValueError("a row stands at a later day than the features are wanted for")
    out = np.empty((len(rows), len(NAMES)), np.float32)
    fill(rows, days, calendar(timezone)[0], 10.0**decimals, _CODES, _TARIFFS, TARIFF_BUCKETS, out)
    return out


def select(values: Matrix, names: tuple[str, ...]) -> Matrix:
    """The columns of `matrix` that a model names, in its order.  Raises KeyError for one there is not."""
    if names == NAMES:
        return values
    return np.ascontiguousarray(values[:, [_PLACE[name] for name in names]])


def insufficient_history(values: Matrix, names: tuple[str, ...] = NAMES) -> NDArray[np.bool_]:
    """Of whom too little is known: too new, never active, or hardly active since they came.  Shape (n,)."""
    tenure, active, since = (
        values[:, names.index(name)] for name in ("tenure_days", "active_days_90", "days_since_activity")
    )
    new = (tenure < LEAST_TENURE) | (since < 0)
    return np.asarray(new | ((tenure <= QUARTER) & (active < LEAST_ACTIVE_DAYS)), np.bool_)


_CODES = np.array([CODES[name] for name in TYPES], np.int64)
_TARIFFS = np.array([word_hash(name) for name in TARIFFS], np.uint32)
_PLACE = {name: at for at, name in enumerate(NAMES)}


def local_days(timezone: str) -> Any:
    """Gives the local days of times (ms), by the operator's timezone."""
    zone = calendar(timezone)[0]
    starts, offsets = zone["starts"], zone["offsets"]

    def days(at: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.maximum(np.searchsorted(starts, at, "right") - 1, 0)
        return np.asarray((at + offsets[place]) // DAY_MS)

    return days
