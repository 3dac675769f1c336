"""How good predictions are, in plain NumPy.

With a known truth a row counts as positive by its probability, so that a figure does not depend on how its
outcomes fell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST_SHARE = 1e-4  # of an empty bin, as is usual for the population stability index


def auc(score: Floats, positive: Floats) -> float:
    """Area under the ROC curve; `positive` is each row's share of being positive (0 or 1 for outcomes).

    Ties count half.  NaN where all rows are the same.
    """
    _, place = np.unique(score, return_inverse=True)
    ones = np.bincount(place, positive)
    zeros = np.bincount(place, 1.0 - positive)
    pairs = ones.sum() * zeros.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum() / pairs)


def roc(score: Floats, outcome: Floats, points: int = 60) -> list[tuple[float, float]]:
    """Points (false, true positive rate) of the ROC curve, at most so many."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    true, false = np.cumsum(outcome[order])[ends], np.cumsum(1.0 - outcome[order])[ends]
    if not len(ends) or true[-1] == 0 or false[-1] == 0:
        return []
    chosen = np.unique(np.linspace(0, len(ends) - 1, points).round().astype(int))
    return [
        (0.0, 0.0),
        *((round(float(false[at] / false[-1]), 4), round(float(true[at] / true[-1]), 4)) for at in chosen),
    ]


def brier(probability: Floats, outcome: Floats) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((probability - outcome) ** 2))


def r2(prediction: Floats, outcome: Floats) -> float:
    """Share of the variance of amounts that is explained."""
    return float(1.0 - np.mean((prediction - outcome) ** 2) / np.var(outcome))


def lift(score: Floats, outcome: Floats) -> list[float]:
    """Mean outcome of each tenth against that of all, the highest scores first."""
    order = np.argsort(-score, kind="stable")
    mean = outcome.mean()
    tenths = np.array_split(outcome[order], 10)
    return [round(float(part.mean() / mean), 4) if mean and len(part) else 0.0 for part in tenths]


def reliability(prediction: Floats, outcome: Floats) -> list[tuple[float, float, int]]:
    """Mean prediction, mean outcome and rows of each tenth of the predictions, the lowest first."""
    order = np.argsort(prediction, kind="stable")
    return [
        (round(float(prediction[part].mean()), 6), round(float(outcome[part].mean()), 6), len(part))
        for part in np.array_split(order, 10)
        if len(part)
    ]


def bins(values: Floats) -> tuple[list[float], list[float]]:
    """Inner edges at the tenths of these values, and the share of them in each bin."""
    edges = np.unique(np.quantile(values, np.linspace(0.1, 0.9, 9), method="lower").astype(np.float32))
    return [float(edge) for edge in edges], [round(share, 6) for share in shares(values, edges.tolist())]


def shares(values: NDArray[Any], edges: list[float]) -> list[float]:
    """Share of the values in each bin: x <= edges[0], ..., x > edges[-1]."""
    place = np.searchsorted(np.asarray(edges, np.float32), np.asarray(values, np.float32), "left")
    return [float(share) for share in np.bincount(place, minlength=len(edges) + 1) / max(len(values), 1)]


def psi(expected: list[float], found: list[float]) -> float:
    """Population stability index of two lists of shares: below 0.1 stable, above 0.25 another population."""
    e, f = (np.maximum(np.array(each), _LEAST_SHARE) for each in (expected, found))
    return float(((f - e) * np.log(f / e)).sum())
