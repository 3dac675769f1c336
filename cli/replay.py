"""`khaywe replay`: folds the recorded log again and compares with what was published, record by record."""

from __future__ import annotations

from typing import Any

import click

from agents.published import Compared, Difference
from agents.recorded import Contents
from agents.replaying import Replay, Replayed
from agents.simulation_report import partition
from cli import ranges, ui
from cli.ranges import TIME
from config.settings import settings
from loyalty.prepare import prepare

#: Characters of a record that are shown around the first one that differs.
_AROUND = 60


@click.command()
@click.option("--from", "since", type=TIME, help="The log's time to begin at.  Unset: its begin.")
@click.option("--to", "until", type=TIME, help="The log's time to end before.  Unset: where workers stand.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_context
def replay(ctx: click.Context, since: str | None, until: str | None, as_json: bool) -> None:
    """Fold customer-events again, with the catalog as it was, and compare with what was published.

    Decisions can be trusted if they are the same on replay: every effect under the same id with the same
    bytes.  Nothing is written.  Exit code 1 if anything differs.
    """
    ranges.check(since, until)
    config = settings()
    run = Replay(config, Contents(config), since, until)
    with ui.progress_line() as say:
        say("preparing the fold: the first time on a machine it takes a minute", None)
        prepare()
    with ui.progress_bar("folding again", run.total) as progress:
        found = run.run(progress)
    ranges.require_records(found.stretches, since, until)
    same = all(compared.same for compared in found.topics.values())
    if as_json:
        ui.show_json(_plain(found, since, until))
    else:
        _show(found, same)
    ctx.exit(0 if same else 1)


def _plain(found: Replayed, since: str | None, until: str | None) -> dict[str, Any]:
    return {
        "from": since,
        "to": until,
        "same": all(compared.same for compared in found.topics.values()),
        "partitions": [partition(stretch) for stretch in found.stretches],
        "topics": {topic: _counts(compared) for topic, compared in found.topics.items()},
        "differences": [
            each._asdict() for compared in found.topics.values() for each in compared.differences
        ],
    }


def _counts(compared: Compared) -> dict[str, int]:
    return {name: getattr(compared, name) for name in ("equal", "missing", "extra", "different", "gone")}


def _show(found: Replayed, same: bool) -> None:
    rows = [(topic, *_counts(compared).values()) for topic, compared in found.topics.items()]
    ui.show_table(("topic", "equal", "missing", "extra", "different", "no longer there"), rows)
    for compared in found.topics.values():
        for difference in compared.differences:
            click.echo(f"\n{words(difference)}")
    records = sum(stretch.records for stretch in found.stretches)
    begun = sum(stretch.snapshot is not None for stretch in found.stretches)
    how = f"{len(found.stretches)} partitions, {begun} of them from a snapshot"
    equal = sum(compared.equal for compared in found.topics.values())
    gone = sum(compared.gone for compared in found.topics.values())
    click.echo(f"\n{records:,} records folded again ({how}).")
    if same:
        rest = f"; {gone:,} are compacted away or past their retention" if gone else ""
        click.secho(f"The same on replay: {equal:,} effects, byte for byte{rest}.", fg="green")
    else:
        click.secho("Not the same on replay.", fg="red", bold=True)
        click.echo(
            "A worker of another version may have folded this range, or somebody else has written there."
        )


def words(difference: Difference) -> str:
    """A difference in lines."""
    place = f" at {difference.place}" if difference.place else ""
    head = (
        f"{difference.kind}: {difference.topic}{place}, key {difference.key}, effect {difference.effect_id}"
    )
    expected, published = difference.expected, difference.published
    if difference.kind == "different":
        at = next(
            (n for n, (a, b) in enumerate(zip(expected, published, strict=False)) if a != b),
            min(len(expected), len(published)),
        )
        if expected == published:
            return f"{head}\n  key or headers are others"
        begin = max(0, at - _AROUND // 2)
        expected, published = expected[begin : begin + _AROUND], published[begin : begin + _AROUND]
        head = f"{head}, from character {at}"
    lines = [head]
    if difference.kind != "extra":
        lines.append(f"  expected   {expected}")
    if difference.kind != "missing":
        lines.append(f"  published  {published}")
    return "\n".join(lines)
