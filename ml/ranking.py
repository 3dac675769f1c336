"""What to offer: offers and products in the order of what they are expected to bring.

Expected value = probability x value - cost.  Probabilities come from a model, the rest from the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty.game import Offer
from loyalty.hashing import word_hash
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


class Best(NamedTuple):
    """What is offered first to each of n customers, (n, count); where there is no more: -1, 0, NaN, NaN."""

    ids: NDArray[np.int64]
    kinds: NDArray[np.int64]  # place among the model's
    probabilities: NDArray[np.float64]
    expected: NDArray[np.float64]  # currency


class Offers:
    """Choices as arrays, to rank them for many customers at once: as `rank`, customer by customer."""

    def __init__(self, choices: Iterable[Choice], kinds: Sequence[str]) -> None:
        """`kinds` are those that the model knows, in the order of its predictions."""
        there = [each for each in choices if each.active and (each.left is None or each.left > 0)]
        known = sorted((each for each in there if each.kind in kinds), key=lambda each: each.id)
        self.ids = np.array([each.id for each in known], np.int64)
        self._kind = np.array([kinds.index(each.kind) for each in known], np.int64)
        self._value = np.array([each.value for each in known], np.float64)
        self._cost = np.array([each.cost for each in known], np.float64)
        self._for_value = np.array(
            [[not each.for_value or level in each.for_value for each in known] for level in ("", *LEVELS)]
        )
        self._segments = [
            (at, np.array([word_hash(name) for name in sorted(each.segments)], np.uint32))
            for at, each in enumerate(known)
            if each.segments
        ]

    def best(
        self,
        probabilities: NDArray[np.float64],
        value: NDArray[np.int64],
        segment: NDArray[np.uint32],
        count: int,
    ) -> Best:
        """The best `count` of each customer.

        `probabilities` by kind, (n, kinds); `value` 0 unknown, else 1 + the place in LEVELS; `segment` the
        hash of its name, 0 unknown.
        """
        rows = len(probabilities)
        ids, taken = np.full((rows, count), -1, np.int64), np.full((rows, count), np.nan)
        worth, kinds = taken.copy(), np.zeros((rows, count), np.int64)
        found = Best(ids, kinds, taken, worth)
        if not len(self.ids) or not rows:
            return found
        chances = probabilities[:, self._kind]
        expected = chances * self._value - self._cost
        expected[~self._for_value[value]] = -np.inf
        for at, hashes in self._segments:
            expected[~np.isin(segment, hashes), at] = -np.inf
        every = np.arange(rows)
        for place in range(min(count, len(self.ids))):
            best = expected.argmax(1)  # the first of equals, which has the least id
            there = expected[every, best] > -np.inf
            ids[there, place] = self.ids[best[there]]
            kinds[there, place] = self._kind[best[there]]
            taken[there, place] = chances[every, best][there]
            worth[there, place] = expected[every, best][there]
            expected[every, best] = -np.inf
        return found


def choices(offers: Iterable[Offer]) -> list[Choice]:
    """The offers of a revision; one without a kind is ranked by no model."""
    return [
        Choice(
            offer.offer_id, offer.name, offer.kind, offer.value, offer.cost,
            for_value=offer.for_value, segments=frozenset(offer.segments),
        )
        for offer in offers
    ]  # fmt: skip


def by_kind(card: Card, prediction: NDArray[np.float64]) -> dict[str, float]:
    """Probabilities of one customer by kind, from a row of predictions of NBO or product recommendation."""
    kinds = [target.partition(":")[2] for target in card.targets]
    return dict(zip(kinds, (float(each) for each in prediction), strict=True))
