"""What missions, badges and payments bring, compiled: points, offers and levels of badges."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.columns import (
    AWARDED_COUNT,
    BADGE,
    BY_REWARD,
    EARNED,
    GRANT,
    OF_BADGE,
    OF_EARNING,
    OF_MISSION,
    OFFER,
    POINTS,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.emit import effect, see
from loyalty.features import bit
from loyalty.points import balance, earn, tell_points
from loyalty.slots import holds

U4 = 2**32 - 1


@compiled
def _points(row: Record, policy: Record, desk: Record, effects: Effects, points: int, origin: int) -> Record:
    month = 0
    if not desk.control:
        month = earn(row, desk, points, row.month + policy.valid_months + 1)
    return tell_points(row, desk, effects, POINTS, origin, points, month)


@compiled
def _offer(row: Record, desk: Record, effects: Effects, offer: int, origin: int) -> Record:
    if not desk.control:
        row.open_grants = min(row.open_grants + 1, 255)
    new = effect(row, desk, effects, GRANT, OFFER)
    new.offer, new.origin, new.balance = offer, origin, balance(row)
    return new


@compiled
def _award(
    row: Record,
    policy: Record,
    badge: Record,
    level: int,
    reason: int,
    desk: Record,
    effects: Effects,
    seen: Any,
) -> None:
    """Award a level (0 to 3) of a badge, with its rewards."""
    at = badge.number * 4 + level
    row.badges[at // 64] |= np.uint64(1) << np.uint64(at % 64)
    new = effect(row, desk, effects, BADGE, 0)
    new.number, new.level, new.reason = badge.number, level + 1, reason
    if reason == EARNED:
        see(desk, new, seen)
    desk.counts[AWARDED_COUNT] += 1
    if badge.points[level] > 0:
        new = _points(row, policy, desk, effects, badge.points[level], OF_BADGE)
        new.number, new.level = badge.number, level + 1
    if badge.offers[level] >= 0:
        new = _offer(row, desk, effects, badge.offers[level], OF_BADGE)
        new.number, new.level = badge.number, level + 1


@compiled
def award_badges(row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any) -> None:
    """Award whatever levels of badges the features on the desk bring."""
    for n in range(tables.badges.shape[0]):
        badge = tables.badges[n]
        if not badge.active:
            continue
        for level in range(4):
            if bit(row.badges, badge.number * 4 + level):
                continue
            if not holds(tables.terms, badge.conditions[level], desk.features):
                break
            _award(row, policy, badge, level, EARNED, desk, effects, seen)


@compiled
def reward(
    row: Record, policy: Record, tables: Any, rule: Record, progress: int, target: int, started: int,
    desk: Record,
    effects: Effects, seen: Any,
) -> None:  # fmt: skip
    """What a completed mission brings."""
    if rule.points > 0:
        new = _points(row, policy, desk, effects, rule.points, OF_MISSION)
        new.number, new.revision, new.progress, new.target = rule.number, rule.revision, progress, target
        new.started = started
    if rule.offer >= 0:
        new = _offer(row, desk, effects, rule.offer, OF_MISSION)
        new.number, new.revision, new.progress, new.target = rule.number, rule.revision, progress, target
        new.started = started
    for n in range(tables.badges.shape[0] if rule.badge >= 0 else 0):
        if tables.badges[n].number == rule.badge and tables.badges[n].active:
            for level in range(rule.level):
                if not bit(row.badges, rule.badge * 4 + level):
                    _award(row, policy, tables.badges[n], level, BY_REWARD, desk, effects, seen)


@compiled
def earn_points(row: Record, policy: Record, tables: Any, event: Any, desk: Record, effects: Effects) -> None:
    """Points for what was paid."""
    kind_bit = np.uint64(1) << np.uint64(event.kind)
    for n in range(tables.earnings.shape[0]):
        rule = tables.earnings[n]
        if rule.types & kind_bit and holds(tables.terms, rule.where, desk.words):
            points = np.int64(min(np.floor(desk.words[0] * rule.rate), U4))
            if points >= 1 and not desk.control:
                new = _points(row, policy, desk, effects, points, OF_EARNING)  # type: ignore[arg-type]
                new.number = rule.number
