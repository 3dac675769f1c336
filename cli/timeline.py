"""What the game told of a customer, in words: missions, badges, points, offers, campaigns as they came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.history import Progress, newest, nobody
from agents.tail import Tail
from catalog.content import decode
from config import topics
from config.settings import Settings
from loyalty.game import Game

#: Topics that a timeline is made of, in the order of what happens at one moment.
TOPICS = (topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS, topics.CAMPAIGN_TRIGGERS)


@dataclass(frozen=True, slots=True)
class Names:
    """What the newest revision calls things, by number."""

    missions: dict[int, str] = field(default_factory=dict)
    badges: dict[int, str] = field(default_factory=dict)
    earning: dict[int, str] = field(default_factory=dict)
    offers: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(game: Game) -> Names:
        """Those of a game."""
        return Names(
            {template.number: template.name for template in game.templates},
            {badge.number: badge.name for badge in game.badges},
            {rule.number: rule.name for rule in game.earning},
            {offer.offer_id: offer.name for offer in game.offers},
        )

    @staticmethod
    def read(config: Settings) -> Names:
        """Those of the newest revision on the topic catalog.  Raises KafkaAway, NoTopic."""
        tail = Tail(config, topics.CATALOG)
        try:
            contents = [decode(record.value() or b"") for record in tail.to_end()]
        finally:
            tail.close()
        newest = max(contents, key=lambda content: content.revision, default=None)
        return Names() if newest is None else Names.of(newest.game)

    def rule(self, rule: str) -> str:
        """Where points or an offer come from: `mission:12` as the name of that template."""
        kind, _, rest = rule.partition(":")
        number, _, level = rest.partition(":")
        if kind == "mission":
            return self.missions.get(int(number), rule)
        if kind == "badge":
            return f"{self.badges.get(int(number), rest)}, level {level}"
        if kind == "earn":
            return self.earning.get(int(number), rule)
        return {"command": "a command", "expiry": "expiry", "ended": "leaving"}.get(kind, kind)


def timeline(
    config: Settings, customer_id: str, most: int, progress: Progress = nobody
) -> list[tuple[str, str, dict[str, Any]]]:
    """(time, topic, effect) of the newest effects of a customer, oldest first.  Raises KafkaAway, NoTopic."""
    found = [
        (effect["occurred_at"], topic, effect)
        for topic in TOPICS
        for effect in newest(config, topic, customer_id, most, progress=progress)
    ]
    found.sort(key=lambda entry: entry[0])  # stable: of one moment in the order of TOPICS
    return found[-most:]


def words(topic: str, effect: dict[str, Any], names: Names) -> str:
    """An effect in words."""
    if topic == topics.MISSION_PROGRESS:
        return _mission(effect)
    if topic == topics.BADGE_AWARDS:
        if effect["kind"] == "tier":
            return f"tier: {effect['reason']} to {effect['level_name']}"
        return f"badge {effect['name']}, {effect['level_name']}"
    if topic == topics.CAMPAIGN_TRIGGERS:
        return _campaign(effect, names)
    return _grant(effect, names)


def _campaign(effect: dict[str, Any], names: Names) -> str:
    name, status = effect["name"] or f"number {effect['campaign']}", effect["status"]
    by = f" by an {effect['by']}" if effect["by"] else ""
    offer = names.offers.get(effect["offer"], f"number {effect['offer']}") if effect["offer"] >= 0 else ""
    goes_along = [
        *([f"offer {offer}"] if offer else []),
        *([f"product {effect['product']['name']}"] if effect["product"] else []),
        *([f"“{effect['message'].strip()}”"] if effect["message"].strip() else []),
    ]
    more = f": {', '.join(goes_along)}" if goes_along else ""
    return f"campaign {name} {status}{by}{' (control group)' if effect['arm'] == 'control' else ''}{more}"


def _mission(effect: dict[str, Any]) -> str:
    name, status = effect["name"], effect["status"]
    of = f"{amount(effect['progress'])} of {amount(effect['target'])}"
    if status == "given":
        return f"mission {name}: {amount(effect['target'])} until {effect['ends_at'][:10]}"
    if status == "progress":
        return f"mission {name}: {of}"
    reason = f" ({effect['reason'].replace('_', ' ')})" if effect["reason"] else ""
    return f"mission {name} {status}{reason}: {of}"


def _grant(effect: dict[str, Any], names: Names) -> str:
    kind, points = effect["kind"], effect["points"]
    source = names.rule(effect["rule"])
    if effect["offer"] >= 0:
        offer = names.offers.get(effect["offer"], f"number {effect['offer']}")
        again = f", told again ({effect['repeat']})" if effect["repeat"] else ""
        what = "taken back" if kind == "reversed" else f"for {source}"
        return f"offer {offer} {what}{again}"
    balance = f"balance {effect['balance']:,}"
    if kind == "points":
        return f"{points:+,} points for {source}, {balance}"
    return f"{points:+,} points {kind}, {balance}"


def amount(value: float) -> str:
    """A number with thousands and at most two decimals."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.2f}"
