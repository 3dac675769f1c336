"""What a demo ends with: what went in, what came out, and who stands where."""

from __future__ import annotations

import urllib.request
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.text import Text

from agents.dead_letters import Letter, read
from agents.tail import Tail
from cli import ui
from cli.customer import bar, scores_table
from cli.demo_foretold import report_predictions
from cli.demo_game import report_game
from cli.demo_input import SOURCES
from config import topics
from config.settings import Settings
from config.topics import raw_topic
from streams.names import NORMALIZER_GROUP
from web.ask_worker import fetch, web_url

BEST = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """What a worker's metrics say; `reads`: how many partitions its normaliser reads."""

    reads: int
    normalised: Counter[str]
    dead_by_source: Counter[str]
    folded: int
    published: int
    customers: int
    counted: Counter[str]


def figures(config: Settings) -> Figures:
    """As of now, of the demo's one worker."""
    with urllib.request.urlopen(f"{web_url(config)}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))

    def by(name: str, label: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for labels, value in found.get(name, []):
            counts[labels[label]] += int(value)
        return counts

    read_in, out = by("khaywe_records_in_total", "topic"), by("khaywe_records_out_total", "topic")
    return Figures(
        reads=by("khaywe_partitions", "app")[NORMALIZER_GROUP],
        normalised=Counter({s["name"]: read_in[raw_topic(s["name"])] for s in SOURCES}),
        dead_by_source=by("khaywe_dead_letters_total", "source"),
        folded=read_in[topics.CUSTOMER_EVENTS],
        published=out[topics.BEHAVIOR_SCORES],
        customers=sum(by("khaywe_customer_rows", "partition").values()),
        counted=by("khaywe_events_total", "kind"),
    )


def report(console: Console, config: Settings, now: Figures, seconds: float | None) -> str:
    """Print everything; `seconds`: how long the records took, where they were sent in this run.

    Returns the customer whose story is told.
    """
    records = sum(now.normalised.values())
    if seconds is not None:
        console.print(
            Text.assemble(
                "\n", (f"{records / seconds:,.0f} records a second", "bold green"),
                f": {records:,} in {seconds:.1f} s from the first one sent to the last one folded,"
                " two hops, exactly once, Kafka and all on this machine.",
            )
        )  # fmt: skip
    letters = [entry for entry in read(config) if isinstance(entry, Letter)]
    console.print("\n[bold]What went in[/bold]")
    table = ui.grid("source", "type", ">records", ">events", ">dead letters")
    for source in SOURCES:
        name = source["name"]
        count, dead = now.normalised[name], now.dead_by_source[name]
        table.add_row(name, source["source_type"], f"{count:,}", f"{count - dead:,}", f"{dead:,}")
    console.print(table)

    scores = _scores(config)
    console.print("\n[bold]What came out[/bold]")
    table = ui.grid("", ">")
    table.show_header = False
    for what, count in (
        ("customers in the table", now.customers),
        ("customers with scores on behavior-scores", len(scores)),
        ("records on behavior-scores", now.published),
        ("events that a source sent twice, counted once", now.counted["duplicates"]),
        ("events too late for their window", now.counted["late_events"]),
        ("dead letters", len(letters)),
    ):
        table.add_row(what, f"{count:,}")
    console.print(table)

    if letters:
        console.print("\n[bold]Dead letters[/bold]  `khaywe dead-letters list`")
        table = ui.grid("reason", ">records", "the first one says")
        counts = Counter(letter.reason for letter in letters)
        for reason, count in counts.most_common():
            first = next(letter for letter in letters if letter.reason == reason)
            table.add_row(reason, str(count), _short(first.message))
        console.print(table)

    console.print("\n[bold]Highest and lowest[/bold]  behavior-scores, as of the end of the data")
    _ranking(console, scores)
    best = max(scores, key=lambda customer: (scores[customer]["engagement"], customer))
    console.print(f"\n[bold]One customer, explained[/bold]  `khaywe customer show {best}`\n")
    console.print(scores_table(fetch(config, best)["scores"]))
    told = report_game(console, config) or best
    report_predictions(console, config)
    return told


def _ranking(console: Console, scores: dict[str, dict[str, float]]) -> None:
    table = ui.grid("", "highest", ">", "", "lowest", ">")
    for name in next(iter(scores.values())):
        ranked = sorted(scores, key=lambda customer: (-scores[customer][name], customer))
        rows = zip(ranked[:BEST], reversed(ranked[-BEST:]), strict=True)
        for place, (high, low) in enumerate(rows):
            value = scores[high][name]
            table.add_row(
                Text(name if place == 0 else "", "bold"), high, f"{value:.2f}", bar(value / 100, "green"),
                low, f"{scores[low][name]:.2f}", end_section=place == BEST - 1,
            )  # fmt: skip
    console.print(table)


def _scores(config: Settings) -> dict[str, dict[str, float]]:
    """The last scores of each customer."""
    found: dict[str, dict[str, float]] = {}
    tail = Tail(config, topics.BEHAVIOR_SCORES)
    try:
        for record in tail.to_end():
            effect: dict[str, Any] = msgspec.json.decode(record.value() or b"{}")
            found[effect["customer_id"]] = effect["scores"]
    finally:
        tail.close()
    return found


def _short(message: str, most: int = 70) -> str:
    return message if len(message) <= most else message[: most - 1] + "…"
