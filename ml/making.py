"""Making models: which table a model is trained on, and the order in which all of them are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from ml import table as tables
from ml import uci
from ml.models import UCI
from ml.table import Table
from ml.training import train


def make(
    names: Iterable[str],
    data: Path | None = None,
    date: str = "",
    simulated: Callable[[], Table] = tables.simulated,
) -> Iterable[tuple[str, bytes]]:
    """(name, file) of each model, as it is made.

    `data` is a table of `khaywe ml dataset`, or for churn-uci a CSV file with its columns; unset: the
    simulation, and the file that comes along.  Raises TrainingError, TableUnusable, FileUnusable, OSError.
    """
    found: Table | None = None
    for name in names:
        if name == UCI:
            own = uci.table(data, date) if data is not None else uci.table()
            yield name, train(name, own, list(uci.COLUMNS), **uci.PARAMETERS)
            continue
        if found is None:
            found = tables.read(data) if data is not None else simulated()
            found = replace(found, date=date or found.date)
        yield name, train(name, found)
