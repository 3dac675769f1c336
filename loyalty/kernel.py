"""The fold itself: one plain loop over events in log order, compiled, numbers in and numbers out.

docs/semantics.md and docs/game.md say what each step does and in which order.  Names, JSON and the side table
are the engine's; content comes as arrays, so that new content compiles nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS, MINUTE_MS, day_of, last_refresh, month_of
from loyalty.columns import (
    ADJUST_OP,
    ADJUSTED,
    ANEW,
    AWARD_OP,
    BACKFILL,
    BAND,
    BY_END,
    BY_EVENT,
    BY_LINK,
    BY_OPT_OUT,
    BY_REFRESH,
    BY_SETTLE,
    BY_TICK,
    CAN_LINK,
    CANCELLED,
    CLOSED,
    DONE,
    DUPLICATES,
    EFFECTS_ROOM,
    FORFEITED,
    GENERATE_OP,
    GRANT,
    IGNORED_BEFORE,
    IGNORED_ENDED,
    IGNORED_ERASED,
    IN_CONTROL,
    INSUFFICIENT_POINTS,
    LINK,
    MONEY_WINDOW,
    MOVED,
    NEVER,
    OF_COMMAND,
    OF_END,
    OF_REFUND,
    OPEN_GRANTS,
    OPT_IN_OP,
    OPT_OUT_OP,
    OPTED_OUT,
    OTHER_WINDOW,
    PUBLICATION,
    PUBLISHED,
    RECALCULATE,
    RECALCULATE_OP,
    REDEEM_OP,
    REDEEMED,
    REFRESH,
    REFUSED,
    REFUSED_MISSION,
    REKEY,
    REPLACED,
    RESET,
    RESULT,
    REVERSED,
    SEEN_ROOM,
    SET_PROFILE,
    SWEEP_DAYS,
    UNKNOWN_CUSTOMER,
    Effects,
    Record,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled, prefetch
from loyalty.counters import count, join, known, remember, set_profile, shift
from loyalty.emit import at_work, effect
from loyalty.events import CODES
from loyalty.features import fill_features
from loyalty.missions import (
    award_badges,
    cool,
    earn_points,
    end_all,
    find_all,
    generate,
    holds,
    join_cooling,
    next_due,
    progress,
    settle,
    start,
)
from loyalty.missions import tell as tell_mission
from loyalty.missions import free as free_mission
from loyalty.points import add, balance, expire, held, owe, retier, take, take_back, tell_points
from loyalty.policy import IS_MONEY, IS_USAGE
from loyalty.row import (
    ACTIVE,
    BADGE_WORDS,
    COMPLETED_WORDS,
    COOLING,
    ENDED,
    FORMAT,
    FREE,
    LINKED,
    LOTS,
    NO,
    NO_TIME,
    NONE,
    OPEN,
    SLOTS,
    WAITING,
    YES,
)
from loyalty.scores import score

_ACTIVATION, _PROFILE_UPDATE = CODES["activation"], CODES["profile_update"]
_OPT_IN, _OPT_OUT = CODES["opt_in"], CODES["opt_out"]
_LINK, _ENDED = CODES["customer_link"], CODES["customer_ended"]
_COMMAND = CODES["_command"]
_1, _2, _27, _30, _31 = np.uint64(1), np.uint64(2), np.uint64(27), np.uint64(30), np.uint64(31)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

AHEAD = 2  # rows that are fetched while another is worked on


@compiled
def in_control(id_hash: int, policy: Record) -> bool:
    """Whether a customer is in the universal control group."""
    if policy.control_share <= 0:
        return False
    z = np.uint64(id_hash) ^ np.uint64(policy.control_salt)
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    z ^= z >> _31
    return (z >> np.uint64(11)) * 2.0**-53 < policy.control_share


@compiled
def _publish(row: Record, desk: Record, effects: Effects, reason: int) -> None:
    """Publish the scores that stand on the desk."""
    new = effect(row, desk, effects, PUBLICATION, reason)
    for i in range(5):
        row.published[i] = desk.scores[i]
        new.scores[i] = desk.scores[i]
    desk.counts[PUBLISHED] += 1


@compiled
def _moved(row: Record, policy: Record, desk: Record) -> int:
    """The reason to publish the scores on the desk, -1 where none moved by a step or crossed a band."""
    moved = crossed = False
    for i in range(5):
        new, old = desk.scores[i], row.published[i]
        if new != old:
            moved = moved or abs(new - old) >= policy.step
            crossed = crossed or policy.bands[new] != policy.bands[old]
    return MOVED if moved else BAND if crossed else -1


@compiled
def _features(row: Record, policy: Record, desk: Record) -> None:
    fill_features(row, policy, desk.measures, desk.scores, desk.features)


@compiled
def _open(row: Record, policy: Record, at: int, id_hash: int) -> None:
    row.format, row.state, row.as_of = FORMAT, OPEN, at
    row.id_hash = id_hash
    row.day = day_of(at, policy.calendar)
    row.month = month_of(row.day)
    minute = np.int64(np.uint64(id_hash) % np.uint64(1440))
    row.due = row.next_refresh = last_refresh(at, minute) + DAY_MS


@compiled
def _close(row: Record, state: int) -> None:
    row.state, row.due, row.next_refresh = state, NO_TIME, NO_TIME


@compiled
def _refresh(
    row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any, at: int
) -> None:
    minute = row.next_refresh % DAY_MS // MINUTE_MS
    row.as_of = max(row.as_of, at)
    shift(row, day_of(row.as_of, policy.calendar))
    score(row, policy, desk)
    # Expired points are no feature any more, so that it does not matter when they go.
    expire(row, desk, effects)
    if row.open_grants:
        effect(row, desk, effects, OPEN_GRANTS, 0).balance = balance(row)
    if policy.game and row.opted != NO and not desk.off:
        _features(row, policy, desk)
        award_badges(row, policy, tables, desk, effects, seen)
        generate(row, policy, tables, desk, effects, seen)
    retier(row, policy, desk, effects)
    _publish(row, desk, effects, REFRESH)
    known_for = at - row.first_event
    effects[desk.filled - 1].sweep = known_for > MONEY_WINDOW and (at // DAY_MS + minute) % SWEEP_DAYS == 0
    row.next_refresh = at + DAY_MS


@compiled
def _move(
    row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any, to: int, stop: bool
) -> None:
    """Bring an open row to a time: what is due by then, in its order, and unless `stop` the time itself."""
    cause, caused_at = desk.cause, desk.caused_at
    while row.due <= to:
        refresh = (
            last_refresh(to, row.next_refresh % DAY_MS // MINUTE_MS) if row.next_refresh <= to else NO_TIME
        )
        slot, at = -1, refresh
        for i in range(SLOTS):
            if row.mission_status[i] == ACTIVE:
                ends = np.int64(row.mission_ends[i]) * 1000 + tables.rules[desk.rules[i]].grace
                if ends <= to and (ends < at or (ends == at and slot < 0)):
                    slot, at = i, ends
        desk.caused_at = at
        if slot >= 0:
            desk.cause = BY_SETTLE
            row.as_of = max(row.as_of, at)
            shift(row, day_of(row.as_of, policy.calendar))
            settle(row, policy, tables, slot, desk, effects, seen)
        else:
            desk.cause = BY_REFRESH
            _refresh(row, policy, tables, desk, effects, seen, at)
        row.due = next_due(row, tables, desk)
    desk.cause, desk.caused_at = cause, caused_at
    if not stop:
        row.as_of = max(row.as_of, to)
        shift(row, day_of(row.as_of, policy.calendar))


@compiled
def _opt_out(row: Record, desk: Record, effects: Effects) -> None:
    end_all(row, desk, effects, CANCELLED, BY_OPT_OUT)
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
    if (op == GENERATE_OP or op == AWARD_OP) and row.opted == NO:
        return OPTED_OUT
    return IN_CONTROL if (op == ADJUST_OP or op == REDEEM_OP) and control else DONE


@compiled
def _obey(
    row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any, op: int, points: int
) -> int:
    """What a command does to an open row that stands at the tick; its status."""
    if op == RECALCULATE_OP:
        score(row, policy, desk)
        _publish(row, desk, effects, RECALCULATE)
        return DONE
    if op == OPT_IN_OP:
        row.opted = YES
        return DONE
    if op == OPT_OUT_OP:
        _opt_out(row, desk, effects)
        row.due = next_due(row, tables, desk)
        return DONE
    status = DONE
    if op == ADJUST_OP or op == REDEEM_OP:
        status = _adjust(row, policy, desk, effects, points, op)
    else:
        score(row, policy, desk)
        _features(row, policy, desk)
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
    """Let an event move missions, bring points and badges, and make room for new missions."""
    desk.words[0] = event.value / policy.scales[event.kind]
    for i in range(1, desk.words.shape[0]):
        desk.words[i] = words[event.words, i] if event.words >= 0 and i < words.shape[1] else np.nan
    _features(row, policy, desk)
    progress(row, policy, tables, event, desk, effects, seen)
    earn_points(row, policy, tables, event, desk, effects)
    award_badges(row, policy, tables, desk, effects, seen)
    generate(row, policy, tables, desk, effects, seen)
    retier(row, policy, desk, effects)


@compiled
def fold(
    rows: Rows,
    events: NDArray[np.void],
    begin: int,
    profiles: NDArray[np.void],
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
) -> int:
    """Fold events (EVENT, in log order) and commands for one customer into rows (by slot), from `begin` on.

    `entries` are the times of side entries by key (NEVER: none); `remembered` marks those that changed,
    `touched` the events that changed their row.  `profiles` are PROFILE, `words` event features, `links` takes
    rows that were linked.  Returns the first event not folded: there is no room for more effects, or rules of
    the revision `desk.needed` are wanted.
    """
    policy, desk = policies[0], desks[0]
    counts = desk.counts
    desk.needed = -1
    for e in range(begin, events.shape[0]):
        if desk.filled + EFFECTS_ROOM > effects.shape[0] or desk.seen + SEEN_ROOM > seen.shape[0]:
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
                    _move(row, policy, tables, desk, effects, seen, tick, False)
                    status = _obey(row, policy, tables, desk, effects, seen, event.op, event.value)
                if status == DONE:
                    entries[event.key] = row.as_of
                    remembered[event.key] = True
            effect(row, desk, effects, RESULT, status)
            continue

        row = rows[slot]
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
            _open(row, policy, at, event.id_hash)
            if event.flag & ANEW:
                row.opened_at = at
        else:
            _move(row, policy, tables, desk, effects, seen, at, False)
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
            if left:
                tell_points(row, desk, effects, FORFEITED, OF_END, -left, 0)
            _close(row, ENDED)
        elif kind == _LINK:
            if event.flag & CAN_LINK:
                end_all(row, desk, effects, REPLACED, BY_LINK)
                row.due = row.next_refresh
                links[event.extra] = row
                owe(row, desk, -1)
                row.open_grants = 0
                _close(row, LINKED)
                effect(row, desk, effects, LINK, 0)
            else:
                counts[REFUSED] += 1
        if row.state == OPEN:
            score(row, policy, desk)
            if policy.game and row.opted != NO and not desk.off:
                _play(row, policy, tables, event, words, desk, effects, seen)
            row.due = next_due(row, tables, desk)
            reason = _moved(row, policy, desk)
            if reason >= 0:
                _publish(row, desk, effects, reason)
    return events.shape[0]


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
) -> int:
    """Move open rows, in the order of `slots` from `begin` on, by a tick.  Returns as `fold` does."""
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    for i in range(begin, slots.shape[0]):
        if desk.filled + EFFECTS_ROOM > effects.shape[0] or desk.seen + SEEN_ROOM > seen.shape[0]:
            return i
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        row = rows[slots[i]]
        if not find_all(row, tables, desk):
            return i
        at_work(desk, slots[i], -1, BY_TICK, at)
        desk.control, desk.off = in_control(row.id_hash, policy), 0
        _move(row, policy, tables, desk, effects, seen, at, not everyone)
        if everyone:
            score(row, policy, desk)
            reason = _moved(row, policy, desk)
            if reason >= 0:
                _publish(row, desk, effects, reason)
    return slots.shape[0]


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
) -> int:
    """Let the command `event` act on open rows for which a condition holds, in the order of `slots`.

    `condition` is its first one of `terms`, -1 for everybody.  Returns as `fold` does.
    """
    policy, desk = policies[0], desks[0]
    desk.needed = -1
    for i in range(begin, slots.shape[0]):
        if desk.filled + EFFECTS_ROOM > effects.shape[0] or desk.seen + SEEN_ROOM > seen.shape[0]:
            return i
        if i + AHEAD < slots.shape[0]:
            prefetch(rows[slots[i + AHEAD]])
        row = rows[slots[i]]
        if not find_all(row, tables, desk):
            return i
        at_work(desk, slots[i], event, BY_EVENT, 0)
        desk.control, desk.off = in_control(row.id_hash, policy), 0
        _move(row, policy, tables, desk, effects, seen, tick, False)
        if condition >= 0:
            score(row, policy, desk)
            _features(row, policy, desk)
            if not holds(terms, condition, desk.features):
                continue
        if _unwilling(row, op, desk.control) == DONE:
            _obey(row, policy, tables, desk, effects, seen, op, 0)
    return slots.shape[0]


@compiled
def take_back_grants(
    rows: Rows, slot: int, event: int, points: NDArray[np.int64], months: NDArray[np.int64],
    offers: NDArray[np.int64], was_open: NDArray[np.bool_], policies: NDArray[np.void],
    desks: NDArray[np.void], effects: Effects,
) -> None:  # fmt: skip
    """Undo grants of a refunded event: points of a lot's month, or an offer (0 or more) and whether it was open."""
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
    tables: Any, desks: NDArray[np.void], effects: Effects, seen: NDArray[np.float64],
) -> int:  # fmt: skip
    """Begin or give up a mission that waits for its reservation; 1 done, 0 nobody waits, -1 rules are wanted."""
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
    _move(row, policy, tables, desk, effects, seen, at, False)
    if granted:
        start(row, desk, effects, waiting, tables.rules[desk.rules[waiting]])
    else:
        tell_mission(row, desk, effects, waiting, REFUSED_MISSION, 0)
        free_mission(row, desk, waiting)
        cool(row, policy, tables, template, 1, 0)
    row.due = next_due(row, tables, desk)
    return 1


@compiled
def merge(
    rows: Rows, slot: int, event: int, at: int, id_hash: int, carried_rows: Rows, profile: NDArray[np.void],
    policies: NDArray[np.void], tables: Any, desks: NDArray[np.void], effects: Effects, seen: NDArray[np.float64],
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
        _open(row, policy, to, id_hash)
    else:
        _move(row, policy, tables, desk, effects, seen, to, False)
    join(row, carried, desk.counts)
    _join_game(row, carried, policy, tables, desk)
    set_profile(row, profile[0])
    if row.opted == 0:
        row.opted = carried.opted
    row.due = next_due(row, tables, desk)
    score(row, policy, desk)
    reason = _moved(row, policy, desk)
    if reason >= 0:
        _publish(row, desk, effects, reason)
    return True


@compiled
def _capped(there: Any, more: Any, most: int) -> int:
    return min(np.int64(there) + np.int64(more), most)


@compiled
def _join_game(row: Record, carried: Record, policy: Record, tables: Any, desk: Record) -> None:
    """Add what was won by a customer who becomes this one; both rows stand at the same day."""
    for i in range(LOTS):
        if carried.lot_month[i]:
            add(row, desk, carried.lot_points[i], carried.lot_month[i])
    debt = np.int64(carried.debt)
    row.debt = _capped(row.debt, debt - take(row, desk, debt), 2**32 - 1)
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
