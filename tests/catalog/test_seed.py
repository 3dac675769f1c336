"""The seed of the game: complete, sensible, and nowhere in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from catalog.draft import SEED
from loyalty.conditions import And, Comparison, Not, Or, parse
from loyalty.game import CATEGORIES, GOALS, LEVELS, OFFER_KINDS, Badge, Template
from loyalty.vocabulary import KINDS
from tests.catalog.seed_life import e, game, live, until

ROOT = Path(__file__).parents[2]
MISSIONS = {
    "onboarding": (
        "First Call Mission", "First Data Usage", "App Installation", "Profile Completion", "First Recharge",
    ),
    "engagement": (
        "Daily Usage Streak", "Weekly Activity Goal", "Data Usage Goal", "Call Frequency",
        "App Feature Adoption", "Content Consumption", "Social Sharing", "Multi-Channel Usage",
    ),
    "revenue": (
        "Recharge Threshold", "Bundle Purchase", "Premium Upgrade", "Roaming Usage", "High Value Purchase",
        "Monthly ARPU Goal",
    ),
    "loyalty": (
        "30 Days Active", "90 Days Loyal", "On-Time Payment", "No Inactivity Period", "Anniversary Mission",
    ),
    "behavioral_correction": (
        "Low Usage Recovery", "Churn Risk Intervention", "QoE Compensation", "Reactivation Mission",
        "Payment Recovery",
    ),
}  # fmt: skip
BADGES = (
    "Activated", "30 Days Active", "90 Days Loyal", "Power User", "App Champion", "Big Spender", "Premium",
    "Self-Care Pro", "Auto-Renew", "Referrer", "Comeback Hero", "Custom",
)  # fmt: skip
each_template = pytest.mark.parametrize("template", game().templates, ids=lambda each: each.name)
each_badge = pytest.mark.parametrize("badge", game().badges, ids=lambda each: each.name)


def test_all_of_it_is_there() -> None:
    assert {
        category: tuple(each.name for each in game().templates if each.category == category)
        for category in CATEGORIES
    } == MISSIONS
    assert tuple(badge.name for badge in game().badges) == BADGES
    assert [len(badge.levels) for badge in game().badges] == [4] * 12
    assert tuple(tier.name for tier in game().tiers) == LEVELS
    assert [offer.offer_id for offer in game().offers] == list(range(8))
    first = game().offers[0]
    assert (first.name, first.description) == (
        "Double Points Weekend", "Earn double points on all purchases this weekend",
    )  # fmt: skip
    assert {each.goal.kind for each in game().templates} == set(GOALS)


def numbers(text: str, operator: str) -> Iterator[tuple[str, float]]:
    """The comparisons of a condition with that operator: feature and number."""

    def walk(node: And | Or | Not | Comparison | None) -> Iterator[Comparison]:
        match node:
            case Comparison():
                yield node
            case Not(part):
                yield from walk(part)
            case And(parts) | Or(parts):
                for part in parts:
                    yield from walk(part)

    for found in walk(parse(text, KINDS)):
        if found.operator == operator and isinstance(found.literals[0], int | float):
            yield found.name, found.literals[0]


@each_template
def test_a_mission_can_be_completed_in_its_window(template: Template) -> None:
    goal, target = template.goal, template.target
    most = max(target.value, target.high)
    match goal.kind:
        case "days":
            assert most <= template.duration_days
        case "weeks":  # those it touches when it begins on a Sunday, which is as good as over
            assert most <= -(-(template.duration_days - 1) // 7)
        case "distinct":
            assert most <= (len(goal.types) if goal.distinct == "event_type" else 6)
        case "share":
            assert most <= 100
            assert template.duration_days >= 30 * goal.at_least  # bills come once a month
        case "inactivity":
            assert 1 <= goal.gap < template.duration_days
        case _:
            assert 1 <= most <= 1_000 or goal.types == ["data_session"]


@each_template
def test_a_personal_target_asks_for_more_than_the_customer_does_anyway(template: Template) -> None:
    target = template.target
    if not target.baseline:
        return
    assert 1 <= target.low <= target.high
    assert target.stretch > 1 or template.goal.kind == "weeks"  # of twelve weeks
    for feature, most in numbers(template.eligibility, "<="):
        if feature == target.baseline:
            days = template.duration_days / 30 if feature.endswith("_30_days") else 1
            assert most * days * min(target.stretch, 1) <= target.high


@each_template
def test_a_mission_is_worth_it_and_says_what_to_do(template: Template) -> None:
    assert 20 <= len(template.description) <= 120
    assert template.rewards.points >= 40
    assert template.eligibility
    assert 7 <= template.duration_days <= 100
    assert template.cooldown_days >= 14


def test_corrections_come_before_onboarding_and_that_before_the_others() -> None:
    first, second = ("behavioral_correction",), ("onboarding",)
    anniversary = next(each for each in game().templates if each.goal.kind == "days" and each.priority > 90)
    for each in game().templates:
        least = 90 if each.category in first or each is anniversary else 80 if each.category in second else 0
        assert least <= each.priority < (least + 10 if least else 80)


@each_badge
def test_a_level_asks_for_more_than_the_one_below(badge: Badge) -> None:
    for below, above in pairwise(badge.levels):
        assert " or " not in above.condition
        assert "not " not in above.condition
        low, high = dict(numbers(below.condition, ">=")), dict(numbers(above.condition, ">="))
        assert len(high) == above.condition.count(" and ") + 1
        assert all(high.get(feature, 0) >= least for feature, least in low.items())
        assert high != low
        assert above.rewards.points > below.rewards.points


def test_no_rule_is_named_in_the_code() -> None:
    """Names of one word are words of the language too: they may not stand alone in a text."""
    names = {each.name for each in game().templates} | {each.name for each in game().badges}
    phrases = {name for name in names if " " in name or "-" in name}
    found = []
    for folder in ("agents", "catalog", "cli", "config", "loyalty", "ml", "streams", "tables", "web"):
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            found += [f"{path}: {name}" for name in phrases if name in source]
            texts = {
                node.value
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            found += [f"{path}: {name}" for name in names & texts]
    assert found == []


def test_the_operators_own_badge_is_marked_as_such() -> None:
    text = (SEED / "badges.yaml").read_text(encoding="utf-8")
    assert "This one is yours" in text[text.index("name: Custom") :]


def test_a_new_customer_takes_the_first_steps() -> None:
    """All of the seed at once, for two weeks: two onboarding missions at a time, then the next ones."""
    told = live(
        game(),
        e("activation", 0)
        + e("recharge", 0, 10)
        + e("voice_call", 1, 60)
        + e("data_session", 2, 100)
        + e("app_login", range(3, 10))
        + e("profile_update", 10, language="en", birthday="1990-05-01")
        + until(14),
    )
    onboarding = [
        (each["status"], each["name"])
        for each in told
        if each["topic"] == "mission-progress" and each["category"] == "onboarding"
    ]
    calls, data, app, profile, recharge = MISSIONS["onboarding"]
    assert onboarding == [
        ("given", recharge), ("given", calls),
        ("completed", recharge), ("given", data),
        ("completed", calls), ("given", app),
        ("completed", data), ("given", profile),
        ("completed", app),
        ("completed", profile),
    ]  # fmt: skip
    active = 0
    for each in told:
        if each["topic"] == "mission-progress" and each["status"] != "progress":
            active += 1 if each["status"] == "given" else -1
            assert active <= 5
    earned = sum(each["points"] for each in told if each["topic"] == "reward-grants")
    assert earned >= 50 + 50 + 100 + 75 + 100 + 10 * 10


def test_the_first_offer_and_what_granting_the_eight_means() -> None:
    offers = game().offers
    first = offers[0]
    stands = (first.category, first.lifecycle_stage, first.target_value_segment)
    assert stands == ("points", "retention", "all")
    assert (first.points_factor, first.for_value) == (2.0, frozenset())
    assert {each.kind for each in offers} == set(OFFER_KINDS)
    assert offers[5].for_value == {"medium", "high"}
    for offer in offers:
        assert offer.value > offer.cost > 0
        assert offer.points_factor > 1 or offer.discount or offer.bonus
        assert offer.category
        assert offer.lifecycle_stage in ("onboarding", "growth", "retention", "win_back")
