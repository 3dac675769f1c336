"""`khaywe tick`: brings every customer to one time, where recorded data say what time it is."""

from __future__ import annotations

import click

from agents.asking import send_command
from agents.commands import TICK, Refused, instant
from agents.lag import Lag, Pipeline
from cli import ui
from cli.command import show_results
from cli.lag import hops, wait
from config.errors import KhayweError
from config.settings import settings


@click.command()
@click.option("--at", required=True, metavar="TIME", help="ISO 8601, UTC where it says nothing else.")
@click.option("--wait", "wait_", is_flag=True, help="Wait until every customer stands at that time.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for answers."
)
def tick(at: str, wait_: bool, timeout: float) -> None:
    """Bring every customer to TIME.  It needs KHAYWE_CLOCK=event, here and in the workers."""
    config = settings()
    if config.clock != "event":
        raise KhayweError(
            "the wall clock writes the ticks itself",
            hint="`khaywe tick` is for recorded data: start workers with KHAYWE_CLOCK=event, and set it here",
        )
    try:
        moment = instant(at)
    except Refused as refused:
        raise click.BadParameter(refused.message, param_hint="--at") from None
    show_results(config, send_command(config, TICK, at=moment), timeout)
    if wait_:
        pipeline = Pipeline(config, hops(config))
        try:
            with ui.progress_line() as progress:

                def show(what: str, _: Lag) -> None:
                    progress(what, None)

                wait(pipeline, timeout, show)
        finally:
            pipeline.close()
        click.echo(f"every customer stands at {moment}")
