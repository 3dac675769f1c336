"""Content of a revision as numbers and arrays, the form in which compiled code reads it.

New content makes new arrays and compiles nothing.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import Calendar, calendar
from loyalty.content import COMPONENTS, Decisions, ScoringPolicy
from loyalty.events import ACTIVITY, CODES, MONEY, SOURCE_TYPES, USAGE, scale

# What an event type is, as bits of `Policy.traits`.
IS_USAGE, IS_MONEY, IS_ACTIVITY, IS_REVENUE, IS_TRANSACTION = 1, 2, 4, 8, 16

#: (score, component) by its index in measures, weights and `full_at`.
MEASURES = tuple((score, name) for score, names in COMPONENTS.items() for name in names)


class Content(Protocol):
    """What the fold needs of a catalog revision."""

    @property
    def decisions(self) -> Decisions: ...
    @property
    def policy(self) -> ScoringPolicy: ...


class Policy(NamedTuple):
    """Arrays by event type code have 256 entries, those by component `len(MEASURES)`."""

    traits: NDArray[np.uint8]  # by code
    scales: NDArray[np.int64]  # by code: smallest units a canonical unit
    floors: NDArray[np.int64]  # by code: the least value
    weights: NDArray[np.float64]  # by component
    full_at: NDArray[np.float64]  # by component
    bands: NDArray[np.float64]  # hundredths
    step: float  # hundredths
    currency: float  # minor units a unit
    calendar: Calendar


VALUE_LIMIT = (
    10**15
)  # smallest units; a larger value is a mistake of the source's, and float64 holds this one


def compile_policy(content: Content) -> Policy:
    """The arrays of a revision's content.  Raises ZoneInfoNotFoundError."""
    decisions, policy = content.decisions, content.policy
    traits = np.zeros(256, np.uint8)
    for trait, names in (
        (IS_USAGE, USAGE),
        (IS_MONEY, MONEY),
        (IS_ACTIVITY, ACTIVITY),
        (IS_REVENUE, policy.revenue_types),
        (IS_TRANSACTION, policy.transaction_types),
    ):
        for name in names:
            traits[CODES[name]] |= trait
    scales, floors = np.ones(256, np.int64), np.zeros(256, np.int64)
    for name in SOURCE_TYPES:
        scales[CODES[name]] = scale(name, decisions.currency_decimals)
        floors[CODES[name]] = -VALUE_LIMIT if name in MONEY else 0
    parts = [policy.scores[score][name] for score, name in MEASURES]
    return Policy(
        traits=traits,
        scales=scales,
        floors=floors,
        weights=np.array([part.weight for part in parts], np.float64),
        full_at=np.array([part.full_at for part in parts], np.float64),
        bands=np.array([band * 100 for band in policy.bands], np.float64),
        step=float(policy.publish_step * 100),
        currency=float(10**decisions.currency_decimals),
        calendar=calendar(decisions.timezone),
    )
