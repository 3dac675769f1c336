"""The projector agent: effects and the log become rows of PostgreSQL, for lists and figures."""

from __future__ import annotations

from typing import Any

from agents.catalog_feed import CatalogFeed
from agents.projecting import ProjectorProcessor
from config import topics
from config.settings import settings
from streams.app import projector as app


def _behind() -> ProjectorProcessor:
    feed = CatalogFeed(settings())
    feed.start()
    return ProjectorProcessor(settings(), feed)


app.behind = _behind


@app.agent(app.records(topics.CUSTOMER_EVENTS))
async def projector(polls: Any) -> None:
    """One poll after another, one SQL transaction each."""
    async for poll in polls:
        await app.handle(poll)
