"""The five scores of a row: measures, points and hundredths, for the fold and for whoever asks why."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import day_of
from loyalty.columns import Record
from loyalty.compiled import compiled
from loyalty.policy import MEASURES
from loyalty.row import CHURN, MONTH

# The order of MEASURES, cut into the five scores.
_CUTS = (0, 5, 9, 13, 16, 20)
assert len(MEASURES) == _CUTS[-1]


@compiled
def _total(cells: Any) -> int:
    sum_: Any = np.int64(0)
    for i in range(cells.shape[0]):
        sum_ += np.int64(cells[i])
    return int(sum_)


@compiled
def month_sum(cells: Any, newest: int) -> int:
    """Sum of 30 days of a ring up to `newest`."""
    days = cells.shape[0]
    end = newest % days + 1
    sum_: Any = np.int64(0)
    for i in range(max(end - MONTH, 0), end):
        sum_ += np.int64(cells[i])
    for i in range(min(days + end - MONTH, days), days):
        sum_ += np.int64(cells[i])
    return int(sum_)


@compiled
def measure(row: Record, policy: Record, out: Any) -> None:
    """Fill `out` (float64, by MEASURES) with the measures of a row as of its `day`."""
    day, calendar = row.day, policy.calendar
    logins, features, contents = _total(row.app_login), _total(row.feature_use), _total(row.content_view)
    out[0] = _total(row.calls)
    out[1] = _total(row.data_kb) / 1024.0
    out[2] = logins + features + contents + _total(row.app_other)
    out[3] = _total(row.sms)
    out[4] = max(0, 30 - (day - day_of(row.last_activity, calendar))) if row.last_activity else 0
    out[5] = row.life_revenue / policy.currency
    out[6] = _total(row.recharge) / policy.currency
    out[7] = _total(row.revenue) / policy.currency / 3.0
    out[8] = (row.ltv - 1) / policy.currency if row.ltv else out[5]
    since = row.activation if row.activation else row.first_event
    out[9] = max(0, day - day_of(since, calendar)) if since else 0
    out[10] = row.life_transactions
    weeks = np.int64(0)
    for week in range(12):
        weeks += (row.weeks >> week) & 1
    out[11] = weeks / 12.0
    known = row.life_payments_known
    out[12] = row.life_payments_on_time / known if known else 0.0
    out[13] = (row.foretold[CHURN] - 1) / 10_000.0 if row.foretold[CHURN] else 0.0
    out[14] = max(0, day - day_of(row.last_transaction, calendar)) if row.last_transaction else 0
    last, before = month_sum(row.revenue, day), month_sum(row.revenue, day - MONTH)
    out[15] = (before - last) / before if before > 0 else 0.0
    out[16] = logins
    out[17] = features
    out[18] = contents
    out[19] = _total(row.web_login)


@compiled
def fill_points(measures: Any, policy: Record, out: Any) -> None:
    """Fill `out` (float64, by MEASURES) with the points of measures."""
    for i in range(measures.shape[0]):
        out[i] = policy.weights[i] * min(max(measures[i] / policy.full_at[i], 0.0), 1.0)


@compiled
def score(row: Record, policy: Record, desk: Record) -> None:
    """Put the scores of a row on the desk, with the measures and points they are made of."""
    measure(row, policy, desk.measures)
    fill_points(desk.measures, policy, desk.points)
    for i in range(5):
        sum_ = 0.0
        for component in range(_CUTS[i], _CUTS[i + 1]):
            sum_ += desk.points[component]
        desk.scores[i] = np.int64(np.rint(sum_ * 100.0))
