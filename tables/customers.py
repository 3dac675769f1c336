"""The customer table of one worker: a state and a store for each partition it holds.

RocksDB is written every few seconds; its offset stands behind the rows it covers, and reading the changelog
again over newer rows gives the same rows.
"""

from __future__ import annotations

import ctypes
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import topics
from config.settings import Settings
from loyalty.state import State
from tables.errors import StoreDamaged, TableError
from tables.restore import Progress, restore, topic_id
from tables.store import RocksStore, View, inherit

log = logging.getLogger(__name__)

#: Seconds after which a store's offset is written although no row changed: so it never looks outdated while
#: somebody holds it (`tables.restore.STALE_SECONDS`).
KEEP_SECONDS = 3600.0


def nobody(partition: int, done: int, total: int) -> bool:
    """Nobody watches."""
    return True


@dataclass(slots=True)
class _Held:
    state: State
    store: RocksStore
    offset: int
    flushed_at: float


def _give_back() -> None:
    """Hand memory that was needed for a moment back to the system: glibc keeps it for us otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class CustomerTable:
    """Partitions are taken, folded, committed and let go of.  One thread at a time."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._config: dict[str, Any] = settings.kafka_config()
        self._workers = settings.home_dir / "workers"
        self._directory = self._workers / worker / "customers"
        self._cache_rows = settings.cache_rows
        self._interval = settings.store_interval
        self._held: dict[int, _Held] = {}
        #: Directories of workers that keep their stores: see `tables.store.inherit`.
        self._busy: set[Path] = set()

    @property
    def partitions(self) -> list[int]:
        """The partitions held."""
        return sorted(self._held)

    def take(self, partition: int, progress: Progress = nobody) -> State:
        """Open the partition's store and restore it to the changelog's end as of now.

        Raises TableError, KafkaException, and Interrupted where `progress` wants no more.
        """
        started = time.perf_counter()
        share = self._share(len(self._held) + 1)
        path, changelog = self._directory / str(partition), topic_id(self._config, topics.CHANGELOG)
        others = (each for each in self._workers.glob(f"*/customers/{partition}") if each != path)
        came = inherit(others, path, changelog, self._busy)
        if came is not None:
            log.info("customers/%d: goes on with what %s has left", partition, came)
        store = RocksStore(path, changelog)
        state, start, end = self._restored(partition, store, share, progress)
        self._held[partition] = _Held(state, store, end, time.monotonic())
        _give_back()
        took = time.perf_counter() - started
        log.info(
            "customers/%d: %d customers restored in %.2f s, the changelog read from %d to %d",
            partition, len(state), took, start, end,
        )  # fmt: skip
        return state

    def _share(self, partitions: int) -> int:
        """Rows in memory for each of so many partitions."""
        return max(1_000, self._cache_rows // partitions)

    def _restored(
        self, partition: int, store: RocksStore, share: int, progress: Progress
    ) -> tuple[State, int, int]:
        """A state restored over the store, and what was read; one that turns out damaged is wiped, once."""
        for again in (False, True):
            state = State(store, share)
            try:
                read = restore(self._config, topics.CHANGELOG, partition, store, state, progress)
                return state, *read
            except StoreDamaged as error:
                log.warning("customers/%d: %s", partition, error)
                if again:
                    store.close()
                    raise
            except BaseException:
                store.close()
                raise
            store.wipe()
        raise AssertionError("not reached")

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
        """Write what changed to the stores whose turn it is, or whose rows fill the memory they may have.

        The memory is shared out anew among the partitions held.  Raises TableError.
        """
        share = self._share(max(1, len(self._held)))
        for held in self._held.values():
            held.store.merge(True)
            if now - held.flushed_at >= self._interval or held.state.crowded:
                held.flushed_at = now
                self._flush(held, always=held.store.age() > KEEP_SECONDS)
                held.state.limit(share)

    def _flush(self, held: _Held, always: bool = False) -> None:
        pending = held.state.pending()
        if pending.keys or always:
            held.store.write(pending.keys, pending.values, held.offset)
            held.state.flushed()

    def view(self, partition: int) -> View:
        """A held partition's committed content as it is now, for another thread to read."""
        held = self._held[partition]
        self._flush(held)
        return held.store.view()

    def release(self, partition: int) -> None:
        """Store what is committed and let go."""
        held = self._held.pop(partition)
        try:
            self._flush(held, always=True)
        except (TableError, RuntimeError) as error:
            # Damaged, or a fold that was broken off has left rows that nobody committed.
            log.warning("customers/%d: not stored, the changelog has it: %s", partition, error)
        held.store.close()

    def drop(self, partition: int) -> None:
        """Let go; what the store lacks comes from the changelog."""
        self._held.pop(partition).store.close()

    def get(self, partition: int, id: bytes) -> bytes | None:
        """A customer's committed row, None for an unknown one."""
        return self._held[partition].state.peek(id)

    def side(self, partition: int, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Side entries under a key prefix."""
        return list(self._held[partition].state.side_scan(prefix))
