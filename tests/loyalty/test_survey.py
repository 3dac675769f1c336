"""Many rows looked at together say what one row says by itself: scores, conditions, badges awarded."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from agents.catalog_feed import DEFAULTS
from catalog.content import Content
from loyalty.conditions import ConditionError
from loyalty.engine import Engine
from loyalty.explain import explain
from loyalty.game import Badge, Game, Level, Reward
from loyalty.log import joined
from loyalty.state import State
from loyalty.survey import awards, holding, look
from loyalty.vocabulary import INDEX

KINDS = ("recharge", "voice_call", "data_session", "sms", "app_login", "payment")


def _events() -> Iterator[bytes]:
    dice = np.random.default_rng(5)
    for n in range(400):
        customer, kind, day = int(dice.integers(40)), KINDS[int(dice.integers(len(KINDS)))], 1 + n // 20
        yield msgspec.json.encode(
            {
                "event_id": str(n), "customer_id": f"c{customer}", "event_type": kind,
                "value": int(dice.integers(1, 200)), "source": "test", "attributes": {},
                "occurred_at": f"2026-01-{day:02}T10:00:00.000Z",
                "received_at": f"2026-01-{day:02}T10:00:00.000Z",
            }
        )  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> NDArray[np.void]:
    """Rows of some customers after a log."""
    state = State()
    records = list(enumerate(_events()))
    for _ in Engine(0, state, lambda _: DEFAULTS).fold(joined(records), len(records)):
        pass
    found: NDArray[np.void] = state.rows[state.slots([f"c{n}".encode() for n in range(40)])].copy()
    assert (found["state"] > 0).all()
    return found


def test_scores_are_those_of_each_row(rows: NDArray[np.void]) -> None:
    scores = {name: dict(parts) for name, parts in DEFAULTS.policy.scores.items()}
    scores["engagement"]["calls"] = msgspec.structs.replace(scores["engagement"]["calls"], full_at=2)
    policy = msgspec.structs.replace(DEFAULTS.policy, scores=scores)
    edited = msgspec.structs.replace(DEFAULTS, policy=policy)
    for content in (DEFAULTS, edited):
        found = look(rows, content)
        for n, row in enumerate(rows):
            alone = [each["value"] for each in explain(row, content).values()]
            assert found.scores[n].tolist() == alone
            assert found.features[n, INDEX["engagement"]] == alone[0]
    moved = int((look(rows, edited).scores != look(rows, DEFAULTS).scores).sum())
    assert moved > 10


def test_a_condition_holds_for_those_for_whom_it_does(rows: NDArray[np.void]) -> None:
    found = look(rows, DEFAULTS)
    sums = found.features[:, INDEX["revenue_lifetime"]]
    least = float(np.median(sums))
    assert (holding(found.features, f"revenue_lifetime >= {least}") == (sums >= least)).all()
    assert holding(found.features, "").all()
    assert not holding(found.features, "tier is known and tier > 3").any()
    with pytest.raises(ConditionError):
        holding(found.features, "revenue_lifetime >")


def _with(*conditions: str) -> Content:
    levels = [Level(condition, Reward(points=10 * (n + 1))) for n, condition in enumerate(conditions)]
    return msgspec.structs.replace(DEFAULTS, game=Game(badges=[Badge(7, "Tried", levels)]))


def test_levels_are_awarded_upwards_and_once(rows: NDArray[np.void]) -> None:
    seen = look(rows, DEFAULTS).features
    calls = seen[:, INDEX["calls_lifetime"]]
    content = _with(
        "calls_lifetime >= 1", "calls_lifetime >= 3", "calls_lifetime > 1_000", "tenure_days >= 0"
    )
    told = awards(rows, content, 7)
    expected = [int((calls >= 1).sum()), int((calls >= 3).sum()), 0, 0]  # platinum waits for gold
    assert 0 < expected[1] < expected[0]
    assert told[:, 0].tolist() == expected
    assert told[:, 1].tolist() == [10 * expected[0], 20 * expected[1], 0, 0]
    have = rows.copy()
    have["badges"][:, 0] |= np.uint64(1) << np.uint64(7 * 4)
    assert awards(have, content, 7)[:, 0].tolist() == [0, *expected[1:]]
    assert (rows["badges"] == 0).all()
    rest = msgspec.structs.replace(DEFAULTS.decisions, control_share=1.0)
    control = awards(rows, msgspec.structs.replace(content, decisions=rest), 7)
    assert control.tolist() == [[each, 0] for each in expected]
