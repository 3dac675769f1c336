"""The fold of one partition: records in; changed rows, effects and forwards out, a transaction at a time.

Names, JSON and the side table are kept here, numbers in the kernel.  A batch is cut at the records that are
folded alone (ticks, markers, merges, commands for a segment); in between the kernel runs through.  What comes
out does not depend on where batches or transactions end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loyalty import kernel
from loyalty.calendar import DAY_MS, last_refresh
from loyalty.columns import (
    BY_EVENT,
    BY_REFRESH,
    COUNTS,
    DESK,
    DONE,
    EFFECT,
    EFFECTS_PER_EVENT,
    LINK,
    MONEY_WINDOW,
    NEVER,
    OTHER_WINDOW,
    PUBLICATION,
    REKEY,
    RESET,
    RESULT,
    SET_PROFILE,
)
from loyalty.decode import (
    COMMAND,
    MARKER,
    MERGE,
    TICK,
    Batch,
    carried_ids,
    carried_profile,
    carried_row,
    decode,
    integers,
    profiles,
    tick_time,
)
from loyalty.effects import REASONS, SOURCE, Cause, Effect, result_effect, scores_effect
from loyalty.links import merge_record, path_of, rekeyed
from loyalty.policy import IS_USAGE, Content, compile_policy
from loyalty.row import ENDED, LINKED, OPEN, ROW
from loyalty.side import Side
from loyalty.state import State
from loyalty.times import iso_many

Slots = NDArray[np.int32]


@dataclass(slots=True)
class Outcome:
    """What one transaction commits, besides `State.changes()`."""

    position: int = 0  # offset to commit for the partition
    effects: list[Effect] = field(default_factory=list)
    forwards: list[tuple[bytes, bytes]] = field(default_factory=list)  # (key, value) for customer-events
    dead: list[tuple[int, str, str]] = field(default_factory=list)  # (offset, reason, message)
    counts: Counter[str] = field(default_factory=Counter)


class Engine:
    """One partition's fold over its state.

    `contents` gives the content of a revision; `chunk` is how many customers a tick or segment command may
    move in one transaction.
    """

    def __init__(
        self, partition: int, state: State, contents: Callable[[int], Content], chunk: int = 5_000
    ) -> None:
        self.partition = partition
        self.state = state
        self._side = Side(state)
        self._contents = contents
        self._chunk = chunk
        self._room = chunk
        self._compiled: tuple[int, NDArray[np.void]] | None = None

    def fold(self, records: Sequence[tuple[int, bytes | None]], end: int) -> Iterator[Outcome]:
        """Fold records (offset, value) in log order; `end` is the position after them.

        Yields an Outcome for each transaction; it and the state's changes are to be committed before the next
        is asked for.  All but the last have the position of the tick or command that is not finished yet.
        """
        batch = decode(records)
        self._room = self._chunk
        out, start = Outcome(), 0
        for i in [*batch.alone, len(batch)]:
            if start < i:
                self._events(batch, start, i, out)
            if i < len(batch):
                out = yield from self._alone(batch, i, out)
            start = i + 1
        yield _closed(batch, out, end)

    # -- what the kernel runs through ---------------------------------------------------------------

    def _events(self, batch: Batch, start: int, end: int, out: Outcome) -> None:
        """Fold events, and commands for one customer."""
        policy = self._policy()
        events, ids = batch.events[start:end], batch.ids[start:end]
        kinds = events["kind"]
        events["value"] = integers(batch.values[start:end], kinds, policy)
        commands = np.flatnonzero(kinds == COMMAND).tolist()
        events["slot"] = self._slots(ids, commands) if commands else self.state.slots(ids)
        kept = np.flatnonzero(policy["traits"][0][kinds] & IS_USAGE == 0)
        whose = [ids[i] for i in kept.tolist()]
        keys, events["key"][kept], seen = self._side.seen(whose, events["hash"][kept])
        remembered, touched = np.zeros(len(seen), np.bool_), np.zeros(len(events), np.bool_)
        links = np.empty(batch.links, ROW)
        desk, effects = _desk(len(events))
        kernel.fold(
            self.state.rows, events, batch.profiles, links, seen, remembered, touched,
            self.state.partition.tick, policy, desk, effects,
        )  # fmt: skip
        self._side.put_seen(keys, seen, remembered)
        self.state.touch(np.unique(events["slot"][touched]))
        out.counts["events"] += len(events) - len(commands)
        out.counts["commands"] += len(commands)
        found = _found(desk, effects, out)
        self._emit(batch, start, found, [ids[e] for e in found["event"].tolist()], out, links)

    def _slots(self, ids: Sequence[bytes], commands: Sequence[int]) -> Slots:
        """Slots where some records are commands, which make nobody known: -1 for whom nobody knows."""
        slots = np.full(len(ids), -1, np.int32)
        others = np.setdiff1d(np.arange(len(ids)), commands)
        slots[others] = self.state.slots([ids[i] for i in others.tolist()])
        here = {ids[i]: slots[i] for i in others.tolist()}
        for i in commands:
            slots[i] = here[ids[i]] if ids[i] in here else self.state.find(ids[i])
        return slots

    def _emit(
        self, batch: Batch, start: int, found: NDArray[np.void], ids: list[bytes], out: Outcome,
        links: NDArray[np.void] | None = None,
    ) -> None:  # fmt: skip
        """Turn effects into records, and do to the side table what they say, in their order.

        Events of the effects count from `start` of the batch; `ids` are the customers of the effects.
        """
        revision, records, side = self.state.partition.revision, batch.records, self._side
        as_ofs, scores = iso_many(found["as_of"]), (found["scores"] / 100).tolist()
        by_time = np.flatnonzero(found["cause"] != BY_EVENT)
        at = dict(zip(by_time.tolist(), iso_many(found["caused_at"][by_time]), strict=True))
        columns = (found[name].tolist() for name in ("kind", "detail", "cause", "event"))
        for n, (kind, detail, cause, event) in enumerate(zip(*columns, strict=True)):
            i, id = start + event, ids[n]
            if kind == PUBLICATION:
                if cause == BY_EVENT:
                    why = Cause(records[i].source, records[i].event_id)
                else:
                    why = Cause(SOURCE, f"{'refresh' if cause == BY_REFRESH else 'tick'}:{at[n]}")
                out.effects.append(scores_effect(id, as_ofs[n], revision, why, REASONS[detail], scores[n]))
            elif kind == RESULT:
                out.effects.append(result_effect(records[i], revision, self.partition, detail))
            elif kind == REKEY:
                self._rekey(batch, i, out)
            elif kind == LINK:
                assert links is not None
                self._link(batch, i, links[batch.events["extra"][i]].tobytes(), out)
            elif kind == SET_PROFILE:
                profile = side.profile(id) | batch.updates[batch.events["extra"][i]]
                side.set_profile(id, {name: word for name, word in profile.items() if word is not None})
            elif kind == RESET:
                side.set_profile(id, {})
        out.counts["refreshes"] += int(np.count_nonzero(found["cause"] == BY_REFRESH))

    def _link(self, batch: Batch, i: int, row: bytes, out: Outcome) -> None:
        record, id = batch.records[i], batch.ids[i]
        self._side.set_link(id, record.attributes["to"])
        entries, profile = self._side.entries(id), self._side.profile(id)
        out.forwards.append(merge_record(record, int(batch.events["hash"][i]), row, entries, profile))

    def _rekey(self, batch: Batch, i: int, out: Outcome) -> None:
        record = batch.records[i]
        if record.event_type != "_merge" and record.customer_id in path_of(record):
            out.counts["links_refused"] += 1
        else:
            out.forwards.append(rekeyed(record, batch.raws[i], self._side.link(batch.ids[i])))

    # -- records folded alone -----------------------------------------------------------------------

    def _alone(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        """The Outcome to go on with; yields those that are full."""
        kind = batch.events["kind"][i]
        if kind == TICK:
            return (yield from self._tick(batch, i, out))
        if kind == COMMAND:
            return (yield from self._recalculate_all(batch, i, out))
        if kind == MARKER:
            self._marker(batch.records[i].attributes["revision"], out)
        elif kind == MERGE:
            self._merge(batch, i, out)
        return out

    def _marker(self, revision: int, out: Outcome) -> None:
        partition = self.state.partition
        if revision > partition.revision:
            partition.revision = revision
            self.state.partition_changed()
            out.counts["markers"] += 1

    def _tick(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        record, state = batch.records[i], self.state
        at, everyone = tick_time(record), record.attributes.get("everyone") is True
        partition = state.partition
        if at < partition.tick or (at == partition.tick and partition.tick_done):
            return out
        out.counts["ticks"] += 1
        partition.tick, partition.tick_done = at, False
        state.partition_changed()

        def work(slots: Slots, out: Outcome) -> None:
            desk, effects = _desk(len(slots))
            kernel.tick_rows(state.rows, slots, at, everyone, self._policy(), desk, effects)
            state.touch(slots)
            found = _found(desk, effects, out)
            ids = state.ids_of(found["slot"])
            self._emit(batch, 0, found, ids, out)
            self._sweep(found, ids)

        # Whoever was moved is neither due nor behind any more: the rows themselves keep the place.
        out = yield from self._in_chunks(
            batch, i, out, lambda limit: (state.behind if everyone else state.due)(at, limit), work
        )
        partition.tick_done = True
        state.partition_changed()
        return out

    def _sweep(self, found: NDArray[np.void], ids: list[bytes]) -> None:
        """Forget side entries too old to decide anything.

        Now and then, of a few customers, and at ticks only: then no event of the same batch is on its way to
        remember or look up an entry, so that it makes no difference where batches end.
        """
        for n in np.flatnonzero(found["sweep"]).tolist():
            self._side.forget(ids[n], int(found["caused_at"][n]) - MONEY_WINDOW)

    def _recalculate_all(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        record, state = batch.records[i], self.state
        partition = state.partition
        command_id: str = record.attributes["command_id"]
        if partition.command != command_id:
            partition.command, partition.command_place = command_id, ""

        def work(slots: Slots, out: Outcome) -> None:
            desk, effects = _desk(len(slots))
            kernel.recalculate_rows(state.rows, slots, i, partition.tick, self._policy(), desk, effects)
            state.touch(slots)
            partition.command_place = state.id_of(int(slots[-1])).decode()
            state.partition_changed()
            found = _found(desk, effects, out)
            self._emit(batch, 0, found, state.ids_of(found["slot"]), out)

        out = yield from self._in_chunks(
            batch, i, out, lambda limit: state.after(partition.command_place.encode(), limit), work
        )
        partition.command = partition.command_place = ""
        state.partition_changed()
        out.effects.append(result_effect(record, partition.revision, self.partition, DONE))
        out.counts["commands"] += 1
        return out

    def _in_chunks(
        self, batch: Batch, i: int, out: Outcome,
        find: Callable[[int], Slots], work: Callable[[Slots, Outcome], None],
    ) -> Generator[Outcome, None, Outcome]:  # fmt: skip
        """Do `work` for all that `find(limit)` gives, in as many transactions as it takes."""
        while True:
            if not self._room:
                yield _closed(batch, out, batch.offsets[i])
                out, self._room = Outcome(), self._chunk
            limit = self._room
            slots = find(limit)
            if len(slots):
                work(slots, out)
                self._room -= len(slots)
            if len(slots) < limit:
                return out

    def _merge(self, batch: Batch, i: int, out: Outcome) -> None:
        record, id, state, side = batch.records[i], batch.ids[i], self.state, self._side
        event = batch.events[i]
        hash_, at, minute = int(event["hash"]), int(event["at"]), int(event["minute"])
        slot = state.find(id)
        row = state.rows[slot] if slot >= 0 else np.zeros(1, ROW)[0]
        if row["state"] == LINKED:
            if record.customer_id not in path_of(record):
                self._rekey(batch, i, out)
                return
            out.counts["links_refused"] += 1
            side.set_link(id, None)
            row["state"], row["due"] = OPEN, last_refresh(int(row["as_of"]), minute) + DAY_MS
            state.touch(np.array([slot], np.int32))
        if record.attributes.get("from") == record.customer_id:
            return
        if row["state"] == ENDED:
            out.counts["ignored_ended"] += 1
            return
        before = side.time(id, hash_)
        if before != NEVER and max(int(row["as_of"]), at) - before <= OTHER_WINDOW:
            out.counts["duplicates"] += 1
            return
        mine = side.profile(id)
        taken = {k: v for k, v in carried_profile(record).items() if v is not None and k not in mine}
        slots = state.slots([id])
        desk, effects = _desk(1)
        slot = int(slots[0])
        kernel.merge(
            state.rows, slot, 0, at, minute, carried_row(record), profiles([taken]),
            self._policy(), desk, effects,
        )  # fmt: skip
        state.touch(slots)
        side.remember(id, hash_, int(state.rows["as_of"][slot]))
        for entry, time in carried_ids(record).items():
            side.remember(id, entry, max(time, side.time(id, entry)))
        side.set_profile(id, mine | taken)
        out.counts["merges"] += 1
        found = _found(desk, effects, out)
        self._emit(batch, i, found, [id] * len(found), out)

    def _policy(self) -> NDArray[np.void]:
        """The POLICY of the revision that counts now."""
        revision = self.state.partition.revision
        if self._compiled is None or self._compiled[0] != revision:
            self._compiled = revision, compile_policy(self._contents(revision))
        return self._compiled[1]


def _desk(inputs: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """A fresh DESK (1,), and EFFECTs with room for what so many events or customers can cause."""
    return np.zeros(1, DESK), np.empty(EFFECTS_PER_EVENT * inputs, EFFECT)


def _found(desk: NDArray[np.void], effects: NDArray[np.void], out: Outcome) -> NDArray[np.void]:
    """The effects that a kernel function has found; its counts are added."""
    out.counts.update(dict(zip(COUNTS, desk["counts"][0].tolist(), strict=True)))
    found: NDArray[np.void] = effects[: desk["filled"][0]]
    return found


def _closed(batch: Batch, out: Outcome, position: int) -> Outcome:
    """The Outcome, with its position and the dead letters up to there."""
    out.position = position
    while batch.dead and batch.dead[0][0] < position:
        out.dead.append(batch.dead.pop(0))
    return out
