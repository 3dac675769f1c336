"""Drift: how far features and scores of today are from those that a model was trained on."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from ml import metrics
from ml.registry import Model

#: Usual reading of the population stability index: below, stable; from MOVED on, another population.
STABLE, MOVED = 0.1, 0.25


class Reservoir:
    """Some rows of those served lately, as many as a fixed memory holds: 1.1 MB.

    Full, it takes one row in STRIDE, in the place of any: so it speaks for about the last ROWS x STRIDE.
    """

    ROWS, STRIDE = 5_000, 20
    LEAST = 500  # below, an index says more of chance than of customers

    def __init__(self, width: int) -> None:
        self._rows = np.empty((self.ROWS, width), np.float32)
        self._count = self._passed = 0
        self._places = np.random.default_rng(0)
        self._lock = threading.Lock()

    def add(self, values: NDArray[np.float32]) -> None:
        """Rows that were served, (n, width)."""
        with self._lock:
            free = min(self.ROWS - self._count, len(values))
            self._rows[self._count : self._count + free] = values[:free]
            self._count += free
            rest = values[free:]
            chosen = rest[-self._passed % self.STRIDE :: self.STRIDE]
            self._passed += len(rest)
            if len(chosen):
                self._rows[self._places.integers(0, self.ROWS, len(chosen))] = chosen

    def rows(self) -> NDArray[np.float32] | None:
        """A copy of what it holds; None below LEAST."""
        with self._lock:
            return self._rows[: self._count].copy() if self._count >= self.LEAST else None


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
