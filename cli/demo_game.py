"""What the game did in a demo: missions, badges and points by their topics, and one customer's story."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from agents.tail import Tail
from cli import ui
from cli.timeline import TOPICS, Names, words
from config.settings import Settings
from config.topics import BADGE_AWARDS, CAMPAIGN_TRIGGERS, MISSION_PROGRESS, REWARD_GRANTS
from loyalty.game import CATEGORIES, LEVELS

#: Lines of the story.
LINES = 24

Told = list[tuple[str, str, dict[str, Any]]]


@dataclass(slots=True)
class Played:
    """Counts of what stands on the topics, and of each customer all of it: (time, topic, effect)."""

    missions: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    badges: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    points: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    customers: dict[str, Told] = field(default_factory=lambda: defaultdict(list))


def played(config: Settings) -> Played:
    """Everything on the game's topics.  Raises KafkaAway, NoTopic."""
    found = Played()
    for topic in TOPICS:
        tail = Tail(config, topic)
        try:
            for record in tail.to_end():
                effect: dict[str, Any] = msgspec.json.decode(record.value() or b"{}")
                _count(found, topic, effect)
                found.customers[effect["customer_id"]].append((effect["occurred_at"], topic, effect))
        finally:
            tail.close()
    return found


def _count(found: Played, topic: str, effect: dict[str, Any]) -> None:
    if topic == MISSION_PROGRESS:
        if effect["status"] != "progress":
            found.missions[effect["category"], effect["name"]][effect["status"]] += 1
            found.totals[effect["status"]] += 1
    elif topic == BADGE_AWARDS:
        if effect["kind"] == "badge":
            found.badges[effect["name"]][effect["level_name"]] += 1
            found.totals["badges"] += 1
        else:
            found.totals[f"tier {effect['reason']}"] += 1
    elif topic == CAMPAIGN_TRIGGERS:
        return  # counted by `cli.demo_campaign`, of the projection
    elif effect["kind"] == "points":
        found.points[effect["rule"].partition(":")[0]] += effect["points"]
        found.totals["points"] += effect["points"]
    elif effect["kind"] == "offer" and not effect["repeat"]:
        found.totals["offers"] += 1


def report_game(console: Console, config: Settings) -> str:
    """Print it; the id of the customer whose story it tells, empty where nothing was won."""
    found, names = played(config), Names.read(config)
    totals, points = found.totals, found.points
    console.print("\n[bold]What the game did[/bold]  mission-progress, badge-awards, reward-grants")
    table = ui.grid("", ">")
    table.show_header = False
    for what, count in (
        ("missions given", totals["given"]),
        ("missions completed", totals["completed"]),
        ("missions expired", totals["expired"]),
        ("badge levels awarded", totals["badges"]),
        ("points granted", totals["points"]),
        ("  for missions", points["mission"]),
        ("  for badges", points["badge"]),
        ("  for what was paid", points["earn"]),
        ("offers granted", totals["offers"]),
        ("customers who rose a tier", totals["tier up"]),
    ):
        table.add_row(what, f"{count:,}")
    console.print(table)
    _missions(console, found)
    _badges(console, found)
    if not found.customers:
        return ""
    customer_id = max(found.customers, key=lambda id: (_interest(found.customers[id]), id))
    console.print(f"\n[bold]The story of {customer_id}[/bold]  `khaywe customer show {customer_id}`")
    console.print(_story(found.customers[customer_id], names))
    return customer_id


def _missions(console: Console, found: Played) -> None:
    table = ui.grid("mission", "category", ">given", ">completed", ">expired", ">running")
    order = sorted(found.missions, key=lambda key: (CATEGORIES.index(key[0]), key[1]))
    for category, name in order:
        counts = found.missions[category, name]
        ended = sum(counts[status] for status in ("completed", "expired", "replaced", "cancelled"))
        table.add_row(
            name, category.replace("_", " "), f"{counts['given']:,}", f"{counts['completed']:,}",
            f"{counts['expired']:,}", f"{counts['given'] - ended:,}",
        )  # fmt: skip
    console.print()
    console.print(table)


def _badges(console: Console, found: Played) -> None:
    table = ui.grid("badge", *(f">{level}" for level in LEVELS))
    for name in sorted(found.badges):
        table.add_row(name, *(f"{found.badges[name][level]:,}" for level in LEVELS))
    console.print()
    console.print(table)


def _interest(told: Told) -> tuple[int, int]:
    """Much of all kinds, in few lines."""
    kinds = {
        (topic, effect.get("status", effect.get("kind")), effect.get("category", effect.get("name")))
        for _, topic, effect in told
    }
    lines = len(_turns(told))
    return len(kinds) - max(0, lines - LINES), lines


def _turns(told: Told) -> Told:
    """The turning points: without how far missions were in between, and without what was paid."""
    return [(when, topic, effect) for when, topic, effect in told if _turn(topic, effect)]


def _turn(topic: str, effect: dict[str, Any]) -> bool:
    if topic == MISSION_PROGRESS:
        return bool(effect["status"] != "progress")
    return topic == BADGE_AWARDS


def _story(told: Told, names: Names) -> Table:
    """A line for each turning point, with the rewards it brought."""
    brought: dict[tuple[str, str], list[str]] = defaultdict(list)
    for when, topic, effect in told:
        if topic == REWARD_GRANTS and not effect["repeat"]:
            offer = names.offers.get(effect["offer"], f"offer {effect['offer']}")
            what = f"{effect['points']:+,} points" if effect["points"] else f'the offer "{offer}"'
            brought[when, effect["rule"]].append(what)
    turns = sorted(_turns(told), key=lambda entry: entry[0])
    table = ui.grid("", "")
    table.show_header = False
    for when, topic, effect in turns[-LINES:]:
        rule = f"mission:{effect['number']}"
        if topic == BADGE_AWARDS:
            rule = f"badge:{effect['number']}:{effect['level']}"
        rewards = brought[when, rule] if effect.get("status", "completed") == "completed" else []
        said = words(topic, effect, names) + (f"; {', '.join(rewards)}" if rewards else "")
        table.add_row(when[:16].replace("T", " "), said)
    if len(turns) > LINES:
        table.add_row("", f"({len(turns) - LINES} before that)")
    return table
