"""Rows of older formats, brought up to today's as they are read, until no changelog holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import month_of
from loyalty.hashing import hash64
from loyalty.packing import is_packed, opened, unpack
from loyalty.row import CAMPAIGN, FORMAT, GAME, MISSION, RAW, ROW, RowFormatError, empty

_NEW = {
    "next_refresh", "id_hash", "active_days", "completed", "badges", "marks", "lot_points", "lot_month",
    "cooling_template", "cooling_until", "cooling_times", "types", "inline_asked", "daily_asked",
    "foretold_at", "ltv", "offer", "asked_scores", "foretold", "contacts", "crossed", "campaign", *GAME,
    *(f"mission_{name}" for name in MISSION), *(f"campaign_{name}" for name in CAMPAIGN),
}  # fmt: skip
#: Format 1: without the game, predictions and campaigns.
ROW_1 = np.dtype(
    [(name, ROW[name].base, ROW[name].shape) for name in ROW.names or () if name not in _NEW], align=True
)


def current(data: bytes, id: bytes) -> NDArray[np.void]:
    """The row of the customer `id` from its bytes in any form, shape (1,).  Raises RowFormatError."""
    if data[:2] != b"\1\0" or len(data) != ROW_1.itemsize:
        return opened(data)
    old, row = np.frombuffer(data, ROW_1)[0], empty()
    for name in ROW_1.names or ():
        row[name] = old[name]
    row["format"], row["next_refresh"] = FORMAT, old["due"]
    row["id_hash"], row["month"] = hash64(id), month_of(int(old["day"]))
    return row


def current_many(ids: Sequence[bytes], rows: Sequence[bytes]) -> NDArray[Any]:
    """Those of many customers.  Raises RowFormatError, which says whose cannot be read."""
    try:
        if all(map(is_packed, rows)):
            return unpack(rows)
        # As bytes: numpy copies a record field by field, and what lies between them would be anything.
        found = [current(row, id).view(RAW) for id, row in zip(ids, rows, strict=True)]
        return np.concatenate(found).view(ROW)
    except RowFormatError:
        _refuse(ids, rows)
        raise


def _refuse(ids: Sequence[bytes], rows: Sequence[bytes]) -> None:
    """Say which row cannot be read, and why."""
    for id, row in zip(ids, rows, strict=True):
        try:
            current(row, id)
        except RowFormatError as error:
            raise RowFormatError(f"customer {id.decode(errors='replace')}: {error}") from None
