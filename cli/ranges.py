"""`--from` and `--to`: a range of the log's time, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from agents.commands import Refused, instant
from agents.refolding import Stretch
from config.errors import KhayweError


class _Time(click.ParamType):
    """ISO 8601, UTC where it names no offset; becomes `2020-01-31T12:00:00.000Z`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return instant(value)
        except Refused as refused:
            self.fail(str(refused).replace("`at`", "it"), param, ctx)


TIME = _Time()


def check(since: str | None, until: str | None) -> None:
    """Raises UsageError where nothing can lie between."""
    if since is not None and until is not None and until <= since:
        raise click.UsageError(f"--to {until} does not lie behind --from {since}")


def require_records(stretches: Iterable[Stretch], since: str | None, until: str | None) -> None:
    """Raises KhayweError where the range is empty."""
    if not any(stretch.records for stretch in stretches):
        raise KhayweError(
            f"customer-events holds no record from {since or 'its begin'} to {until or 'its end'}",
            hint="--from and --to are times at which events happened, as docs/simulation.md says",
        )
