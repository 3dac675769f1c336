"""The matrix in NumPy, a column at a time: what the compiled one must give, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.events import CODES
from loyalty.hashing import word_hash
from loyalty.row import MONTH, QUARTER, UNKNOWN, YES
from ml.features import NAMES, TARIFF_BUCKETS, TARIFFS, Matrix, Rows, local_days


def matrix(rows: Rows, days: NDArray[np.int64], decimals: int = 2, timezone: str = "UTC") -> Matrix:
    """As `ml.features.matrix`."""
    columns = _columns(rows, days, decimals, timezone)
    return np.stack([np.asarray(columns[name]).astype(np.float32) for name in NAMES], 1)


_APP = ("app_login", "feature_use", "content_view", "app_other")
_USES = ("calls", "sms", *_APP)


class _Rings:
    """The rings of rows, by how many days before `day` a cell lies."""

    def __init__(self, rows: Rows, day: NDArray[np.int64]) -> None:
        self._rows = rows
        stands = rows["day"].astype(np.int64)
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


def _columns(rows: Rows, now: NDArray[np.int64], decimals: int, timezone: str) -> dict[str, Any]:
    stands = rows["day"].astype(np.int64)
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
