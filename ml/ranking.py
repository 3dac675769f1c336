"""What to offer: offers and products in the order of what they are expected to bring.

Expected value = probability x value - cost.  Probabilities come from a model, the rest from the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.card import Card

LEVELS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer or a product.  `value` is what it brings when taken, `cost` what it takes to offer it, both in
    currency; `left` how many there are (None: no end); `for_value` and `segments` whom it suits (empty: all).
    """

    id: int
    name: str
    kind: str
    value: float
    cost: float
    active: bool = True
    left: int | None = None
    for_value: frozenset[str] = frozenset()  # of LEVELS: the customer's value
    segments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ranked:
    """A choice with what it is expected to bring, currency."""

    choice: Choice
    probability: float
    expected_value: float


def rank(
    choices: Iterable[Choice], probabilities: Mapping[str, float], value: str = "", segment: str = ""
) -> list[Ranked]:
    """What may be offered to a customer, the best first; ties by id.

    `probabilities` by kind; a choice of a kind the model does not know is left out, as is one that is not
    active, gone, or for others.  `value` (low, medium, high) and `segment`: "" is unknown, and suits only
    what is for everybody.
    """
    found = [
        Ranked(choice, float(probability), float(probability) * choice.value - choice.cost)
        for choice in choices
        if (probability := probabilities.get(choice.kind)) is not None and suits(choice, value, segment)
    ]
    return sorted(found, key=lambda each: (-each.expected_value, each.choice.id))


def suits(choice: Choice, value: str, segment: str) -> bool:
    """Whether it may be offered to a customer of this value and segment."""
    there = choice.active and (choice.left is None or choice.left > 0)
    for_them = (not choice.for_value or value in choice.for_value) and (
        not choice.segments or segment in choice.segments
    )
    return there and for_them


def by_kind(card: Card, prediction: NDArray[np.float64]) -> dict[str, float]:
    """Probabilities of one customer by kind, from a row of predictions of NBO or product recommendation."""
    kinds = [target.partition(":")[2] for target in card.targets]
    return dict(zip(kinds, (float(each) for each in prediction), strict=True))


#: The eight offers of the seed (catalog/seed/offers.yaml), until a catalog says what its own are about.
#: Values and costs are assumptions in units of currency, for a customer who spends around 30 a month.
SEED_OFFERS: tuple[Choice, ...] = (
    Choice(0, "Double Points Weekend", "points", 3.0, 0.2),
    Choice(1, "Welcome Data Pack", "data", 5.0, 0.5),
    Choice(2, "Recharge Bonus", "recharge", 6.0, 0.6),
    Choice(3, "Bundle Discount", "bundle", 6.0, 0.6),
    Choice(4, "Roaming Day Pass", "roaming", 7.0, 0.4),
    Choice(5, "Premium Trial", "upgrade", 12.0, 1.0, for_value=frozenset(("medium", "high"))),
    Choice(6, "Comeback Bundle", "comeback", 14.0, 1.5),
    Choice(7, "Service Apology Credit", "service", 8.0, 1.2),
)
