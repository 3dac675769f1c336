"""What a fold has told, added up: missions, badges, points, offers, campaigns, scores; in all, by customer.

Two tallies make a comparison: what a draft would have done against what happened.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from config import topics
from loyalty.content import SCORES
from loyalty.effects import (
    BadgeAward,
    BehaviorScores,
    CampaignTrigger,
    CommandResult,
    Effect,
    MissionProgress,
    RewardGrant,
)

_scores = msgspec.json.Decoder(BehaviorScores).decode
_mission = msgspec.json.Decoder(MissionProgress).decode
_badge = msgspec.json.Decoder(BadgeAward).decode
_grant = msgspec.json.Decoder(RewardGrant).decode
_trigger = msgspec.json.Decoder(CampaignTrigger).decode
_result = msgspec.json.Decoder(CommandResult).decode

#: Beginning and ends of a mission, as they are counted.
STATUSES = ("given", "completed", "expired", "replaced", "cancelled")


class Tally:
    """The sums; what is decided for the control group reaches nobody and is not among them."""

    def __init__(self) -> None:
        self.missions: Counter[tuple[int, str]] = Counter()  # template, status
        self.badges: Counter[tuple[int, int]] = Counter()  # badge, level
        self.tiers: Counter[tuple[int, str, str]] = Counter()  # index, name, up or down
        self.grants: Counter[tuple[str, str]] = Counter()  # kind, rule
        self.points: Counter[tuple[str, str]] = Counter()  # kind, rule: points
        self.offers: Counter[int] = Counter()
        self.campaigns: Counter[tuple[int, str, str]] = Counter()  # number, status, arm
        self.results: Counter[tuple[str, str]] = Counter()  # status, reason of commands
        self.effects: Counter[str] = Counter()  # topic
        #: What things were called when they were told of.
        self.names: dict[tuple[str, int], str] = {}
        #: The last scores told of each customer.
        self.scores: dict[str, tuple[float, ...]] = {}
        #: What each customer got: (mission, template, status), (badge, number, level), (points, kind, ""),
        #: (offer, number, ""), (tier, name, up or down), (campaign, number, status) but for control arms.
        self.got: defaultdict[str, Counter[tuple[str, int | str, int | str]]] = defaultdict(Counter)

    def add(self, effects: Iterable[Effect]) -> None:
        """Count effects."""
        for effect in effects:
            self.effects[effect.topic] += 1
            if effect.value is None:
                continue
            if effect.topic == topics.BEHAVIOR_SCORES:
                told = _scores(effect.value)
                self.scores[told.customer_id] = msgspec.structs.astuple(told.scores)
            elif effect.topic == topics.MISSION_PROGRESS:
                self._mission(_mission(effect.value))
            elif effect.topic == topics.BADGE_AWARDS:
                self._badge(_badge(effect.value))
            elif effect.topic == topics.REWARD_GRANTS:
                self._grant(_grant(effect.value))
            elif effect.topic == topics.CAMPAIGN_TRIGGERS:
                self._campaign(_trigger(effect.value))
            elif effect.topic == topics.COMMAND_RESULTS:
                result = _result(effect.value)
                self.results[result.status, result.reason] += 1

    def _mission(self, told: MissionProgress) -> None:
        self.names["mission", told.number] = told.name
        if told.status in STATUSES:
            self.missions[told.number, told.status] += 1
            self.got[told.customer_id]["mission", told.number, told.status] += 1

    def _badge(self, told: BadgeAward) -> None:
        if told.kind == "tier":
            self.tiers[told.level, told.level_name, told.reason] += 1
            self.got[told.customer_id]["tier", told.level_name, told.reason] += 1
            return
        self.names["badge", told.number] = told.name
        self.badges[told.number, told.level] += 1
        self.got[told.customer_id]["badge", told.number, told.level] += 1

    def _grant(self, told: RewardGrant) -> None:
        if told.repeat:
            return  # the same again, not yet answered
        rule = told.rule.partition(":")[0] if told.rule.startswith("refund:") else told.rule
        self.grants[told.kind, rule] += 1
        self.points[told.kind, rule] += told.points
        if told.kind == "offer":
            self.offers[told.offer] += 1
            self.got[told.customer_id]["offer", told.offer, ""] += 1
        else:
            self.got[told.customer_id]["points", told.kind, ""] += told.points

    def _campaign(self, told: CampaignTrigger) -> None:
        self.names["campaign", told.campaign] = told.name
        self.campaigns[told.campaign, told.status, told.arm] += 1
        if told.arm == "treatment":
            self.got[told.customer_id]["campaign", told.campaign, told.status] += 1

    def customer(self, customer_id: str) -> dict[str, Any]:
        """What a customer got, for a program to read; members that hold nothing are left out."""
        missions: dict[str, dict[str, int]] = {}
        campaigns: dict[str, dict[str, int]] = {}
        found: dict[str, Any] = {
            "missions": missions, "badges": [], "points": {}, "offers": {}, "tiers": [],
            "campaigns": campaigns,
        }  # fmt: skip
        for (what, which, how), count in sorted(self.got.get(customer_id, Counter()).items(), key=repr):
            if what == "mission":
                missions.setdefault(self.names["mission", int(which)], {})[str(how)] = count
            elif what == "campaign":
                campaigns.setdefault(self.names["campaign", int(which)], {})[str(how)] = count
            elif what == "badge":
                found["badges"].append({"name": self.names["badge", int(which)], "level": how})
            elif what == "tier":
                found["tiers"].append({"name": which, "reason": how})
            else:
                found["points" if what == "points" else "offers"][str(which)] = count
        if customer_id in self.scores:
            found["scores"] = dict(zip(SCORES, self.scores[customer_id], strict=True))
        return {name: value for name, value in found.items() if value}
