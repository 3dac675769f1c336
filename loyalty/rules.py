"""The game of a revision as tables of numbers, the form in which compiled code reads it.

Running missions keep the goal of the revision that gave them, so the tables hold the rules of every revision
that somebody still needs; those of the present one come first.  New content makes new tables and compiles
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty.campaign_rules import campaign_table
from loyalty.columns import WORDS
from loyalty.conditions import AT_LEAST, AT_MOST, EQUAL, FAILS, LESS, MORE, Kind, Term, parse, terms
from loyalty.content import Decisions
from loyalty.events import CODES, scale
from loyalty.game import BADGES, Game, Goal, Reward, Template
from loyalty.policy import Content
from loyalty.row import COMPLETED_WORDS
from loyalty.vocabulary import FEATURES, INDEX, KINDS

_INTERVALS: dict[int, Callable[[float], tuple[float, float]]] = {
    LESS: lambda value: (-np.inf, float(np.nextafter(value, -np.inf))),
    AT_MOST: lambda value: (-np.inf, value),
    MORE: lambda value: (float(np.nextafter(value, np.inf)), np.inf),
    AT_LEAST: lambda value: (value, np.inf),
    EQUAL: lambda value: (value, value),
}

COUNT, SUM, DISTINCT, DAYS, WEEKS_KIND, SHARE, FIRST, INACTIVITY = range(8)
_GOALS = dict(
    zip(("count", "sum", "distinct", "days", "weeks", "share", "first", "inactivity"), range(8), strict=True)
)

BY_TYPE = -2  # `distinct` of event types

TERM = np.dtype(
    [("value", "f8"), ("then", "i4"), ("otherwise", "i4"), ("feature", "i2"), ("op", "u1")], align=True
)
RULE = np.dtype(
    [
        ("types", "u8"),  # bit by code
        ("after", "u8", (COMPLETED_WORDS,)),
        ("value", "i8"),  # target in smallest units, 0: personal
        ("low", "i8"),
        ("high", "i8"),
        ("scale", "i8"),  # smallest units of the target's unit
        ("points", "i8"),
        ("grace", "i8"),  # ms
        ("stretch", "f8"),
        ("window", "f8"),  # days of the baseline, 0 none
        ("revision", "i8"),
        ("where", "i4"),  # first term, -1 none
        ("among", "i4"),
        ("eligibility", "i4"),
        ("distinct", "i4"),  # event feature, BY_TYPE
        ("at_least", "i8"),
        ("gap", "i4"),
        ("duration", "i4"),  # days
        ("cooldown", "i4"),
        ("priority", "i4"),
        ("offer", "i4"),
        ("baseline", "i2"),
        ("number", "i2"),
        ("badge", "i2"),
        ("per_customer", "i4"),
        ("goal", "u1"),
        ("level", "u1"),
        ("onboarding", "u1"),
        ("capped", "u1"),
        ("active", "u1"),
    ],
    align=True,
)
BADGE = np.dtype(
    [
        ("points", "i8", (4,)),
        ("conditions", "i4", (4,)),
        ("offers", "i4", (4,)),
        ("number", "i2"),
        ("active", "u1"),
    ],
    align=True,
)
#: Intervals within which some features of a customer must lie for a template to be looked at any further.
GATES = 3
GATE = np.dtype(
    [
        ("low", "f8", (GATES,)),
        ("high", "f8", (GATES,)),
        ("feature", "i8", (GATES,)),
        ("rule", "i8"),  # of the template, -1: of a campaign
    ],
    align=True,
)
EARNING = np.dtype([("types", "u8"), ("rate", "f8"), ("where", "i4"), ("number", "i4")], align=True)


class Tables(NamedTuple):
    """What compiled code reads.

    As few arrays as will do: all of them are handed on with every call, which an event without a game feels.
    """

    rules: NDArray[np.void]  # RULE; those of the present revision first
    terms: NDArray[np.void]  # TERM
    badges: NDArray[np.void]  # BADGE, ascending by number
    earnings: NDArray[np.void]  # EARNING, ascending by number
    gates: NDArray[np.void]  # GATE of active templates, as they are tried, then those of `campaigns`
    lookup: NDArray[np.int32]  # hash table of rules by (revision, number), -1 empty
    campaigns: NDArray[np.void]  # CAMPAIGN, the active ones of the present revision, as they are tried


class Rules:
    """The tables of a revision, and what the engine needs beside them.

    `words` are the columns of event features: (attribute, kind of literal); `reading` the types, as bits by
    code, of whose events they are needed.
    """

    def __init__(self, contents: Callable[[int], Content], revisions: list[int]) -> None:
        self.revisions = revisions
        self.words: dict[tuple[str, Kind], int] = {}
        self.reading = 0
        self._terms: list[tuple[float, int, int, int, int]] = []
        self._kinds: Mapping[str, Kind] = KINDS
        present = contents(revisions[0])
        rules: list[tuple[int, Template, Decisions]] = []
        for revision in revisions:
            content = contents(revision)
            rules += [(revision, template, content.decisions) for template in content.game.templates]
        table = np.zeros(len(rules), RULE)
        for to, (revision, template, decisions) in zip(table, rules, strict=True):
            names = {other.name: other.number for other in contents(revision).game.templates}
            self._rule(to, revision, template, decisions, names)
        game = present.game
        own = [
            i
            for i, (revision, template, _) in enumerate(rules)
            if revision == revisions[0] and template.active
        ]
        own.sort(key=lambda i: (-rules[i][1].priority, rules[i][1].number))
        badges, earnings = self._badges(game), self._earnings(game)
        self.on = bool(own or badges["active"].any() or len(earnings))
        order = np.array(own, np.int32)
        campaigns = campaign_table(game.campaigns, self._condition, self._filter)
        campaigns["when_gate"] = len(order) + np.arange(len(campaigns))
        campaigns["audience_gate"] = campaigns["when_gate"] + len(campaigns)
        gates = self._gates(
            np.concatenate([table["eligibility"][order], campaigns["when"], campaigns["audience"]])
        )
        gates["rule"] = -1
        gates["rule"][: len(order)] = order
        self.tables = Tables(table, _filled(self._terms), badges, earnings, gates, _lookup(table), campaigns)

    def _rule(
        self, to: Any, revision: int, template: Template, decisions: Decisions, names: dict[str, int]
    ) -> None:
        goal, target, limits = template.goal, template.target, template.limits
        units = scale(goal.types[0], decisions.currency_decimals) if goal.kind == "sum" else 1
        to["revision"], to["number"], to["active"] = revision, template.number, template.active
        to["goal"], to["types"] = _GOALS[goal.kind], self._mask(goal)
        to["where"] = self._filter(goal.where, goal.types)
        to["among"] = self._filter(goal.among, goal.types)
        to["distinct"] = self._distinct(goal)
        to["at_least"], to["gap"] = goal.at_least, goal.gap
        to["scale"], to["value"], to["low"], to["high"] = units, target.value, target.low, target.high
        to["stretch"], to["baseline"] = target.stretch, INDEX.get(target.baseline, -1)
        if target.baseline.endswith(("_30_days", "_90_days")):
            to["window"] = float(target.baseline[-7:-5])
        to["duration"], to["cooldown"] = template.duration_days, template.cooldown_days
        to["priority"], to["onboarding"] = template.priority, template.category == "onboarding"
        to["eligibility"] = self._condition(template.eligibility)
        for name in template.after:
            to["after"][names[name] // 64] |= np.uint64(1 << names[name] % 64)
        _reward(to, template.rewards)
        to["per_customer"] = limits.per_customer
        to["capped"] = limits.total > 0 or limits.budget > 0
        to["grace"] = decisions.grace_seconds * 1000

    def _mask(self, goal: Goal) -> int:
        return sum(1 << CODES[name] for name in set(goal.types))

    def _badges(self, game: Game) -> NDArray[np.void]:
        table = np.zeros(len(game.badges), BADGE)
        for to, badge in zip(table, sorted(game.badges, key=lambda badge: badge.number), strict=True):
            to["number"], to["active"] = badge.number, badge.active
            for n, level in enumerate(badge.levels):
                to["conditions"][n] = self._condition(level.condition)
                to["points"][n], to["offers"][n] = level.rewards.points, level.rewards.offer
        return table

    def _earnings(self, game: Game) -> NDArray[np.void]:
        table = np.zeros(len(game.earning), EARNING)
        for to, rule in zip(table, sorted(game.earning, key=lambda rule: rule.number), strict=True):
            to["number"], to["rate"] = rule.number, rule.points_per_unit
            to["types"] = sum(1 << CODES[name] for name in set(rule.types))
            to["where"] = self._filter(rule.where, rule.types)
        return table

    def _condition(self, text: str) -> int:
        return self._add(terms(parse(text, KINDS), lambda name, kind: INDEX[name]))

    def _filter(self, text: str, types: list[str]) -> int:
        return self._add(terms(parse(text, None), lambda name, kind: self._word(name, kind, types)))

    def _distinct(self, goal: Goal) -> int:
        if goal.kind != "distinct":
            return 0
        return BY_TYPE if goal.distinct == "event_type" else self._word(goal.distinct, Kind.WORD, goal.types)

    def _word(self, name: str, kind: Kind, types: list[str]) -> int:
        """The column of an event feature, which is to be filled for events of these types."""
        if name == "value":
            return 0
        for event_type in types:
            self.reading |= 1 << CODES[event_type]
        column = self.words.setdefault((name, kind), len(self.words) + 1)
        if column >= WORDS:
            raise ValueError(
                f"filters look at more than {WORDS - 1} attributes in all: {name!r} is one too many"
            )
        return column

    def _gates(self, conditions: NDArray[np.int32]) -> NDArray[np.void]:
        """What conditions (by their first terms) cannot do without: comparisons that fail them at once."""
        table = np.zeros(len(conditions), GATE)
        table["low"], table["high"] = -np.inf, np.inf  # of feature 0, a score, which is always known
        for gate, first in zip(table, conditions.tolist(), strict=True):
            at, n = first, 0
            while at >= 0 and n < GATES:
                value, then, otherwise, feature, op = self._terms[at]
                if otherwise != FAILS:
                    break
                if op in _INTERVALS:
                    gate["low"][n], gate["high"][n] = _INTERVALS[op](value)
                    gate["feature"][n] = feature
                    n += 1
                at = then
        return table

    def _add(self, found: list[Term]) -> int:
        """Where a condition's terms stand, -1 for one that always holds."""
        first = len(self._terms)
        for term in found:
            then, otherwise = (to + first if to >= 0 else to for to in (term.then, term.otherwise))
            self._terms.append((term.value, then, otherwise, term.feature, term.op))
        return first if found else -1


def term_table(found: list[Term]) -> NDArray[np.void]:
    """TERMs of a single condition."""
    return _filled([(term.value, term.then, term.otherwise, term.feature, term.op) for term in found])


def _filled(found: list[tuple[float, int, int, int, int]]) -> NDArray[np.void]:
    table = np.zeros(max(1, len(found)), TERM)
    for n, term in enumerate(found):
        table[n] = term
    return table


def _reward(to: Any, reward: Reward) -> None:
    to["points"], to["offer"] = reward.points, reward.offer
    to["badge"], to["level"] = reward.badge, reward.level


def slot_of(revision: int, number: int, mask: int) -> int:
    """Where a rule's search in the lookup begins."""
    return (revision * 2_654_435_761 + number * 40_503) & mask


def _lookup(rules: NDArray[np.void]) -> NDArray[np.int32]:
    size = 8
    while size < 3 * len(rules):
        size *= 2
    table = np.full(size, -1, np.int32)
    for n, rule in enumerate(rules):
        at = slot_of(int(rule["revision"]), int(rule["number"]), size - 1)
        while table[at] >= 0:
            at = (at + 1) & (size - 1)
        table[at] = n
    return table


assert len(FEATURES) < 2**15
assert BADGES < 32
