"""`khaywe customer`: what a customer's worker knows of it, what was told and foretold of it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli import ui
from cli.predicted import foretold, prediction_table
from cli.timeline import Names, timeline, words
from config.settings import settings
from web.ask_worker import fetch

BAR = 20  # characters
#: Predictions that are shares of 1.
SHARES = ("churn", "propensity", "campaign_response", "default_risk", "upsell")
#: Ends of counters' names: what they count over.
WINDOWS = ("30_days", "90_days", "lifetime")


@click.group()
def customer() -> None:
    """What is known of a customer."""


@customer.command()
@click.argument("customer_id", metavar="ID")
@click.option("--events", default=12, show_default=True, metavar="N", help="Entries of the timeline.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def show(customer_id: str, events: int, as_json: bool) -> None:
    """Show scores with what they are made of, missions, badges, points, timeline, counters, profile."""
    config = settings()
    found = fetch(config, customer_id)
    with ui.progress_line() as line:

        def progress(done: int, all_: int) -> None:
            line(f"looking for what was told of {customer_id}", done / all_ if all_ else 1.0)

        told = timeline(config, customer_id, events, progress) if events else []
    if as_json:
        ui.show_json(found | {"timeline": [{"topic": topic, **effect} for _, topic, effect in told]})
        return
    names = Names.read(config) if told else Names()
    lines = [(when, words(topic, effect, names)) for when, topic, effect in told]
    ui.console().print(portrait(found, lines))


@customer.command()
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def predictions(customer_id: str, as_json: bool) -> None:
    """Show what models said of a customer last, and why."""
    config = settings()
    found = foretold(config, customer_id)
    if as_json:
        ui.show_json([record | {"explained": [asdict(each) for each in told]} for record, told in found])
        return
    if not found:
        click.echo(f"Nothing was foretold of {customer_id}.")
        return
    names = Names.read(config)
    for record, told in found:
        ui.console().print(prediction_table(record, told, names))


def portrait(found: dict[str, Any], told: Sequence[tuple[str, str]] = ()) -> Group:
    """What `fetch` gives, for people; `told`: the timeline, (time, words), oldest first."""
    head = Text.assemble(
        (found["customer_id"], "bold"), f"  as of {found['as_of']}, catalog revision {found['revision']}"
    )
    if found.get("state", "open") != "open":
        to = f" to {found['linked_to']}" if "linked_to" in found else ""
        head.append(f", {found['state']}{to}", "bold red")
    if found.get("opted") == "out":
        head.append(", opted out", "bold red")
    parts: list[Any] = [head, Text(), scores_table(found["scores"])]
    if found.get("predictions"):
        parts += [Text(), _foretold(found["predictions"], found.get("currency", ""))]
    if found.get("missions"):
        parts += [Text(), missions_table(found["missions"])]
    if found.get("badges"):
        parts += [Text(), _badges(found["badges"])]
    if "points" in found:
        parts += [Text(), _points(found["points"])]
    if found.get("campaigns"):
        parts += [Text(), _campaigns(found["campaigns"])]
    if found.get("grants"):
        parts += [Text(), _grants(found["grants"])]
    if told:
        parts += [Text(), timeline_table(told)]
    parts += [Text(), _counters(found["counters"])]
    if found.get("profile"):
        parts += [Text(), _pairs("profile", found["profile"])]
    if found.get("recent"):
        parts += [Text(), _recent(found["recent"])]
    return Group(*parts)


def _foretold(sets: dict[str, dict[str, Any]], currency: str) -> Table:
    table = _table(("prediction", ""), ("", "right"), ("as of", ""))
    for values in sets.values():
        when = values["as_of"][:16].replace("T", " ") if values["as_of"] else ""
        for name, value in values.items():
            if name == "as_of":
                continue
            shown = "unknown"
            if isinstance(value, dict):
                shown = value["name"] or f"offer {value['offer_id']}"
            elif value is not None:
                shown = f"{value:.1%}" if name in SHARES else number(value)
                shown += f" {currency}" if name == "lifetime_value" else ""
            table.add_row(name.replace("_", " "), shown, when)
    return table


def missions_table(missions: list[dict[str, Any]]) -> Table:
    """Running missions with how far they are."""
    table = _table(
        ("mission", ""), ("", ""), ("", "right"), ("progress", "right"), ("of", "right"), ("ends", "")
    )
    for each in missions:
        ends = each["ends_at"][:16].replace("T", " ") if each["ends_at"] else "waits for its account"
        table.add_row(
            each["name"], bar(each["percent"] / 100, "magenta"), f"{each['percent']} %",
            number(each["progress"]), number(each["target"]), ends,
        )  # fmt: skip
    return table


def _badges(badges: list[dict[str, Any]]) -> Table:
    table = _table(("badge", ""), ("level", ""))
    for each in badges:
        table.add_row(each["name"], each["level_name"])
    return table


def _points(points: dict[str, Any]) -> Table:
    table = _table(("points", ""), ("", "right"), ("", ""))
    table.add_row("balance", number(points["balance"]), f"debt {points['debt']:,}" if points["debt"] else "")
    if points["tier"]:
        above = points["next_tier"]
        to_go = f"{above['points_missing']:,} points to {above['name']}" if above else "the highest"
        table.add_row("tier", points["tier"], to_go)
    table.add_row("earned this year", number(points["earned_this_year"]), "")
    if points["expiring_next"]:
        table.add_row(
            "next to end", number(points["expiring_next"]["points"]), points["expiring_next"]["ends"]
        )
    return table


def _campaigns(campaigns: list[dict[str, Any]]) -> Table:
    table = _table(("campaign", ""), ("", ""), ("times", "right"), ("last triggered", ""), ("", ""))
    for each in campaigns:
        until = f"held until {each['held_until']}" if each["held_until"] else ""
        table.add_row(
            each["name"] or f"number {each['number']}",
            each["status"] + (" (control)" if each["arm"] == "control" else ""),
            str(each["times"]), each["triggered_at"], until,
        )  # fmt: skip
    return table


def _grants(grants: list[dict[str, Any]]) -> Table:
    table = _table(("open grant", ""), ("granted", ""), ("told again", "right"), ("id", ""))
    for each in grants:
        table.add_row(
            each["name"] or f"offer {each['offer']}",
            each["granted_at"],
            str(each["repeats"]),
            each["grant_id"],
        )
    return table


def timeline_table(told: Sequence[tuple[str, str]]) -> Table:
    """What was told of a customer, oldest first."""
    table = _table(("timeline", ""), ("", ""))
    for when, what in told:
        table.add_row(when[:16].replace("T", " "), what)
    return table


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return table


def scores_table(scores: dict[str, Any]) -> Table:
    """Each score, and each component's measure and points."""
    table = _table(
        ("score", ""), ("measure", "right"), ("full at", "right"), ("points", "right"), ("of", "right"),
        ("", ""),
    )  # fmt: skip
    for name, score in scores.items():
        table.add_row(
            Text(name, "bold"), "", "", Text(f"{score['value']:.2f}", "bold"), Text("100", "bold"),
            bar(score["value"] / 100, "green"),
        )  # fmt: skip
        for component, part in score["components"].items():
            weight = part["weight"]
            table.add_row(
                f"  {component}", number(part["measure"]), number(part["full_at"]), f"{part['points']:.2f}",
                number(weight), bar(part["points"] / weight if weight else 0, "cyan"),
            )  # fmt: skip
    return table


def bar(share: float, colour: str) -> Text:
    """A bar of BAR characters, filled to a share in 0..1."""
    full = round(share * BAR)
    return Text.assemble(("█" * full, colour), ("░" * (BAR - full), "dim"))


def number(value: float) -> str:
    """With thousands, and at most two decimals."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def _counters(counters: dict[str, Any]) -> Group:
    """A row for each thing counted, a column for each window; what has none stands below."""
    windows = {name: window for name in counters for window in WINDOWS if name.endswith(f"_{window}")}
    things = dict.fromkeys(name.removesuffix(f"_{window}") for name, window in windows.items())
    table = _table(("counter", ""), *((window.replace("_", " "), "right") for window in WINDOWS))
    for thing in things:
        table.add_row(thing, *(_plain(counters.get(f"{thing}_{window}")) for window in WINDOWS))
    rest = {name: value for name, value in counters.items() if name not in windows}
    return Group(table, Text(), _pairs("", rest)) if rest else Group(table)


def _pairs(title: str, values: dict[str, Any]) -> Table:
    table = _table((title, ""), ("", "right"))
    table.show_header = bool(title)
    for name, value in values.items():
        table.add_row(name, _plain(value))
    return table


def _recent(events: list[dict[str, Any]]) -> Table:
    table = _table(("last events", ""), ("", ""), ("value", "right"))
    for event in events:
        table.add_row(event["occurred_at"], event["event_type"], number(event["value"]))
    return table


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)
