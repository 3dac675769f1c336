"""Ticks and commands for a segment: what moves customers one after the other, a chunk in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loyalty import kernel
from loyalty.columns import DONE
from loyalty.decode import OPS, Batch, segment, tick_time
from loyalty.effects import result_effect
from loyalty.outcome import Outcome, closed
from loyalty.rules import Rules, term_table

if TYPE_CHECKING:
    from loyalty.engine import Engine

Slots = NDArray[np.int32]
Found = NDArray[np.void]


class Many:
    """What an engine does with them; `chunk`: customers moved in one transaction at most."""

    def __init__(self, engine: Engine, chunk: int) -> None:
        self._engine = engine
        self._chunk = self._room = chunk

    def begin(self) -> None:
        """A transaction begins."""
        self._room = self._chunk

    def tick(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        """Time has passed for all customers of the partition."""
        engine = self._engine
        record, state = batch.records[i], engine.state
        at, everyone = tick_time(record), record.attributes.get("everyone") is True
        partition = state.partition
        if at < partition.tick or (at == partition.tick and partition.tick_done):
            return out
        out.counts["ticks"] += 1
        partition.tick, partition.tick_done = at, False
        state.partition_changed()

        def work(slots: Slots, out: Outcome) -> None:
            def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
                return kernel.tick_rows(
                    state.rows, slots, begin, at, everyone, engine.policy(), rules.tables, desk,
                    engine.effects, engine.seen, engine.asked,
                )  # fmt: skip

            def emit(found: Found) -> None:
                ids = state.ids_of(found["slot"])
                engine.emitter.emit(batch, 0, found, ids, out)
                engine._sweep(found, ids)

            engine.run(len(slots), run, emit, out)
            state.touch(slots)

        # Whoever was moved is neither due nor behind any more: the rows themselves keep the place.
        out = yield from self._in_chunks(
            batch, i, out, lambda limit: (state.behind if everyone else state.due)(at, limit), work
        )
        partition.tick_done = True
        state.partition_changed()
        return out

    def command(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        """A command for all customers of the partition for whom a condition holds."""
        engine = self._engine
        record, state = batch.records[i], engine.state
        partition = state.partition
        command_id: str = record.attributes["command_id"]
        if partition.command != command_id:
            partition.command, partition.command_place = command_id, ""
        op, found_terms = OPS[record.attributes["command"]], segment(record) or []
        terms, condition = term_table(found_terms), 0 if found_terms else -1

        def work(slots: Slots, out: Outcome) -> None:
            def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
                return kernel.command_rows(
                    state.rows, slots, begin, i, op, condition, terms, partition.tick, engine.policy(),
                    rules.tables,
                    desk, engine.effects, engine.seen, engine.asked,
                )  # fmt: skip

            def emit(found: Found) -> None:
                engine.emitter.emit(batch, 0, found, state.ids_of(found["slot"]), out)

            engine.run(len(slots), run, emit, out)
            state.touch(slots)
            partition.command_place = state.id_of(int(slots[-1])).decode()
            state.partition_changed()

        out = yield from self._in_chunks(
            batch, i, out, lambda limit: state.after(partition.command_place.encode(), limit), work
        )
        partition.command = partition.command_place = ""
        state.partition_changed()
        out.effects.append(result_effect(record, partition.revision, engine.partition, DONE))
        out.counts["commands"] += 1
        return out

    def _in_chunks(
        self, batch: Batch, i: int, out: Outcome,
        find: Callable[[int], Slots], work: Callable[[Slots, Outcome], None],
    ) -> Generator[Outcome, None, Outcome]:  # fmt: skip
        """Do `work` for all that `find(limit)` gives, in as many transactions as it takes."""
        while True:
            if not self._room:
                yield closed(batch, out, batch.offsets[i])
                out, self._room = Outcome(), self._chunk
            limit = self._room
            slots = find(limit)
            if len(slots):
                work(slots, out)
                self._room -= len(slots)
            if len(slots) < limit:
                return out
