"""The fold itself: one plain loop over events in log order, compiled, numbers in and numbers out.

docs/semantics.md says what each step does and in which order.  Names, JSON and the side table are the
engine's; content comes as arrays, so that new content compiles nothing.
"""

from __future__ import annotations

from typing import Any

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
    REFRESHES,
    REFUSED,
    REKEY,
    RESET,
    RESULT,
    SET_PROFILE,
    UNKNOWN_CUSTOMER,
    Desk,
    Row,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled
from loyalty.counters import count, join, known, remember, set_profile, shift
from loyalty.events import CODES
from loyalty.policy import IS_MONEY, IS_USAGE, Policy
from loyalty.row import ENDED, FORMAT, LINKED, NO, NO_TIME, NONE, OPEN, YES
from loyalty.scores import score

_ACTIVATION, _PROFILE_UPDATE = CODES["activation"], CODES["profile_update"]
_OPT_IN, _OPT_OUT = CODES["opt_in"], CODES["opt_out"]
_LINK, _ENDED = CODES["customer_link"], CODES["customer_ended"]
_COMMAND = CODES["_command"]


@compiled
def _effect(desk: Desk, kind: int, detail: int, slot: int, event: int) -> Any:
    effect = desk.effects[desk.filled[0]]
    desk.filled[0] += 1
    effect.kind, effect.detail, effect.slot, effect.event = kind, detail, slot, event
    effect.cause, effect.as_of, effect.caused_at = BY_EVENT, 0, 0
    return effect


@compiled
def _publish(row: Row, desk: Desk, reason: int, slot: int, event: int, cause: int, caused_at: int) -> None:
    """Publish the scores that stand on the desk."""
    effect = _effect(desk, PUBLICATION, reason, slot, event)
    effect.as_of, effect.cause, effect.caused_at = row.as_of, cause, caused_at
    for i in range(5):
        row.published[i] = desk.scores[i]
        effect.scores[i] = desk.scores[i]
    desk.counts[PUBLISHED] += 1


@compiled
def _band(hundredths: int, bands: NDArray[np.float64]) -> int:
    reached = 0
    for band in bands:
        reached += hundredths >= band
    return reached


@compiled
def _publish_moved(
    row: Row, policy: Policy, desk: Desk, slot: int, event: int, cause: int, caused_at: int
) -> None:
    """Score a row, and publish where a score moved by a step or crossed a band since it last was."""
    score(row, policy, desk.parts, desk.scores)
    moved = crossed = False
    for i in range(5):
        new, old = desk.scores[i], row.published[i]
        if new != old:
            moved = moved or abs(new - old) >= policy.step
            crossed = crossed or _band(new, policy.bands) != _band(old, policy.bands)
    if moved or crossed:
        _publish(row, desk, MOVED if moved else BAND, slot, event, cause, caused_at)


@compiled
def _open(row: Row, policy: Policy, at: int, minute: int) -> None:
    row.format, row.state, row.as_of = FORMAT, OPEN, at
    row.day = day_of(at, policy.calendar)
    row.due = last_refresh(at, minute) + DAY_MS


@compiled
def _move(row: Row, policy: Policy, desk: Desk, slot: int, to: int, stop: bool) -> None:
    """Bring an open row to a time: its refresh, if one is due by then, and unless `stop` the time itself."""
    if row.due <= to:
        refresh = last_refresh(to, row.due % DAY_MS // MINUTE_MS)
        row.as_of = max(row.as_of, refresh)
        shift(row, day_of(row.as_of, policy.calendar))
        score(row, policy, desk.parts, desk.scores)
        _publish(row, desk, REFRESH, slot, -1, BY_REFRESH, refresh)
        desk.counts[REFRESHES] += 1
        row.due = refresh + DAY_MS
    if not stop:
        row.as_of = max(row.as_of, to)
        shift(row, day_of(row.as_of, policy.calendar))


@compiled
def _recalculate(row: Row, policy: Policy, desk: Desk, slot: int, event: int, tick: int) -> None:
    _move(row, policy, desk, slot, tick, False)
    score(row, policy, desk.parts, desk.scores)
    _publish(row, desk, RECALCULATE, slot, event, BY_EVENT, 0)


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
    policy: Policy,
    desk: Desk,
) -> None:
    """Fold events (EVENT, in log order) and commands for one customer into rows (by slot).

    `seen` are the times of side entries by key (NEVER: none); `remembered` marks those that changed,
    `touched` the events that changed their row.  `profiles` are PROFILE, `links` takes rows that were linked.
    """
    counts = desk.counts
    for e in range(events.shape[0]):
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
                _recalculate(row, policy, desk, slot, e, tick)
                seen[event.key] = row.as_of
                remembered[event.key] = True
            _effect(desk, RESULT, status, slot, e)
            continue

        row = rows[slot]
        if row.state == LINKED:
            _effect(desk, REKEY, 0, slot, e)
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
            rows[slot] = desk.blank[0]
            row.opened_at = at
            _effect(desk, RESET, 0, slot, e)
        elif duplicate:
            counts[DUPLICATES] += 1
            continue

        touched[e] = True
        if row.state == NONE:
            _open(row, policy, at, event.minute)
        else:
            _move(row, policy, desk, slot, at, False)
        if traits & IS_USAGE:
            remember(row, event.hash, counts)
        else:
            seen[event.key] = row.as_of
            remembered[event.key] = True
        count(row, event, traits, policy, counts)

        if kind == _PROFILE_UPDATE and at >= row.profile_at:
            set_profile(row, profiles[event.extra])
            row.profile_at = at
            _effect(desk, SET_PROFILE, 0, slot, e)
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
                _effect(desk, LINK, 0, slot, e)
            else:
                counts[REFUSED] += 1
        if row.state == OPEN:
            _publish_moved(row, policy, desk, slot, e, BY_EVENT, 0)


@compiled
def tick_rows(
    rows: Rows, slots: NDArray[np.int32], at: int, everyone: bool, policy: Policy, desk: Desk
) -> None:
    """Move open rows, in the order of `slots`, by a tick."""
    for slot in slots:
        row = rows[slot]
        _move(row, policy, desk, slot, at, not everyone)
        if everyone:
            _publish_moved(row, policy, desk, slot, -1, BY_TICK, at)


@compiled
def recalculate_rows(
    rows: Rows, slots: NDArray[np.int32], event: int, tick: int, policy: Policy, desk: Desk
) -> None:
    """Recalculate open rows, in the order of `slots`, by the command `event`."""
    for slot in slots:
        _recalculate(rows[slot], policy, desk, slot, event, tick)


@compiled
def merge(
    rows: Rows, slot: int, event: int, at: int, minute: int, carried_rows: Rows, profile: NDArray[np.void],
    policy: Policy, desk: Desk,
) -> None:  # fmt: skip
    """Join a carried row (1,) and profile (1,) to an open row or one that is none.

    `at` is the time of the `_merge`, `minute` the customer's refresh minute.
    """
    row, carried, counts = rows[slot], carried_rows[0], desk.counts
    to = max(at, carried.as_of)
    if row.state == NONE:
        _open(row, policy, to, minute)
    else:
        _move(row, policy, desk, slot, to, False)
    join(row, carried, counts)
    set_profile(row, profile[0])
    if row.opted == 0:
        row.opted = carried.opted
    _publish_moved(row, policy, desk, slot, event, BY_EVENT, 0)
