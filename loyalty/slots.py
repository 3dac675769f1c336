"""The mission slots of a row, compiled: their rules, what is told of them, and templates that cool down.

A mission's rule is found by the revision that gave it; the desk holds the rules of the row at work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.columns import (
    MISSION,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.conditions import AT_LEAST, AT_MOST, DIFFERENT, EQUAL, HOLDS, KNOWN, LESS, MORE
from loyalty.emit import effect
from loyalty.row import ACTIVE, COOLING, ENTRIES, FREE, HELD, MARK_WORDS, SLOTS


@compiled
def find(tables: Any, revision: int, number: int) -> int:
    """The rule of a template in a revision, -1 where nobody has asked for it yet."""
    mask = tables.lookup.shape[0] - 1
    at = (revision * 2_654_435_761 + number * 40_503) & mask
    while tables.lookup[at] >= 0:
        rule = tables.lookup[at]
        if tables.rules[rule].number == number and tables.rules[rule].revision == revision:
            return rule  # type: ignore[no-any-return]
        at = (at + 1) & mask
    return -1


@compiled
def find_all(row: Record, tables: Any, desk: Record) -> bool:
    """Put the rules of a row's missions on the desk; False: the revision `desk.needed` is wanted first."""
    for slot in range(SLOTS):
        desk.rules[slot] = -1
        if row.mission_status[slot] != FREE:
            rule = find(tables, row.mission_revision[slot], row.mission_template[slot])
            if rule < 0:
                desk.needed = row.mission_revision[slot]
                return False
            desk.rules[slot] = rule
    return True


@compiled
def holds(terms: Any, first: int, values: Any) -> bool:
    """Whether a condition holds of values."""
    at = first
    while at >= 0:
        term = terms[at]
        value, wanted, op = values[term.feature], term.value, term.op
        if op == LESS:
            true = value < wanted
        elif op == AT_MOST:
            true = value <= wanted
        elif op == MORE:
            true = value > wanted
        elif op == AT_LEAST:
            true = value >= wanted
        elif op == EQUAL:
            true = value == wanted
        elif op == DIFFERENT:
            true = value == value and value != wanted
        elif op == KNOWN:
            true = value == value
        else:
            true = value != value
        at = term.then if true else term.otherwise
    return first < 0 or at == HOLDS


@compiled
def next_due(row: Record, tables: Any, desk: Record) -> int:
    """When something of an open row is due: its refresh, a mission to settle, or a campaign held back."""
    due = row.next_refresh
    for slot in range(SLOTS):
        if row.mission_status[slot] == ACTIVE:
            due = min(due, np.int64(row.mission_ends[slot]) * 1000 + tables.rules[desk.rules[slot]].grace)
    for entry in range(ENTRIES):
        if row.campaign_status[entry] == HELD:
            due = min(due, np.int64(row.campaign_until[entry]) * 1000)
    return due  # type: ignore[no-any-return]


@compiled
def tell(row: Record, desk: Record, effects: Effects, slot: int, what: int, reason: int) -> Record:
    """An effect of a mission as it stands."""
    new = effect(row, desk, effects, MISSION, what)
    new.number, new.revision = row.mission_template[slot], row.mission_revision[slot]
    new.started, new.ends = row.mission_started[slot], row.mission_ends[slot]
    new.progress, new.target, new.tenths = (
        row.mission_progress[slot], row.mission_target[slot], row.mission_tenths[slot],
    )  # fmt: skip
    new.reason = reason
    return new


@compiled
def free(row: Record, desk: Record, slot: int) -> None:
    """Empty a slot."""
    row.mission_status[slot] = FREE
    row.mission_template[slot] = row.mission_revision[slot] = 0
    row.mission_started[slot] = row.mission_ends[slot] = 0
    row.mission_target[slot] = row.mission_progress[slot] = row.mission_tenths[slot] = 0
    for i in range(MARK_WORDS):
        row.marks[slot, i] = 0
    desk.rules[slot] = -1


@compiled
def reusable(row: Record, policy: Record, tables: Any, entry: int) -> bool:
    """Whether nobody needs a cooling entry any more."""
    number = row.cooling_template[entry]
    if number == 0:
        return True
    if row.cooling_until[entry] > row.day:
        return False
    rule = find(tables, policy.revision, number)
    return rule < 0 or tables.rules[rule].per_customer == 0


@compiled
def may_cool(row: Record, policy: Record, tables: Any) -> bool:
    """Whether one more template can cool down."""
    entry = 0
    while entry < COOLING and not reusable(row, policy, tables, entry):
        entry += 1
    return entry < COOLING


@compiled
def _cooling_entry(row: Record, policy: Record, tables: Any, number: int) -> int:
    """The entry that a template's cooldown takes: its own, a reusable one, or the one that ends first."""
    for entry in range(COOLING):
        if row.cooling_template[entry] == number:
            return entry
    least = 0
    for entry in range(COOLING):
        if reusable(row, policy, tables, entry):
            return entry
        if row.cooling_until[entry] < row.cooling_until[least]:
            least = entry
    return least


@compiled
def cool(row: Record, policy: Record, tables: Any, number: int, days: int, completed: int) -> None:
    """Keep a template away from its customer for some days."""
    entry = _cooling_entry(row, policy, tables, number)
    if row.cooling_template[entry] != number:
        row.cooling_template[entry], row.cooling_times[entry] = number, 0
    row.cooling_until[entry] = min(row.day + days, 65_535)
    row.cooling_times[entry] = min(row.cooling_times[entry] + completed, 255)


@compiled
def join_cooling(row: Record, policy: Record, tables: Any, number: int, until: int, times: int) -> None:
    """Take over a cooldown of another row, if there is room."""
    for entry in range(COOLING):
        if reusable(row, policy, tables, entry):
            row.cooling_template[entry], row.cooling_until[entry] = number, until
            row.cooling_times[entry] = times
            return
