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
from loyalty.row import MONTH, QUARTER, UNKNOWN, YES

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
    columns = _columns(rows, day, decimals, timezone)
    out = np.empty((len(rows), len(NAMES)), np.float32)
    for at, name in enumerate(NAMES):
        out[:, at] = columns[name]
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


_APP = ("app_login", "feature_use", "content_view", "app_other")
_USES = ("calls", "sms", *_APP)
_PLACE = {name: at for at, name in enumerate(NAMES)}


class _Rings:
    """The rings of rows, by how many days before `day` a cell lies."""

    def __init__(self, rows: Rows, day: NDArray[np.int64]) -> None:
        self._rows = rows
        stands = rows["day"].astype(np.int64)
        if np.any(day < stands):
            raise ValueError("a row stands at a later day than the features are wanted for")
        self._age = {
            length: (stands[:, None] - np.arange(length)) % length + (day - stands)[:, None]
            for length in (MONTH, QUARTER)
        }

    def sum(self, name: str, end: int = MONTH, start: int = 0) -> NDArray[np.float64]:
        """Sum of the cells of `start` .. `end` - 1 days before."""
        cells, age = self._cells(name)
        return np.asarray(np.where((age >= start) & (age < end), cells, 0).sum(1, dtype=np.float64))

    def days(self, name: str, end: int) -> NDArray[np.int64]:
        """Days above 0 among the last `end`."""
        cells, age = self._cells(name)
        return np.asarray(((age < end) & (cells > 0)).sum(1))

    def _cells(self, name: str) -> tuple[Any, NDArray[np.int64]]:
        cells = self._rows[name]
        return cells, self._age[cells.shape[1]]


def _columns(rows: Rows, day: int | NDArray[np.int64] | None, decimals: int, timezone: str) -> dict[str, Any]:
    stands = rows["day"].astype(np.int64)
    now = stands if day is None else np.broadcast_to(np.asarray(day, np.int64), stands.shape)
    rings, unit = _Rings(rows, now), 10.0**decimals
    local = local_days(timezone)
    types = rows["types"]

    def since(name: str) -> Any:
        at = rows[name]
        return np.where(at > 0, np.maximum(now - local(at), 0), -1)

    def of_type(*names: str) -> Any:
        return sum(types[:, CODES[name]].astype(np.int64) for name in names)

    calls, seconds = rings.sum("calls"), rings.sum("seconds")
    revenue, paying = rings.sum("revenue", QUARTER) / unit, rings.days("revenue", QUARTER)
    app = [rings.sum(name) for name in _APP]
    active = _active(rows["active_days"], now - stands)
    month, quarter = active[:, :MONTH].sum(1), active[:, :QUARTER].sum(1)
    half = active[:, : MONTH // 2].sum(1)
    began = np.where(rows["activation"] > 0, rows["activation"], rows["first_event"])
    delivered, converted = of_type("campaign_delivered"), of_type("campaign_converted")
    weeks = (rows["weeks"].astype(np.uint64) << _week_shift(stands, now)) & np.uint64(0xFFF)
    tenure = np.where(began > 0, np.maximum(now - local(began), 0), -1)
    months = np.maximum(tenure, MONTH) / MONTH
    roaming = of_type("roaming_call", "roaming_data")
    revenue_now, revenue_before = rings.sum("revenue", MONTH), rings.sum("revenue", 2 * MONTH, MONTH)
    return {
        "calls_30d": calls,
        "seconds_30d": seconds,
        "call_length_30d": _share(seconds, calls, 0.0),
        "sms_30d": rings.sum("sms"),
        "data_mb_30d": rings.sum("data_kb") / 1024.0,
        "recharge_30d": rings.sum("recharge") / unit,
        "revenue_30d": revenue_now / unit,
        "recharge_days_30d": rings.days("recharge", MONTH),
        "revenue_90d": revenue,
        "paying_days_90d": paying,
        "payment_size_90d": _share(revenue, paying, 0.0),
        "days_since_transaction": since("last_transaction"),
        "days_since_activity": since("last_activity"),
        "tenure_days": tenure,
        "active_days_7": active[:, :7].sum(1),
        "uses_7d": sum(rings.sum(name, 7) for name in _USES),
        "active_days_30": month,
        "active_days_90": quarter,
        "active_weeks_12": np.bitwise_count(weeks),
        "app_events_30d": sum(app),
        "app_logins_30d": app[0],
        "feature_uses_30d": app[1],
        "content_views_30d": app[2],
        "web_logins_30d": rings.sum("web_login"),
        "failures_30d": rings.sum("qoe"),
        "calls_trend": _halves(rings, "calls"),
        "seconds_trend": _halves(rings, "seconds"),
        "sms_trend": _halves(rings, "sms"),
        "data_trend": _halves(rings, "data_kb"),
        "recharge_trend": _halves(rings, "recharge"),
        "app_trend": _halves(rings, *_APP),
        "use_trend": _halves(rings, *_USES),
        "failures_trend": _halves(rings, "qoe"),
        "active_days_trend": _trend(half, month - half),
        "revenue_trend": _trend(np.maximum(revenue_now, 0), np.maximum(revenue_before, 0)),
        "complaints": rows["life_complaints"],
        "referrals": rows["life_referrals"],
        "roaming_uses": roaming,
        "purchases": of_type("purchase"),
        "bundle_purchases": of_type("bundle_purchase"),
        "plan_upgrades": of_type("plan_upgrade"),
        "auto_renewals": of_type("auto_renew"),
        "payments_known": rows["life_payments_known"],
        "campaigns_delivered": delivered,
        "campaigns_converted": converted,
        "purchases_per_month": of_type("purchase") / months,
        "bundles_per_month": of_type("bundle_purchase") / months,
        "roaming_per_month": roaming / months,
        "complaints_per_month": rows["life_complaints"] / months,
        "on_time_share": _share(rows["life_payments_on_time"], rows["life_payments_known"], -1.0),
        "campaign_share": _share(np.minimum(converted, delivered), delivered, -1.0),
        "tariff": _tariff(rows["tariff"]),
        "consent": _truth(rows["consent"]),
        "opted_in": _truth(rows["opted"]),
    }


def local_days(timezone: str) -> Any:
    """Gives the local days of times (ms), by the operator's timezone."""
    zone = calendar(timezone)[0]
    starts, offsets = zone["starts"], zone["offsets"]

    def days(at: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.maximum(np.searchsorted(starts, at, "right") - 1, 0)
        return np.asarray((at + offsets[place]) // DAY_MS)

    return days


def _active(words: NDArray[np.uint64], shift: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether there was activity k days before, k = 0 .. 89, where the bits stand `shift` days earlier."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    at = np.arange(QUARTER) - shift[:, None]
    found = np.take_along_axis(bits, np.maximum(at, 0), 1)
    return np.asarray((at >= 0) & (found != 0))


def _week_shift(stands: NDArray[np.int64], now: NDArray[np.int64]) -> NDArray[np.uint64]:
    return np.asarray(np.minimum((now + 3) // 7 - (stands + 3) // 7, 32), np.uint64)


def _halves(rings: _Rings, *names: str) -> NDArray[np.float64]:
    half = MONTH // 2
    now = sum(rings.sum(name, half) for name in names)
    before = sum(rings.sum(name, MONTH, half) for name in names)
    return _trend(now, before)


def _trend(now: Any, before: Any) -> NDArray[np.float64]:
    return _share(now - before, now + before, 0.0)


def _share(part: Any, whole: Any, otherwise: float) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0))


def _tariff(hashes: NDArray[np.uint32]) -> NDArray[np.int64]:
    """0 unknown, then the known ones, then buckets."""
    wide = hashes.astype(np.int64)
    codes = np.where(wide == 0, 0, len(TARIFFS) + 1 + wide % TARIFF_BUCKETS)
    for code, name in enumerate(TARIFFS, 1):
        codes[wide == word_hash(name)] = code
    return np.asarray(codes)


def _truth(state: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.where(state == UNKNOWN, -1, np.where(state == YES, 1, 0))
