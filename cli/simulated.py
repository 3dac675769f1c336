"""The report of a simulation: a draft's figures beside those of what happened, for programs and for people.

Whatever is counted stands as {"draft", "recorded", "difference"}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import click

from agents.refolding import Stretch
from agents.simulation import Simulated
from agents.tally import STATUSES, Tally
from cli import ui
from loyalty.content import SCORES
from loyalty.game import LEVELS, Game

Count = dict[str, Any]
#: Kinds of grants that move points, besides those that are given by a rule.
_MOVES = ("redeemed", "adjusted", "expired", "reversed", "forfeited")


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
        "customers": _count(len(would.got), len(did.got)),
        "points": {
            "granted": _count(_moved(would, "points"), _moved(did, "points")),
            "owed": _count(*found.owed),
            **{kind: _count(_moved(would, kind), _moved(did, kind)) for kind in _MOVES},
        },
        "missions": [
            {"number": number, "name": name["mission", number]}
            | {each: _count(would.missions[number, each], did.missions[number, each]) for each in STATUSES}
            for number in sorted(templates | {number for number, _ in would.missions | did.missions})
        ],
        "badges": [
            {"number": key[0], "name": name["badge", key[0]], "level": LEVELS[key[1] - 1]}
            | {"awarded": _count(would.badges[key], did.badges[key])}
            for key in sorted(would.badges | did.badges)
        ],
        "tiers": [
            {"name": key[1], "reason": key[2], "reached": _count(would.tiers[key], did.tiers[key])}
            for key in sorted(would.tiers | did.tiers)
        ],
        "offers": [
            {"offer": offer, "name": name.get(("offer", offer), "")}
            | {"granted": _count(would.offers[offer], did.offers[offer])}
            for offer in sorted(would.offers | did.offers)
        ],
        "rules": [
            {"rule": rule, "name": _rule(rule, name)}
            | {"points": _count(would.points["points", rule], did.points["points", rule])}
            for rule in sorted(points, key=_numbers)
        ],
        "scores": [
            {"score": score, "mean": _count(_mean(would, did, n), _mean(did, would, n))}
            for n, score in enumerate(SCORES)
        ],
        "commands": [
            {"status": key[0], "reason": key[1], "answered": _count(would.results[key], did.results[key])}
            for key in sorted(would.results | did.results)
        ],
        "effects": {
            topic: _count(would.effects[topic], did.effects[topic])
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


def _count(draft: float, recorded: float) -> Count:
    return {"draft": draft, "recorded": recorded, "difference": round(draft - recorded, 2)}


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


def show(report: dict[str, Any]) -> None:
    """The report for people: for each figure the draft's, what it was, and how many more."""
    since, until = report["from"] or "its begin", report["to"] or "its end"
    places = report["partitions"]
    begun = sum(each["snapshot"] is not None for each in places)
    click.echo(
        f"{', '.join(report['catalog'])} over catalog revision {report['revision']}; the log from {since} to "
        f"{until}: {report['records']:,} records in {len(places)} partitions, {begun} of them begun from a "
        f"snapshot."
    )
    points, offers = report["points"], [each["granted"] for each in report["offers"]]
    handed_out = _count(sum(each["draft"] for each in offers), sum(each["recorded"] for each in offers))
    _table(
        "In all", ("",), ("draft",),
        [
            (("customers who get something",), (report["customers"],)),
            (("points granted",), (points["granted"],)),
            (("offers to hand out",), (handed_out,)),
            *(((f"points {kind}",), (points[kind],)) for kind in _MOVES if _any(points[kind])),
            (("points owed at the end",), (points["owed"],)),
        ],
    )  # fmt: skip
    ends = ("given", "completed", "expired")
    _table("Missions", ("number", "mission"), ends, _rows(report["missions"], ("number", "name"), ends))
    _table(
        "Badges", ("badge", "level"), ("awarded",), _rows(report["badges"], ("name", "level"), ("awarded",))
    )
    _table("Tiers", ("tier", "way"), ("reached",), _rows(report["tiers"], ("name", "reason"), ("reached",)))
    _table("Points", ("rule", "name"), ("points",), _rows(report["rules"], ("rule", "name"), ("points",)))
    _table(
        "Offers", ("offer", "name"), ("granted",), _rows(report["offers"], ("offer", "name"), ("granted",))
    )
    moved = [each for each in report["scores"] if each["mean"]["difference"]]
    _table("Mean of the last scores", ("score",), ("mean",), _rows(moved, ("score",), ("mean",)))
    refused = [each for each in report["commands"] if each["answered"]["difference"]]
    _table(
        "Commands", ("status", "reason"), ("answered",), _rows(refused, ("status", "reason"), ("answered",))
    )


Row = tuple[Sequence[object], Sequence[Count]]


def _rows(entries: Iterable[dict[str, Any]], labels: Sequence[str], counts: Sequence[str]) -> list[Row]:
    return [([entry[name] for name in labels], [entry[name] for name in counts]) for entry in entries]


def _any(count: Count) -> bool:
    return bool(count["draft"] or count["recorded"])


def _table(title: str, labels: Sequence[str], counts: Sequence[str], rows: Sequence[Row]) -> None:
    if not rows:
        return
    headers = [*labels, *(header for name in counts for header in (name, "was", "more"))]
    click.echo(f"\n{title}")
    ui.show_table(
        headers, [(*known, *(n for count in found for n in count.values())) for known, found in rows]
    )
