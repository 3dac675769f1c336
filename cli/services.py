"""`khaywe up`, `down`, `status`: the embedded Kafka and PostgreSQL, or where others are."""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy import make_url

from cli import ui
from config.settings import Settings, settings
from streams.embedded import services as embedded
from streams.embedded.process import ServiceError
from streams.embedded.services import Service, Services

TITLES = {"kafka": "Kafka", "database": "PostgreSQL"}
json_option = click.option("--json", "as_json", is_flag=True, help="For a program to read.")


@click.command()
def up() -> None:
    """Start the embedded Kafka and PostgreSQL, where they do not run yet.

    The first start fetches Kafka's jars.  A service that KHAYWE_KAFKA or KHAYWE_DATABASE names is not
    started: it runs elsewhere.
    """
    mine = settings()
    with ui.progress_line() as progress:
        found = embedded.up(mine, progress)
    for service in (found.kafka, found.database):
        if service.elsewhere:
            click.echo(
                f"{TITLES[service.name]} is not started: KHAYWE_{service.name.upper()} says where it is."
            )
    _show(mine, found)
    _fail_if_silent(found)


@click.command()
def down() -> None:
    """Stop the embedded Kafka and PostgreSQL.  Their data stays."""
    with ui.progress_line() as progress:
        found = embedded.down(settings(), progress)
    for service in (found.kafka, found.database):
        if service.elsewhere:
            click.echo(f"{TITLES[service.name]} at {service.address} is not ours to stop.")
        else:
            click.echo(f"{TITLES[service.name]} is stopped.")


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say where Kafka and PostgreSQL are and whether they answer; exit code 1 if one does not."""
    mine = settings()
    found = embedded.status(mine)
    if as_json:
        ui.show_json({"home": mine.home_dir, **asdict(found)})
    else:
        _show(mine, found)
    if any(service.state != "running" for service in (found.kafka, found.database)):
        ctx.exit(1)


def _show(mine: Settings, found: Services) -> None:
    ui.show_table(
        ("service", "state", "address", "version", "process"), map(_row, (found.kafka, found.database))
    )
    click.echo(f"\nData and logs are in {mine.home_dir}, with services.json for the database's password.")


def _row(service: Service) -> tuple[object, ...]:
    state = f"{service.state}, elsewhere" if service.elsewhere else service.state
    address = service.address
    if service.name == "database" and address is not None:
        url = make_url(address)
        address = f"{url.host}:{url.port}/{url.database}"
    return TITLES[service.name], state, address, service.version, service.pid and str(service.pid)


def _fail_if_silent(found: Services) -> None:
    for service in (found.kafka, found.database):
        if service.state != "running":
            raise ServiceError(
                f"{TITLES[service.name]} at {service.address} does not answer",
                f"start it there, correct KHAYWE_{service.name.upper()}, or unset it for an embedded one",
            )
