"""Campaigns, compiled: whose turn has come, who may be spoken to now, and what came of it.

docs/campaigns.md says what each step does and in which order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loyalty.calendar import MINUTE_MS, local
from loyalty.campaign_rules import ON_CROSSING, ON_EVENT
from loyalty.columns import (
    CAMPAIGN,
    CONVERTED,
    CONVERTED_COUNT,
    HELD_BACK,
    REFUSED_CAMPAIGN,
    RESERVED_CAMPAIGN,
    SENT,
    TRIGGERED,
    TRIGGERED_COUNT,
    Effects,
    Record,
)
from loyalty.compiled import compiled
from loyalty.emit import effect, see
from loyalty.generation import passes
from loyalty.hashing import mix
from loyalty.row import (
    AT_REST,
    CONTACTS,
    CONTROL,
    CROSSED_WORDS,
    ENTRIES,
    HELD,
    PENDING,
    TREATMENT,
    UNDER_WAY,
    YES,
)
from loyalty.slots import holds

DAY_MINUTES = 1440


@compiled
def clear(row: Record) -> None:
    """Forget all campaigns: the customer has left, or become another one."""
    for i in range(CONTACTS):
        row.contacts[i] = 0
    for i in range(CROSSED_WORDS):
        row.crossed[i] = 0
    for entry in range(ENTRIES):
        row.campaign[entry] = row.campaign_day[entry] = row.campaign_at[entry] = row.campaign_until[entry] = 0
        row.campaign_status[entry] = row.campaign_arm[entry] = row.campaign_times[entry] = 0


@compiled
def call_off(row: Record) -> None:
    """Send nothing that has not been sent: the customer has opted out."""
    for entry in range(ENTRIES):
        if row.campaign_status[entry] in (HELD, PENDING):
            row.campaign_status[entry] = AT_REST


@compiled
def quiet_until(row: Record, policy: Record) -> int:
    """The end (s) of the customer's quiet hours, 0 outside of them."""
    if policy.quiet_from == policy.quiet_to:
        return 0
    now = local(row.as_of, policy.calendar)
    for i in range(policy.zone_count):
        if policy.zone_words[i] == row.timezone:
            now = local(row.as_of, policy.zones[i])
            break
    minute = now // MINUTE_MS % DAY_MINUTES
    late, early = minute >= policy.quiet_from, minute < policy.quiet_to
    if (late and early) if policy.quiet_from < policy.quiet_to else (late or early):
        return row.as_of // MINUTE_MS * 60 + (policy.quiet_to - minute) % DAY_MINUTES * 60  # type: ignore[no-any-return]
    return 0


@compiled
def _tell(row: Record, desk: Record, effects: Effects, entry: int, what: int) -> Record:
    """An effect of a campaign as its entry stands."""
    new = effect(row, desk, effects, CAMPAIGN, what)
    new.number, new.month = row.campaign[entry], row.campaign_day[entry]
    new.level, new.target = row.campaign_arm[entry], row.language
    return new


@compiled
def _send(row: Record, desk: Record, effects: Effects, entry: int, what: int) -> Record:
    """A campaign speaks to its customer, or would."""
    row.campaign_at[entry] = row.as_of // 1000
    row.campaign_status[entry] = UNDER_WAY
    if not desk.control:
        desk.counts[TRIGGERED_COUNT] += 1
    return _tell(row, desk, effects, entry, what)


@compiled
def _deliver(row: Record, policy: Record, entry: int, service: int, desk: Record, effects: Effects) -> Record:
    """Send now, or hold back until the quiet hours are over."""
    until = 0 if service else quiet_until(row, policy)
    if until == 0:
        return _send(row, desk, effects, entry, TRIGGERED)
    row.campaign_at[entry] = row.as_of // 1000
    row.campaign_status[entry], row.campaign_until[entry] = HELD, until
    return _tell(row, desk, effects, entry, HELD_BACK)


@compiled
def send_held(row: Record, policy: Record, tables: Any, entry: int, desk: Record, effects: Effects) -> None:
    """The quiet hours of a customer are over."""
    place = policy.campaign_at[row.campaign[entry]]
    if place < 0 or _over(row, tables.campaigns[place]):
        row.campaign_status[entry] = AT_REST
    else:
        _send(row, desk, effects, entry, SENT)


@compiled
def _over(row: Record, campaign: Record) -> bool:
    return campaign.valid_to > 0 and row.as_of >= campaign.valid_to  # type: ignore[no-any-return]


@compiled
def pending(row: Record, number: int) -> int:
    """The entry of a campaign that waits for its account, -1 for none."""
    found = -1
    for entry in range(ENTRIES):
        if row.campaign[entry] == number and row.campaign_status[entry] == PENDING:
            found = entry
    return found


@compiled
def answer(
    row: Record, policy: Record, tables: Any, entry: int, granted: bool, desk: Record, effects: Effects
) -> bool:
    """What an account's answer does to an entry that waits for it; whether what was granted is taken."""
    row.campaign_status[entry] = AT_REST
    if not granted:
        row.campaign_times[entry] = max(row.campaign_times[entry] - 1, 0)
        _tell(row, desk, effects, entry, REFUSED_CAMPAIGN)
        return False
    place = policy.campaign_at[row.campaign[entry]]
    if place < 0 or _over(row, tables.campaigns[place]):
        return False
    if desk.control:
        row.campaign_at[entry] = row.as_of // 1000
        _tell(row, desk, effects, entry, TRIGGERED)
    else:
        _deliver(row, policy, entry, tables.campaigns[place].service, desk, effects)
    return True


# -- at an event, a refresh, a prediction ------------------------------------------------------------


@compiled
def _close(row: Record, policy: Record, tables: Any) -> None:
    """Let rest what nobody waits for any more."""
    for entry in range(ENTRIES):
        if row.campaign_status[entry] == UNDER_WAY:
            place = policy.campaign_at[row.campaign[entry]]
            since = row.as_of - np.int64(row.campaign_at[entry]) * 1000
            if place < 0 or since >= tables.campaigns[place].window:
                row.campaign_status[entry] = AT_REST


@compiled
def _convert(
    row: Record, policy: Record, tables: Any, kind_bit: Any, at: int, desk: Record, effects: Effects
) -> None:
    """Let an event be what campaigns have brought."""
    for entry in range(ENTRIES):
        if row.campaign_status[entry] != UNDER_WAY:
            continue
        campaign = tables.campaigns[policy.campaign_at[row.campaign[entry]]]
        since = at - np.int64(row.campaign_at[entry]) * 1000
        if not campaign.converts & kind_bit or not 0 <= since < campaign.window:
            continue
        if holds(tables.terms, campaign.converts_where, desk.words):
            row.campaign_status[entry] = AT_REST
            if not desk.control:
                desk.counts[CONVERTED_COUNT] += 1
                _tell(row, desk, effects, entry, CONVERTED)


@compiled
def _crosses(row: Record, tables: Any, n: int, features: Any) -> bool:
    """Whether the condition that a campaign waits for has just become true."""
    campaign = tables.campaigns[n]
    now = passes(tables.gates[campaign.when_gate], features) and holds(tables.terms, campaign.when, features)
    word, bit = campaign.number // 64, np.uint64(1) << np.uint64(campaign.number % 64)
    before = row.crossed[word] & bit != 0
    if now != before:
        row.crossed[word] ^= bit
    return now and not before


@compiled
def _entry(row: Record, policy: Record, tables: Any, campaign: Record) -> int:
    """The entry that a campaign may have now, -1 for none."""
    for entry in range(ENTRIES):
        if row.campaign[entry] == campaign.number:
            may = row.campaign_status[entry] == AT_REST and _cooled(row, campaign, entry)
            if campaign.per_customer > 0:
                may = may and row.campaign_times[entry] < campaign.per_customer
            return entry if may else -1
    for entry in range(ENTRIES):
        if row.campaign[entry] == 0:
            return entry
        if row.campaign_status[entry] == AT_REST:
            place = policy.campaign_at[row.campaign[entry]]
            if place < 0:
                return entry
            other = tables.campaigns[place]
            if other.per_customer == 0 and _cooled(row, other, entry):
                return entry
    return -1


@compiled
def _cooled(row: Record, campaign: Record, entry: int) -> bool:
    return row.day >= np.int64(row.campaign_day[entry]) + campaign.cooldown  # type: ignore[no-any-return]


@compiled
def too_often(row: Record, policy: Record) -> bool:
    contacts = 0
    for i in range(CONTACTS):
        contacts += np.int64(row.contacts[i]) > row.day - policy.days
    return policy.most > 0 and contacts >= policy.most  # type: ignore[no-any-return]


@compiled
def in_arm(row: Record, campaign: Record) -> bool:
    """Whether a customer is in the control group of a campaign."""
    z = mix(np.uint64(row.id_hash) ^ np.uint64(campaign.salt))
    return (z >> np.uint64(11)) * 2.0**-53 < campaign.control_share  # type: ignore[no-any-return]


@compiled
def place_for(row: Record, policy: Record, tables: Any, of: Record, features: Any) -> int:
    """The entry in which a campaign whose turn has come may speak to its customer, -1 if it may not."""
    if of.valid_from > row.as_of or _over(row, of):
        return -1
    if not of.service and (row.consent != YES or too_often(row, policy)):
        return -1
    if not passes(tables.gates[of.audience_gate], features) or not holds(tables.terms, of.audience, features):
        return -1
    return _entry(row, policy, tables, of)


@compiled
def _trigger(
    row: Record, policy: Record, campaign: Record, entry: int, desk: Record, effects: Effects, seen: Any
) -> None:
    """A campaign's turn has come, and its customer may be spoken to."""
    if row.campaign[entry] != campaign.number:
        row.campaign[entry], row.campaign_times[entry] = campaign.number, 0
    row.campaign_day[entry] = min(row.day, 65_535)
    row.campaign_times[entry] = min(row.campaign_times[entry] + 1, 255)
    row.campaign_at[entry], row.campaign_until[entry] = row.as_of // 1000, 0
    held_out = in_arm(row, campaign)
    row.campaign_arm[entry] = CONTROL if held_out else TREATMENT
    if not campaign.service:
        for i in range(CONTACTS - 1, 0, -1):
            row.contacts[i] = row.contacts[i - 1]
        row.contacts[0] = min(row.day, 65_535)
    if desk.control:
        row.campaign_status[entry] = AT_REST
        new = _tell(row, desk, effects, entry, TRIGGERED)
    elif held_out:
        new = _send(row, desk, effects, entry, TRIGGERED)
    elif campaign.capped:
        row.campaign_status[entry] = PENDING
        new = _tell(row, desk, effects, entry, RESERVED_CAMPAIGN)
    else:
        new = _deliver(row, policy, entry, campaign.service, desk, effects)
    see(desk, new, seen)


@compiled
def campaign(
    row: Record, policy: Record, tables: Any, kind: int, at: int, refresh: bool, desk: Record,
    effects: Effects, seen: Any,
) -> None:  # fmt: skip
    """Let campaigns see what has happened: an event of `kind` (else 0) that occurred `at`, or a refresh.

    Features stand on the desk, of an event its words, too.
    """
    _close(row, policy, tables)
    kind_bit = np.uint64(1) << np.uint64(kind)
    if kind:
        _convert(row, policy, tables, kind_bit, at, desk, effects)
    weekday = 1 << (row.day + 3) % 7
    for n in range(tables.campaigns.shape[0]):
        of = tables.campaigns[n]
        if of.kind == ON_EVENT:
            if not of.types & kind_bit or not holds(tables.terms, of.where, desk.words):
                continue
        elif of.kind == ON_CROSSING:
            if not _crosses(row, tables, n, desk.features):
                continue
        elif not refresh or not of.weekdays & weekday:
            continue
        entry = place_for(row, policy, tables, of, desk.features)
        if entry >= 0:
            _trigger(row, policy, of, entry, desk, effects, seen)
