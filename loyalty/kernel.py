"""The fold itself: one plain loop over events in log order, compiled, numbers in and numbers out.

docs/semantics.md and docs/game.md say what each step does and in which order.  Names, JSON and the side table
are the engine's; content comes as arrays, so that new content compiles nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.campaigns import call_off, campaign, clear
from loyalty.columns import (
    ADJUST_OP,
    ADJUSTED,
    ANEW,
    ASKED_ROOM,
    AWARD_OP,
    BACKFILL,
    BY_END,
    BY_EVENT,
    BY_LINK,
    BY_OPT_OUT,
    BY_TICK,
    CAN_LINK,
    CANCELLED,
    CLOSED,
    DAILY,
    DONE,
    DUPLICATES,
    EFFECTS_ROOM,
    FORFEITED,
    GENERATE_OP,
    IGNORED_BEFORE,
    IGNORED_ENDED,
    IGNORED_ERASED,
    IN_CONTROL,
    INLINE,
    INSUFFICIENT_POINTS,
    LINK,
    MONEY_WINDOW,
    NEVER,
    NO_MODEL,
    OF_COMMAND,
    OF_END,
    OPT_IN_OP,
    OPT_OUT_OP,
    OPTED_OUT,
    OTHER_WINDOW,
    PREDICT_OP,
    PREDICTIONS_IGNORED,
    PREDICTIONS_TAKEN,
    RECALCULATE,
    RECALCULATE_OP,
    REDEEM_OP,
    REDEEMED,
    REFUSED,
    REKEY,
    REPLACED,
    RESET,
    RESULT,
    SEEN_ROOM,
    SET_PROFILE,
    UNKNOWN_CUSTOMER,
    Effects,
    Record,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled, prefetch
from loyalty.counters import count, known, remember, set_profile
from loyalty.emit import at_work, effect
from loyalty.events import CODES
from loyalty.generation import generate
from loyalty.missions import end_all, progress
from loyalty.moving import (
    ask,
    ask_if_moved,
    close,
    features,
    in_control,
    move,
    moved,
    open_row,
    publish,
)
from loyalty.points import add, balance, expire, held, owe, retier, take, tell_points
from loyalty.policy import IS_MONEY, IS_USAGE
from loyalty.rewards import award_badges, earn_points
from loyalty.row import (
    CHURN,
    ENDED,
    FORETOLD,
    LINKED,
    NO,
    NONE,
    OPEN,
    YES,
)
from loyalty.scores import score
from loyalty.slots import find_all, holds, next_due

_ACTIVATION, _PROFILE_UPDATE = CODES["activation"], CODES["profile_update"]
_OPT_IN, _OPT_OUT = CODES["opt_in"], CODES["opt_out"]
_LINK, _ENDED = CODES["customer_link"], CODES["customer_ended"]
_COMMAND, _PREDICTION = CODES["_command"], CODES["_prediction"]

AHEAD = 2  # rows that are fetched while another is worked on


@compiled
def _opt_out(row: Record, desk: Record, effects: Effects) -> None:
    end_all(row, desk, effects, CANCELLED, BY_OPT_OUT)
    call_off(row)
    row.opted = NO


@compiled
def _spend(row: Record, desk: Record, effects: Effects, points: int, what: int) -> int:
    """Take points that must be there; the status of the command."""
    if balance(row) < points:
        return INSUFFICIENT_POINTS
    take(row, desk, points)
    if what == REDEEMED:
        row.points_redeemed = min(np.int64(row.points_redeemed) + points, 2**32 - 1)
    tell_points(row, desk, effects, what, OF_COMMAND, -points, 0)
    return DONE


@compiled
def _adjust(row: Record, policy: Record, desk: Record, effects: Effects, points: int, op: int) -> int:
    """Move the points of a customer by a command; its status."""
    expire(row, desk, effects)
    if op == REDEEM_OP:
        return _spend(row, desk, effects, points, REDEEMED)
    if points < 0:
        return _spend(row, desk, effects, -points, ADJUSTED)
    row.points_earned = min(np.int64(row.points_earned) + points, 2**32 - 1)
    month = add(row, desk, points, row.month + policy.valid_months + 1)
    tell_points(row, desk, effects, ADJUSTED, OF_COMMAND, points, month)
    return DONE


@compiled
def _unwilling(row: Record, op: int, control: bool) -> int:
    """Why a command may not act on an open row, DONE where it may."""
    if op in (GENERATE_OP, AWARD_OP) and row.opted == NO:
        return OPTED_OUT
    return IN_CONTROL if op in (ADJUST_OP, REDEEM_OP) and control else DONE


@compiled
def _obey(
    row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any, asked: Rows, op: int,
    points: int,
) -> int:  # fmt: skip
    """What a command does to an open row that stands at the tick; its status."""
    if op == RECALCULATE_OP:
        score(row, policy, desk)
        publish(row, desk, effects, RECALCULATE)
        return DONE
    if op == PREDICT_OP:
        score(row, policy, desk)
        ask(row, desk, effects, asked, INLINE | DAILY)
        return DONE
    if op == OPT_IN_OP:
        row.opted = YES
        return DONE
    if op == OPT_OUT_OP:
        _opt_out(row, desk, effects)
        row.due = next_due(row, tables, desk)
        return DONE
    status = DONE
    if op in (ADJUST_OP, REDEEM_OP):
        status = _adjust(row, policy, desk, effects, points, op)
    else:
        score(row, policy, desk)
        features(row, policy, desk)
        if op == GENERATE_OP:
            generate(row, policy, tables, desk, effects, seen)
        elif op == AWARD_OP:
            award_badges(row, policy, tables, desk, effects, seen)
    if status == DONE and op != GENERATE_OP:
        retier(row, policy, desk, effects)
    row.due = next_due(row, tables, desk)
    return status


@compiled
def _play(
    row: Record,
    policy: Record,
    tables: Any,
    event: Any,
    words: Any,
    desk: Record,
    effects: Effects,
    seen: Any,
) -> None:
    """Let an event move missions, bring points, badges and new missions, and be a campaign's cue."""
    desk.words[0] = event.value / policy.scales[event.kind]
    for i in range(1, desk.words.shape[0]):
        desk.words[i] = words[event.words, i] if event.words >= 0 and i < words.shape[1] else np.nan
    features(row, policy, desk)
    if policy.game:
        progress(row, policy, tables, event, desk, effects, seen)
        earn_points(row, policy, tables, event, desk, effects)
        award_badges(row, policy, tables, desk, effects, seen)
        generate(row, policy, tables, desk, effects, seen)
        retier(row, policy, desk, effects)
    if policy.campaigns:
        kind = np.int64(event.kind)  # compiled once with refreshes
        campaign(row, policy, tables, kind, event.at, False, desk, effects, seen)  # type: ignore[arg-type]


@compiled
def _foretell(
    row: Record,
    policy: Record,
    tables: Any,
    event: Any,
    answer: Any,
    desk: Record,
    effects: Effects,
    seen: Any,
) -> None:
    """Take what was foretold of an open row, and let the game see it."""
    row.foretold_at[answer.daily] = event.at
    if answer.daily:
        for i in range(CHURN + 1, len(FORETOLD)):
            row.foretold[i] = answer.foretold[i]
        row.ltv = event.value + 1 if answer.ltv else 0
    else:
        row.foretold[CHURN] = answer.foretold[CHURN]
        row.offer = answer.offer
    score(row, policy, desk)
    if row.opted != NO and (policy.game or policy.campaigns):
        features(row, policy, desk)
        if policy.game:
            award_badges(row, policy, tables, desk, effects, seen)
            generate(row, policy, tables, desk, effects, seen)
            retier(row, policy, desk, effects)
        if policy.campaigns:
            campaign(row, policy, tables, 0, 0, False, desk, effects, seen)
    row.due = next_due(row, tables, desk)
    reason = moved(row, policy, desk)
    if reason >= 0:
        publish(row, desk, effects, reason)


@compiled
def _full(desk: Record, effects: Effects, seen: Any, asked: Rows) -> bool:
    """Whether there may be no room for what one more event can cause."""
    return (  # type: ignore[no-any-return]
        desk.filled + EFFECTS_ROOM > effects.shape[0]
        or desk.seen + SEEN_ROOM > seen.shape[0]
        or desk.asked + ASKED_ROOM > asked.shape[0]
    )


@compiled
def fold(
    rows: Rows,
    events: NDArray[np.void],
    begin: int,
    profiles: NDArray[np.void],
    answers: NDArray[np.void],
    words: NDArray[np.float64],
    links: Rows,
    entries: NDArray[np.int64],
    remembered: NDArray[np.bool_],
    touched: NDArray[np.bool_],
    tick: int,
    policies: NDArray[np.void],
    tables: Any,
    desks: NDArray[np.void],
    effects: Effects,
    seen: NDArray[np.float64],
    asked: Rows,
) -> int:
    """Fold events (EVENT, in log order) and commands for one customer into rows (by slot), from `begin` on.

    `entries` are the times of side entries by key (NEVER: none); `remembered` marks those that changed,
    `touched` the events that changed their row.  `profiles` are PROFILE, `answers` ANSWER, `words` event
    features; `links` takes rows that were linked, `asked` those that models are to see.  Returns the first
    event not folded: there is no room for more effects or asks, or rules of the revision `desk.needed` are
    wanted.
    """
    policy, desk = policies[0], desks[0]
    counts = desk.counts
    desk.needed = -1
    for e in range(begin, events.shape[0]):
        if _full(desk, effects, seen, asked):
            return e
        if e + AHEAD < events.shape[0]:
            prefetch(rows[max(events[e + AHEAD].slot, 0)])
        event = events[e]
        slot, kind, at = event.slot, event.kind, event.at
        if slot == -2:
            counts[IGNORED_ERASED] += 1
            continue
        at_work(desk, slot, e, BY_EVENT, 0)
        if kind == _COMMAND:
            status = event.flag
            if event.op == PREDICT_OP and not policy.predicts:
                status = NO_MODEL
            if status == DONE and (slot < 0 or rows[slot].state == NONE):
                status = UNKNOWN_CUSTOMER
            elif status == DONE and rows[slot].state != OPEN:
                status = CLOSED
            row = rows[max(slot, 0)]
            if status == DONE:
                before = entries[event.key]
                if before != NEVER and max(row.as_of, tick) - before <= OTHER_WINDOW:
                    counts[DUPLICATES] += 1
                    continue
                if not find_all(row, tables, desk):
                    return e
                desk.control, desk.off = in_control(row.id_hash, policy), 0
                status = _unwilling(row, event.op, desk.control)
                if status == DONE:
                    touched[e] = True
                    move(row, policy, tables, desk, effects, seen, asked, tick, False)
                    status = _obey(row, policy, tables, desk, effects, seen, asked, event.op, event.value)
                if status == DONE:
                    entries[event.key] = row.as_of
                    remembered[event.key] = True
            effect(row, desk, effects, RESULT, status)
            continue

        row = rows[slot]
        if kind == _PREDICTION:
            answer = answers[event.extra]
            if row.state != OPEN or at < row.opened_at or at < row.foretold_at[answer.daily]:
                counts[PREDICTIONS_IGNORED] += 1
                continue
            if not find_all(row, tables, desk):
                return e
            desk.control, desk.off = in_control(row.id_hash, policy), 0
            touched[e] = True
            _foretell(row, policy, tables, event, answer, desk, effects, seen)
            counts[PREDICTIONS_TAKEN] += 1
            continue
        if row.state == LINKED:
            effect(row, desk, effects, REKEY, 0)
            continue
        if row.state == OPEN and row.opened_at > at:
            counts[IGNORED_BEFORE] += 1
            continue
        traits = policy.traits[kind]
        if traits & IS_USAGE:
            duplicate = known(row, event.hash)
        else:
            before = entries[event.key]
            window = MONEY_WINDOW if traits & IS_MONEY else OTHER_WINDOW
            duplicate = before != NEVER and max(row.as_of, at) - before <= window
        if row.state == ENDED:
            if kind != _ACTIVATION or duplicate:
                counts[IGNORED_ENDED] += 1
                continue
            rows[slot] = desk.blank
            row.opened_at = at
            effect(row, desk, effects, RESET, 0)
        elif duplicate:
            counts[DUPLICATES] += 1
            continue

        if not find_all(row, tables, desk):
            return e
        desk.control, desk.off = in_control(event.id_hash, policy), event.flag & BACKFILL != 0
        touched[e] = True
        if row.state == NONE:
            open_row(row, policy, at, event.id_hash)
            if event.flag & ANEW:
                row.opened_at = at
        else:
            move(row, policy, tables, desk, effects, seen, asked, at, False)
        if traits & IS_USAGE:
            remember(row, event.hash, counts)
        else:
            entries[event.key] = row.as_of
            remembered[event.key] = True
        count(row, event, traits, policy, counts)

        if kind == _PROFILE_UPDATE and at >= row.profile_at:
            set_profile(row, profiles[event.extra])
            row.profile_at = at
            effect(row, desk, effects, SET_PROFILE, 0)
        elif kind == _OPT_IN:
            row.opted = YES
        elif kind == _OPT_OUT:
            _opt_out(row, desk, effects)
        elif kind == _ENDED:
            end_all(row, desk, effects, CANCELLED, BY_END)
            left = take(row, desk, held(row))
            row.debt = row.open_grants = 0
            clear(row)
            if left:
                tell_points(row, desk, effects, FORFEITED, OF_END, -left, 0)
            close(row, ENDED)
        elif kind == _LINK:
            if event.flag & CAN_LINK:
                end_all(row, desk, effects, REPLACED, BY_LINK)
                clear(row)
                row.due = row.next_refresh
                links[event.extra] = row
                owe(row, desk, -1)
                row.open_grants = 0
                close(row, LINKED)
                effect(row, desk, effects, LINK, 0)
            else:
                counts[REFUSED] += 1
        if row.state == OPEN:
            score(row, policy, desk)
            if (policy.game or policy.campaigns) and row.opted != NO and not desk.off:
                _play(row, policy, tables, event, words, desk, effects, seen)
            row.due = next_due(row, tables, desk)
            reason = moved(row, policy, desk)
            if reason >= 0:
                publish(row, desk, effects, reason)
            ask_if_moved(row, policy, desk, effects, asked)
    return events.shape[0]  # type: ignore[no-any-return]


@compiled
def tick_rows(
    rows: Rows,
    slots: NDArray[np.int32],
    begin: int,
    at: int,
    everyone: bool,
    policies: NDArray[np.void],
    tables: Any,
    desks: NDArray[np.void],
    effects: Effects,
    seen: NDArray[np.float64],
    asked: Rows,
) -> int:
    """Move open rows, in the order of `slots` from `begin` on, by a tick.  Returns as `fold` does."""
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    for i in range(begin, slots.shape[0]):
        if _full(desk, effects, seen, asked):
            return i
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        row = rows[slots[i]]
        if not find_all(row, tables, desk):
            return i
        at_work(desk, slots[i], -1, BY_TICK, at)
        desk.control, desk.off = in_control(row.id_hash, policy), 0
        move(row, policy, tables, desk, effects, seen, asked, at, not everyone)
        if everyone:
            score(row, policy, desk)
            reason = moved(row, policy, desk)
            if reason >= 0:
                publish(row, desk, effects, reason)
    return slots.shape[0]  # type: ignore[no-any-return]


@compiled
def command_rows(
    rows: Rows,
    slots: NDArray[np.int32],
    begin: int,
    event: int,
    op: int,
    condition: int,
    terms: Any,
    tick: int,
    policies: NDArray[np.void],
    tables: Any,
    desks: NDArray[np.void],
    effects: Effects,
    seen: NDArray[np.float64],
    asked: Rows,
) -> int:
    """Let the command `event` act on open rows for which a condition holds, in the order of `slots`.

    `condition` is its first one of `terms`, -1 for everybody.  Returns as `fold` does.
    """
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    for i in range(begin, slots.shape[0]):
        if _full(desk, effects, seen, asked):
            return i
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        row = rows[slots[i]]
        if not find_all(row, tables, desk):
            return i
        at_work(desk, slots[i], event, BY_EVENT, 0)
        desk.control, desk.off = in_control(row.id_hash, policy), 0
        move(row, policy, tables, desk, effects, seen, asked, tick, False)
        if condition >= 0:
            score(row, policy, desk)
            features(row, policy, desk)
            if not holds(terms, condition, desk.features):
                continue
        if _unwilling(row, op, desk.control) == DONE:
            _obey(row, policy, tables, desk, effects, seen, asked, op, 0)
    return slots.shape[0]  # type: ignore[no-any-return]
