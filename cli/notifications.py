"""`khaywe notifications`: who is told what happens, how that stands, and what was given up, once more."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

import click

from catalog.database import connect
from catalog.database import migrate as migrate_catalog
from catalog.governance.audit import Caller
from catalog.governance.store import Store
from catalog.governance.vault import Vault
from cli import ui
from cli.source import json_option
from config.settings import settings
from outwards.store import migrate
from outwards.subscriptions import Subscriptions, state

#: Dead letters read at a time.
PIECE = 500


@click.group()
def notifications() -> None:
    """Subscriptions of other systems; `notifications/` and `hub` of the API make and change them."""


@contextmanager
def _subscriptions() -> Iterator[Subscriptions]:
    engine = connect(settings().database_url())
    store = Store(engine)
    try:
        migrate_catalog(engine)
        store.migrate()
        migrate(store)
        yield Subscriptions(store, Vault(store, settings()), settings())
    finally:
        engine.dispose()


def _caller() -> Caller:
    return Caller(getpass.getuser(), "admin", "cli")


@notifications.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show all subscriptions and how they stand."""
    with _subscriptions() as found:
        rows = [state(row) | {"dead_letters": found.waiting(row.id)[1]} for row in found.all()]
    if as_json:
        ui.show_json(rows)
        return
    names = ("id", "callback", "query", "status", "delivered", "dead_letters", "last_error")
    ui.show_table([name.replace("_", " ") for name in names], [[row[name] for name in names] for row in rows])


@notifications.command("dead-letters")
@click.argument("id")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, PIECE), help="Most of them.")
@click.option("--after", default=0, metavar="NUMBER", help="Only letters above that number.")
@json_option
def dead_letters(id: str, limit: int, after: int, as_json: bool) -> None:
    """Show what was given up for subscription ID, the oldest first."""
    with _subscriptions() as found:
        rows = found.letters(id, after, limit)
    if as_json:
        names = ("id", "event_id", "event_type", "tries", "error", "first_at", "dead_at", "again")
        ui.show_json([{n: getattr(row, n) for n in names} | {"body": row.body.decode()} for row in rows])
        return
    ui.show_table(
        ("number", "event", "type", "tries", "given up", "error"),
        [(str(r.id), r.event_id, r.event_type, r.tries, r.dead_at, r.error) for r in rows],
    )


@notifications.command("send-again")
@click.argument("id")
@click.option("--number", "numbers", type=int, multiple=True, help="Only this letter; may be repeated.")
def send_again(id: str, numbers: tuple[int, ...]) -> None:
    """Ask for one more try of the dead letters of subscription ID; a worker's notifier makes it."""
    with _subscriptions() as found:
        count = found.send_again(id, numbers or None, _caller())
    click.echo(
        f"{count} asked for; those that are taken are gone from `khaywe notifications dead-letters {id}`"
    )


@notifications.command()
@click.argument("id")
def resume(id: str) -> None:
    """Go on with subscription ID, which was suspended because nobody took anything."""
    with _subscriptions() as found:
        found.resume(id, _caller())
    click.echo(f"{id} goes on where it stands")
