"""Faust's table manager without Faust's recovery: tables restore themselves at the take-over.

The assignor, the router and the web keep what they need of it: the tables and their changelog topics.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
from faust.types import TP

if TYPE_CHECKING:
    from streams.record_app import RecordApp


class RecordTables(TableManager):
    """Opens the flow at once; `streams.transport` fetches nothing before the tables are restored."""

    app: RecordApp

    async def on_start(self) -> None:
        """Declare the tables' changelog topics to the conductor."""
        await self._update_channels()

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """The transport has ended the epoch already."""

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Let the fetcher run; it takes the partitions over first."""
        self._recovery_started.set()
        self.app.flow_control.resume()
        self.app.consumer.resume_flow()
        await self.app._fetcher.maybe_start()

    async def on_stop(self) -> None:
        """Stop the fetcher and the tables."""
        await self.app._fetcher.stop()
        for table in self.values():
            await table.stop()

    async def wait_until_recovery_completed(self) -> bool:
        """Web views answer from the start; they say themselves which partitions are ready."""
        await asyncio.sleep(0)
        return False


class CustomersAssignor(PartitionAssignor):
    """Faust's assignor, which leaves out the partitions that customers have left."""

    app: RecordApp

    def _get_copartitioned_groups(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        found = super()._get_copartitioned_groups(*args, **kwargs)
        return {min(number, self.app.settings.partitions): groups for number, groups in found.items()}


def passthrough(app: Any, message: Any) -> Any:
    """A message's event: its value as it is."""
    return app.create_event(None, message.value, {}, message)
