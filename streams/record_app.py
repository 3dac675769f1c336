"""A Faust app whose agent receives whole polls, and whose commits are Kafka transactions.

It has one thread to work in, so that heartbeats and web views go on while a batch is folded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import faust
from faust.serializers.schemas import Schema

from config.settings import Settings
from streams import metrics
from streams.batches import Aborted, Epoch, Fill, Partition, Poll, Processor
from streams.managers import RecordTables, passthrough
from streams.pace import Pace
from streams.transaction import Transactor
from streams.transport import Consumer

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two commits of all positions of an idle app: Kafka keeps offsets of topics that the group
#: does not subscribe to for `offsets.retention.minutes`, seven days by default.
KEEP_SECONDS = 3600.0
#: Seconds a worker may take to stop.
STOP_SECONDS = 20.0
#: Seconds between two heartbeats: by them a member hears that partitions move, which stand still until then.
HEARTBEAT_SECONDS = 0.5


class PollSchema(Schema[Any, Any]):
    """A poll is no serialised record: hand it on as it is."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return passthrough(app, message)

        return decode


class Worker(faust.Worker):
    """A worker process that ends when it has stopped: mode's sleeps another second."""

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)


class RecordApp(faust.App):
    """A Faust app whose agent receives polls and whose commits are Kafka transactions."""

    #: Set by the agent's module: makes what stands behind the agent, when the app starts.
    behind: Callable[[], Processor]
    processor: Processor
    #: By topic: an app that reads what another one reads too has its own.
    records_in = metrics.RECORDS_IN
    lag = metrics.LAG

    def __init__(self, group: str, anchor: str, config: Settings, worker: str, **options: Any) -> None:
        self.settings = config
        self.worker_name = worker
        self.anchors = frozenset({anchor})
        self.transactor = Transactor(config, group, worker)
        self.pace = Pace(config.poll_records)
        self.companions: list[RecordApp] = []
        self.taken: Epoch | None = None
        self._kept = time.monotonic()
        self._working = ThreadPoolExecutor(1, thread_name_prefix=f"{group}-work")
        super().__init__(
            group,
            broker_consumer=_urls("khaywe", config),
            broker_producer=_urls("kafka", config),
            broker_credentials=_credentials(config),
            broker_session_timeout=config.session_timeout,
            broker_heartbeat_interval=min(HEARTBEAT_SECONDS, config.session_timeout / 5),
            broker_request_timeout=max(40.0, config.session_timeout * 2),
            broker_rebalance_timeout=60.0,
            broker_max_poll_interval=600.0,
            broker_commit_interval=3600.0,
            broker_commit_livelock_soft_timeout=86_400.0,
            consumer_auto_offset_reset="earliest",
            topic_partitions=config.partitions,
            topic_replication_factor=config.replication,
            topic_allow_declare=False,
            topic_disable_leader=True,
            store="memory://",
            datadir=str(config.home_dir / "workers" / worker / group),
            stream_buffer_maxsize=1,
            stream_wait_empty=False,
            worker_redirect_stdouts=False,
            web_host=config.web_host,
            TableManager=RecordTables,
            Worker=Worker,
            **options,
        )

    def records(self, topic: str) -> Any:
        """The channel of an agent: polls of everything the owner of this topic's partitions reads."""
        return self.topic(topic, schema=PollSchema())

    async def work(self, call: Callable[[], T]) -> T:
        """Run `call` in the app's one working thread, after whatever runs there."""
        return await asyncio.get_running_loop().run_in_executor(self._working, call)

    async def handle(self, poll: Poll) -> None:
        """An agent's work on a poll: processed in one transaction, or dropped and read again."""
        consumer = cast(Consumer, self.consumer)
        consumer.begun.set()
        current = consumer.current(poll)
        if current is None:
            return
        epoch = current.epoch
        try:
            await self.work(lambda: self._process(current))
            await self._keep_positions(current)
        except Aborted as reason:
            log.warning(
                "%s: transaction aborted (%s); reading again from what is committed", self.conf.id, reason
            )
            await self.work(self.processor.drop)
            consumer.retake(epoch)
            return
        except Exception as error:
            log.exception("%s: stopping; nothing of this poll was committed", self.conf.id)
            await self.crash(error)
            return
        consumer.advance(current)
        for batch in current.batches:
            self.records_in.labels(batch.source.topic).inc(len(batch.records))

    async def _keep_positions(self, poll: Poll) -> None:
        """Commit all positions now and then: Kafka forgets those of topics without traffic after a week."""
        now = time.monotonic()
        if poll.batches or now - self._kept < KEEP_SECONDS:
            return
        self._kept = now
        positions = dict(poll.epoch.positions)
        await self.work(lambda: self.transactor.run(poll.epoch, positions, lambda sink: None))

    def _process(self, poll: Poll) -> None:
        def commit(offsets: dict[Partition, int], fill: Fill) -> dict[Partition, int]:
            ends = self.transactor.run(poll.epoch, offsets, fill)
            poll.epoch.positions.update((p, at) for p, at in offsets.items() if p in poll.epoch.positions)
            return ends

        size = sum(len(batch.records) for batch in poll.batches)
        if size:
            metrics.BATCH_RECORDS.labels(self.conf.id).observe(size)
        started = time.perf_counter()
        self.processor.process(poll, commit)
        seconds = time.perf_counter() - started
        self.pace.worked(size, seconds)
        metrics.STAGE_SECONDS.labels(self.conf.id, "all").inc(seconds)

    def on_taken(self, epoch: Epoch) -> None:
        """The partitions of an epoch are restored and being read."""
        self.taken = epoch
        if self.rebalancing:
            tables = cast(RecordTables, self.tables)
            tables.on_actives_ready()
            tables.on_standbys_ready()
            self.on_rebalance_end()

    @property
    def ready(self) -> bool:
        """True while every assigned partition is taken over."""
        epoch = getattr(self.consumer, "epoch", None) if self._consumer is not None else None
        return epoch is not None and epoch is self.taken

    async def on_first_start(self) -> None:
        """Make what stands behind the agent, and start what runs in the same process."""
        await super().on_first_start()
        self.processor = await self.work(self.behind)
        for companion in self.companions:
            companion.conf.web_enabled = False  # one web server a process
            await self.add_runtime_dependency(companion)

    async def on_stop(self) -> None:
        """Let the work under way end, then close; not for ever, where Kafka does not answer."""
        last_resort = threading.Timer(STOP_SECONDS, self._leave)
        last_resort.daemon = True
        last_resort.start()
        # Before the group is left: what is stored then need not be restored by the heir on this machine.
        if self._consumer is not None:
            cast(Consumer, self._consumer).let_go()
        await self.work(self.processor.close)
        await super().on_stop()
        await self.work(self.transactor.close)
        self._working.shutdown(wait=False)

    def _leave(self) -> None:
        log.error(
            "%s: Kafka has not answered for %.0f s; leaving. What was not committed is read again",
            self.conf.id, STOP_SECONDS,
        )  # fmt: skip
        os._exit(1)


def _urls(scheme: str, config: Settings) -> list[str]:
    return [f"{scheme}://{server.strip()}" for server in config.bootstrap_servers().split(",")]


def _credentials(config: Settings) -> Any:
    protocol = config.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(config.kafka_ssl_ca) if config.kafka_ssl_ca else None)
        if config.kafka_ssl_certificate:
            context.load_cert_chain(
                str(config.kafka_ssl_certificate), str(config.kafka_ssl_key or "") or None
            )
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=config.kafka_sasl_username,
            password=config.kafka_sasl_password,
            mechanism=config.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context)
