"""The `khaywe` command: one table of subcommands, each loaded when it is called.

A new command is a module of this room and a line in `SECTIONS`.  Whatever goes wrong ends in a line that
says what, a line that says what to do, and exit code 1; `--debug` shows the traceback instead.
"""

from __future__ import annotations

import os
import sys
from gettext import gettext
from importlib import import_module
from typing import IO, Any

import click

# command -> (module, its click command there, what it does), in the sections that --help shows
SECTIONS: dict[str, dict[str, tuple[str, str, str]]] = {
    "Services": {
        "up": ("cli.services", "up", "start the embedded Kafka and PostgreSQL"),
        "down": ("cli.services", "down", "stop them; the data stays"),
        "status": ("cli.services", "status", "where Kafka and PostgreSQL are, and whether they answer"),
        "demo": ("cli.demo", "demo", "the product at work on real records"),
    },
    "Data": {
        "topics": ("cli.topics", "topics", "create, list and check khaywe's topics"),
        "source": ("cli.source", "source", "data sources: where events come from, how they are mapped"),
        "poll": ("cli.polls", "poll", "data sources that are fetched: how they stand, fetch now"),
        "product": ("cli.product", "product", "products, and the systems they come from"),
        "catalog": ("cli.catalog", "catalog", "missions, badges, points, offers: load, export, compare"),
        "ingest": ("cli.ingest", "ingest", "send a file to a data source"),
        "dead-letters": ("cli.dead_letters", "dead_letters", "records that could not be used"),
    },
    "Pipeline": {
        "worker": ("cli.worker", "worker", "run the agents"),
        "api": ("cli.api", "api", "run the REST API; make keys for it"),
        "lag": ("cli.lag", "lag", "how far the pipeline is behind"),
        "tick": ("cli.tick", "tick", "bring every customer to one time (KHAYWE_CLOCK=event)"),
        "snapshot": ("cli.restore", "snapshot", "the snapshots of the customer table that workers write"),
        "restore": ("cli.restore", "restore", "bring the customer table back from a snapshot"),
        "repartition": ("cli.repartition", "repartition", "give customers more partitions"),
        "simulate": ("cli.simulate", "simulate", "try a draft of the catalog on what is recorded"),
        "projection": ("cli.projection", "projection", "lists and figures in PostgreSQL: lag, rebuild"),
        "notifications": ("cli.notifications", "notifications", "other systems that are told what happens"),
        "replay": ("cli.replay", "replay", "fold the log again and compare with what was published"),
    },
    "Customers": {
        "customer": ("cli.customer", "customer", "what is known of a customer"),
        "why": ("cli.why", "why", "what was decided, why, and why not the rest"),
        "ml": ("cli.ml", "ml", "models: train, predict, explain, validate"),
        "command": ("cli.command", "command", "send a command: recalculate, award, opt_out, ..."),
        "grants": ("cli.grants", "grants", "offers that wait for an answer of the operator's systems"),
        "points": ("cli.grants", "points", "points owed to customers, by month"),
    },
}
COMMANDS = {name: place for section in SECTIONS.values() for name, place in section.items()}


class Failure(click.ClickException):
    """What went wrong, as the user sees it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Both lines to stderr."""
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(self.message, err=True)
        if self.hint:
            click.echo(f"hint: {self.hint}", err=True)


class Commands(click.Group):
    """Subcommands by name; their modules are loaded late, so that `khaywe --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order of `SECTIONS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, section by section, without loading any."""
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(gettext(title)):
                formatter.write_dl([(name.ljust(width), about) for name, (_, _, about) in section.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; every error that is not click's own is explained."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError, KeyboardInterrupt):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            raise Failure(*explained(error)) from error


def explained(error: Exception) -> tuple[str, str]:
    """What went wrong and what to do, for an exception of any of the libraries in use."""
    from aiokafka.errors import KafkaError
    from confluent_kafka import KafkaException
    from pydantic import ValidationError
    from sqlalchemy.exc import OperationalError

    from config.errors import KhayweError
    from config.settings import Settings

    if isinstance(error, KhayweError):
        return str(error), error.hint
    if isinstance(error, ValidationError) and error.title == Settings.__name__:
        faults = (
            f"KHAYWE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        )
        return "; ".join(faults), "docs/settings.md has every setting; .env in this directory counts too"
    if isinstance(error, KafkaException):
        return f"Kafka: {error.args[0].str()}", "`khaywe status` says whether Kafka answers"
    if isinstance(error, KafkaError):
        return f"Kafka: {error}", "`khaywe status` says whether Kafka answers"
    if isinstance(error, OperationalError):
        return f"PostgreSQL: {str(error.orig).strip()}", "`khaywe status` says whether PostgreSQL answers"
    if isinstance(error, OSError):
        return str(error), ""
    return (
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect of khaywe: run it again as `khaywe --debug ...` and report what it prints",
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, envvar="KHAYWE_DEBUG", help="Show tracebacks.")
@click.version_option(package_name="khaywe", message="khaywe %(version)s")
def cli(debug: bool) -> None:
    """Real-time loyalty and gamification for telecom operators, on Kafka.

    Settings are KHAYWE_* environment variables or a .env file: see docs/settings.md.
    """


def main() -> None:
    """Entry point of the `khaywe` command."""
    try:
        cli()
    except BrokenPipeError:
        # Whoever read our output (`khaywe ... | head`) has enough; Python's own flush at exit must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
