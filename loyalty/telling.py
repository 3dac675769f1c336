"""Effects of the game as records: numbers get their names, conditions the values they saw, grants an entry.

The kernel says in numbers what happened; whoever reads a topic wants names, ids and reasons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from loyalty import conditions
from loyalty.columns import (
    CANCELLED,
    EXPIRED,
    GIVEN,
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
from loyalty.game import LEVELS, Template
from loyalty.links import own_record
from loyalty.policy import Content
from loyalty.side import Grant, Side
from loyalty.times import iso
from loyalty.vocabulary import INDEX, KINDS

STATUSES = ("given", "progress", "completed", "expired", "replaced", "cancelled", "reserved", "refused")
REASONS = ("", "priority", "linked", "ended", "opted_out", "earned", "reward", "up", "down")
GRANTS = ("points", "offer", "redeemed", "adjusted", "expired", "reversed", "forfeited")
_ENDS = (EXPIRED, REPLACED, CANCELLED)
_DAY_MS = 86_400_000
MOST_REPEATS = 7

Forward = tuple[bytes, bytes]


class Told(NamedTuple):
    """An effect's columns as plain numbers."""

    as_of: int
    event: int
    points: int
    balance: int
    revision: int
    seen: int
    offer: int
    started: int
    ends: int
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


class _Condition:
    """A condition taken apart: what each of its comparisons saw."""

    def __init__(self, text: str) -> None:
        node = conditions.parse(text, KINDS)
        self._parts = [
            (str(each), INDEX[each.name], KINDS[each.name], each)
            for each in (conditions.comparisons(node) if node else [])
        ]

    def seen(self, features: Any, profile: Callable[[], dict[str, Any]]) -> list[Comparison]:
        found = []
        for text, index, kind, comparison in self._parts:
            value = float(features[index])
            shown: float | str | bool | None = None if math.isnan(value) else value
            if shown is not None and kind is Kind.WORD:
                shown = profile().get(comparison.name)
            elif shown is not None and kind is Kind.FLAG:
                shown = value == 1
            found.append(Comparison(text, shown, conditions.compare(comparison, value)))
        return found


class _Names:
    """What a revision calls things."""

    def __init__(self, content: Content) -> None:
        game = content.game
        self.templates = {template.number: template for template in game.templates}
        self.badges = {badge.number: badge for badge in game.badges}
        self.tiers = [tier.name for tier in game.tiers]
        self._decimals = content.decisions.currency_decimals
        self._conditions: dict[tuple[str, int, int], _Condition] = {}

    def scale(self, template: Template) -> int:
        """Smallest units of a template's target."""
        return scale(template.goal.types[0], self._decimals) if template.goal.kind == "sum" else 1

    def condition(self, kind: str, number: int, level: int = 0) -> _Condition:
        key = (kind, number, level)
        found = self._conditions.get(key)
        if found is None:
            text = (
                self.templates[number].eligibility
                if kind == "mission"
                else self.badges[number].levels[level - 1].condition
            )
            found = self._conditions[key] = _Condition(text)
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

    def mission(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told, seen: Any,
        effects: list[Effect], forwards: list[Forward],
    ) -> None:  # fmt: skip
        """What became of a mission."""
        customer_id = id.decode()
        names = self.names(row.revision)
        template = names.templates[row.number]
        status = STATUSES[row.detail]
        rule = f"mission:{row.number}:{status}"
        if row.detail == PROGRESS:
            rule = f"{rule}:{row.tenths}"
        id_ = mission_id(customer_id, row.number, row.started)
        if not row.control and row.detail not in (RESERVED, REFUSED_MISSION):
            units = names.scale(template)
            value = MissionProgress(
                effect_id(customer_id, rule, revision, cause, 0), customer_id, at, revision, cause, id_,
                row.number, template.name, template.category, status, REASONS[row.reason],
                row.progress / units, row.target / units, row.tenths,
                iso(row.started * 1000), iso(row.ends * 1000),
            )  # fmt: skip
            effects.append(told(MISSION_PROGRESS, id, value))
        if row.detail in (GIVEN, RESERVED, REFUSED_MISSION) or (row.control and row.detail != PROGRESS):
            found: list[Comparison] = []
            if row.seen >= 0:
                found = names.condition("mission", row.number).seen(
                    seen[row.seen], lambda: self._side.profile(id)
                )
            effects.append(
                self._decision(
                    id,
                    at,
                    revision,
                    cause,
                    rule,
                    "mission",
                    status,
                    f"mission:{row.number}",
                    template.name,
                    row.control,
                    found,
                )
            )
        limits = template.limits
        if (limits.total or limits.budget) and not row.control:
            points = template.rewards.points
            if row.detail == RESERVED:
                forwards.append(ask(row.number, customer_id, id_, at, 1, points))
            elif row.detail in _ENDS:
                forwards.append(ask(row.number, customer_id, f"release:{id_}", at, -1, -points))

    def badge(
        self, id: bytes, at: str, revision: int, cause: Cause, row: Told, seen: Any, effects: list[Effect]
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
        found: list[Comparison] = []
        if row.seen >= 0:
            condition = names.condition("badge", row.number, row.level)
            found = condition.seen(seen[row.seen], lambda: self._side.profile(id))
        effects.append(
            self._decision(
                id, at, revision, cause, rule, "badge", "awarded", rule, badge.name, row.control, found
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
                names = self.names(row.revision)
                template = names.templates[row.number]
                units = names.scale(template)
                target = row.target / units
                found = [Comparison(f"progress >= {plain(target)}", row.progress / units, True)]
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


def columns(found: Any) -> list[Told]:
    """The columns of effects, as plain numbers."""
    return [Told(*values) for values in zip(*(found[name].tolist() for name in Told._fields), strict=True)]
