"""Small worlds for the tests of models: made once, as folding them takes a moment."""

from __future__ import annotations

from functools import cache

from ml.simulator import Population, simulate
from ml.table import Table, simulated
from ml.truth import Truth


@cache
def small() -> tuple[Population, Truth]:
    """300 customers."""
    return simulate(300, 11)


@cache
def table() -> Table:
    """A table of 1,200 customers, 400 of them held out."""
    return simulated(800, 400)
