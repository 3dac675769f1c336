"""docs/semantics.md by examples worked out by hand: the five scores."""

from __future__ import annotations

from tests.reference.examples import DAY, NEW_YEAR, folded
from tests.reference.records import at, command, event, tick
from tests.reference.scores import SCORES, hundredths


def month() -> list[bytes]:
    """Half of what engagement asks for, and money: 450 in January, 50 on the day itself, 31 January."""
    day = at("2020-01-31T12:00")
    return [
        event("a", "activation", "2020-01-01T12:00"),
        *(event("a", "payment", f"2020-01-{n:02}", 50, on_time=n % 3 > 0) for n in range(1, 10)),
        *(event("a", "voice_call", day, 60, f"call{n}") for n in range(30)),
        event("a", "data_session", day, 5_120),
        event("a", "sms", day, 30),
        event("a", "app_login", day, 4),
        event("a", "feature_use", day, 3),
        event("a", "content_view", day, 3),
        event("a", "web_login", day, 2),
        event("a", "recharge", day, 50),
    ]


def test_scores_by_hand() -> None:
    fold, _ = folded(*month(), tick("2020-02-03T12:00", everyone=True), command("a"))
    parts = fold.components(fold.customers["a"])
    # The window is 5 January to 3 February: payments of the 5th to the 9th and the recharge are in it.
    expected = {
        "engagement": {
            "calls": (30, 15.0),
            "data": (5120, 15.0),
            "app": (10, 10.0),
            "sms": (30, 5.0),
            "recency": (27, 9.0),  # three days since the last activity
        },
        "revenue": {
            "total": (500, 20.0),
            "recent_recharges": (50, 15.0),
            "arpu": (500 / 3, 20.0),
            "lifetime_value": (500, 2.5),
        },
        "loyalty": {
            "tenure": (33, 30 * (33 / 365)),
            "transactions": (10, 2.5),
            # Active on 1 to 5 January, 6 to 9, 31 January: three weeks of twelve.
            "consistency": (0.25, 6.25),
            "on_time_payments": (6 / 9, 20 * (6 / 9)),
        },
        "risk": {
            "churn_probability": (0, 0.0),
            "inactivity": (3, 1.5),
            "revenue_decline": (-0.5, 0.0),  # 200 before 5 January, 300 since
        },
        "digital": {
            "app_logins": (4, 8.0),
            "feature_use": (3, 3.0),
            "content_views": (3, 2.0),
            "web_logins": (2, 2.0),
        },
    }
    assert parts == expected
    assert fold.customers["a"].published == [5400, 5750, 2480, 150, 1500]


def test_tenure_is_from_the_activation_if_there_is_one() -> None:
    records = [event("a", "sms", NEW_YEAR), event("a", "sms", NEW_YEAR + 73 * DAY)]
    fold, _ = folded(*records)
    assert fold.components(fold.customers["a"])["loyalty"]["tenure"] == (73, 30 * (73 / 365))
    fold, _ = folded(*records, event("a", "activation", NEW_YEAR + 70 * DAY))
    assert fold.components(fold.customers["a"])["loyalty"]["tenure"] == (3, 30 * (3 / 365))


def test_consistency_is_of_twelve_weeks() -> None:
    records = [event("a", "sms", NEW_YEAR - weeks * 7 * DAY) for weeks in (11, 12, 13)]
    fold, _ = folded(event("a", "invoice", NEW_YEAR), *records)
    assert fold.components(fold.customers["a"])["loyalty"]["consistency"] == (1 / 12, 25 * (1 / 12))


def test_revenue_that_falls_is_a_risk() -> None:
    records = [event("a", "recharge", NEW_YEAR, 100), event("a", "recharge", NEW_YEAR + 30 * DAY, 25)]
    fold, _ = folded(*records)
    # D is the 31st day: the first recharge is in the 30 days before, the second in the last 30.
    assert fold.components(fold.customers["a"])["risk"]["revenue_decline"] == (0.75, 15.0)
    fold, _ = folded(*records, event("a", "refund", NEW_YEAR + 30 * DAY, 50))
    assert fold.components(fold.customers["a"])["risk"]["revenue_decline"] == (1.25, 20.0)
    fold, _ = folded(event("a", "refund", NEW_YEAR, 100), event("a", "recharge", NEW_YEAR + 30 * DAY, 25))
    assert fold.components(fold.customers["a"])["risk"]["revenue_decline"] == (0.0, 0.0)


def test_hundredths_round_half_even() -> None:
    parts = {score: {"x": (0.0, 0.125)} for score in SCORES}
    assert hundredths(parts) == [12] * 5  # 12.5
    parts = {score: {"x": (0.0, 0.375)} for score in SCORES}
    assert hundredths(parts) == [38] * 5  # 37.5
