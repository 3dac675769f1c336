"""What is offered first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.draft import seed
from loyalty.game import Game
from ml.labels import OFFER_KINDS
from ml.ranking import Choice, by_kind, choices, rank
from ml.registry import Registry

DATA = Choice(1, "1 GB", "data", 5.0, 0.5)
SEED_OFFERS = choices(seed().onto(Game(), 2).offers)
VOICE = Choice(2, "100 minutes", "voice", 10.0, 1.0)


def test_by_expected_value() -> None:
    found = rank([DATA, VOICE], {"data": 0.5, "voice": 0.2})
    assert [(each.choice.id, each.expected_value) for each in found] == [(1, pytest.approx(2.0)), (2, 1.0)]


def test_ties_stand_by_id_whatever_order_they_came_in() -> None:
    twins = [Choice(n, f"offer {n}", "data", 5.0, 0.5) for n in (3, 1, 2)]
    assert [each.choice.id for each in rank(twins, {"data": 0.5})] == [1, 2, 3]


def test_only_what_is_active_there_known_and_suits() -> None:
    choices = [
        Choice(1, "off", "data", 5, 0, active=False),
        Choice(2, "gone", "data", 5, 0, left=0),
        Choice(3, "for the rich", "data", 5, 0, for_value=frozenset({"high"})),
        Choice(4, "for gold", "data", 5, 0, segments=frozenset({"gold"})),
        Choice(5, "of a kind nobody knows", "yachts", 5, 0),
        Choice(6, "last one", "data", 5, 0, left=1),
    ]
    assert [each.choice.id for each in rank(choices, {"data": 0.5})] == [6]
    assert [each.choice.id for each in rank(choices, {"data": 0.5}, "high", "gold")] == [3, 4, 6]


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_the_seeds_offers_in_falling_order(probabilities: list[float]) -> None:
    found = rank(SEED_OFFERS, dict(zip(OFFER_KINDS, probabilities, strict=True)), "high")
    values = [each.expected_value for each in found]
    assert len(found) == len(SEED_OFFERS)
    assert values == sorted(values, reverse=True)


def test_with_the_models_own_probabilities() -> None:
    model = Registry().load("nbo")
    _, prediction = model.run(np.zeros((1, len(model.names)), np.float32))
    found = rank(SEED_OFFERS, by_kind(model.card, prediction[0]), "medium")
    assert {each.choice.kind for each in found} == set(OFFER_KINDS)
