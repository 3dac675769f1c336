"""The simulator: the same arguments give the same customers, and outcomes follow their truth."""

from __future__ import annotations

import numpy as np

from ml.labels import LABELS
from ml.simulator import simulate
from tests.ml.customers import small


def test_the_same_seed_gives_the_same_customers() -> None:
    (one, truth), (again, truth_again) = simulate(60, 5), simulate(60, 5)
    assert (one.rows == again.rows).all(), "the bytes between fields are nobody's"
    for name in LABELS:
        np.testing.assert_array_equal(truth.outcomes[name], truth_again.outcomes[name])
    assert (simulate(60, 6)[0].rows != one.rows).all()


def test_rows_stand_at_the_day_and_hold_what_happened() -> None:
    population, truth = small()
    assert (population.rows["day"] == population.day).all()
    assert (population.rows["state"] == 1).all()
    spent = population.rows["revenue"].sum(1)
    rich = truth.traits["wealth"] > np.median(truth.traits["wealth"])
    assert spent[rich].mean() > 1.3 * spent[~rich].mean()


def test_outcomes_follow_the_truth() -> None:
    _, truth = simulate(3_000, 3)
    assert set(truth.expected) == set(truth.outcomes) == set(LABELS)
    for name in LABELS:
        if name == "ltv":
            continue
        mean, drawn = truth.expected[name], truth.outcomes[name]
        assert np.isnan(mean).tolist() == np.isnan(drawn).tolist()
        known = ~np.isnan(mean)
        assert ((mean[known] >= 0) & (mean[known] <= 1)).all(), name
        assert abs(np.mean(drawn[known]) - np.mean(mean[known])) < 0.04, name


def test_who_leaves_buys_nothing() -> None:
    _, truth = small()
    gone = truth.outcomes["churn"] == 1
    assert gone.any()
    for name in ("ltv", "propensity", "upsell", "engagement", "product:data"):
        assert (truth.outcomes[name][gone] == 0).all()
