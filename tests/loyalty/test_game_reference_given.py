"""docs/game.md by examples worked out by hand: targets, generation, cooldowns, ends, the control group."""

from __future__ import annotations

from typing import Any

import pytest

from loyalty.game import Badge, Game, Goal, Level, Limits, Reward, Target, Template, Tier
from tests.reference.examples import DAY, HOUR, NEW_YEAR, REFRESH, D, contents, decided, play, story
from tests.reference.games import EARNING, template
from tests.reference.goals import liked
from tests.reference.model import hash64, mix
from tests.reference.records import event, marker, tick

SMS = ["sms"]
FIRST = event("a", "referral", NEW_YEAR, 1, "first")


def sms(day: float, name: str = "") -> bytes:
    return event("a", "sms", NEW_YEAR + int(day * DAY), 1, f"sms{name}{day}")


def count(number: int, priority: int = 10, **more: Any) -> Template:
    """A mission of one SMS, unless told otherwise, of ten days."""
    return template(
        number, f"M{number}", Goal("count", SMS), days=10, priority=priority, **({"target": 1} | more)
    )


def slots(fold: Any) -> list[int]:
    return [mission.template if mission else 0 for mission in fold.customers["a"].missions]


# Targets.


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 1), (-7.0, 1), (0.5, 1), (1.5, 2), (2.5, 2), (9.4, 9),
        (9.6, 10), (11.0, 11), (19.4, 19), (20.0, 20), (22.0, 20), (23.0, 25), (97.0, 95), (98.0, 100),
        (104.0, 100), (105.0, 110), (115.0, 120), (199.0, 200), (224.0, 200), (225.0, 250), (975.0, 1_000),
        (1_049.0, 1_000), (1_050.0, 1_100), (2_249.0, 2_000), (2_250.0, 2_500), (123_456.0, 120_000),
        (1e12, 10**12), (1e15, 10**12), (987_654_321.0, 1_000_000_000),
    ],
)  # fmt: skip
def test_numbers_that_people_like(x: float, expected: int) -> None:
    assert liked(x) == expected


@pytest.mark.parametrize(
    ("goal", "target", "expected"),
    [
        (Goal("count", SMS), Target(value=7), 7),
        (Goal("sum", ["data_session"]), Target(value=7), 7 * 1_024),
        (Goal("sum", ["recharge"]), Target(value=7), 700),
        (Goal("first", ["app_login"]), Target(value=7), 1),
        (Goal("inactivity", SMS), Target(value=7), 10),
        # 20 SMS in 30 days: 6.67 in ten, x 1.5 = 10
        (Goal("count", SMS), Target(baseline="sms_30_days", stretch=1.5, low=1, high=99), 10),
        (Goal("count", SMS), Target(baseline="sms_30_days", stretch=1.5, low=12, high=99), 12),
        (Goal("count", SMS), Target(baseline="sms_30_days", stretch=1.5, low=1, high=8), 8),
        # 90 of revenue in 90 days: 10 in ten; not rounded when they are cents
        (Goal("sum", ["recharge"]), Target(baseline="revenue_90_days", stretch=1.27, low=1, high=99), 1_300),
        # a lifetime figure is taken as it is
        (Goal("count", SMS), Target(baseline="sms_lifetime", stretch=1.6, low=1, high=99), 30),
        (Goal("count", SMS), Target(baseline="days_to_birthday", stretch=1.6, low=3, high=99), 3),
    ],
)
def test_targets(goal: Goal, target: Target, expected: int) -> None:
    records = [
        event("a", "payment", NEW_YEAR, 90),
        event("a", "sms", NEW_YEAR, 20),
        event("a", "referral", NEW_YEAR),
    ]
    mission = template(1, "It", goal, target, 10, eligibility="referral_count > 0")
    fold, _ = play(Game([mission]), records)
    assert fold.snapshot("a")["missions"][0]["target"] == expected


# D. Generation.


def test_the_five_of_highest_priority_are_given_then_by_number() -> None:
    game = Game([count(n, priority) for n, priority in enumerate((1, 5, 3, 5, 2, 4, 4), 10)])
    fold, effects = play(game, [FIRST])
    assert slots(fold) == [11, 13, 15, 16, 12]
    assert story(effects) == [f"given {n}" for n in (11, 13, 15, 16, 12)]


def test_a_freed_slot_takes_the_next_at_once_the_lowest_first() -> None:
    game = Game([count(n, 20 - n, target=1 + (n in (2, 4))) for n in range(1, 9)])
    fold, effects = play(game, [FIRST, sms(1)])
    # 1, 3 and 5 are completed and no longer cool, as their cooldown is of no day: they come again.
    assert story(effects)[5:] == [
        "completed 1 1/1", "progress 2 1/2", "completed 3 1/1", "progress 4 1/2", "completed 5 1/1",
        "given 1", "given 3", "given 5",
    ]  # fmt: skip
    assert slots(fold) == [1, 2, 3, 4, 5]


def test_at_most_two_are_onboarding() -> None:
    games = [count(n, 20 - n, category="onboarding" if n < 4 else "revenue") for n in range(1, 6)]
    fold, _ = play(Game(games), [FIRST])
    assert slots(fold) == [1, 2, 4, 5, 0]


def test_after_what_has_ever_been_completed() -> None:
    game = Game(
        [count(1, 9, cooldown=50), count(2, 8, after=["M1"], cooldown=50), count(3, 7, after=["M1", "M2"])]
    )
    _, effects = play(game, [FIRST, sms(1), sms(2), sms(3)])
    assert story(effects) == [
        "given 1", "completed 1 1/1", "given 2", "completed 2 1/1", "given 3", "completed 3 1/1", "given 3",
    ]  # fmt: skip


def test_cooldowns_and_times() -> None:
    game = Game([count(1, cooldown=2, limits=Limits(per_customer=2))])
    fold, effects = play(game, [FIRST, sms(1), sms(2), sms(3), sms(4), sms(8)])
    # Completed on the second, cooling until the fourth; the event of the fourth gives it, that of the fifth
    # completes it; never again.
    assert story(effects) == ["given 1", "completed 1 1/1", "given 1", "completed 1 1/1"]
    assert fold.snapshot("a")["cooling"][0] == [1, D + 4 + 2, 2]


def test_expired_ones_cool_too_and_keep_their_times() -> None:
    game = Game([count(1, target=2, cooldown=3, limits=Limits(per_customer=1))])
    fold, effects = play(game, [FIRST, tick(NEW_YEAR + 12 * DAY, everyone=True)])
    assert story(effects) == ["given 1", "expired 1 0/2"]
    assert fold.snapshot("a")["cooling"][0] == [1, D + 10 + 3, 0]
    # An hour of grace: it is over on the eleventh at one in the morning.
    settled = next(e["value"] for e in effects if e["value"].get("status") == "expired")
    assert settled["cause"] == {"source": "khaywe", "event_id": "settle:2020-01-11T01:00:00.000Z"}
    assert settled["occurred_at"] == "2020-01-11T01:00:00.000Z"


def test_twenty_cooldowns_and_no_more() -> None:
    limited = [count(n, 99 - n, cooldown=30, limits=Limits(per_customer=1)) for n in range(1, 31)]
    records = [FIRST, *(sms(n / 100) for n in range(1, 8))]
    fold, effects = play(Game(limited), records)
    # Five at a time: after the fourth five all entries are taken for good, nothing is given any more.
    cooling = fold.snapshot("a")["cooling"]
    assert [entry[0] for entry in cooling] == list(range(1, 21))
    assert all(entry == [entry[0], D + 30, 1] for entry in cooling)
    assert len([said for said in story(effects) if said.startswith("given")]) == 20
    # Without a limit an entry may be used again when its day has come.
    free = [count(n, 99 - n, cooldown=30) for n in range(1, 31)]
    fold, effects = play(Game(free), [*records, sms(29.9), sms(30), sms(30.1)])
    given = [said for said in story(effects) if said.startswith("given")]
    assert given[20:] == [f"given {n}" for n in range(1, 11)]
    assert [entry[0] for entry in fold.snapshot("a")["cooling"]] == list(range(1, 21))
    assert [entry[1] for entry in fold.snapshot("a")["cooling"]] == [D + 60] * 5 + [D + 30] * 15


def test_the_entry_with_the_smallest_day_goes_if_there_is_no_other() -> None:
    # Nineteen are done for good; of two that run, one is completed and takes the last entry, the other one
    # the entry that ends first.
    done = [count(n, 99 - n, cooldown=30 + n, limits=Limits(per_customer=1)) for n in range(1, 20)]
    last = [count(n, 1, target=2, cooldown=90, limits=Limits(per_customer=1)) for n in (31, 32)]
    fold, _ = play(Game([*done, *last]), [FIRST, *(sms(n / 100) for n in range(1, 9))])
    cooling = [entry[0] for entry in fold.snapshot("a")["cooling"]]
    assert cooling == [32, *range(2, 20), 31]


def test_the_lowest_without_progress_is_replaced_once_a_day() -> None:
    low = [count(n, priority, target=5) for n, priority in enumerate((3, 2, 2, 4, 1), 1)]
    high = [
        count(n, priority, target=5, cooldown=4, eligibility="sms_count >= 1")
        for n, priority in ((8, 9), (9, 8), (10, 2))
    ]
    low[4] = template(5, "M5", Goal("count", ["referral"]), 5, 10, 4, 1)
    referral = event("a", "referral", NEW_YEAR + HOUR, 1, "second")
    fold, effects = play(Game([*low, *high]), [FIRST, sms(0.1)])
    # 5 has the lowest priority, and the SMS moved all others.
    assert story(effects)[5:] == [
        "progress 4 1/5", "progress 1 1/5", "progress 2 1/5", "progress 3 1/5", "replaced 5 0/5 priority",
        "given 8",
    ]  # fmt: skip
    assert slots(fold) == [4, 1, 2, 3, 8]
    assert fold.snapshot("a")["replaced_day"] == D
    assert fold.snapshot("a")["cooling"][0] == [5, D + 4, 0]
    # With progress it stays, and so do all; nothing is below itself.
    assert slots(play(Game([*low, *high]), [FIRST, referral, sms(0.1)])[0]) == [4, 1, 2, 3, 5]


def test_the_next_day_another_one_is_replaced() -> None:
    low = [count(n, 1, target=5) for n in range(1, 6)]
    high = [count(n, 9, target=5, eligibility="referral_count >= 2") for n in (7, 8, 9)]
    referrals = [event("a", "referral", NEW_YEAR + int(n * DAY), 1, f"r{n}") for n in (0.2, 0.4, 1.0)]
    _, effects = play(Game([*low, *high]), [FIRST, *referrals])
    # Of equal priority the highest number goes.  The refresh of the first evening is of the same day.
    assert story(effects)[5:] == [
        "replaced 5 0/5 priority", "given 7", "replaced 4 0/5 priority", "given 8",
    ]  # fmt: skip


def test_generation_happens_at_a_refresh_too() -> None:
    game = Game([count(1, eligibility="days_since_last_activity >= 2")])
    _, effects = play(game, [FIRST, tick(NEW_YEAR + 3 * DAY)])
    given = next(e["value"] for e in effects if e["value"].get("status") == "given")
    assert given["cause"]["event_id"] == "refresh:2020-01-03T22:16:00.000Z"
    assert given["started_at"] == "2020-01-03T22:16:00.000Z"
    # A refresh stands before the event that brought the row there, which the mission then counts.
    _, effects = play(game, [FIRST, sms(3)])
    assert story(effects) == ["given 1", "completed 1 1/1"]


def test_settlings_and_the_refresh_in_the_order_of_their_time() -> None:
    # It ends at 22:16 with a grace of a day, the minute of the refresh: settled first, then given again.
    start = event("a", "referral", NEW_YEAR + REFRESH, 1, "first")
    by_revision = contents(Game([count(1, target=2)]), grace_seconds=86_400)
    _, effects = play(by_revision, [start, tick(NEW_YEAR + REFRESH + 11 * DAY)])
    assert [(e["value"].get("status"), e["value"]["cause"]["event_id"]) for e in effects[-4:]] == [
        ("expired", "settle:2020-01-12T22:16:00.000Z"),
        ("given", "refresh:2020-01-12T22:16:00.000Z"),
        (None, "refresh:2020-01-12T22:16:00.000Z"),
        (None, "refresh:2020-01-12T22:16:00.000Z"),
    ]


def test_a_template_that_is_not_active_is_not_given_and_runs_on() -> None:
    sleeping = Game([count(1, target=2, active=False), count(2, eligibility="sms_count > 5")])
    assert story(play(sleeping, [FIRST])[1]) == []
    records = [FIRST, marker(1), sms(1), sms(2), sms(3)]
    _, effects = play(contents(Game([count(1, target=2)]), sleeping), records)
    assert story(effects) == ["given 1", "progress 1 1/2", "completed 1 2/2"]


# Off.


def test_history_gives_nothing_and_moves_nothing() -> None:
    game = Game([count(1)], [Badge(1, "B", [Level("sms_count >= 1")] * 4)], [], EARNING)
    history = [
        event("a", kind, NEW_YEAR + n * DAY, 9, f"{kind}{n}", _backfill=True)
        for n in range(3)
        for kind in ("sms", "recharge")
    ]
    fold, effects = play(game, history)
    assert story(effects) == []
    assert fold.snapshot("a")["types"] == {3: 3, 6: 3}
    # Not exactly true is no history.
    assert story(play(game, [event("a", "referral", NEW_YEAR, _backfill=1)])[1]) == ["given 1"]


def test_opting_out_cancels_and_nothing_more_happens_until_opting_in() -> None:
    game = Game([count(1, cooldown=5), count(2, target=3)])
    out, again = (event("a", kind, NEW_YEAR + n * DAY) for kind, n in (("opt_out", 1), ("opt_in", 3)))
    fold, effects = play(game, [FIRST, out, sms(2), again])
    assert story(effects) == [
        "given 1", "given 2", "cancelled 1 0/1 opted_out", "cancelled 2 0/3 opted_out", "given 1", "given 2",
    ]  # fmt: skip
    assert fold.snapshot("a")["cooling"] == [None] * 20


def test_ended_cancels_and_linked_replaces() -> None:
    game = Game([count(1)])
    assert story(play(game, [FIRST, event("a", "customer_ended", NEW_YEAR)])[1]) == [
        "given 1", "cancelled 1 0/1 ended",
    ]  # fmt: skip
    fold, effects = play(game, [FIRST, event("a", "customer_link", NEW_YEAR, to="b")])
    assert story(effects) == ["given 1", "replaced 1 0/1 linked"]
    assert fold.snapshot("b")["missions"] == [None] * 5


# The control group.


def test_control_is_a_share_by_hash() -> None:
    drawn = {name: (mix(hash64(name.encode()) ^ hash64(b"khaywe")) >> 11) * 2**-53 for name in "abcdefgh"}
    game = Game([count(1)])
    for share in (0.0, 0.3, 0.7, 1.0):
        _, effects = play(
            contents(game, control_share=share), [event(name, "referral", NEW_YEAR) for name in drawn]
        )
        flags = [e["value"]["control"] for e in effects if e["topic"] == "decisions"]
        assert flags == [of < share for of in drawn.values()]


def test_control_gets_decisions_and_nothing_else() -> None:
    badges = [
        Badge(
            2,
            "Fan",
            [Level("missions_completed >= 1", Reward(points=9, offer=1)), *[Level("sms_count > 50")] * 3],
        )
    ]
    game = Game(
        [
            count(1, rewards=Reward(points=5, offer=0), cooldown=30),
            template(2, "M2", Goal("count", SMS), 5, days=1),
            count(3, limits=Limits(total=1), target=10, priority=1),
        ],
        badges, [Tier("low", 0), Tier("high", 1)], EARNING,
    )  # fmt: skip
    records = [FIRST, sms(0.5), event("a", "recharge", NEW_YEAR + DAY // 2 + 1, 50), tick(NEW_YEAR + 2 * DAY)]
    records += [event("a", "opt_out", NEW_YEAR + 3 * DAY)]
    fold, effects = play(contents(game, control_share=1.0), records)
    assert {e["topic"] for e in effects} == {"decisions", "behavior-scores"}
    assert decided(effects) == [
        f"{said} (control)"
        for said in (
            "mission:1 given", "mission:2 given", "mission:3 given",
            "mission:1 completed", "mission:1 points", "mission:1 offer",
            "badge:2:1 awarded", "badge:2:1 points", "badge:2:1 offer",
            "mission:2 expired", "mission:2 given", "mission:2 expired", "mission:3 cancelled",
        )
    ]  # fmt: skip
    found = fold.snapshot("a")
    assert (found["points_earned"], found["year_points"], found["lots"], found["tier"]) == (0, 0, [], 0)
    assert (found["open_grants"], found["missions_completed"], found["badges"]) == (0, 1, 1 << 8)
    assert set(fold.side["a"]) == {"e"}
    assert not fold.forwards
