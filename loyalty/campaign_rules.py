"""The campaigns of a revision as a table of numbers, the form in which compiled code reads them.

Only active ones stand in it: one that is switched off does what one that is gone does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.events import CODES
from loyalty.game import CAMPAIGNS, Campaign, OnCrossing, OnEvent
from loyalty.hashing import hash64

ON_EVENT, ON_CROSSING, ON_SCHEDULE = range(3)
ANY_DAY = 0b1111111

CAMPAIGN = np.dtype(
    [
        ("types", "u8"),  # of the events that trigger it, bit by code
        ("converts", "u8"),  # of those that count as converted
        ("salt", "u8"),  # of its control group
        ("valid_from", "i8"),  # ms
        ("valid_to", "i8"),  # ms, 0: open
        ("window", "i8"),  # ms
        ("control_share", "f8"),
        ("where", "i4"),  # first term, -1 none, as in those below
        ("when", "i4"),
        ("audience", "i4"),
        ("when_gate", "i4"),  # its place among the gates, as of the next one
        ("audience_gate", "i4"),
        ("converts_where", "i4"),
        ("cooldown", "i4"),  # days
        ("per_customer", "i4"),
        ("number", "i2"),
        ("kind", "u1"),
        ("weekdays", "u1"),  # bit 0 Monday
        ("service", "u1"),
        ("capped", "u1"),
    ],
    align=True,
)


def campaign_table(
    campaigns: Sequence[Campaign], condition: Callable[[str], int], filter_: Callable[[str, list[str]], int]
) -> NDArray[np.void]:
    """CAMPAIGNs in the order in which they are tried; the functions lay out conditions and filters."""
    active = _in_order(campaigns)
    table = np.zeros(len(active), CAMPAIGN)
    for to, campaign in zip(table, active, strict=True):
        trigger, converts = campaign.trigger, campaign.conversion
        to["where"] = to["when"] = -1
        if isinstance(trigger, OnEvent):
            to["kind"], to["types"] = ON_EVENT, _mask(trigger.types)
            to["where"] = filter_(trigger.where, trigger.types)
        elif isinstance(trigger, OnCrossing):
            to["kind"], to["when"] = ON_CROSSING, condition(trigger.when)
        else:
            to["kind"] = ON_SCHEDULE
            to["weekdays"] = sum(1 << (day - 1) for day in set(trigger.weekdays)) or ANY_DAY
        to["number"], to["service"] = campaign.number, campaign.service
        to["salt"] = hash64(f"campaign:{campaign.number}".encode())
        to["valid_from"], to["valid_to"] = campaign.valid_from, campaign.valid_to
        to["window"] = campaign.window_days * DAY_MS
        to["control_share"] = campaign.control_share
        to["audience"] = condition(campaign.audience)
        to["converts"] = _mask(converts.types)
        to["converts_where"] = filter_(converts.where, converts.types)
        to["cooldown"], to["per_customer"] = campaign.cooldown_days, campaign.per_customer
        to["capped"] = campaign.total > 0 or campaign.budget > 0
    return table


def _mask(types: list[str]) -> int:
    return sum(1 << CODES[name] for name in set(types))


def places(campaigns: Sequence[Campaign]) -> NDArray[np.int16]:
    """By number: where a campaign stands in its table, -1 nowhere."""
    found = np.full(CAMPAIGNS + 1, -1, np.int16)
    for place, campaign in enumerate(_in_order(campaigns)):
        found[campaign.number] = place
    return found


def _in_order(campaigns: Sequence[Campaign]) -> list[Campaign]:
    active = [campaign for campaign in campaigns if campaign.active]
    return sorted(active, key=lambda campaign: (-campaign.priority, campaign.number))
