"""Trees as training leaves them, before they are a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.onnx_write import Node, float_below

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Fitted:
    """Trees of all targets, their calibration, and what training learnt by the way."""

    trees: list[tuple[int, Node]]
    base: list[float]
    slope: list[float]
    shift: list[float]
    unseen: Floats  # margins of training rows by trees that did not see them, (n, targets); NaN: no label
    gain: Floats  # by feature

    def margin(self, values: NDArray[np.float32]) -> Floats:
        """Margins of a matrix, (n, targets), as the file will give them: thresholds in float32."""
        out = np.tile(np.array(self.base), (len(values), 1))

        def walk(node: Node, rows: NDArray[np.int64], target: int) -> None:
            if len(node) == 2:
                out[rows, target] += node[0]
                return
            feature, threshold, left, right, _ = node
            below = values[rows, feature] <= np.float32(float_below(threshold))
            walk(left, rows[below], target)
            walk(right, rows[~below], target)

        for target, root in self.trees:
            walk(root, np.arange(len(values)), target)
        return out


def linked(margin: Floats, fitted: Fitted, link: str) -> Floats:
    """Predictions of margins."""
    calibrated = margin * np.array(fitted.slope) + np.array(fitted.shift)
    if link == "identity":
        return np.asarray(calibrated)
    return np.asarray(np.exp(calibrated) if link == "log" else 1.0 / (1.0 + np.exp(-calibrated)))
