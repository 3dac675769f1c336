"""The worker's web views, on the apps of this process.  Found by name when a worker starts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agents.folding import CustomersProcessor, with_open_grants
from agents.worker import parts
from streams.app import customers, normalizer, projector
from tables.errors import TableError
from web.views import Table, common_views, table_views

#: Customers that are looked up together, between two batches.
TOGETHER = 500


async def customer(customer_id: str) -> dict[str, Any] | None:
    """What is known of a customer, as of the last committed batch."""
    return await customers.work(lambda: parts().customers.customer(customer_id))


async def overview() -> Sequence[Mapping[str, Any]]:
    """The partitions of the customer table that this worker holds."""
    return await customers.work(lambda: parts().customers.overview())


async def why(
    customer_id: str, mission: str | None, badge: str | None, campaign: str | None
) -> dict[str, Any] | None:
    """What the game thinks of a customer."""
    return await customers.work(lambda: parts().customers.why(customer_id, mission, badge, campaign))


async def points() -> Sequence[Mapping[str, Any]]:
    """Points owed, of each partition that this worker holds."""
    return await customers.work(lambda: parts().customers.points())


async def rows(ids: Sequence[str]) -> list[bytes | None]:
    """Stored rows of customers, None for those that this worker does not hold."""
    found: list[bytes | None] = []
    for start in range(0, len(ids), TOGETHER):
        found += await customers.work(partial(parts().customers.rows, ids[start : start + TOGETHER]))
    return found


async def census(conditions: Sequence[str], campaign: int) -> Sequence[Mapping[str, Any]]:
    """How many customers of those partitions fit.  Raises LookupError, ValueError."""
    return await customers.work(lambda: parts().customers.census(conditions, campaign))


async def grants() -> Sequence[Mapping[str, Any]]:
    """Open grants of those partitions.  Raises LookupError where one goes meanwhile."""
    # To its end, whoever stops waiting: a view that nobody closes holds its store.
    return await asyncio.shield(_grants(parts().customers))


async def _grants(processor: CustomersProcessor) -> Sequence[Mapping[str, Any]]:
    views = await customers.work(processor.views)
    try:
        ids = await asyncio.to_thread(with_open_grants, views)
    except TableError as error:
        raise LookupError(str(error)) from None
    found: list[Mapping[str, Any]] = []
    for start in range(0, len(ids), TOGETHER):
        found += await customers.work(partial(processor.open_grants, ids[start : start + TOGETHER]))
    return found


table_views(customers, Table(customer, why, overview, grants, points, rows, census))
common_views(customers)
common_views(normalizer)
common_views(projector)
