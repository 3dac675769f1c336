"""The report of a simulation for people: for each figure the draft's, what it was, and how many more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from agents.simulation_report import MOVES, Count, count
from cli import ui


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
    handed_out = count(sum(each["draft"] for each in offers), sum(each["recorded"] for each in offers))
    _table(
        "In all", ("",), ("draft",),
        [
            (("customers who get something",), (report["customers"],)),
            (("points granted",), (points["granted"],)),
            (("offers to hand out",), (handed_out,)),
            *(((f"points {kind}",), (points[kind],)) for kind in MOVES if _any(points[kind])),
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
    ways = ("triggered", "converted", "control_triggered", "control_converted")
    _table(
        "Campaigns", ("number", "campaign"), [each.replace("_", " ") for each in ways],
        _rows(report["campaigns"], ("number", "name"), ways),
    )  # fmt: skip
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
