"""What the examples of docs/semantics.md share: a day to begin at, a fold of a few records."""

from __future__ import annotations

from typing import Any

from tests.reference.fold import ReferenceFold
from tests.reference.model import DAY_MS
from tests.reference.records import CONTENTS, at
from tests.reference.streams import run_log

DAY = DAY_MS
NEW_YEAR = at("2020-01-01")  # a Wednesday
D = 18_262  # its day: 50 years of 365 days and 12 leap days


def folded(*records: bytes | None, partition: int = 0) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    fold = ReferenceFold(partition, CONTENTS)
    return fold, run_log(fold, [records])


def row(*records: bytes | None, customer: str = "a") -> dict[str, Any]:
    return folded(*records)[0].snapshot(customer)


def summary(effects: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Of scores (customer, reason, event_id of the cause), of results (command_id, status, reason)."""
    return [
        (value["customer_id"], value["reason"], value["cause"]["event_id"])
        if "scores" in value
        else (value["command_id"], value["status"], value["reason"])
        for value in (effect["value"] for effect in effects)
    ]
