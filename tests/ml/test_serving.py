"""What a worker's models answer: the same as each model alone, whatever the batch, in the contract's form."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.asking import DAILY, INLINE, MEMBERS, SETS, Ask, prediction_id, prediction_record
from loyalty.content import Decisions
from loyalty.effects import PREDICTIONS, Cause, moment, scores_effect
from loyalty.game import Game, Offer
from loyalty.hashing import word_hash
from loyalty.row import ROW
from loyalty.times import iso
from ml import features
from ml.ranking import LEVELS, by_kind, choices, rank
from ml.registry import Model
from ml.rules import Rule
from ml.serving import FEATURE_SET, MODELS, NAMES, Answers, Serving
from tests.ml.customers import small

OFFERS = [
    Offer(3, "1 GB", kind="data", value=5.0, cost=0.5),
    Offer(1, "2 GB", kind="data", value=5.0, cost=0.5),
    Offer(9, "for the rich", kind="upgrade", value=90.0, target_value_segment="medium_high"),
    Offer(7, "for gold", kind="service", value=60.0, segments=["gold", "silver"]),
    Offer(4, "come back", kind="comeback", value=14.0, cost=1.5),
    Offer(2, "of no kind", value=1_000.0),
]
AS_OF = 1_735_689_600_000


class Content(msgspec.Struct):
    decisions: Decisions = Decisions()
    game: Game = Game(offers=OFFERS)


@cache
def serving() -> Serving:
    return Serving()


@cache
def rows() -> Any:
    """300 customers, of any value and segment."""
    found = small()[0].rows.copy()
    rng = np.random.default_rng(2)
    found["ltv"] = rng.choice([0, 1, 10_001, 20_001, 100_001], len(found))
    found["segment"] = rng.choice([0, word_hash("gold"), word_hash("bronze")], len(found))
    return found


@cache
def asks() -> list[Ask]:
    """Some of each set, a minute apart; ids that JSON writes otherwise too."""
    kinds = [INLINE, DAILY, INLINE | DAILY]
    return [
        Ask(f'c"{n}é'.encode(), kinds[n % 3], AS_OF + n * 60_000, 4, Cause("cdr", f"e\\{n}"))
        for n in range(len(rows()))
    ]


def answered(first: int = 0, end: int | None = None) -> Answers:
    return serving().answer(asks()[first:end], rows()[first:end], Content())


@cache
def whole() -> Answers:
    return answered()


def records(which: int) -> list[tuple[int, dict[str, Any]]]:
    """(place among the asks, record) of a set."""
    mine = [json.loads(e.value or b"") for e in whole().effects if e.key.endswith(SETS[which].encode())]
    places = [n for n, ask in enumerate(asks()) if ask.sets & which]
    return list(zip(places, mine, strict=True))


def test_every_ask_is_answered_once_by_each_of_its_sets() -> None:
    wanted = sorted(
        (ask.id + b":" + SETS[which].encode(), prediction_id(ask, which))
        for ask in asks()
        for which in SETS
        if ask.sets & which
    )
    found = [(effect.key, dict(effect.headers)["ce_id"].decode()) for effect in whole().effects]
    assert sorted(found) == wanted
    assert len(whole().forwards) == len(wanted)
    assert whole().counts["churn"] == whole().counts["nbo"] == sum(a.sets & INLINE for a in asks())
    assert serving().answer([], np.zeros(0, ROW), Content()) == Answers()


def test_records_have_the_head_and_headers_of_other_effects() -> None:
    place, record = records(INLINE)[5]
    ask = asks()[place]
    at, id = iso(ask.as_of), ask.id.decode()
    like = scores_effect(
        moment(ask.id, at, 4, ask.cause.source, ask.cause.event_id, id), "moved", ["1.0"] * 5
    )
    head = json.loads(like.value or b"")
    assert list(record)[:5] == list(head)[:5]
    assert {name: record[name] for name in list(head)[1:5]} == {name: head[name] for name in list(head)[1:5]}
    effect = next(each for each in whole().effects if json.loads(each.value or b"") == record)
    assert effect.topic == PREDICTIONS
    assert dict(effect.headers) == dict(like.headers) | {
        "ce_id": record["effect_id"].encode(),
        "ce_type": b"khaywe.predictions.v1",
    }


@pytest.mark.parametrize("which", [INLINE, DAILY])
def test_outputs_are_those_of_each_model_alone(which: int) -> None:
    found = records(which)
    values = features.matrix(rows()[[place for place, _ in found]])
    for name in MODELS[which]:
        model = serving().models[name]
        assert isinstance(model, Model)
        alone = model.predict(features.select(values, model.names))
        for n, (_, record) in enumerate(found):
            told = record["models"][name]
            extra = {"fallback", *({"offers"} if name == "nbo" else ())}
            assert set(told) == set(alone) | extra
            assert told["fallback"] is False
            for key, column in alone.items():
                if column.dtype.kind == "f":
                    assert np.float32(told[key]) == np.float32(column[n]), (name, key)
                else:
                    assert told[key] == column[n].item()
    for n, (_, record) in enumerate(found):
        assert np.array(record["features"], np.float32).tobytes() == values[n].tobytes()
        assert record["feature_set"] == FEATURE_SET
        assert list(record["models"]) == list(MODELS[which])


@pytest.mark.parametrize("which", [INLINE, DAILY])
def test_the_fold_is_told_in_its_form_and_nothing_of_whom_too_little_is_known(which: int) -> None:
    outputs = {
        "churn": ("churn", "probability"), "propensity": ("propensity", "probability"),
        "response": ("campaign_response", "probability"), "upsell": ("upsell", "probability"),
        "default_risk": ("payment_default", "probability"), "engagement": ("engagement", "amount"),
        "rfm": ("rfm", "rfm_score"), "ltv": ("ltv", "amount"),
    }  # fmt: skip
    events = {json.loads(value)["event_id"]: (key, json.loads(value)) for key, value in whole().forwards}
    unknown = 0
    for place, record in records(which):
        models = record["models"]
        little = models[MODELS[which][0]]["insufficient_history"]
        unknown += little
        values = {
            member: models[outputs[member][0]][outputs[member][1]] for member in MEMBERS[which]
            if member in outputs
        }  # fmt: skip
        if which == INLINE:
            values["offer"] = models["nbo"]["offers"][0]["offer_id"]
        if little:
            values = dict.fromkeys(values)
        key, wanted = prediction_record(asks()[place], which, record["effect_id"], values)
        assert events[record["effect_id"]] == (key, json.loads(wanted))
    assert 0 < unknown < len(rows()) / 2


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(1, 299), max_size=12))
def test_batches_of_any_cut_give_the_same_bytes(cuts: set[int]) -> None:
    ends = [0, *sorted(cuts), 300]
    parts = [answered(a, b) for a, b in pairwise(ends)]
    by_id = {effect.headers[0][1]: effect for part in parts for effect in part.effects}
    assert {effect.headers[0][1]: effect for effect in whole().effects} == by_id
    assert sorted(each for part in parts for each in part.forwards) == sorted(whole().forwards)


def test_one_by_one_gives_the_same_bytes() -> None:
    alone = [effect for n in range(60) for effect in answered(n, n + 1).effects]
    assert {effect.value for effect in alone} == {effect.value for effect in answered(0, 60).effects}


def test_offers_are_ranked_as_customer_by_customer() -> None:
    model = serving().models["nbo"]
    values = features.matrix(rows())
    _, prediction = model.run(values)
    bands = serving().models["ltv"].card
    segments = {word_hash(name): name for name in ("gold", "bronze")} | {0: ""}
    seen: set[tuple[str, str, int]] = set()
    for place, record in records(INLINE):
        ltv = int(rows()["ltv"][place])
        level = (
            LEVELS[((ltv - 1) / 100 >= bands.low_below) + ((ltv - 1) / 100 >= bands.high_from)] if ltv else ""
        )
        segment = segments[int(rows()["segment"][place])]
        probabilities = by_kind(model.card, prediction[place].astype(np.float64))
        wanted = rank(choices(OFFERS), probabilities, level, segment)[:3]
        found = record["models"]["nbo"]["offers"]
        assert [each["offer_id"] for each in found] == [each.choice.id for each in wanted]
        for told, each in zip(found, wanted, strict=True):
            assert told["kind"] == each.choice.kind
            assert np.float32(told["probability"]) == np.float32(each.probability)
            assert np.float32(told["expected_value"]) == np.float32(each.expected_value)
        seen.add((level, segment, found[0]["offer_id"]))
    assert {level for level, _, _ in seen} == {"", *LEVELS}
    assert {7, 9} <= {best for _, _, best in seen}


def test_with_fewer_offers_than_are_told_and_with_none() -> None:
    for offers in ([], OFFERS[-1:], OFFERS[:1], OFFERS[:2]):
        content = Content(game=Game(offers=offers))
        found = serving().answer(asks()[:1], rows()[:1], content)
        told = json.loads(found.effects[0].value or b"")["models"]["nbo"]["offers"]
        assert [each["offer_id"] for each in told] == sorted(o.offer_id for o in offers if o.kind)
        if not told:
            assert json.loads(found.forwards[0][1])["attributes"]["offer"] is None


def test_revisions_decide_on_money_and_days() -> None:
    yen = Content(decisions=Decisions(currency="JPY", currency_decimals=0, timezone="Asia/Tokyo"))
    found = json.loads(serving().answer(asks()[:1], rows()[:1], yen).effects[0].value or b"")
    wanted = features.matrix(rows()[:1], decimals=0, timezone="Asia/Tokyo")[0]
    assert np.array(found["features"], np.float32).tobytes() == wanted.tobytes()


def test_rules_give_what_models_give() -> None:
    """Keys, shapes and ranges; and who is long gone is at risk."""
    values = features.matrix(rows())
    for name in NAMES:
        rule, model = Rule(name), serving().models[name]
        prediction = rule.run(values)[1]
        ours, theirs = rule.outputs(prediction), model.outputs(model.run(values)[1])
        assert set(ours) == set(theirs)
        assert prediction.shape == (len(values), len(rule.card.targets))
        assert np.isfinite(prediction).all()
        assert prediction.min() >= 0
        if rule.card.link == "logit":
            assert prediction.max() <= 1
        assert len(np.unique(prediction)) > 1
    gone = values[:3].copy()
    since = features.NAMES.index("days_since_activity")
    gone[:, since] = (0, 40, -1)
    assert Rule("churn").run(gone)[1].ravel().tolist() == [0.0, 1.0, 1.0]
