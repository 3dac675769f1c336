"""What all commands show things with: tables, JSON, progress.  Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# Wide enough that no cell is broken where the reader is a program.
PIPE_WIDTH = 10_000


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print rows under their headers; columns that hold only numbers stand to the right, None is a dash."""
    cells = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        values = [row[index] for row in cells if row[index] is not None]
        numbers = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(header, justify="right" if numbers else "left", header_style="bold", overflow="fold")
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    console().print(table)


def grid(*columns: str) -> Table:
    """A table without lines; `>` before a column's name: to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table


def console() -> Console:
    """For people where stdout is a terminal, else with lines as long as they are."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH, no_color=True)


def show_json(value: object) -> None:
    """Print a value for a program to read."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@contextmanager
def progress_line() -> Iterator[Callable[[str, float | None], None]]:
    """Gives a function that takes what happens now and the share of it that is done (0..1, None: unknown).

    On a terminal one line that changes; elsewhere a line for each new thing that happens.
    """
    if not sys.stderr.isatty():
        last = ""

        def write(what: str, _share: float | None) -> None:
            nonlocal last
            if what != last:
                click.echo(what, err=True)
                last = what

        yield write
        return
    with Progress(*_COLUMNS[:3], console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def update(what: str, share: float | None) -> None:
            progress.update(
                task, description=what, total=None if share is None else 1.0, completed=share or 0.0
            )

        yield update


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Gives a function that says how many more are done; `total` None: unknown.  Silent off a terminal."""
    stderr = Console(stderr=True)
    with Progress(*_COLUMNS, console=stderr, disable=not stderr.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


_COLUMNS: tuple[Any, ...] = (
    SpinnerColumn(),
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
