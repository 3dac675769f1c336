"""The customers agent: the customer table's owner folds `customer-events`."""

from __future__ import annotations

from typing import Any

from agents.worker import parts
from config import topics
from streams.app import customers as app

app.behind = lambda: parts().customers


@app.agent(app.records(topics.CUSTOMER_EVENTS))
async def customers(polls: Any) -> None:
    """One poll after another, one transaction each."""
    async for poll in polls:
        await app.handle(poll)
