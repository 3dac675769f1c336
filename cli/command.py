"""`khaywe command`: sends a command to customers and shows what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from agents.asking import Sent, new_id, send_commands, wait_results
from agents.commands import DONE, FORWARDED, Command, Result
from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings


@click.command()
@click.argument("name", type=click.Choice(FORWARDED), metavar="NAME")
@click.option("--customer", metavar="ID", help="One customer.")
@click.option(
    "--segment", metavar="CONDITION", help="All customers for whom it holds; `all` for every customer."
)
@click.option("--points", type=int, metavar="N", help="adjust (may be below 0), redeem: how many.")
@click.option("--grant-id", metavar="ID", help="repeat_grant: which one; `khaywe grants` lists them.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the results.")
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for results."
)
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def command(
    name: str,
    customer: str | None,
    segment: str | None,
    points: int | None,
    grant_id: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Send a command to a customer or a segment, and show what became of it.

    \b
    recalculate   scores anew as of the last tick, published
    generate      give the missions that a customer is eligible for
    award         check all badges and the tier
    adjust        add or take points (--points)
    redeem        spend points (--points)
    predict       ask all models now
    repeat_grant  tell of a granted offer again (--grant-id)
    opt_in, opt_out
    erase         forget a customer

    Each partition answers for a segment.  Exit code 1: refused, or not answered in time.
    """
    if (customer is None) == (segment is None):
        raise click.UsageError("give either --customer ID or --segment CONDITION")
    arguments: dict[str, Any] = {"points": points, "grant_id": grant_id}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    config = settings()
    one = Command(new_id(), name, customer_id=customer, segment=segment, arguments=arguments)
    sent = send_commands(config, [one])
    if not wait:
        click.echo(f"sent: {one.command_id}")
    elif as_json:
        results = list(wait_results(config, sent, timeout))
        ui.show_json([msgspec.to_builtins(result) for result in results])
        _judge(sent, results, timeout)
    else:
        show_results(config, sent, timeout)


def show_results(config: Settings, sent: Sent, timeout: float) -> None:
    """Print results as they come.  Raises KhayweError where one was refused or is missing in the end."""
    _judge(sent, list(_shown(wait_results(config, sent, timeout))), timeout)


def _shown(results: Iterator[Result]) -> Iterator[Result]:
    for result in results:
        place = "" if result.partition is None else f" by partition {result.partition}"
        why = ": ".join(part for part in (result.reason, result.message) if part)
        click.echo(f"{result.command_id} {result.status}{place}{f' ({why})' if why else ''}")
        yield result


def _judge(sent: Sent, results: list[Result], timeout: float) -> None:
    done = sum(result.status == DONE for result in results)
    if done < len(results):
        raise KhayweError(f"{len(results) - done} refused, {done} done")
    missing = sum(sent.expected.values()) - done
    if missing:
        raise KhayweError(
            f"{missing} results are missing after {timeout:g} s",
            hint="check that a worker runs (`khaywe worker`) and how far it is behind (`khaywe lag`)",
        )
