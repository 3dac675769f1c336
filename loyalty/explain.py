"""A row for people: scores with the measures and points they are made of, counters, last events.

Measures and points come from the code that decides, so what is shown cannot contradict what was published.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.content import Decisions
from loyalty.events import NAMES, scale
from loyalty.policy import MEASURES, Content, compile_policy
from loyalty.row import LIFE, MONTH, RECENT, RINGS
from loyalty.scores import fill_points, measure


def explain(row: Any, content: Content) -> dict[str, dict[str, Any]]:
    """Each score: `value` as published; `components`: `measure`, `points`, `weight`, `full_at` of each."""
    policy = compile_policy(content)[0]
    measures, points = np.zeros(len(MEASURES)), np.zeros(len(MEASURES))
    measure(row, policy, measures)
    fill_points(measures, policy, points)
    shown: dict[str, dict[str, Any]] = {}
    for index, (score, name) in enumerate(MEASURES):
        part = content.policy.scores[score][name]
        entry = shown.setdefault(score, {"value": 0.0, "components": {}})
        entry["components"][name] = {
            "measure": float(measures[index]),
            "points": float(points[index]),
            "weight": part.weight,
            "full_at": part.full_at,
        }
    for entry in shown.values():
        total = 0.0
        for part_shown in entry["components"].values():
            total += part_shown["points"]
        entry["value"] = round(total * 100) / 100
    return shown


def counters(row: Any, content: Content) -> dict[str, Any]:
    """Sums of 30 days (revenue: 90) and of the whole life, in canonical units."""
    units = _units(content.decisions)
    shown: dict[str, Any] = {}
    for name, (_, days) in RINGS.items():
        total = int(np.sum(row[name], dtype=np.int64))
        if days != MONTH:
            shown[f"{_shown(name)}_30_days"] = _in_units(name, _newest(row, name, days), units)
        shown[f"{_shown(name)}_{days}_days"] = _in_units(name, total, units)
    for name in LIFE:
        shown[f"{_shown(name)}_lifetime"] = _in_units(name, int(row[f"life_{name}"]), units)
    shown["active_weeks_of_12"] = int(row["weeks"] & 0xFFF).bit_count()
    return shown


def recent(row: Any, content: Content) -> list[tuple[str, int, float]]:
    """The last events counted, newest first: event type, time in whole seconds since 1970 UTC, value."""
    found = []
    for back in range(1, RECENT + 1):
        at = (int(row["recent_next"]) - back) % RECENT
        kind = NAMES.get(int(row["recent_type"][at]))
        if kind is None:
            break
        value = int(row["recent_value"][at])
        units = 1 if kind.startswith("_") else scale(kind, content.decisions.currency_decimals)
        found.append((kind, int(row["recent_at"][at]), value / units if units != 1 else value))
    return found


def _newest(row: Any, name: str, days: int) -> int:
    """Sum of the newest 30 days of a longer ring."""
    cells: NDArray[Any] = row[name]
    wanted = (int(row["day"]) - np.arange(MONTH)) % days
    return int(np.sum(cells[wanted], dtype=np.int64))


def _shown(name: str) -> str:
    return "data_mb" if name == "data_kb" else name


def _in_units(name: str, value: int, units: dict[str, int]) -> float | int:
    unit = units.get(name, 1)
    return value / unit if unit != 1 else value


def _units(decisions: Decisions) -> dict[str, int]:
    money = 10**decisions.currency_decimals
    return {"data_kb": 1024, "recharge": money, "revenue": money}
