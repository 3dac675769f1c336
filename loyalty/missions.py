"""How missions move and end, compiled.  docs/game.md says what each goal counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import day_of, week_of
from loyalty.columns import (
    COMPLETED,
    COMPLETED_COUNT,
    EXPIRED,
    EXPIRED_COUNT,
    NO_REASON,
    PROGRESS,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.features import bit
from loyalty.game import ACTIVE as MOST_ACTIVE
from loyalty.game import MISSION_DAYS
from loyalty.rewards import reward
from loyalty.row import ACTIVE, FREE, MARK_WORDS, SLOTS
from loyalty.rules import BY_TYPE, COUNT, DISTINCT, FIRST, INACTIVITY, SHARE, SUM, WEEKS_KIND
from loyalty.slots import cool, free, holds, tell

U4 = 2**32 - 1
_BITS = 64 * MARK_WORDS
assert MOST_ACTIVE == SLOTS
assert MISSION_DAYS <= _BITS


@compiled
def _complete(
    row: Record, policy: Record, tables: Any, slot: int, desk: Record, effects: Effects, seen: Any
) -> None:
    rule = tables.rules[desk.rules[slot]]
    number, progress, target = (
        row.mission_template[slot],
        row.mission_progress[slot],
        row.mission_target[slot],
    )
    new = tell(row, desk, effects, slot, COMPLETED, NO_REASON)
    new.tenths = 10
    started = row.mission_started[slot]
    free(row, desk, slot)
    cool(row, policy, tables, number, rule.cooldown, 1)
    row.completed[number // 64] |= np.uint64(1) << np.uint64(number % 64)
    row.missions_completed = min(row.missions_completed + 1, 65_535)
    desk.counts[COMPLETED_COUNT] += 1
    reward(row, policy, tables, rule, progress, target, started, desk, effects, seen)


@compiled
def settle(
    row: Record, policy: Record, tables: Any, slot: int, desk: Record, effects: Effects, seen: Any
) -> None:
    """End a mission whose time, and the grace for stragglers, is over."""
    rule = tables.rules[desk.rules[slot]]
    if rule.goal == INACTIVITY and rule.duration - row.mission_progress[slot] <= rule.gap:
        row.mission_progress[slot] = row.mission_target[slot]
        _complete(row, policy, tables, slot, desk, effects, seen)
        return
    tell(row, desk, effects, slot, EXPIRED, NO_REASON)
    number = row.mission_template[slot]
    free(row, desk, slot)
    cool(row, policy, tables, number, rule.cooldown, 0)
    desk.counts[EXPIRED_COUNT] += 1


@compiled
def end_all(row: Record, desk: Record, effects: Effects, what: int, reason: int) -> None:
    """End all missions: the customer has left, or does not want them."""
    for slot in range(SLOTS):
        if row.mission_status[slot] == ACTIVE:
            tell(row, desk, effects, slot, what, reason)
        if row.mission_status[slot] != FREE:
            free(row, desk, slot)


# -- progress ----------------------------------------------------------------------------------------


@compiled
def _longest_run(marks: Any, slot: int) -> int:
    best = run = 0
    for at in range(_BITS):
        run = run + 1 if bit(marks[slot], at) else 0
        best = max(best, run)
    return best


@compiled
def _reached(marks: Any, slot: int, gap: int) -> int:
    reached = 0
    for at in range(_BITS):
        if at - reached > gap:
            break
        if bit(marks[slot], at):
            reached = at + 1
    return reached


@compiled
def _half(word: Any, high: int) -> int:
    return np.int64((np.uint64(word) >> np.uint64(32 * high)) & np.uint64(U4))  # type: ignore[return-value]


@compiled
def _join_distinct(marks: Any, slot: int, hash_: int) -> int:
    """Let a value join the set of up to six; its size."""
    for n in range(2 * MARK_WORDS):
        there = _half(marks[slot, n // 2], n % 2)
        if there == hash_:
            break
        if there == 0:
            marks[slot, n // 2] |= np.uint64(hash_) << np.uint64(32 * (n % 2))
            break
    size = 0
    for n in range(2 * MARK_WORDS):
        size += _half(marks[slot, n // 2], n % 2) != 0
    return size


@compiled
def _move(
    row: Record, policy: Record, tables: Any, rule: Record, slot: int, event: Any, desk: Record
) -> bool:
    """Let an event that fits move a mission; whether it is completed."""
    goal, target = rule.goal, np.int64(row.mission_target[slot])
    progress = np.int64(row.mission_progress[slot])
    if goal == SHARE:
        both = row.marks[slot, 0]
        matching = min(_half(both, 0) + holds(tables.terms, rule.where, desk.words), U4)
        among = min(_half(both, 1) + 1, U4)
        row.marks[slot, 0] = np.uint64(matching) | (np.uint64(among) << np.uint64(32))
        progress = 100 * matching * min(among, rule.at_least) // (among * rule.at_least)
        row.mission_progress[slot] = progress
        return progress >= target and among >= rule.at_least  # type: ignore[no-any-return]
    if goal in (COUNT, FIRST):
        progress += 1
    elif goal == SUM:
        progress += max(event.value, 0)
    elif goal == DISTINCT:
        if rule.distinct == BY_TYPE:
            hash_ = np.int64(policy.type_words[event.kind])
        else:
            word = desk.words[rule.distinct]
            if word != word:
                return False
            hash_ = np.int64(word)
        progress = _join_distinct(row.marks, slot, hash_)  # type: ignore[arg-type, assignment]
    else:
        began = day_of(np.int64(row.mission_started[slot]) * 1000, policy.calendar)  # type: ignore[arg-type]
        day = day_of(event.at, policy.calendar)
        at = week_of(day) - week_of(began) if goal == WEEKS_KIND else day - began
        if not 0 <= at < _BITS or bit(row.marks[slot], at):
            return False
        row.marks[slot, at // 64] |= np.uint64(1) << np.uint64(at % 64)
        if goal == INACTIVITY:
            row.mission_progress[slot] = _reached(row.marks, slot, rule.gap)
            return False
        progress = _longest_run(row.marks, slot)  # type: ignore[assignment]
    row.mission_progress[slot] = min(progress, U4)
    return row.mission_progress[slot] >= target  # type: ignore[no-any-return]


@compiled
def progress(
    row: Record, policy: Record, tables: Any, event: Any, desk: Record, effects: Effects, seen: Any
) -> None:
    """Let an event move the missions within whose time it lies."""
    kind_bit = np.uint64(1) << np.uint64(event.kind)
    for slot in range(SLOTS):
        if row.mission_status[slot] != ACTIVE:
            continue
        rule = tables.rules[desk.rules[slot]]
        if rule.types & kind_bit == 0:
            continue
        started, ends = np.int64(row.mission_started[slot]) * 1000, np.int64(row.mission_ends[slot]) * 1000
        if not started <= event.at < ends:
            continue
        if not holds(tables.terms, rule.among if rule.goal == SHARE else rule.where, desk.words):
            continue
        if _move(row, policy, tables, rule, slot, event, desk):
            _complete(row, policy, tables, slot, desk, effects, seen)
            continue
        tenths = min(np.int64(row.mission_progress[slot]) * 10 // np.int64(row.mission_target[slot]), 9)
        if tenths > row.mission_tenths[slot]:
            row.mission_tenths[slot] = tenths
            tell(row, desk, effects, slot, PROGRESS, NO_REASON)
