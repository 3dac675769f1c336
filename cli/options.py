"""Kinds of options that several commands have."""

from __future__ import annotations

from typing import Any

import click

from agents.commands import Refused, instant


class _Time(click.ParamType):
    """ISO 8601, UTC where it names no offset; becomes `2020-01-31T12:00:00.000Z`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return instant(value)
        except Refused as refused:
            self.fail(str(refused).replace("`at`", "it"), param, ctx)


TIME = _Time()
