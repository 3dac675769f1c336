"""Why a model says what it says: what each feature adds to the margin, computed from the model's own trees.

The contributions are Shapley values over the paths of the trees, weighted by the rows that came through in
training (Lundberg, Erion, Lee 2018).  They are exact: the weights of all subsets of a leaf's features are the
integral of a polynomial, for which Gauss and Legendre's points suffice.  Base and contributions add up to the
margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled
from ml.card import Column
from ml.features import UNKNOWNS
from ml.models import DEFINITIONS, levels
from ml.onnx_file import Trees
from ml.registry import Model

Floats = NDArray[np.float64]
#: Factors that are told of each side.
TOLD = 3
#: A contribution below this share of the greatest is not worth a sentence.
LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Factor:
    """A feature's part: `contribution` to the calibrated margin, above 0 where it raises the prediction."""

    feature: str
    value: float
    typical: float
    contribution: float
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`factors` are those that count for the level, the strongest first; `text` says it in sentences."""

    target: str
    prediction: float
    level: str
    factors: list[Factor]
    text: str


class Paths:
    """A model's leaves for one target: which interval of which features leads there, and how often it did."""

    def __init__(self, trees: Trees, target: int) -> None:
        starts, weights = [0], []
        features: list[int] = []
        lows: list[float] = []
        highs: list[float] = []
        shares: list[float] = []
        self.base = float(trees.base[target])
        stack: list[tuple[int, dict[int, tuple[float, float, float]]]] = [
            (int(root), {}) for root in trees.roots
        ]
        while stack:
            node, path = stack.pop()
            left, right = int(trees.left[node]), int(trees.right[node])
            if left >= 0:
                feature, edge = int(trees.feature[node]), float(trees.threshold[node])
                low, high, share = path.get(feature, (-np.inf, np.inf, 1.0))
                cover = trees.cover[node]
                to_left, to_right = trees.cover[left] / cover, trees.cover[right] / cover
                stack.append((left, path | {feature: (low, min(high, edge), share * to_left)}))
                stack.append((right, path | {feature: (max(low, edge), high, share * to_right)}))
            elif trees.target[node] == target:
                weight = float(trees.weight[node])
                self.base += weight * float(np.prod([share for _, _, share in path.values()]))
                for feature, (low, high, share) in path.items():
                    features.append(feature)
                    lows.append(low)
                    highs.append(high)
                    shares.append(share)
                starts.append(len(features))
                weights.append(weight)
        self.starts = np.array(starts, np.int64)
        self.weights = np.array(weights)
        self.features = np.array(features, np.int64)
        self.lows, self.highs = np.array(lows, np.float64), np.array(highs, np.float64)
        self.shares = np.array(shares)
        longest = int(np.diff(self.starts).max(initial=1))
        points, masses = np.polynomial.legendre.leggauss((longest + 1) // 2)  # exact to degree longest - 1
        self.points, self.masses = (points + 1) / 2, masses / 2

    def contributions(self, values: NDArray[np.float32]) -> Floats:
        """What each feature adds to the margin, shape of `values`."""
        out = np.zeros(values.shape)
        _contribute(
            np.ascontiguousarray(values, np.float64), self.starts, self.weights, self.features, self.lows,
            self.highs, self.shares, self.points, self.masses, np.zeros(64), out,
        )  # fmt: skip
        return out


@compiled
def _contribute(
    values: Floats, starts: NDArray[np.int64], weights: Floats, features: NDArray[np.int64], lows: Floats,
    highs: Floats, shares: Floats, points: Floats, masses: Floats, inside: Floats, out: Floats,
) -> None:  # fmt: skip
    """`inside` is scratch space, as long as the longest path."""
    for row in range(values.shape[0]):
        for leaf in range(weights.shape[0]):
            first, end = starts[leaf], starts[leaf + 1]
            for at in range(first, end):
                value = values[row, features[at]]
                inside[at - first] = 1.0 if lows[at] < value <= highs[at] else 0.0
            for q in range(points.shape[0]):
                t = points[q]
                product = weights[leaf] * masses[q]
                for at in range(first, end):
                    product *= t * inside[at - first] + (1.0 - t) * shares[at]
                for at in range(first, end):
                    own = t * inside[at - first] + (1.0 - t) * shares[at]
                    out[row, features[at]] += (inside[at - first] - shares[at]) * product / own


class Explainer:
    """Explains a model's predictions; made once for a model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._paths: dict[int, Paths] = {}

    def paths(self, target: int = 0) -> Paths:
        """The leaves of a target."""
        if target not in self._paths:
            self._paths[target] = Paths(self.model.file.trees, target)
        return self._paths[target]

    def contributions(self, values: NDArray[np.float32], target: int = 0) -> Floats:
        """What each feature adds to the raw margin of a target, shape of `values`.

        `paths(target).base` and a row's contributions add up to its margin.
        """
        return self.paths(target).contributions(values)

    def explain(self, values: NDArray[np.float32], target: str = "") -> list[Explanation]:
        """An explanation of each row; unset: of several targets, the one with the greatest prediction."""
        _, prediction = self.model.run(values)
        if DEFINITIONS[self.model.card.kind].objective == "rules":
            return self._rules(values, prediction)
        best = prediction.argmax(1) if len(prediction) else np.zeros(0, np.int64)
        if target:
            best[:] = self.model.card.targets.index(target)
        found: list[Explanation | None] = [None] * len(values)
        slopes = self.model.file.constants["slope"]
        for at in np.unique(best).tolist():
            rows = np.flatnonzero(best == at)
            added = self.contributions(values[rows], at) * float(slopes[at])
            at_level = levels(prediction[rows, at].astype(np.float64), self.model.card)
            for n, row in enumerate(rows.tolist()):
                found[row] = self._tell(
                    at, float(prediction[row, at]), str(at_level[n]), values[row], added[n]
                )
        return [each for each in found if each is not None]

    def _rules(self, values: NDArray[np.float32], prediction: NDArray[np.float32]) -> list[Explanation]:
        """Every target counts, and each is a count of what one feature is above."""
        card = self.model.card
        added = [self.contributions(values, at) for at in range(len(card.targets))]
        at_level = levels(prediction.mean(1).astype(np.float64), card)
        found = []
        for row in range(len(values)):
            factors, said = [], []
            for target, name in enumerate(card.targets):
                at = int(np.abs(self.paths(target).features).max())
                text = _figure(card.features[at], float(values[row, at]))
                typical, part = card.features[at].typical, float(added[target][row, at])
                factors.append(Factor(card.names[at], float(values[row, at]), typical, part, text))
                said.append(f"{name.partition(':')[2]} {prediction[row, target]:.0f} of 5: {text}")
            mean, level = float(prediction[row].mean()), str(at_level[row])
            found.append(Explanation("rfm", mean, level, factors, f"{'; '.join(said)}."))
        return found

    def _tell(
        self, target: int, prediction: float, level: str, values: NDArray[np.float32], added: Floats
    ) -> Explanation:
        card = self.model.card
        order = np.argsort(-np.abs(added), kind="stable").tolist()
        worth = LEAST_SHARE * float(np.abs(added).max(initial=0.0))
        raises = [at for at in order if added[at] > worth][:TOLD]
        lowers = [at for at in order if added[at] < -worth][:TOLD]
        chosen = {"low": lowers, "high": raises}.get(level, [*raises, *lowers])
        factors = {
            at: Factor(
                card.names[at], float(values[at]), card.features[at].typical, float(added[at]),
                _figure(card.features[at], float(values[at])),
            )
            for at in chosen
        }  # fmt: skip

        def list_(places: list[int]) -> str:
            return "; ".join(factors[at].text for at in places)

        words = _words(DEFINITIONS[card.kind].risk)
        text = f"{self._head(target, prediction, level)}."
        if level == "low":
            text += f" {words[1]}: {list_(lowers)}." if lowers else f" {_PLAIN}"
        elif level == "high":
            text += f" {words[0]}: {list_(raises)}." if raises else f" {_PLAIN}"
        else:
            for word, places in ((words[2], raises), (words[1], lowers)):
                text += f" {word}: {list_(places)}." if places else ""
        return Explanation(card.targets[target], prediction, level, list(factors.values()), text)

    def _head(self, target: int, prediction: float, level: str) -> str:
        card = self.model.card
        outcome = DEFINITIONS[card.kind].outcome
        if len(card.targets) > 1:
            outcome = f"{outcome} ({card.targets[target].partition(':')[2]})"
        if card.link == "logit":
            return f"{outcome[0].upper()}{outcome[1:]}: {level}, {prediction:.1%}"
        return f"{outcome[0].upper()}{outcome[1:]}: {level}, {prediction:,.2f}"


_PLAIN = "No figure stands out: it is what customers usually have."


def _words(risk: bool) -> tuple[str, str, str]:
    """What raises it, alone; what lowers it; what raises it, beside what lowers it."""
    if risk:
        return "Critical", "What speaks for the customer", "What speaks against"
    return "What speaks for it", "What stands in its way", "What speaks for it"


def _figure(column: Column, value: float) -> str:
    """`Network failures in 30 days: 12 (usually 2)`."""
    window = {"lifetime": " so far", "now": "", "": ""}.get(column.window, f" in {column.window}")
    if column.window and " against " in column.window:
        window = f", {column.window}"
    return f"{column.about}{window}: {_number(value, column)} (usually {_number(column.typical, column)})"


def _number(value: float, column: Column) -> str:
    if value == -1 and column.name in UNKNOWNS:
        return "unknown"
    text = f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.2f}"
    return f"{text} MB" if column.unit == "MB" else text
