"""What bench/results.json holds, and how its figures are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "bench" / "results.json"
MISSING = "not measured yet"

Results = dict[str, Any]


def read() -> Results:
    """All of it."""
    found: Results = json.loads(RESULTS.read_text())
    return found


def at(results: Results, path: str) -> Any:
    """What stands at a path with dots, None where nothing does."""
    here: Any = results
    for step in path.split("."):
        here = here.get(step) if isinstance(here, dict) else None
    return here


def number(value: float | None, form: str = ",.0f", unit: str = "") -> str:
    """A figure by a format, or that there is none."""
    return MISSING if value is None else f"{value:{form}}{unit}"
