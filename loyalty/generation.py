"""Which missions a customer is given, compiled: who is eligible, for how much, and instead of what."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import DAY_MS
from loyalty.columns import (
    BY_PRIORITY,
    GIVEN,
    GIVEN_COUNT,
    NO_REASON,
    REPLACED,
    RESERVED,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.emit import see
from loyalty.game import ONBOARDING
from loyalty.row import ACTIVE, COMPLETED_WORDS, COOLING, FREE, SLOTS, WAITING
from loyalty.rules import FIRST, GATES, INACTIVITY
from loyalty.slots import cool, free, holds, may_cool, tell

U4 = 2**32 - 1


@compiled
def _nice(number: int) -> int:
    """A number that people like: its first one or two digits."""
    unit = 1
    while number >= unit * 100:
        unit *= 10
    if number < 10:
        return number
    step = unit if number < 20 * unit else 5 * unit
    return (number + step // 2) // step * step


@compiled
def target_of(rule: Record, features: Any) -> int:
    """The target that a customer of these features gets, in smallest units."""
    if rule.goal == INACTIVITY:
        return rule.duration  # type: ignore[no-any-return]
    if rule.goal == FIRST:
        return 1
    if rule.value > 0:
        return min(rule.value * rule.scale, U4)  # type: ignore[no-any-return]
    level = features[rule.baseline] if rule.baseline >= 0 else 0.0
    if level != level:
        level = 0.0
    if rule.window > 0:
        level = level * rule.duration / rule.window
    wanted = np.int64(np.rint(min(level * rule.stretch, 1e12)))
    return min(min(max(_nice(max(wanted, 1)), rule.low), rule.high) * rule.scale, U4)  # type: ignore[arg-type, no-any-return]


@compiled
def _lowest(row: Record, tables: Any, desk: Record) -> int:
    """The slot of the mission that may be replaced, -1 for none."""
    found = -1
    for slot in range(SLOTS):
        if row.mission_status[slot] == ACTIVE and row.mission_progress[slot] == 0:
            rule = tables.rules[desk.rules[slot]]
            if found >= 0:
                least = tables.rules[desk.rules[found]]
                if rule.priority > least.priority or (
                    rule.priority == least.priority and rule.number < least.number
                ):
                    continue
            found = slot
    return found


@compiled
def passes(gate: Record, features: Any) -> bool:
    """Whether a condition is worth a look: without branches, for most are not."""
    passes = True
    for n in range(GATES):
        value = features[gate.feature[n]]
        passes &= (value >= gate.low[n]) & (value <= gate.high[n])
    return passes


@compiled
def types_done(row: Record) -> int:
    """The event types that a customer has had, as bits by code."""
    done = np.uint64(0)
    for code in range(row.types.shape[0]):
        done |= np.uint64(row.types[code] != 0) << np.uint64(code)
    return done  # type: ignore[return-value]


@compiled
def eligible(row: Record, rule: Record, tables: Any, features: Any, done: int) -> bool:
    """What a template asks for, besides a slot and that it does not cool.  `done` is `types_done`."""
    if rule.goal == FIRST and rule.types & done:
        return False
    if not holds(tables.terms, rule.eligibility, features):
        return False
    for i in range(COMPLETED_WORDS):
        if rule.after[i] & ~row.completed[i]:
            return False
    for entry in range(COOLING if rule.per_customer > 0 else 0):
        if row.cooling_template[entry] == rule.number and row.cooling_times[entry] >= rule.per_customer:
            return False
    return True


@compiled
def start(row: Record, desk: Record, effects: Effects, slot: int, rule: Record) -> Record:
    """A mission begins."""
    row.mission_status[slot] = ACTIVE
    row.mission_started[slot] = row.as_of // 1000
    row.mission_ends[slot] = row.as_of // 1000 + rule.duration * (DAY_MS // 1000)
    desk.counts[GIVEN_COUNT] += 1
    return tell(row, desk, effects, slot, GIVEN, NO_REASON)


@compiled
def _give(row: Record, tables: Any, slot: int, rule: int, desk: Record, effects: Effects, seen: Any) -> None:
    """Give a customer a mission, or ask for it where it is capped."""
    to = tables.rules[rule]
    row.mission_template[slot], row.mission_revision[slot] = to.number, to.revision
    row.mission_target[slot] = target_of(to, desk.features)
    desk.rules[slot] = rule
    if to.capped and not desk.control:
        row.mission_status[slot] = WAITING
        new = tell(row, desk, effects, slot, RESERVED, NO_REASON)
        new.started = row.as_of // 1000
    else:
        new = start(row, desk, effects, slot, to)
    see(desk, new, seen)


@compiled
def _block(row: Record, desk: Record) -> None:
    """Mark the templates that run or cool."""
    for number in range(desk.blocked.shape[0]):
        desk.blocked[number] = 0
    for entry in range(COOLING):
        if row.cooling_until[entry] > row.day:
            desk.blocked[row.cooling_template[entry]] = 1
    for slot in range(SLOTS):
        desk.blocked[row.mission_template[slot]] = 1


@compiled
def generate(row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any) -> None:
    """Give whatever missions the features on the desk make a customer eligible for."""
    room = onboarding = 0
    for slot in range(SLOTS):
        if row.mission_status[slot] == FREE:
            room += 1
        else:
            onboarding += tables.rules[desk.rules[slot]].onboarding
    least = -1
    if not room:
        if row.replaced_day == row.day:
            return
        least = _lowest(row, tables, desk)
        if least < 0:
            return
    if not may_cool(row, policy, tables):
        return
    _block(row, desk)
    done = types_done(row)
    for n in range(tables.gates.shape[0]):
        number = tables.gates[n].rule
        if number < 0:
            return  # the rest are of campaigns
        if not passes(tables.gates[n], desk.features):
            continue
        rule = tables.rules[number]
        if not room and rule.priority <= tables.rules[desk.rules[least]].priority:
            return  # nor is any that follows higher
        if desk.blocked[rule.number] or (rule.onboarding and onboarding >= ONBOARDING):
            continue
        if not eligible(row, rule, tables, desk.features, done):
            continue
        if room:
            slot = 0
            while row.mission_status[slot] != FREE:
                slot += 1
            room -= 1
        else:
            slot = least
            left = tables.rules[desk.rules[slot]]
            tell(row, desk, effects, slot, REPLACED, BY_PRIORITY)
            free(row, desk, slot)
            cool(row, policy, tables, left.number, left.cooldown, 0)
            row.replaced_day = row.day
        onboarding += rule.onboarding
        _give(row, tables, slot, number, desk, effects, seen)
        if not room:
            if row.replaced_day == row.day:
                return
            least = _lowest(row, tables, desk)
            if least < 0:
                return
