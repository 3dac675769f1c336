"""`khaywe ml`: the models, how they are made anew, what they say, and whether they can be trusted."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from cli import ui
from cli.ml_dataset import dataset
from config.errors import KhayweError
from config.settings import settings
from ml.features import NAMES
from ml.models import KINDS, UCI
from ml.registry import SHIPPED, Model, ModelError, Registry

_MODEL = click.option("--model", "name", required=True, metavar="NAME", help="As `khaywe ml list` names it.")
_DATA = click.option(
    "--data", required=True, metavar="FILE",
    help="CSV with a header line that names the model's features; - is standard input.",
)  # fmt: skip
_VERSION = click.option("--version", "version", metavar="VERSION", help="Unset: the active one.")


@click.group("ml")
def ml() -> None:
    """Models: list, train, activate, predict, explain, validate, report."""


ml.add_command(dataset)


def registry() -> Registry:
    """The models of KHAYWE_MODELS."""
    return Registry(settings().models or SHIPPED)


@ml.command("list")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def list_(as_json: bool) -> None:
    """Show the models and their versions."""
    models = registry()
    found: list[dict[str, Any]] = []
    for name in models.names():
        for version in models.versions(name):
            entry: dict[str, Any] = {
                "model": name,
                "version": version,
                "active": version == _active(models, name),
            }
            try:
                card = models.load(name, version).card
                entry |= {
                    "metrics": card.metrics,
                    "metric": card.metric,
                    "rows": card.rows,
                    "about": card.about,
                }
            except ModelError as error:
                entry["error"] = str(error)
            found.append(entry)
    if as_json:
        ui.show_json(found)
        return
    if not found:
        click.echo(f"No models in {models.directory}.")
        return
    ui.show_table(
        ("model", "version", "active", "metric", "model's", "plain rule's", "best", "about"),
        [_line(entry) for entry in found],
    )


def _active(models: Registry, name: str) -> str:
    try:
        return models.active(name)
    except ModelError:
        return ""


def _line(entry: dict[str, Any]) -> tuple[object, ...]:
    head = (entry["model"], entry["version"], entry["active"])
    if "error" in entry:
        return (*head, None, None, None, None, entry["error"])
    metric, metrics = entry["metric"], entry["metrics"]
    figures = (metrics.get(f"{which}{metric}") for which in ("", "rule_", "best_"))
    shown = (None if figure is None else f"{figure:.3f}" for figure in figures)
    return (*head, metric or None, *shown, entry["about"])


@ml.command()
@click.option("--model", "names", multiple=True, metavar="NAME", help="May be repeated.  Unset: all.")
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help=f"A table of `khaywe ml dataset`; for {UCI} a CSV file of its columns with Churn.  Unset: the "
    "simulated customers, and the file that comes along.",
)  # fmt: skip
@click.option(
    "--date", metavar="DATE", default="", help="Of the data, as the card says it.  Unset: the table's."
)
@click.option(
    "--cards", type=click.Path(path_type=Path), metavar="DIR", help="Also write the cards as pages."
)
@click.option("--activate/--no-activate", default=True, help="Let the new versions count at once.  [yes]")
def train(names: tuple[str, ...], data: Path | None, date: str, cards: Path | None, activate: bool) -> None:
    """Make models anew, into KHAYWE_MODELS.  The same data give the same bytes on the same versions."""
    wanted = _known(names, data)
    from ml.making import make
    from ml.pages import page

    models = registry()
    with ui.progress_line() as progress:
        progress(f"training {', '.join(wanted)}", None)
        for name, file in make(wanted, data, date):
            model = models.add(file)
            if activate:
                models.activate(name, model.version)
            if cards is not None:
                cards.mkdir(parents=True, exist_ok=True)
                (cards / f"{name}.md").write_text(page(model.card))
            card = model.card
            said = ", ".join(f"{key} {value:.4f}" for key, value in card.metrics.items())
            click.echo(f"{name} {model.version}{', active' if activate else ''}: {said or 'by rules'}")


def _known(names: Sequence[str], data: Path | None) -> list[str]:
    for name in names:
        if name not in KINDS:
            raise KhayweError(f"there is no model {name!r}", hint=f"there are {', '.join(KINDS)}")
    if data is None:
        return list(names or KINDS)
    table = data.suffix.lower() != ".csv"
    wanted = list(names) or [name for name in KINDS if (name != UCI) == table]
    if any((name != UCI) != table for name in wanted):
        raise KhayweError(
            f"{data} is no data for {', '.join(wanted)}",
            hint=f"{UCI} is trained on a CSV file, the others on a table of `khaywe ml dataset`",
        )
    return wanted


@ml.command()
@_MODEL
@click.option("--version", "version", required=True, metavar="VERSION", help="As `khaywe ml list` shows it.")
def activate(name: str, version: str) -> None:
    """Let a version of a model count from now on; one that cannot be used is refused."""
    registry().activate(name, version)
    click.echo(f"{name} {version} is active")


@ml.command()
@_MODEL
@_VERSION
@_DATA
def predict(name: str, version: str | None, data: str) -> None:
    """Predict for each row of a file: CSV to standard output, `row` from 0."""
    model = registry().load(name, version)
    found = model.predict(_matrix(model, data))
    keys = (
        ["probability", "risk_level"]
        if model.card.kind == "churn" and model.card.inputs == "file"
        else list(found)
    )
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["row", *keys])
    columns = [_texts(found[key]) for key in keys]
    writer.writerows((row, *cells) for row, cells in enumerate(zip(*columns, strict=True)))


def _texts(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "f":
        return [f"{value:.6f}" for value in values.tolist()]
    if values.dtype.kind == "b":
        return ["yes" if value else "no" for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def _matrix(model: Model, data: str) -> NDArray[np.float32]:
    from ml.files import read_csv

    return read_csv(data, model.card.features)[0]


@ml.command()
@_MODEL
@_VERSION
@_DATA
@click.option("--row", type=click.IntRange(min=0), help="Only this one, from 0.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def explain(name: str, version: str | None, data: str, row: int | None, as_json: bool) -> None:
    """Say why the model says what it says, for each row of a file."""
    from dataclasses import asdict

    from ml.explain import Explainer

    model = registry().load(name, version)
    values = _matrix(model, data)
    if row is not None and row >= len(values):
        raise KhayweError(f"{data} has {len(values):,} rows, there is no row {row}")
    first = row or 0
    chosen = values if row is None else values[row : row + 1]
    told = Explainer(model).explain(chosen)
    if as_json:
        ui.show_json([{"row": first + at, **asdict(each)} for at, each in enumerate(told)])
        return
    for at, each in enumerate(told):
        click.echo(f"{first + at}: {each.text}")


@ml.command()
@click.option("--model", "names", multiple=True, metavar="NAME", help="May be repeated.  Unset: all.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_context
def validate(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Check every model: shape, ranges, keys, aliases, explanation, latency.  Exit code 1 on a failure."""
    from ml.validate import Check, check

    models = registry()
    found: list[tuple[str, str, Check]] = []
    for name in names or sorted({*models.names(), *KINDS}):
        try:
            model = models.load(name)
        except ModelError as error:
            found.append((name, "", Check("load", False, f"{error}; {error.hint}")))
            continue
        found += [(name, model.version, each) for each in check(model)]
    if as_json:
        ui.show_json(
            [
                {
                    "model": name,
                    "version": version,
                    "check": each.name,
                    "holds": each.holds,
                    "found": each.found,
                }
                for name, version, each in found
            ]
        )
    else:
        ui.show_table(
            ("model", "version", "check", "result", "found"),
            [
                (name, version or None, each.name, "passed" if each.holds else "FAILED", each.found)
                for name, version, each in found
            ],
        )
    failed = sum(not each.holds for _, _, each in found)
    if not as_json:
        click.echo(f"{len(found)} checks, {failed} failed")
    ctx.exit(1 if failed else 0)


@ml.command()
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("models.html"), show_default=True,
    metavar="FILE", help="Where the page goes.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A table of `khaywe ml dataset` of today, for drift.  Unset: no drift.",
)  # fmt: skip
@click.option(
    "--live", is_flag=True, help="Drift of the customers on the topic predictions, as served lately."
)
def report(out: Path, data: Path | None, live: bool) -> None:
    """Write one HTML page on all models: ROC, calibration, lift, importance, and drift against training."""
    from ml import table
    from ml.report import page

    if live and data is not None:
        raise click.UsageError("--data and --live exclude each other")
    models = registry()
    loaded = [models.load(name) for name in models.names()]
    today = _live() if live else None if data is None else table.read(data).values
    out.write_text(page(loaded, today), encoding="utf-8")
    click.echo(
        f"{out}: {len(loaded)} models{'' if today is None else f', drift on {len(today):,} customers'}"
    )


def _live() -> NDArray[np.float32]:
    """Features of some of those who were served lately, from the topic predictions."""
    from cli.predicted import served
    from ml.drift import Reservoir

    sample = Reservoir(len(NAMES))
    with ui.progress_line() as progress:
        progress("reading predictions", None)
        for values in served(settings()):
            sample.add(values)
    rows = sample.rows()
    if rows is None:
        raise KhayweError(
            f"there are fewer than {Reservoir.LEAST} predictions: too few to speak of drift",
            hint="`khaywe command predict --segment all` asks for everybody now",
        )
    return rows
