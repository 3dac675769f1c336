"""Content of a revision as numbers and arrays, the form in which compiled code reads it.

New content makes new arrays and compiles nothing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import CALENDAR, calendar
from loyalty.campaign_rules import places
from loyalty.compiled import STAMP
from loyalty.content import COMPONENTS, Decisions, Predictions, ScoringPolicy
from loyalty.events import ACTIVITY, CODES, MONEY, SOURCE_TYPES, USAGE, scale
from loyalty.game import CAMPAIGNS, ZONES, Game
from loyalty.hashing import hash64, word_hash

# What an event type is, as bits of `traits`.
IS_USAGE, IS_MONEY, IS_ACTIVITY, IS_REVENUE, IS_TRANSACTION = 1, 2, 4, 8, 16

#: (score, component) by its index in measures, weights and `full_at`.
MEASURES = tuple((score, name) for score, names in COMPONENTS.items() for name in names)


class Content(Protocol):
    """What the fold needs of a catalog revision."""

    @property
    def decisions(self) -> Decisions: ...
    @property
    def policy(self) -> ScoringPolicy: ...
    @property
    def game(self) -> Game: ...
    @property
    def predictions(self) -> Predictions: ...


# In smallest units: a larger value is a mistake of the source's, and float64 holds this one.
VALUE_LIMIT = 10**15
TIERS = 16  # that there are at most

#: Fields by code have an entry for each event type code, those by component one for each of MEASURES.
POLICY = np.dtype(
    [
        ("scales", "i8", (256,)),  # by code: smallest units a canonical unit; of a _prediction: of its ltv
        ("floors", "i8", (256,)),  # by code: the least value
        ("weights", "f8", (len(MEASURES),)),  # by component
        ("full_at", "f8", (len(MEASURES),)),  # by component
        ("step", "f8"),  # hundredths
        ("currency", "f8"),  # minor units a unit
        ("calendar", CALENDAR),
        ("revision", "i8"),
        ("control_share", "f8"),
        ("control_salt", "u8"),
        ("valid_months", "i8"),
        ("ask_after", "i8"),  # ms
        ("ask_step", "f8"),  # hundredths
        ("tiers", "i8", (TIERS,)),  # points
        ("tier_count", "i8"),
        ("most", "i8"),  # contacts in `days`, 0: any number
        ("days", "i8"),
        ("quiet_from", "i8"),  # minutes of the local day
        ("quiet_to", "i8"),
        ("zones", CALENDAR, (ZONES,)),  # of customers with quiet hours of their own
        ("zone_words", "u4", (ZONES,)),  # by which they are known
        ("zone_count", "i8"),
        ("campaign_at", "i2", (CAMPAIGNS + 1,)),  # by number: its place in the table, -1 gone or off
        ("bands", "u2", (10_001,)),  # by score in hundredths: bands reached
        ("type_words", "u4", (256,)),  # by code: hash of the type's name
        ("traits", "u1", (256,)),  # by code
        ("game", "u1"),  # whether anything is to be won
        ("predicts", "u1"),  # whether models are asked
        ("campaigns", "u1"),  # whether there are any
        (f"stamp_{STAMP}", "u1"),  # so that no cache gives code of other sources
    ],
    align=True,
)


def compile_policy(content: Content, revision: int = 0) -> NDArray[np.void]:
    """The POLICY (1,) of a revision's content.  Raises ZoneInfoNotFoundError."""
    decisions, policy = content.decisions, content.policy
    result = np.zeros(1, POLICY)
    to = result[0]
    for trait, names in (
        (IS_USAGE, USAGE),
        (IS_MONEY, MONEY),
        (IS_ACTIVITY, ACTIVITY),
        (IS_REVENUE, policy.revenue_types),
        (IS_TRANSACTION, policy.transaction_types),
    ):
        for name in names:
            to["traits"][CODES[name]] |= trait
    to["scales"] = 1
    for name, code in CODES.items():
        to["type_words"][code] = word_hash(name)
    for name in SOURCE_TYPES:
        to["scales"][CODES[name]] = scale(name, decisions.currency_decimals)
        to["floors"][CODES[name]] = -VALUE_LIMIT if name in MONEY else 0
    to["scales"][CODES["_prediction"]] = 10**decisions.currency_decimals
    parts = [policy.scores[score][name] for score, name in MEASURES]
    to["weights"] = [part.weight for part in parts]
    to["full_at"] = [part.full_at for part in parts]
    to["step"] = policy.publish_step * 100
    to["currency"] = 10**decisions.currency_decimals
    to["calendar"] = calendar(decisions.timezone)[0]
    game = content.game
    to["revision"], to["control_share"] = revision, decisions.control_share
    to["control_salt"] = hash64(decisions.control_salt.encode())
    to["valid_months"], to["tier_count"] = game.points_valid_months, len(game.tiers)
    to["tiers"][: len(game.tiers)] = [tier.points for tier in game.tiers]
    active = [*(template.active for template in game.templates), *(badge.active for badge in game.badges)]
    to["game"] = any(active) or bool(game.earning)
    contact, to["campaigns"] = game.contact, bool(game.campaigns)
    to["most"], to["days"] = contact.most, contact.days
    to["quiet_from"], to["quiet_to"] = contact.quiet_from, contact.quiet_to
    to["zone_count"], to["campaign_at"] = len(contact.zones), places(game.campaigns)
    for n, zone in enumerate(contact.zones):
        to["zones"][n], to["zone_words"][n] = calendar(zone)[0], word_hash(zone)
    predictions = content.predictions
    to["predicts"], to["ask_after"] = predictions.enabled, predictions.hours * 3_600_000
    to["ask_step"] = predictions.step * 100
    for band in policy.bands:
        to["bands"] += np.arange(10_001) >= band * 100
    return result
