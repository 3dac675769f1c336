"""Many rows looked at together, as they stand: scores by a policy, and for whom a condition holds.

For whoever asks before something is published what it would change.  The code is that of the fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import BADGE, DESK, EFFECT, EFFECTS_ROOM, GRANT, SEEN_ROOM
from loyalty.compiled import compiled
from loyalty.conditions import parse, terms
from loyalty.game import LEVELS
from loyalty.moving import features, in_control
from loyalty.policy import MEASURES, Content, compile_policy
from loyalty.rewards import award_badges
from loyalty.row import NO, OPEN
from loyalty.rules import Rules, term_table
from loyalty.scores import score
from loyalty.slots import holds
from loyalty.vocabulary import FEATURES, INDEX, KINDS

Floats = NDArray[np.float64]
Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Survey:
    """Of n rows: `scores` (n, 5), 0 to 100; `measures`, `points` (n, MEASURES); `features` (n, FEATURES)."""

    scores: Floats
    measures: Floats
    points: Floats
    features: Floats


@compiled
def _look(
    rows: Any, policies: Any, desks: Any, scores: Any, measures: Any, points: Any, seen: Any
) -> None:  # fmt: skip
    policy, desk = policies[0], desks[0]
    for n in range(rows.shape[0]):
        score(rows[n], policy, desk)
        features(rows[n], policy, desk)
        for i in range(scores.shape[1]):
            scores[n, i] = desk.scores[i] / 100.0
        for i in range(measures.shape[1]):
            measures[n, i] = desk.measures[i]
            points[n, i] = desk.points[i]
        for i in range(seen.shape[1]):
            seen[n, i] = desk.features[i]


@compiled
def _holding(table: Any, first: int, seen: Any, out: Any) -> None:
    for n in range(seen.shape[0]):
        out[n] = holds(table, first, seen[n])


def look(rows: Rows, content: Content) -> Survey:
    """Rows (ROW, as of their own days) by the policy of a revision's content."""
    n = len(rows)
    found = Survey(
        np.zeros((n, 5)), np.zeros((n, len(MEASURES))), np.zeros((n, len(MEASURES))),
        np.zeros((n, len(FEATURES))),
    )  # fmt: skip
    desk = np.zeros(1, DESK)
    _look(rows, compile_policy(content), desk, found.scores, found.measures, found.points, found.features)
    return found


def holding(seen: Floats, condition: str) -> NDArray[np.bool_]:
    """For which of the surveyed `features` a condition holds, (n,).  Raises ConditionError."""
    found = terms(parse(condition, KINDS), lambda name, kind: INDEX[name])
    out = np.zeros(len(seen), np.bool_)
    _holding(term_table(found), 0 if found else -1, seen, out)
    return out


@compiled
def _award(
    rows: Any, policies: Any, tables: Any, desks: Any, effects: Any, seen: Any, number: int, told: Any
) -> None:
    policy, desk = policies[0], desks[0]
    for n in range(rows.shape[0]):
        row = rows[n]
        if row.state != OPEN or row.opted == NO:
            continue
        desk.filled, desk.seen, desk.control = 0, 0, in_control(row.id_hash, policy)
        score(row, policy, desk)
        features(row, policy, desk)
        award_badges(row, policy, tables, desk, effects, seen)
        for i in range(desk.filled):
            effect = effects[i]
            if effect.number != number:
                continue
            if effect.kind == BADGE:
                told[effect.level - 1, 0] += 1
            elif effect.kind == GRANT and not effect.control:
                told[effect.level - 1, 1] += effect.points


def awards(rows: Rows, content: Content, number: int) -> NDArray[np.int64]:
    """By level of a badge: customers who would be awarded it now, and points that they would get, (4, 2)."""
    told = np.zeros((len(LEVELS), 2), np.int64)
    _award(
        rows.copy(), compile_policy(content), Rules(lambda _: content, [0]).tables, np.zeros(1, DESK),
        np.empty(EFFECTS_ROOM, EFFECT), np.empty((SEEN_ROOM, len(FEATURES))), number, told,
    )  # fmt: skip
    return told
