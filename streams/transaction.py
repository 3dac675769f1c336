"""One Kafka transaction for what one poll returned: records out, changelog and offsets, all or nothing.

The steps, with a kill test for each gap between two of them (tests/faults):

1. `begun`: the transaction is open on this producer.
2. `produced`: every record of it is queued and delivered.
3. `offsets`: the end positions are added with the epoch's generation and member, so that the broker refuses
   them from a worker that lost its partitions (KIP-447).
4. `committed`: the coordinator has decided.  Only now may local stores be written.

librdkafka does the work; a fatal error gives a new producer with the same transactional id, whose
initialisation ends whatever the old one left open.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from config.settings import Settings
from config.topics import CUSTOMER_EVENTS
from streams import metrics
from streams.batches import Aborted, Epoch, Fill, Partition
from streams.librdkafka import Headers, produce
from streams.partition import partition_of

log = logging.getLogger(__name__)

Step = Callable[[str], None]

#: Milliseconds a blocking call of the transactional API may take before it is asked again.
CALL_SECONDS = 5.0


#: Seconds after which a call has hung: librdkafka 2.16 sometimes does not come back from adding offsets when
#: the coordinator was killed meanwhile, whatever its timeout says.
HUNG_SECONDS = 3 * CALL_SECONDS


#: Of messages, or of a call that may not be repeated: whoever they wait for may never be found again.
_TIMED_OUT = frozenset((KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT))


class Hung(Exception):
    """A call of the transactional API does not come back, or never succeeds; its producer is given up."""


def _bounded(call: Callable[[], object], what: str) -> None:
    """Make the call, but do not wait for ever: in a thread that may be left behind.  Raises Hung."""
    outcome: Future[object] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name=what, daemon=True).start()
    try:
        outcome.result(HUNG_SECONDS)
    except TimeoutError:
        raise Hung(f"no return from {what} within {HUNG_SECONDS:.0f} s") from None


def no_step(name: str) -> None:
    """Nobody watches the steps."""


def group_metadata(epoch: Epoch) -> bytes:
    """librdkafka's serialised form of a consumer group's metadata, version 2, without a group instance."""
    generation = struct.pack("<i", epoch.generation)
    return b"CGMDv2:" + generation + epoch.group.encode() + b"\0" + epoch.member.encode() + b"\0\x01"


class _Sink:
    """Queues the records of the open transaction and remembers where the batches of rows ended."""

    def __init__(self, producer: Producer, within: int) -> None:
        """`within`: customer-events is placed in so many partitions; 0: in all that there are."""
        self._producer = producer
        self._within = within
        self.sent: Counter[str] = Counter()
        self.ends: dict[Partition, int] = {}
        self.failed: KafkaError | None = None

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        if self._within and partition < 0 and key is not None and topic == CUSTOMER_EVENTS:
            partition = partition_of(key, self._within)
        self._put(topic, value, key, partition, headers=headers)

    def send_many(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None],
        headers: Headers | None = None,
    ) -> None:  # fmt: skip
        if not keys:
            return
        if self._within and topic == CUSTOMER_EVENTS:
            for key, value in zip(keys, values, strict=True):
                self.send(topic, value, key)
            return
        produce(self._producer, topic, -1, keys, values, headers, self._make_room)
        self.sent[topic] += len(keys)

    def send_rows(
        self, topic: str, partition: int, keys: Sequence[bytes], values: Sequence[bytes | None]
    ) -> None:
        if not keys:
            return
        # The last one tells where it came to lie, which it could not of compiled code.
        produce(self._producer, topic, partition, keys[:-1], values[:-1], None, self._make_room)
        self.sent[topic] += len(keys) - 1
        self._put(topic, values[-1], keys[-1], partition, on_delivery=self._delivered)

    def _put(self, topic: str, value: bytes | None, key: bytes | None, partition: int, **more: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, **more)
                break
            except BufferError:
                self._make_room()
        self.sent[topic] += 1

    def _make_room(self) -> None:
        self._producer.poll(0.05)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed = error
            return
        place = Partition(str(message.topic()), int(message.partition() or 0))
        self.ends[place] = int(message.offset() or 0) + 1


class Transactor:
    """The transactional producer of one app in one worker.  Used from one thread."""

    def __init__(self, settings: Settings, app: str, worker: str, on_step: Step = no_step) -> None:
        self._settings = settings
        self._app = app
        self._id = f"{app}-{worker}"
        self.on_step = on_step
        self._producer: Producer | None = None
        #: See `_Sink`; None until it was looked up.  It does not change while workers run.
        self._within: int | None = None

    def open(self) -> None:
        """Initialise the producer; what an earlier one of this name left open is aborted by the broker."""
        if self._producer is not None:
            return
        while self._producer is None:
            producer = self._made()
            try:
                self._patiently(lambda: producer.init_transactions(CALL_SECONDS), "initialise the producer")  # noqa: B023
                if self._within is None:
                    self._within = self._placed_within(producer)
            except Hung as error:
                log.warning("%s: %s; trying with a new producer", self._id, error)
                metrics.CLIENTS_REPLACED.labels(self._app, "producer").inc()
                continue
            self._producer = producer

    def _placed_within(self, producer: Producer) -> int:
        """See `_Sink`.  Raises Hung."""
        try:
            there = producer.list_topics(CUSTOMER_EVENTS, CALL_SECONDS).topics[CUSTOMER_EVENTS].partitions
        except KafkaException as error:
            raise Hung(f"cannot see {CUSTOMER_EVENTS}: {error.args[0].str()}") from None
        return self._settings.partitions if len(there) > self._settings.partitions else 0

    def _made(self) -> Producer:
        timeout = int(self._settings.transaction_timeout * 1000)
        return Producer(
            self._settings.producer_config(**{
                "transactional.id": self._id,
                "transaction.timeout.ms": timeout,
                "message.timeout.ms": timeout,
                "linger.ms": 5,
                "batch.size": 1 << 20,
                "batch.num.messages": 20_000,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
                "message.max.bytes": 4 << 20,
            })
        )  # fmt: skip

    def run(self, epoch: Epoch, offsets: dict[Partition, int], fill: Fill) -> dict[Partition, int]:
        """One transaction; see `streams.batches.Commit`."""
        self.open()
        producer = self._producer
        assert producer is not None
        started = time.perf_counter()
        sink = _Sink(producer, self._within or 0)
        try:
            producer.begin_transaction()
            self.on_step("begun")
            fill(sink)
            filled = time.perf_counter()
            metrics.STAGE_SECONDS.labels(self._app, "produce").inc(filled - started)
            producer.flush()
            if sink.failed is not None:
                raise KafkaException(sink.failed)
            self.on_step("produced")
            if not epoch.alive:
                raise Aborted("the partitions were taken away")
            if offsets:
                positions = [TopicPartition(p.topic, p.partition, offset) for p, offset in offsets.items()]
                metadata = group_metadata(epoch)
                self._patiently(
                    lambda: producer.send_offsets_to_transaction(positions, metadata, CALL_SECONDS),
                    "add offsets",
                )
            self.on_step("offsets")
            self._patiently(lambda: producer.commit_transaction(CALL_SECONDS), "commit")
        except BaseException as error:
            self._abort(error)
            if isinstance(error, KafkaException | Hung):
                raise Aborted(str(error.args[0])) from error
            raise
        self.on_step("committed")
        ended = time.perf_counter()
        metrics.STAGE_SECONDS.labels(self._app, "commit").inc(ended - filled)
        metrics.TRANSACTION_SECONDS.labels(self._app).observe(ended - started)
        metrics.LAST_COMMIT.labels(self._app).set_to_current_time()
        for topic, count in sink.sent.items():
            metrics.RECORDS_OUT.labels(topic).inc(count)
        return sink.ends

    def close(self) -> None:
        """Let go of the producer."""
        self._producer = None

    def _abort(self, cause: BaseException) -> None:
        metrics.ABORTS.labels(self._app).inc()
        producer = self._producer
        assert producer is not None
        lost = isinstance(cause, Hung)
        if isinstance(cause, KafkaException):
            error = cause.args[0]
            lost = error.fatal() or error.code() in _TIMED_OUT
        if not lost:
            try:
                self._patiently(lambda: producer.abort_transaction(CALL_SECONDS), "abort")
                return
            except (KafkaException, Hung) as failed:
                log.warning(
                    "%s: abort failed (%s); a new producer ends the transaction",
                    self._id,
                    failed.args[0],
                )
        # Fenced, or without its coordinator (to which an abort would say nothing where no partition was added
        # yet, and succeed): only a new producer of the same id can go on.
        metrics.CLIENTS_REPLACED.labels(self._app, "producer").inc()
        self._producer = None

    def _patiently(self, call: Callable[[], object], what: str) -> None:
        """Repeat a call that may be repeated; Kafka away means waiting, said every time.

        Not for ever with the same producer (Hung): one told of a cluster without brokers, as one just
        started tells, may never find its coordinator again.  The broker ends the transaction by then anyway.
        """
        end = time.monotonic() + HUNG_SECONDS
        while True:
            try:
                _bounded(call, what)
                return
            except KafkaException as error:
                reason = error.args[0]
                if not reason.retriable():
                    raise
                log.warning("%s: waiting for Kafka to %s: %s", self._id, what, reason.str())
                if time.monotonic() > end:
                    raise Hung(f"cannot {what} for {HUNG_SECONDS:.0f} s: {reason.str()}") from None
