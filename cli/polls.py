"""`khaywe poll`: data sources that are fetched on a schedule, fetched now, and how they stand."""

from __future__ import annotations

from dataclasses import asdict

import click

from agents.polling import PREFIX, poll_now, poll_states
from cli import ui
from cli.source import json_option, open_catalog
from config.settings import settings


@click.group()
def poll() -> None:
    """Data sources whose records workers fetch: how they stand, and now instead of later."""


@poll.command()
@click.argument("name")
@json_option
def now(name: str, as_json: bool) -> None:
    """Fetch what is new of a polled data source, now."""
    config = settings()
    with open_catalog(config) as service:
        source = service.source(name)
    done = poll_now(config, source)
    if as_json:
        ui.show_json(asdict(done))
        return
    click.echo(f"{done.records:,} records in {done.pages:,} pages written to {source.topic}")
    if done.refused:
        click.echo(f"{done.refused:,} of them are dead letters: too large for a topic")


@poll.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show how the polled data sources stand."""
    config = settings()
    with open_catalog(config):
        pass  # the tables are there then
    found = poll_states(config)
    if as_json:
        ui.show_json([asdict(each) | {"name": each.name.removeprefix(PREFIX)} for each in found])
        return
    ui.show_table(
        ("source", "records", "last run", "began", "ended", "fetched by", "failures", "last error"),
        [
            (
                each.name.removeprefix(PREFIX),
                each.records,
                each.last_records,
                None if each.last_began is None else f"{each.last_began:%Y-%m-%d %H:%M:%S}",
                None if each.last_ended is None else f"{each.last_ended:%Y-%m-%d %H:%M:%S}",
                each.holder,
                each.failures,
                each.last_error or None,
            )
            for each in found
        ],
    )
