"""The worker's web views, on the apps of this process.  Found by name when a worker starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.worker import parts
from streams.app import customers, normalizer
from web.views import common_views, table_views


async def customer(customer_id: str) -> dict[str, Any] | None:
    """What is known of a customer, as of the last committed batch."""
    return await customers.work(lambda: parts().customers.customer(customer_id))


async def overview() -> Sequence[Mapping[str, Any]]:
    """The partitions of the customer table that this worker holds."""
    return await customers.work(lambda: parts().customers.overview())


table_views(customers, customer, overview)
common_views(customers)
common_views(normalizer)
