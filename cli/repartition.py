"""`khaywe repartition`: more partitions for customers or fewer, while all workers are stopped."""

from __future__ import annotations

from typing import NoReturn

import click

from agents.lag import Hop, Pipeline
from agents.repartition import Refused
from agents.repartition import repartition as run
from cli import ui
from cli.projection import look
from config import topics
from config.errors import KhayweError
from config.settings import Settings, settings
from projection.writer import Writer
from streams.names import CUSTOMERS_GROUP


@click.command()
@click.argument("partitions", type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def repartition(partitions: int, as_json: bool) -> None:
    """Give customers PARTITIONS partitions: more than they have, or fewer.

    All workers must be stopped, and nothing may wait to be folded or projected.  Customers move to where
    their ids belong, in one transaction; then topics that are too small grow.  Kafka takes no partition away:
    those that customers have left stay, empty.  Killed at any point, it is run again and goes on.
    Afterwards everything is started with KHAYWE_PARTITIONS=PARTITIONS.
    """
    config = settings()
    _require_projected(config)
    pipeline = Pipeline(config, [Hop("customers", CUSTOMERS_GROUP, (topics.CUSTOMER_EVENTS,))])
    try:
        with ui.progress_line() as progress:
            done = run(config, partitions, lambda: pipeline.look().total, progress)
    finally:
        pipeline.close()
    if as_json:
        ui.show_json({
            "before": done.before, "after": done.after, "customers": done.sums.customers,
            "points": done.sums.points, "side_entries": done.sums.side, "records_written": done.moved,
        })  # fmt: skip
        return
    click.echo(f"{done.sums.shown()}: each in one of {done.after} partitions, as many as before.")
    if config.partitions != done.after:
        click.echo(f"Now set KHAYWE_PARTITIONS={done.after} wherever khaywe runs, and start the workers.")


def _require_projected(config: Settings) -> None:
    """What stands in two partitions is projected side by side: the old ones must be done with first."""
    writer = Writer(config.database_url(), _nothing)
    try:
        places = look(config, writer)
    except KhayweError as error:
        raise Refused(f"whether the projection is behind is not known: {error}", hint=error.hint) from None
    finally:
        writer.close()
    if any(place.position is not None for place in places):
        behind = sum(place.behind for place in places if place.position is not None)
        if behind:
            raise Refused(
                f"the projection is {behind:,} records behind",
                hint="run `khaywe worker --agents projector` until `khaywe projection status` shows 0, "
                "stop it, then run this again",
            )


def _nothing(revision: int) -> NoReturn:
    raise AssertionError("no rules are needed to look at positions")
