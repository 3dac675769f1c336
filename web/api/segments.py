"""Segments: words of customers' profiles that the catalog speaks of, and conditions that name customers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from loyalty.conditions import ConditionError, comparisons, parse
from loyalty.game import Game, OnCrossing
from loyalty.vocabulary import KINDS

#: The profile's word.
SEGMENT = "segment"


def canonical(condition: str) -> str:
    """A condition as khaywe writes it; `all` for everybody.  Raises ConditionError."""
    if condition.strip() == "all":
        return "all"
    node = parse(condition, KINDS)
    if node is None:
        raise ConditionError("column 1: a condition expected; `all` names everybody")
    return str(node)


def segments_of(game: Game) -> list[dict[str, Any]]:
    """By name: what of the game speaks of each segment."""
    found: defaultdict[str, set[str]] = defaultdict(set)

    def read(condition: str, place: str) -> None:
        for each in comparisons(parse(condition, KINDS)):
            if each.name == SEGMENT:
                for word in each.literals:
                    found[str(word)].add(place)

    for template in game.templates:
        read(template.eligibility, f"mission {template.name}")
    for badge in game.badges:
        for level in badge.levels:
            read(level.condition, f"badge {badge.name}")
    for campaign in game.campaigns:
        read(campaign.audience, f"campaign {campaign.name}")
        if isinstance(campaign.trigger, OnCrossing):
            read(campaign.trigger.when, f"campaign {campaign.name}")
    for offer in game.offers:
        for word in offer.segments:
            found[word].add(f"offer {offer.name}")
    return [{"name": name, "used_by": sorted(places)} for name, places in sorted(found.items())]
