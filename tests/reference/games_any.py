"""Games by chance, seeded: any goal, filter, condition over any feature, reward and limit that is valid."""

from __future__ import annotations

from random import Random
from typing import Any

from loyalty.conditions import Kind
from loyalty.game import (
    GOALS,
    Badge,
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
from loyalty.vocabulary import FEATURES
from tests.reference.games import CATEGORIES, DAILY, MONEY, template
from tests.reference.model import UNIT_OF, UNITS

TYPES = sorted(UNIT_OF)
OFTEN = [*DAILY, *MONEY, "feature_use", "web_login", "roaming_call", "profile_update", "refund"]
FILTERS = [
    "", "", "", "",
    'channel = "app"', "value >= 2", "value in (1, 2.5, 3)", "on_time = yes", "on_time is known",
    "feature = 1", "not (channel is known)", "feature >= 1 and feature < 2", "consent = no", "value < 0",
    'source not in ("billing", "app")', 'kind != "beta" or value > 10', 'feature in ("a", "b", "1")',
    'channel is unknown or not (kind = "final" and value != 3)', 'feature = "1"', "paid_from != yes",
    "source is known",
]  # fmt: skip
NUMBERS = (0, 1, 2, 3, 5, 10, 30, 90, 0.5, 0.25, 33.3, -1, 333, 1_000)
WORDS = ("gold", "Gold", "en", "t1", "7", "öl", "yes")
ATTRIBUTES = ("feature", "channel", "kind", "event_type", "source", "on_time")
NUMERIC = [feature.name for feature in FEATURES if feature.kind is Kind.NUMBER]


def any_game(seed: int) -> Game:
    """The same for the same seed.  Numbers of templates and badges come again in other games."""
    r = Random(seed)
    offers = [Offer(n, f"Offer {n}") for n in (0, 1, 7, 30_000)]
    badges = [_badge(r, n) for n in sorted(r.sample([0, 1, 2, 9, 31], r.randint(0, 3)))]
    numbers = sorted(r.sample([*range(1, 17), 64, 255, 511], r.randint(1, 9)))
    templates: list[Template] = []
    for number in numbers:
        templates.append(_template(r, number, [each.name for each in templates], badges))
    tiers = [Tier(f"T{n}", points) for n, points in enumerate([0, *sorted(r.sample(range(1, 200), 3))])]
    earning = [
        Earning(
            n,
            f"E{n}",
            r.sample(OFTEN, r.randint(1, 4)),
            r.choice([0.1, 0.25, 1.0, 1.5, 7.3, 1e6]),
            _filter(r),
        )
        for n in sorted(r.sample(range(1, 9), r.randint(0, 2)))
    ]
    months = r.choice([1, 1, 2, 3, 12, 12, 24, 60])
    return Game(templates, badges, tiers if r.random() < 0.8 else [], earning, offers, months)


def _filter(r: Random) -> str:
    return r.choice(FILTERS)


def _reward(r: Random, badges: list[Badge]) -> Reward:
    points = r.choice([0, 0, 1, 7, 30, 100])
    offer = r.choice([-1, -1, 0, 1, 7, 30_000])
    if badges and r.random() < 0.4:
        return Reward(points, offer, r.choice(badges).number, r.randint(1, 4))
    return Reward(points, offer)


def _badge(r: Random, number: int) -> Badge:
    levels = [Level(condition(r), _reward(r, []) if r.random() < 0.5 else Reward()) for _ in range(4)]
    return Badge(number, f"B{number}", levels, active=r.random() < 0.9)


def _template(r: Random, number: int, before: list[str], badges: list[Badge]) -> Template:
    kind: Any = r.choice(GOALS)
    types = r.sample(OFTEN if r.random() < 0.8 else TYPES, r.randint(1, 4))
    goal: dict[str, Any] = {"where": _filter(r)}
    target = _target(r)
    match kind:
        case "sum":
            types = r.sample(UNITS[UNIT_OF[types[0]]], 1)
        case "distinct":
            goal["distinct"] = r.choice(ATTRIBUTES)
            target = Target(value=r.randint(1, 6))
        case "share":
            goal |= {"where": r.choice(FILTERS[4:]), "among": _filter(r), "at_least": r.randint(1, 5)}
            target = Target(value=r.randint(1, 100))
        case "first":
            goal["where"] = ""
        case "inactivity":
            goal["gap"] = r.randint(0, 3)
    days = r.choice([1, 1, 2, 3, 5, 8, 13, 30, 190])
    if kind in ("days", "weeks"):
        length = r.randint(1, 4)
        target, days = Target(value=length), max(days, length * (1 if kind == "days" else 7))
    return template(
        number, f"M{number}", Goal(kind, types, **goal), target, days,
        cooldown=r.choice([0, 0, 1, 2, 5, 40]), priority=r.randint(-3, 99), category=r.choice(CATEGORIES),
        eligibility=condition(r) if r.random() < 0.5 else "",
        after=[r.choice(before)] if before and r.random() < 0.15 else [],
        rewards=_reward(r, badges),
        limits=_limits(r),
        active=r.random() < 0.9,
    )  # fmt: skip


def _target(r: Random) -> Target:
    if r.random() < 0.5:
        return Target(value=r.choice([1, 2, 3, 5, 10, 50]))
    low = r.choice([1, 2, 5])
    return Target(
        baseline=r.choice(NUMERIC), stretch=r.choice([0.1, 1.0, 1.27, 3.3]), low=low,
        high=low * r.choice([1, 2, 20, 5_000_000]),
    )  # fmt: skip


def _limits(r: Random) -> Limits:
    chance = r.random()
    per_customer = r.choice([0, 0, 0, 1, 2, 3])
    if chance < 0.75:
        return Limits(per_customer)
    return Limits(per_customer, r.choice([0, 1, 2, 5]), r.choice([0, 50, 150]))


def condition(r: Random, depth: int = 2) -> str:
    """A condition over features."""
    chance = r.random()
    if not depth or chance < 0.5:
        return _comparison(r)
    if chance < 0.6:
        return f"not ({condition(r, depth - 1)})"
    parts = [f"({condition(r, depth - 1)})" for _ in range(r.randint(2, 3))]
    return r.choice([" and ", " or "]).join(parts)


def _comparison(r: Random) -> str:
    feature = r.choice(FEATURES)
    if r.random() < 0.1:
        return f"{feature.name} {r.choice(['is known', 'is unknown'])}"
    if feature.kind is Kind.FLAG:
        return f"{feature.name} {r.choice(['=', '!='])} {r.choice(['yes', 'no'])}"
    literals = [f'"{each}"' for each in WORDS] if feature.kind is Kind.WORD else [str(n) for n in NUMBERS]
    if r.random() < 0.2:
        chosen = ", ".join(r.sample(literals, r.randint(1, 3)))
        return f"{feature.name} {r.choice(['in', 'not in'])} ({chosen})"
    if feature.kind is Kind.WORD:
        return f"{feature.name} {r.choice(['=', '!='])} {r.choice(literals)}"
    return f"{feature.name} {r.choice(['<', '<=', '>', '>=', '>=', '>', '=', '!='])} {r.choice(literals)}"
