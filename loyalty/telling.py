"""Effects of the game as records: numbers get their names, conditions the values they saw, grants an entry.

The kernel says in numbers what happened; whoever reads a topic wants names, ids and reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty import conditions
from loyalty.columns import (
    CANCELLED,
    EXPIRED,
    GIVEN,
    MISSION,
    OF_MISSION,
    OFFER,
    POINTS,
    PROGRESS,
    REFUSED_MISSION,
    REPLACED,
    RESERVED,
)
from loyalty.conditions import Kind
from loyalty.effects import (
    BADGE_AWARDS,
    DECISIONS,
    MISSION_PROGRESS,
    REWARD_GRANTS,
    BadgeAward,
    Cause,
    Comparison,
    Decision,
    Effect,
    MissionProgress,
    RewardGrant,
    effect_id,
    mission_id,
    told,
)
from loyalty.events import scale
from loyalty.game import LEVELS
from loyalty.links import own_record
from loyalty.policy import Content
from loyalty.side import Grant, Side
from loyalty.times import iso_many
from loyalty.vocabulary import INDEX, KINDS

STATUSES = ("given", "progress", "completed", "expired", "replaced", "cancelled", "reserved", "refused")
REASONS = ("", "priority", "linked", "ended", "opted_out", "earned", "reward", "up", "down")
GRANTS = ("points", "offer", "redeemed", "adjusted", "expired", "reversed", "forfeited")
_ENDS = frozenset((EXPIRED, REPLACED, CANCELLED))
_DAY_MS = 86_400_000
MOST_REPEATS = 7

Forward = tuple[bytes, bytes]


class Told(NamedTuple):
    """An effect of the game, as plain values."""

    as_of: int
    points: int
    balance: int
    revision: int
    offer: int
    started: int
    progress: int
    target: int
    number: int
    month: int
    detail: int
    level: int
    origin: int
    reason: int
    tenths: int
    control: int
    began: str
    over: str
    saw: list[Comparison] | None


_NUMBERS = Told._fields[:-3]
_BEGINS = frozenset((GIVEN, RESERVED, REFUSED_MISSION))
_TESTS: dict[str, Callable[[Any, float], Any]] = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal,
}  # fmt: skip


class _Condition:
    """A condition taken apart: what each of its comparisons saw."""

    def __init__(self, text: str) -> None:
        node = conditions.parse(text, KINDS)
        self._parts = [(str(each), INDEX[each.name], each) for each in conditions.comparisons(node)]
        #: Names of the words it speaks of: they are looked up in the profile when the effect's turn comes.
        self.words = [
            (n, each.name) for n, (_, _, each) in enumerate(self._parts) if KINDS[each.name] is Kind.WORD
        ]

    def seen(self, features: NDArray[np.float64]) -> list[list[Comparison]]:
        """The comparisons for each row of features; words are left out."""
        columns = []
        for text, index, comparison in self._parts:
            values = features[:, index]
            test = _TESTS.get(comparison.operator)
            if test is not None:
                held = test(values, conditions.number(comparison.literals[0])).tolist()
            else:
                held = [conditions.compare(comparison, value) for value in values.tolist()]
            shown: list[Any] = values.tolist()
            if np.isnan(values).any():
                shown = [None if value != value else value for value in shown]
            if KINDS[comparison.name] is Kind.FLAG:
                shown = [None if value is None else value == 1 for value in shown]
            columns.append([Comparison(text, *each) for each in zip(shown, held, strict=True)])
        return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in features]


class _Rule(NamedTuple):
    """What is told of a template, again and again."""

    name: str
    category: str
    rule: str
    units: int
    capped: bool
    points: int
    condition: _Condition


class _Names:
    """What a revision calls things."""

    def __init__(self, content: Content) -> None:
        game = content.game
        self.templates = {template.number: template for template in game.templates}
        self.badges = {badge.number: badge for badge in game.badges}
        self.tiers = [tier.name for tier in game.tiers]
        self._decimals = content.decisions.currency_decimals
        self._rules: dict[int, _Rule] = {}
        self._levels: dict[tuple[int, int], _Condition] = {}

    def rule(self, number: int) -> _Rule:
        """What is told of a template."""
        found = self._rules.get(number)
        if found is None:
            template = self.templates[number]
            limits, goal = template.limits, template.goal
            units = scale(goal.types[0], self._decimals) if goal.kind == "sum" else 1
            found = self._rules[number] = _Rule(
                template.name, template.category, f"mission:{number}", units,
                bool(limits.total or limits.budget), template.rewards.points,
                _Condition(template.eligibility),
            )  # fmt: skip
        return found

    def level(self, number: int, level: int) -> _Condition:
        """The condition of a badge's level (1 to 4)."""
        found = self._levels.get((number, level))
        if found is None:
            found = _Condition(self.badges[number].levels[level - 1].condition)
            self._levels[number, level] = found
        return found


class Teller:
    """One partition's effects of the game: records and forwards, and the side entries of grants."""

    def __init__(self, contents: Callable[[int], Content], side: Side) -> None:
        self._contents = contents
        self._side = side
        self._names: dict[int, _Names] = {}

    def names(self, revision: int) -> _Names:
        """What a revision calls things."""
        found = self._names.get(revision)
        if found is None:
            found = self._names[revision] = _Names(self._contents(revision))
        return found

    def columns(self, found: Any, seen: NDArray[np.float64], revision: int) -> list[Told]:
        """The columns of effects of the game, as plain values."""
        by_name = {name: found[name].tolist() for name in _NUMBERS}
        by_name["began"] = iso_many(found["started"].astype(np.int64) * 1000)
        by_name["over"] = iso_many(found["ends"].astype(np.int64) * 1000)
        by_name["saw"] = self._saw(found, seen, revision)
        return [Told(*values) for values in zip(*(by_name[name] for name in Told._fields), strict=True)]

    def _saw(self, found: Any, seen: NDArray[np.float64], revision: int) -> list[list[Comparison] | None]:
        """What the conditions of effects saw, worked out for all of a rule at once."""
        saw: list[list[Comparison] | None] = [None] * len(found)
        chosen = np.flatnonzero(found["seen"] >= 0)
        groups: dict[tuple[int, ...], list[int]] = {}
        keys = (found[name][chosen].tolist() for name in ("kind", "revision", "number", "level"))
        for n, key in zip(chosen.tolist(), zip(*keys, strict=True), strict=True):
            groups.setdefault(key, []).append(n)
        for (kind, given_by, number, level), members in groups.items():
            condition = (
                self.names(given_by).rule(number).condition
                if kind == MISSION
                else self.names(revision).level(number, level)
            )
            for n, row in zip(members, condition.seen(seen[found["seen"][members]]), strict=True):
                saw[n] = row
        return saw

    def _with_words(self, id: bytes, condition: _Condition, saw: list[Comparison] | None) -> list[Comparison]:
        """What a condition saw, with the words that the profile has at this moment."""
        if saw is None:
            return []
        for n, name in condition.words:
            known = saw[n].seen is not None
            word = self._side.profile(id).get(name) if known else None
            saw[n] = Comparison(saw[n].condition, word, saw[n].holds)
        return saw

    def mission(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told,
        effects: list[Effect], forwards: list[Forward],
    ) -> None:  # fmt: skip
        """What became of a mission."""
        customer_id, detail = id.decode(), row.detail
        template = self.names(row.revision).rule(row.number)
        status = STATUSES[detail]
        rule = f"{template.rule}:{status}:{row.tenths}" if detail == PROGRESS else f"{template.rule}:{status}"
        given = detail in _BEGINS
        id_ = mission_id(customer_id, row.number, row.started)
        if not row.control and detail < RESERVED:
            value = MissionProgress(
                effect_id(customer_id, rule, revision, cause, 0), customer_id, at, revision, cause, id_,
                row.number, template.name, template.category, status, REASONS[row.reason],
                row.progress / template.units, row.target / template.units, row.tenths, row.began, row.over,
            )  # fmt: skip
            effects.append(told(MISSION_PROGRESS, id, value))
        if given or (row.control and detail != PROGRESS):
            saw = self._with_words(id, template.condition, row.saw)
            effects.append(
                self._decision(
                    id,
                    at,
                    revision,
                    cause,
                    rule,
                    "mission",
                    status,
                    template.rule,
                    template.name,
                    row.control,
                    saw,
                )
            )
        if template.capped and not row.control:
            if detail == RESERVED:
                forwards.append(ask(row.number, customer_id, id_, at, 1, template.points))
            elif detail in _ENDS:
                forwards.append(ask(row.number, customer_id, f"release:{id_}", at, -1, -template.points))

    def badge(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told, effects: list[Effect]
    ) -> None:
        """A level awarded."""
        customer_id = id.decode()
        names = self.names(revision)
        badge = names.badges[row.number]
        rule = f"badge:{row.number}:{row.level}"
        if not row.control:
            value = BadgeAward(
                effect_id(customer_id, rule, revision, cause, 0), customer_id, at, revision, cause, "badge",
                row.number, badge.name, row.level, LEVELS[row.level - 1], REASONS[row.reason],
            )  # fmt: skip
            effects.append(told(BADGE_AWARDS, id, value))
        saw = self._with_words(id, names.level(row.number, row.level), row.saw)
        effects.append(
            self._decision(
                id, at, revision, cause, rule, "badge", "awarded", rule, badge.name, row.control, saw
            )
        )

    def tier(self, id: bytes, at: str, revision: int, cause: Cause, row: Told, effects: list[Effect]) -> None:
        """Another tier."""
        customer_id, tiers = id.decode(), self.names(revision).tiers
        value = BadgeAward(
            effect_id(customer_id, f"tier:{row.detail}:{row.level}", revision, cause, 0), customer_id, at,
            revision,
            cause, "tier", 0, "tier", row.level, tiers[row.level] if row.level < len(tiers) else "",
            REASONS[row.reason],
        )  # fmt: skip
        effects.append(told(BADGE_AWARDS, id, value))

    def grant(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told, effects: list[Effect],
        caused_by: int | None, reverses: str = "",
    ) -> None:  # fmt: skip
        """Points or an offer.  `caused_by`: hash of the money event they came of, None for another cause."""
        customer_id = id.decode()
        kind = GRANTS[row.detail]
        rule = _rule(row, reverses)
        name = f"grant:{rule}:{kind}"
        grant_id = effect_id(customer_id, name, revision, cause, row.tenths)  # lots that expire together
        if not (row.control and row.detail in (POINTS, OFFER)):
            value = RewardGrant(
                grant_id, customer_id, at, revision, cause, grant_id, kind, rule, row.points, row.offer,
                row.balance,
                row.month, reverses, 0,
            )  # fmt: skip
            effects.append(told(REWARD_GRANTS, id, value))
            if row.detail == OFFER or (row.detail == POINTS and caused_by is not None):
                status = "open" if row.detail == OFFER else "done"
                grant = Grant(row.as_of, rule, kind, row.points, row.month, row.offer, status, 0, row.as_of)
                self._side.put_grant(id, grant_id, grant)
                if caused_by is not None:
                    self._side.put_caused(id, caused_by, row.as_of, grant_id)
        if row.detail in (POINTS, OFFER) and row.origin <= 1:
            found: list[Comparison] = []
            if row.origin == OF_MISSION:
                template = self.names(row.revision).rule(row.number)
                target = row.target / template.units
                found = [Comparison(f"progress >= {plain(target)}", row.progress / template.units, True)]
                title = template.name
            else:
                title = self.names(revision).badges[row.number].name
            effects.append(
                self._decision(id, at, revision, cause, name, "grant", kind, rule, title, row.control, found)
            )

    def repeat(
        self, id: bytes, at: str, revision: int, cause: Cause, grant_id: str, grant: Grant, as_of: int,
        balance: int,
        effects: list[Effect],
    ) -> None:  # fmt: skip
        """Tell of an offer again that nobody has answered for."""
        grant.repeats, grant.told = grant.repeats + 1, as_of
        self._side.put_grant(id, grant_id, grant)
        customer_id = id.decode()
        name = f"repeat:{grant_id}:{grant.repeats}"
        value = RewardGrant(
            effect_id(customer_id, name, revision, cause, 0), customer_id, at, revision, cause, grant_id,
            grant.kind,
            grant.rule, 0, grant.offer, balance, 0, "", grant.repeats,
        )  # fmt: skip
        effects.append(told(REWARD_GRANTS, id, value))

    def repeat_open(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told, effects: list[Effect]
    ) -> None:
        """Tell of all offers again that wait for a day or more."""
        for key, grant in self._side.grants(id):
            if grant.status == "open" and row.as_of - grant.told >= _DAY_MS and grant.repeats < MOST_REPEATS:
                self.repeat(id, at, revision, cause, key.hex(), grant, row.as_of, row.balance, effects)

    def unknown_refund(
        self, id: bytes, at: str, revision: int, cause: Cause, control: bool, effects: list[Effect]
    ) -> None:
        """A refund of an event that nobody remembers."""
        effects.append(
            self._decision(
                id,
                at,
                revision,
                cause,
                "refund:unknown",
                "refund",
                "unknown_event",
                "refund",
                "",
                control,
                [],
            )
        )

    def _decision(
        self, id: bytes, at: str, revision: int, cause: Cause, name: str, kind: str, decision: str, rule: str,
        title: str, control: int, found: list[Comparison],
    ) -> Effect:  # fmt: skip
        customer_id = id.decode()
        value = Decision(
            effect_id(customer_id, f"decision:{name}", revision, cause, 0), customer_id, at, revision,
            cause, kind,
            decision, rule, title, bool(control), found,
        )  # fmt: skip
        return told(DECISIONS, id, value)


def _rule(row: Told, reverses: str) -> str:
    if row.origin == OF_MISSION:
        return f"mission:{row.number}"
    return (
        "",
        f"badge:{row.number}:{row.level}",
        f"earn:{row.number}",
        "command",
        "expiry",
        f"refund:{reverses}",
        "ended",
    )[row.origin]


def plain(number: float) -> str:
    """A number as conditions show it."""
    return repr(int(number)) if number == int(number) else repr(number)


def ask(template: int, customer_id: str, event_id: str, at: str, count: int, points: int) -> Forward:
    """Ask a template's account for a mission, or give one back."""
    attributes = {"customer": customer_id, "template": template, "count": count, "points": points}
    return own_record(f"template:{template}", "_reserve", event_id, at, attributes)
