"""A training table from an operator's own customers: rows of snapshots, labels from what happened later.

Features see nothing after a snapshot's time, labels nothing before it.  Those held out come later in time
than any label that was learnt from; where the snapshots lie too close for that, other customers are held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import KhayweError
from loyalty.calendar import DAY_MS
from loyalty.hashing import hash64_many
from loyalty.row import OPEN
from loyalty.times import iso
from ml import features
from ml.labels import HORIZON, Labels
from ml.table import Table, day_text

#: One customer in so many is held out, where time cannot tell them apart.
HELD_OUT = 4


class NoDataset(KhayweError):
    """There is nothing to make a table of, or the events end before the labels do."""


@dataclass(slots=True)
class Snapshot:
    """The open customers of a snapshot as of its time (ms), and the labels that fill up."""

    ids: list[str]
    rows: NDArray[Any]
    at: int
    labels: Labels


def snapshot(ids: Sequence[str], rows: NDArray[Any], tick: int, horizon: int = HORIZON) -> Snapshot:
    """A snapshot of rows that stand at the tick (ms), or later where events ran ahead of it."""
    open_ = np.flatnonzero(rows["state"] == OPEN)
    kept, found = rows[open_], [ids[at] for at in open_.tolist()]
    at = max(tick, int(kept["as_of"].max(initial=0)))
    labels = Labels(found, np.full(len(found), at, np.int64), horizon)
    return Snapshot(found, kept, at, labels)


def table(
    snapshots: Sequence[Snapshot], last_event: int, horizon: int = HORIZON, *, decimals: int = 2,
    timezone: str = "UTC",
) -> Table:  # fmt: skip
    """The table of snapshots whose labels saw every event up to `last_event` (ms).  Raises NoDataset."""
    used = [each for each in snapshots if each.ids]
    if not used:
        raise NoDataset("the snapshots hold no customers", hint="`khaywe snapshot list` shows what there is")
    newest = max(each.at for each in used)
    end = newest + horizon * DAY_MS
    if last_event < end:
        left = max((last_event - newest) // DAY_MS, 0)
        raise NoDataset(
            f"labels of {horizon} days reach to {iso(end)}, the events end at "
            f"{iso(last_event) if last_event > 0 else 'none'}",
            hint=f"take older snapshots (--snapshots){f', or --horizon {left}' if left else ''}",
        )
    zone = features.local_days(timezone)
    days = [int(zone(np.array([each.at]))[0]) for each in used]
    values = [
        features.matrix(
            each.rows, max(day, int(each.rows["day"].max())), decimals=decimals, timezone=timezone
        )
        for each, day in zip(used, days, strict=True)
    ]
    columns = [each.labels.columns() for each in used]
    at = np.repeat([each.at for each in used], [len(each.ids) for each in used])
    later = at > newest - DAY_MS
    learnt = at + horizon * DAY_MS <= newest
    by_time = bool(learnt.any())
    if by_time:
        kept, held = learnt | later, later
        how = f"trained on customers whose labels end before {day_text(max(days))}, held out as of that day"
    else:
        hashes = hash64_many([id.encode() for each in used for id in each.ids])
        kept, held = np.ones(len(at), np.bool_), hashes % np.uint64(HELD_OUT) == 0
        how = f"one customer in {HELD_OUT} held out"
    return Table(
        features.NAMES,
        np.concatenate(values)[kept],
        {name: np.concatenate([each[name] for each in columns])[kept] for name in columns[0]},
        held[kept],
        f"{int(kept.sum()):,} customers of {len(used)} snapshots, labels of {horizon} days; {how}",
        day_text(max(days)),
        limits=[]
        if by_time
        else [
            "The snapshots lie closer than the horizon: figures are of other customers, not of a later time."
        ],
    )
