"""What models said in a demo: churn and next best offers of all its customers, and of a few of them why."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from agents.tail import Tail
from cli import ui
from cli.predicted import said
from cli.timeline import Names
from config import topics
from config.settings import Settings
from loyalty.asking import INLINE, SETS
from ml.models import LEVELS
from ml.recorded import Recorded
from ml.registry import SHIPPED, Registry


def report_predictions(console: Console, config: Settings) -> None:
    """Print it, as of the end of the data."""
    records = _newest(config)
    names = Names.read(config)
    known = [each for each in records if not each["models"]["churn"]["insufficient_history"]]
    console.print("\n[bold]What models foretell[/bold]  predictions, the newest of each customer")
    table = ui.grid("", ">")
    table.show_header = False
    levels = Counter(each["models"]["churn"]["risk_level"] for each in known)
    for level in LEVELS.tolist():
        table.add_row(f"churn within 30 days: {level} risk", f"{levels[level]:,}")
    table.add_row("too little history to tell", f"{len(records) - len(known):,}")
    best = Counter(
        offer["offer_id"] for each in known for offer in each["models"]["nbo"].get("offers", [])[:1]
    )
    for offer, count in best.most_common():
        table.add_row(f"next best offer: {names.offers.get(offer, offer)}", f"{count:,}")
    console.print(table)

    explainer = Recorded(Registry(config.models or SHIPPED))
    for record in _of_each_level(known):
        id = record["customer_id"]
        console.print(f"\n[bold]{id}[/bold]  `khaywe customer predictions {id}`")
        for told in explainer.tell(record):
            offer = f"{said(told.outputs, names)}. " if "offers" in told.outputs else ""
            console.print(Text.assemble((f"{told.model}: ", "bold"), offer, told.text))


def _newest(config: Settings) -> list[dict[str, Any]]:
    """The last record of the inline set of each customer."""
    last: dict[bytes, bytes | None] = {}
    tail = Tail(config, topics.PREDICTIONS)
    try:
        for record in tail.to_end():
            key = record.key() or b""
            if key.endswith(f":{SETS[INLINE]}".encode()):
                last[key] = record.value()
    finally:
        tail.close()
    return [msgspec.json.decode(value) for _, value in sorted(last.items()) if value is not None]


def _of_each_level(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The highest risk, one in the midst of the medium ones, the lowest."""
    ranked = sorted(known, key=lambda each: (each["models"]["churn"]["probability"], each["customer_id"]))
    medium = [each for each in ranked if each["models"]["churn"]["risk_level"] == "medium"]
    return [*ranked[-1:], *medium[len(medium) // 2 :][:1], *ranked[:1]]
