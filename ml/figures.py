"""The figures of a model's card, on rows that its trees never saw.

They stand beside those of a plain rule and, where the truth is known, beside the best that is possible.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import metrics
from ml.fitted import Fitted, linked
from ml.models import Definition
from ml.table import Table

Floats = NDArray[np.float64]


def figures(
    definition: Definition, table: Table, fitted: Fitted, held: NDArray[np.bool_], labels: Floats
) -> dict[str, Any]:
    """`metrics`, `reliability`, `roc` and `lift` of a card."""
    if held.any():
        margin, rows = fitted.margin(table.values[held]), held
    else:
        margin, rows = fitted.unseen, np.ones(len(labels), np.bool_)
    prediction = linked(margin, fitted, definition.link)
    outcome = labels[rows]
    expected = None
    if table.expected is not None:
        expected = np.stack([table.expected[label][rows] for label in definition.labels], 1)
    rule = _rule(definition, table, rows, labels)
    found = _values(definition.metric, prediction, rule, outcome, expected)
    known = ~np.isnan(outcome)
    flat, truth = prediction[known], outcome[known]
    if definition.link == "logit":
        found["brier"] = metrics.brier(flat, truth)
    top = metrics.lift(flat, truth)
    found["lift_of_top_tenth"] = top[0]
    whole = definition.objective == "binary"
    return {
        "metrics": {name: round(value, 5) for name, value in found.items()},
        "reliability": metrics.reliability(flat, truth),
        "roc": metrics.roc(flat, truth) if whole else [],
        "lift": top,
    }


def _values(
    metric: str, prediction: Floats, rule: Floats | None, outcome: Floats, expected: Floats | None
) -> dict[str, float]:
    """The deciding metric of model, rule and truth, and how far the model goes from one to the other."""

    def of(score: Floats) -> float:
        if metric == "chosen":
            wanted = outcome if expected is None else expected
            return float(np.nanmean(wanted[np.arange(len(score)), score.argmax(1)]))
        known = ~np.isnan(outcome[:, 0])
        y = outcome[known, 0] if expected is None else expected[known, 0]
        if metric == "auc":
            return metrics.auc(score[known, 0], y)
        return metrics.r2(score[known, 0], outcome[known, 0])

    found = {metric: of(prediction)}
    if rule is not None:
        found[f"rule_{metric}"] = of(rule)
    if expected is not None:
        found[f"best_{metric}"] = of(expected)
        if rule is not None:
            plain = found[f"rule_{metric}"]
            found["share_of_the_way"] = (found[metric] - plain) / (found[f"best_{metric}"] - plain)
        if metric == "auc":
            known = ~np.isnan(outcome[:, 0])
            found["auc_on_outcomes"] = metrics.auc(prediction[known, 0], outcome[known, 0])
    return found


def _rule(definition: Definition, table: Table, rows: NDArray[np.bool_], labels: Floats) -> Floats | None:
    """The plain rule's scores; None where it speaks of features that the table has not."""
    places = {name: at for at, name in enumerate(table.names)}
    try:
        score = definition.score(lambda name: table.values[rows, places[name]].astype(np.float64))
    except KeyError:
        return None
    score = score if score.ndim == 2 else score[:, None]
    return score + np.nanmean(labels, 0) if definition.metric == "chosen" else score
