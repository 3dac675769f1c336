"""What comes out of a transaction of the fold, to be committed together with the state's changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loyalty.asking import Ask
from loyalty.decode import Batch
from loyalty.row import ROW
from loyalty.told import Told


@dataclass(slots=True)
class Outcome:
    """What one transaction commits, besides `State.changes()`."""

    position: int = 0  # offset to commit for the partition
    effects: Told = field(default_factory=Told)
    forwards: list[tuple[bytes, bytes]] = field(default_factory=list)  # (key, value) for customer-events
    dead: list[tuple[int, str, str]] = field(default_factory=list)  # (offset, reason, message)
    counts: Counter[str] = field(default_factory=Counter)
    asks: list[Ask] = field(default_factory=list)
    handed_out: list[NDArray[np.void]] = field(default_factory=list)  # their rows, in pieces

    @property
    def asked(self) -> NDArray[np.void]:
        """The rows (ROW) of `asks` as they were, shape (len(asks),)."""
        return np.concatenate(self.handed_out) if self.handed_out else np.empty(0, ROW)


def closed(batch: Batch, out: Outcome, position: int) -> Outcome:
    """The Outcome, with its position and the dead letters up to there."""
    out.position = position
    while batch.dead and batch.dead[0][0] < position:
        out.dead.append(batch.dead.pop(0))
    return out
