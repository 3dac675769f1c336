"""The pictures of docs/performance.md: rates of khaywe and its peers, and an hour at half load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {
    "khaywe": "khaywe", "kafka_streams": "Kafka Streams 4.1 (Java)", "quix_streams": "Quix Streams 3.28",
    "faust_tutorial": "Faust as its tutorial",
}  # fmt: skip
#: Samples of bench/soak.py, a panel each.
PANELS = {
    "resident_mb": "memory, MB", "open_files": "open files", "stores_mb": "stores, MB",
    "transaction_ms": "a transaction, ms",
}  # fmt: skip


def draw(results: dict[str, Any], docs: Path = DOCS) -> None:
    """Draw what was measured of both."""
    if results.get("peers"):
        _save(_peers(results), docs / "peers.svg")
    if results.get("soak"):
        _save(_soak(results["soak"]["samples"]), docs / "soak.svg")


def _save(figure: Figure, file: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def _peers(results: dict[str, Any]) -> Figure:
    engines = {"khaywe": results["comparison"]["khaywe"], **results["peers"]}
    rates = [engines[name]["events_per_cpu_second"] for name in TITLES]
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(TITLES.values()), rates, color=["#0b6e4f", *["#9aa5b1"] * (len(rates) - 1)])
    axes.bar_label(bars, [f"{rate:,}" for rate in rates], padding=4)
    axes.set_xlabel("raw records a second of CPU: both hops, exactly once, the whole game")
    axes.set_xlim(0, max(rates) * 1.15)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()
    return figure


def _soak(samples: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(8, 7), layout="constrained")
    minutes = [seconds / 60 for seconds in samples["seconds"]]
    panels = figure.subplots(len(PANELS), sharex=True)
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        axes.plot(minutes, samples[name], color="#0b6e4f")
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:,.0f}")
    panels[-1].set_xlabel("minutes")
    return figure
