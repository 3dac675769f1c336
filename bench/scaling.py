"""How the whole way's speed depends on customers, partitions and workers: the seed's game, no models.

Each row is a run of `bench.pipeline` in a home of its own.  For customers the share that makes them known is
larger: a million of them have eight records each before the clock starts, so that the game's first missions
are behind most of them.  Each customer makes DAILY records a day in all of these runs.  `held` is the most
customers again, of a worker that may hold all of their rows.
"""

from __future__ import annotations

from typing import Any

from bench import pipeline
from catalog.draft import seed

#: Customers, records, share of the records that is there to make them known.
CUSTOMERS = ((10_000, 1_500_000, 0.2), (100_000, 2_400_000, 0.5), (1_000_000, 9_200_000, 0.87))
#: Records a day of each customer; an operator of 13 million with 900,000 a second has 6,000.
DAILY = 75
PARTITIONS = (1, 4, 16, 64)
WORKERS = (1, 2, 4)
EVENTS = 1_200_000
#: Rows that a worker may hold where it is to hold all.
ALL_ROWS = 1_100_000

_SHOWN = ("events_per_second", "events_per_cpu_second", "resident_bytes", "seconds")


def run() -> dict[str, Any]:
    """{"customers": {"10000": figures, ...}, "partitions": ..., "workers": ...}."""
    game = seed()

    def measured(customers: int, events: int, warm: float, **other: Any) -> dict[str, Any]:
        days = events / customers / DAILY
        return kept(pipeline.measure(game, events, customers, predict=False, warm=warm, days=days, **other))

    return {
        "customers": {
            str(customers): measured(customers, events, warm) for customers, events, warm in CUSTOMERS
        },
        "held": {str(CUSTOMERS[-1][0]): measured(*CUSTOMERS[-1], cache_rows=ALL_ROWS)},
        "partitions": {
            str(count): kept(pipeline.measure(game, EVENTS, predict=False, partitions=count))
            for count in PARTITIONS
        },
        "workers": {
            str(count): kept(pipeline.measure(game, EVENTS, predict=False, partitions=8, workers=count))
            for count in WORKERS
        },
    }


def kept(figures: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a run."""
    return {name: figures[name] for name in _SHOWN}
