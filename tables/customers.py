"""The customer table of one worker: a state and a store for each partition it holds.

RocksDB is written every few seconds, in one batch with the changelog offset it stands for.  Where that offset
is not known the older one stays: reading the changelog again over newer rows gives the same rows.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from config import topics
from config.settings import Settings
from loyalty.state import State
from tables.restore import Progress, restore, topic_id
from tables.store import RocksStore

log = logging.getLogger(__name__)


def nobody(partition: int, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class _Held:
    state: State
    store: RocksStore
    offset: int
    flushed_at: float


class CustomerTable:
    """Partitions are taken, folded, committed and let go of.  One thread at a time."""

    def __init__(self, settings: Settings, worker: str, on_progress: Progress = nobody) -> None:
        self._config: dict[str, Any] = settings.kafka_config()
        self._directory = settings.home_dir / "workers" / worker / "customers"
        self._max_rows = settings.cache_rows
        self._interval = settings.store_interval
        self._on_progress = on_progress
        self._held: dict[int, _Held] = {}

    @property
    def partitions(self) -> list[int]:
        """The partitions held."""
        return sorted(self._held)

    def take(self, partition: int) -> State:
        """Open the partition's store and restore it to the changelog's end as of now."""
        started = time.perf_counter()
        path = self._directory / str(partition)
        store = RocksStore(path, topic_id(self._config, topics.CHANGELOG))
        state = State(store, max(1_000, self._max_rows))
        try:
            end = restore(self._config, topics.CHANGELOG, partition, store, state, self._on_progress)
        except BaseException:
            store.close()
            raise
        self._held[partition] = _Held(state, store, end, time.monotonic())
        took = time.perf_counter() - started
        log.info("customers/%d: %d customers restored to %d in %.2f s", partition, len(state), end, took)
        return state

    def state(self, partition: int) -> State:
        """The state of a held partition."""
        return self._held[partition].state

    def store(self, partition: int) -> RocksStore:
        """The store of a held partition."""
        return self._held[partition].store

    def offset(self, partition: int) -> int:
        """The changelog offset up to which a held partition's state is known to reach."""
        return self._held[partition].offset

    def committed(self, partition: int, offset: int | None) -> None:
        """The transaction is committed; `offset` follows its last changelog record, None if it had none."""
        held = self._held[partition]
        held.state.committed()
        if offset is not None:
            held.offset = offset

    def maybe_flush(self, now: float) -> None:
        """Write what changed to the stores whose turn it is."""
        for held in self._held.values():
            if now - held.flushed_at >= self._interval:
                self._flush(held)
                held.flushed_at = now

    def _flush(self, held: _Held) -> None:
        pending = held.state.pending()
        if pending.keys:
            held.store.write(pending.keys, pending.values, held.offset)
            held.state.flushed()

    def release(self, partition: int) -> None:
        """Store what is committed and let go."""
        held = self._held.pop(partition)
        self._flush(held)
        held.store.close()

    def drop(self, partition: int) -> None:
        """Let go; what the store lacks comes from the changelog."""
        self._held.pop(partition).store.close()

    def get(self, partition: int, id: bytes) -> bytes | None:
        """A customer's committed row, None for an unknown one."""
        state = self._held[partition].state
        slot = state.find(id)
        if slot < 0:
            return None
        row: bytes = state.rows[slot].tobytes()
        return row

    def side(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Side entries under a key prefix."""
        return list(self._held[partition].state.side_scan(prefix))
