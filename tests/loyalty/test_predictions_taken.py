"""What an answer does and cannot do, by docs/predictions.md: each rule by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loyalty.asking import DAILY, INLINE, MEMBERS, prediction_id, prediction_record
from loyalty.columns import DESK
from loyalty.decode import MOST_OFFER
from loyalty.explain import explain
from loyalty.features import fill_features
from loyalty.game import Game
from loyalty.policy import compile_policy
from loyalty.scores import score
from loyalty.times import iso
from loyalty.vocabulary import FEATURES
from loyalty.why import why
from tests.loyalty.folded import (
    ADA,
    BOB,
    DAY,
    GAME,
    HOUR,
    NO_STEP,
    NOON,
    Folded,
    answers,
    complaint,
    content,
    prediction,
    refreshed,
)
from tests.reference.records import command, event, marker

# What an answer does.


def test_an_answer_is_taken_and_moves_the_scores() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), event(ADA, "sms", NOON), event(ADA, "recharge", NOON + 1, 100, "r"))
    before, effects = ours.row(ADA), len(ours.effects)
    assert ours.fold(prediction(ADA, NOON, "inline", "p1", churn=0.8, offer=0)) == []
    ours.fold(
        prediction(
            ADA, NOON, "daily", "p2", propensity=0.25, response=1, default_risk=0, upsell=0.00005,
            engagement=29.999, rfm=345, ltv=1_000.005,
        )
    )  # fmt: skip
    row = ours.row(ADA)
    assert row["foretold"] == [8001, 2501, 10_001, 1, 1, 3001, 346]  # 0.5 rounds to even
    assert (row["offer"], row["ltv"], row["foretold_at"]) == (1, 100_001, [NOON, NOON])
    assert ours.counts["predictions_taken"] == 2
    changed = {name for name in row if row[name] != before[name]}
    assert changed == {"foretold", "offer", "ltv", "foretold_at", "published"}
    first, second = ours.told("behavior-scores")[-2:]
    assert len(ours.effects) == effects + 2
    assert (first["reason"], first["cause"]) == ("moved", {"source": "khaywe", "event_id": "p1"})
    assert first["scores"]["risk"] == 40.0
    assert (first["as_of"], second["as_of"]) == (iso(NOON + 1), iso(NOON + 1))
    # 10 x 1,000 / 2,000 instead of 10 x 100 / 2,000.
    assert second["scores"]["revenue"] - first["scores"]["revenue"] == pytest.approx(4.5)
    parts = explain(ours.raw(ADA), ours.contents[1])
    assert parts["risk"]["components"]["churn_probability"]["measure"] == 0.8
    assert parts["revenue"]["components"]["lifetime_value"]["measure"] == 1_000.0


def test_what_an_answer_leaves_out_is_unknown_again() -> None:
    ours = Folded(content())
    ours.fold(
        marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "inline", churn=0.9, offer=3),
        prediction(ADA, NOON, "daily", propensity=0.5, engagement=1, rfm=555, ltv=0),
    )  # fmt: skip
    assert (ours.row(ADA)["foretold"], ours.row(ADA)["ltv"]) == ([9001, 5001, 0, 0, 0, 101, 556], 1)
    ours.fold(prediction(ADA, NOON + 1, "inline", offer=None, ltv=7, propensity="x"))
    assert (ours.row(ADA)["foretold"][:2], ours.row(ADA)["offer"]) == ([0, 5001], 0)
    ours.fold(prediction(ADA, NOON + 1, "daily", upsell=1.0))
    assert (ours.row(ADA)["foretold"], ours.row(ADA)["ltv"]) == ([0, 0, 0, 0, 10_001, 0, 0], 0)
    assert ours.row(ADA)["published"][3] == 0


def test_amounts_are_kept_in_the_currency_s_smallest_unit() -> None:
    found = []
    for decimals in (0, 2, 3):
        ours = Folded(content(decide={"currency_decimals": decimals}))
        ours.fold(marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "daily", ltv=12.345))
        found.append(ours.row(ADA)["ltv"])
        ours.fold(prediction(ADA, NOON + 1, "daily", ltv=1e300))
        assert ours.row(ADA)["ltv"] == 10**15 + 1
    assert found == [13, 1_235, 12_346]  # 12.345 is half-way: to even


@pytest.mark.parametrize(("when", "taken"), [(NOON - 1, 0), (NOON, 1), (NOON + 1, 1)])
def test_an_answer_older_than_the_last_is_ignored(when: int, taken: int) -> None:
    ours = Folded(content())
    ours.fold(marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "inline", churn=0.9))
    ours.fold(prediction(ADA, when, "inline", churn=0.1))
    assert (ours.counts["predictions_taken"], ours.counts["predictions_ignored"]) == (1 + taken, 1 - taken)
    assert ours.row(ADA)["foretold"][0] == (1001 if taken else 9001)
    ours.fold(prediction(ADA, NOON - 1, "daily", upsell=0.5))  # the other set has its own time
    assert ours.row(ADA)["foretold_at"] == [max(NOON, when), NOON - 1]


def test_an_answer_for_a_stranger_begins_no_row() -> None:
    ours = Folded(content())
    ours.fold(marker(1), prediction(ADA, NOON, "inline", churn=0.9))
    assert (len(ours.state), ours.counts["predictions_ignored"], ours.effects) == (0, 1, [])
    assert ours.counts["events"] == 0
    ours.fold(complaint(ADA, NOON))
    assert ours.row(ADA)["foretold"] == [0] * 7


def test_features_say_what_was_foretold() -> None:
    ours = Folded(content())
    ours.fold(marker(1), complaint(ADA, NOON))
    names = ["churn_probability", *(feature.name for feature in FEATURES[-8:])]

    def found() -> list[float | None]:
        desk, policy = np.zeros(1, DESK)[0], compile_policy(ours.contents[1])[0]
        score(ours.raw(ADA), policy, desk)
        out = np.zeros(len(FEATURES))
        fill_features(ours.raw(ADA), policy, desk["measures"], desk["scores"], out)
        index = {feature.name: n for n, feature in enumerate(FEATURES)}
        return [None if np.isnan(out[index[name]]) else float(out[index[name]]) for name in names]

    assert found() == [None] * 9
    ours.fold(
        prediction(ADA, NOON, "inline", churn=0, offer=0),
        prediction(
            ADA, NOON, "daily", propensity=0.1, response=0.2, default_risk=0.3, upsell=0.4, engagement=12.5,
            rfm=111, ltv=99.5,
        ),
    )  # fmt: skip
    assert found() == [0.0, 99.5, 0.1, 0.2, 0.3, 0.4, 12.5, 111.0, 0.0]


def test_an_answer_in_the_form_of_the_page_is_taken() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), complaint(ADA, NOON), command(ADA, NOON, name="predict"))
    (ask,) = ours.asks
    key, record = prediction_record(ask, INLINE, prediction_id(ask, INLINE), {"churn": 0.5, "offer": None})
    assert key == ADA.encode()
    for text in (b'"event_type":"_prediction"', b'"source":"khaywe"', b'"value":1', b'"set":"inline"'):
        assert text in record
    assert prediction_id(ask, INLINE) != prediction_id(ask, DAILY)
    ours.fold(*answers(ask, churn=0.25, ltv=3.0, upsell=0.75))
    row = ours.row(ADA)
    assert (row["foretold"], row["ltv"]) == ([2501, 0, 0, 0, 7501, 0, 0], 301)
    assert row["foretold_at"] == [ask.as_of, ask.as_of]
    assert set(MEMBERS[INLINE]) == {"churn", "offer"}


# The game sees it.


def test_a_mission_is_given_because_churn_rose() -> None:
    ours = Folded(content(GAME))
    ours.fold(marker(1), event(ADA, "sms", NOON), prediction(ADA, NOON, "daily", "d", ltv=11, rfm=499))
    ours.fold(prediction(ADA, NOON, "inline", "i", churn=0.6999))
    assert ours.told("mission-progress") == ours.told("badge-awards") == []
    (template,) = why(ours.raw(ADA), 1, ours.contents.__getitem__, {})["templates"]
    assert [each["seen"] for each in template["conditions"]] == [0.6999, 11.0]
    ours.fold(prediction(ADA, NOON + 1, "inline", "i2", churn=0.7))
    (given,) = ours.told("mission-progress")
    assert (given["status"], given["name"], given["cause"]["event_id"]) == ("given", "Stay", "i2")
    (decision,) = ours.told("decisions")
    assert decision["conditions"] == [
        {"condition": "churn_probability >= 0.7", "seen": 0.7, "holds": True},
        {"condition": "predicted_ltv > 10", "seen": 11.0, "holds": True},
    ]
    row = ours.row(ADA)
    assert row["due"] == min(row["next_refresh"], NOON + 3 * DAY + HOUR)
    ours.fold(prediction(ADA, NOON + 1, "daily", "d2", rfm=500))
    assert [each["name"] for each in ours.told("badge-awards")] == ["Foretold"]
    # Given to nobody who has opted out; the scores move all the same.
    ours.fold(event(BOB, "opt_out", NOON), prediction(BOB, NOON, "daily", ltv=11, rfm=555))
    ours.fold(prediction(BOB, NOON, "inline", churn=0.9))
    assert len(ours.told("mission-progress")) == 1
    assert ours.row(BOB)["published"][3] == 4500


def test_a_mission_of_an_older_revision_is_found_when_an_answer_comes_first() -> None:
    ours = Folded(content(GAME), content(Game(badges=GAME.badges)))
    ours.fold(
        marker(1), event(ADA, "sms", NOON), prediction(ADA, NOON, "daily", ltv=11),
        prediction(ADA, NOON, "inline", churn=0.9),
    )  # fmt: skip
    fresh = Folded(*ours.contents[1:])
    fresh.state.load_many([ADA.encode()], [ours.raw(ADA).tobytes()])
    fresh.fold(marker(2), prediction(ADA, NOON + 1, "inline", churn=0.1))
    assert fresh.row(ADA)["missions"] == ours.row(ADA)["missions"]
    assert fresh.row(ADA)["foretold"][0] == 1001


# What is no answer.


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"set": "weekly"}, "attributes.set: neither inline nor daily"),
        ({"set": None}, "attributes.set: neither inline nor daily"),
        ({"churn": 0.5}, "attributes.set: neither inline nor daily"),
        ({"set": "inline", "churn": 1.0001}, "attributes.churn: no number from 0 to 1"),
        ({"set": "inline", "churn": -0.1}, "attributes.churn: no number from 0 to 1"),
        ({"set": "inline", "churn": "0.5"}, "attributes.churn: no number from 0 to 1"),
        ({"set": "inline", "churn": True}, "attributes.churn: no number from 0 to 1"),
        ({"set": "inline", "offer": 1.0}, "attributes.offer: no integer from 0 to 2,147,483,646"),
        ({"set": "inline", "offer": MOST_OFFER + 1}, "attributes.offer: no integer from 0 to 2,147,483,646"),
        ({"set": "daily", "upsell": [1]}, "attributes.upsell: no number from 0 to 1"),
        ({"set": "daily", "engagement": 30.01}, "attributes.engagement: no number from 0 to 30"),
        ({"set": "daily", "rfm": 556}, "attributes.rfm: no integer from 111 to 555"),
        ({"set": "daily", "rfm": 110}, "attributes.rfm: no integer from 111 to 555"),
        ({"set": "daily", "ltv": -0.01}, "attributes.ltv: no number from 0"),
        ({"set": "daily", "ltv": 10**400}, "attributes.ltv: no number from 0"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter(says: dict[str, Any], message: str) -> None:
    ours = Folded(content())
    bad = event(ADA, "_prediction", NOON, 1, "p", "khaywe", **says)
    ours.fold(
        marker(1), complaint(ADA, NOON), bad, prediction(ADA, NOON, "inline", churn=1, offer=MOST_OFFER)
    )
    assert ours.dead == [(2, "undecodable", message)]
    assert (ours.row(ADA)["foretold"][0], ours.row(ADA)["offer"]) == (10_001, 2**31 - 1)


def test_a_dead_letter_among_many_leaves_the_others_their_answers() -> None:
    ours = Folded(content())
    names = [refreshed(0, 60, f"n{n}-") for n in range(6)]
    says = [prediction(name, NOON, "inline", churn=n / 10) for n, name in enumerate(names)]
    says[2] = prediction(names[2], NOON, "inline", churn=2)
    says[4] = says[4].replace(iso(NOON).encode(), b"today")
    ours.fold(marker(1), *(complaint(name, NOON) for name in names), *says)
    assert [ours.row(name)["foretold"][0] for name in names] == [1, 1001, 0, 3001, 0, 5001]
    assert len(ours.dead) == 2
