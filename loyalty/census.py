"""How many of many customers fit: conditions, and one campaign, asked of rows as they stand.

It decides nothing.  Whoever edits a condition sees whom it means before it counts, and of a campaign what
stands in its way, customer by customer, first reason first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.campaigns import in_arm, place_for, too_often
from loyalty.columns import DESK
from loyalty.compiled import compiled
from loyalty.conditions import Term, parse, terms
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Campaign, Game, OnSchedule
from loyalty.generation import passes
from loyalty.moving import features, in_control
from loyalty.policy import Content, compile_policy
from loyalty.row import AT_REST, ENTRIES, NO, ROW, YES
from loyalty.rules import Rules, term_table
from loyalty.scores import score
from loyalty.slots import holds
from loyalty.vocabulary import INDEX, KINDS

#: What comes of a campaign's turn, the first that fits: it speaks, its control group, or why it may not.
REACH = (
    "treatment", "control", "opted_out", "universal_control", "audience", "consent", "running", "cooldown",
    "limit", "contacts", "dates", "no_entry",
)  # fmt: skip
(
    _TREATMENT, _CONTROL, _OPTED_OUT, _UNIVERSAL, _AUDIENCE, _CONSENT, _RUNNING, _COOLDOWN, _LIMIT,
    _CONTACTS, _DATES, _NO_ENTRY,
) = range(len(REACH))  # fmt: skip


@compiled
def _reach(row: Any, policy: Any, tables: Any, of: Any, features: Any) -> int:
    """What would come of a campaign's turn now."""
    if row.opted == NO:
        return _OPTED_OUT
    if in_control(row.id_hash, policy):
        return _UNIVERSAL
    if not passes(tables.gates[of.audience_gate], features) or not holds(tables.terms, of.audience, features):
        return _AUDIENCE
    if not of.service and row.consent != YES:
        return _CONSENT
    for entry in range(ENTRIES):
        if row.campaign[entry] == of.number:
            if row.campaign_status[entry] != AT_REST:
                return _RUNNING
            if row.day < np.int64(row.campaign_day[entry]) + of.cooldown:
                return _COOLDOWN
            if of.per_customer > 0 and row.campaign_times[entry] >= of.per_customer:
                return _LIMIT
    if not of.service and too_often(row, policy):
        return _CONTACTS
    if of.valid_from > row.as_of or (of.valid_to > 0 and row.as_of >= of.valid_to):
        return _DATES
    if place_for(row, policy, tables, of, features) < 0:
        return _NO_ENTRY
    return _CONTROL if in_arm(row, of) else _TREATMENT


@compiled
def _count(
    rows: Any, policies: Any, tables: Any, desks: Any, terms: Any, firsts: Any, place: int, fits: Any,
    reach: Any,
) -> None:  # fmt: skip
    policy, desk = policies[0], desks[0]
    for n in range(rows.shape[0]):
        row = rows[n]
        score(row, policy, desk)
        features(row, policy, desk)
        for i in range(firsts.shape[0]):
            fits[i] += holds(terms, firsts[i], desk.features)
        if place >= 0:
            reach[_reach(row, policy, tables, tables.campaigns[place], desk.features)] += 1


def census(
    rows: NDArray[np.void], content: Content, revision: int, conditions: Sequence[str], campaign: int = 0
) -> tuple[list[int], dict[str, int]]:
    """How many of these open rows each condition holds of; and by REACH, what a campaign would come to.

    A campaign is taken as if it were switched on; 0: none is asked.  Raises ConditionError; LookupError
    where the content has no such campaign.
    """
    found: list[Term] = []
    firsts: list[int] = []
    for text in conditions:
        own = terms(parse(text, KINDS), lambda name, kind: INDEX[name])
        firsts.append(len(found) if own else -1)
        first = len(found)
        found += [
            each._replace(
                then=each.then + first if each.then >= 0 else each.then,
                otherwise=each.otherwise + first if each.otherwise >= 0 else each.otherwise,
            )
            for each in own
        ]
    game = content.game
    if campaign and not any(each.number == campaign for each in game.campaigns):
        raise LookupError(f"the catalog has no campaign {campaign}")
    campaigns = [
        msgspec.structs.replace(each, active=True) if each.number == campaign else each
        for each in game.campaigns
    ]
    tried = _Tried(
        content.decisions, content.policy, Game(campaigns=campaigns, contact=game.contact),
        content.predictions,
    )  # fmt: skip
    policy, tables = compile_policy(tried, revision), Rules(lambda _: tried, [revision]).tables
    place = int(policy["campaign_at"][0, campaign]) if campaign else -1
    fits, reach = np.zeros(len(conditions), np.int64), np.zeros(len(REACH), np.int64)
    _count(
        rows, policy, tables, np.zeros(1, DESK), term_table(found), np.array(firsts, np.int64), place, fits,
        reach,
    )  # fmt: skip
    return fits.tolist(), dict(zip(REACH, reach.tolist(), strict=True)) if campaign else {}


class _Tried(msgspec.Struct):
    """A content with another game."""

    decisions: Decisions
    policy: ScoringPolicy
    game: Game
    predictions: Predictions


def prepare() -> None:
    """Compile what this module adds to the fold, before somebody waits for it."""
    game = Game(campaigns=[Campaign(1, "one", OnSchedule())])
    content = _Tried(Decisions(), ScoringPolicy(), game, Predictions())
    census(np.zeros(1, ROW), content, 0, ["risk > 1"], 1)
