"""`khaywe simulate`: what a draft of the catalog would have done with what is recorded, beside what was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click
import msgspec

from agents import simulation_report
from agents.recorded import Contents
from agents.simulation import Simulation
from catalog import draft as drafts
from catalog.products import ProductCatalogService
from cli import ranges, simulated, ui
from cli.ranges import TIME
from config.settings import Settings, settings
from loyalty.game import Sold
from loyalty.prepare import prepare


@click.command()
@click.option(
    "--catalog", "paths", multiple=True, required=True, metavar="FILE|DIR",
    type=click.Path(exists=True, path_type=Path), help="The draft, as for `khaywe catalog`; may be repeated.",
)  # fmt: skip
@click.option(
    "--from", "since", type=TIME, help="The log's time from which the draft counts. Unset: its begin."
)
@click.option("--to", "until", type=TIME, help="The log's time to end before. Unset: its end.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.option(
    "--out", type=click.File("w", encoding="utf-8", lazy=False), metavar="FILE",
    help="Also write what each customer would have got, and got: a JSON line each.",
)  # fmt: skip
def simulate(
    paths: tuple[Path, ...], since: str | None, until: str | None, as_json: bool, out: IO[str] | None
) -> None:
    """Try a draft of the catalog on what is recorded: who would have got what, against what happened.

    The draft is laid over the newest revision.  Nothing is written but the report, and nobody gets anything.
    """
    ranges.check(since, until)
    config = settings()
    contents = Contents(config)
    base = contents.last
    given = drafts.read(paths)
    game = given.onto(base.game, base.decisions.currency_decimals, products=_products(config, given))
    draft = msgspec.structs.replace(base, revision=base.revision + 1, game=game)
    run = Simulation(config, draft, contents, since, until)
    with ui.progress_line() as say:
        say("preparing the fold: the first time on a machine it takes a minute", None)
        prepare()
    with ui.progress_bar("simulating", run.total) as progress:
        found = run.run(progress)
    ranges.require_records(found.stretches, since, until)
    if out is not None:
        out.writelines(
            f"{json.dumps(line, ensure_ascii=False)}\n" for line in simulation_report.customers(found)
        )
    asked = {"catalog": [str(path) for path in paths], "from": since, "to": until, "revision": base.revision}
    report = asked | simulation_report.plain(found, game, base.game)
    if as_json:
        ui.show_json(report)
    else:
        simulated.show(report)


def _products(config: Settings, given: drafts.Draft) -> dict[int, Sold | str]:
    """What campaigns of the draft sell, as it stands in the catalog."""
    named = given.products()
    if not named:
        return {}
    service = ProductCatalogService(config.database_url())
    try:
        return service.sold(named)
    finally:
        service.close()
