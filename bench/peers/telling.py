"""What a Python peer's game tells: effects with their ids and reasons, badges, points, offers and tiers."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from bench.peers.compiled import Asked, Badge, Features, Rule, Rules, Template
from bench.peers.customer import DAY_MS, EPOCH, U4, Customer, Mission, Offer

LOTS = 14
REPEATS = 7

Effect = tuple[str, dict[str, Any]]  # topic and value
Why = list[dict[str, Any]]


class Telling:
    """Effects of one event pile up in `effects`; customer and cause are those being folded."""

    def __init__(self, rules: Rule) -> None:
        self.rules = Rules(rules)
        self.effects: list[Effect] = []
        self._customer_id = ""
        self._cause = ("", "")

    # Badges and tiers.

    def _check_badges(self, c: Customer, found: Features) -> None:
        for place in self.rules.reached(found, c.badges):
            badge = self.rules.badges[place]
            for level in badge.levels[c.badges[place] :]:
                if not level.holds(found):
                    break
                self._award(c, place, badge, "earned", seen(level.asked, found))

    def _award(self, c: Customer, place: int, badge: Badge, reason: str, why: Why) -> None:
        """The next level of a badge."""
        c.badges[place] += 1
        number, level = c.badges[place], badge.levels[c.badges[place] - 1]
        rule = f"badge:{badge.number}:{number}"
        value = {
            "kind": "badge", "number": badge.number, "name": badge.name, "level": number,
            "level_name": level.name, "reason": reason,
        }  # fmt: skip
        self._effect(c, "badge-awards", rule, value)
        self._decide(c, rule, "badge", "awarded", rule, badge.name, why)
        self._reward(c, level.rewards, rule, badge.name, [])

    def _check_tier(self, c: Customer) -> None:
        rules = self.rules
        points = c.year_points if c.year_points > c.last_year_points else c.last_year_points
        tier = bisect_right(rules.tier_points, points) - 1
        if tier != c.tier:
            old, c.tier = c.tier, tier
            value = {
                "kind": "tier", "number": 0, "name": "tier", "level": tier,
                "level_name": rules.tier_names[tier], "reason": "up" if tier > old else "down",
            }  # fmt: skip
            self._effect(c, "badge-awards", f"tier:{old}:{tier}", value)

    # Points and offers.

    def _reward(self, c: Customer, rewards: Rule, rule: str, name: str, why: Why) -> None:
        if points := rewards["points"]:
            c.points_earned = min(c.points_earned + points, U4)
            c.year_points = min(c.year_points + points, U4)
            month = _join_lot(c, points, c.month + self.rules.valid_months + 1)
            self._grant(c, rule, "points", points=points, month=month)
            self._decide(c, f"grant:{rule}:points", "grant", "points", rule, name, why)
        if (offer := rewards["offer"]) != -1:
            grant_id = self._grant(c, rule, "offer", offer=offer)
            c.offers.append(Offer(grant_id, rule, offer, c.as_of))
            self._decide(c, f"grant:{rule}:offer", "grant", "offer", rule, name, why)

    def _grant(
        self, c: Customer, rule: str, kind: str, points: int = 0, offer: int = -1, month: int = 0,
        ordinal: int = 0,
    ) -> str:  # fmt: skip
        effect_rule = f"grant:{rule}:{kind}"
        grant_id = self._id(effect_rule, ordinal)
        value = _granted(grant_id, kind, rule, points, offer, c.balance, month, 0)
        self._effect(c, "reward-grants", effect_rule, value, ordinal)
        return grant_id

    def _repeat_open(self, c: Customer) -> None:
        for offer in sorted(c.offers, key=lambda offer: offer.grant_id):
            if c.as_of - offer.told >= DAY_MS and offer.repeats < REPEATS:
                offer.told, offer.repeats = c.as_of, offer.repeats + 1
                value = _granted(
                    offer.grant_id, "offer", offer.rule, 0, offer.offer, c.balance, 0, offer.repeats
                )
                self._effect(c, "reward-grants", f"repeat:{offer.grant_id}:{offer.repeats}", value)

    def _expire_lots(self, c: Customer) -> None:
        gone = [lot for lot in c.lots if lot[0] <= c.month]
        for ordinal, (month, points) in enumerate(gone):
            c.lots = c.lots[1:]
            c.points_expired = min(c.points_expired + points, U4)
            self._grant(c, "expiry", "expired", points=-points, month=month, ordinal=ordinal)

    # Missions and scores.

    def _tell(self, c: Customer, mission: Mission, template: Template, status: str, reason: str = "") -> None:
        rule = f"progress:{mission.tenths}" if status == "progress" else status
        value = {
            "mission_id": _digest(
                f"{self._customer_id}\x1fmission\x1f{template.number}\x1f{mission.started}"
            ),
            "number": template.number,
            "name": template.name,
            "category": template.category,
            "status": status,
            "reason": reason,
            "progress": mission.progress / template.scale,
            "target": mission.target / template.scale,
            "tenths": 10 if status == "completed" else mission.tenths,
            "started_at": iso(mission.started * 1000),
            "ends_at": iso(mission.ends * 1000),
        }
        self._effect(c, "mission-progress", f"mission:{template.number}:{rule}", value)

    def _publish_moved(self, c: Customer, scores: list[int]) -> None:
        old = c.published
        if scores == old:
            return
        step, bands, crossed = self.rules.step, self.rules.bands, False
        for new, before in zip(scores, old):  # noqa: B905  (five of each, and this is every event)
            if new != before:
                if new - before >= step or before - new >= step:
                    self._publish(c, scores, "moved")
                    return
                crossed = crossed or bisect_right(bands, new) != bisect_right(bands, before)
        if crossed:
            self._publish(c, scores, "band")

    def _publish(self, c: Customer, scores: list[int], reason: str) -> None:
        c.published = scores
        values = {name: score / 100 for name, score in zip(self.rules.score_names, scores, strict=True)}
        value = {"as_of": iso(c.as_of), "reason": reason, "scores": values}
        self._effect(c, "behavior-scores", "scores", value)

    # Effects.

    def _id(self, rule: str, ordinal: int) -> str:
        source, event_id = self._cause
        return _digest(
            f"{self._customer_id}\x1f{rule}\x1f{self.rules.revision}\x1f{source}\x1f{event_id}\x1f{ordinal}"
        )

    def _effect(self, c: Customer, topic: str, rule: str, value: dict[str, Any], ordinal: int = 0) -> None:
        source, event_id = self._cause
        head = {
            "effect_id": self._id(rule, ordinal),
            "customer_id": self._customer_id,
            "occurred_at": iso(c.as_of),
            "revision": self.rules.revision,
            "cause": {"source": source, "event_id": event_id},
        }
        head.update(value)
        self.effects.append((topic, head))

    def _decide(
        self, c: Customer, effect_rule: str, kind: str, decision: str, rule: str, name: str, why: Why
    ) -> None:
        value = {
            "kind": kind, "decision": decision, "rule": rule, "name": name, "control": False,
            "conditions": why,
        }  # fmt: skip
        self._effect(c, "decisions", f"decision:{effect_rule}", value)


@lru_cache(4096)
def iso(ms: int) -> str:
    """Milliseconds since 1970 as they are written; the times of an event's effects are often the same."""
    seconds = ms // 1000
    day, minutes = _date(seconds // 86_400), seconds // 60 % 1_440
    return f"{day}T{minutes // 60:02}:{minutes % 60:02}:{seconds % 60:02}.{ms % 1000:03}Z"


@lru_cache(4096)
def _date(day: int) -> str:
    return date.fromordinal(EPOCH + day).isoformat()


def seen(asked: Asked, found: Features) -> Why:
    """The comparisons of a condition with what they saw."""
    return [{"condition": text, "seen": found[at], "holds": holds(found)} for text, at, holds in asked]


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _granted(
    grant_id: str, kind: str, rule: str, points: int, offer: int, balance: int, month: int, repeat: int
) -> dict[str, Any]:
    return {
        "grant_id": grant_id, "kind": kind, "rule": rule, "points": points, "offer": offer,
        "balance": balance, "month": month, "reverses": "", "repeat": repeat,
    }  # fmt: skip


def _join_lot(c: Customer, points: int, month: int) -> int:
    """Put points into the lot of a month; the month of the lot that took them."""
    for lot in c.lots:
        if lot[0] == month:
            lot[1] = min(lot[1] + points, U4)
            return month
    if len(c.lots) < LOTS:
        c.lots.append([month, points])
        c.lots.sort()
        return month
    lot = next((each for each in c.lots if each[0] > month), c.lots[-1])
    lot[0] = max(lot[0], month)
    lot[1] = min(lot[1] + points, U4)
    return lot[0]
