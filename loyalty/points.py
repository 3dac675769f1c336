"""Points of a row, compiled: lots that end with a month, the debt of taken-back points, and the tier."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.columns import (
    DOWN,
    GRANT,
    GRANTED_COUNT,
    OF_EXPIRY,
    POINTS_EXPIRED,
    TIER,
    UP,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.emit import effect
from loyalty.row import LOTS

U4 = 2**32 - 1


@compiled
def balance(row: Record) -> int:
    """Points that can be spent; below 0 where more was taken back than was left."""
    sum_: Any = -np.int64(row.debt)
    for i in range(LOTS):
        if row.lot_month[i] > row.month:
            sum_ += np.int64(row.lot_points[i])
    return int(sum_)


@compiled
def held(row: Record) -> int:
    """Points in lots, those included that are about to expire."""
    sum_: Any = np.int64(0)
    for i in range(LOTS):
        sum_ += np.int64(row.lot_points[i])
    return int(sum_)


@compiled
def _remove(row: Record, at: int) -> None:
    for i in range(at, LOTS - 1):
        row.lot_month[i], row.lot_points[i] = row.lot_month[i + 1], row.lot_points[i + 1]
    row.lot_month[LOTS - 1] = row.lot_points[LOTS - 1] = 0


@compiled
def _insert(row: Record, at: int, month: int) -> None:
    for i in range(LOTS - 1, at, -1):
        row.lot_month[i], row.lot_points[i] = row.lot_month[i - 1], row.lot_points[i - 1]
    row.lot_month[at], row.lot_points[at] = month, 0


@compiled
def _place(row: Record, desk: Record, month: int) -> int:
    """The lot that points of a month join."""
    at = 0
    while at < LOTS and row.lot_month[at] and row.lot_month[at] < month:
        at += 1
    if at < LOTS and row.lot_month[at] == month:
        return at
    if row.lot_month[LOTS - 1] == 0:
        _insert(row, at, month)
        return at
    if at < LOTS:
        return at  # all taken: the first later one
    last = LOTS - 1
    desk.owed[row.lot_month[last]] -= row.lot_points[last]
    desk.owed[month] += row.lot_points[last]
    row.lot_month[last] = month
    return last


@compiled
def add(row: Record, desk: Record, points: int, month: int) -> int:
    """Let points come: a debt is paid first.  The month of their lot, 0 where nothing was left of them."""
    paid = min(np.int64(row.debt), points)
    row.debt -= paid
    points -= paid  # type: ignore[operator]
    if points == 0:
        return 0
    at = _place(row, desk, month)
    before = np.int64(row.lot_points[at])
    row.lot_points[at] = min(before + points, U4)
    desk.owed[row.lot_month[at]] += np.int64(row.lot_points[at]) - before
    return row.lot_month[at]  # type: ignore[no-any-return]


@compiled
def earn(row: Record, desk: Record, points: int, month: int) -> int:
    """Let points come that count for the tier.  The month of their lot."""
    row.points_earned = min(np.int64(row.points_earned) + points, U4)
    row.year_points = min(np.int64(row.year_points) + points, U4)
    return add(row, desk, points, month)


@compiled
def _take_from(row: Record, desk: Record, at: int, points: int) -> int:
    taken = min(np.int64(row.lot_points[at]), points)
    row.lot_points[at] -= taken
    desk.owed[row.lot_month[at]] -= taken
    if row.lot_points[at] == 0:
        _remove(row, at)
    return taken  # type: ignore[return-value]


@compiled
def take(row: Record, desk: Record, points: int) -> int:
    """Take points, those that expire first; how many were there."""
    left = points
    while left > 0 and row.lot_month[0]:
        left -= _take_from(row, desk, 0, left)
    return points - left


@compiled
def take_back(row: Record, desk: Record, points: int, month: int) -> None:
    """Undo a grant: out of its own lot, then out of others; what is gone becomes a debt."""
    left = points
    for i in range(LOTS):
        if month and row.lot_month[i] == month:
            left -= _take_from(row, desk, i, left)
            break
    left -= take(row, desk, left)
    row.debt = min(np.int64(row.debt) + left, U4)
    row.year_points = max(np.int64(row.year_points) - points, 0)


@compiled
def owe(row: Record, desk: Record, sign: int) -> None:
    """A row's lots come to what is owed (1), or leave it (-1)."""
    for i in range(LOTS):
        desk.owed[row.lot_month[i]] += sign * np.int64(row.lot_points[i])
    desk.owed[0] = 0


@compiled
def expire(row: Record, desk: Record, effects: Effects) -> None:
    """Let go of lots whose month has come."""
    ordinal = 0
    while row.lot_month[0] and row.lot_month[0] <= row.month:
        month, gone = row.lot_month[0], np.int64(row.lot_points[0])
        desk.owed[month] -= gone
        _remove(row, 0)
        row.points_expired = min(np.int64(row.points_expired) + gone, U4)
        tell_points(row, desk, effects, POINTS_EXPIRED, OF_EXPIRY, -gone, month).tenths = ordinal  # type: ignore[arg-type]
        ordinal += 1


@compiled
def tell_points(
    row: Record, desk: Record, effects: Effects, what: int, origin: int, points: int, month: int
) -> Record:
    """An effect of points that came or went."""
    new = effect(row, desk, effects, GRANT, what)
    new.points, new.origin, new.month, new.balance = points, origin, month, balance(row)
    if points > 0:
        desk.counts[GRANTED_COUNT] += points
    return new


@compiled
def retier(row: Record, policy: Record, desk: Record, effects: Effects) -> None:
    """Bring the tier in line with the points of this year and the last."""
    if desk.control:
        return
    points = max(np.int64(row.year_points), np.int64(row.last_year_points))
    tier = 0
    for i in range(policy.tier_count):
        if policy.tiers[i] <= points:
            tier = i
    if tier != row.tier:
        new = effect(row, desk, effects, TIER, row.tier)
        new.level, new.reason = tier, UP if tier > row.tier else DOWN
        row.tier = tier
