"""What a subscription asks for: `eventType=MissionStateChangeEvent&status=completed`, as TMF688 hubs say it.

A name may have several values, separated by commas: one of them must be the record's.  ScoreCrossingEvent
takes `score`, `value` and `direction` instead, and stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from catalog.service import Unfit
from config import topics

SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")
DIRECTIONS = ("up", "down", "both")
CROSSING = "ScoreCrossingEvent"


@dataclass(frozen=True, slots=True)
class Kind:
    """An event type: its topic, the member of `event` that has the record, and what may be asked of it."""

    topic: str
    member: str
    title: str
    fields: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "BadgeAwardEvent": Kind(
        topics.BADGE_AWARDS, "badge", "A badge was awarded", ("name", "number", "level", "level_name")
    ),
    "TierChangeEvent": Kind(
        topics.BADGE_AWARDS, "tier", "A customer came to another tier", ("level", "level_name")
    ),
    "MissionStateChangeEvent": Kind(
        topics.MISSION_PROGRESS, "mission", "A mission was given or ended",
        ("name", "number", "category", "status", "reason"),
    ),
    "RewardGrantEvent": Kind(
        topics.REWARD_GRANTS, "grant", "Points or an offer were granted, or taken", ("kind", "rule", "offer")
    ),
    "CampaignTriggerEvent": Kind(
        topics.CAMPAIGN_TRIGGERS, "trigger", "A campaign was triggered, or what became of it",
        ("campaign", "name", "status", "arm"),
    ),
    CROSSING: Kind(topics.BEHAVIOR_SCORES, "scoreCrossing", "A score has crossed a value"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Crossing:
    """A score that crosses `value`: at or above it is above."""

    score: str
    value: float
    up: bool
    down: bool


@dataclass(frozen=True, slots=True)
class Interest:
    """A query, understood.  `fields`: name -> values of which the record must have one."""

    types: frozenset[str]
    fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    crossing: Crossing | None = None

    def topics(self) -> set[str]:
        """What must be read for it; erasures too, so that dead letters of an erased customer go."""
        return {KINDS[each].topic for each in self.types} | {topics.ERASURES}

    def fits(self, kind: str, record: Mapping[str, Any]) -> bool:
        """Whether a record of this event type is asked for."""
        return kind in self.types and all(
            str(record.get(name)) in values for name, values in self.fields.items()
        )


def parse(query: str) -> Interest:
    """Understand a query; an empty one asks for everything but crossings.  Raises Unfit."""
    try:
        pairs = parse_qsl(query.removeprefix("?"), True, True, max_num_fields=20) if query else []
    except ValueError:
        raise _unfit("is not name=value&name=value") from None
    asked: dict[str, str] = {}
    for name, value in pairs:
        if name in asked:
            raise _unfit(f"says {name} twice: separate values by commas")
        asked[name] = value
    named = asked.pop("eventType", None)
    types = _list(named) if named is not None else frozenset(KINDS) - {CROSSING}
    unknown = sorted(types - set(KINDS))
    if unknown or not types:
        raise _unfit(f"eventType is one or more of {', '.join(KINDS)}")
    if CROSSING in types:
        if len(types) > 1:
            raise _unfit(f"{CROSSING} has a subscription of its own")
        return Interest(types, crossing=_crossing(asked))
    for name in asked:
        for each in sorted(types):
            if name not in KINDS[each].fields:
                known = ", ".join(KINDS[each].fields)
                raise _unfit(f"{each} cannot be asked for {name!r}: only for {known}")
    return Interest(types, {name: _list(value) for name, value in asked.items()})


def _crossing(asked: dict[str, str]) -> Crossing:
    extra = sorted(set(asked) - {"score", "value", "direction"})
    if extra:
        raise _unfit(f"{CROSSING} cannot be asked for {extra[0]!r}: only for score, value, direction")
    if asked.get("score") not in SCORES:
        raise _unfit(f"score is one of {', '.join(SCORES)}")
    try:
        value = float(asked["value"])
    except (KeyError, ValueError):
        value = -1.0
    if not 0 < value <= 100:
        raise _unfit("value is a number above 0, at most 100")
    direction = asked.get("direction", "both")
    if direction not in DIRECTIONS:
        raise _unfit(f"direction is one of {', '.join(DIRECTIONS)}")
    return Crossing(asked["score"], value, direction != "down", direction != "up")


def _list(value: str) -> frozenset[str]:
    return frozenset(each.strip() for each in value.split(",") if each.strip())


def _unfit(message: str) -> Unfit:
    return Unfit("the subscription", [("query", message)])
