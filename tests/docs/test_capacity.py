"""Cores and disks follow from the measurements, and nothing is made up where one is missing."""

from __future__ import annotations

import re
from typing import Any

from docs.made import capacity
from docs.made.results import MISSING

#: Round numbers, to compute with by hand.
RESULTS: dict[str, Any] = {
    "khaywe": {
        "events_per_second": 80_000,
        "events_per_cpu_second": 100_000,
        "sparse_events_per_second": 40_000,
        "models_rate_share": 0.9,
        "microseconds_a_due_customer": 8.0,
        "resident_bytes": 10**9,
        "restore_resident_bytes": 632_000_000,
        "rows": 1_000_000,
        "stored_row_bytes": 700,
        "restore_rows_per_second": 200_000,
        "warm_start_rows_per_second": 400_000,
    },
    "console": {"customers": 1_000, "database_bytes": 30_000_000},
}


def rows(results: dict[str, Any], section: str) -> dict[str, list[str]]:
    """Cells of the rows of a section, by the first."""
    [text] = re.findall(rf"^## {section}\n\n(.*?)(?:^## |\Z)", capacity.page(results), re.M | re.S)
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in found[2:]}


def test_workers_follow_from_rates() -> None:
    # 1.8 million at the peak, at 90,000 a core: 20 cores, and a thousandth for those who are silent.
    found = rows(RESULTS, "Workers")
    assert found["customers with much behind them"] == ["r", "20.0", "34", "68", "136"]
    assert found["first days of everybody"] == ["r'", "40.0", "67", "134", "268"]
    measured = {**RESULTS["khaywe"], "sparse_events_per_cpu_second": 90_000}
    assert rows({"khaywe": measured}, "Workers")["first days of everybody"][1] == "22.2"
    peers = {**RESULTS, "comparison": {"khaywe": {"events_per_cpu_second": 50_000}}}
    assert rows(peers, "Workers")["customers with much behind them"][1] == "40.0"
    settled = {**RESULTS, "settled": {"1000000": {"events_per_cpu_second": 200_000}}}
    assert rows(settled, "Workers")["a million customers a worker"][1] == "10.0"


def test_a_worker_holds_and_restores_its_share() -> None:
    figures = [cells[-1] for cells in rows(RESULTS, "One worker").values()]
    # 13,000,000 / 34 customers; 1 GB and 632 + 2,368 bytes for each; 10 s and their rows at either rate.
    assert figures == ["382,353", "2.1 GB", "535.3 MB", "11.9 s", "11.0 s", "17.9 s"]


def test_disks_follow_from_what_a_record_brings() -> None:
    soak = {
        "bytes_a_record": {"raw_cdr_events": 200.0, "customer-events": 50.0, "behavior-scores": 60.0},
        "records_a_record": {"customer-events": 1.0, "behavior-scores": 0.5, "decisions": 0.25},
    }
    results = {**RESULTS, "soak": soak, "projection": {"effects_per_cpu_second_with_postgresql": 27_000}}
    found = rows(results, "Kafka")
    # 200 bytes, 900,000 a second, seven days, three replicas; twice as much a second at the peak.
    assert found["raw_cdr_events"][2:] == ["326.6 TB", "1.1 GB/s"]
    assert found["customer-events"][2] == "81.6 TB"
    # 13 million rows, three in ten of them twice, and a segment of each of 136 partitions; three replicas.
    assert found["customers-changelog"][2] == "477.1 GB"
    assert found["behavior-scores"][2] == "444.8 GB"
    assert found["predictions"][2] == MISSING
    whole = rows(results, "In all")
    assert whole["disks of Kafka"][1] == "147 and what is not measured yet: predictions"
    assert whole["disks of PostgreSQL"][1] == "2"
    assert rows(results, "PostgreSQL")["cores of projectors and PostgreSQL at the peak"][1] == "50.0"


def test_nothing_is_made_up() -> None:
    for section in ("Workers", "One worker", "Kafka", "PostgreSQL", "In all"):
        for first, cells in rows({}, section).items():
            assert cells[-1].startswith(MISSING), first
    known = [sign for sign, cells in rows({}, "Measured").items() if cells[1] != MISSING]
    assert known == ["h"], "the size of a row is the code's"
