"""`khaywe snapshot list` and `khaywe restore`: the customer table as it was, and bringing it back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cli import ui
from cli.main import Failure
from config import topics
from config.settings import settings
from streams.names import CUSTOMERS_GROUP
from tables import reload, snapshots
from tables.errors import TableError


@click.group()
def snapshot() -> None:
    """Snapshots of the customer table: workers write one of each partition a day."""


@snapshot.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def list_(as_json: bool) -> None:
    """Show the snapshots in KHAYWE_SNAPSHOTS, newest first."""
    root = snapshots.directory(settings())
    listed: list[dict[str, object]] = []
    for path in sorted(root.glob(f"*/*{snapshots.SUFFIX}"), key=lambda path: path.name, reverse=True):
        entry: dict[str, object] = {"file": str(path), "bytes": path.stat().st_size}
        try:
            entry |= msgspec.structs.asdict(snapshots.read_header(path))
        except TableError as error:
            entry["error"] = str(error)
        listed.append(entry)
    if as_json:
        ui.show_json(listed)
        return
    if not listed:
        click.echo(f"No snapshots in {root}.")
        return
    ui.show_table(
        ("written at", "partition", "position", "customers", "last tick", "revision", "MB", "file"),
        [_line(entry, root) for entry in listed],
    )


def _line(entry: dict[str, object], root: Path) -> tuple[object, ...]:
    file, size = Path(str(entry["file"])), int(str(entry["bytes"])) / 1e6
    if "error" in entry:
        return (entry["error"], None, None, None, None, None, size, file.relative_to(root))
    tick = int(str(entry["tick"]))
    at = datetime.fromtimestamp(tick / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if tick else None
    names = ("created_at", "partition", "position", "customers")
    return (*(entry[name] for name in names), at, entry["revision"], size, file.relative_to(root))


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="DIR|FILE...", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace what is there, and accept what cannot be had any more.")
def restore(paths: tuple[Path, ...], force: bool) -> None:
    """Bring the customer table back from snapshots; of a directory, the newest of each partition.

    All workers must be stopped.  Rows go to the changelog and positions to the consumer group in one
    transaction; workers started afterwards read customer-events on from there.
    """
    config = settings()
    producer = reload.producer_of(config)
    steps = reload.plan(config, CUSTOMERS_GROUP, paths, force)
    entries = sum(step.header.entries for step in steps)
    with ui.progress_bar("restoring", entries) as done:
        try:
            reload.load(config, producer, CUSTOMERS_GROUP, steps, done)
        except TableError as error:
            raise Failure(f"{error}; nothing was changed", error.hint) from None
    for step in steps:
        head = step.header
        click.echo(
            f"partition {head.partition}: {head.customers:,} customers as of {head.created_at}"
            f"{', in place of what was there' if step.replaces else ''}; {topics.CUSTOMER_EVENTS} is read on "
            f"from {step.position:,}, {step.end - step.position:,} before its end"
        )
    customers = sum(step.header.customers for step in steps)
    click.echo(
        f"{customers:,} customers restored. What was decided after the snapshots is decided again, under the "
        f"same ids."
    )
