"""What stands behind the customers agent: rows of the batch, the fold, one transaction.

For each partition of a poll: fold its records in log order; send effects, forwards and dead letters where
they belong and the changed rows to the changelog; commit all of it with the end positions.  Only then do the
rows count.  There is no undo: after an abort the partition's state is thrown away and built anew.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any

import numpy as np

from agents import dead_letters
from agents.catalog_feed import CatalogFeed
from agents.portrait import open_grants, portrait, why_or_not
from agents.predicting import Predicting
from catalog.content import Content
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.census import census
from loyalty.decode import NEWER
from loyalty.effects import ID, common
from loyalty.engine import Engine, Outcome
from loyalty.row import LINKED
from loyalty.standing import month_start
from loyalty.state import ROW_KEY
from loyalty.told import Told
from loyalty.upgrade import current, current_many
from streams import metrics
from streams.batches import Aborted, Commit, Epoch, Partition, Poll, RecordBatch, Sink
from streams.librdkafka import Headers
from streams.names import CUSTOMERS_GROUP
from streams.partition import partition_of
from tables.customers import CustomerTable
from tables.errors import StoreDamaged
from tables.restore import Interrupted
from tables.snapshots import Snapshots
from tables.store import View

log = logging.getLogger(__name__)

#: Seconds between two words about a revision that is waited for.
PATIENCE = 5.0
#: Rows that are looked at for a census: the fold waits meanwhile, for a tenth of a second.
COUNTED = 20_000
#: Rows come first in a store: no key of one is above.
ROW_KEY_END = bytes([ROW_KEY[0] + 1])


class CustomersProcessor:
    """Folds `customer-events` into the customer table and its effects."""

    def __init__(
        self, settings: Settings, feed: CatalogFeed, table: CustomerTable, predicting: Predicting
    ) -> None:
        self._settings = settings
        self._predicting = predicting
        self._feed = feed
        self._table = table
        self._snapshots = Snapshots(settings, table)
        self._engines: dict[int, Engine] = {}
        #: Where each held partition stands: the position its state has been folded to.
        self._positions: dict[int, int] = {}
        self._epoch: Epoch | None = None

    def reads(self, assigned: frozenset[Partition]) -> set[Partition]:
        """The log's partitions of this epoch."""
        return set(assigned)

    def take(self, epoch: Epoch) -> None:
        """Restore what is not held; keep what nobody else can have touched.

        A partition's state is kept only when the last epoch was the generation before this one, held by the
        same process, and the committed position is the one the state stands at.
        """
        last = self._epoch
        follows = last is not None and epoch.generation - last.generation in (0, 1)
        wanted = {p.partition: position for p, position in epoch.positions.items()}
        for partition in list(self._engines):
            if not (follows and wanted.get(partition) == self._positions.get(partition)):
                self._forget(partition)
        for partition, position in sorted(wanted.items()):
            if not epoch.alive:
                return
            if partition not in self._engines:
                try:
                    state = self._table.take(partition, partial(_restoring, epoch))
                except Interrupted:
                    return
                self._engines[partition] = Engine(partition, state, self._content)
                metrics.ROWS.labels(str(partition)).set(len(state))
            self._positions[partition] = position
        self._epoch = epoch

    def process(self, poll: Poll, commit: Commit) -> None:
        """Fold a poll: one transaction, or several where a tick or a segment command is long."""
        try:
            self._process(poll, commit)
            self._table.maybe_flush(time.monotonic())
            self._snapshots.maybe(self._positions, time.time())
        except StoreDamaged as error:
            # What is committed stands in the changelog: taken over anew, the store is rebuilt from it.
            raise Aborted(str(error)) from error

    def _process(self, poll: Poll, commit: Commit) -> None:
        self._epoch = poll.epoch
        work = [(batch, self._fold(batch)) for batch in poll.batches]
        while work:
            outcomes: list[tuple[RecordBatch, Outcome]] = []
            rest = []
            started = time.perf_counter()
            for batch, steps in work:
                outcome = next(steps, None)
                if outcome is not None:
                    outcomes.append((batch, outcome))
                    rest.append((batch, steps))
            metrics.STAGE_SECONDS.labels(CUSTOMERS_GROUP, "fold").inc(time.perf_counter() - started)
            if outcomes:
                _require_readable(outcomes)
                self._commit(outcomes, commit)
            work = rest

    def _fold(self, batch: RecordBatch) -> Iterator[Outcome]:
        return self._engines[batch.source.partition].fold(batch.records.log, batch.end)

    def _commit(self, outcomes: list[tuple[RecordBatch, Outcome]], commit: Commit) -> None:
        offsets = {batch.source: outcome.position for batch, outcome in outcomes}
        changes = {
            batch.source.partition: self._table.state(batch.source.partition).changes()
            for batch, _ in outcomes
        }

        started = time.perf_counter()
        foretold = self._predicting.answer([outcome for _, outcome in outcomes], self._content)
        metrics.STAGE_SECONDS.labels(CUSTOMERS_GROUP, "predict").inc(time.perf_counter() - started)

        def fill(sink: Sink) -> None:
            # What is foretold first, so that whoever is erased in the same transaction is so after it.
            for effects in (Told(foretold.effects), *(outcome.effects for _, outcome in outcomes)):
                _send_effects(sink, effects)
            forwards = [*foretold.forwards, *(pair for _, outcome in outcomes for pair in outcome.forwards)]
            keys, values = [key for key, _ in forwards], [value for _, value in forwards]
            sink.send_many(topics.CUSTOMER_EVENTS, keys, values)
            for batch, outcome in outcomes:
                self._send_dead(sink, batch, outcome)
                changed = changes[batch.source.partition]
                sink.send_rows(topics.CHANGELOG, batch.source.partition, changed.keys, changed.values)

        ends = commit(offsets, fill)
        started = time.perf_counter()
        for batch, outcome in outcomes:
            partition = batch.source.partition
            self._table.committed(partition, ends.get(Partition(topics.CHANGELOG, partition)))
            self._positions[partition] = outcome.position
            metrics.ROWS.labels(str(partition)).set(len(self._table.state(partition)))
            count(outcome.counts)
            for _, reason, _ in outcome.dead:
                metrics.DEAD.labels("", reason).inc()
        for model, number in foretold.counts.items():
            metrics.PREDICTIONS.labels(model).inc(number)
        metrics.STAGE_SECONDS.labels(CUSTOMERS_GROUP, "store").inc(time.perf_counter() - started)

    def _send_dead(self, sink: Sink, batch: RecordBatch, outcome: Outcome) -> None:
        if not outcome.dead:
            return
        number = {offset: n for n, offset in enumerate(batch.records.offsets.tolist())}
        for offset, reason, message in outcome.dead:
            record = batch.records[number[offset]]
            letter = dead_letters.letter(record, dead_letters.CUSTOMERS, "", reason, message)
            sink.send(topics.DEAD_LETTERS, dead_letters.encode(letter), letter.topic.encode())

    def _content(self, revision: int) -> Content:
        """The content of a revision; waited for where this worker has not read it yet."""
        while True:
            content = self._feed.get(revision, PATIENCE)
            if content is not None:
                return content
            if self._epoch is not None and not self._epoch.alive:
                raise Aborted(f"partitions went while waiting for catalog revision {revision}")
            log.warning("waiting for catalog revision %d on topic %s", revision, topics.CATALOG)

    def drop(self) -> None:
        """Nothing that is held can be trusted."""
        for partition in list(self._engines):
            self._forget(partition, trusted=False)
        self._epoch = None

    def close(self) -> None:
        """Write what is committed to the local stores."""
        for partition in list(self._engines):
            self._forget(partition)
        self._epoch = None

    def _forget(self, partition: int, trusted: bool = True) -> None:
        del self._engines[partition]
        self._positions.pop(partition, None)
        for gauge in (metrics.ROWS, metrics.RESTORE_DONE, metrics.RESTORE_TOTAL):
            gauge.remove(str(partition))
        if trusted:
            self._table.release(partition)
        else:
            self._table.drop(partition)

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        """What is known of a customer whose partition is held; None for an unknown one."""
        found = self._find(customer_id)
        if found is None:
            return None
        row, engine = found
        side, id = engine.side, customer_id.encode()
        revision = engine.state.partition.revision
        shown = portrait(customer_id, row, revision, self._content, side.profile(id), side.grants(id))
        return shown | ({"linked_to": side.link(id)} if row["state"] == LINKED else {})

    def why(
        self, customer_id: str, mission: str | None, badge: str | None, campaign: str | None
    ) -> dict[str, Any] | None:
        """What the game thinks of a customer; None for an unknown one.  Raises LookupError (no such name)."""
        found = self._find(customer_id)
        if found is None:
            return None
        row, engine = found
        profile, revision = engine.side.profile(customer_id.encode()), engine.state.partition.revision
        return why_or_not(customer_id, row, revision, self._content, profile, mission, badge, campaign)

    def _find(self, customer_id: str) -> tuple[Any, Engine] | None:
        id = customer_id.encode()
        partition = partition_of(id, self._settings.partitions)
        if partition not in self._engines:
            return None
        data = self._table.get(partition, id)
        return None if data is None else (current(data, id)[0], self._engines[partition])

    def views(self) -> list[View]:
        """The held partitions' content as it is now, for `with_open_grants` in another thread."""
        return [self._table.view(partition) for partition in sorted(self._engines)]

    def open_grants(self, ids: Sequence[bytes]) -> list[dict[str, Any]]:
        """Open grants of these customers, of the partitions held."""
        found = []
        for id in ids:
            engine = self._engines.get(partition_of(id, self._settings.partitions))
            if engine is not None:
                game = self._content(engine.state.partition.revision).game
                for grant in open_grants(engine.side.grants(id), game):
                    found.append({"customer_id": id.decode(), **grant})
        return found

    def rows(self, ids: Sequence[str]) -> list[bytes | None]:
        """Stored rows; None for customers that are unknown, or whose partition is not held."""
        found = []
        for id in map(str.encode, ids):
            partition = partition_of(id, self._settings.partitions)
            found.append(self._table.get(partition, id) if partition in self._engines else None)
        return found

    def points(self) -> list[dict[str, Any]]:
        """Each held partition: points owed to open customers, by the day from which they are not."""
        return [
            {
                "partition": partition,
                "owed": {
                    month_start(month): points
                    for month, points in sorted(engine.state.partition.owed.items())
                },
            }
            for partition, engine in sorted(self._engines.items())
        ]

    def census(self, conditions: Sequence[str], campaign: int) -> list[dict[str, Any]]:
        """How many open customers of each held partition fit; where there are many, of some of them.

        Raises ConditionError; LookupError where there is no such campaign.
        """
        found = []
        for partition, engine in sorted(self._engines.items()):
            state, revision = engine.state, engine.state.partition.revision
            rows = state.sample(max(1, COUNTED // len(self._engines)))
            fits, reach = census(rows, self._content(revision), revision, conditions, campaign)
            found.append(
                {
                    "partition": partition, "customers": state.opened(), "looked_at": len(rows),
                    "fits": fits, "reach": reach,
                }
            )  # fmt: skip
        return found

    def overview(self) -> list[dict[str, Any]]:
        """Each held partition: customers, where it stands, the revision it decides by."""
        return [
            {
                "partition": partition,
                "customers": len(self._table.state(partition)),
                "position": self._positions[partition],
                "changelog_offset": self._table.offset(partition),
                "revision": self._table.state(partition).partition.revision,
            }
            for partition in sorted(self._engines)
        ]


def _send_effects(sink: Sink, effects: Told) -> None:
    """Queue effects; those of a topic in their order."""
    for run in effects.runs():
        headers = Headers(ID, run.ids, common(run.topic)) if run.ids else None
        sink.send_many(run.topic, run.keys, run.values, headers=headers)


def _require_readable(outcomes: Sequence[tuple[RecordBatch, Outcome]]) -> None:
    """Stop rather than set aside what only a newer version can read.  Raises KhayweError."""
    for batch, outcome in outcomes:
        for offset, reason, message in outcome.dead:
            if reason == NEWER:
                raise KhayweError(
                    f"{batch.source.topic}/{batch.source.partition} at {offset}: {message}",
                    hint="run the version of khaywe that wrote it, or a newer one; none of it was committed",
                )


def _restoring(epoch: Epoch, partition: int, done: int, total: int) -> bool:
    metrics.RESTORE_DONE.labels(str(partition)).set(done)
    metrics.RESTORE_TOTAL.labels(str(partition)).set(total)
    return epoch.alive


#: Rows that are looked at together.
CHUNK = 2_000


def with_open_grants(views: Sequence[View]) -> list[bytes]:
    """Customers with open grants, of views that are closed then.  Raises TableError: a partition went."""
    found = []
    try:
        for view in views:
            rows = takewhile(lambda entry: entry[0] < ROW_KEY_END, view)
            while chunk := list(islice(rows, CHUNK)):
                ids = [key[1:] for key, _ in chunk]
                held = current_many(ids, [value for _, value in chunk])
                found += [ids[n] for n in np.flatnonzero(held["open_grants"]).tolist()]
    finally:
        for view in views:
            view.close()
    return found


def count(counts: Mapping[str, int] | Counter[str]) -> None:
    """The fold's own counts on the metrics."""
    for kind, number in counts.items():
        if number:
            metrics.EVENTS.labels(kind).inc(number)
