"""A training table: the features of customers, what happened to them, who is held out; as a Parquet file too.

Simulated tables also have the truth's expectations, which no model sees and no file holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import KhayweError
from ml import features
from ml.labels import LABELS
from ml.simulator import AS_OF_DAY, simulate

Floats = NDArray[np.float64]
#: Customers of the simulation, and the seeds of those trained on and those held out.
CUSTOMERS, HOLDOUT_CUSTOMERS = 24_000, 6_000
SEEDS = (1, 2)
_KEY = b"khaywe.table"


class TableUnusable(KhayweError):
    """A training table lacks something; the message names the column."""


@dataclass(frozen=True, slots=True)
class Table:
    """`values` (n, features) by `names`; `labels` (n,) each, NaN is none; `holdout` (n,) or None for none."""

    names: tuple[str, ...]
    values: NDArray[np.float32]
    labels: dict[str, Floats]
    holdout: NDArray[np.bool_] | None
    about: str
    date: str
    expected: dict[str, Floats] | None = None
    limits: list[str] = field(default_factory=list)

    def digest(self) -> str:
        """Hash of everything that a model could have learnt from."""
        hash_ = blake2b(digest_size=16)
        hash_.update("\0".join(self.names).encode())
        hash_.update(np.ascontiguousarray(self.values).tobytes())
        for name in sorted(self.labels):
            hash_.update(name.encode() + self.labels[name].astype("<f8").tobytes())
        if self.holdout is not None:
            hash_.update(self.holdout.tobytes())
        return hash_.hexdigest()


def day_text(day: int) -> str:
    """A day as YYYY-MM-DD."""
    return (date(1970, 1, 1) + timedelta(days=int(day))).isoformat()


def simulated(customers: int = CUSTOMERS, holdout: int = HOLDOUT_CUSTOMERS) -> Table:
    """The table that the shipped models are trained on."""
    parts = [simulate(count, seed) for count, seed in zip((customers, holdout), SEEDS, strict=True)]
    values = [features.matrix(population.rows, population.day) for population, _ in parts]
    held = np.repeat([False, True], [customers, holdout])

    def joined(which: str) -> dict[str, Floats]:
        return {name: np.concatenate([getattr(truth, which)[name] for _, truth in parts]) for name in LABELS}

    return Table(
        features.NAMES,
        np.concatenate(values),
        joined("outcomes"),
        held,
        f"{customers:,} simulated customers, and {holdout:,} others held out (ml/simulator.py, seeds "
        f"{SEEDS[0]} and {SEEDS[1]}): hidden traits drive events, the fold makes rows of them",
        day_text(AS_OF_DAY),
        joined("expected"),
        [
            "Trained on a simulated market: its figures say that the path works, not how well it predicts "
            "yours. Train it on your own customers before money depends on it.",
            "Amounts are learnt in units of currency, around 30 a month: with another one, train it anew.",
        ],
    )


def write(table: Table, path: Path) -> None:
    """Write a table as Parquet.  Raises OSError."""
    import msgspec
    import pyarrow as pa
    from pyarrow import parquet

    held = table.holdout if table.holdout is not None else np.zeros(len(table.values), np.bool_)
    columns: dict[str, Any] = {name: table.values[:, at] for at, name in enumerate(table.names)}
    columns |= {f"label:{name}": column for name, column in table.labels.items()}
    about = {"about": table.about, "date": table.date, "features": table.names, "limits": table.limits}
    made = pa.table(columns | {"holdout": held}).replace_schema_metadata({_KEY: msgspec.json.encode(about)})
    parquet.write_table(made, path)


def read(path: Path) -> Table:
    """A table that `khaywe ml dataset` wrote.  Raises TableUnusable, OSError."""
    import msgspec
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_table(path)
    except pa.ArrowException as error:
        raise TableUnusable(f"{path}: no Parquet file, or a broken one: {error}", hint=_MAKE) from None
    about = (found.schema.metadata or {}).get(_KEY)
    if about is None:
        raise TableUnusable(f"{path} is no training table", hint=_MAKE)
    said = msgspec.json.decode(about)
    wanted = [*features.NAMES, *(f"label:{name}" for name in LABELS), "holdout"]
    missing = [name for name in wanted if name not in found.column_names]
    if missing:
        raise TableUnusable(f"{path} lacks the column {missing[0]}", hint=_MAKE)
    values = np.stack([found[name].to_numpy().astype(np.float32) for name in features.NAMES], 1)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise TableUnusable(f"{path}: {features.NAMES[bad[0, 1]]} of row {bad[0, 0]} is no finite number")
    return Table(
        features.NAMES,
        values,
        {name: found[f"label:{name}"].to_numpy().astype(np.float64) for name in LABELS},
        found["holdout"].to_numpy(zero_copy_only=False).astype(np.bool_),
        str(said["about"]),
        str(said["date"]),
        limits=[str(limit) for limit in said["limits"]],
    )


_MAKE = "`khaywe ml dataset` makes one"
