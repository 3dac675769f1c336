"""The card of a model: what it was made of, how good it is, what it is not for.  The file carries it."""

from __future__ import annotations

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A feature as a model knows it, with what it looked like in training (for explanations and drift)."""

    name: str
    unit: str
    window: str
    about: str
    least: float | None = None  # no value is below
    allowed: list[float] | None = None  # no other values
    typical: float = 0.0  # median
    importance: float = 0.0  # share of the gain
    edges: list[float] = []  # inner edges of the bins, ascending: x <= edges[0] is the first
    shares: list[float] = []  # of the rows in each bin


class Drift(msgspec.Struct, frozen=True):
    """Bins of a target's predictions in training."""

    edges: list[float]
    shares: list[float]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A model's card.  `metrics` are of rows it was not trained on; `best_` is the truth's figure, `rule_` a
    plain rule's, where there are such."""

    name: str
    kind: str  # which of `ml.models.DEFINITIONS` says what its outputs are called
    version: str
    about: str
    inputs: str  # row: features of `ml.features`; file: columns of a file
    targets: list[str]
    link: str
    low_below: float  # predictions below are low,
    high_from: float  # those from here on high
    yes_from: float  # where a yes or no is wanted
    data: str
    data_hash: str
    rows: int
    date: str
    limits: list[str]
    rule: str
    metric: str  # the one that decides
    metrics: dict[str, float]
    features: list[Column]
    predictions: list[Drift]
    reliability: list[tuple[float, float, int]] = []  # predicted, observed, rows: by tenth of the prediction
    roc: list[tuple[float, float]] = []  # false and true positive rate
    lift: list[float] = []  # by tenth, the highest predictions first
    packages: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of the matrix."""
        return tuple(feature.name for feature in self.features)


def encode(card: Card) -> str:
    """As JSON."""
    return msgspec.json.encode(card).decode()


def decode(text: str) -> Card:
    """From JSON.  Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Card)
