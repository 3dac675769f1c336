"""How compiled code says what happened: one record of EFFECTS for each, about what the desk works on."""

from __future__ import annotations

from typing import Any

from loyalty.columns import Effects, Record
from loyalty.compiled import compiled


@compiled
def at_work(desk: Record, slot: int, event: int, cause: int, caused_at: int) -> None:
    """From here on effects are of this row and cause."""
    desk.slot, desk.event, desk.cause, desk.caused_at = slot, event, cause, caused_at


@compiled
def effect(row: Record, desk: Record, effects: Effects, kind: int, detail: int) -> Record:
    """A fresh effect of the row at work."""
    new = effects[desk.filled]
    desk.filled += 1
    new.kind, new.detail, new.slot, new.event = kind, detail, desk.slot, desk.event
    new.cause, new.caused_at, new.as_of = desk.cause, desk.caused_at, row.as_of
    new.sweep, new.reason, new.control, new.seen = 0, 0, desk.control, -1
    new.points, new.offer, new.month, new.origin = 0, -1, 0, 0
    new.number = new.level = new.tenths = 0
    new.progress = new.target = new.started = new.ends = 0
    new.revision, new.balance = 0, 0
    return new


@compiled
def see(desk: Record, effect: Record, seen: Any) -> None:
    """Keep the features of this moment with an effect."""
    at = desk.seen
    desk.seen += 1
    for i in range(seen.shape[1]):
        seen[at, i] = desk.features[i]
    effect.seen = at
