"""docs/predictions.md by examples worked out by hand: what an answer moves, and where it is ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loyalty.content import Predictions
from loyalty.game import Game, Goal, Reward, Target, Tier
from tests.reference.answers import unreadable
from tests.reference.examples import (
    DAY,
    HOUR,
    INLINE,
    NEW_YEAR,
    REFRESH,
    SMS,
    content,
    decided,
    fold_of,
    foretold,
    play,
    story,
    summary,
    turns,
)
from tests.reference.games import badge, template
from tests.reference.model import iso
from tests.reference.records import event, marker, tick
from tests.reference.streams import plain_forwards
from tests.reference.streams_game import ask

NOTHING: dict[str, Any] = {
    "daily_asked": 0,
    "asked_scores": [0] * 4,
    "foretold_at": [0, 0],
    "foretold": [0] * 7,
    "ltv": 0,
    "offer": 0,
}


# `_prediction`: reading.


def test_what_cannot_be_read_is_a_dead_letter_and_changes_nothing() -> None:
    before = fold_of(SMS).snapshot("a")
    for record in unreadable():
        fold = fold_of(SMS, record)
        assert fold.dead == [(1, "undecodable")], record
        assert fold.snapshot("a") == before
        assert not fold.counts["predictions_ignored"]
    without = json.loads(foretold("inline", churn=0.5))
    odd: list[dict[str, Any]] = [{"attributes": {}}, {"customer_id": ""}, {"value": "1"}]
    for gone in odd:
        assert fold_of(SMS, json.dumps(without | gone).encode()).dead == [(1, "undecodable")]


def test_what_can_be_read() -> None:
    odd: dict[str, Any] = {
        "churn": None,
        "offer": 1,
        "rfm": "x",
        "ltv": -1,
        "more": [],
        "propensity": 99,
        "_backfill": True,
    }
    fold = fold_of(SMS, foretold("inline", **odd), foretold("daily", churn="x", offer=-1.5))
    assert not fold.dead
    assert fold.counts["predictions_taken"] == 2
    # Neither the value nor the source matter.
    other = json.loads(foretold("inline", churn=0.25)) | {"value": -7.5, "source": "somebody"}
    assert fold_of(SMS, json.dumps(other).encode()).snapshot("a")["foretold"][0] == 2501


@pytest.mark.parametrize(
    ("which", "name", "said", "stored"),
    [
        ("inline", "churn", 0, 0),
        ("inline", "churn", -0.0, 0),
        ("inline", "churn", 1, 10_000),
        ("inline", "churn", 0.00005, 0),  # 0.5: to the even
        ("inline", "churn", 0.00015, 1),  # times 10,000 a little less than 1.5 in float64
        ("inline", "churn", 0.12345, 1234),  # 1234.5
        ("inline", "churn", 0.99996, 10_000),
        ("daily", "propensity", 0.5, 5_000),
        ("daily", "response", 0.25, 2_500),
        ("daily", "default_risk", 0.0001, 1),
        ("daily", "upsell", 1.0, 10_000),
        ("daily", "engagement", 0, 0),
        ("daily", "engagement", 30, 3_000),
        ("daily", "engagement", 0.125, 12),
        ("daily", "engagement", 0.375, 38),
        ("daily", "rfm", 111, 111),
        ("daily", "rfm", 555, 555),
        ("daily", "ltv", 0, 0),
        ("daily", "ltv", 2.675, 268),
        ("daily", "ltv", 2.665, 266),
        ("daily", "ltv", 1e300, 10**15),
        ("daily", "ltv", 10**30, 10**15),
        ("inline", "offer", 0, 0),
        ("inline", "offer", 2**31 - 2, 2**31 - 2),
    ],
)
def test_what_is_stored(which: str, name: str, said: float, stored: int) -> None:
    members: dict[str, Any] = {name: said}
    row = fold_of(SMS, foretold(which, **members)).snapshot("a")
    places = ["churn", "propensity", "response", "default_risk", "upsell", "engagement", "rfm"]
    expected = {"foretold": [0] * 7, "ltv": 0, "offer": 0}
    if name in places:
        expected["foretold"] = [stored + 1 if each == name else 0 for each in places]
    else:
        expected[name] = stored + 1
    assert {member: row[member] for member in expected} == expected
    assert row["foretold_at"] == ([NEW_YEAR, 0] if which == "inline" else [0, NEW_YEAR])


# `_prediction`: at a row.


def test_an_answer_replaces_those_of_its_set() -> None:
    records = [
        SMS,
        foretold("inline", NEW_YEAR + 1, churn=0.5, offer=7),
        foretold("daily", NEW_YEAR + 1, propensity=0.1, ltv=5, rfm=123, engagement=9),
        foretold("inline", NEW_YEAR + 2, offer=None),
    ]
    row = fold_of(*records).snapshot("a")
    assert row["foretold"] == [0, 1001, 0, 0, 0, 901, 124]
    assert (row["ltv"], row["offer"], row["foretold_at"]) == (501, 0, [NEW_YEAR + 2, NEW_YEAR + 1])
    row = fold_of(*records, foretold("daily", NEW_YEAR + 3, default_risk=0)).snapshot("a")
    assert (row["foretold"], row["ltv"]) == ([0, 0, 0, 1, 0, 0, 0], 0)


def test_older_answers_are_ignored() -> None:
    taken = foretold("inline", NEW_YEAR + 5, churn=0.5)
    for when, stored in ((NEW_YEAR + 4, 5001), (NEW_YEAR + 5, 1), (NEW_YEAR + 6, 1)):
        fold = fold_of(SMS, taken, foretold("inline", when, churn=0))
        assert fold.snapshot("a")["foretold"][0] == stored
        assert fold.counts["predictions_taken"] == 1 + (stored == 1)
        assert fold.counts["predictions_ignored"] == (stored != 1)
    # Each set has its own time.
    fold = fold_of(SMS, taken, foretold("daily", NEW_YEAR, upsell=1))
    assert fold.counts["predictions_taken"] == 2
    # One as of before the row's time is late, not older; one as of later does not move it.
    for when in (NEW_YEAR - 9 * DAY, NEW_YEAR + 9 * DAY):
        fold = fold_of(SMS, foretold("inline", when, churn=1))
        assert (fold.customers["a"].as_of, fold.counts["predictions_taken"]) == (NEW_YEAR, 1)


def test_whoever_is_not_open_is_foretold_nothing() -> None:
    said = foretold("inline", NEW_YEAR + DAY, churn=1)
    assert list(fold_of(said).customers) == []
    for closing in (
        event("a", "customer_ended", NEW_YEAR),
        event("a", "customer_link", NEW_YEAR, to="b"),
    ):
        before = fold_of(SMS, closing)
        fold = fold_of(SMS, closing, said)
        assert fold.snapshot("a") == before.snapshot("a")
        assert plain_forwards(fold.forwards) == plain_forwards(before.forwards)
        assert fold.counts["predictions_ignored"] == 1
    fold = fold_of(SMS, ask("a", "erase", NEW_YEAR, "e"), said)
    assert (fold.counts["ignored_erased"], fold.counts["predictions_ignored"]) == (1, 0)
    assert not fold.customers


def test_an_answer_from_before_the_customer_came_back_is_ignored() -> None:
    back = NEW_YEAR + DAY
    ended = [event("a", "customer_ended", NEW_YEAR), event("a", "activation", back)]
    for closing in (ended, [ask("a", "erase", NEW_YEAR, "e"), event("a", "opt_in", back)]):
        fold = fold_of(SMS, *closing, foretold("inline", back - 1, churn=1))
        assert fold.counts["predictions_ignored"] == 1
        fold = fold_of(SMS, *closing, foretold("inline", back, churn=1))
        assert fold.counts["predictions_taken"] == 1


def test_a_row_that_begins_anew_knows_nothing() -> None:
    said = [foretold("inline", churn=0.5, offer=3), foretold("daily", rfm=444, ltv=9)]
    said.append(ask("a", "predict", NEW_YEAR, "x"))
    back = NEW_YEAR + DAY
    for closing in (
        [event("a", "customer_ended", NEW_YEAR), event("a", "activation", back, 1, "back")],
        [ask("a", "erase", NEW_YEAR, "e"), event("a", "activation", back, 1, "back")],
    ):
        fold = fold_of(SMS, *said, *closing, asked=Predictions(step=90))
        row = fold.snapshot("a")
        assert {name: row[name] for name in NOTHING} == NOTHING
        assert row["inline_asked"] == back
        assert len(turns(fold)) == 1  # the command's
    # What was opened is asked about like any other: 10 points for the activity.
    fold = fold_of(SMS, *said, *closing)
    assert turns(fold)[-1] == ("a", INLINE, "back")


def test_nothing_else_moves() -> None:
    start = [SMS, event("a", "recharge", NEW_YEAR, 5, "r")]
    before, fold = fold_of(*start), fold_of(*start, foretold("daily", NEW_YEAR + 9 * DAY, upsell=0.5))
    changed = {name for name, value in fold.snapshot("a").items() if value != before.snapshot("a")[name]}
    assert changed == {"foretold", "foretold_at"}
    assert fold.side == before.side
    assert fold.asks == before.asks


# What it moves.


def test_churn_is_a_measure_of_risk_and_a_feature() -> None:
    fold, effects = play({0: content()}, [SMS, foretold("inline", churn=0.1234)])
    # 50 points for a churn of 1.
    assert fold.snapshot("a")["published"] == [1017, 0, 208, 617, 0]
    assert summary(effects)[-1] == ("a", "moved", f"inline-{NEW_YEAR}")
    assert effects[-1]["value"]["cause"]["source"] == "khaywe"
    assert effects[-1]["value"]["as_of"] == iso(NEW_YEAR)
    c = fold.customers["a"]
    assert fold._features(c)["churn_probability"] == 0.1234
    c = fold_of(SMS).customers["a"]
    assert fold._features(c)["churn_probability"] is None
    # Too little to tell; enough to cross the band at 25.
    _, effects = play({0: content()}, [SMS, foretold("inline", churn=0.015)])
    assert len(effects) == 1
    twice = [foretold("inline", NEW_YEAR + n, churn=of) for n, of in enumerate((0.499, 0.5))]
    _, effects = play({0: content()}, [SMS, *twice])
    assert summary(effects)[-1] == ("a", "band", f"inline-{NEW_YEAR + 1}")
    # Unknown is 0 again.
    fold = fold_of(SMS, foretold("inline", churn=1), foretold("inline", NEW_YEAR + 1))
    assert fold.snapshot("a")["published"][3] == 0


def test_lifetime_value_is_what_is_foretold_or_the_revenue_so_far() -> None:
    paid = event("a", "payment", NEW_YEAR, 100, "p")
    # 40 x 100/1000 + 20 x (100/3)/50 = 17.33; lifetime value 10 x 100/2000, and then 10 x 1500/2000.
    assert fold_of(SMS, paid).snapshot("a")["published"][1] == 1783
    said = foretold("daily", NEW_YEAR, ltv=1500)
    fold = fold_of(SMS, paid, said)
    assert fold.snapshot("a")["published"][1] == 2483
    parts = fold.components(fold.customers["a"])["revenue"]
    assert parts["lifetime_value"] == (1500.0, 7.5)
    assert parts["total"] == (100.0, 4.0)
    # Nothing foretold is less than nothing known.
    fold = fold_of(SMS, paid, foretold("daily", NEW_YEAR, ltv=0))
    assert fold.components(fold.customers["a"])["revenue"]["lifetime_value"] == (0.0, 0.0)


def test_features_in_their_units() -> None:
    said = [
        foretold("inline", churn=0.0001, offer=0),
        foretold(
            "daily", propensity=1, response=0.3333, default_risk=0, upsell=0.07, engagement=12.34, rfm=543,
            ltv=1234.56,
        ),
    ]  # fmt: skip
    fold = fold_of(SMS, *said)
    found = fold._features(fold.customers["a"])
    names = (
        "churn_probability", "next_best_offer", "purchase_propensity", "campaign_response", "default_risk",
        "upsell_propensity", "predicted_active_days", "rfm_score", "predicted_ltv",
    )  # fmt: skip
    assert [found[name] for name in names] == [0.0001, 0.0, 1.0, 0.3333, 0.0, 0.07, 12.34, 543.0, 1234.56]


def test_money_is_stored_in_the_minor_units_of_its_time() -> None:
    by = {0: content(), 1: content(currency="JPY", currency_decimals=0)}
    fold, _ = play(by, [SMS, foretold("daily", ltv=12.34), marker(1)])
    assert fold.snapshot("a")["ltv"] == 1235
    assert fold._features(fold.customers["a"])["predicted_ltv"] == 1234.0
    fold, _ = play(by, [SMS, marker(1), foretold("daily", ltv=12.5)])
    assert fold.snapshot("a")["ltv"] == 13


GAME = Game(
    [
        template(
            1, "Stay", Goal("count", ["sms"]), Target(baseline="predicted_active_days", low=1, high=30),
            eligibility="churn_probability >= 0.5 and risk >= 25",
        )
    ],
    [
        badge(2, "Rfm", *[f"rfm_score >= {n}11" for n in (2, 3, 4, 5)], rewards={1: Reward(points=60)}),
    ],
    [Tier("low", 0), Tier("high", 50)],
)  # fmt: skip
DAYS = foretold("daily", engagement=7.6, rfm=311)
CHURN = foretold("inline", churn=0.5)


def test_an_answer_gives_missions_awards_badges_moves_tiers() -> None:
    fold, effects = play({0: content(GAME)}, [SMS, DAYS, CHURN])
    assert story(effects) == [
        "badge Rfm bronze earned", "points +60 of badge:2:1 = 60", "badge Rfm silver earned", "tier high up",
        "given 1",
    ]  # fmt: skip
    by_daily, by_inline = ({"source": "khaywe", "event_id": f"{of}-{NEW_YEAR}"} for of in ("daily", "inline"))
    causes = [effect["value"]["cause"] for effect in effects]
    assert causes[0]["event_id"] == "s"
    assert [cause for cause in causes[1:] if cause not in (by_daily, by_inline)] == []
    seen = [effect["value"]["conditions"] for effect in effects if effect["topic"] == "decisions"]
    assert seen[-1] == [
        {"condition": "churn_probability >= 0.5", "seen": 0.5, "holds": True},
        {"condition": "risk >= 25", "seen": 25.0, "holds": True},
    ]
    # The target is personal: 7.6, a number that people like. The scores come last.
    assert fold.snapshot("a")["missions"][0]["target"] == 8
    assert summary(effects[-1:]) == [("a", "moved", f"inline-{NEW_YEAR}")]
    mission = fold.snapshot("a")["missions"][0]
    assert (mission["started"], mission["progress"]) == (NEW_YEAR // 1000, 0)
    # `due` is that of the mission, if it settles before the refresh.
    short = Game([template(1, "It", Goal("count", ["sms"]), 1, 1, eligibility="churn_probability > 0")])
    fold, _ = play({0: content(short)}, [SMS, tick(NEW_YEAR + REFRESH), CHURN])
    settles = NEW_YEAR + REFRESH + DAY + HOUR
    assert fold.snapshot("a")["due"] == min(settles, NEW_YEAR + REFRESH + DAY)


def test_whoever_opted_out_is_foretold_but_not_played_with() -> None:
    out = event("a", "opt_out", NEW_YEAR, 1, "out")
    fold, effects = play({0: content(GAME)}, [SMS, out, DAYS, CHURN])
    assert story(effects) == []
    assert fold.counts["predictions_taken"] == 2
    assert summary(effects)[-1] == ("a", "moved", f"inline-{NEW_YEAR}")
    # Nor where there is no game; there the tier stays what it was.
    tiers = Game(tiers=[Tier("low", 0), Tier("high", 50)])
    adjust = ask("a", "adjust", NEW_YEAR, "p", {"points": 60})
    fold, effects = play({0: content(tiers)}, [SMS, adjust, DAYS, CHURN])
    assert story(effects) == ["adjusted +60 of command = 60", "p done"]


def test_control_is_foretold_and_decided_about() -> None:
    fold, effects = play({0: content(GAME, control_share=1.0)}, [SMS, DAYS, CHURN])
    assert story(effects) == []
    assert decided(effects) == [
        "badge:2:1 awarded (control)", "badge:2:1 points (control)", "badge:2:2 awarded (control)",
        "mission:1 given (control)",
    ]  # fmt: skip
    assert fold.snapshot("a")["published"][3] == 2500


def test_what_was_foretold_counts_at_the_next_refresh_and_event() -> None:
    # 30 points for risk: 0.6 of churn.
    records = [SMS, foretold("inline", churn=0.6), event("a", "sms", NEW_YEAR + 1, 1, "t")]
    game = Game([], [badge(2, "Risky", "risk >= 30 and sms_lifetime > 1", *["risk > 99"] * 3)])
    _, effects = play({0: content(game)}, records)
    assert story(effects) == ["badge Risky bronze earned"]
    _, effects = play({0: content()}, [*records, tick(NEW_YEAR + DAY)])
    assert effects[-1]["value"]["scores"]["risk"] == 30.0


# Links.


def test_a_merge_asks_and_keeps_what_the_target_was_foretold() -> None:
    said = [foretold("inline", churn=0.5, offer=7), foretold("inline", NEW_YEAR + 1, "b", churn=0.25)]
    starts = [SMS, event("b", "complaint", NEW_YEAR, 1, "q"), *said]
    link = event("a", "customer_link", NEW_YEAR + HOUR, 1, "l", to="b")
    fold = fold_of(*starts, link)
    merge = fold.forwards[0]["value"]
    assert merge["attributes"]["row"]["foretold"][0] == 5001
    # Ten points of engagement came over; the merge asks as it is its cause.
    assert turns(fold)[-1] == ("b", INLINE, merge["event_id"])
    assert fold.asks[-1]["cause"]["source"] == "khaywe"
    row = fold.snapshot("b")
    assert (row["foretold"][0], row["offer"], row["foretold_at"]) == (2501, 0, [NEW_YEAR + 1, 0])
    assert row["inline_asked"] == NEW_YEAR + HOUR
    # Too little that is new: nothing is asked.
    assert len(fold_of(*starts, link, asked=Predictions(step=90)).asks) == 0


def test_a_merge_that_opens_a_row_asks_by_its_scores() -> None:
    link = event("a", "customer_link", NEW_YEAR + HOUR, 1, "l", to="b")
    said = foretold("inline", churn=0.5)
    fold = fold_of(SMS, said, link)
    assert [who for who, _, _ in turns(fold)] == ["a", "b"]
    assert fold.asks[1]["row"] == fold.snapshot("b")
    assert fold.snapshot("b")["asked_scores"] == [1017, 0, 208, 0]
    assert (fold.snapshot("b")["foretold_at"], fold.snapshot("b")["foretold"]) == ([0, 0], [0] * 7)
    fold = fold_of(SMS, said, link, asked=Predictions(step=90))
    assert fold.snapshot("b")["inline_asked"] == NEW_YEAR + HOUR
    assert not fold.asks


def test_a_cycle_reopens_the_row_that_it_was() -> None:
    links = [
        event("a", "customer_link", NEW_YEAR + HOUR, 1, "l", to="b"),
        event("b", "customer_link", NEW_YEAR + 2 * HOUR, 1, "m", to="a"),
    ]
    said = foretold("inline", NEW_YEAR + 1, "b", churn=0.5)
    start = [SMS, event("b", "complaint", NEW_YEAR, 1, "q"), said]
    fold, _ = play({0: content(asked=Predictions(step=90))}, start, links[:1], links[1:])
    assert [name for name, c in fold.customers.items() if c.state == 1] == ["b"]
    row = fold.snapshot("b")
    assert (row["foretold"][0], row["foretold_at"]) == (5001, [NEW_YEAR + 1, 0])
    assert (row["inline_asked"], row["as_of"]) == (NEW_YEAR, NEW_YEAR + 2 * HOUR)
    assert not fold.asks
