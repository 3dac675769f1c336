"""The report of a simulation for a program: a draft's figures beside those of what happened.

Whatever is counted stands as {"draft", "recorded", "difference"}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from agents.refolding import Stretch
from agents.simulation import Simulated
from agents.tally import STATUSES, Tally
from loyalty.content import SCORES
from loyalty.game import LEVELS, Game

Count = dict[str, Any]
#: Kinds of grants that move points, besides those that are given by a rule.
MOVES = ("redeemed", "adjusted", "expired", "reversed", "forfeited")


def partition(stretch: Stretch) -> dict[str, Any]:
    """A partition of customer-events: where its fold began, offsets and number of the range's records."""
    return {
        "partition": stretch.partition,
        "snapshot": stretch.snapshot.name if stretch.snapshot is not None else None,
        "position": stretch.position,
        "begin": stretch.begin,
        "end": stretch.end,
        "records": stretch.records,
    }


def plain(found: Simulated, draft: Game, base: Game) -> dict[str, Any]:
    """The report for a program to read; templates of the draft that nobody was given are there too."""
    would, did = found.draft, found.recorded
    name = _names(draft, base, would, did)
    templates = {each.number for each in draft.templates if each.active}
    points = {rule for kind, rule in (would.points | did.points) if kind == "points"}
    return {
        "partitions": [partition(stretch) for stretch in found.stretches],
        "records": sum(stretch.records for stretch in found.stretches),
        "customers": count(len(would.got), len(did.got)),
        "points": {
            "granted": count(_moved(would, "points"), _moved(did, "points")),
            "owed": count(*found.owed),
            **{kind: count(_moved(would, kind), _moved(did, kind)) for kind in MOVES},
        },
        "missions": [
            {"number": number, "name": name["mission", number]}
            | {each: count(would.missions[number, each], did.missions[number, each]) for each in STATUSES}
            for number in sorted(templates | {number for number, _ in would.missions | did.missions})
        ],
        "badges": [
            {"number": key[0], "name": name["badge", key[0]], "level": LEVELS[key[1] - 1]}
            | {"awarded": count(would.badges[key], did.badges[key])}
            for key in sorted(would.badges | did.badges)
        ],
        "tiers": [
            {"name": key[1], "reason": key[2], "reached": count(would.tiers[key], did.tiers[key])}
            for key in sorted(would.tiers | did.tiers)
        ],
        "offers": [
            {"offer": offer, "name": name.get(("offer", offer), "")}
            | {"granted": count(would.offers[offer], did.offers[offer])}
            for offer in sorted(would.offers | did.offers)
        ],
        "campaigns": [
            {"number": number, "name": name.get(("campaign", number), "")}
            | {shown: count(would.campaigns[key], did.campaigns[key]) for shown, key in _ways(number)}
            for number in sorted({number for number, _, _ in would.campaigns | did.campaigns})
        ],
        "rules": [
            {"rule": rule, "name": _rule(rule, name)}
            | {"points": count(would.points["points", rule], did.points["points", rule])}
            for rule in sorted(points, key=_numbers)
        ],
        "scores": [
            {"score": score, "mean": count(_mean(would, did, n), _mean(did, would, n))}
            for n, score in enumerate(SCORES)
        ],
        "commands": [
            {"status": key[0], "reason": key[1], "answered": count(would.results[key], did.results[key])}
            for key in sorted(would.results | did.results)
        ],
        "effects": {
            topic: count(would.effects[topic], did.effects[topic])
            for topic in sorted(would.effects | did.effects)
        },
    }


def customers(found: Simulated) -> Iterable[dict[str, Any]]:
    """What became of each customer who got something or whose last scores differ, in the order of ids."""
    draft, recorded = found.draft, found.recorded
    others = {id for id, _ in draft.scores.items() ^ recorded.scores.items()}
    for id in sorted(others | draft.got.keys() | recorded.got.keys()):
        would, did = draft.customer(id), recorded.customer(id)
        yield {"customer_id": id, "differs": would != did, "draft": would, "recorded": did}


def count(draft: float, recorded: float) -> Count:
    return {"draft": draft, "recorded": recorded, "difference": round(draft - recorded, 2)}


def _ways(number: int) -> list[tuple[str, tuple[int, str, str]]]:
    """What is counted of a campaign: its triggers and conversions, and those of its control group."""
    arms = (("", "treatment"), ("control_", "control"))
    return [(f"{of}{what}", (number, what, arm)) for of, arm in arms for what in ("triggered", "converted")]


def _moved(tally: Tally, kind: str) -> int:
    return sum(points for (each, _), points in tally.points.items() if each == kind)


def _mean(tally: Tally, other: Tally, score: int) -> float:
    """Of the last scores of customers who had some in both."""
    values = [scores[score] for id, scores in tally.scores.items() if id in other.scores]
    return round(math.fsum(values) / len(values), 2) if values else 0.0


def _names(draft: Game, base: Game, would: Tally, did: Tally) -> dict[tuple[str, int], str]:
    """What things are called: in the draft, else in the newest revision, else where they were told of."""
    names = did.names | would.names
    for game in (base, draft):
        names |= {("mission", each.number): each.name for each in game.templates}
        names |= {("badge", each.number): each.name for each in game.badges}
        names |= {("campaign", each.number): each.name for each in game.campaigns}
        names |= {("earn", each.number): each.name for each in game.earning}
        names |= {("offer", each.offer_id): each.name for each in game.offers}
    return names


def _rule(rule: str, names: dict[tuple[str, int], str]) -> str:
    """The name of a rule of grants: `mission:12`, `badge:3:2`, `earn:1`."""
    kind, *numbers = rule.split(":")
    name = names.get((kind, int(numbers[0])), "") if numbers else ""
    return f"{name} {LEVELS[int(numbers[1]) - 1]}" if len(numbers) > 1 else name


def _numbers(rule: str) -> list[tuple[str, int]]:
    """A rule as what it is sorted by: its kind, then numbers as numbers."""
    return [("", int(part)) if part.isdecimal() else (part, 0) for part in rule.split(":")]
