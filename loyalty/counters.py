"""What an event, a passing day and another row do to the counters of a row, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import day_of, month_of, week_of
from loyalty.columns import (
    BIRTHDAY_BIT,
    CONSENT_BIT,
    FROM_BALANCE,
    KNOWN_ON_TIME,
    LATE,
    ON_TIME,
    OVERFLOW,
    Record,
)
from loyalty.compiled import compiled
from loyalty.events import CODES
from loyalty.policy import IS_ACTIVITY, IS_REVENUE, IS_TRANSACTION
from loyalty.row import DAY_WORDS, HASHES, MONTH, QUARTER, RECENT, TYPES, WEEKS

_CALL, _ROAMING_CALL, _SMS = CODES["voice_call"], CODES["roaming_call"], CODES["sms"]
_DATA, _ROAMING_DATA = CODES["data_session"], CODES["roaming_data"]
_RECHARGE, _PAYMENT, _REFUND = CODES["recharge"], CODES["payment"], CODES["refund"]
_ACTIVATION, _PROFILE_UPDATE = CODES["activation"], CODES["profile_update"]
_COMPLAINT, _REFERRAL, _QOE = CODES["complaint"], CODES["referral"], CODES["qoe_degradation"]
_INSTALL, _LOGIN, _WEB_LOGIN = CODES["app_install"], CODES["app_login"], CODES["web_login"]
_FEATURE, _CONTENT = CODES["feature_use"], CODES["content_view"]
_SHARE, _SELF_CARE = CODES["social_share"], CODES["self_care"]

U1, U2, U4 = 2**8 - 1, 2**16 - 1, 2**32 - 1
COMEBACK_DAYS = 30  # of absence make a return
I4_LOW, I4_HIGH = -(2**31), 2**31 - 1


@compiled
def _add(cells: Any, day: int, value: int, low: int, high: int) -> None:
    at = day % cells.shape[0]
    cells[at] = min(max(np.int64(cells[at]) + value, low), high)


@compiled
def _clear(cells: Any, after: int, to: int) -> None:
    for day in range(max(after, to - cells.shape[0]) + 1, to + 1):
        cells[day % cells.shape[0]] = 0


@compiled
def shift(row: Record, day: int) -> None:
    """Let rings and weeks stand at `day`, if that is later."""
    if day <= row.day:
        return
    for_30 = max(row.day, day - MONTH)
    _clear(row.revenue, row.day, day)
    _clear(row.recharge, for_30, day)
    _clear(row.calls, for_30, day)
    _clear(row.seconds, for_30, day)
    _clear(row.data_kb, for_30, day)
    _clear(row.sms, for_30, day)
    _clear(row.app_login, for_30, day)
    _clear(row.feature_use, for_30, day)
    _clear(row.content_view, for_30, day)
    _clear(row.web_login, for_30, day)
    _clear(row.app_other, for_30, day)
    _clear(row.qoe, for_30, day)
    weeks = week_of(day) - week_of(row.day)
    row.weeks = np.uint32(row.weeks) << np.uint32(weeks) if weeks < WEEKS else 0
    shift_days(row.active_days, day - row.day)
    month = month_of(day)
    years = month // 12 - row.month // 12
    if years > 0:
        row.last_year_points = row.year_points if years == 1 else 0
        row.year_points = 0
    row.month = month
    row.day = day


@compiled
def shift_days(words: Any, days: int) -> None:
    """Shift 128 bits up."""
    low, high = np.uint64(words[0]), np.uint64(words[1])
    if days >= 128:
        low = high = np.uint64(0)
    elif days >= 64:
        low, high = np.uint64(0), low << np.uint64(days - 64)
    elif days > 0:
        high = (high << np.uint64(days)) | (low >> np.uint64(64 - days))
        low = low << np.uint64(days)
    words[0], words[1] = low, high


@compiled
def known(row: Record, hash_: np.uint64) -> bool:
    found = False
    for i in range(HASHES):  # no early end: this way it runs in vector registers
        found |= row.hashes[i] == hash_
    return found


@compiled
def remember(row: Record, hash_: np.uint64, counts: Any) -> None:
    at = row.hash_next
    counts[OVERFLOW] += row.hashes[at] != 0
    row.hashes[at] = hash_
    row.hash_next = (at + 1) % HASHES


@compiled
def earliest(known: int, at: int) -> int:
    return min(known, at) if known and at else known | at


@compiled
def count(row: Record, event: Any, traits: int, policy: Record, counts: Any) -> None:
    """Let an event move the counters of its row."""
    kind, at, value = event.kind, event.at, event.value
    day = day_of(at, policy.calendar)
    age = row.day - day
    in_month, late = 0 <= age < MONTH, False
    if kind in (_CALL, _ROAMING_CALL):
        row.life_calls += 1
        row.life_seconds += value
        if in_month:
            _add(row.calls, day, 1, 0, U2)
            _add(row.seconds, day, value, 0, U2)
        late = not in_month
    elif kind in (_DATA, _ROAMING_DATA):
        row.life_data_kb += value
        if in_month:
            _add(row.data_kb, day, value, 0, U4)
        late = not in_month
    elif kind == _SMS:
        row.life_sms += value
        if in_month:
            _add(row.sms, day, value, 0, U2)
        late = not in_month
    elif kind in (_LOGIN, _FEATURE, _CONTENT, _INSTALL, _SHARE, _SELF_CARE):
        row.life_app_events += value
        if in_month:
            if kind == _LOGIN:
                _add(row.app_login, day, value, 0, U1)
            elif kind == _FEATURE:
                _add(row.feature_use, day, value, 0, U1)
            elif kind == _CONTENT:
                _add(row.content_view, day, value, 0, U1)
            else:
                _add(row.app_other, day, value, 0, U1)
        late = not in_month
    elif kind == _WEB_LOGIN:
        row.life_web_logins += value
        if in_month:
            _add(row.web_login, day, value, 0, U1)
        late = not in_month
    elif kind == _QOE:
        row.life_qoe += value
        if in_month:
            _add(row.qoe, day, value, 0, U1)
        late = not in_month
    elif kind == _RECHARGE:
        row.life_recharge += value
        if in_month:
            _add(row.recharge, day, value, I4_LOW, I4_HIGH)
        late = not in_month
    elif kind == _COMPLAINT:
        row.life_complaints += value
    elif kind == _REFERRAL:
        row.life_referrals += value
    elif kind == _PAYMENT and event.flag & KNOWN_ON_TIME:
        row.life_payments_known += 1
        row.life_payments_on_time += event.flag & ON_TIME != 0

    if kind == _REFUND or (traits & IS_REVENUE and not event.flag & FROM_BALANCE):
        revenue = -value if kind == _REFUND else value
        row.life_revenue += revenue
        if 0 <= age < QUARTER:
            _add(row.revenue, day, revenue, I4_LOW, I4_HIGH)
        else:
            late = True
    counts[LATE] += late

    if traits & IS_TRANSACTION:
        row.life_transactions += 1
        row.last_transaction = max(row.last_transaction, at)
    row.types[kind] = min(row.types[kind] + 1, U2)
    if traits & IS_ACTIVITY:
        if row.last_activity:
            absent = day - day_of(row.last_activity, policy.calendar)
            if absent >= COMEBACK_DAYS:
                row.comebacks = min(row.comebacks + 1, U2)
                row.longest_absence = min(max(row.longest_absence, absent), U2)
        row.last_activity = max(row.last_activity, at)
        if 0 <= age < DAY_WORDS * 64:
            row.active_days[age // 64] |= np.uint64(1) << np.uint64(age % 64)
        weeks = week_of(row.day) - week_of(day)
        if 0 <= weeks < WEEKS:
            row.weeks |= np.uint32(1) << np.uint32(weeks)
    row.first_event = earliest(row.first_event, at)
    if kind == _ACTIVATION:
        row.activation = earliest(row.activation, at)
    place = row.recent_next
    row.recent_type[place] = kind
    row.recent_at[place] = at // 1000
    row.recent_value[place] = min(max(value, I4_LOW), I4_HIGH)
    row.recent_next = (place + 1) % RECENT


@compiled
def set_profile(row: Record, to: Any) -> None:
    present = to.present
    if present & 1:
        row.segment = to.words[0]
    if present & 2:
        row.lifecycle_stage = to.words[1]
    if present & 4:
        row.language = to.words[2]
    if present & 8:
        row.timezone = to.words[3]
    if present & 16:
        row.tariff = to.words[4]
    if present & CONSENT_BIT:
        row.consent = to.consent
    if present & BIRTHDAY_BIT:
        row.birthday = to.birthday


@compiled
def _join(cells: Any, day: int, carried: Any, carried_day: int, low: int, high: int) -> None:
    days = cells.shape[0]
    for d in range(max(day, carried_day) - days + 1, min(day, carried_day) + 1):
        value: Any = np.int64(carried[d % days])
        _add(cells, d, value, low, high)


@compiled
def join(row: Record, carried: Record, counts: Any) -> None:
    """Add the counters of a row that becomes this one; both are first shifted to the later one's day."""
    shift(row, carried.day)
    shift(carried, row.day)
    day, from_day = row.day, carried.day
    _join(row.calls, day, carried.calls, from_day, 0, U2)
    _join(row.seconds, day, carried.seconds, from_day, 0, U2)
    _join(row.data_kb, day, carried.data_kb, from_day, 0, U4)
    _join(row.sms, day, carried.sms, from_day, 0, U2)
    _join(row.app_login, day, carried.app_login, from_day, 0, U1)
    _join(row.feature_use, day, carried.feature_use, from_day, 0, U1)
    _join(row.content_view, day, carried.content_view, from_day, 0, U1)
    _join(row.web_login, day, carried.web_login, from_day, 0, U1)
    _join(row.app_other, day, carried.app_other, from_day, 0, U1)
    _join(row.qoe, day, carried.qoe, from_day, 0, U1)
    _join(row.recharge, day, carried.recharge, from_day, I4_LOW, I4_HIGH)
    _join(row.revenue, day, carried.revenue, from_day, I4_LOW, I4_HIGH)
    row.life_calls += carried.life_calls
    row.life_seconds += carried.life_seconds
    row.life_data_kb += carried.life_data_kb
    row.life_sms += carried.life_sms
    row.life_app_events += carried.life_app_events
    row.life_web_logins += carried.life_web_logins
    row.life_qoe += carried.life_qoe
    row.life_complaints += carried.life_complaints
    row.life_referrals += carried.life_referrals
    row.life_transactions += carried.life_transactions
    row.life_payments_known += carried.life_payments_known
    row.life_payments_on_time += carried.life_payments_on_time
    row.life_revenue += carried.life_revenue
    row.life_recharge += carried.life_recharge
    row.first_event = earliest(row.first_event, carried.first_event)
    row.activation = earliest(row.activation, carried.activation)
    row.last_activity = max(row.last_activity, carried.last_activity)
    row.last_transaction = max(row.last_transaction, carried.last_transaction)
    row.profile_at = max(row.profile_at, carried.profile_at)
    row.weeks |= carried.weeks
    for i in range(DAY_WORDS):
        row.active_days[i] |= carried.active_days[i]
    for i in range(TYPES):
        row.types[i] = min(np.int64(row.types[i]) + np.int64(carried.types[i]), U2)
    row.comebacks = min(np.int64(row.comebacks) + np.int64(carried.comebacks), U2)
    row.longest_absence = max(row.longest_absence, carried.longest_absence)
    for i in range(HASHES):
        hash_ = carried.hashes[(carried.hash_next + i) % HASHES]
        if hash_ != 0 and not known(row, hash_):
            remember(row, hash_, counts)
