"""From a training table to a model's file: trees by LightGBM, calibration, figures on rows they never saw.

One core and one order everywhere, so that the same table gives the same bytes on the same versions.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from config.errors import KhayweError
from ml import card as cards
from ml import features, metrics
from ml.card import Card, Column, Drift
from ml.figures import figures
from ml.fitted import Fitted, linked
from ml.models import KINDS, RFM_COLUMNS, Definition, kind_of
from ml.onnx_write import Node, write
from ml.registry import CARD
from ml.table import Table

Floats = NDArray[np.float64]
FOLDS = 4  # for margins of rows that a model was not trained on: the calibration is made of these
FOLDS_ALONE = 5  # where nothing is held out and they are the figures as well
LEAST_ROWS, LEAST_OUTCOMES = 200, 20
#: As few trees as reach the aim: they run in the stream.
_DEFAULTS: dict[str, Any] = {
    "num_leaves": 5, "rounds": 100, "learning_rate": 0.1, "min_data_in_leaf": 80, "lambda_l2": 5.0,
    "feature_fraction": 0.4, "bagging_fraction": 0.8, "bagging_freq": 1,
}  # fmt: skip
_FIXED: dict[str, Any] = {
    "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 1,
    "use_missing": False,
}  # fmt: skip
_PACKAGES = ("lightgbm", "onnx", "numpy")


class TrainingError(KhayweError):
    """Nothing can be learnt from a table, or what training needs is not installed."""


def train(name: str, table: Table, columns: list[Column] | None = None, **parameters: Any) -> bytes:
    """The file of a model trained on a table.  Raises TrainingError.

    `columns` describe the table's where these are not `ml.features`; `parameters`: LightGBM's and `rounds`.
    """
    fitted = fit(name, table, **parameters)
    card = _card(name, table, columns, fitted)
    made = _file(fitted, card)
    digest = blake2b(made, digest_size=4).hexdigest()
    return _file(fitted, msgspec.structs.replace(card, version=f"{table.date}-{digest}"))


def fit(name: str, table: Table, **parameters: Any) -> Fitted:
    """The trees of a model and their calibration.  Raises TrainingError."""
    definition = kind_of(name)
    held = _held(table)
    if definition.objective == "rules":
        return _rules(table.values[~held])
    labels = _labels(name, definition, table)[~held]
    folds = FOLDS if held.any() else FOLDS_ALONE
    return _fit(name, definition, table.values[~held], labels, folds, parameters)


def _held(table: Table) -> NDArray[np.bool_]:
    return table.holdout if table.holdout is not None else np.zeros(len(table.values), np.bool_)


def _file(fitted: Fitted, card: Card) -> bytes:
    return write(
        fitted.trees, fitted.base, fitted.slope, fitted.shift, card.link, len(card.features),
        {"name": card.name, "version": card.version, "date": card.date, CARD: cards.encode(card)},
    )  # fmt: skip


def _labels(name: str, definition: Definition, table: Table) -> Floats:
    if definition.objective == "rules":
        return np.zeros((len(table.values), len(definition.labels)))
    missing = [label for label in definition.labels if label not in table.labels]
    if missing:
        raise TrainingError(f"{name} needs the label {missing[0]}, the table has {', '.join(table.labels)}")
    return np.stack([table.labels[label] for label in definition.labels], 1)


def _fit(
    name: str, definition: Definition, values: NDArray[np.float32], labels: Floats, folds: int, more: Any
) -> Fitted:
    known = ~np.isnan(labels)
    fitted = Fitted([], [], [], [], np.full(labels.shape, np.nan), np.zeros(values.shape[1]))
    for target, label in enumerate(definition.labels):
        rows = np.flatnonzero(known[:, target])
        y = labels[rows, target]
        _enough(name, label, y, definition)
        x = values[rows]
        out = np.empty(len(y))
        for fold in range(folds):
            inside = _fold_of(y, folds) != fold
            booster = _boost(definition, x[inside], y[inside], more)
            out[~inside] = booster.predict(x[~inside], raw_score=True)
        booster = _boost(definition, x, y, more)
        fitted.gain += booster.feature_importance("gain")
        fitted.unseen[rows, target] = out
        slope, shift = _calibrated(out, y, definition.link)
        fitted.slope.append(slope)
        fitted.shift.append(shift)
        base = 0.0
        for tree in booster.dump_model()["tree_info"]:
            root = node(tree["tree_structure"])
            if len(root) == 2:  # no split was worth it
                base += root[0]
            else:
                fitted.trees.append((target, root))
        fitted.base.append(base)
    return fitted


def _enough(name: str, label: str, y: Floats, definition: Definition) -> None:
    what = f"{name}: {len(y):,} customers have a label {label}"
    if len(y) < LEAST_ROWS:
        raise TrainingError(
            f"{what}, {LEAST_ROWS} are needed", hint="take more customers or a later snapshot"
        )
    least = min(int((y > 0).sum()), int((y < 1).sum()) if definition.objective == "binary" else len(y))
    if least < LEAST_OUTCOMES:
        raise TrainingError(
            f"{what}, but {least} of one outcome; {LEAST_OUTCOMES} are needed", hint="take a longer horizon"
        )


def _fold_of(y: Floats, folds: int) -> NDArray[np.int64]:
    """The fold of each row: shuffled, and with the same share of high outcomes in each."""
    order = np.lexsort((np.random.default_rng(7).random(len(y)), y))
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % folds
    return fold


def _boost(definition: Definition, x: NDArray[np.float32], y: Floats, more: dict[str, Any]) -> Any:
    try:
        import lightgbm
    except ImportError:
        raise TrainingError(
            "training needs LightGBM, which is not installed", hint="pip install 'khaywe[train]'"
        ) from None
    chosen = _DEFAULTS | definition.parameters | more | _FIXED | {"objective": definition.objective}
    rounds = int(chosen.pop("rounds"))
    return lightgbm.train(chosen, lightgbm.Dataset(x, y), rounds)


def node(tree: dict[str, Any]) -> Node:
    """A tree as LightGBM tells it, as it is written."""
    if "leaf_value" in tree:
        return (float(tree["leaf_value"]), float(tree.get("leaf_count", 1)))
    if tree["decision_type"] != "<=":
        raise TrainingError(f"a tree decides by {tree['decision_type']!r}, which is not written")
    left, right = node(tree["left_child"]), node(tree["right_child"])
    return (int(tree["split_feature"]), float(tree["threshold"]), left, right, float(tree["internal_count"]))


def _calibrated(margin: Floats, y: Floats, link: str) -> tuple[float, float]:
    """Slope and shift: of probabilities Platt's, by Newton's steps; of amounts the shift to the mean."""
    if link == "log":
        return 1.0, float(np.log(y.mean() / np.exp(margin).mean()))
    slope, shift = 1.0, 0.0
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(slope * margin + shift)))
        weight, missing = p * (1.0 - p), y - p
        a, b, c = (weight * margin * margin).sum() + 1e-6, (weight * margin).sum(), weight.sum()
        u, v = (missing * margin).sum(), missing.sum()
        step = (c * u - b * v) / (a * c - b * b), (a * v - b * u) / (a * c - b * b)
        slope, shift = slope + float(step[0]), shift + float(step[1])
        if max(map(abs, step)) < 1e-9:
            break
    if slope <= 0:
        raise TrainingError("the features say nothing about the outcome", hint="take more customers")
    return slope, shift


def _rules(values: NDArray[np.float32]) -> Fitted:
    """RFM: a point for each fifth that a customer is above; never is the lowest recency."""
    trees: list[tuple[int, Node]] = []
    everyone = float(len(values))
    for target, (name, good) in enumerate(RFM_COLUMNS):
        at = features.NAMES.index(name)
        column = values[:, at]
        known = np.sort(column[column >= 0])
        if not len(known):
            raise TrainingError(f"rfm: {name} is known of nobody")
        for share in (0.2, 0.4, 0.6, 0.8):
            edge = float(known[int(share * (len(known) - 1))])
            below = float((column <= edge).sum())
            never = float((column < 0).sum())
            if good:
                node: Node = (at, edge, (0.0, below), (1.0, everyone - below), everyone)
            else:
                inner: Node = (at, edge, (1.0, below - never), (0.0, everyone - below), everyone - never)
                node = (at, -0.5, (0.0, never), inner, everyone)
            trees.append((target, node))
    gain = np.zeros(values.shape[1])
    gain[[features.NAMES.index(name) for name, _ in RFM_COLUMNS]] = 1.0
    return Fitted(trees, [1.0] * 3, [1.0] * 3, [0.0] * 3, np.empty((0, 3)), gain)


def _card(name: str, table: Table, columns: list[Column] | None, fitted: Fitted) -> Card:
    definition, held = kind_of(name), _held(table)
    labels = _labels(name, definition, table)
    seen = table.values[~held]
    margin = fitted.margin(seen)
    prediction = linked(margin, fitted, definition.link)
    low, high, yes = _bands(definition, fitted, margin, prediction, labels[~held])
    card = Card(
        name=name, kind=KINDS[name], version="", about=definition.about,
        inputs="row" if columns is None else "file", targets=list(definition.labels), link=definition.link,
        low_below=low, high_from=high, yes_from=yes,
        data=table.about, data_hash=table.digest(), rows=len(seen), date=table.date, limits=table.limits,
        rule=definition.rule, metric=definition.metric, metrics={},
        features=_described(columns or _columns(table.names), seen, fitted.gain),
        predictions=[Drift(*metrics.bins(prediction[:, at])) for at in range(prediction.shape[1])],
        packages={package: version(package) for package in _PACKAGES},
    )  # fmt: skip
    if definition.objective == "rules":
        return card
    return msgspec.structs.replace(card, **figures(definition, table, fitted, held, labels))


def _bands(
    definition: Definition, fitted: Fitted, margin: Floats, prediction: Floats, labels: Floats
) -> tuple[float, float, float]:
    """Where low ends and high begins.  The prediction of the mean margin is neither: so what is high has
    something that speaks for it."""
    middle = linked(margin.mean(0, keepdims=True), fitted, definition.link)
    low, high = definition.bands or tuple(np.quantile(prediction, (0.33, 0.8)).tolist())
    if definition.bands is None:
        low = min(low, float(middle.min()))
    high = max(high, float(middle.max()) * 1.01)
    share = float(np.nanmean(labels > 0)) if definition.link == "logit" else 0.5
    yes = float(np.quantile(prediction[:, 0], 1.0 - min(share, 1.0)))
    return round(low, 6), round(high, 6), round(yes, 6)


def _columns(names: tuple[str, ...]) -> list[Column]:
    found = [features.BY_NAME[name] for name in names]
    return [Column(each.name, each.unit, each.window, each.about) for each in found]


def _described(columns: list[Column], values: NDArray[np.float32], gain: Floats) -> list[Column]:
    shares = gain / max(float(gain.sum()), 1e-12)
    described = []
    for at, column in enumerate(columns):
        edges, found = metrics.bins(values[:, at].astype(np.float64))
        described.append(
            msgspec.structs.replace(
                column,
                typical=_typical(column.name, values[:, at]),
                importance=round(float(shares[at]), 5),
                edges=edges,
                shares=found,
            )
        )
    return described


def _typical(name: str, values: NDArray[np.float32]) -> float:
    """The median, of those of whom it is known."""
    known = values[values != -1] if name in features.UNKNOWNS else values
    return round(float(np.median(known)), 4) if len(known) else -1.0
