"""`khaywe api`: runs the REST API; `khaywe api key` makes the keys that open it."""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from catalog.database import connect
from catalog.governance.audit import Caller
from catalog.governance.people import ROLES, People, Role, plain_key
from catalog.governance.store import Store
from catalog.service import NoSuch
from cli import ui
from cli.source import json_option
from config.errors import KhayweError
from config.logging import setup
from config.settings import settings

#: Requests under way are waited for that long at the end; a page of live figures never ends by itself.
SHUTDOWN_SECONDS = 5


@click.group(invoke_without_command=True)
@click.pass_context
def api(ctx: click.Context) -> None:
    """Run the REST API, or make keys for it.

    It listens on KHAYWE_API_HOST, KHAYWE_API_PORT: on this machine only, until told otherwise.
    """
    if ctx.invoked_subcommand is not None:
        return
    import uvicorn

    from web.api.app import create
    from web.api.doors import PREFIX
    from web.api.parts import Parts
    from web.console.app import PATH

    config = settings()
    setup(config.log_level)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends what is under way and then raises the signal again: that was all.
        signal.signal(number, lambda *_: sys.exit(0))
    app = create(Parts.open(config))
    address = f"http://{config.api_host}:{config.api_port}"
    click.echo(f"API at {address}{PREFIX}/docs, console at {address}{PATH}/")
    uvicorn.run(
        app,
        host=config.api_host,
        port=config.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


@api.group()
def key() -> None:
    """Keys of the API.  Whoever may use this command has the database, and so may do everything."""


@contextmanager
def _people() -> Iterator[People]:
    engine = connect(settings().database_url())
    store = Store(engine)
    try:
        store.migrate()
        yield People(store)
    finally:
        engine.dispose()


def _caller() -> Caller:
    return Caller(getpass.getuser(), "admin", "cli")


@key.command()
@click.option("--user", required=True, metavar="NAME", help="Whose it is; made where there is no such user.")
@click.option("--role", type=click.Choice(ROLES), help="Role of a user that is made.  [default: admin]")
@click.option("--note", default="", help="What it is for.")
@json_option
def create(user: str, role: Role | None, note: str, as_json: bool) -> None:
    """Make a key, and print it: this once, because only a hash of it is kept."""
    with _people() as people:
        try:
            found = people.user(user)
        except NoSuch:
            found = people.add_user(user, role or "admin", _caller())
        if role not in (None, found.role):
            raise KhayweError(f"{user} is {found.role}, not {role}", hint="an admin changes roles by the API")
        issued = people.issue(user, note, None, _caller())
    if as_json:
        ui.show_json(plain_key(issued.row) | {"key": issued.key, "role": found.role})
    else:
        click.echo(issued.key)


@key.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show all keys, without their secrets."""
    with _people() as people:
        rows = people.keys(None, 10_000)
    if as_json:
        ui.show_json([plain_key(row) for row in rows])
    else:
        ui.show_table(
            ("id", "user", "note", "made", "last used", "revoked"),
            [(r.id, r.user, r.note, r.created_at, r.used_at, r.revoked_at) for r in rows],
        )


@key.command()
@click.argument("id")
def revoke(id: str) -> None:
    """End the key ID."""
    with _people() as people:
        people.revoke(id, _caller())
    click.echo(f"{id} is revoked")
