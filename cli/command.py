"""`khaywe command`: sends a command to customers and shows what became of it."""

from __future__ import annotations

import click

from agents.asking import Sent, send_command, wait_results
from agents.commands import DONE
from config.errors import KhayweError
from config.settings import Settings, settings


@click.group()
def command() -> None:
    """Commands to customers: each is answered on the topic command-results."""


@command.command()
@click.option("--customer", metavar="ID", help="One customer.")
@click.option("--segment", metavar="NAME", help="All customers of a segment; `all` for every customer.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the results.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for results."
)
def recalculate(customer: str | None, segment: str | None, wait: bool, timeout: float) -> None:
    """Compute scores anew as of the last tick, and publish them."""
    if (customer is None) == (segment is None):
        raise click.UsageError("give either --customer ID or --segment NAME")
    config = settings()
    sent = send_command(config, "recalculate", customer_id=customer, segment=segment)
    if wait:
        show_results(config, sent, timeout)
    else:
        click.echo(f"sent: {' '.join(sent.expected)}")


def show_results(config: Settings, sent: Sent, timeout: float) -> None:
    """Print results as they come.  Raises KhayweError where one was refused or is missing in the end."""
    done, refused = 0, 0
    for result in wait_results(config, sent, timeout):
        place = "" if result.partition is None else f" by partition {result.partition}"
        why = ": ".join(part for part in (result.reason, result.message) if part)
        click.echo(f"{result.command_id} {result.status}{place}{f' ({why})' if why else ''}")
        done += result.status == DONE
        refused += result.status != DONE
    if refused:
        raise KhayweError(f"{refused} refused, {done} done")
    missing = sum(sent.expected.values()) - done
    if missing:
        raise KhayweError(
            f"{missing} results are missing after {timeout:g} s",
            hint="check that a worker runs (`khaywe worker`) and how far it is behind (`khaywe lag`)",
        )
