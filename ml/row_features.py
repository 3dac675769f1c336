"""The features of rows, computed row by row in compiled code: what `ml.features` names, in that order.

Sums of cells are integers; whatever is a share or a trend is float64 until it is put into the matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import day_of
from loyalty.compiled import compiled

MONTH, HALF, QUARTER = 30, 15, 90  # days
APP, USES = 4, 6  # rings that are app events, and uses: these and calls and SMS

#: Event types whose counts are features, by their place in `codes`.
TYPES = (
    "roaming_call", "roaming_data", "purchase", "bundle_purchase", "plan_upgrade", "auto_renew",
    "campaign_delivered", "campaign_converted",
)  # fmt: skip


#: What compiled code does not tell apart.
Int = int | np.int64


@compiled
def fill(
    rows: Any, days: NDArray[np.int64], zone: Any, unit: float, codes: NDArray[np.int64],
    tariffs: NDArray[np.uint32], buckets: int, out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Put the features of each row into `out`, (n, features).

    `days` are the local days they are for, none before the row's; `zone` a CALENDAR record, `unit` the minor
    units of one of currency, `tariffs` the hashes of those with a code of their own.
    """
    for n in range(len(rows)):
        _row(rows[n], days[n], zone, unit, codes, tariffs, buckets, out[n])


@compiled
def _row(
    row: Any, today: Int, zone: Any, unit: float, codes: NDArray[np.int64], tariffs: NDArray[np.uint32],
    buckets: Int, out: NDArray[np.float32],
) -> None:  # fmt: skip
    stands = np.int64(row.day)
    later = today - stands
    calls, calls_half, calls_week = _sums(row.calls, stands, later)
    seconds, seconds_half, _ = _sums(row.seconds, stands, later)
    sms, sms_half, sms_week = _sums(row.sms, stands, later)
    data, data_half, _ = _sums(row.data_kb, stands, later)
    recharge, recharge_half, _ = _sums(row.recharge, stands, later)
    logins, logins_half, logins_week = _sums(row.app_login, stands, later)
    used, used_half, used_week = _sums(row.feature_use, stands, later)
    views, views_half, views_week = _sums(row.content_view, stands, later)
    other, other_half, other_week = _sums(row.app_other, stands, later)
    web, _, _ = _sums(row.web_login, stands, later)
    failures, failures_half, _ = _sums(row.qoe, stands, later)
    app, app_half = logins + used + views + other, logins_half + used_half + views_half + other_half
    uses, uses_half = calls + sms + app, calls_half + sms_half + app_half
    recharge_days = _days(row.recharge, stands, later, MONTH)
    paying_days = _days(row.revenue, stands, later, QUARTER)
    revenue, revenue_before, revenue_all = _months(row.revenue, stands, later)
    week, half, month, quarter = _active(row.active_days, later)
    weeks = _weeks(np.uint64(row.weeks), (today + 3) // 7 - (stands + 3) // 7)
    began = row.activation if row.activation > 0 else row.first_event
    tenure = _since(began, today, zone)
    months = max(tenure, MONTH) / MONTH
    roaming = np.int64(row.types[codes[0]]) + row.types[codes[1]]
    purchases, bundles = np.int64(row.types[codes[2]]), np.int64(row.types[codes[3]])
    upgrades, renewals = np.int64(row.types[codes[4]]), np.int64(row.types[codes[5]])
    delivered, converted = np.int64(row.types[codes[6]]), np.int64(row.types[codes[7]])
    paid = revenue_all / unit

    # In the order of `ml.features.FEATURES`.
    out[0] = calls
    out[1] = seconds
    out[2] = seconds / calls if calls > 0 else 0.0
    out[3] = sms
    out[4] = data / 1024.0
    out[5] = recharge / unit
    out[6] = revenue / unit
    out[7] = recharge_days
    out[8] = paid
    out[9] = paying_days
    out[10] = paid / paying_days if paying_days > 0 else 0.0
    out[11] = _since(row.last_transaction, today, zone)
    out[12] = _since(row.last_activity, today, zone)
    out[13] = tenure
    out[14] = week
    out[15] = calls_week + sms_week + logins_week + used_week + views_week + other_week
    out[16] = month
    out[17] = quarter
    out[18] = weeks
    out[19] = app
    out[20] = logins
    out[21] = used
    out[22] = views
    out[23] = web
    out[24] = failures
    out[25] = _trend(calls_half, calls - calls_half)
    out[26] = _trend(seconds_half, seconds - seconds_half)
    out[27] = _trend(sms_half, sms - sms_half)
    out[28] = _trend(data_half, data - data_half)
    out[29] = _trend(recharge_half, recharge - recharge_half)
    out[30] = _trend(app_half, app - app_half)
    out[31] = _trend(failures_half, failures - failures_half)
    out[32] = _trend(uses_half, uses - uses_half)
    out[33] = _trend(half, month - half)
    out[34] = _trend(max(revenue, 0), max(revenue_before, 0))
    out[35] = row.life_complaints
    out[36] = row.life_referrals
    out[37] = roaming
    out[38] = purchases
    out[39] = bundles
    out[40] = upgrades
    out[41] = renewals
    out[42] = row.life_payments_known
    out[43] = delivered
    out[44] = converted
    out[45] = purchases / months
    out[46] = bundles / months
    out[47] = roaming / months
    out[48] = row.life_complaints / months
    known = row.life_payments_known
    out[49] = row.life_payments_on_time / known if known > 0 else -1.0
    out[50] = min(converted, delivered) / delivered if delivered > 0 else -1.0
    out[51] = _tariff(row.tariff, tariffs, buckets)
    out[52] = _truth(row.consent)
    out[53] = _truth(row.opted)


@compiled
def _sums(cells: Any, stands: Int, later: Int) -> tuple[Int, Int, Int]:
    """Sums of the last 30, 15 and 7 days."""
    length = len(cells)
    month, half, week = np.int64(0), np.int64(0), np.int64(0)
    at = stands % length
    for age in range(later, MONTH):
        cell = np.int64(cells[at])
        month += cell
        if age < HALF:
            half += cell
            if age < 7:
                week += cell
        at = at - 1 if at > 0 else length - 1
    return month, half, week


@compiled
def _months(cells: Any, stands: Int, later: Int) -> tuple[Int, Int, Int]:
    """Sums of the last 30 days, of the 30 before, and of 90."""
    length = len(cells)
    now, before, all_ = np.int64(0), np.int64(0), np.int64(0)
    at = stands % length
    for age in range(later, QUARTER):
        cell = np.int64(cells[at])
        all_ += cell
        if age < MONTH:
            now += cell
        elif age < 2 * MONTH:
            before += cell
        at = at - 1 if at > 0 else length - 1
    return now, before, all_


@compiled
def _days(cells: Any, stands: Int, later: Int, end: Int) -> Int:
    """Days above 0 among the last `end`."""
    length, days = len(cells), 0
    at = stands % length
    for _ in range(later, end):
        days += cells[at] > 0
        at = at - 1 if at > 0 else length - 1
    return days


@compiled
def _active(words: Any, later: Int) -> tuple[Int, Int, Int, Int]:
    """Days with activity among the last 7, 15, 30 and 90."""
    week = half = month = quarter = 0
    for age in range(later, QUARTER):
        bit = age - later
        if (words[bit // 64] >> np.uint64(bit % 64)) & np.uint64(1):
            quarter += 1
            month += age < MONTH
            half += age < HALF
            week += age < 7
    return week, half, month, quarter


@compiled
def _weeks(bits: Any, later: Int) -> Int:
    """Weeks with activity among the last 12, of bits that stand so many weeks earlier."""
    count: Int = 0
    for age in range(later, 12):
        count += np.int64((bits >> np.uint64(age - later)) & np.uint64(1))
    return count


@compiled
def _since(at: int, today: Int, zone: Any) -> Int:
    """Days since a time (ms), -1 where it never was."""
    return max(today - day_of(at, zone), 0) if at > 0 else -1


@compiled
def _trend(now: Int, before: Int) -> float:
    both = now + before
    return (now - before) / both if both > 0 else 0.0


@compiled
def _tariff(hash_: Int, known: NDArray[np.uint32], buckets: Int) -> Int:
    """0 unknown, then the known ones, then buckets."""
    if hash_ == 0:
        return 0
    for at in range(len(known)):
        if known[at] == hash_:
            return at + 1
    return len(known) + 1 + np.int64(hash_) % buckets


@compiled
def _truth(state: Int) -> Int:
    """-1 unknown, 0 no, 1 yes; the row's 0 unknown, 1 yes, 2 no."""
    return -1 if state == 0 else np.int64(state == 1)
