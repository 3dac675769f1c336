"""What effects of the game say: what numbers are called, and members that are written alike for one and many.

`telling` puts them into one effect at a time, `telling_many` into those of a whole pass.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty import conditions
from loyalty.columns import CANCELLED, EXPIRED, GIVEN, PROGRESS, REFUSED_MISSION, REPLACED, RESERVED
from loyalty.conditions import Comparison, Kind
from loyalty.effects import plain
from loyalty.events import scale
from loyalty.links import own_record
from loyalty.policy import Content
from loyalty.vocabulary import INDEX, KINDS

STATUSES = ("given", "progress", "completed", "expired", "replaced", "cancelled", "reserved", "refused")
REASONS = ("", "priority", "linked", "ended", "opted_out", "earned", "reward", "up", "down")
GRANTS = ("points", "offer", "redeemed", "adjusted", "expired", "reversed", "forfeited")
#: With which a mission begins, and with which it is over without having been completed.
BEGINS, ENDS = (GIVEN, RESERVED, REFUSED_MISSION), (EXPIRED, REPLACED, CANCELLED)

Forward = tuple[bytes, bytes]


def mission_rule(number: int, detail: int, tenths: int) -> str:
    """The rule of an effect of a mission."""
    return f"mission:{number}:{STATUSES[detail]}" + (f":{tenths}" if detail == PROGRESS else "")


def grant_rule(origin: int, number: int, level: int, reverses: str = "") -> str:
    """The rule that a grant comes of; `reverses`: the grant that a refund takes back."""
    return (
        f"mission:{number}",
        f"badge:{number}:{level}",
        f"earn:{number}",
        "command",
        "expiry",
        f"refund:{reverses}",
        "ended",
    )[origin]


def award(kind: str, number: int, title: str, level: int, level_name: str, reason: int) -> str:
    """Members of an award; `title` is JSON."""
    return (
        f'"kind":"{kind}","number":{number},"name":{title},"level":{level},'
        f'"level_name":{plain(level_name)},"reason":"{REASONS[reason]}"'
    )


def decided(kind: str, decision: str, rule: str, title: str) -> str:
    """Members of a decision up to the value of `control`; `title` is JSON."""
    return f'"kind":"{kind}","decision":"{decision}","rule":"{rule}","name":{title},"control":'


def shown(number: float) -> str:
    """A number as conditions show it."""
    return repr(int(number)) if number == int(number) else repr(number)


def ask(
    number: int, customer_id: str, event_id: str, at: str, count: int, points: int, kind: str = "template"
) -> Forward:
    """Ask the account of a template, or a campaign, for one more of it, or give one back."""
    attributes = {"customer": customer_id, kind: number, "count": count, "points": points}
    return own_record(f"{kind}:{number}", "_reserve", event_id, at, attributes)


TESTS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip


class Part(NamedTuple):
    """A comparison, ready to be shown: `text` up to the value seen."""

    text: str
    name: str
    feature: int
    kind: Kind
    test: Callable[[float], bool]
    wanted: Comparison


def _test(comparison: Comparison) -> Callable[[float], bool]:
    test = TESTS.get(comparison.operator)
    if test is None:
        return lambda value: conditions.compare(comparison, value)
    wanted = conditions.number(comparison.literals[0])
    return lambda value: test(value, wanted)


class Condition:
    """A condition taken apart: what each of its comparisons saw."""

    def __init__(self, text: str) -> None:
        self.parts = [
            Part(
                f'{{"condition":{plain(str(each))},"seen":', each.name, INDEX[each.name], KINDS[each.name],
                _test(each), each,
            )
            for each in conditions.comparisons(conditions.parse(text, KINDS))
        ]  # fmt: skip

    def seen(self, features: NDArray[np.float64], row: int, words: Callable[[], dict[str, Any]]) -> str:
        """JSON of the comparisons with what they saw in a row of features; `words` of the profile now."""
        shown = []
        for text, name, feature, kind, test, _ in self.parts:
            value = features.item(row, feature)
            if value != value:
                value_text = "null"
            elif kind is Kind.NUMBER:
                value_text = plain(value)
            elif kind is Kind.FLAG:
                value_text = "true" if value == 1 else "false"
            else:
                word = words().get(name)
                value_text = "null" if word is None else plain(word)
            shown.append(f'{text}{value_text},"holds":{"true" if test(value) else "false"}}}')
        return ",".join(shown)


class Rule(NamedTuple):
    """What is told of a template, again and again."""

    name: str
    title: str  # JSON of the name
    members: str  # JSON of number, name and category
    rule: str
    units: int
    capped: bool
    points: int
    condition: Condition


class Names:
    """What a revision calls things."""

    def __init__(self, content: Content) -> None:
        game = content.game
        self.templates = {template.number: template for template in game.templates}
        self.badges = {badge.number: badge for badge in game.badges}
        self.tiers = [tier.name for tier in game.tiers]
        self._decimals = content.decisions.currency_decimals
        self._rules: dict[int, Rule] = {}
        self._levels: dict[tuple[int, int], Condition] = {}

    def rule(self, number: int) -> Rule:
        """What is told of a template."""
        found = self._rules.get(number)
        if found is None:
            template = self.templates[number]
            limits, goal = template.limits, template.goal
            units = scale(goal.types[0], self._decimals) if goal.kind == "sum" else 1
            title = plain(template.name)
            members = f'"number":{number},"name":{title},"category":{plain(template.category)}'
            found = self._rules[number] = Rule(
                template.name, title, members, f"mission:{number}", units,
                bool(limits.total or limits.budget), template.rewards.points,
                Condition(template.eligibility),
            )  # fmt: skip
        return found

    def level(self, number: int, level: int) -> Condition:
        """The condition of a badge's level (1 to 4)."""
        found = self._levels.get((number, level))
        if found is None:
            found = Condition(self.badges[number].levels[level - 1].condition)
            self._levels[number, level] = found
        return found
