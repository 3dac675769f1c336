"""`khaywe grants` and `khaywe points`: what the operator still has to hand out, and what it owes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from cli import ui
from config.settings import Settings, settings
from web.ask_worker import everywhere


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def grants(as_json: bool) -> None:
    """List the offers that nobody has answered for (grant_fulfilled, grant_failed), oldest first.

    They are told again once a day, up to seven times; `khaywe command repeat_grant` tells of one at once.
    """
    found = open_grants(settings())
    if as_json:
        ui.show_json(found)
    elif not found:
        click.echo("no open grants")
    else:
        ui.show_table(
            ["customer", "offer", "granted", "last told", "told again", "rule", "grant_id"],
            [
                [
                    each["customer_id"], each["name"] or f"offer {each['offer']}", each["granted_at"],
                    each["last_told"], each["repeats"], each["rule"], each["grant_id"],
                ]
                for each in found
            ],
        )  # fmt: skip


def open_grants(config: Settings) -> list[dict[str, Any]]:
    """Open grants of all workers, oldest first.  Raises NoAnswer."""
    found = [grant for answer in everywhere(config, "/grants") for grant in answer["grants"]]
    return sorted(found, key=lambda each: (each["granted_at"], each["customer_id"], each["grant_id"]))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def points(as_json: bool) -> None:
    """Show the points owed to customers, by the day from which they are no longer valid."""
    owed = points_owed(settings())
    if as_json:
        ui.show_json({"owed": sum(owed.values()), "by_end": owed})
    elif not owed:
        click.echo("no points are owed")
    else:
        ui.show_table(["ends", "points"], [*owed.items(), ("all", sum(owed.values()))])


def points_owed(config: Settings) -> dict[str, int]:
    """Points owed by all workers' customers, by the day that ends them.  Raises NoAnswer."""
    owed: Counter[str] = Counter()
    for answer in everywhere(config, "/points"):
        for partition in answer["partitions"]:
            owed.update(partition["owed"])
    return dict(sorted(owed.items()))
