"""Drift: how far features and scores of today are from those that a model was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml import metrics
from ml.registry import Model

#: Usual reading of the population stability index: below, stable; from MOVED on, another population.
STABLE, MOVED = 0.1, 0.25


def feature_drift(model: Model, values: NDArray[np.float32]) -> dict[str, float]:
    """Population stability index of each feature of a matrix against training."""
    return {
        column.name: metrics.psi(column.shares, metrics.shares(values[:, at], column.edges))
        for at, column in enumerate(model.card.features)
    }


def score_drift(model: Model, values: NDArray[np.float32]) -> dict[str, float]:
    """The same of each target's predictions."""
    _, prediction = model.run(values)
    return {
        target: metrics.psi(bins.shares, metrics.shares(prediction[:, at], bins.edges))
        for at, (target, bins) in enumerate(zip(model.card.targets, model.card.predictions, strict=True))
    }
