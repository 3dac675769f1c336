"""A worker that is told to stop in the middle of a take-over ends, and does not crash."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.transport import Consumer


class TakingOver(Consumer):
    """Waits for partitions until it is cancelled."""

    def __init__(self) -> None: ...

    async def _drain(self, fetcher: Any) -> None:
        await asyncio.Event().wait()


async def cancelled(stops: bool) -> None:
    fetcher = SimpleNamespace(should_stop=False)
    work = asyncio.create_task(TakingOver()._drain_messages(fetcher))
    await asyncio.sleep(0)
    fetcher.should_stop = stops
    work.cancel()
    await work


def test_stopped_it_ends() -> None:
    asyncio.run(cancelled(stops=True))


def test_otherwise_it_is_said() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled(stops=False))
