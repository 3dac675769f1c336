"""The fold of one partition: records in; changed rows, effects and forwards out, a transaction at a time.

Names, JSON and the side table are kept here, numbers in the kernel.  A batch is cut at the records that are
folded alone (ticks, markers, merges, commands for a segment); in between the kernel runs through.  What comes
out does not depend on where batches or transactions end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty import joining, kernel
from loyalty.calendar import DAY_MS, last_refresh
from loyalty.columns import (
    ANEW,
    COUNTS,
    DESK,
    DONE,
    EFFECT,
    EFFECTS_ROOM,
    ERASED,
    MONEY_WINDOW,
    NEVER,
    OTHER_WINDOW,
    OWED_MONTHS,
    PREDICT_OP,
    SEEN_ROOM,
)
from loyalty.decode import (
    COMMAND,
    MARKER,
    MERGE,
    PREDICTION,
    RESERVATION,
    RESERVE,
    TICK,
    Batch,
    carried_ids,
    carried_profile,
    carried_row,
    decode,
    integers,
)
from loyalty.effects import (
    digest,
)
from loyalty.emitter import Emitter, Found
from loyalty.events import CODES
from loyalty.links import path_of
from loyalty.log import Log
from loyalty.many import Many
from loyalty.outcome import Outcome as Outcome
from loyalty.outcome import closed
from loyalty.policy import IS_USAGE, Content, compile_policy
from loyalty.profile import profiles
from loyalty.row import ENDED, LINKED, OPEN, ROW
from loyalty.rules import Rules
from loyalty.side import Side
from loyalty.single import Single
from loyalty.spans import Spans
from loyalty.state import State
from loyalty.vocabulary import FEATURES
from loyalty.words import event_words

Slots = NDArray[np.int32]

#: One pass of the kernel: from where, with which rules, over which desk; where it stopped.
Pass = Callable[[int, Rules, NDArray[np.void]], int]

_REOPENS = frozenset((CODES["activation"], CODES["opt_in"]))
_EFFECTS, _SEEN = 8 * EFFECTS_ROOM, 8 * SEEN_ROOM
_ASKED = 512


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
        self.side = Side(state)
        self._contents = contents
        self._content: dict[int, Content] = {}
        self.emitter = Emitter(self)
        self.effects = np.empty(_EFFECTS, EFFECT)
        self.seen = np.empty((_SEEN, len(FEATURES)))
        self.asked = np.empty(_ASKED, ROW)
        self.erased = self.side.erased()
        self._single = Single(self)
        self._many = Many(self, chunk)
        self._compiled: tuple[int, NDArray[np.void]] | None = None
        self._rules: Rules | None = None

    def fold(self, log: Log, end: int) -> Iterator[Outcome]:
        """Fold records in log order; `end` is the position after them.

        Yields an Outcome for each transaction; it and the state's changes are to be committed before the next
        is asked for.  All but the last have the position of the tick or command that is not finished yet.
        """
        batch = decode(log)
        self._many.begin()
        out, start = Outcome(), 0
        for i in [*batch.alone, len(batch)]:
            if start < i:
                self._events(batch, start, i, out)
            if i < len(batch):
                out = yield from self._alone(batch, i, out)
            start = i + 1
        yield closed(batch, out, end)

    # -- what the kernel runs through ---------------------------------------------------------------

    def _events(self, batch: Batch, start: int, end: int, out: Outcome) -> NDArray[np.bool_]:
        """Fold events, and commands for one customer; which of them changed their row."""
        policy, state = self.policy(), self.state
        events, ids = batch.events[start:end], batch.ids[start:end]
        kinds = events["kind"]
        events["value"] = integers(batch.values[start:end], kinds, policy)
        commands = np.flatnonzero(kinds == COMMAND).tolist()
        for i in commands:
            events["value"][i] = batch.points.get(start + i, 0)
        gone = self._gone(ids, events) if self.erased else frozenset()
        without = gone.union(commands)
        events["slot"] = (
            self._slots(ids, events, commands, gone) if without else state.slots(ids, events["id_hash"])
        )
        foretold = kinds == PREDICTION
        kept = np.flatnonzero((policy["traits"][0][kinds] & IS_USAGE == 0) & ~foretold)
        keys, events["key"][kept], entries = self.side.seen(ids.take(kept).all(), events["hash"][kept])
        remembered, touched = np.zeros(len(entries), np.bool_), np.zeros(len(events), np.bool_)
        links = np.empty(batch.links, ROW)
        words: NDArray[np.float64] | None = None
        read_for: Rules | None = None

        def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
            nonlocal words, read_for
            if words is None or read_for is not rules:
                words, read_for = event_words(batch, start, events, rules), rules
            return kernel.fold(
                state.rows, events, begin, batch.profiles, batch.answers, words, links, entries, remembered,
                touched, state.partition.tick, policy, rules.tables, desk, self.effects, self.seen,
                self.asked,
            )  # fmt: skip

        def emit(found: Found) -> None:
            self.side.put_seen(keys, entries, remembered)  # a link carries its own
            remembered[:] = False
            self.emitter.emit(batch, start, found, ids.take(found["event"]), out, links)

        self.run(len(events), run, emit, out)
        self.side.put_seen(keys, entries, remembered)
        state.touch(np.unique(events["slot"][touched]))
        out.counts["events"] += len(events) - len(commands) - int(np.count_nonzero(foretold))
        out.counts["commands"] += len(commands)
        return touched

    def run(self, count: int, step: Pass, emit: Callable[[Found], None], out: Outcome) -> None:
        """Run the kernel over so many inputs: it stops where effects fill up or rules are wanted."""
        desk = np.zeros(1, DESK)
        begin = 0
        while True:
            begin = step(begin, self.rules(), desk)
            found = self.effects[: desk["filled"][0]]
            if len(found):
                emit(found)
            if desk["asked"][0]:
                out.handed_out.append(self.asked[: desk["asked"][0]].copy())
            desk["filled"] = desk["seen"] = desk["asked"] = 0
            if begin >= count:
                break
            if desk["needed"][0] >= 0:
                self._want(int(desk["needed"][0]))
        out.counts.update(dict(zip(COUNTS, desk["counts"][0].tolist(), strict=True)))
        self._owe(desk["owed"][0])

    def _owe(self, moved: NDArray[np.int64]) -> None:
        """Keep what all customers of the partition are owed, by month."""
        months = np.flatnonzero(moved).tolist()
        if not months:
            return
        owed = self.state.partition.owed
        for month in months:
            owed[month] = owed.get(month, 0) + int(moved[month])
            if not owed[month]:
                del owed[month]
        # In their order: the changelog must not tell in which batch a month came first.
        self.state.partition.owed = dict(sorted(owed.items()))
        self.state.partition_changed()

    def owe(self, row: Any, sign: int) -> None:
        """Owe a row's points (1), or no longer (-1)."""
        moved = np.zeros(OWED_MONTHS, np.int64)
        np.add.at(moved, row["lot_month"], sign * row["lot_points"].astype(np.int64))
        moved[0] = 0
        self._owe(moved)

    def _gone(self, ids: Spans, events: NDArray[np.void]) -> frozenset[int]:
        """Records of erased customers; one that begins anew takes the stub away."""
        gone = set()
        unknown = np.flatnonzero(~self.state.knows(ids, events["id_hash"]))
        for i, id in zip(unknown.tolist(), ids.take(unknown).all(), strict=True):
            if digest(id) not in self.erased:
                continue
            if events["kind"][i] in _REOPENS:
                self.erased.discard(digest(id))
                self.side.set_erased(digest(id), False)
                events["flag"][i] |= ANEW
                continue
            gone.add(i)
            if events["kind"][i] == COMMAND and events["flag"][i] == DONE:
                events["flag"][i] = ERASED
        return frozenset(gone)

    def _slots(
        self, ids: Spans, events: NDArray[np.void], commands: Sequence[int], gone: frozenset[int]
    ) -> Slots:
        """Slots where some records make nobody known: -1 for commands to strangers, -2 for the erased."""
        slots = np.full(len(ids), -1, np.int32)
        slots[list(gone)] = -2
        others = np.setdiff1d(np.arange(len(ids)), [*commands, *gone])
        slots[others] = self.state.slots(ids.take(others), events["id_hash"][others])
        # Those whom other records make known have a row only later, but a slot already.
        here = dict(zip(ids.take(others).all(), slots[others].tolist(), strict=True)) if commands else {}
        for i in commands:
            id = ids[i]
            slots[i] = -1 if i in gone else here[id] if id in here else self.state.find(id)
        return slots

    # -- records folded alone -----------------------------------------------------------------------

    def _alone(self, batch: Batch, i: int, out: Outcome) -> Generator[Outcome, None, Outcome]:
        """The Outcome to go on with; yields those that are full."""
        kind = batch.events["kind"][i]
        if kind == TICK:
            return (yield from self._many.tick(batch, i, out))
        if kind == COMMAND and not batch.ids[i] and self._may(batch, i):
            return (yield from self._many.command(batch, i, out))
        if kind == MARKER:
            self._marker(batch.records[i].attributes["revision"], out)
        elif kind == MERGE:
            self._merge(batch, i, out)
        elif kind == COMMAND and batch.ids[i]:
            self._single.command(batch, i, out)
        elif kind == RESERVE:
            self._single.reserve(batch, i, out)
        elif kind == RESERVATION:
            self._single.reservation(batch, i, out)
        elif self._events(batch, i, i + 1, out)[0]:
            self._single.event(batch, i, out)
        return out

    def _may(self, batch: Batch, i: int) -> bool:
        """Whether a command for many may act; the kernel refuses one that may not."""
        return bool(batch.events["op"][i] != PREDICT_OP or self.policy()["predicts"][0])

    def _marker(self, revision: int, out: Outcome) -> None:
        partition = self.state.partition
        if revision > partition.revision:
            partition.revision = revision
            self.state.partition_changed()
            out.counts["markers"] += 1

    def _sweep(self, found: NDArray[np.void], ids: Spans) -> None:
        """Forget side entries too old to decide anything.

        Now and then, of a few customers, and at ticks only: then no event of the same batch is on its way to
        remember or look up an entry, so that it makes no difference where batches end.
        """
        for n in np.flatnonzero(found["sweep"]).tolist():
            self.side.forget(ids[n], int(found["caused_at"][n]) - MONEY_WINDOW)

    def _merge(self, batch: Batch, i: int, out: Outcome) -> None:
        record, id, state, side = batch.records[i], batch.ids[i], self.state, self.side
        event = batch.events[i]
        hash_, at, id_hash = int(event["hash"]), int(event["at"]), int(event["id_hash"])
        if self.erased and id not in state and digest(id) in self.erased:
            out.counts["ignored_erased"] += 1
            return
        slot = state.find(id)
        row = state.rows[slot] if slot >= 0 else np.zeros(1, ROW)[0]
        if row["state"] == LINKED:
            if record.customer_id not in path_of(record):
                self.emitter.rekey(batch, i, out)
                return
            out.counts["links_refused"] += 1
            side.set_link(id, None)
            row["state"] = OPEN
            self.owe(row, 1)
            row["due"] = row["next_refresh"] = last_refresh(int(row["as_of"]), id_hash % 1440) + DAY_MS
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
        slot = int(slots[0])
        carried, profile = carried_row(record), profiles([taken])

        def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
            return int(
                joining.merge(
                    state.rows,
                    slot,
                    0,
                    at,
                    event["id_hash"],
                    carried,
                    profile,
                    self.policy(),
                    rules.tables,
                    desk,
                    self.effects,
                    self.seen,
                    self.asked,
                )
            )

        told: list[Found] = []
        self.run(1, run, lambda found: told.append(found.copy()), out)
        state.touch(slots)
        side.remember(id, hash_, int(state.rows["as_of"][slot]))
        for entry, time in carried_ids(record).items():
            side.remember(id, entry, max(time, side.time(id, entry)))
        side.set_profile(id, mine | taken)
        out.counts["merges"] += 1
        for found in told:
            self.emitter.emit(batch, i, found, Spans.of([id] * len(found)), out)

    def content(self, revision: int) -> Content:
        """The content of a revision, asked for once."""
        found = self._content.get(revision)
        if found is None:
            found = self._content[revision] = self._contents(revision)
        return found

    def policy(self) -> NDArray[np.void]:
        """The POLICY of the revision that counts now."""
        revision = self.state.partition.revision
        if self._compiled is None or self._compiled[0] != revision:
            self._compiled = revision, compile_policy(self.content(revision), revision)
        return self._compiled[1]

    def rules(self) -> Rules:
        """The rules of the revision that counts now, and of those that running missions have asked for."""
        revision = self.state.partition.revision
        if self._rules is None or self._rules.revisions[0] != revision:
            before = [] if self._rules is None else self._rules.revisions
            self._rules = Rules(self.content, [revision, *(other for other in before if other != revision)])
        return self._rules

    def _want(self, revision: int) -> None:
        self._rules = Rules(self.content, [*self.rules().revisions, revision])
