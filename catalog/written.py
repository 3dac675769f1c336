"""The rules of the game as YAML: what `catalog.entries` reads, made from `loyalty.game` again.

What is as usual is left out, so that an export reads like the files that people write.
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from catalog.campaign_entry import WEEKDAYS
from catalog.entries import IMPLIED
from catalog.entry import GROUPS, in_words, of_day
from loyalty.game import (
    LEVELS,
    Badge,
    Campaign,
    Contact,
    Earning,
    Game,
    Goal,
    Limits,
    Offer,
    OnCrossing,
    OnEvent,
    Reward,
    Template,
)

#: File of an export -> what stands in it.
FILES: dict[str, tuple[str, ...]] = {
    "templates.yaml": ("templates",),
    "badges.yaml": ("badges",),
    "tiers.yaml": ("tiers",),
    "earning.yaml": ("points_valid_months", "earning"),
    "offers.yaml": ("offers",),
    "campaigns.yaml": ("contact", "campaigns"),
}


def written(game: Game) -> dict[str, Any]:
    """The whole game, section by section."""
    return {
        "templates": [_template(template, game) for template in game.templates],
        "badges": [_badge(badge, game) for badge in game.badges],
        "tiers": [msgspec.to_builtins(tier) for tier in game.tiers],
        "points_valid_months": game.points_valid_months,
        "earning": [_earning(rule) for rule in game.earning],
        "offers": [_offer(offer) for offer in game.offers],
        "contact": contact(game.contact),
        "campaigns": [_campaign(campaign, game) for campaign in game.campaigns],
    }


def files(game: Game) -> dict[str, str]:
    """The text of each of `FILES`."""
    found = written(game)
    return {name: dump({each: found[each] for each in sections}) for name, sections in FILES.items()}


def dump(value: Any) -> str:
    """A value as YAML in its own order; what is small stands in one line."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


class _Texts(dict[str, str]):
    """Sentences, each in lines of its own."""


class _Dumper(yaml.SafeDumper):
    """YAML for people to edit."""


_Dumper.add_representer(
    _Texts, lambda dumper, texts: dumper.represent_mapping("tag:yaml.org,2002:map", texts, flow_style=False)
)


def _template(template: Template, game: Game) -> dict[str, Any]:
    goal = _unusual(template.goal, Goal(template.goal.kind, []), "kind") | {
        "types": _grouped(template.goal.types)
    }
    if template.goal.gap:
        goal["gap"] = _in_days(template.goal.gap)
    target = msgspec.to_builtins(template.target)
    found: dict[str, Any] = {
        "number": template.number,
        "name": template.name,
        "category": template.category,
        "description": template.description,
        "eligibility": template.eligibility,
        "after": template.after,
        "goal": goal,
        "target": target.pop("value") or target,
        "duration": _in_days(template.duration_days),
        "cooldown": _in_days(template.cooldown_days),
        "priority": template.priority,
        "rewards": _rewards(template.rewards, game),
        "limits": _unusual(template.limits, Limits()),
        "active": template.active,
    }
    if template.goal.kind in IMPLIED:
        del found["target"]
    return _without(found, description="", eligibility="", after=[], rewards={}, limits={}, active=True)


def _badge(badge: Badge, game: Game) -> dict[str, Any]:
    levels = {
        name: _without({"condition": level.condition, "rewards": _rewards(level.rewards, game)}, rewards={})
        for name, level in zip(LEVELS, badge.levels, strict=True)
    }
    found = {
        "number": badge.number,
        "name": badge.name,
        "description": badge.description,
        "levels": levels,
        "active": badge.active,
    }
    return _without(found, description="", active=True)


def _rewards(reward: Reward, game: Game) -> dict[str, Any]:
    found: dict[str, Any] = {"points": reward.points} if reward.points else {}
    if reward.offer >= 0:
        found["offer"] = _offer_name(reward.offer, game)
    if reward.badge >= 0:
        name = next(badge.name for badge in game.badges if badge.number == reward.badge)
        found["badge"] = {"name": name, "level": LEVELS[reward.level - 1]}
    return found


def _earning(rule: Earning) -> dict[str, Any]:
    return _without(msgspec.to_builtins(rule) | {"types": _grouped(rule.types)}, where="")


def _offer(offer: Offer) -> dict[str, Any]:
    return _unusual(offer, Offer(-1, ""), "offer_id", "name")


def _offer_name(number: int, game: Game) -> str:
    return next(offer.name for offer in game.offers if offer.offer_id == number)


def contact(rules: Contact) -> dict[str, Any]:
    """The rules of contact, nothing left out."""
    found: dict[str, Any] = msgspec.to_builtins(rules)
    return found | {
        "days": _in_days(rules.days),
        "quiet_from": of_day(rules.quiet_from),
        "quiet_to": of_day(rules.quiet_to),
    }


def _campaign(campaign: Campaign, game: Game) -> dict[str, Any]:
    match campaign.trigger:
        case OnEvent(types=types, where=where):
            trigger = {"kind": "event", "types": _grouped(types), "where": where}
        case OnCrossing(when=when):
            trigger = {"kind": "crossing", "when": when}
        case schedule:
            trigger = {"kind": "schedule", "weekdays": [WEEKDAYS[day - 1] for day in schedule.weekdays]}
    limits = {name: getattr(campaign, name) for name in ("per_customer", "total", "budget")}
    conversion = {"types": _grouped(campaign.conversion.types), "where": campaign.conversion.where}
    found = {
        "number": campaign.number,
        "name": campaign.name,
        "description": campaign.description,
        "trigger": _without(trigger, where="", weekdays=[]),
        "audience": campaign.audience,
        "priority": campaign.priority,
        "valid_from": in_words(campaign.valid_from),
        "valid_to": in_words(campaign.valid_to),
        "cooldown": _in_days(campaign.cooldown_days),
        "limits": {name: most for name, most in limits.items() if most},
        "cost": campaign.cost,
        "service": campaign.service,
        "control_share": campaign.control_share,
        "conversion": _without(conversion, types=[], where=""),
        "window": _in_days(campaign.window_days),
        "offer": _offer_name(campaign.offer, game) if campaign.offer >= 0 else None,
        "offer_config": campaign.offer_config,
        "product_id": int(campaign.product.product_id) if campaign.product is not None else None,
        "product_config": campaign.product_config,
        "messages": _Texts(campaign.messages),
        "active": campaign.active,
    }
    return _without(
        found, description="", audience="", priority=0, valid_from="", valid_to="", limits={}, cost=0,
        service=False, control_share=0.0, conversion={}, offer=None, offer_config={}, product_id=None,
        product_config={}, messages={}, active=True,
    )  # fmt: skip


def _grouped(types: list[str]) -> list[str]:
    found, left = [], set(types)
    for word, group in GROUPS.items():
        if group <= left:
            found.append(word)
            left -= group
    return found + [name for name in types if name in left]


def _in_days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _unusual(struct: msgspec.Struct, usual: msgspec.Struct, *always: str) -> dict[str, Any]:
    return {
        name: value
        for name, value in msgspec.to_builtins(struct).items()
        if name in always or value != getattr(usual, name)
    }


def _without(found: dict[str, Any], **usual: Any) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in usual or value != usual[name]}
