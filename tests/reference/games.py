"""Games to try a fold on: odd but valid, with so short missions that much happens in short logs."""

from __future__ import annotations

from typing import Any, get_args

from loyalty.game import (
    Badge,
    Category,
    Earning,
    Game,
    Goal,
    Level,
    Limits,
    Offer,
    Reward,
    Target,
    Template,
    Tier,
)

CALLS = ["voice_call", "roaming_call"]
MONEY = ["recharge", "purchase", "bundle_purchase", "payment"]
DAILY = ["sms", "voice_call", "app_login", "data_session", "recharge"]
CATEGORIES = get_args(Category)


def template(
    number: int, name: str, goal: Goal, target: Target | int = 0, days: int = 3, cooldown: int = 0,
    priority: int = 10, category: Any = "engagement", **more: Any,
) -> Template:  # fmt: skip
    return Template(
        number, name, category, goal, Target(value=target) if isinstance(target, int) else target, days,
        cooldown, priority, **more,
    )  # fmt: skip


def badge(
    number: int, name: str, *conditions: str, rewards: dict[int, Reward] | None = None, active: bool = True
) -> Badge:
    """Four levels; `rewards` by level, 1 to 4."""
    levels = [Level(text, (rewards or {}).get(n, Reward())) for n, text in enumerate(conditions, 1)]
    return Badge(number, name, levels, active=active)


TIERS = [Tier("bronze", 0), Tier("silver", 40), Tier("gold", 120), Tier("platinum", 400)]
OFFERS = [Offer(0, "100 MB"), Offer(1, "Ringtone"), Offer(7, "Cinema")]

BADGES = [
    badge(
        0, "Talker", "calls_lifetime > 0", "calls_lifetime > 2", "calls_lifetime >= 3", "calls_lifetime > 8",
        rewards={1: Reward(points=3), 3: Reward(points=5, offer=0)},
    ),
    badge(
        3, "Player", "missions_completed >= 1", "missions_completed >= 2 and badges_held > 1",
        "missions_completed >= 4", "missions_completed >= 8", rewards={2: Reward(offer=7, badge=0, level=4)},
    ),
    badge(
        5, "Regular", "active_streak_days >= 2", "active_streak_days >= 3 and days_since_last_activity <= 1",
        "active_days_30 >= 6", "active_weeks_12 >= 4 or active_days_90 > 20", rewards={1: Reward(points=1)},
    ),
    badge(
        31, "Spender", "revenue_lifetime >= 10", "revenue_30_days >= 50.5", "recharge_lifetime > 100",
        "revenue_90_days >= 1_000 and tier != 0", rewards={n: Reward(points=n) for n in range(1, 5)},
    ),
]  # fmt: skip
EARNING = [
    Earning(1, "Top-ups", ["recharge", "bundle_purchase"], 1.5, 'value >= 1 and not (channel = "ussd")'),
    Earning(2, "Anything paid", MONEY, 0.1),
    Earning(9, "Megabytes", ["data_session"], 0.25, "value < 1_000"),
]

# Every kind of goal and reward, caps, prerequisites, personal targets, filters.
TEMPLATES = [
    template(
        1, "First Call", Goal("first", CALLS), days=7, priority=50, category="onboarding",
        rewards=Reward(points=10),
    ),
    template(
        2, "First App", Goal("first", ["app_install", "app_login"]), days=4, priority=49,
        category="onboarding", rewards=Reward(offer=1),
    ),
    template(
        3, "Profile", Goal("count", ["profile_update"]), 1, days=10, priority=48, category="onboarding",
        after=["First Call"], rewards=Reward(badge=3, level=2),
    ),
    template(
        4, "Call More", Goal("count", CALLS), Target(baseline="calls_30_days", stretch=3.3, low=2, high=12),
        days=2, cooldown=1, priority=20, limits=Limits(per_customer=3), rewards=Reward(points=7),
    ),
    template(
        5, "Top Up", Goal("sum", ["recharge", "bundle_purchase"], "value > 0.5"),
        Target(baseline="revenue_30_days", stretch=1.1, low=5, high=500), days=5, priority=30,
        category="revenue", rewards=Reward(points=100, offer=0, badge=31, level=1),
    ),
    template(6, "Data", Goal("sum", ["data_session", "roaming_data"]), 5, days=4, cooldown=3, priority=11),
    template(
        7, "Variety", Goal("distinct", [*DAILY, "web_login"], distinct="event_type"), 3, days=5, priority=15,
        rewards=Reward(badge=0, level=2),
    ),
    template(8, "Streak", Goal("days", DAILY), 3, days=9, priority=22, rewards=Reward(points=30)),
    template(9, "Weeks", Goal("weeks", DAILY), 2, days=20, priority=11, rewards=Reward(points=5, offer=7)),
    template(
        10, "On Time", Goal("share", ["payment"], "on_time = yes", among="on_time is known", at_least=2), 60,
        days=20, priority=9, category="loyalty", rewards=Reward(points=15),
    ),
    template(
        11, "Stay", Goal("inactivity", DAILY, gap=2), days=6, cooldown=2, priority=21, category="loyalty",
        rewards=Reward(points=12, offer=1, badge=5, level=3),
    ),
    template(
        12, "Rush", Goal("count", ["sms"]), 2, days=2, priority=40, eligibility="missions_completed >= 1",
        limits=Limits(total=2), rewards=Reward(points=20),
    ),
    template(
        13, "Budget", Goal("count", ["app_login", "web_login"]), 2, days=3, cooldown=1, priority=39,
        limits=Limits(per_customer=2, budget=50), rewards=Reward(points=20, offer=7),
    ),
    template(
        14, "Big Purchase",
        Goal("count", MONEY, 'value >= 10 and source in ("billing", "test") and not (channel = "ussd")'), 2,
        priority=25, category="revenue", eligibility="revenue_lifetime > 0 and engagement >= 1",
        rewards=Reward(points=8),
    ),
    template(
        15, "Features", Goal("distinct", ["feature_use"], 'kind != "beta"', distinct="feature"), 2, days=6,
        priority=14, rewards=Reward(points=2),
    ),
    template(
        16, "Welcome Back", Goal("count", DAILY), 3, days=2, priority=90, category="behavioral_correction",
        eligibility="comebacks >= 1 and not (opted_in = yes)", cooldown=30, rewards=Reward(points=50),
    ),
]  # fmt: skip

RICH = Game(TEMPLATES, BADGES, TIERS, EARNING, OFFERS, points_valid_months=1)


def _changed(**by_name: Any) -> list[Template]:
    """The templates with fields of some replaced; None removes one."""
    found = []
    for each in TEMPLATES:
        change = by_name.get(each.name.replace(" ", "_"), {})
        if change is not None:
            fields = {name: getattr(each, name) for name in each.__struct_fields__}
            found.append(Template(**fields | change))
    return found


# What a revision may do to missions that run: other goals, prices and priorities, gone, inactive, no caps.
CHANGED = Game(
    _changed(
        First_Call={"rewards": Reward(points=1), "duration_days": 1},
        Call_More={"goal": Goal("sum", CALLS), "target": Target(value=600), "limits": Limits()},
        Top_Up=None,
        Streak={"active": False},
        Weeks={"goal": Goal("inactivity", ["sms"], gap=9), "name": "Fortnight", "priority": 95},
        Rush={"limits": Limits(total=5, budget=41), "priority": 41, "eligibility": ""},
        Budget={"limits": Limits(), "category": "onboarding"},
        Stay={"duration_days": 3, "goal": Goal("inactivity", DAILY, gap=0), "priority": 60},
        Profile={"after": []},
    ),
    [
        badge(0, "Talker", *["calls_lifetime >= 2"] * 4),
        badge(3, "Player", *["missions_active >= 1"] * 4, active=False),
        badge(7, "Comer", "comebacks >= 1", "longest_absence_days > 60", "comebacks >= 3", "comebacks >= 4"),
    ],
    [Tier("low", 0), Tier("high", 25)],
    [Earning(2, "Anything paid", MONEY, 2.0, 'channel is known or paid_from = "balance"')],
    [Offer(0, "200 MB")],
    points_valid_months=3,
)

# So many that all slots and cooldowns are taken; each has another priority, goal and filter.
CROWDED = Game(
    [
        template(
            100 + n, f"Crowd {n}",
            [
                Goal("count", ["sms"]), Goal("sum", ["recharge"]), Goal("days", ["app_login"]),
                Goal("distinct", DAILY, distinct="source"), Goal("inactivity", ["sms"], gap=1),
            ][n % 5],
            1 + n % 3 if n % 3 else Target(baseline="sms_30_days", stretch=0.1 * n, low=1, high=5),
            days=1 + n % 4, cooldown=(0, 5, 40)[n % 3], priority=(n * 7) % 11 - 3, category=CATEGORIES[n % 5],
            limits=Limits(per_customer=(0, 1, 1, 2)[n % 4]),
            rewards=Reward(points=n % 4, offer=1 if n % 6 == 5 else -1),
            eligibility=["", "risk < 50", "sms_count >= 1", "days_to_anniversary is unknown"][n % 4],
        )
        for n in range(30)
    ],
    [],
    TIERS,
    [],
    OFFERS,
    points_valid_months=60,
)  # fmt: skip

# Words, flags, dates, unknown values, negations.
WORDY = Game(
    [
        template(
            40, "Gold", Goal("count", DAILY, "value is known"), 2, days=5, rewards=Reward(points=4),
            eligibility='segment in ("gold", "Gold") or lifecycle_stage not in ("new", "7")',
        ),
        template(
            41, "Agreed", Goal("count", ["profile_update"], "consent = yes"), 1, priority=6,
            eligibility="consent is unknown or consent != yes", rewards=Reward(offer=0),
        ),
        template(
            42, "Birthday", Goal("count", DAILY, "source is known"), 1, days=1, cooldown=300, priority=99,
            eligibility="days_to_birthday <= 3 or days_to_birthday >= 360", rewards=Reward(points=9),
        ),
        template(
            43, "Anniversary", Goal("weeks", DAILY), 3, days=22, cooldown=300, priority=98,
            category="loyalty", eligibility="days_to_anniversary <= 7", rewards=Reward(points=90),
        ),
        template(
            44, "No", Goal("sum", ["payment"], "on_time != no and paid_from is unknown"),
            Target(baseline="revenue_90_days", stretch=0.37, low=1, high=99_999), days=14, priority=5,
            eligibility='not (tariff = "t1") and churn_probability is unknown and on_time_share is unknown',
            rewards=Reward(points=77),
        ),
        template(
            45, "Digits", Goal("distinct", ["feature_use", "sms"], distinct="feature"), 4, days=9, priority=4,
            eligibility="tenure_days >= 0 and recharge_count < 5", rewards=Reward(points=3),
        ),
    ],
    [
        badge(
            11, "Custom", 'language = "en"', "tier >= 1", "points_balance >= 50",
            "points_earned_lifetime >= 100 and points_earned_this_year < 1_000_000",
            rewards={1: Reward(points=60)},
        )
    ],
    [Tier("öl", 0), Tier("x", 1), Tier("y", 61)],
    [Earning(30, "SMS", ["sms"], 1.0, "value in (1, 2.5, 3)")],
    [Offer(0, "✓")],
    points_valid_months=12,
)  # fmt: skip

# What was foretold decides: given, awarded and aimed at by it.
FORETOLD = Game(
    [
        template(
            50, "Stay With Us", Goal("count", DAILY), 2, days=4, priority=70,
            category="behavioral_correction",
            eligibility="churn_probability >= 0.5 and not (default_risk > 0.9)", rewards=Reward(points=40),
        ),
        template(
            51, "Buy", Goal("sum", MONEY), Target(baseline="predicted_ltv", stretch=0.1, low=2, high=90),
            days=3, priority=60, eligibility="purchase_propensity > 0.3 or upsell_propensity >= 0.3",
            rewards=Reward(offer=7), limits=Limits(total=3),
        ),
        template(
            52, "Come Daily", Goal("days", DAILY),
            Target(baseline="predicted_active_days", stretch=0.2, low=1, high=5), days=6, priority=50,
            eligibility="predicted_active_days is known and risk < 80", rewards=Reward(points=5),
        ),
        template(
            53, "The Offer", Goal("count", DAILY), 1, days=2, cooldown=2, priority=40,
            eligibility="next_best_offer in (0, 7)", rewards=Reward(offer=0),
        ),
        template(54, "Unknown", Goal("count", ["sms"]), 4, eligibility="churn_probability is unknown"),
    ],
    [
        badge(
            4, "Champion", "rfm_score >= 300", "rfm_score >= 444", "rfm_score > 500", "rfm_score = 555",
            rewards={n: Reward(points=20 * n) for n in range(1, 5)},
        ),
        badge(
            6, "Precious", "predicted_ltv > 1", "predicted_ltv >= 99.99", "revenue >= 40",
            "campaign_response >= 0.75", rewards={2: Reward(offer=1)},
        ),
    ],
    TIERS,
    EARNING,
    OFFERS,
    points_valid_months=2,
)  # fmt: skip

NONE = Game()
EARN_ONLY = Game([], [], TIERS, [Earning(4, "All", [*MONEY, "refund"], 7.3)], [], points_valid_months=2)
ASLEEP = Game(
    [
        Template(
            **{name: getattr(TEMPLATES[3], name) for name in TEMPLATES[3].__struct_fields__}
            | {"active": False}
        )
    ],
    [badge(0, "Talker", *["calls_lifetime >= 1"] * 4, active=False)],
    [Tier("one", 0), Tier("two", 5)],
)
