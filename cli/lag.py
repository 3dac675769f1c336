"""`khaywe lag`: how far the pipeline is behind, and waiting until it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from agents import lag as asked
from agents.lag import LOOK_SECONDS, TITLES, Hop, Lag, Pipeline, Place
from catalog.service import CatalogService
from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings


def wait(pipeline: Pipeline, timeout: float | None, show: Callable[[str, Lag], None]) -> Lag:
    """Look until nothing is behind; `show` gets every look, with words for it.  Raises KhayweError."""
    started = time.monotonic()
    while True:
        lag = pipeline.look()
        if lag.total == 0:
            return lag
        # What an earlier hop has not done, a later one cannot do.
        app = next(app for app in TITLES if lag.behind(app))
        deserted = pipeline.deserted(app)
        show(words(lag) + (f"; no worker runs the {TITLES[app]}" if deserted else ""), lag)
        if timeout is not None and time.monotonic() - started > timeout:
            raise KhayweError(
                f"{words(lag)}, after {timeout:g} s",
                hint="start a worker: `khaywe worker`" if deserted else _hint(lag, app),
            )
        time.sleep(LOOK_SECONDS)


def words(lag: Lag) -> str:
    """Where it stands in a line."""
    parts = [f"{TITLES[app]} {lag.behind(app):,} behind" for app in TITLES if lag.behind(app)]
    return ", ".join(parts) or "nothing is behind"


def _hint(lag: Lag, app: str) -> str:
    places = [place for place in lag.places if place.app == app]
    if not any(place.behind for place in places):
        names = sorted({place.topic for place in places if place.hidden})
        return f"only records of a transaction that is still open are left, on {', '.join(names)}"
    return "the worker may need more time, or be stuck: its log and its /health say"


def hops(config: Settings) -> list[Hop]:
    """The normaliser, which reads what active data sources send, and the customers.  Raises KhayweError."""
    service = CatalogService(config.database_url(), config)
    try:
        return asked.hops(sorted(source.topic for source in service.sources() if source.is_active))
    finally:
        service.close()


@click.command()
@click.option("--wait", "wait_", is_flag=True, help="Wait until nothing is behind.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after that long."
)
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def lag(wait_: bool, timeout: float | None, as_json: bool) -> None:
    """Show how far the pipeline is behind: raw topics to customer-events, and those to scores.

    Raw topics are those of active data sources.  Positions are offsets; transaction markers that trail a log
    are nothing to be done.
    """
    config = settings()
    pipeline = Pipeline(config, hops(config))
    try:
        if wait_:
            with ui.progress_line() as progress:
                most = 1

                def show(what: str, now: Lag) -> None:
                    nonlocal most
                    most = max(most, now.total)
                    progress(what, 1 - now.total / most)

                found = wait(pipeline, timeout, show)
        else:
            found = pipeline.look()
    finally:
        pipeline.close()
    if as_json:
        ui.show_json(as_plain(found))
        return
    ui.show_table(
        ("hop", "topic", "partition", "position", "end", "behind", "in open transactions"),
        [*map(_row, found.places), *(_sum(found, app) for app in TITLES)],
    )
    click.echo(f"\n{words(found).capitalize()}.")


def as_plain(found: Lag) -> dict[str, Any]:
    """The lag for a program: {"behind", "normalizer": {"behind", "partitions": [...]}, "customers": ...}."""
    plain: dict[str, Any] = {"behind": found.total}
    for app in TITLES:
        places = [asdict(place) for place in found.places if place.app == app]
        for place in places:
            del place["app"]
        plain[app] = {"behind": found.behind(app), "partitions": places}
    return plain


def _row(place: Place) -> tuple[object, ...]:
    return (
        TITLES[place.app], place.topic, str(place.partition), place.position, place.end, place.behind,
        place.hidden,
    )  # fmt: skip


def _sum(found: Lag, app: str) -> tuple[object, ...]:
    places = [place for place in found.places if place.app == app]
    return (
        TITLES[app], "all", None, None, None, sum(place.behind for place in places),
        sum(place.hidden for place in places),
    )  # fmt: skip
