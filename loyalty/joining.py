"""What the kernel does for records that are folded alone, compiled: reversals, reservations, merges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.campaigns import answer, call_off, pending
from loyalty.columns import (
    BY_EVENT,
    GRANT,
    OF_REFUND,
    REFUSED_MISSION,
    REVERSED,
    Effects,
    Record,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled
from loyalty.counters import join, set_profile
from loyalty.emit import at_work, effect
from loyalty.generation import start
from loyalty.moving import ask_if_moved, in_control, move, moved, open_row, publish
from loyalty.points import add, balance, retier, take, take_back, tell_points
from loyalty.row import (
    BADGE_WORDS,
    COMPLETED_WORDS,
    COOLING,
    LOTS,
    NO,
    NONE,
    SLOTS,
    WAITING,
)
from loyalty.scores import score
from loyalty.slots import cool, find_all, free, join_cooling, next_due, tell


@compiled
def take_back_grants(
    rows: Rows, slot: int, event: int, points: NDArray[np.int64], months: NDArray[np.int64],
    offers: NDArray[np.int64], was_open: NDArray[np.bool_], policies: NDArray[np.void],
    desks: NDArray[np.void], effects: Effects,
) -> None:  # fmt: skip
    """Undo grants: points of a lot's month, or an offer (0 or more) and whether it was open."""
    policy, desk = policies[0], desks[0]
    row = rows[slot]
    at_work(desk, slot, event, BY_EVENT, 0)
    desk.control = in_control(row.id_hash, policy)
    for i in range(points.shape[0]):
        if offers[i] >= 0:
            if was_open[i]:
                row.open_grants = max(row.open_grants - 1, 0)
            new = effect(row, desk, effects, GRANT, REVERSED)
            new.offer, new.balance = offers[i], balance(row)
        else:
            take_back(row, desk, points[i], months[i])
            new = tell_points(row, desk, effects, REVERSED, OF_REFUND, -points[i], months[i])
        new.origin = OF_REFUND
    retier(row, policy, desk, effects)


@compiled
def answer_reservation(
    rows: Rows, slot: int, event: int, at: int, template: int, granted: bool, policies: NDArray[np.void],
    tables: Any, desks: NDArray[np.void], effects: Effects, seen: NDArray[np.float64], asked: Rows,
) -> int:  # fmt: skip
    """Begin, or give up, a mission that waits; 1 done, 0 nobody waits, -1 rules are wanted."""
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    row = rows[slot]
    if not find_all(row, tables, desk):
        return -1
    waiting = -1
    for i in range(SLOTS):
        if row.mission_status[i] == WAITING and row.mission_template[i] == template:
            waiting = i
    if waiting < 0:
        return 0
    desk.control, desk.off = in_control(row.id_hash, policy), 0
    at_work(desk, slot, event, BY_EVENT, 0)
    move(row, policy, tables, desk, effects, seen, asked, at, False)
    if granted:
        start(row, desk, effects, waiting, tables.rules[desk.rules[waiting]])
    else:
        tell(row, desk, effects, waiting, REFUSED_MISSION, 0)
        free(row, desk, waiting)
        cool(row, policy, tables, template, 1, 0)
    row.due = next_due(row, tables, desk)
    return 1


@compiled
def answer_campaign(
    rows: Rows, slot: int, event: int, at: int, number: int, granted: bool, policies: NDArray[np.void],
    tables: Any, desks: NDArray[np.void], effects: Effects, seen: NDArray[np.float64], asked: Rows,
) -> int:  # fmt: skip
    """Send, or give up, a campaign that waits.

    2 done, but what was granted is not taken; 1 done, 0 nobody waits, -1 rules are wanted.
    """
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    row = rows[slot]
    if not find_all(row, tables, desk):
        return -1
    entry = pending(row, number)
    if entry < 0:
        return 0
    desk.control, desk.off = in_control(row.id_hash, policy), 0
    at_work(desk, slot, event, BY_EVENT, 0)
    move(row, policy, tables, desk, effects, seen, asked, at, False)
    taken = answer(row, policy, tables, entry, granted, desk, effects)
    row.due = next_due(row, tables, desk)
    return 1 if taken else 2


@compiled
def merge(
    rows: Rows, slot: int, event: int, at: int, id_hash: int, carried_rows: Rows, profile: NDArray[np.void],
    policies: NDArray[np.void], tables: Any, desks: NDArray[np.void], effects: Effects,
    seen: NDArray[np.float64], asked: Rows,
) -> bool:  # fmt: skip
    """Join a carried row (1,) and profile (1,) to an open row or one that is none; False: rules are wanted.

    `at` is the time of the `_merge`, `id_hash` the customer's.
    """
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    row, carried = rows[slot], carried_rows[0]
    if not find_all(row, tables, desk):
        return False
    at_work(desk, slot, event, BY_EVENT, 0)
    desk.control, desk.off = in_control(id_hash, policy), 0
    to = max(at, carried.as_of)
    if row.state == NONE:
        open_row(row, policy, to, id_hash)
    else:
        move(row, policy, tables, desk, effects, seen, asked, to, False)
    join(row, carried, desk.counts)
    _join_game(row, carried, policy, tables, desk)
    set_profile(row, profile[0])
    if row.opted == 0:
        row.opted = carried.opted
    if row.opted == NO:
        call_off(row)
    row.due = next_due(row, tables, desk)
    score(row, policy, desk)
    reason = moved(row, policy, desk)
    if reason >= 0:
        publish(row, desk, effects, reason)
    ask_if_moved(row, policy, desk, effects, asked)
    return True


@compiled
def _capped(there: Any, more: Any, most: int) -> int:
    return min(np.int64(there) + np.int64(more), most)  # type: ignore[return-value]


@compiled
def _join_game(row: Record, carried: Record, policy: Record, tables: Any, desk: Record) -> None:
    """Add what was won by a customer who becomes this one; both rows stand at the same day."""
    for i in range(LOTS):
        if carried.lot_month[i]:
            add(row, desk, carried.lot_points[i], carried.lot_month[i])
    debt = np.int64(carried.debt)
    row.debt = _capped(row.debt, debt - take(row, desk, debt), 2**32 - 1)  # type: ignore[arg-type]
    row.year_points = _capped(row.year_points, carried.year_points, 2**32 - 1)
    row.last_year_points = _capped(row.last_year_points, carried.last_year_points, 2**32 - 1)
    row.points_earned = _capped(row.points_earned, carried.points_earned, 2**32 - 1)
    row.points_redeemed = _capped(row.points_redeemed, carried.points_redeemed, 2**32 - 1)
    row.points_expired = _capped(row.points_expired, carried.points_expired, 2**32 - 1)
    row.missions_completed = _capped(row.missions_completed, carried.missions_completed, 65_535)
    row.tier = max(row.tier, carried.tier)
    for i in range(BADGE_WORDS):
        row.badges[i] |= carried.badges[i]
    for i in range(COMPLETED_WORDS):
        row.completed[i] |= carried.completed[i]
    for i in range(COOLING):
        number = carried.cooling_template[i]
        mine = number == 0
        for j in range(COOLING):
            mine = mine or row.cooling_template[j] == number
        if not mine:
            join_cooling(row, policy, tables, number, carried.cooling_until[i], carried.cooling_times[i])
