"""docs/semantics.md by examples worked out by hand: input, rows, duplicates, profile, ended customers.

These try the reference (tests/reference/), which the compiled fold is then held against.
"""

from __future__ import annotations

from typing import Any

import pytest

from loyalty import content, events
from tests.reference import model
from tests.reference.examples import DAY, NEW_YEAR, D, folded, row
from tests.reference.model import NO_TIME, integer, local_day, week
from tests.reference.records import at, event, marker, tick
from tests.reference.scores import SCORES
from tests.reference.streams import broken, odd

# Input.


def test_the_reference_and_the_product_know_the_same_types() -> None:
    assert {name: events.UNITS[name].value for name in events.SOURCE_TYPES} == model.UNIT_OF
    assert events.USAGE == model.USAGE
    assert events.SOURCE_TYPES - events.ACTIVITY == model.NO_ACTIVITY
    assert events.CALLS == model.CALLS
    assert events.DATA == model.DATA
    assert events.APP == model.APP_EVENTS
    assert content.COMPONENTS == SCORES


@pytest.mark.parametrize(
    ("event_type", "value", "decimals", "expected"),
    [
        ("recharge", 2.675, 2, 268),  # 267.5: to the even 268, although the float lies below 2.675
        ("recharge", 2.665, 2, 266),
        ("recharge", 0.005, 2, 0),
        ("recharge", 0.015, 2, 2),
        ("recharge", 0.025, 2, 2),
        ("recharge", -0.015, 2, -2),
        ("recharge", 2.5, 0, 2),
        ("recharge", 3.5, 0, 4),
        ("recharge", 0.0015, 3, 2),
        ("recharge", -5.25, 2, -525),
        ("recharge", 1e300, 2, 10**15),
        ("recharge", -1e300, 2, -(10**15)),
        ("data_session", 1, 2, 1024),
        ("data_session", 0.00048828125, 2, 0),  # half a kilobyte
        ("data_session", 0.00146484375, 2, 2),  # one and a half
        ("voice_call", 1.5, 2, 2),
        ("voice_call", 2.5, 2, 2),
        ("voice_call", -7, 2, 0),
        ("sms", 3, 2, 3),
    ],
)
def test_values_become_integers_half_even_in_decimal(
    event_type: str, value: float, decimals: int, expected: int
) -> None:
    assert integer(event_type, float(value), decimals) == expected


def test_hashes() -> None:
    # Published vectors: FNV-1a of "" and "a"; the first output of splitmix64 seeded with 0.
    assert model.fnv1a(b"") == 0xCBF29CE484222325
    assert model.fnv1a(b"a") == 0xAF63DC4C8601EC8C
    assert model.mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    assert model.hash64(b"a") == model.mix(0xAF63DC4C8601EC8C)
    assert model.word_hash("gold") == model.hash64(b"gold") & 0xFFFFFFFF
    assert model.word_hash("") == model.word_hash(None) == 0


def test_days_are_the_operators() -> None:
    # Berlin went from +1 to +2 on 2020-03-29 at 01:00 UTC.
    assert local_day(at("2020-03-28T22:59:59.999"), "Europe/Berlin") == D + 31 + 29 + 27
    assert local_day(at("2020-03-28T23:00"), "Europe/Berlin") == D + 31 + 29 + 28
    assert local_day(at("2020-03-29T21:59:59.999"), "Europe/Berlin") == D + 31 + 29 + 28
    assert local_day(at("2020-03-29T22:00"), "Europe/Berlin") == D + 31 + 29 + 29
    assert local_day(at("2020-01-01T18:14:59.999"), "Asia/Kathmandu") == D
    assert local_day(at("2020-01-01T18:15"), "Asia/Kathmandu") == D + 1
    assert week(D + 4) + 1 == week(D + 5)  # Sunday the 5th, Monday the 6th


def test_refresh_instants() -> None:
    minute = model.refresh_minute("a")
    instant = NEW_YEAR + minute * 60_000
    assert 0 <= minute < 1440
    assert minute == model.hash64(b"a") % 1440
    assert model.last_refresh("a", instant) == instant
    assert model.next_refresh("a", instant) == instant + DAY
    assert model.next_refresh("a", instant - 1) == instant
    assert model.last_refresh("a", instant - 1) == instant - DAY


def test_what_is_no_record_is_a_dead_letter_and_changes_nothing_else() -> None:
    for value in broken():
        fold, effects = folded(value)
        unknown = value is not None and (
            b'teleport", "source": "test", "value": 1' in value or b"_other" in value
        )
        assert fold.dead == [(0, "unknown_event_type" if unknown else "undecodable")], value
        assert not effects
        assert not fold.customers
    for value in odd():
        fold, _ = folded(value)
        assert not fold.dead, value
        assert list(fold.customers) == ["a"]


# Counters.


NOTHING_YET = (
    "comebacks", "longest_absence", "completed", "badges", "replaced_day", "debt", "year_points",
    "last_year_points", "tier", "points_earned", "points_redeemed", "points_expired", "missions_completed",
    "open_grants",
)  # fmt: skip


def test_a_call() -> None:
    assert row(event("a", "voice_call", "2020-01-01T10:00", 61, "e1", "cdr")) == {
        "state": 1,
        "as_of": NEW_YEAR + 10 * 3_600_000,
        "day": D,
        "due": model.next_refresh("a", NEW_YEAR + 10 * 3_600_000),
        "opened_at": 0,
        "first_event": NEW_YEAR + 10 * 3_600_000,
        "activation": 0,
        "last_activity": NEW_YEAR + 10 * 3_600_000,
        "last_transaction": 0,
        "rings": {name: {} for name in model.RINGS} | {"calls": {D: 1}, "seconds": {D: 61}},
        "weeks": 1,
        "life": dict.fromkeys(model.LIFE, 0) | {"calls": 1, "seconds": 61},
        "hashes": [model.hash64(b"cdr\x00e1")],
        "recent": [[1, 1_577_872_800, 61]],
        "profile": dict.fromkeys(model.WORDS, 0) | {"consent": 0, "opted": 0, "birthday": 0, "profile_at": 0},
        "id_hash": model.hash64(b"a"),
        "next_refresh": model.next_refresh("a", NEW_YEAR + 10 * 3_600_000),
        "month": 600,
        "active_days": 1,
        "types": {1: 1},
        "missions": [None] * 5,
        "cooling": [None] * 20,
        "lots": [],
        **dict.fromkeys(NOTHING_YET, 0),
        "inline_asked": NEW_YEAR + 10 * 3_600_000,  # when it was opened
        "daily_asked": 0,
        "asked_scores": [0] * 4,
        "foretold_at": [0, 0],
        "foretold": [0] * 7,
        "ltv": 0,
        "offer": 0,
        "contacts": [0] * 8,
        "crossed": 0,
        "campaigns": [None] * 6,
        # 30 x 1/60 for the call and 10 x 30/30 for the recency; 25 x 1/12 for one week of twelve
        "published": [1050, 0, 208, 0, 0],
    }


@pytest.mark.parametrize(
    ("event_type", "value", "rings", "life"),
    [
        ("roaming_call", 30, {"calls": 1, "seconds": 30}, {"calls": 1, "seconds": 30}),
        ("data_session", 2, {"data_kb": 2048}, {"data_kb": 2048}),
        ("roaming_data", 0.5, {"data_kb": 512}, {"data_kb": 512}),
        ("sms", 4, {"sms": 4}, {"sms": 4}),
        ("app_login", 1, {"app_login": 1}, {"app_events": 1}),
        ("feature_use", 2, {"feature_use": 2}, {"app_events": 2}),
        ("content_view", 3, {"content_view": 3}, {"app_events": 3}),
        ("app_install", 1, {"app_other": 1}, {"app_events": 1}),
        ("social_share", 1, {"app_other": 1}, {"app_events": 1}),
        ("self_care", 1, {"app_other": 1}, {"app_events": 1}),
        ("web_login", 1, {"web_login": 1}, {"web_logins": 1}),
        ("qoe_degradation", 1, {"qoe": 1}, {"qoe": 1}),
        ("complaint", 1, {}, {"complaints": 1}),
        ("referral", 2, {}, {"referrals": 2}),
        (
            "recharge",
            10,
            {"recharge": 1000, "revenue": 1000},
            {"recharge": 1000, "revenue": 1000, "transactions": 1},
        ),
        ("plan_upgrade", 10, {"revenue": 1000}, {"revenue": 1000, "transactions": 1}),
        ("payment", 10, {"revenue": 1000}, {"revenue": 1000, "transactions": 1}),
        ("refund", 3, {"revenue": -300}, {"revenue": -300}),
        ("invoice", 30, {}, {}),
        ("status_change", 1, {}, {}),
        ("campaign_converted", 1, {}, {}),
    ],
)
def test_what_each_type_counts(
    event_type: str, value: float, rings: dict[str, int], life: dict[str, int]
) -> None:
    found = row(event("a", event_type, "2020-01-01", value))
    assert {name: cells for name, cells in found["rings"].items() if cells} == {
        name: {D: amount} for name, amount in rings.items()
    }
    assert {name: amount for name, amount in found["life"].items() if amount} == life


def test_bought_from_topped_up_balance_is_a_transaction_and_no_revenue() -> None:
    found = row(event("a", "bundle_purchase", "2020-01-01", 5, paid_from="balance"))
    assert found["life"]["transactions"] == 1
    assert found["life"]["revenue"] == 0
    assert found["last_transaction"] == NEW_YEAR


def test_the_policy_says_what_is_revenue_but_never_a_refund() -> None:
    # Revision 4: invoice, refund and payment are revenue, sms a transaction; KWD has three decimals.
    found = row(
        marker(4),
        event("a", "invoice", "2020-01-01", 7),
        event("a", "refund", "2020-01-01", 2),
        event("a", "recharge", "2020-01-01", 1),
        event("a", "sms", "2020-01-01", 1),
    )
    assert found["life"] == dict.fromkeys(model.LIFE, 0) | {
        "revenue": 5000,
        "recharge": 1000,
        "sms": 1,
        "transactions": 1,
    }


TRUE = [True, 1, 1.0, "1", "true", "TRUE", "yes", "Yes"]
FALSE = [False, 0, 0.0, "0", "false", "No"]
NEITHER: list[Any] = [None, "", "maybe", 2, [], " yes", "ｙes"]


@pytest.mark.parametrize(
    ("on_time", "known", "in_time"),
    [*((yes, 1, 1) for yes in TRUE), *((no, 1, 0) for no in FALSE), *((value, 0, 0) for value in NEITHER)],
)
def test_payments_on_time(on_time: Any, known: int, in_time: int) -> None:
    life = row(event("a", "payment", "2020-01-01", 1, on_time=on_time))["life"]
    assert (life["payments_known"], life["payments_on_time"]) == (known, in_time)


@pytest.mark.parametrize("event_type", sorted(model.UNIT_OF))
def test_activity(event_type: str) -> None:
    found = row(event("a", event_type, "2020-01-01"))
    quiet = event_type in (
        "invoice",
        "complaint",
        "qoe_degradation",
        "status_change",
    ) or event_type.startswith(("opt_", "campaign_", "grant_"))
    assert (found["last_activity"], found["weeks"]) == ((0, 0) if quiet else (NEW_YEAR, 1))
    assert found["first_event"] == NEW_YEAR


@pytest.mark.parametrize(
    ("event_type", "value", "ring", "limit", "life"),
    [
        ("web_login", 200, "web_login", 255, 400),
        ("sms", 40_000, "sms", 65_535, 80_000),
        ("voice_call", 40_000, "seconds", 65_535, 80_000),
        ("data_session", 3_000_000, "data_kb", 2**32 - 1, 6_000_000 * 1024),
        ("recharge", 15_000_000, "recharge", 2**31 - 1, 3_000_000_000),
        ("refund", 15_000_000, "revenue", -(2**31), -3_000_000_000),
    ],
)
def test_cells_saturate_and_lifetime_does_not(
    event_type: str, value: float, ring: str, limit: int, life: int
) -> None:
    found = row(*(event("a", event_type, "2020-01-01", value, f"e{n}") for n in range(2)))
    assert found["rings"][ring] == {D: limit}
    assert found["life"][{"web_login": "web_logins"}.get(ring, ring)] == life


def test_a_saturated_cell_comes_down_again() -> None:
    records = [event("a", "recharge", "2020-01-01", 30_000_000), event("a", "refund", "2020-01-01", 1)]
    assert row(*records)["rings"]["revenue"] == {D: 2**31 - 1 - 100}


def test_windows_hold_the_day_and_those_before_it() -> None:
    start = event("a", "recharge", "2020-01-01", 5)
    for days, recharge, revenue in [
        (29, {D: 500}, {D: 500}),
        (30, {}, {D: 500}),
        (89, {}, {D: 500}),
        (90, {}, {}),
    ]:
        found = row(start, tick(NEW_YEAR + days * DAY, everyone=True))
        assert found["day"] == D + days
        assert found["rings"]["recharge"] == recharge
        assert found["rings"]["revenue"] == revenue
        assert found["life"]["recharge"] == 500


def test_late_events_go_to_their_day_or_to_lifetime() -> None:
    now = event("a", "sms", NEW_YEAR + 100 * DAY)
    for late, recharge, revenue, counted in [
        (29, {D + 71: 500}, {D + 71: 500}, 0),
        (30, {}, {D + 70: 500}, 1),
        (90, {}, {}, 1),
    ]:
        fold, _ = folded(now, event("a", "recharge", NEW_YEAR + (100 - late) * DAY, 5))
        found = fold.snapshot("a")
        assert found["as_of"] == NEW_YEAR + 100 * DAY
        assert found["rings"]["recharge"] == recharge
        assert found["rings"]["revenue"] == revenue
        assert found["life"]["recharge"] == 500
        assert fold.counts["late_events"] == counted
        assert found["first_event"] == NEW_YEAR + (100 - late) * DAY
        assert found["last_activity"] == NEW_YEAR + 100 * DAY


def test_what_has_no_ring_is_never_late() -> None:
    fold, _ = folded(event("a", "sms", NEW_YEAR + 100 * DAY), event("a", "referral", NEW_YEAR))
    assert fold.counts["late_events"] == 0


def test_weeks_shift_with_the_row() -> None:
    records = [event("a", "sms", NEW_YEAR)]
    assert row(*records, tick("2020-01-05T23:59", everyone=True))["weeks"] == 0b1
    assert row(*records, tick("2020-01-06", everyone=True))["weeks"] == 0b10
    assert row(*records, event("a", "sms", "2020-01-21"))["weeks"] == 0b1001
    assert row(*records, event("a", "sms", "2020-01-21"), event("a", "sms", "2020-01-07"))["weeks"] == 0b1101
    assert row(*records, tick(at("2020-01-06") + 30 * 7 * DAY, everyone=True))["weeks"] == 1 << 31
    assert row(*records, tick(at("2020-01-06") + 31 * 7 * DAY, everyone=True))["weeks"] == 0
    late = [event("a", "sms", NEW_YEAR - weeks * 7 * DAY) for weeks in (31, 32)]
    assert row(*records, *late)["weeks"] == 1 << 31 | 1


def test_recent_holds_the_last_eight_in_log_order() -> None:
    records = [event("a", "sms", NEW_YEAR + n, n) for n in range(8)]
    records += [event("a", "recharge", NEW_YEAR - 5_000, 1e9)]
    recent = row(*records)["recent"]
    assert recent == [[3, NEW_YEAR // 1000, n] for n in range(1, 8)] + [[6, NEW_YEAR // 1000 - 5, 2**31 - 1]]


# Duplicates.


def test_a_usage_event_is_remembered_for_32_others() -> None:
    calls = [event("a", "sms", NEW_YEAR + n, 1, f"e{n}") for n in range(33)]
    fold, _ = folded(*calls[:32], calls[0])
    assert fold.counts == {"duplicates": 1}
    fold, _ = folded(*calls, calls[1])
    assert fold.counts == {"duplicates": 1, "dedupe_overflow": 1}
    fold, _ = folded(*calls, calls[0])
    assert fold.counts == {"dedupe_overflow": 2}
    assert fold.snapshot("a")["life"]["sms"] == 34


@pytest.mark.parametrize(
    ("event_type", "days"), [("recharge", 90), ("invoice", 90), ("referral", 7), ("opt_in", 7)]
)
def test_other_events_are_remembered_for_days(event_type: str, days: int) -> None:
    first = event("a", event_type, NEW_YEAR, 1, "same")
    for later, duplicates in [(days * DAY, 1), (days * DAY + 1, 0)]:
        # by the row's time, and by the event's own
        by_row, _ = folded(first, tick(NEW_YEAR + later, everyone=True), first)
        by_event, _ = folded(first, event("a", event_type, NEW_YEAR + later, 1, "same"))
        assert by_row.counts["duplicates"] == by_event.counts["duplicates"] == duplicates
    assert by_row.side["a"]["e"] == {model.hash64(b"test\x00same"): NEW_YEAR + later}


def test_an_event_id_counts_by_its_source() -> None:
    two = [event("a", "recharge", NEW_YEAR, 1, "1", source) for source in ("billing", "crm")]
    assert row(*two, *two)["life"]["recharge"] == 200


def test_a_duplicate_does_not_even_move_the_row() -> None:
    once = [event("a", "recharge", NEW_YEAR, 1, "1")]
    assert row(*once, event("a", "recharge", NEW_YEAR + DAY, 9, "1")) == row(*once)


# Profile.


def test_profile() -> None:
    fold, _ = folded(
        event(
            "a", "profile_update", NEW_YEAR, segment="gold", tariff=7, consent="yes", birthday="1990-02-29"
        ),
        event("a", "profile_update", NEW_YEAR - 1, segment="older", language="en"),
        event("a", "profile_update", NEW_YEAR, 1, "e3", tariff="", timezone="Asia/Kathmandu"),
        event("a", "opt_out", NEW_YEAR - 5),
    )
    assert fold.side["a"]["p"] == {
        "segment": "gold",
        "consent": True,
        "birthday": "1990-02-29",
        "timezone": "Asia/Kathmandu",
    }
    assert fold.snapshot("a")["profile"] == {
        "segment": model.word_hash("gold"),
        "lifecycle_stage": 0,
        "language": 0,
        "timezone": model.word_hash("Asia/Kathmandu"),
        "tariff": 0,
        "consent": 1,
        "opted": 2,
        "birthday": 229,
        "profile_at": NEW_YEAR,
    }


KEPT = [("gold", "gold"), (" ", " "), (7, "7"), (-3, "-3"), (2**63 - 1, str(2**63 - 1))]
CLEARING: list[Any] = [None, "", 1.0, 2**63, True, [], {}, ["gold"]]


@pytest.mark.parametrize(("came", "kept"), [*KEPT, *((value, None) for value in CLEARING)])
def test_words_are_strings_or_whole_numbers(came: Any, kept: str | None) -> None:
    before = event("a", "profile_update", NEW_YEAR, segment="before")
    fold, _ = folded(before, event("a", "profile_update", NEW_YEAR, segment=came))
    assert fold.customers["a"].profile.get("segment") == kept


def test_what_is_no_consent_and_no_birthday_clears() -> None:
    before = event("a", "profile_update", NEW_YEAR, consent="no", birthday="12-31")
    assert row(before)["profile"]["consent"] == 2
    assert row(before)["profile"]["birthday"] == 1231
    for came in ("maybe", None, "1990-13-01", "2000-01-32", "2-29", "1990-02-03\n", "١٢-١٢", 1231):
        fold, _ = folded(before, event("a", "profile_update", NEW_YEAR, consent=came, birthday=came))
        assert fold.snapshot("a")["profile"] | {"profile_at": 0} == dict.fromkeys(
            fold.snapshot("a")["profile"], 0
        )
        assert "p" not in fold.side["a"]


# A number changes hands.


def test_an_ended_row_ignores_all_but_an_activation() -> None:
    life = [
        event("a", "profile_update", NEW_YEAR, segment="gold"),
        event("a", "recharge", NEW_YEAR, 5),
        event("a", "customer_ended", NEW_YEAR + DAY),
    ]
    fold, effects = folded(
        *life, event("a", "sms", NEW_YEAR + 2 * DAY), tick(NEW_YEAR + 9 * DAY, everyone=True)
    )
    ended = fold.snapshot("a")
    assert (ended["state"], ended["due"], ended["as_of"]) == (2, NO_TIME, NEW_YEAR + DAY)
    assert fold.counts["ignored_ended"] == 1
    assert ended["life"]["recharge"] == 500
    assert effects == folded(*life)[1]

    fold, _ = folded(
        *life, event("a", "activation", NEW_YEAR + 3 * DAY), event("a", "sms", NEW_YEAR + 2 * DAY)
    )
    opened = fold.snapshot("a")
    assert (opened["state"], opened["opened_at"], opened["activation"]) == (
        1,
        NEW_YEAR + 3 * DAY,
        NEW_YEAR + 3 * DAY,
    )
    assert opened["life"] == dict.fromkeys(model.LIFE, 0)
    assert opened["profile"]["segment"] == 0
    assert fold.counts["ignored_before_activation"] == 1
    assert fold.snapshot("a")["rings"]["sms"] == {}
    assert list(fold.side["a"]) == ["e"]
    assert len(fold.side["a"]["e"]) == 4  # the old life's three and the activation


def test_a_new_life_begins_with_its_activation() -> None:
    old, new = event("a", "customer_ended", NEW_YEAR), event("a", "activation", NEW_YEAR + DAY)
    fold, _ = folded(old, new, event("a", "sms", NEW_YEAR + DAY), event("a", "sms", NEW_YEAR + DAY - 1))
    assert fold.snapshot("a")["life"]["sms"] == 1
    assert fold.counts == {"ignored_before_activation": 1}


def test_a_repeated_activation_opens_nothing() -> None:
    activation = event("a", "activation", NEW_YEAR)
    fold, _ = folded(activation, event("a", "customer_ended", NEW_YEAR + DAY), activation)
    assert fold.snapshot("a")["state"] == 2
    assert fold.counts == {"ignored_ended": 1}
