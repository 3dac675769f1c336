"""Effects of the game as records: numbers get their names, conditions the values they saw, grants an entry.

The kernel says in numbers what happened; whoever reads a topic wants names, ids and reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import (
    BADGE,
    CAMPAIGN,
    GRANT,
    MISSION,
    OF_MISSION,
    OFFER,
    OPEN_GRANTS,
    POINTS,
    PROGRESS,
    RESERVED,
    TIER,
)
from loyalty.effects import (
    BADGE_AWARDS,
    DECISIONS,
    MISSION_PROGRESS,
    REWARD_GRANTS,
    Effect,
    Moment,
    Put,
    effect_id,
    mission_id,
    plain,
    told,
)
from loyalty.game import LEVELS
from loyalty.policy import Content
from loyalty.side import Grant, Side
from loyalty.times import iso_many
from loyalty.wording import (
    BEGINS,
    ENDS,
    GRANTS,
    REASONS,
    STATUSES,
    Condition,
    Forward,
    Names,
    ask,
    award,
    decided,
    grant_rule,
    mission_rule,
    shown,
)

_DAY_MS = 86_400_000


class MissionTold(NamedTuple):
    """An effect of a mission, as plain values; `seen` is the row of features it saw, -1 none."""

    detail: int
    number: int
    revision: int
    seen: int
    started: int
    progress: int
    target: int
    tenths: int
    reason: int
    control: int
    began: str
    over: str


class BadgeTold(NamedTuple):
    """A level awarded."""

    number: int
    level: int
    reason: int
    control: int
    seen: int


class TierTold(NamedTuple):
    """Another tier: `detail` the one before."""

    detail: int
    level: int
    reason: int


class GrantTold(NamedTuple):
    """Points or an offer."""

    detail: int
    number: int
    level: int
    origin: int
    revision: int
    points: int
    offer: int
    balance: int
    month: int
    tenths: int
    progress: int
    target: int
    control: int
    as_of: int


class OpenTold(NamedTuple):
    """Open grants that may have to be told of again."""

    as_of: int
    balance: int


class CampaignTold(NamedTuple):
    """What became of a campaign: `level` is its arm, `month` its day, `target` a language's hash."""

    detail: int
    number: int
    level: int
    month: int
    target: int
    seen: int
    control: int


class Teller:
    """One partition's effects of the game: records and forwards, and the side entries of grants."""

    def __init__(self, contents: Callable[[int], Content], side: Side) -> None:
        self._contents = contents
        self._side = side
        self._names: dict[int, Names] = {}

    def names(self, revision: int) -> Names:
        """What a revision calls things."""
        found = self._names.get(revision)
        if found is None:
            found = self._names[revision] = Names(self._contents(revision))
        return found

    def columns(self, found: Any, kind: int) -> Iterator[Any]:
        """Effects of a kind of the game, as plain values, in their order."""
        chosen = found[found["kind"] == kind]
        told_as = _AS[kind]
        columns = [
            iso_many(chosen[_TIMES[name]].astype(np.int64) * 1000)
            if name in _TIMES
            else chosen[name].tolist()
            for name in told_as._fields
        ]
        return map(told_as._make, zip(*columns, strict=True))

    def _saw(self, of: Moment, condition: Condition, seen: NDArray[np.float64], row: int) -> str:
        return condition.seen(seen, row, lambda: self._side.profile(of.key)) if row >= 0 else ""

    def mission(
        self, of: Moment, row: MissionTold, seen: NDArray[np.float64],
        effects: Put, forwards: list[Forward],
    ) -> None:  # fmt: skip
        """What became of a mission."""
        detail = row.detail
        template = self.names(row.revision).rule(row.number)
        status = STATUSES[detail]
        rule = mission_rule(row.number, detail, row.tenths)
        id = mission_id(of.customer_id, row.number, row.started)
        if not row.control and detail < RESERVED:
            members = (
                f'"mission_id":"{id}",{template.members},"status":"{status}","reason":"{REASONS[row.reason]}",'
                f'"progress":{plain(row.progress / template.units)},'
                f'"target":{plain(row.target / template.units)},'
                f'"tenths":{row.tenths},"started_at":"{row.began}","ends_at":"{row.over}"'
            )
            effects.append(told(MISSION_PROGRESS, of, effect_id(of, rule), members))
        if detail in BEGINS or (row.control and detail != PROGRESS):
            saw = self._saw(of, template.condition, seen, row.seen)
            effects.append(
                decision(of, rule, "mission", status, template.rule, template.title, row.control, saw)
            )
        if template.capped and not row.control:
            if detail == RESERVED:
                forwards.append(ask(row.number, of.customer_id, id, of.at, 1, template.points))
            elif detail in ENDS:
                release = f"release:{id}"
                forwards.append(ask(row.number, of.customer_id, release, of.at, -1, -template.points))

    def badge(
        self, of: Moment, row: BadgeTold, revision: int, seen: NDArray[np.float64], effects: Put
    ) -> None:
        """A level awarded."""
        names = self.names(revision)
        title = plain(names.badges[row.number].name)
        rule = f"badge:{row.number}:{row.level}"
        if not row.control:
            effects.append(
                _award(of, rule, "badge", row.number, title, row.level, LEVELS[row.level - 1], row.reason)
            )
        saw = self._saw(of, names.level(row.number, row.level), seen, row.seen)
        effects.append(decision(of, rule, "badge", "awarded", rule, title, row.control, saw))

    def tier(self, of: Moment, row: TierTold, revision: int, effects: Put) -> None:
        """Another tier."""
        tiers = self.names(revision).tiers
        name = tiers[row.level] if row.level < len(tiers) else ""
        rule = f"tier:{row.detail}:{row.level}"
        effects.append(_award(of, rule, "tier", 0, '"tier"', row.level, name, row.reason))

    def grant(
        self, of: Moment, row: GrantTold, revision: int, effects: Put,
        caused_by: int | None, reverses: str = "",
    ) -> None:  # fmt: skip
        """Points or an offer.  `caused_by`: hash of the money event they came of, None for another cause."""
        kind = GRANTS[row.detail]
        rule = grant_rule(row.origin, row.number, row.level, reverses)
        name = f"grant:{rule}:{kind}"
        if not (row.control and row.detail in (POINTS, OFFER)):
            id = effect_id(of, name, row.tenths)  # lots that expire together
            effects.append(
                _granted(of, id, id, kind, rule, row.points, row.offer, row.balance, row.month, reverses, 0)
            )
            if row.detail == OFFER or (row.detail == POINTS and caused_by is not None):
                status = "open" if row.detail == OFFER else "done"
                grant = Grant(row.as_of, rule, kind, row.points, row.month, row.offer, status, 0, row.as_of)
                self._side.put_grant(of.key, id, grant)
                if caused_by is not None:
                    self._side.put_caused(of.key, caused_by, row.as_of, id)
        if row.detail in (POINTS, OFFER) and row.origin <= 1:
            saw = ""
            if row.origin == OF_MISSION:
                template = self.names(row.revision).rule(row.number)
                reached = shown(row.target / template.units)
                saw = (
                    f'{{"condition":"progress >= {reached}","seen":{plain(row.progress / template.units)},'
                    '"holds":true}'
                )
                title = template.title
            else:
                title = plain(self.names(revision).badges[row.number].name)
            effects.append(decision(of, name, "grant", kind, rule, title, row.control, saw))

    def repeat(self, of: Moment, grant_id: str, grant: Grant, as_of: int, balance: int, effects: Put) -> None:
        """Tell of an offer again that nobody has answered for."""
        grant.repeats, grant.told = grant.repeats + 1, as_of
        self._side.put_grant(of.key, grant_id, grant)
        id = effect_id(of, f"repeat:{grant_id}:{grant.repeats}")
        effects.append(
            _granted(of, id, grant_id, grant.kind, grant.rule, 0, grant.offer, balance, 0, "", grant.repeats)
        )

    def repeat_open(self, of: Moment, row: OpenTold, effects: Put) -> None:
        """Tell of all offers again that wait for a day or more."""
        for key, grant in self._side.waiting_grants(of.key):
            if row.as_of - grant.told >= _DAY_MS:
                self.repeat(of, key.hex(), grant, row.as_of, row.balance, effects)


_AS: dict[int, Any] = {
    MISSION: MissionTold, BADGE: BadgeTold, TIER: TierTold, GRANT: GrantTold, OPEN_GRANTS: OpenTold,
    CAMPAIGN: CampaignTold,
}  # fmt: skip
_TIMES = {"began": "started", "over": "ends"}


def unknown_refund(of: Moment, control: bool) -> Effect:
    """A refund of an event that nobody remembers."""
    return decision(of, "refund:unknown", "refund", "unknown_event", "refund", '""', control, "")


def _award(
    of: Moment, rule: str, kind: str, number: int, title: str, level: int, level_name: str, reason: int
) -> Effect:
    members = award(kind, number, title, level, level_name, reason)
    return told(BADGE_AWARDS, of, effect_id(of, rule), members)


def _granted(
    of: Moment, id: str, grant_id: str, kind: str, rule: str, points: int, offer: int, balance: int,
    month: int, reverses: str, repeat: int,
) -> Effect:  # fmt: skip
    members = (
        f'"grant_id":"{grant_id}","kind":"{kind}","rule":"{rule}","points":{points},"offer":{offer},'
        f'"balance":{balance},"month":{month},"reverses":"{reverses}","repeat":{repeat}'
    )
    return told(REWARD_GRANTS, of, id, members)


def decision(
    of: Moment, name: str, kind: str, decision: str, rule: str, title: str, control: int, saw: str
) -> Effect:
    """What was decided of a rule; `title` and `saw` are JSON."""
    members = f'{decided(kind, decision, rule, title)}{"true" if control else "false"},"conditions":[{saw}]'
    return told(DECISIONS, of, effect_id(of, f"decision:{name}"), members)
