"""`python -m tests.chaos --seed 7 --cycles 200`: faults, and then a count of what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click

from cli import ui
from tests.chaos.plan import KINDS, plan
from tests.chaos.run import Lived, Report, run
from tests.conftest import HOMES


@click.command()
@click.option("--seed", default=1, show_default=True, help="Which faults, and which records.")
@click.option("--cycles", default=200, show_default=True, type=click.IntRange(min=1), help="How many.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def main(seed: int, cycles: int, only_plan: bool, as_json: bool) -> None:
    """Disturb a khaywe at work, and see that nothing is lost, doubled or wrong."""
    if only_plan:
        ui.show_table(
            ("cycle", "after s", "fault", "lasts s"),
            [(each.number, f.after, str(f), f.seconds) for each in plan(seed, cycles) for f in each.faults],
        )
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no worker outlives it
    for name in [name for name in os.environ if name.startswith("KHAYWE_")]:
        del os.environ[name]  # no run depends on whoever starts it
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    try:
        with ui.progress_line() as progress:
            share = 0.0

            def lived(one: Lived) -> None:
                nonlocal share
                share = one.cycle / cycles
                if not as_json:
                    click.echo(_row(one, cycles))

            if not as_json:
                click.echo(HEAD)
            # Off a terminal the rows are progress enough.
            doing = progress if sys.stderr.isatty() else lambda what, share: None
            report = run(seed, cycles, home, lived, lambda what: doing(what, share))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if as_json:
        ui.show_json(report.plain())
    else:
        _show(report)
    sys.exit(0 if report.good else 1)


HEAD = f"{'cycle':>9}  {'struck s':>8}  {'recovered s':>11}  {'records':>9}  fault"


def _row(one: Lived, cycles: int) -> str:
    number = f"{one.cycle}/{cycles}"
    faults = "; ".join(one.faults)
    return f"{number:>9}  {one.struck:>8.1f}  {one.recovered:>11.1f}  {one.records:>9,}  {faults}"


def _show(report: Report) -> None:
    click.echo("")
    ui.show_table(
        ("fault", "times", "what is done"), [(kind, report.faults[kind], KINDS[kind]) for kind in KINDS]
    )
    click.echo("")
    for kind, times in report.not_here.items():
        click.echo(f"Not made, as there is no C compiler here: {kind}, {times} times")
    for note in report.notes:
        click.echo(f"  {note}")
    found = report.verdict
    if found is not None:
        slowest = max(one.recovered for one in report.lived)
        click.echo(
            f"\n{len(report.lived)} cycles, {report.faults.total()} faults in {report.seconds:,.0f} s "
            f"(disk: {report.disk}); slowest recovery {slowest:.1f} s\n"
            f"{found.records:,} records: {found.lost} lost, {found.doubled} doubled\n"
            f"{found.effects:,} effects: {found.effects_lost} lost, {found.effects_doubled} doubled\n"
            f"{found.rows:,} customers' rows and {found.sql_rows:,} rows of SQL compared; "
            f"{found.behind} offsets behind"
        )
        for what in found.wrong:
            click.echo(f"WRONG: {what}", err=True)
    if report.good:
        click.echo("Nothing lost, nothing doubled, everything as the reference says.")
        return
    if report.failed:
        click.echo(f"FAILED: {report.failed}", err=True)
    click.echo(f"Seed {report.seed}; the same faults again: {report.command}", err=True)
    click.echo(f"Its logs: {report.logs}", err=True)


if __name__ == "__main__":
    main()
