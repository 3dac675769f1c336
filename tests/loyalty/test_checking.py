"""A draft is told everything it has wrong, with the place; what has no problem can be played."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.draft import seed
from loyalty.checking import Problem, problems
from loyalty.content import Decisions, Predictions, ScoringPolicy
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
from loyalty.policy import compile_policy
from loyalty.rules import Rules
from loyalty.vocabulary import FEATURES
from tests.reference.games import WORDY

T = TypeVar("T", bound=msgspec.Struct)

FIRST = Template(
    1, "Call", "engagement", Goal("count", ["voice_call"]), Target(value=3), 14, 30, 10,
    eligibility="risk < 60", rewards=Reward(points=20, offer=1, badge=3, level=2),
)  # fmt: skip
SECOND = msgspec.structs.replace(FIRST, number=2, name="Text", after=["Call"])
BADGE = Badge(3, "Talker", [Level(f"calls_lifetime >= {n}", Reward(points=n)) for n in (1, 2, 3, 4)])
EARNING = Earning(1, "Paid", ["recharge"], 10.0)
GAME = Game(
    [FIRST, SECOND], [BADGE], [Tier("low", 0), Tier("high", 100)], [EARNING], [Offer(1, "Data")], 12
)  # fmt: skip


def replaced(given: T, **changes: Any) -> T:
    return msgspec.structs.replace(given, **changes)


def template(**changes: Any) -> Game:
    """The game with another first template."""
    return replaced(GAME, templates=[replaced(FIRST, **changes), SECOND])


def goal(kind: Any, types: list[str], target: Target | None = None, days: int = 14, **more: Any) -> Game:
    return template(
        goal=Goal(kind, types, **more), target=target or Target(value=3), duration_days=days,
        name="Call",
    )  # fmt: skip


def level(n: int, **changes: Any) -> Game:
    levels = list(BADGE.levels)
    levels[n] = replaced(levels[n], **changes)
    return replaced(GAME, badges=[replaced(BADGE, levels=levels)])


def test_a_sound_game_has_no_problems() -> None:
    assert problems(GAME, 2) == []
    assert problems(Game(), 2) == []
    assert problems(WORDY, 2) == []
    for decimals in (0, 2, 3):
        assert problems(seed().onto(Game(), decimals), decimals) == []


CALL, TALKER, PAID = 'templates["Call"]', 'badges["Talker"]', 'earning["Paid"]'
PERSONAL = Target(baseline="calls_30_days", stretch=1.2, low=5, high=50)
LONG = 2**40

CASES: list[tuple[Game, str, str]] = [
    # Names and numbers.
    (
        replaced(GAME, templates=[FIRST, replaced(SECOND, name="Call", after=[])]),
        f"{CALL}.name",
        "two have this name, 1 and 2",
    ),
    (
        replaced(GAME, templates=[FIRST, replaced(SECOND, number=1)]),
        'templates["Text"].number',
        "'Call' has the number 1 too",
    ),
    (template(number=0), f"{CALL}.number", "must be 1 to 511, not 0"),
    (template(number=512), f"{CALL}.number", "must be 1 to 511, not 512"),
    (replaced(GAME, templates=[FIRST, replaced(SECOND, name=" ")]), "templates[1].name", "must not be empty"),
    (
        replaced(GAME, badges=[BADGE, replaced(BADGE, number=32, name="More")]),
        'badges["More"].number',
        "must be 0 to 31, not 32",
    ),
    (
        replaced(GAME, earning=[EARNING, replaced(EARNING, number=2)]),
        f"{PAID}.name",
        "two have this name, 1 and 2",
    ),
    (
        replaced(GAME, earning=[replaced(EARNING, number=65_536)]),
        f"{PAID}.number",
        "must be 0 to 65,535, not 65,536",
    ),
    (
        replaced(GAME, offers=[Offer(1, "Data"), Offer(1, "Calls")]),
        'offers["Calls"].offer_id',
        "'Data' has the number 1 too",
    ),
    (
        replaced(GAME, offers=[Offer(1, "Data"), Offer(-1, "Calls")]),
        'offers["Calls"].offer_id',
        "must be 0 to 2,147,483,647, not -1",
    ),
    # Conditions.
    (
        template(eligibility="tier > 1 and\n  calls_30_days > 3 or recharge_counts > 1"),
        f"{CALL}.eligibility",
        "column 37: there is no 'recharge_counts'; "
        "did you mean recharge_count or purchase_count or self_care_count?",
    ),
    (
        template(eligibility="risk = 'high'"),
        f"{CALL}.eligibility",
        "column 8: risk compares with a number, not 'high'",
    ),
    (
        goal("count", ["sms"], where="value >"),
        f"{CALL}.goal.where",
        "column 8: a number, a word in quotes, yes or no expected, not the end",
    ),
    (
        level(2, condition="calls_lifetime => 3"),
        f"{TALKER}.levels[2].condition",
        "column 17: a number, a word in quotes, yes or no expected, not '>'",
    ),
    (
        replaced(GAME, earning=[replaced(EARNING, where="source = 1")]),
        f"{PAID}.where",
        "column 10: source compares with a word, not 1",
    ),
    (
        goal("share", ["payment"], where="on_time = yes", among="value >= x"),
        f"{CALL}.goal.among",
        "column 10: a number, a word in quotes, yes or no expected, not 'x'",
    ),
    # Goals.
    (goal("count", []), f"{CALL}.goal.types", "must name at least one event type"),
    (
        goal("count", ["sms", "voice_cal"]),
        f"{CALL}.goal.types[1]",
        "there is no event type 'voice_cal'; did you mean voice_call or invoice?",
    ),
    (goal("count", ["_tick"]), f"{CALL}.goal.types[0]", "there is no event type '_tick'"),
    (
        goal("sum", ["recharge", "data_session"]),
        f"{CALL}.goal.types",
        "have different units, which do not add up: currency and megabytes",
    ),
    (
        goal("first", ["recharge"], Target(value=1), where="value > 5"),
        f"{CALL}.goal.where",
        "`first` is the first event of these types at all; with a filter, use `count` and the target 1",
    ),
    (
        goal("distinct", ["feature_use"]),
        f"{CALL}.goal.distinct",
        "must say which attribute's values count, or `event_type`",
    ),
    (
        goal("count", ["feature_use"], distinct="feature"),
        f"{CALL}.goal.distinct",
        "belongs to goals of kind `distinct`; this one is `count`",
    ),
    (
        goal("share", ["payment"]),
        f"{CALL}.goal.where",
        "must say which events make up the share; without it all do",
    ),
    (
        goal("share", ["payment"], where="on_time = yes", at_least=0),
        f"{CALL}.goal.at_least",
        "must be 1 to 1,000,000 events, not 0",
    ),
    (
        goal("count", ["payment"], among="on_time = yes"),
        f"{CALL}.goal.among",
        "belongs to goals of kind `share`; this one is `count`",
    ),
    (
        goal("sum", ["payment"], at_least=2),
        f"{CALL}.goal.at_least",
        "belongs to goals of kind `share`; this one is `sum`",
    ),
    (goal("inactivity", ["sms"], Target(), days=5, gap=5), f"{CALL}.goal.gap", "must be 0 to 4 days, not 5"),
    (
        goal("inactivity", ["sms"], Target(), days=5, gap=-1),
        f"{CALL}.goal.gap",
        "must be 0 to 4 days, not -1",
    ),
    (
        goal("days", ["sms"], gap=1),
        f"{CALL}.goal.gap",
        "belongs to goals of kind `inactivity`; this one is `days`",
    ),
    # Targets.
    (
        template(target=Target()),
        f"{CALL}.target",
        "must not be zero: say a value, or baseline, low and high",
    ),
    (template(target=Target(value=-1)), f"{CALL}.target.value", "must be 1 to 4,294,967,295, not -1"),
    (
        template(target=replaced(PERSONAL, value=3)),
        f"{CALL}.target",
        "is either a value or personal (baseline, stretch, low, high), not both",
    ),
    (
        template(target=replaced(PERSONAL, baseline="call_30_days")),
        f"{CALL}.target.baseline",
        "there is no 'call_30_days'; did you mean calls_30_days or recharge_30_days or sms_30_days?",
    ),
    (
        template(target=replaced(PERSONAL, baseline="segment")),
        f"{CALL}.target.baseline",
        "segment is no number",
    ),
    (template(target=replaced(PERSONAL, stretch=0.0)), f"{CALL}.target.stretch", "must be above 0, not 0.0"),
    (
        template(target=replaced(PERSONAL, stretch=float("nan"))),
        f"{CALL}.target.stretch",
        "must be above 0, not nan",
    ),
    (
        template(target=Target(value=3, high=5)),
        f"{CALL}.target",
        "is either a value or personal (baseline, stretch, low, high), not both",
    ),
    (
        goal("first", ["sms"]),
        f"{CALL}.target",
        "a goal of kind `first` has its own, 1; leave it out",
    ),
    (
        goal("inactivity", ["sms"], PERSONAL, gap=1),
        f"{CALL}.target",
        "a goal of kind `inactivity` has its own, 14; leave it out",
    ),
    (template(target=replaced(PERSONAL, low=0)), f"{CALL}.target.low", "must be at least 1, not 0"),
    (
        template(target=replaced(PERSONAL, high=4)),
        f"{CALL}.target.high",
        "must be at least `low`, 5, not 4",
    ),
    (
        goal("distinct", ["feature_use"], Target(value=7), distinct="feature"),
        f"{CALL}.target.value",
        "must be 1 to 6, not 7 (that many values are remembered)",
    ),
    (
        goal("distinct", ["sms", "voice_call", "sms"], distinct="event_type"),
        f"{CALL}.target.value",
        "must be 1 to 2, not 3 (as many event types count)",
    ),
    (
        goal("share", ["payment"], Target(value=101), where="on_time = yes"),
        f"{CALL}.target.value",
        "must be 1 to 100, not 101 (a share is in percent)",
    ),
    (
        goal("days", ["sms"], Target(value=15)),
        f"{CALL}.target.value",
        "must be 1 to 14, not 15 (a longer streak than the mission lasts)",
    ),
    (
        goal("days", ["sms"], replaced(PERSONAL, high=15)),
        f"{CALL}.target.high",
        "must be 1 to 14, not 15 (a longer streak than the mission lasts)",
    ),
    (
        goal("weeks", ["sms"], Target(value=4), days=15),
        f"{CALL}.target.value",
        "must be 1 to 3, not 4 (a longer streak than the mission of 15 days lasts)",
    ),
    (
        goal("sum", ["recharge"], Target(value=42_949_673)),
        f"{CALL}.target.value",
        "must be 1 to 42,949,672, not 42,949,673 (more cannot be counted)",
    ),
    # The rest of a template.
    (template(duration_days=0), f"{CALL}.duration_days", "must be 1 to 190 days, not 0"),
    (template(duration_days=191), f"{CALL}.duration_days", "must be 1 to 190 days, not 191"),
    (template(cooldown_days=-1), f"{CALL}.cooldown_days", "must be 0 to 3,650 days, not -1"),
    (template(priority=-1), f"{CALL}.priority", "must be 0 to 1,000,000, not -1"),
    (template(rewards=Reward()), f"{CALL}.rewards", "give nothing: say points, an offer or a badge"),
    (
        template(rewards=Reward(points=-5)),
        f"{CALL}.rewards.points",
        "must be 0 to 1,000,000,000 points, not -5",
    ),
    (template(rewards=Reward(offer=2)), f"{CALL}.rewards.offer", "there is no offer 2; there are: 1"),
    (template(rewards=Reward(badge=2)), f"{CALL}.rewards.badge", "there is no badge 2; there are: 3"),
    (template(rewards=Reward(badge=3, level=5)), f"{CALL}.rewards.level", "must be 1 to 4, not 5"),
    (
        template(rewards=Reward(points=5, level=2)),
        f"{CALL}.rewards.level",
        "is the level of a badge, and there is none",
    ),
    (
        template(limits=Limits(per_customer=256)),
        f"{CALL}.limits.per_customer",
        "must be 0 to 255 times, not 256",
    ),
    (
        template(limits=Limits(total=-1)),
        f"{CALL}.limits.total",
        "must be 0 to 1,000,000,000,000 missions, not -1",
    ),
    (
        template(limits=Limits(budget=LONG)),
        f"{CALL}.limits.budget",
        "must be 0 to 1,000,000,000,000 points, not 1,099,511,627,776",
    ),
    (
        template(limits=Limits(budget=100), rewards=Reward(offer=1)),
        f"{CALL}.limits.budget",
        "is a budget of points, and the reward has none",
    ),
    (
        template(limits=Limits(budget=19)),
        f"{CALL}.limits.budget",
        "is less than the 20 points of a single reward",
    ),
    (template(after=["Txt"]), f"{CALL}.after[0]", "there is no template 'Txt'; did you mean Text?"),
    (template(after=["Call"]), f"{CALL}.after", "goes in a circle: 'Call' after 'Call'"),
    (template(after=["Text"]), f"{CALL}.after", "goes in a circle: 'Call' after 'Text' after 'Call'"),
    # Badges, earning, tiers.
    (
        replaced(GAME, badges=[replaced(BADGE, levels=BADGE.levels[:3])]),
        f"{TALKER}.levels",
        "must be 4, bronze, silver, gold, platinum, not 3",
    ),
    (
        level(0, condition=" "),
        f"{TALKER}.levels[0].condition",
        "is empty, so that everybody would have it at once",
    ),
    (
        level(3, rewards=Reward(offer=9)),
        f"{TALKER}.levels[3].rewards.offer",
        "there is no offer 9; there are: 1",
    ),
    (
        level(1, rewards=Reward(badge=3)),
        f"{TALKER}.levels[1].rewards.badge",
        "a badge does not give a badge: points or an offer",
    ),
    (
        replaced(GAME, earning=[replaced(EARNING, types=["recharges"])]),
        f"{PAID}.types[0]",
        "there is no event type 'recharges'; did you mean recharge?",
    ),
    (
        replaced(GAME, earning=[replaced(EARNING, points_per_unit=0.0)]),
        f"{PAID}.points_per_unit",
        "must be above 0, to 1,000,000, not 0.0",
    ),
    (
        replaced(GAME, tiers=[Tier("low", 1)]),
        "tiers[0].points",
        "the lowest tier begins at 0, not 1",
    ),
    (
        replaced(GAME, tiers=[Tier("low", 0), Tier("high", 9), Tier("higher", 9)]),
        "tiers[2].points",
        "must be above the 9 of the tier before, 'high'",
    ),
    (
        replaced(GAME, tiers=[Tier("low", 0), Tier("low", 9)]),
        "tiers[0].name",
        "'low' is the name of two tiers",
    ),
    (replaced(GAME, tiers=[Tier("", 0)]), "tiers[0].name", "must not be empty"),
    (
        replaced(GAME, tiers=[Tier("low", 0), Tier("high", 2**32)]),
        "tiers[1].points",
        "must be 0 to 4,294,967,295 points, not 4,294,967,296",
    ),
    (replaced(GAME, points_valid_months=0), "points_valid_months", "must be 1 to 60, not 0"),
    (replaced(GAME, points_valid_months=61), "points_valid_months", "must be 1 to 60, not 61"),
    # What there is no room for.
    (
        replaced(GAME, tiers=[Tier(f"T{n}", n) for n in range(17)]),
        "tiers",
        "are 17, more than 16",
    ),
    (
        replaced(GAME, earning=[replaced(EARNING, number=n, name=f"E{n}") for n in range(65)]),
        "earning",
        "are 65 rules, more than 64",
    ),
    (
        replaced(
            GAME,
            templates=[
                replaced(FIRST, number=n, name=f"M{n}", limits=Limits(per_customer=1)) for n in range(1, 21)
            ],
        ),
        "templates",
        "20 have a limit per customer, more than 19: each keeps one of a customer's 20 entries of cooldowns "
        "for good, and without a free one there are no new missions",
    ),
    (
        goal("count", ["sms"], where=" or ".join(f"a{n} = 1" for n in range(10, 42))),
        "templates",
        "filters look at 32 attributes of events, more than 31: "
        + ", ".join(f"a{n}" for n in range(10, 42)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("game", "place", "message"), CASES)
def test_what_is_wrong_is_told_with_its_place(game: Game, place: str, message: str) -> None:
    assert problems(game, 2) == [Problem(place, message)]


def test_all_that_is_wrong_is_told_at_once() -> None:
    game = replaced(template(priority=-1, eligibility="x", after=["Text"]), points_valid_months=0, offers=[])
    assert [problem.place for problem in problems(game, 2)] == [
        f"{CALL}.eligibility",
        f"{CALL}.priority",
        f"{CALL}.rewards.offer",
        'templates["Text"].rewards.offer',
        f"{CALL}.after",
        "points_valid_months",
    ]


def test_a_circle_is_told_once_and_who_only_waits_for_it_is_not() -> None:
    after = {"A": ["E"], "B": ["A", "C"], "C": ["D"], "D": ["B"], "E": [], "F": ["B"]}
    templates = [
        replaced(FIRST, number=n, name=name, after=names) for n, (name, names) in enumerate(after.items(), 1)
    ]
    game = replaced(GAME, templates=templates)
    assert problems(game, 2) == [
        Problem('templates["B"].after', "goes in a circle: 'B' after 'C' after 'D' after 'B'")
    ]


def test_who_gives_nothing_any_more_needs_no_reward() -> None:
    assert problems(template(rewards=Reward(), active=False), 2) == []


def test_how_much_can_be_counted_depends_on_the_currency() -> None:
    game = goal("sum", ["recharge"], Target(value=42_949_672))
    assert problems(game, 2) == []
    assert [problem.place for problem in problems(game, 3)] == [f"{CALL}.target.value"]
    assert problems(goal("sum", ["data_session"], Target(value=2**22 - 1)), 3) == []
    assert problems(goal("sum", ["data_session"], Target(value=2**22)), 3) != []


@dataclass(frozen=True)
class Content:
    game: Game
    decisions: Decisions = field(default_factory=Decisions)
    policy: ScoringPolicy = field(default_factory=ScoringPolicy)
    predictions: Predictions = field(default_factory=Predictions)


NAMES = [
    *(feature.name for feature in FEATURES[:3]),
    *GOALS,
    "Call",
    "event_type",
    "sms",
    "recharge",
    "_tick",
]
LEAVES: dict[type, st.SearchStrategy[Any]] = {
    int: st.sampled_from([0, 1, 2, 5, 6, 7, 31, 100, 190, 255, 511, 2**31, 2**32, 2**63, 2**64, -1]),
    float: st.sampled_from([0.5, 0.0, 1e300, -1.0]),
    str: st.sampled_from(
        [*NAMES, "risk >", "value > 1", "a = 1 and b = yes", "x in (1, 2)", "risk > 1", "segment = 'a'", ""]
    ),
    bool: st.booleans(),
    dict: st.sampled_from([{}, {"data": 1.5}]),
    type(None): st.sampled_from([None, {"product_id": "p", "name": "Week"}]),
}
SEED = seed().onto(Game(), 2)


@settings(max_examples=1_500, deadline=None)
@given(st.data())
def test_what_has_no_problem_can_be_played(data: st.DataObject) -> None:
    """Some values of a game are others."""
    game = msgspec.to_builtins(data.draw(st.sampled_from([GAME, WORDY, SEED])))
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = game
        while True:
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or not at[key]:
                break
            at = at[key]
        if isinstance(at, list) and data.draw(st.booleans()):
            at.append(at[key])
        elif not isinstance(at[key], list):
            at[key] = data.draw(LEAVES[type(at[key])])
    try:
        found = msgspec.convert(game, Game)
    except msgspec.ValidationError:
        return
    if not problems(found, 2):
        content = Content(found)
        rules = Rules(lambda revision: content, [1])
        assert np.isfinite(rules.tables.terms["value"]).all()
        compile_policy(content)
