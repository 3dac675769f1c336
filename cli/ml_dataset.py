"""`khaywe ml dataset`: a training table from the operator's own snapshots and what happened after them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from cli import ui
from config import topics
from config.errors import KhayweError
from config.settings import Settings, settings
from loyalty.content import currency_decimals
from loyalty.events import SOURCE_TYPES
from loyalty.row import RowFormatError
from loyalty.state import ROW_KEY
from loyalty.times import NO_TIME, parse_many
from loyalty.upgrade import current
from ml import dataset as datasets
from ml import table as tables
from ml.labels import HORIZON
from tables import snapshots

_BATCH = 5_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Event = dict[str, Any]


@click.command()
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.parquet")
@click.option(
    "--snapshots", "paths", multiple=True, metavar="DIR|FILE", type=click.Path(exists=True, path_type=Path),
    help="May be repeated.  Unset: all in KHAYWE_SNAPSHOTS.",
)  # fmt: skip
@click.option(
    "--events", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CustomerEvents after the snapshots, JSON lines.  Unset: the topic customer-events.",
)  # fmt: skip
@click.option(
    "--horizon", type=click.IntRange(min=1), default=HORIZON, show_default=True, metavar="DAYS",
    help="How far labels look ahead.",
)  # fmt: skip
def dataset(out: Path, paths: tuple[Path, ...], events: Path | None, horizon: int) -> None:
    """Make a training table: features of the customers in snapshots, labels from the days after them."""
    config = settings()
    files = _files(config, paths)
    taken = [_snapshot(path, horizon) for path in files]
    last, count = 0, 0
    source = _from_file(events) if events is not None else _from_topic(config)
    with ui.progress_bar("reading events", None) as progress:
        for batch in source:
            times = parse_many([str(event["occurred_at"]) for event in batch])
            last = max(last, int(np.where(times == NO_TIME, 0, times).max(initial=0)))
            count += len(batch)
            for each in taken:
                each.labels.take(batch)
            progress(len(batch))
    made = datasets.table(
        taken, last, horizon, decimals=currency_decimals(config.currency), timezone=config.timezone
    )
    tables.write(made, out)
    held = int(made.holdout.sum()) if made.holdout is not None else 0
    click.echo(f"{out}: {made.about}; {held:,} rows held out, {count:,} events read")
    for name, column in made.labels.items():
        known = column[~np.isnan(column)]
        click.echo(f"  {name}: {len(known):,} rows{f', mean {known.mean():.3f}' if len(known) else ''}")
    click.echo(f"`khaywe ml train --data {out}` trains on it")


def _files(config: Settings, paths: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths or (snapshots.directory(config),):
        found += [path] if path.is_file() else sorted(path.rglob(f"*{snapshots.SUFFIX}"))
    if not found:
        raise KhayweError(
            f"no snapshots in {', '.join(map(str, paths)) or snapshots.directory(config)}",
            hint="workers write one of each partition a day; `khaywe snapshot list` shows them",
        )
    return found


def _snapshot(path: Path, horizon: int) -> datasets.Snapshot:
    ids: list[str] = []
    rows = []
    for block in snapshots.read(path):
        for key, value in block:
            if key.startswith(ROW_KEY):
                id = key.removeprefix(ROW_KEY)
                try:
                    rows.append(current(value, id))
                except RowFormatError as error:
                    raise KhayweError(f"{path}: customer {id.decode(errors='replace')}: {error}") from None
                ids.append(id.decode())
    if not rows:
        raise KhayweError(f"{path} holds no customers")
    return datasets.snapshot(ids, np.concatenate(rows), snapshots.read_header(path).tick, horizon)


def _from_file(path: Path) -> Iterator[list[Event]]:
    batch: list[Event] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                batch += _event(line, f"{path}, line {number}")
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    yield batch


def _event(line: bytes, where: str) -> list[Event]:
    """The event of a line, where it is one of a source."""
    try:
        event = _decode(line)
        if event["event_type"] not in SOURCE_TYPES:
            return []
        _ = event["customer_id"], event["occurred_at"], float(event["value"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise KhayweError(f"{where}: no CustomerEvent: {error}") from None
    return [event]


def _from_topic(config: Settings) -> Iterator[list[Event]]:
    from agents.recorded import Reader, held

    reader = Reader(config, held(config, [topics.CUSTOMER_EVENTS]))
    try:
        while not reader.done:
            batch: list[Event] = []
            for message in reader.read():
                value = message.value()
                if value is None:
                    continue
                try:
                    batch += _event(value, "")
                except KhayweError:
                    continue  # a dead letter of the fold's
            if batch:
                yield batch
    finally:
        reader.close()
