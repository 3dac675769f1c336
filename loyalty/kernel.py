"""The fold itself: one plain loop over events in log order, compiled, numbers in and numbers out.

docs/semantics.md says what each step does and in which order.  Names, JSON and the side table are the
engine's; content comes as arrays, so that new content compiles nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS, MINUTE_MS, day_of, last_refresh
from loyalty.columns import (
    BAND,
    BY_EVENT,
    BY_REFRESH,
    BY_TICK,
    CAN_LINK,
    CLOSED,
    DONE,
    DUPLICATES,
    IGNORED_BEFORE,
    IGNORED_ENDED,
    LINK,
    MONEY_WINDOW,
    MOVED,
    NEVER,
    OTHER_WINDOW,
    PUBLICATION,
    PUBLISHED,
    RECALCULATE,
    REFRESH,
    REFUSED,
    REKEY,
    RESET,
    RESULT,
    SET_PROFILE,
    SWEEP_DAYS,
    UNKNOWN_CUSTOMER,
    Effects,
    Record,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled, prefetch
from loyalty.counters import count, join, known, remember, set_profile, shift
from loyalty.events import CODES
from loyalty.policy import IS_MONEY, IS_USAGE
from loyalty.row import ENDED, FORMAT, LINKED, NO, NO_TIME, NONE, OPEN, YES
from loyalty.scores import score

_ACTIVATION, _PROFILE_UPDATE = CODES["activation"], CODES["profile_update"]
_OPT_IN, _OPT_OUT = CODES["opt_in"], CODES["opt_out"]
_LINK, _ENDED = CODES["customer_link"], CODES["customer_ended"]
_COMMAND = CODES["_command"]

AHEAD = 2  # rows that are fetched while another is worked on


@compiled
def _effect(desk: Record, effects: Effects, kind: int, detail: int, slot: int, event: int) -> Record:
    effect = effects[desk.filled]
    desk.filled += 1
    effect.kind, effect.detail, effect.slot, effect.event = kind, detail, slot, event
    effect.cause, effect.as_of, effect.caused_at, effect.sweep = BY_EVENT, 0, 0, 0
    return effect


@compiled
def _publish(row: Record, desk: Record, effects: Effects, reason: int, slot: int, event: int) -> Record:
    """Publish the scores that stand on the desk."""
    effect = _effect(desk, effects, PUBLICATION, reason, slot, event)
    effect.as_of = row.as_of
    for i in range(5):
        row.published[i] = desk.scores[i]
        effect.scores[i] = desk.scores[i]
    desk.counts[PUBLISHED] += 1
    return effect


@compiled
def _moved(row: Record, policy: Record, desk: Record) -> int:
    """Score a row; the reason to publish it, -1 where no score moved by a step or crossed a band."""
    score(row, policy, desk)
    moved = crossed = False
    for i in range(5):
        new, old = desk.scores[i], row.published[i]
        if new != old:
            moved = moved or abs(new - old) >= policy.step
            crossed = crossed or policy.bands[new] != policy.bands[old]
    return MOVED if moved else BAND if crossed else -1


@compiled
def _open(row: Record, policy: Record, at: int, minute: int) -> None:
    row.format, row.state, row.as_of = FORMAT, OPEN, at
    row.day = day_of(at, policy.calendar)
    row.due = last_refresh(at, minute) + DAY_MS


@compiled
def _move(
    row: Record, policy: Record, desk: Record, effects: Effects, slot: int, event: int, to: int, stop: bool
) -> None:
    """Bring an open row to a time: its refresh, if one is due by then, and unless `stop` the time itself."""
    if row.due <= to:
        minute = row.due % DAY_MS // MINUTE_MS
        refresh = last_refresh(to, minute)
        row.as_of = max(row.as_of, refresh)
        shift(row, day_of(row.as_of, policy.calendar))
        score(row, policy, desk)
        effect = _publish(row, desk, effects, REFRESH, slot, event)
        effect.cause, effect.caused_at = BY_REFRESH, refresh
        known_for = refresh - row.first_event
        effect.sweep = known_for > MONEY_WINDOW and (refresh // DAY_MS + minute) % SWEEP_DAYS == 0
        row.due = refresh + DAY_MS
    if not stop:
        row.as_of = max(row.as_of, to)
        shift(row, day_of(row.as_of, policy.calendar))


@compiled
def _recalculate(
    row: Record, policy: Record, desk: Record, effects: Effects, slot: int, event: int, tick: int
) -> None:
    _move(row, policy, desk, effects, slot, event, tick, False)
    score(row, policy, desk)
    _publish(row, desk, effects, RECALCULATE, slot, event)


@compiled
def fold(
    rows: Rows,
    events: NDArray[np.void],
    profiles: NDArray[np.void],
    links: Rows,
    seen: NDArray[np.int64],
    remembered: NDArray[np.bool_],
    touched: NDArray[np.bool_],
    tick: int,
    policies: NDArray[np.void],
    desks: NDArray[np.void],
    effects: Effects,
) -> None:
    """Fold events (EVENT, in log order) and commands for one customer into rows (by slot).

    `seen` are the times of side entries by key (NEVER: none); `remembered` marks those that changed,
    `touched` the events that changed their row.  `profiles` are PROFILE, `links` takes rows that were linked.
    """
    policy, desk = policies[0], desks[0]
    counts = desk.counts
    for e in range(events.shape[0]):
        if e + AHEAD < events.shape[0]:
            prefetch(rows[events[e + AHEAD].slot])
        event = events[e]
        slot, kind, at = event.slot, event.kind, event.at
        if kind == _COMMAND:
            status = event.flag
            if status == DONE and (slot < 0 or rows[slot].state == NONE):
                status = UNKNOWN_CUSTOMER
            elif status == DONE and rows[slot].state != OPEN:
                status = CLOSED
            if status == DONE:
                row = rows[slot]
                before = seen[event.key]
                if before != NEVER and max(row.as_of, tick) - before <= OTHER_WINDOW:
                    counts[DUPLICATES] += 1
                    continue
                touched[e] = True
                _recalculate(row, policy, desk, effects, slot, e, tick)
                seen[event.key] = row.as_of
                remembered[event.key] = True
            _effect(desk, effects, RESULT, status, slot, e)
            continue

        row = rows[slot]
        if row.state == LINKED:
            _effect(desk, effects, REKEY, 0, slot, e)
            continue
        if row.state == OPEN and row.opened_at > at:
            counts[IGNORED_BEFORE] += 1
            continue
        traits = policy.traits[kind]
        if traits & IS_USAGE:
            duplicate = known(row, event.hash)
        else:
            before = seen[event.key]
            window = MONEY_WINDOW if traits & IS_MONEY else OTHER_WINDOW
            duplicate = before != NEVER and max(row.as_of, at) - before <= window
        if row.state == ENDED:
            if kind != _ACTIVATION or duplicate:
                counts[IGNORED_ENDED] += 1
                continue
            rows[slot] = desk.blank
            row.opened_at = at
            _effect(desk, effects, RESET, 0, slot, e)
        elif duplicate:
            counts[DUPLICATES] += 1
            continue

        touched[e] = True
        if row.state == NONE:
            _open(row, policy, at, event.minute)
        else:
            _move(row, policy, desk, effects, slot, e, at, False)
        if traits & IS_USAGE:
            remember(row, event.hash, counts)
        else:
            seen[event.key] = row.as_of
            remembered[event.key] = True
        count(row, event, traits, policy, counts)

        if kind == _PROFILE_UPDATE and at >= row.profile_at:
            set_profile(row, profiles[event.extra])
            row.profile_at = at
            _effect(desk, effects, SET_PROFILE, 0, slot, e)
        elif kind == _OPT_IN:
            row.opted = YES
        elif kind == _OPT_OUT:
            row.opted = NO
        elif kind == _ENDED:
            row.state, row.due = ENDED, NO_TIME
        elif kind == _LINK:
            if event.flag & CAN_LINK:
                links[event.extra] = row
                row.state, row.due = LINKED, NO_TIME
                _effect(desk, effects, LINK, 0, slot, e)
            else:
                counts[REFUSED] += 1
        if row.state == OPEN:
            reason = _moved(row, policy, desk)
            if reason >= 0:
                _publish(row, desk, effects, reason, slot, e)


@compiled
def tick_rows(
    rows: Rows,
    slots: NDArray[np.int32],
    at: int,
    everyone: bool,
    policies: NDArray[np.void],
    desks: NDArray[np.void],
    effects: Effects,
) -> None:
    """Move open rows, in the order of `slots`, by a tick."""
    policy, desk = policies[0], desks[0]
    for i in range(slots.shape[0]):
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        slot = slots[i]
        row = rows[slot]
        _move(row, policy, desk, effects, slot, -1, at, not everyone)
        if everyone:
            reason = _moved(row, policy, desk)
            if reason >= 0:
                effect = _publish(row, desk, effects, reason, slot, -1)
                effect.cause, effect.caused_at = BY_TICK, at


@compiled
def recalculate_rows(
    rows: Rows,
    slots: NDArray[np.int32],
    event: int,
    tick: int,
    policies: NDArray[np.void],
    desks: NDArray[np.void],
    effects: Effects,
) -> None:
    """Recalculate open rows, in the order of `slots`, by the command `event`."""
    policy, desk = policies[0], desks[0]
    for i in range(slots.shape[0]):
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        slot = slots[i]
        _recalculate(rows[slot], policy, desk, effects, slot, event, tick)


@compiled
def merge(
    rows: Rows, slot: int, event: int, at: int, minute: int, carried_rows: Rows, profile: NDArray[np.void],
    policies: NDArray[np.void], desks: NDArray[np.void], effects: Effects,
) -> None:  # fmt: skip
    """Join a carried row (1,) and profile (1,) to an open row or one that is none.

    `at` is the time of the `_merge`, `minute` the customer's refresh minute.
    """
    policy, desk = policies[0], desks[0]
    row, carried = rows[slot], carried_rows[0]
    to = max(at, carried.as_of)
    if row.state == NONE:
        _open(row, policy, to, minute)
    else:
        _move(row, policy, desk, effects, slot, event, to, False)
    join(row, carried, desk.counts)
    set_profile(row, profile[0])
    if row.opted == 0:
        row.opted = carried.opted
    reason = _moved(row, policy, desk)
    if reason >= 0:
        _publish(row, desk, effects, reason, slot, event)
