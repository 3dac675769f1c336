"""How a row moves through time: missions settle, quiet hours end, scores go out, models are asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import DAY_MS, MINUTE_MS, day_of, last_refresh, month_of
from loyalty.campaigns import campaign, send_held
from loyalty.columns import (
    ASK,
    BAND,
    BY_HELD,
    BY_REFRESH,
    BY_SETTLE,
    DAILY,
    INLINE,
    MONEY_WINDOW,
    MOVED,
    OPEN_GRANTS,
    PUBLICATION,
    PUBLISHED,
    REFRESH,
    SWEEP_DAYS,
    Effects,
    Record,
    Rows,
)  # fmt: skip
from loyalty.compiled import compiled
from loyalty.counters import shift
from loyalty.emit import effect
from loyalty.features import fill_features
from loyalty.generation import generate
from loyalty.hashing import mix
from loyalty.missions import settle
from loyalty.points import balance, expire, retier
from loyalty.rewards import award_badges
from loyalty.row import (
    ACTIVE,
    ENTRIES,
    FORMAT,
    HELD,
    NO,
    NO_TIME,
    OPEN,
    SLOTS,
)
from loyalty.scores import score
from loyalty.slots import next_due


@compiled
def in_control(id_hash: int, policy: Record) -> bool:
    """Whether a customer is in the universal control group."""
    if policy.control_share <= 0:
        return False
    z = mix(np.uint64(id_hash) ^ np.uint64(policy.control_salt))
    return (z >> np.uint64(11)) * 2.0**-53 < policy.control_share  # type: ignore[no-any-return]


@compiled
def publish(row: Record, desk: Record, effects: Effects, reason: int) -> None:
    """Publish the scores that stand on the desk."""
    new = effect(row, desk, effects, PUBLICATION, reason)
    for i in range(5):
        row.published[i] = desk.scores[i]
        new.scores[i] = desk.scores[i]
    desk.counts[PUBLISHED] += 1


@compiled
def moved(row: Record, policy: Record, desk: Record) -> int:
    """The reason to publish the scores on the desk, -1 where none moved by a step or crossed a band."""
    moved = crossed = False
    for i in range(5):
        new, old = desk.scores[i], row.published[i]
        if new != old:
            moved = moved or abs(new - old) >= policy.step
            crossed = crossed or policy.bands[new] != policy.bands[old]
    return MOVED if moved else BAND if crossed else -1


@compiled
def features(row: Record, policy: Record, desk: Record) -> None:
    """Put the features of a row on the desk, where its scores stand."""
    fill_features(row, policy, desk.measures, desk.scores, desk.features)


@compiled
def ask(row: Record, desk: Record, effects: Effects, asked: Rows, sets: int) -> None:
    """Hand out a row, whose scores stand on the desk, to sets of models."""
    if sets & INLINE:
        row.inline_asked = row.as_of
        for i in range(3):
            row.asked_scores[i] = desk.scores[i]
        row.asked_scores[3] = desk.scores[4]
    if sets & DAILY:
        row.daily_asked = row.as_of
    effect(row, desk, effects, ASK, sets)
    asked[desk.asked] = row
    desk.asked += 1


@compiled
def ask_if_moved(row: Record, policy: Record, desk: Record, effects: Effects, asked: Rows) -> None:
    """At the end of an event: ask the inline models, if it was long ago or scores have moved since."""
    if not policy.predicts or desk.off:
        return
    if (
        row.as_of - row.inline_asked >= policy.ask_after
        or abs(desk.scores[0] - row.asked_scores[0]) >= policy.ask_step
        or abs(desk.scores[1] - row.asked_scores[1]) >= policy.ask_step
        or abs(desk.scores[2] - row.asked_scores[2]) >= policy.ask_step
        or abs(desk.scores[4] - row.asked_scores[3]) >= policy.ask_step
    ):
        ask(row, desk, effects, asked, INLINE)


@compiled
def open_row(row: Record, policy: Record, at: int, id_hash: int) -> None:
    """Begin a row."""
    row.format, row.state, row.as_of = FORMAT, OPEN, at
    row.id_hash = id_hash
    row.inline_asked = at
    row.day = day_of(at, policy.calendar)
    row.month = month_of(row.day)
    minute = np.int64(np.uint64(id_hash) % np.uint64(1440))
    row.due = row.next_refresh = last_refresh(at, minute) + DAY_MS  # type: ignore[arg-type]


@compiled
def close(row: Record, state: int) -> None:
    """End a row, or link it."""
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
    on = row.opted != NO and not desk.off
    if on and (policy.game or policy.campaigns):
        features(row, policy, desk)
    if on and policy.game:
        award_badges(row, policy, tables, desk, effects, seen)
        generate(row, policy, tables, desk, effects, seen)
    retier(row, policy, desk, effects)
    if on and policy.campaigns:
        campaign(row, policy, tables, 0, 0, True, desk, effects, seen)
    publish(row, desk, effects, REFRESH)
    known_for = at - row.first_event
    effects[desk.filled - 1].sweep = known_for > MONEY_WINDOW and (at // DAY_MS + minute) % SWEEP_DAYS == 0
    row.next_refresh = at + DAY_MS


@compiled
def move(
    row: Record, policy: Record, tables: Any, desk: Record, effects: Effects, seen: Any, asked: Rows, to: int,
    stop: bool,
) -> None:  # fmt: skip
    """Bring an open row to a time: what is due by then, in its order, and unless `stop` the time itself."""
    cause, caused_at = desk.cause, desk.caused_at
    while row.due <= to:
        refresh = (
            last_refresh(to, row.next_refresh % DAY_MS // MINUTE_MS) if row.next_refresh <= to else NO_TIME
        )
        slot, entry, at = -1, -1, refresh
        for i in range(SLOTS):
            if row.mission_status[i] == ACTIVE:
                ends = np.int64(row.mission_ends[i]) * 1000 + tables.rules[desk.rules[i]].grace
                if ends <= to and (ends < at or (ends == at and slot < 0)):
                    slot, at = i, ends
        for i in range(ENTRIES):
            if row.campaign_status[i] == HELD:
                until = np.int64(row.campaign_until[i]) * 1000
                if until <= to and (until < at or (until == at and slot < 0 and entry < 0)):
                    slot, entry, at = -1, i, until  # type: ignore[assignment]
        desk.caused_at = at
        if slot >= 0:
            desk.cause = BY_SETTLE
            row.as_of = max(row.as_of, at)
            shift(row, day_of(row.as_of, policy.calendar))
            settle(row, policy, tables, slot, desk, effects, seen)
        elif entry >= 0:
            desk.cause = BY_HELD
            row.as_of = max(row.as_of, at)
            shift(row, day_of(row.as_of, policy.calendar))
            send_held(row, policy, tables, entry, desk, effects)
        else:
            desk.cause = BY_REFRESH
            _refresh(row, policy, tables, desk, effects, seen, at)
        row.due = next_due(row, tables, desk)
        if slot < 0 and entry < 0 and policy.predicts and not desk.off:
            ask(row, desk, effects, asked, INLINE | DAILY if row.last_activity > row.daily_asked else INLINE)
    desk.cause, desk.caused_at = cause, caused_at
    if not stop:
        row.as_of = max(row.as_of, to)
        shift(row, day_of(row.as_of, policy.calendar))
