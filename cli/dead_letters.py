"""`khaywe dead-letters`: what could not be used and why; once the cause is mended, again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import click
import msgspec

from agents.asking import new_id, send_commands, wait_results
from agents.commands import DONE, REPLAY, Command
from agents.dead_letters import NORMALIZER, Letter, Replayed, read, time_of
from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings

#: Letters sent and waited for at a time.
AT_A_TIME = 200

Wanted = Callable[[Letter], bool]


@click.group("dead-letters")
def dead_letters() -> None:
    """Records that could not be used."""


@dead_letters.command("list")
@click.option("--source", metavar="NAME", help="Only letters of this data source.")
@click.option("--reason", metavar="REASON", help="Only letters of this reason.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Only the newest ones.")
@click.option(
    "--json", "as_json", is_flag=True, help="For a program to read: with the original bytes in base64."
)
def list_letters(source: str | None, reason: str | None, limit: int, as_json: bool) -> None:
    """Show letters, the newest last."""
    wanted = _filter(source, reason)
    found: deque[Letter] = deque(maxlen=limit)
    count = 0
    replayed: set[str] = set()
    for entry in read(settings()):
        if isinstance(entry, Replayed):
            replayed.add(entry.replayed)
        elif wanted(entry):
            found.append(entry)
            count += 1
    if as_json:
        ui.show_json([msgspec.to_builtins(entry) | {"replayed": entry.id in replayed} for entry in found])
        return
    if not found:
        click.echo("no dead letters")
        return
    ui.show_table(
        ["id", "arrived", "source", "reason", "message", "replayed"],
        (
            (e.id, time_of(e), e.source or None, e.reason, e.message, "yes" if e.id in replayed else None)
            for e in found
        ),
    )
    if count > len(found):
        click.echo(f"the newest {len(found)} of {count}; --limit shows more")


@dead_letters.command()
@click.option("--source", metavar="NAME", help="Only letters of this data source.")
@click.option("--reason", metavar="REASON", help="Only letters of this reason.")
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help="Only this letter; may be given more than once."
)
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long to wait for answers."
)
def replay(source: str | None, reason: str | None, ids: tuple[str, ...], timeout: float) -> None:
    """Map the stored bytes again, with the mapping the source has now.

    A letter is replayed once; what was replayed before is left out, or refused where --id names it.
    """
    config = settings()
    wanted = _filter(source, reason, ids)
    chosen: dict[str, bool] = {}
    for entry in read(config):
        if isinstance(entry, Replayed):
            if entry.replayed not in ids:
                chosen.pop(entry.replayed, None)
        elif wanted(entry) and (ids or entry.stage == NORMALIZER):
            chosen[entry.id] = True
    missing = sorted(set(ids) - chosen.keys())
    if missing:
        raise KhayweError(
            f"there is no dead letter {missing[0]}", hint="ids are shown by `khaywe dead-letters list`"
        )
    done, refused = 0, 0
    for letters in _chunks(
        entry for entry in read(config) if isinstance(entry, Letter) and entry.id in chosen
    ):
        good, bad = _replay(config, letters, timeout)
        done, refused = done + good, refused + bad
    click.echo(f"{done} replayed, {refused} refused")
    if refused:
        raise KhayweError(
            f"{refused} letters stay dead letters",
            hint="mend the mapping (`khaywe source show`, `khaywe source test`), then replay them again",
        )


def _replay(config: Settings, letters: list[Letter], timeout: float) -> tuple[int, int]:
    """Send letters and wait for every answer; returns how many were replayed and refused."""
    commands = {new_id(): entry for entry in letters}
    sent = send_commands(
        config, [Command(command_id, REPLAY, letter=entry) for command_id, entry in commands.items()]
    )
    answered, refused = 0, 0
    for result in wait_results(config, sent, timeout):
        answered += 1
        if result.status != DONE:
            refused += 1
            click.echo(f"{commands[result.command_id].id} refused ({result.reason}): {result.message}")
    if answered < len(commands):
        raise KhayweError(
            f"{len(commands) - answered} answers are missing after {timeout:g} s",
            hint="check that a worker runs (`khaywe worker`); no letter is ever replayed twice",
        )
    return answered - refused, refused


def _filter(source: str | None, reason: str | None, ids: tuple[str, ...] = ()) -> Wanted:
    return lambda entry: (
        (source is None or entry.source == source)
        and (reason is None or entry.reason == reason)
        and (not ids or entry.id in ids)
    )


def _chunks(letters: Iterator[Letter]) -> Iterator[list[Letter]]:
    chunk: list[Letter] = []
    for entry in letters:
        chunk.append(entry)
        if len(chunk) == AT_A_TIME:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
