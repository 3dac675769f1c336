"""The picture of docs/performance.md: records a second of CPU, khaywe and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

PICTURE = Path(__file__).parents[1] / "docs" / "peers.svg"
TITLES = {
    "khaywe": "khaywe", "kafka_streams": "Kafka Streams 4.1 (Java)", "quix_streams": "Quix Streams 3.28",
    "faust_tutorial": "Faust as its tutorial",
}  # fmt: skip


def draw(results: dict[str, Any], file: Path = PICTURE) -> None:
    """Draw it, where peers were measured."""
    if not results.get("peers"):
        return
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
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
