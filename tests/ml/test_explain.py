"""Explanations: Shapley values to the last digits, and never against the prediction."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml import uci
from ml.explain import Explainer, Paths
from ml.models import KINDS, UCI
from ml.onnx_file import Trees
from ml.registry import Registry
from ml.validate import sample
from tests.ml.customers import table

EXPLAINER = Explainer(Registry().load(UCI))
_BY_NODE = ("feature", "threshold", "left", "right", "cover", "weight", "target")
CUSTOMERS = uci.table().values


def conditional(trees: Trees, x: np.ndarray, known: frozenset[int]) -> float:
    """What the trees give where only some features are known: others go both ways, by the rows that did."""

    def walk(node: int) -> float:
        left, right = int(trees.left[node]), int(trees.right[node])
        if left < 0:
            return float(trees.weight[node])
        if int(trees.feature[node]) in known:
            return walk(left if x[trees.feature[node]] <= trees.threshold[node] else right)
        both = trees.cover[left] * walk(left) + trees.cover[right] * walk(right)
        return float(both / trees.cover[node])

    return float(trees.base[0]) + sum(walk(root) for root in trees.roots.tolist())


def by_definition(trees: Trees, x: np.ndarray, features: list[int]) -> dict[int, float]:
    """Shapley values by all subsets."""
    count, found = len(features), dict.fromkeys(features, 0.0)
    values = {
        frozenset(chosen): conditional(trees, x, frozenset(chosen))
        for size in range(count + 1)
        for chosen in itertools.combinations(features, size)
    }
    for feature in features:
        for known in values:
            if feature not in known:
                size = len(known)
                weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                found[feature] += weight * (values[known | {feature}] - values[known])
    return found


@pytest.mark.parametrize("row", [0, 8, 20])
def test_contributions_are_shapleys(row: int) -> None:
    """Of the first trees, which use few enough features to try all subsets."""
    whole = EXPLAINER.model.file.trees
    end = int(whole.roots[2])
    nodes = {name: getattr(whole, name)[:end] for name in _BY_NODE}
    first = Trees(**nodes, roots=whole.roots[:2], base=whole.base)
    paths = Paths(first, 0)
    used = sorted(set(paths.features.tolist()))
    found = paths.contributions(CUSTOMERS[row : row + 1])[0]
    for feature, value in by_definition(first, CUSTOMERS[row], used).items():
        assert found[feature] == pytest.approx(value, abs=1e-12)
    assert paths.base == pytest.approx(conditional(first, CUSTOMERS[row], frozenset()))


def test_they_add_up_to_the_margin_of_every_row() -> None:
    margin, _ = EXPLAINER.model.run(CUSTOMERS)
    added = EXPLAINER.contributions(CUSTOMERS).sum(1) + EXPLAINER.paths().base
    np.testing.assert_allclose(added, margin[:, 0], atol=1e-4)


def test_no_explanation_contradicts_its_prediction() -> None:
    """Every row of the training set: low tells what lowers, high what raises, medium which is which."""
    card = EXPLAINER.model.card
    predicted = EXPLAINER.model.predict(CUSTOMERS)
    told = EXPLAINER.explain(CUSTOMERS)
    assert len(told) == len(CUSTOMERS)
    levels = set()
    for row, each in enumerate(told):
        signs = {np.sign(factor.contribution) for factor in each.factors}
        assert each.level == predicted["risk_level"][row]
        assert f"{each.level}, {predicted['probability'][row]:.1%}" in each.text
        assert signs <= {"low": {-1}, "high": {1}}.get(each.level, {-1, 1})
        if each.level == "high":
            assert "Critical" in each.text
            assert "speaks for" not in each.text
        if each.level == "low":
            assert "Critical" not in each.text
            assert "speaks against" not in each.text
            assert each.prediction < card.low_below
        if each.level == "medium":
            against, _, for_ = each.text.partition("What speaks for the customer")
            for factor in each.factors:
                assert factor.text in (against if factor.contribution > 0 else for_)
        assert each.factors or "No figure stands out" in each.text
        assert all(
            factor.value == CUSTOMERS[row][card.names.index(factor.feature)] for factor in each.factors
        )
        levels.add(each.level)
    assert levels == {"low", "medium", "high"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(CUSTOMERS) - 1), st.integers(0, 12), st.floats(0, 20_000, width=32))
def test_nor_for_rows_that_never_were(row: int, column: int, value: float) -> None:
    values = CUSTOMERS[row : row + 1].copy()
    values[0, column] = value
    (each,) = EXPLAINER.explain(values)
    assert each.level == EXPLAINER.model.predict(values)["risk_level"][0]
    signs = {np.sign(factor.contribution) for factor in each.factors}
    assert signs <= {"low": {-1}, "high": {1}}.get(each.level, {-1, 1})


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_model_explains_itself(name: str) -> None:
    model = Registry().load(name)
    values = table().values[:100] if model.card.inputs == "row" else sample(model, 100)
    explainer = Explainer(model)
    margin, _ = model.run(values)
    for target in range(len(model.card.targets)):
        added = explainer.contributions(values, target).sum(1) + explainer.paths(target).base
        np.testing.assert_allclose(added, margin[:, target], atol=1e-3)
    told = explainer.explain(values)
    assert len(told) == 100
    assert all(each.text.endswith(".") and each.level in ("low", "medium", "high") for each in told)
    assert explainer.explain(values[:0]) == []
