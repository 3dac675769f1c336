"""The normaliser agent: raw records become `customer-events`; commands, ticks and markers join them."""

from __future__ import annotations

from typing import Any

from agents.worker import parts
from config import topics
from streams.app import normalizer as app

app.behind = lambda: parts().normalizer


@app.agent(app.records(topics.CUSTOMER_COMMANDS))
async def normalizer(polls: Any) -> None:
    """One poll after another, one transaction each."""
    async for poll in polls:
        await app.handle(poll)
