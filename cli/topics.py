"""`khaywe topics create|list|check`: khaywe's topics on the brokers, against the registry."""

from __future__ import annotations

from dataclasses import asdict

import click

from cli import ui
from cli.main import Failure
from config.settings import settings
from config.topics import DAY_MS, Topic, registry
from streams import topics as on_brokers

json_option = click.option("--json", "as_json", is_flag=True, help="For a program to read.")


@click.group()
def topics() -> None:
    """Create, list and check khaywe's topics."""


@topics.command()
@click.option("--alter", is_flag=True, help="Also bring the configuration of those that exist in line.")
def create(alter: bool) -> None:
    """Make the topics that are missing."""
    mine = settings()
    made = on_brokers.create(mine)
    altered = on_brokers.alter(mine) if alter else []
    for name in made:
        click.echo(f"made {name}")
    for name in altered:
        click.echo(f"altered {name}")
    if not made and not altered:
        click.echo("Nothing to do: all topics are there.")


@topics.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show every topic: how it must be, and whether it is there."""
    mine = settings()
    wanted = registry(mine)
    found = on_brokers.find(mine, [topic.name for topic in wanted])
    if as_json:
        ui.show_json(
            [
                {
                    "name": topic.name,
                    "key": topic.key,
                    "about": topic.about,
                    "partitions": topic.partitions(mine),
                    "replication": mine.replication,
                    "config": topic.config(),
                    "exists": topic.name in found,
                }
                for topic in wanted
            ]
        )
        return
    ui.show_table(
        ("topic", "there", "partitions", "kept", "key", "what it holds"),
        [
            (topic.name, topic.name in found, topic.partitions(mine), _kept(topic), topic.key, topic.about)
            for topic in wanted
        ],
    )


@topics.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Compare the brokers with the registry; exit code 1 where they differ."""
    problems = on_brokers.check(settings())
    if as_json:
        ui.show_json([asdict(problem) for problem in problems])
        ctx.exit(1 if problems else 0)
    if problems:
        ui.show_table(("topic", "problem", "what to do"), [(p.topic, p.what, p.todo) for p in problems])
        raise Failure(f"the brokers differ from what khaywe needs in {len(problems)} things")
    click.echo("All topics are as they must be.")


def _kept(topic: Topic) -> str:
    if topic.compacted:
        return "last of each key"
    retention = int(topic.config()["retention.ms"])
    return "for ever" if retention < 0 else f"{retention // DAY_MS} days"
