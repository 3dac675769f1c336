"""Figures against scikit-learn's, and against what they must be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score

from ml import metrics

rows = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=80).filter(
    lambda rows: len({outcome for _, outcome in rows}) == 2
)


@settings(max_examples=150, deadline=None)
@given(rows)
def test_as_scikit_learn_has_them(rows: list[tuple[int, bool]]) -> None:
    score, outcome = np.array([each[0] / 10 for each in rows]), np.array([float(each[1]) for each in rows])
    assert metrics.auc(score, outcome) == pytest.approx(roc_auc_score(outcome, score))
    assert metrics.brier(score, outcome) == pytest.approx(brier_score_loss(outcome, score))
    assert metrics.r2(score, outcome) == pytest.approx(r2_score(outcome, score))
    curve = metrics.roc(score, outcome)
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))
    assert area == pytest.approx(metrics.auc(score, outcome), abs=2e-3)


def test_the_auc_of_probabilities_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.random(400), rng.random(400)
    score += truth
    drawn = [metrics.auc(score, (rng.random(400) < truth).astype(float)) for _ in range(300)]
    assert metrics.auc(score, truth) == pytest.approx(np.mean(drawn), abs=0.01)


def test_population_stability() -> None:
    rng = np.random.default_rng(2)
    edges, shares = metrics.bins(rng.normal(size=4_000))
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert metrics.psi(shares, metrics.shares(rng.normal(size=4_000), edges)) < 0.02
    assert metrics.psi(shares, metrics.shares(rng.normal(1.0, 1.0, 4_000), edges)) > 0.25
    assert metrics.bins(np.zeros(10)) == ([0.0], [1.0, 0.0])
