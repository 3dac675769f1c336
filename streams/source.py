"""Reads records in batches: librdkafka fetches the partitions that the consumer group handed to this worker.

Membership is Faust's; this consumer joins no group and commits nothing.  It reads committed records only, of
every codec librdkafka knows, and keeps for each partition the position that follows the last batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from confluent_kafka import IsolationLevel, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from config.settings import Settings
from streams import metrics
from streams.batches import RecordBatch
from streams.fetching import Event, Fetcher
from streams.positions import GroupPositions, log_offsets
from streams.records import Partition, Records

log = logging.getLogger(__name__)

#: Seconds a poll waits for more records once some can be had: the price of a batch in latency.
POLL_SECONDS = 0.03
#: Seconds without a broker after which a new client is made: one of librdkafka 2.16 that was told of a
#: cluster without brokers, as one just started tells, sometimes never finds one again.
LOST_SECONDS = 15.0
#: Seconds between two looks at partitions of which nothing comes.  One that has records at two looks and
#: gives none in between never will: as with librdkafka after a partition was without a leader for a moment.
LOOK_SECONDS = 10.0

#: What librdkafka may hold of all partitions together, in one queue: a record waits for all that stands
#: in it, so that one of a partition without a backlog waits for little where others have one.
QUEUE = {
    "queued.min.messages": 5_000,
    "queued.max.messages.kbytes": 32 << 10,
    "fetch.queue.backoff.ms": 5,
    "fetch.message.max.bytes": 256 << 10,  # of one partition, compressed
    "fetch.max.bytes": 4 << 20,
}
_NOT_FATAL = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}
#: A topic or partition is not there: a broker that was just started says so of all of them, and a client that
#: heard it may believe it for a quarter of an hour.
_NOT_THERE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class Source:
    """The fetching consumer of one app.  Used from one thread at a time."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._positions: dict[Partition, int] = {}
        self._fetcher: Fetcher | None = None
        self._group_positions: GroupPositions | None = None
        #: Since when no broker answers; None while one does.
        self._lost: float | None = None
        #: The last look: when, where each partition stood, and those that had records and gave none.
        self._looked = time.monotonic()
        self._stood: dict[Partition, int] = {}
        self._behind: set[tuple[Partition, int]] = set()
        self._asker: AdminClient | None = None

    @property
    def fetcher(self) -> Fetcher:
        """librdkafka's consumer, made at the first use."""
        if self._fetcher is None:
            self._fetcher = Fetcher(
                self._settings.kafka_config(**{
                    "group.id": f"{self._group}-fetch",
                    "isolation.level": "read_committed",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 100,
                    "fetch.error.backoff.ms": 100,
                    **QUEUE,
                    "check.crcs": True,
                    "allow.auto.create.topics": False,
                }),
                self._settings.poll_records,
            )  # fmt: skip
        return self._fetcher

    def committed(self, partitions: set[Partition]) -> dict[Partition, int]:
        """The group's committed positions, once no open transaction can move them; else the log's start.

        Raises KafkaException; UNSTABLE_OFFSET_COMMIT while an old owner's transaction is still open.
        """
        if not partitions:
            return {}
        try:
            return self._committed(partitions)
        except KafkaException as error:
            if error.args[0].code() in _NOT_FATAL | _NOT_THERE:
                self._renew("no_positions")
            raise

    def _committed(self, partitions: set[Partition]) -> dict[Partition, int]:
        if self._group_positions is None:
            self._group_positions = GroupPositions(self._settings, self._group, stable=True)
        found = self._group_positions.of(partitions)
        positions: dict[Partition, int] = {}
        for place in partitions:
            committed = found.get(place, -1)
            low, _ = self.fetcher.watermarks(place, 10.0)
            if 0 <= committed < low:
                log.warning(
                    "%s: position %d of %s/%d is below the log's start %d: retention removed records unread",
                    self._group, committed, place.topic, place.partition, low,
                )  # fmt: skip
            positions[place] = max(committed, low)
        return positions

    def _renew(self, why: str) -> None:
        """New clients, which read on where the old ones were."""
        metrics.CLIENTS_REPLACED.labels(self._group, why).inc()
        self.close()
        self._lost = None
        if self._positions:
            self.assign(self._positions)

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these partitions and no others, from these positions; what was fetched before is dropped."""
        self._positions = dict(positions)
        self.fetcher.assign(positions)

    def add(self, positions: Mapping[Partition, int]) -> None:
        """Read these too."""
        self._positions.update(positions)
        self.fetcher.add(positions)

    def remove(self, partitions: set[Partition]) -> None:
        """Read these no longer."""
        for partition in partitions:
            self._positions.pop(partition, None)
        self.fetcher.remove(partitions)

    def poll(self, most: int) -> list[RecordBatch]:
        """At most `most` records, by partition; after POLL_SECONDS what there is, perhaps nothing."""
        if self._lost is not None and time.monotonic() - self._lost > LOST_SECONDS:
            log.warning("%s: no broker for %.0f s; trying with a new client", self._group, LOST_SECONDS)
            self._renew("no_broker")
        found, events = self.fetcher.take(most, POLL_SECONDS)
        drained = sum(len(records.offsets) for records in found) < most
        if found:
            self._lost = None
        ends: dict[Partition, int] = {}
        for event in events:
            self._note(event, ends)
        read = {records.place: records for records in found}
        batches = []
        for place in read.keys() | ends.keys():
            begin = self._positions.get(place)
            if begin is None:
                continue
            records = read.get(place)
            last = int(records.offsets[-1]) + 1 if records is not None else 0
            end = max(last, ends.get(place, 0), begin)
            if records is not None or end > begin:
                self._positions[place] = end
                batches.append(RecordBatch(place, begin, end, records or Records.of(place, [])))
        if drained and time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        return batches

    def _look(self) -> None:
        """Make a new client where a partition gives nothing, though it has records and none wait here."""
        quiet = dict(self._positions.items() & self._stood.items())
        self._looked, self._stood = time.monotonic(), dict(self._positions)
        if not quiet:
            return
        try:
            ends = self._ends(quiet)
        except KafkaException as error:
            log.info("%s: cannot ask for the ends of logs: %s", self._group, error.args[0].str())
            self._asker = None
            return
        behind = {(place, position) for place, position in quiet.items() if ends[place] > position}
        stuck, self._behind = behind & self._behind, behind
        if stuck:
            log.warning(
                "%s: %s gave nothing for %.0f s, but has records; trying with a new client",
                self._group, ", ".join(sorted(f"{p.topic}/{p.partition}" for p, _ in stuck)), LOOK_SECONDS,
            )  # fmt: skip
            self._renew("silent_partition")

    def _ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """Where whoever reads what is committed comes to, asked by a client that fetches nothing."""
        if self._asker is None:
            self._asker = AdminClient(self._settings.kafka_config(log_level=2))
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return log_offsets(self._asker, places, latest, IsolationLevel.READ_COMMITTED)

    def lag(self) -> dict[Partition, int]:
        """Offsets between each position and its partition's end, as the last fetch saw it; asks nobody."""
        behind = {}
        for place, position in self._positions.items():
            behind[place] = max(0, self.fetcher.end(place) - position)
        return behind

    def _note(self, event: Event, ends: dict[Partition, int]) -> None:
        error, place = event.error, event.place
        code = error.code()
        if code == KafkaError._PARTITION_EOF and place is not None:
            self._lost = None
            # The end's position lies behind trailing transaction markers, which no record shows.
            ends[place] = event.offset
        elif code in _NOT_THERE:
            where = "a topic" if place is None else f"{place.topic}/{place.partition}"
            log.warning("%s: %s is not there: %s", self._group, where, error.str())
        elif code in _NOT_FATAL or error.retriable():
            if code == KafkaError._ALL_BROKERS_DOWN and self._lost is None:
                self._lost = time.monotonic()
            log.warning("%s: waiting for Kafka: %s", self._group, error.str())
        else:
            raise KafkaException(error)

    def close(self) -> None:
        """Stop fetching."""
        self._asker = None
        if self._fetcher is not None:
            self._fetcher.close()
            self._fetcher = None
        if self._group_positions is not None:
            self._group_positions.close()
            self._group_positions = None
