"""The life of missions, compiled: given, moved by events, completed, settled, replaced, and what they bring.

docs/game.md says what each step does.  A mission's rule is found by the revision that gave it; the desk holds
the rules of the row at work.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import DAY_MS, day_of, week_of
from loyalty.columns import (
    AWARDED_COUNT,
    BADGE,
    BY_PRIORITY,
    BY_REWARD,
    COMPLETED,
    COMPLETED_COUNT,
    EARNED,
    EXPIRED,
    EXPIRED_COUNT,
    GIVEN,
    GIVEN_COUNT,
    GRANT,
    MISSION,
    NO_REASON,
    OF_BADGE,
    OF_EARNING,
    OF_MISSION,
    OFFER,
    POINTS,
    PROGRESS,
    REPLACED,
    RESERVED,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.conditions import AT_LEAST, AT_MOST, DIFFERENT, EQUAL, HOLDS, KNOWN, LESS, MORE
from loyalty.emit import effect, see
from loyalty.features import bit
from loyalty.game import ACTIVE as MOST_ACTIVE
from loyalty.game import MISSION_DAYS, ONBOARDING
from loyalty.points import balance, earn, tell_points
from loyalty.row import ACTIVE, COMPLETED_WORDS, COOLING, FREE, MARK_WORDS, SLOTS, WAITING
from loyalty.rules import BY_TYPE, COUNT, DISTINCT, FIRST, INACTIVITY, SHARE, SUM, WEEKS_KIND

U4 = 2**32 - 1
_BITS = 64 * MARK_WORDS
assert MOST_ACTIVE == SLOTS and MISSION_DAYS <= _BITS


@compiled
def find(tables: Any, revision: int, number: int) -> int:
    """The rule of a template in a revision, -1 where nobody has asked for it yet."""
    mask = tables.lookup.shape[0] - 1
    at = (revision * 2_654_435_761 + number * 40_503) & mask
    while tables.lookup[at] >= 0:
        rule = tables.lookup[at]
        if tables.rules[rule].number == number and tables.rules[rule].revision == revision:
            return rule
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
    """When something of an open row is due: its refresh, or a mission to settle."""
    due = row.next_refresh
    for slot in range(SLOTS):
        if row.mission_status[slot] == ACTIVE:
            due = min(due, np.int64(row.mission_ends[slot]) * 1000 + tables.rules[desk.rules[slot]].grace)
    return due


# -- telling -----------------------------------------------------------------------------------------


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


# -- cooling down ------------------------------------------------------------------------------------


@compiled
def _reusable(row: Record, policy: Record, tables: Any, entry: int) -> bool:
    number = row.cooling_template[entry]
    if number == 0:
        return True
    if row.cooling_until[entry] > row.day:
        return False
    rule = find(tables, policy.revision, number)
    return rule < 0 or tables.rules[rule].per_customer == 0


@compiled
def cooling_entry(row: Record, policy: Record, tables: Any, number: int) -> int:
    """The entry that a template's cooldown takes: its own, a reusable one, or the one that ends first."""
    for entry in range(COOLING):
        if row.cooling_template[entry] == number:
            return entry
    least = 0
    for entry in range(COOLING):
        if _reusable(row, policy, tables, entry):
            return entry
        if row.cooling_until[entry] < row.cooling_until[least]:
            least = entry
    return least


@compiled
def cool(row: Record, policy: Record, tables: Any, number: int, days: int, completed: int) -> None:
    """Keep a template away from its customer for some days."""
    entry = cooling_entry(row, policy, tables, number)
    if row.cooling_template[entry] != number:
        row.cooling_template[entry], row.cooling_times[entry] = number, 0
    row.cooling_until[entry] = min(row.day + days, 65_535)
    row.cooling_times[entry] = min(row.cooling_times[entry] + completed, 255)


@compiled
def join_cooling(row: Record, policy: Record, tables: Any, number: int, until: int, times: int) -> None:
    """Take over a cooldown of another row, if there is room."""
    for entry in range(COOLING):
        if _reusable(row, policy, tables, entry):
            row.cooling_template[entry], row.cooling_until[entry] = number, until
            row.cooling_times[entry] = times
            return


# -- rewards and badges ------------------------------------------------------------------------------


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
def _reward(
    row: Record, policy: Record, tables: Any, rule: Record, progress: int, target: int, started: int, desk: Record,
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
    _reward(row, policy, tables, rule, progress, target, started, desk, effects, seen)


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
        return progress >= target and among >= rule.at_least
    if goal == COUNT or goal == FIRST:
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
        progress = _join_distinct(row.marks, slot, hash_)
    else:
        began = day_of(np.int64(row.mission_started[slot]) * 1000, policy.calendar)
        day = day_of(event.at, policy.calendar)
        at = week_of(day) - week_of(began) if goal == WEEKS_KIND else day - began
        if not 0 <= at < _BITS or bit(row.marks[slot], at):
            return False
        row.marks[slot, at // 64] |= np.uint64(1) << np.uint64(at % 64)
        if goal == INACTIVITY:
            row.mission_progress[slot] = _reached(row.marks, slot, rule.gap)
            return False
        progress = _longest_run(row.marks, slot)
    row.mission_progress[slot] = min(progress, U4)
    return row.mission_progress[slot] >= target


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


@compiled
def earn_points(row: Record, policy: Record, tables: Any, event: Any, desk: Record, effects: Effects) -> None:
    """Points for what was paid."""
    kind_bit = np.uint64(1) << np.uint64(event.kind)
    for n in range(tables.earnings.shape[0]):
        rule = tables.earnings[n]
        if rule.types & kind_bit and holds(tables.terms, rule.where, desk.words):
            points = np.int64(min(np.floor(desk.words[0] * rule.rate), U4))
            if points >= 1 and not desk.control:
                new = _points(row, policy, desk, effects, points, OF_EARNING)
                new.number = rule.number


# -- generation --------------------------------------------------------------------------------------


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
        return min(rule.value * rule.scale, U4)
    level = features[rule.baseline] if rule.baseline >= 0 else 0.0
    if level != level:
        level = 0.0
    if rule.window > 0:
        level = level * rule.duration / rule.window
    wanted = np.int64(np.rint(min(level * rule.stretch, 1e12)))
    return min(min(max(_nice(max(wanted, 1)), rule.low), rule.high) * rule.scale, U4)


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
def eligible(row: Record, rule: Record, tables: Any, features: Any) -> bool:
    """What a template asks for, besides a slot and that it does not cool."""
    if rule.per_customer > 0:
        for entry in range(COOLING):
            if row.cooling_template[entry] == rule.number and row.cooling_times[entry] >= rule.per_customer:
                return False
    for i in range(COMPLETED_WORDS):
        if rule.after[i] & ~row.completed[i]:
            return False
    if rule.goal == FIRST:
        for code in range(row.types.shape[0]):
            if row.types[code] and (rule.types >> np.uint64(code)) & np.uint64(1):
                return False
    return holds(tables.terms, rule.eligibility, features)


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
    can_cool = False
    for entry in range(COOLING):
        can_cool = can_cool or _reusable(row, policy, tables, entry)
    if not can_cool:
        return
    _block(row, desk)
    for n in range(tables.order.shape[0]):
        number = tables.order[n]
        rule = tables.rules[number]
        if not room and rule.priority <= tables.rules[desk.rules[least]].priority:
            return  # nor is any that follows higher
        if desk.blocked[rule.number] or (rule.onboarding and onboarding >= ONBOARDING):
            continue
        if not eligible(row, rule, tables, desk.features):
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
