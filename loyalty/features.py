"""What conditions speak about: the features of docs/game.md, in the vocabulary's order."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import day_of, days_before, days_to, month_of
from loyalty.columns import Record
from loyalty.compiled import compiled
from loyalty.events import CODES, NAMES, SOURCE_TYPES
from loyalty.points import balance
from loyalty.row import (
    ACTIVE_DAYS,
    BADGE_WORDS,
    CHURN,
    DEFAULT_RISK,
    FREE,
    PROPENSITY,
    RESPONSE,
    RFM,
    SLOTS,
    UPSELL,
    YES,
)
from loyalty.scores import month_sum
from loyalty.vocabulary import INDEX

NAN = np.nan
_CODES = np.array(sorted(CODES[name] for name in SOURCE_TYPES), np.int64)

# Runs of the vocabulary that are filled together.
_RINGS = INDEX["calls_30_days"]
_LIFE = INDEX["calls_lifetime"]
_TYPES = INDEX["voice_call_count"]
_TENURE = INDEX["tenure_days"]
_WORDS = INDEX["segment"]
_POINTS = INDEX["points_balance"]
_FORETOLD = INDEX["predicted_ltv"]
_SHARE = 10_000.0


def _follow(first: str, *names: str) -> None:
    at = INDEX[first]
    assert [INDEX[name] for name in names] == list(range(at + 1, at + 1 + len(names))), names


_follow("engagement", "revenue", "loyalty", "risk", "digital")
_follow(
    "calls_30_days", "seconds_30_days", "data_mb_30_days", "sms_30_days", "app_login_30_days",
    "feature_use_30_days",
    "content_view_30_days", "web_login_30_days", "app_other_30_days", "qoe_30_days", "recharge_30_days",
    "revenue_30_days", "revenue_90_days", "app_events_30_days",
)  # fmt: skip
_follow(
    "calls_lifetime", "seconds_lifetime", "data_mb_lifetime", "sms_lifetime", "app_events_lifetime",
    "web_logins_lifetime", "qoe_lifetime", "complaints_lifetime", "referrals_lifetime",
    "transactions_lifetime",
    "payments_known_lifetime", "payments_on_time_lifetime", "revenue_lifetime", "recharge_lifetime",
)  # fmt: skip
_follow(
    "tenure_days", "days_since_last_activity", "days_since_last_transaction", "active_days_30",
    "active_days_90",
    "active_streak_days", "active_weeks_12", "arpu", "revenue_decline", "on_time_share", "churn_probability",
    "comebacks", "longest_absence_days", "days_to_anniversary", "days_to_birthday", "segment",
    "lifecycle_stage",
    "language", "timezone", "tariff", "consent", "opted_in", "points_balance", "points_earned_this_year",
    "points_earned_lifetime", "tier", "missions_completed", "missions_active", "badges_held",
    "predicted_ltv", "purchase_propensity", "campaign_response", "default_risk", "upsell_propensity",
    "predicted_active_days", "rfm_score", "next_best_offer",
)  # fmt: skip
assert [INDEX[f"{NAMES[code]}_count"] for code in _CODES.tolist()] == list(
    range(_TYPES, _TYPES + len(SOURCE_TYPES))
)


@compiled
def _sum(cells: Any) -> int:
    sum_: Any = np.int64(0)
    for i in range(cells.shape[0]):
        sum_ += np.int64(cells[i])
    return int(sum_)


@compiled
def bit(words: Any, at: int) -> bool:
    """Whether a bit is set in words of 64."""
    return (np.uint64(words[at // 64]) >> np.uint64(at % 64)) & np.uint64(1) != 0  # type: ignore[no-any-return]


@compiled
def _ones(word: Any) -> int:
    """How many bits of 64 are set."""
    x = np.uint64(word)
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))  # type: ignore[return-value]


@compiled
def _bits(words: Any, below: int) -> int:
    """How many of the lowest bits are set."""
    count = 0
    for i in range(below // 64):
        count += _ones(words[i])
    if below % 64:
        count += _ones(
            np.uint64(words[below // 64]) & ((np.uint64(1) << np.uint64(below % 64)) - np.uint64(1))
        )
    return count


@compiled
def _truth(state: int) -> float:
    return NAN if state == 0 else 1.0 if state == YES else 0.0


@compiled
def _foretold(stored: int, scale: float) -> float:
    """What a row keeps of a prediction, in its unit."""
    return (np.int64(stored) - 1) / scale if stored else NAN


@compiled
def fill_features(row: Record, policy: Record, measures: Any, scores: Any, out: Any) -> None:
    """Fill `out` (float64, by INDEX) as of the row's day, by its scores (hundredths) and measures."""
    calendar, day = policy.calendar, row.day
    for i in range(5):
        out[i] = scores[i] / 100.0
    at = _RINGS
    out[at], out[at + 1], out[at + 2], out[at + 3] = measures[0], _sum(row.seconds), measures[1], measures[3]
    out[at + 4], out[at + 5], out[at + 6], out[at + 7] = (
        measures[16],
        measures[17],
        measures[18],
        measures[19],
    )
    out[at + 8], out[at + 9], out[at + 10] = _sum(row.app_other), _sum(row.qoe), measures[6]
    out[at + 11] = month_sum(row.revenue, day) / policy.currency
    out[at + 12], out[at + 13] = _sum(row.revenue) / policy.currency, measures[2]
    at = _LIFE
    out[at], out[at + 1], out[at + 2], out[at + 3] = (
        row.life_calls, row.life_seconds, row.life_data_kb / 1024.0, row.life_sms,
    )  # fmt: skip
    out[at + 4], out[at + 5], out[at + 6], out[at + 7] = (
        row.life_app_events, row.life_web_logins, row.life_qoe, row.life_complaints,
    )  # fmt: skip
    out[at + 8], out[at + 9], out[at + 10], out[at + 11] = (
        row.life_referrals, row.life_transactions, row.life_payments_known, row.life_payments_on_time,
    )  # fmt: skip
    out[at + 12], out[at + 13] = row.life_revenue / policy.currency, row.life_recharge / policy.currency
    for i in range(_CODES.shape[0]):
        out[_TYPES + i] = row.types[_CODES[i]]
    at = _TENURE
    since = row.activation if row.activation else row.first_event
    out[at] = max(0, day - day_of(since, calendar)) if since else NAN
    out[at + 1] = max(0, day - day_of(row.last_activity, calendar)) if row.last_activity else NAN
    out[at + 2] = max(0, day - day_of(row.last_transaction, calendar)) if row.last_transaction else NAN
    out[at + 3], out[at + 4] = _bits(row.active_days, 30), _bits(row.active_days, 90)
    streak = first = 0 if bit(row.active_days, 0) else 1
    while streak < 128 and bit(row.active_days, streak):
        streak += 1
    out[at + 5] = streak - first
    weeks = np.int64(0)
    for week in range(12):
        weeks += (row.weeks >> week) & 1
    out[at + 6], out[at + 7], out[at + 8] = weeks, measures[7], measures[15]
    known = row.life_payments_known
    out[at + 9] = row.life_payments_on_time / known if known else NAN
    out[at + 10] = _foretold(row.foretold[CHURN], _SHARE)
    out[at + 11], out[at + 12] = row.comebacks, row.longest_absence
    out[at + 13] = NAN
    if row.activation:
        began = day_of(row.activation, calendar)
        month = month_of(began)
        from_day = max(day, began + 1)
        of_month = began - days_before(1970 + month // 12, month % 12 + 1) + 1
        out[at + 13] = days_to(from_day, month % 12 + 1, of_month) + from_day - day
    out[at + 14] = days_to(day, row.birthday // 100, row.birthday % 100) if row.birthday else NAN
    at = _WORDS
    out[at] = row.segment if row.segment else NAN
    out[at + 1] = row.lifecycle_stage if row.lifecycle_stage else NAN
    out[at + 2] = row.language if row.language else NAN
    out[at + 3] = row.timezone if row.timezone else NAN
    out[at + 4] = row.tariff if row.tariff else NAN
    out[at + 5], out[at + 6] = _truth(row.consent), _truth(row.opted)
    at = _POINTS
    out[at], out[at + 1], out[at + 2], out[at + 3] = (
        balance(row),
        row.year_points,
        row.points_earned,
        row.tier,
    )
    active = 0
    for slot in range(SLOTS):
        active += row.mission_status[slot] != FREE
    out[at + 4], out[at + 5], out[at + 6] = (
        row.missions_completed,
        active,
        _bits(row.badges, 64 * BADGE_WORDS),
    )
    at = _FORETOLD
    out[at] = (row.ltv - 1) / policy.currency if row.ltv else NAN
    out[at + 1] = _foretold(row.foretold[PROPENSITY], _SHARE)
    out[at + 2] = _foretold(row.foretold[RESPONSE], _SHARE)
    out[at + 3] = _foretold(row.foretold[DEFAULT_RISK], _SHARE)
    out[at + 4] = _foretold(row.foretold[UPSELL], _SHARE)
    out[at + 5] = _foretold(row.foretold[ACTIVE_DAYS], 100.0)
    out[at + 6] = _foretold(row.foretold[RFM], 1.0)
    out[at + 7] = _foretold(row.offer, 1.0)
