"""The page of every command with its options, as `--help` has them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli.main import SECTIONS, cli
from docs.made.markdown import plain, table

HEAD = """\
# Commands

Everything `khaywe` can do; `khaywe COMMAND --help` says the same. `khaywe --debug COMMAND` shows
tracebacks. Results go to the standard output, progress and errors to the standard error. What exit codes
mean stands with the [errors](errors.md#exit-codes).

This page is made from `cli/`: `python -m docs.made`.
"""


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD]
    context = click.Context(cli, info_name="khaywe")
    for title, section in SECTIONS.items():
        lines += [f"## {title}", ""]
        for name in section:
            command = cli.get_command(context, name)
            assert command is not None
            lines += _told(command, click.Context(command, info_name=name, parent=context))
    return "\n".join(lines).rstrip() + "\n"


def _told(command: click.Command, context: click.Context) -> Iterator[str]:
    path = context.command_path
    yield f"### {path}"
    yield ""
    yield from _about(command)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield from ("```text", " ".join([path, *command.collect_usage_pieces(context)]), "```", "")
        options = [record for each in command.params if (record := each.get_help_record(context))]
        if options:
            yield from table(("option", "meaning"), [(f"`{name}`", about) for name, about in options])
            yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from _told(found, click.Context(found, info_name=name, parent=context))


def _about(command: click.Command) -> Iterator[str]:
    """The help; paragraphs that click leaves as they are (after `\\b`) stay so."""
    for paragraph in (command.help or command.short_help or "").split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            yield from ("```text", *lines[1:], "```", "")
        elif paragraph.strip():
            yield from (plain(paragraph), "")
