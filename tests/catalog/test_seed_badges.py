"""Each of the 48 levels: a customer whose figures are just enough, and one for each that is one less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import pytest

from loyalty.game import LEVELS
from tests.catalog.seed_life import Step, e, game, levels, until, with_only

#: The mission that is completed wherever missions have to be, once a month.
MISSION = "QoE Compensation"


def completed(n: int) -> list[Step]:
    """So many missions completed, one every 31 days, and some time: badges see what stood before an event."""
    steps = []
    for day in range(0, 31 * n, 31):
        steps += e("sms", day) + e("qoe_degradation", day, n=3) + e("sms", day + 1)
    return steps + until(31 * n)


def activated(transactions: int, days: int, missions: int) -> list[Step]:
    end = 31 * missions + 80
    paid = e("recharge", end - 40, 1, n=transactions)
    return e("sms", 0) + completed(missions) + paid + e("sms", range(end - days + 1, end + 1))


def thirty_days_active(days: int) -> list[Step]:
    return e("sms", range(1, days + 1))


def ninety_days_loyal(tenure: int, days: int) -> list[Step]:
    return e("activation", 0) + e("sms", range(tenure - days + 1, tenure + 1))


def power_user(engagement: int, days: int) -> list[Step]:
    left = engagement - 10 - 20  # for being there today, and for 20 events in the app
    calls = min(left, 30)
    sms = min(left - calls, 10)
    data = left - calls - sms
    return (
        e("web_login", range(1, days))  # counts for nothing but the day
        + e("app_login", days, 20)
        + e("voice_call", days, n=2 * calls)
        + e("sms", days, 6 * sms)
        + e("data_session", days, ceil(data * 10_240 / 30))
    )


def app_champion(events: int, digital: int) -> list[Step]:
    web = min(digital, 10)
    features = min(digital - web, 30)
    features -= (digital - web - features) % 2  # a login counts for two
    logins = (digital - web - features) // 2
    recent = e("feature_use", 60, features) + e("app_login", 60, logins) + e("web_login", 60, web)
    return e("content_view", 0, events - features - logins) + recent


def big_spender(revenue: int, arpu: int) -> list[Step]:
    return e("recharge", 0, revenue - 3 * arpu) + e("recharge", 100, 3 * arpu)


def premium(upgrades: int, revenue: int, loyalty: int) -> list[Step]:
    old = min(revenue, 45)  # for what was spent long ago, the rest for recharges
    steps = e("purchase", 0, ceil(old / 0.045)) + e("plan_upgrade", 400, 0, n=upgrades)
    if revenue > old:
        steps += e("recharge", 400, ceil((revenue - old) / (0.3 + 2 / 15 + 0.005)))
    if loyalty:
        # 30 for the years, 20 for payments on time, 25 / 12 for the week; a quarter for each transaction.
        transactions = ceil((loyalty - 50 - 25 / 12) * 4)
        done = 1 + upgrades + (revenue > old)
        steps += e("payment", 400, 0, n=transactions - done, on_time=True)
    return steps


def comeback_hero(comebacks: int, days: int, of_90: int) -> list[Step]:
    before = max(of_90 - days, 0)
    return (
        e("sms", range(comebacks)) + e("sms", range(171 - before, 171)) + e("sms", range(200 - days + 1, 201))
    )


def times(event_type: str) -> Callable[[int], list[Step]]:
    return lambda n: e(event_type, 1, n=n)


@dataclass(frozen=True)
class Badge:
    """`life` makes a customer of figures; `enough` are those that are just enough for each level."""

    name: str
    life: Callable[..., list[Step]]
    enough: list[tuple[int, ...]]


BADGES = [
    Badge("Activated", activated, [(1, 0, 0), (2, 5, 0), (3, 10, 2), (5, 15, 5)]),
    Badge("30 Days Active", thirty_days_active, [(15,), (20,), (25,), (30,)]),
    Badge("90 Days Loyal", ninety_days_loyal, [(90, 30), (180, 45), (365, 60), (730, 75)]),
    Badge("Power User", power_user, [(50, 12), (65, 16), (80, 20), (90, 25)]),
    Badge("App Champion", app_champion, [(20, 20), (100, 35), (300, 50), (1_000, 70)]),
    Badge("Big Spender", big_spender, [(100, 10), (300, 20), (750, 35), (1_500, 50)]),
    Badge("Premium", premium, [(1, 0, 0), (1, 40, 0), (2, 60, 0), (2, 75, 60)]),
    Badge("Self-Care Pro", times("self_care"), [(3,), (10,), (25,), (50,)]),
    Badge("Auto-Renew", times("auto_renew"), [(1,), (3,), (6,), (12,)]),
    Badge("Referrer", times("referral"), [(1,), (3,), (5,), (10,)]),
    Badge("Comeback Hero", comeback_hero, [(1, 3, 0), (1, 10, 0), (1, 10, 30), (1, 15, 60)]),
    Badge("Custom", completed, [(5,), (15,), (40,), (100,)]),
]
ALL = [(badge, level) for badge in BADGES for level in range(4)]
each_level = pytest.mark.parametrize(
    ("badge", "level"), ALL, ids=[f"{badge.name} {LEVELS[level]}" for badge, level in ALL]
)


def awarded(badge: Badge, figures: tuple[int, ...]) -> list[int]:
    return levels(with_only(MISSION), badge.life(*figures), badge.name)


def test_every_badge_has_its_life() -> None:
    assert [badge.name for badge in BADGES] == [each.name for each in game().badges]


@each_level
def test_who_has_just_enough_is_awarded_the_level_and_no_higher_one(badge: Badge, level: int) -> None:
    assert awarded(badge, badge.enough[level]) == list(range(1, level + 2))


@each_level
def test_who_has_one_less_is_not(badge: Badge, level: int) -> None:
    enough = badge.enough[level]
    for index, figure in enumerate(enough):
        if figure:
            less = (*enough[:index], figure - 1, *enough[index + 1 :])
            assert level + 1 not in awarded(badge, less), less
