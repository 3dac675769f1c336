"""Faust's Kafka transport, with records in batches.

Plugged in through the `faust.transports` entry point (`khaywe://host:port`).  aiokafka keeps what it is good
at: membership, heartbeats, Faust's assignor.  Records come from `streams.source`, a poll at a time, and reach
the agent as one message whose value is a `Poll`.  Faust's own commit is switched off: the transaction is
the one commit path.

Taking partitions over, once the group has assigned them:

1. wait until no work of the old epoch runs;
2. read the committed positions, stable ones only (an old owner's open transaction is waited for);
3. let the processor restore its tables to the end of their changelogs as of that moment;
4. only then fetch, from those positions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, cast

from confluent_kafka import KafkaException
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams import metrics
from streams.batches import Aborted, Epoch, Partition, Poll, RecordBatch
from streams.source import Source

if TYPE_CHECKING:
    from streams.record_app import RecordApp

log = logging.getLogger(__name__)

#: Seconds between two heartbeat polls of an idle worker, and between two looks at what should be read.
HEARTBEAT_SECONDS = 0.5


class Consumer(driver.Consumer):
    """Faust's consumer: the group's membership, and batches from librdkafka."""

    app: RecordApp
    epoch: Epoch | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed = asyncio.Event()
        self._fetching = ThreadPoolExecutor(1, thread_name_prefix=f"{self.app.conf.id}-fetch")
        self._source = Source(self.app.settings, self.app.conf.id)
        #: Where the next batch of a partition must begin: the chain of positions.
        self._expected: dict[Partition, int] = {}
        self._leaving = False
        #: Set while no poll waits for the agent: one at work and one ready are enough, more only wait longer.
        self.begun = asyncio.Event()
        self.begun.set()
        self._looked = 0.0
        self._kept_alive = 0.0
        self._marked = 0.0

    # -- membership ---------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """The group rebalances: work of this epoch ends now; a transaction under way is waited for."""
        if self.epoch is not None:
            self.epoch.alive = False
            self._forget_lag(set(self.epoch.positions))
        self.epoch = None
        self._changed.set()
        await self.app.work(lambda: None)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """The group has assigned partitions: a new epoch, taken over by the drain loop."""
        await super().on_partitions_assigned(assigned, generation_id)
        coordinator = self._thread._ensure_consumer()._coordinator
        mine = frozenset(Partition(tp.topic, tp.partition) for tp in assigned if tp.topic in self.app.anchors)
        await self._thread.call_thread(self._pause_fetcher)
        if self._leaving:
            return
        if coordinator.generation != generation_id:
            log.info("%s: generation %d is over before it began", self.app.conf.id, generation_id)
            return
        self.epoch = Epoch(self.app.conf.id, generation_id, coordinator.member_id, mine)
        self._changed.set()

    def let_go(self) -> None:
        """The worker stops: a transaction under way may end, nothing else is begun."""
        self._leaving = True
        self.epoch = None
        self._changed.set()

    async def _pause_fetcher(self) -> None:
        consumer = self._thread._ensure_consumer()
        consumer.pause(*consumer.assignment())

    async def _keep_alive(self) -> None:
        """Tell aiokafka that this member is at work: it measures idleness by calls of getmany."""
        await self._thread._ensure_consumer().getmany(timeout_ms=0)

    # -- one commit path: the transaction -----------------------------------------------------------

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Faust's own commit: nothing to do, the transaction has committed."""
        return True

    async def perform_seek(self) -> None:
        """Faust's own positions are not used."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's watch over its own positions; `khaywe_last_commit_timestamp_seconds` takes its place."""

    def ack(self, message: Any) -> bool:
        """The message is done; nothing is to be committed for it."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    # -- records ------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            await self._drain(fetcher)
        except asyncio.CancelledError:
            # The worker stops.  Faust would call it a crash where a rebalance is under way.
            if not fetcher.should_stop:
                raise

    async def _drain(self, fetcher: Any) -> None:
        loop = asyncio.get_running_loop()
        while not (self.should_stop or fetcher.should_stop):
            epoch = self.epoch
            if epoch is None:
                self._changed.clear()
                if self.epoch is None:
                    await self._wait_changed()
                continue
            try:
                if not epoch.taken:
                    await self._take(epoch)
                    continue
                await self._follow_reads(epoch)
                if not self.begun.is_set():
                    await self.wait_first(self.begun.wait(), timeout=HEARTBEAT_SECONDS)
                    await self._stay()
                    continue
                batches = await loop.run_in_executor(self._fetching, self._source.poll, self.app.pace.most)
            except KafkaException as error:
                log.warning("%s: waiting for Kafka: %s", self.app.conf.id, error.args[0].str())
                await self.sleep(0.5)
                continue
            except Aborted as reason:
                log.warning("%s: waiting: %s", self.app.conf.id, reason)
                await self.sleep(0.5)
                continue
            await self._stay()
            now = time.monotonic()
            if epoch is not self.epoch or not (batches or now - self._marked > HEARTBEAT_SECONDS):
                continue
            self._marked = now
            await self._emit(Poll(epoch, batches))
        await loop.run_in_executor(self._fetching, self._source.close)

    async def _stay(self) -> None:
        """Stay a member of the group."""
        now = time.monotonic()
        if now - self._kept_alive > HEARTBEAT_SECONDS:
            self._kept_alive = now
            await self._thread.call_thread(self._keep_alive)

    async def _wait_changed(self) -> None:
        await self.wait_first(self._changed.wait(), timeout=1.0)

    async def _emit(self, poll: Poll) -> None:
        """Hand a poll to the agent's stream; blocks while the stream is full."""
        if not poll.epoch.assigned:
            return
        place = min(poll.epoch.assigned)
        message = ConsumerMessage(
            place.topic, place.partition, 0, time.time(), 0, [], None, cast(Any, poll), None, 0, 0,
            TP(place.topic, place.partition), generation_id=poll.epoch.generation,
        )  # fmt: skip
        self.begun.clear()
        await self.wait_first(self.callback(message), self.suspend_flow.wait())

    async def _take(self, epoch: Epoch) -> None:
        """Steps 1 to 4 of taking over."""
        started = time.perf_counter()
        app, processor = self.app, self.app.processor
        loop = asyncio.get_running_loop()

        def restore() -> None:
            if epoch.alive:
                processor.take(epoch)

        reads = await app.work(lambda: processor.reads(epoch.assigned))
        # The producer first: an earlier life of this worker may have left a transaction open.
        await app.work(app.transactor.open)
        while True:
            try:
                positions = await loop.run_in_executor(self._fetching, self._source.committed, reads)
                break
            except KafkaException as error:
                if epoch is not self.epoch or self.should_stop:
                    return
                log.info("%s: waiting for stable positions: %s", app.conf.id, error.args[0].str())
                await self.sleep(0.3)
        epoch.positions = positions
        await app.work(restore)
        if epoch is not self.epoch:
            return
        self._expected = dict(positions)
        await loop.run_in_executor(self._fetching, self._source.assign, positions)
        epoch.taken = True
        self.begun.set()
        self._looked = time.monotonic()
        metrics.TAKEOVERS.labels(app.conf.id).inc()
        metrics.TAKEOVER_SECONDS.labels(app.conf.id).set(time.perf_counter() - started)
        metrics.PARTITIONS.labels(app.conf.id).set(len(positions))
        app.on_taken(epoch)
        log.info(
            "%s: took over %s in generation %d, %.2f s",
            app.conf.id, ", ".join(f"{p.topic}/{p.partition}" for p in sorted(positions)) or "nothing",
            epoch.generation, time.perf_counter() - started,
        )  # fmt: skip

    def _forget_lag(self, gone: set[Partition]) -> None:
        """Partitions that others read: their lag here would stand still on /metrics."""
        for place in gone:
            self.app.lag.remove(place.topic, str(place.partition))

    async def _follow_reads(self, epoch: Epoch) -> None:
        """Sources come and go without a rebalance: read what the processor says should be read now."""
        now = time.monotonic()
        if now - self._looked < HEARTBEAT_SECONDS:
            return
        self._looked = now
        for place, lag in self._source.lag().items():
            self.app.lag.labels(place.topic, str(place.partition)).set(lag)
        processor = self.app.processor
        reads = await self.app.work(lambda: processor.reads(epoch.assigned))
        added, gone = reads - epoch.positions.keys(), epoch.positions.keys() - reads
        if not added and not gone:
            return
        loop = asyncio.get_running_loop()
        if gone:
            await loop.run_in_executor(self._fetching, self._source.remove, gone)
            for partition in gone:
                del epoch.positions[partition]
                self._expected.pop(partition, None)
            self._forget_lag(gone)
        if added:
            positions = await loop.run_in_executor(self._fetching, self._source.committed, added)
            epoch.positions.update(positions)
            self._expected.update(positions)
            await loop.run_in_executor(self._fetching, self._source.add, positions)
        metrics.PARTITIONS.labels(self.app.conf.id).set(len(epoch.positions))
        log.info(
            "%s: now reads %d partitions (%d more, %d fewer)",
            self.app.conf.id,
            len(reads),
            len(added),
            len(gone),
        )

    def current(self, poll: Poll) -> Poll | None:
        """The poll as it may be worked on; None where it must be dropped.

        A batch that does not begin where the last one of its partition ended is a hole: the partitions are
        taken over anew, which seeks back to what is committed.
        """
        epoch = poll.epoch
        app = self.app.conf.id
        if epoch is not self.epoch or not epoch.alive:
            metrics.STALE_BATCHES.labels(app).inc(len(poll.batches))
            return None
        batches: list[RecordBatch] = []
        for batch in poll.batches:
            expected = self._expected.get(batch.source)
            if expected is None or batch.source not in epoch.positions:
                metrics.STALE_BATCHES.labels(app).inc()
            elif batch.begin != expected:
                metrics.BROKEN_CHAINS.labels(app).inc()
                log.warning(
                    "%s: %s/%d: a batch begins at %d instead of %d; reading again from what is committed",
                    app, batch.source.topic, batch.source.partition, batch.begin, expected,
                )  # fmt: skip
                self.retake(epoch)
                return None
            else:
                batches.append(batch)
        return Poll(epoch, batches)

    def advance(self, poll: Poll) -> None:
        """The poll's work has committed."""
        for batch in poll.batches:
            self._expected[batch.source] = batch.end

    def retake(self, epoch: Epoch) -> None:
        """Something of this epoch was lost or aborted: take its partitions over anew."""
        epoch.alive = False
        if epoch is self.epoch:
            self.epoch = epoch.again()
            self._changed.set()


class Transport(driver.Transport):
    """`khaywe://`: aiokafka's transport with batches."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    default_port = 9092
    driver_version = f"khaywe over {driver.Transport.driver_version}"
