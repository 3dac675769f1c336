"""docs/game.md by examples worked out by hand: what a mission tells, progress towards every kind of goal."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from loyalty.game import Game, Goal, Reward, Target
from tests.reference.examples import DAY, HOUR, NEW_YEAR, REFRESH, D, contents, play, story
from tests.reference.games import template
from tests.reference.records import event, marker, tick

SMS = ["sms"]


def only(goal: Goal, target: Target | int = 0, days: int = 10, **more: Any) -> Game:
    """A game of one mission: number 1, which everybody gets with the first event."""
    return Game([template(1, "It", goal, target, days, **more)])


def days(*numbers: float, kind: str = "sms", **attributes: Any) -> list[bytes]:
    """An event at noon of each of these days after the first, whose own event gives the mission at noon."""
    return [event("a", kind, NEW_YEAR + 12 * HOUR + int(n * DAY), 1, f"d{n}", **attributes) for n in numbers]


GIVEN = [event("a", "referral", NEW_YEAR + 12 * HOUR, 1, "first")]
STARTED = (NEW_YEAR + 12 * HOUR) // 1000


# What is told of a mission.


def test_a_mission_has_its_effect_and_its_decision() -> None:
    game = only(Goal("sum", ["recharge"]), 20, 7, eligibility="risk >= 0 and referral_count = 1")
    fold, effects = play(game, GIVEN)
    mission_id = hashlib.blake2b(f"a\x1fmission\x1f1\x1f{STARTED}".encode(), digest_size=16).hexdigest()
    by = ["a", "mission:1:given", "0", "test", "first", "0"]
    head = {
        "customer_id": "a",
        "occurred_at": "2020-01-01T12:00:00.000Z",
        "revision": 0,
        "cause": {"source": "test", "event_id": "first"},
    }
    # The scores come last.
    assert [effect["topic"] for effect in effects] == ["mission-progress", "decisions", "behavior-scores"]
    assert effects[0] == {
        "topic": "mission-progress",
        "key": "a",
        "value": {
            "effect_id": hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest(),
            **head,
            "mission_id": mission_id,
            "number": 1,
            "name": "It",
            "category": "engagement",
            "status": "given",
            "reason": "",
            "progress": 0.0,
            "target": 20.0,
            "tenths": 0,
            "started_at": "2020-01-01T12:00:00.000Z",
            "ends_at": "2020-01-08T12:00:00.000Z",
        },
    }
    by[1] = "decision:mission:1:given"
    assert effects[1]["value"] == {
        "effect_id": hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest(),
        **head,
        "kind": "mission",
        "decision": "given",
        "rule": "mission:1",
        "name": "It",
        "control": False,
        "conditions": [
            {"condition": "risk >= 0", "seen": 0.0, "holds": True},
            {"condition": "referral_count = 1", "seen": 1.0, "holds": True},
        ],
    }
    assert fold.snapshot("a")["missions"] == [
        {
            "status": 1, "template": 1, "revision": 0, "started": STARTED, "ends": STARTED + 7 * 86_400,
            "target": 2_000, "progress": 0, "tenths": 0, "marks": 0,
        },
        None, None, None, None,
    ]  # fmt: skip
    # It settles an hour after its end, but the next refresh is before.
    assert fold.snapshot("a")["due"] == fold.snapshot("a")["next_refresh"] == NEW_YEAR + REFRESH


# A. Progress.


def test_progress_is_told_at_each_tenth_and_at_the_end() -> None:
    fold, effects = play(only(Goal("count", SMS), 25), GIVEN + days(*[n / 100 for n in range(1, 26)]))
    told = [f"progress 1 {n}/25" for n in (3, 5, 8, 10, 13, 15, 18, 20, 23)]
    assert story(effects) == ["given 1", *told, "completed 1 25/25", "given 1"]
    tenths = [e["value"]["tenths"] for e in effects if e["topic"] == "mission-progress"]
    assert tenths == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    assert fold.snapshot("a")["missions_completed"] == 1
    assert fold.snapshot("a")["completed"] == 0b10


def test_an_event_counts_from_the_start_to_before_the_end() -> None:
    late = [
        *days(0.5),
        event("a", "sms", NEW_YEAR + 12 * HOUR, 1, "at the start"),
        event("a", "sms", NEW_YEAR + 12 * HOUR - 1, 1, "before it"),
        event("a", "sms", NEW_YEAR + 12 * HOUR + 2 * DAY, 1, "at the end, within the grace"),
        event("a", "sms", NEW_YEAR + 12 * HOUR + 2 * DAY - 1, 1, "just before"),
    ]
    fold, _ = play(only(Goal("count", SMS), 50, 2), GIVEN + late)
    assert fold.customers["a"].missions[0].progress == 3  # type: ignore[union-attr]
    # The start stands in whole seconds.
    first = event("a", "referral", NEW_YEAR + 999, 1, "f")
    fold, _ = play(only(Goal("count", SMS), 50, 2), [first, event("a", "sms", NEW_YEAR, 1, "s")])
    assert fold.customers["a"].missions[0].progress == 1  # type: ignore[union-attr]


def test_the_event_that_gives_a_mission_does_not_move_it() -> None:
    fold, _ = play(only(Goal("count", SMS), 5), days(0, 1))
    assert fold.customers["a"].missions[0].progress == 1  # type: ignore[union-attr]


def progress(game: Game, *records: bytes) -> tuple[int, int]:
    """Progress and marks after these."""
    fold, _ = play(game, [*GIVEN, *records])
    mission = fold.customers["a"].missions[0]
    assert mission is not None
    return mission.progress, mission.marks


def test_a_sum_takes_what_is_positive_in_smallest_units() -> None:
    values = (1.005, -5, 0, 2.675, 10)
    pay = [event("a", "payment", NEW_YEAR + DAY + n, value, f"p{n}") for n, value in enumerate(values)]
    assert progress(only(Goal("sum", ["payment"]), 1_000), *pay) == (100 + 268 + 1_000, 0)
    # Targets and progress end at 2^32 - 1 cents.
    much = [event("a", "payment", NEW_YEAR + DAY + n, 42_949_672, f"m{n}") for n in range(2)]
    _, effects = play(only(Goal("sum", ["payment"]), 99_999_999), GIVEN + much)
    assert [e["value"]["progress"] for e in effects if e["topic"] == "mission-progress"][-2] == 42_949_672.95
    data = event("a", "data_session", NEW_YEAR + DAY, 1.5)
    assert progress(only(Goal("sum", ["data_session"]), 10), data) == (1_536, 0)


def test_distinct_values_are_known_by_their_hash() -> None:
    from tests.reference.model import word_hash

    goal = Goal("distinct", ["feature_use"], distinct="feature")
    came: list[Any] = ["x", "x", "", None, 7, "7", 1.0, True, ["x"], "y"]
    uses = [
        event("a", "feature_use", NEW_YEAR + DAY + n, 1, f"u{n}", feature=of) for n, of in enumerate(came)
    ]
    marks = word_hash("x") | word_hash("7") << 32 | word_hash("y") << 64
    assert progress(only(goal, 6), *uses) == (3, marks)
    types = [event("a", kind, NEW_YEAR + DAY) for kind in ("sms", "voice_call", "sms")]
    goal = Goal("distinct", ["sms", "voice_call"], distinct="event_type")
    assert progress(only(goal, 6), *types) == (2, word_hash("sms") | word_hash("voice_call") << 32)
    sources = [event("a", "sms", NEW_YEAR + DAY, 1, f"s{n}", of) for n, of in enumerate(("app", "", "app"))]
    assert progress(only(Goal("distinct", SMS, distinct="source"), 6), *sources) == (1, word_hash("app"))


def test_a_streak_is_the_longest_run_and_a_late_event_repairs_it() -> None:
    game = only(Goal("days", SMS), 5, 20)
    assert progress(game, *days(0.1, 1, 1.1, 3, 4)) == (2, 0b11011)
    assert progress(game, *days(0, 1, 3)) == (2, 0b1011)
    _, effects = play(game, GIVEN + days(0, 1, 3, 4, 2))
    assert story(effects)[-2:] == ["completed 1 5/5", "given 1"]
    # The longest mission lasts 190 days.
    assert progress(only(Goal("days", SMS), 5, 190), *days(189.9)) == (1, 1 << 190)
    # The days are the operator's: 23:30 UTC of the first is the second in Berlin.
    night = [event("a", "sms", NEW_YEAR + 23 * HOUR + 30 * 60_000), event("a", "sms", NEW_YEAR + 13 * HOUR)]
    fold, _ = play(contents(game, timezone="Europe/Berlin"), GIVEN + night)
    assert fold.customers["a"].missions[0].marks == 0b11  # type: ignore[union-attr]


def test_weeks_are_iso_weeks_from_that_of_the_start() -> None:
    # The first is a Wednesday: Sunday is in its week, Monday the 6th begins the next.
    game = only(Goal("weeks", SMS), 9, 60)
    assert progress(game, *days(4)) == (1, 0b1)
    assert progress(game, *days(4, 5, 12.5)) == (3, 0b111)
    assert progress(game, *days(4, 19, 26, 5)) == (2, 0b11011)


def test_a_share_counts_among_what_it_is_of() -> None:
    goal = Goal("share", ["payment"], "on_time = yes", among="on_time is known", at_least=4)
    game = only(goal, 60)

    def pay(*times: Any) -> list[bytes]:
        return [event("a", "payment", NEW_YEAR + DAY + n, 1, f"p{n}", on_time=t) for n, t in enumerate(times)]

    # `is known` asks for a word: a string or a whole number, so true and null do not take part.
    assert progress(game, *pay("yes", True, None, 1)) == (100 * 2 * 2 // (2 * 4), 2 | 2 << 32)
    assert progress(game, *pay("yes", "no", "no")) == (100 * 1 * 3 // (3 * 4), 1 | 3 << 32)
    assert progress(game, *pay("yes", *["no"] * 5)) == (100 * 1 * 4 // (6 * 4), 1 | 6 << 32)
    _, effects = play(game, GIVEN + pay("yes", "yes", "yes", "no"))
    assert story(effects) == [
        "given 1", "progress 1 25/60", "progress 1 50/60", "progress 1 75/60", "completed 1 75/60", "given 1",
    ]  # fmt: skip
    # A fall is not told; nor is what rises again no further.
    _, effects = play(game, GIVEN + pay("yes", "yes", "no", "no", "no", "no", "no", "yes", "yes"))
    assert story(effects) == ["given 1", "progress 1 25/60", "progress 1 50/60"]


def test_first_is_not_given_to_who_has_done_it() -> None:
    game = only(Goal("first", SMS), 0, cooldown=0)
    assert story(play(game, GIVEN + days(1, 2))[1]) == ["given 1", "completed 1 1/1"]
    assert story(play(game, days(0) + GIVEN)[1]) == []


@pytest.mark.parametrize(
    ("on", "gap", "reached", "end"),
    [
        ((), 0, 0, "expired"),
        ((0, 1, 2), 0, 3, "completed"),
        ((0, 1), 0, 2, "expired"),
        ((1, 2), 0, 0, "expired"),
        ((1, 2), 1, 3, "completed"),
        ((0,), 2, 1, "completed"),  # two days without, at the end
        ((0,), 1, 1, "expired"),
        ((2,), 1, 0, "expired"),  # two days at the beginning
        ((), 3, 0, "completed"),
        ((0, 2), 1, 3, "completed"),
        ((0, 1, 2, 2.9), 0, 4, "completed"),  # before noon of the third day after
    ],
)
def test_inactivity_is_known_when_it_settles(on: tuple[float, ...], gap: int, reached: int, end: str) -> None:
    game = only(Goal("inactivity", SMS, gap=gap), 0, 3, cooldown=9, rewards=Reward(points=4))
    ended = tick(NEW_YEAR + 12 * HOUR + 3 * DAY + HOUR, everyone=True)
    fold, effects = play(game, [*GIVEN, *days(*on), ended])
    assert not any(said.startswith("completed") for said in story(play(game, GIVEN + days(*on))[1]))
    ends = [said for said in story(effects) if said.startswith(("completed", "expired"))]
    assert ends == [f"{end} 1 {3 if end == 'completed' else reached}/3"]
    assert fold.snapshot("a")["points_earned"] == 4 * (end == "completed")


def test_filters_let_through() -> None:
    where = 'value >= 10 and source = "test" and (channel = "app" or not (channel is known))'
    game = only(Goal("count", ["recharge"], where), 50)
    records = [
        event("a", "recharge", NEW_YEAR + DAY, 10, "1", channel="app"),
        event("a", "recharge", NEW_YEAR + DAY, 10, "2"),
        event("a", "recharge", NEW_YEAR + DAY, 10, "3", channel="web"),
        event("a", "recharge", NEW_YEAR + DAY, 9.99, "4"),
        event("a", "recharge", NEW_YEAR + DAY, 9.995, "5"),  # 999.5 cents: half-even, 1,000
        event("a", "recharge", NEW_YEAR + DAY, 10, "6", "other"),
        event("a", "payment", NEW_YEAR + DAY, 10, "7"),
    ]
    assert progress(game, *records)[0] == 3


def test_a_mission_keeps_the_goal_and_the_rewards_of_its_revision() -> None:
    old = only(Goal("count", SMS), 2, rewards=Reward(points=3), cooldown=5)
    new = Game([template(1, "Now", Goal("count", ["recharge"]), 1, rewards=Reward(points=50))])
    records = [*GIVEN, marker(1), *days(1), event("a", "recharge", NEW_YEAR + 2 * DAY), *days(3)]
    fold, effects = play(contents(old, new), records)
    assert story(effects) == ["given 1", "progress 1 1/2", "completed 1 2/2", "points +3 of mission:1 = 3"]
    names = [e["value"]["name"] for e in effects if e["topic"] in ("mission-progress", "decisions")]
    assert set(names) == {"It"}
    assert fold.snapshot("a")["cooling"][0] == [1, D + 3 + 5, 1]
    # A revision without anything: no progress, but missions settle.
    _, effects = play(contents(old, Game()), [*records, tick(NEW_YEAR + 20 * DAY)])
    assert story(effects) == ["given 1", "expired 1 0/2"]
