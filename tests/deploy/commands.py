"""Whether a `khaywe ...` that is written somewhere is a command, with options that it has."""

from __future__ import annotations

import click

from cli.main import cli


def check(words: list[str]) -> None:
    """Raises AssertionError: no such command, or no such option of it.  Arguments are not looked at."""
    command: click.Command = cli
    context = click.Context(command)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"khaywe {' '.join(words)}: there is no {rest[0]!r}"
        command, rest = found, rest[1:]
    assert not isinstance(command, click.Group) or command.invoke_without_command, (
        f"{words} names only a group"
    )
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("-") and not word[1:2].isdigit():
            assert word.split("=")[0] in options | {"--help", "-h"}, (
                f"khaywe {' '.join(words)}: no option {word!r}"
            )
