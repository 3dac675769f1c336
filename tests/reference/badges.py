"""Badges of the reference, and the rewards of badges and missions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.topics import BADGE_AWARDS
from loyalty.game import LEVELS
from tests.reference import conditions
from tests.reference.customer import Customer
from tests.reference.features import features, seen
from tests.reference.model import Cause
from tests.reference.points import Conditions, Points

Features = Mapping[str, float | None]


class Badges(Points):
    """A level is awarded once, lower levels first."""

    # Conditions over features.

    def _features(self, c: Customer) -> Features:
        return features(c, self._scores(c), self.decimals, self._day)

    def _holds(self, text: str, found: Features) -> bool:
        return conditions.holds(conditions.condition(text), conditions.of_features(found))

    def _seen(self, text: str, found: Features, c: Customer) -> Conditions:
        """The comparisons of a condition, with what they saw."""
        value = conditions.of_features(found)
        return [
            {
                "condition": conditions.text_of(comparison),
                "seen": seen(comparison.name, found[comparison.name], c),
                "holds": conditions.holds(comparison, value),
            }
            for comparison in conditions.comparisons(conditions.condition(text))
        ]

    # Badges.

    def _check_badges(self, c: Customer, found: Features, cause: Cause) -> None:
        for badge in sorted(self.game.badges, key=lambda badge: badge.number):
            if not badge.active:
                continue
            for level, rules in enumerate(badge.levels, 1):
                if (badge.number, level) in c.badges:
                    continue
                if not self._holds(rules.condition, found):
                    break
                self._award(c, badge, level, "earned", cause, self._seen(rules.condition, found, c))

    def _award(self, c: Customer, badge: Any, level: int, reason: str, cause: Cause, why: Conditions) -> None:
        c.badges.add((badge.number, level))
        rule = f"badge:{badge.number}:{level}"
        if not self._control(c):
            members = {
                "kind": "badge",
                "number": badge.number,
                "name": badge.name,
                "level": level,
                "level_name": LEVELS[level - 1],
                "reason": reason,
            }
            self._effect(BADGE_AWARDS, c, rule, cause, members)
        self._decide(c, cause, rule, "badge", "awarded", rule, badge.name, why)
        self._points_and_offer(c, badge.levels[level - 1].rewards, rule, cause, (badge.name, []))

    # Rewards.

    def _reward(
        self, c: Customer, rewards: Any, rule: str, cause: Cause, why: tuple[str, Conditions]
    ) -> None:
        """The rewards of a mission."""
        self._points_and_offer(c, rewards, rule, cause, why)
        for badge in self.game.badges:
            if badge.active and badge.number == rewards.badge:
                for level in range(1, rewards.level + 1):
                    if (badge.number, level) not in c.badges:
                        self._award(c, badge, level, "reward", cause, [])

    def _points_and_offer(
        self, c: Customer, rewards: Any, rule: str, cause: Cause, why: tuple[str, Conditions]
    ) -> None:
        if rewards.points:
            self._reward_points(c, rewards.points, rule, cause, why)
        if rewards.offer != -1:
            self._reward_offer(c, rewards.offer, rule, cause, why)
