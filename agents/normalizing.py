"""What stands behind the normaliser agent: raw records, commands, ticks and markers become one log.

The owner of partition p of `customer-commands` also reads every partition q of an active source's raw topic
with q mod KHAYWE_PARTITIONS = p.  Whoever owns partition 0 writes markers and ticks, replays dead letters and
publishes the catalog's outbox: the offsets of its transaction fence it, were it paused.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from confluent_kafka import Producer

from agents import commands
from agents.background import Repeating
from agents.catalog_feed import CatalogFeed
from agents.clock import Clock, tick
from agents.commands import Command, Refused, Unreadable
from agents.dead_letters import NORMALIZER, Memory, Replayed, letter
from agents.output import Output
from agents.raw import RegistryAway
from agents.raw_topics import Horizon, RawTopics
from agents.source_reader import LARGEST_EVENT, Reader
from agents.tail import KafkaAway
from catalog.mapping import Reason
from catalog.service import CatalogService
from catalog.times import EARLIEST, LATEST
from config import topics
from config.settings import Settings
from streams import metrics
from streams.batches import Aborted, Commit, Epoch, Partition, Poll, RecordBatch
from streams.names import NORMALIZER_GROUP
from streams.records import Record

log = logging.getLogger(__name__)

ZERO = Partition(topics.CUSTOMER_COMMANDS, 0)
#: Seconds between two looks into the catalog's outbox.
OUTBOX_SECONDS = 1.0
#: Seconds until a source whose schema registry was away is read again.
REGISTRY_SECONDS = 5.0


class NormalizerProcessor:
    """Implements `streams.batches.Processor`."""

    def __init__(self, settings: Settings, feed: CatalogFeed) -> None:
        self._settings = settings
        self._feed = feed
        self._clock = Clock(wall=settings.clock == "wall")
        self._memory = Memory(settings)
        self._beside: _Beside | None = None
        self._revision = 0
        #: Those of the newest revision by name, switched off or not.
        self._sources: dict[str, Reader] = {}
        #: By raw topic; of a source switched off the last one stays, for batches that are under way.
        self._readers: dict[str, Reader] = {}
        self._active: frozenset[str] = frozenset()
        #: Whether partition 0 is owned, and its committed position.
        self._first = False
        self._position = 0
        #: Topics whose schema registry is away, with the time to read them again; None: not yet let go of.
        self._away: dict[str, float | None] = {}
        #: Where a partition that was let go of must be read again.
        self._held: dict[Partition, int] = {}

    # -- streams.batches.Processor ------------------------------------------------------------------

    def reads(self, assigned: frozenset[Partition]) -> set[Partition]:
        """Assigned partitions and those of raw topics that go with them, as last seen."""
        if self._beside is None:
            self._beside = _Beside(self._settings, lambda: self._first, self._tick_waits)
        self._follow_catalog()
        self._beside.raw.want(self._active)
        away = self._let_go(time.monotonic())
        numbers = {place.partition for place in assigned}
        raw = self._beside.raw.partitions()
        return set(assigned) | {
            place
            for place in raw
            if place.partition % self._settings.partitions in numbers and place.topic not in away
        }

    def take(self, epoch: Epoch) -> None:
        """Nothing is restored: what was written is in the log."""
        self._first = ZERO in epoch.assigned
        self._position = epoch.positions.get(ZERO, 0)
        self._clock.taken_over()
        self._memory.taken_over()
        self._away.clear()
        self._held.clear()

    def process(self, poll: Poll, commit: Commit) -> None:
        """One transaction for the poll, and for what time demands."""
        self._follow_catalog()
        out = Output()
        offsets = {}
        started = time.perf_counter()
        for batch in poll.batches:
            if batch.source.topic == topics.CUSTOMER_COMMANDS:
                self._commands(batch, out)
            elif not self._raw(batch, out):
                continue
            offsets[batch.source] = batch.end
        metrics.STAGE_SECONDS.labels(NORMALIZER_GROUP, "map").inc(time.perf_counter() - started)
        horizon = self._beside.horizon.until if self._first and self._beside is not None else 0
        if self._first or out.events:
            # Whoever maps by a revision writes its marker first; the ticks are partition 0's owner's.
            out.times = self._clock.due(self._revision, horizon, time.time_ns() // 1_000_000)
        if not offsets and not out:
            return
        if self._first:
            offsets.setdefault(ZERO, self._position)
        commit(offsets, lambda sink: out.send(sink, self._settings.partitions))
        self._position = offsets.get(ZERO, self._position)
        if out.times:
            self._clock.written(self._revision, horizon)
        self._memory.add(out.replayed.keys())
        for (source, reason), count in Counter((e.source, e.reason) for e in out.letters).items():
            metrics.DEAD.labels(source, reason).inc(count)

    def drop(self) -> None:
        """The epoch has ended."""
        self._first = False

    def close(self) -> None:
        """Stop what runs beside."""
        self._first = False
        self._memory.close()
        if self._beside is not None:
            self._beside.stop()
            self._beside = None

    # -- the catalog ----------------------------------------------------------------------------------

    def _follow_catalog(self) -> None:
        content = self._feed.latest()
        if content is None or content.revision == self._revision:
            return
        self._revision = content.revision
        sources: dict[str, Reader] = {}
        for source in content.sources:
            reader = self._sources.get(source.name)
            if reader is None or (reader.source, reader.decisions) != (source, content.decisions):
                try:
                    reader = Reader(source, content.decisions)
                except ValueError as error:
                    log.error("revision %d: source %s cannot be read: %s", self._revision, source.name, error)
                    continue
            sources[source.name] = reader
        self._sources = sources
        active = {reader.source.topic: reader for reader in sources.values() if reader.source.is_active}
        self._readers |= active
        self._active = frozenset(active)
        log.info("catalog revision %d: %d active data sources", self._revision, len(active))

    def _tick_waits(self) -> bool:
        """True when a tick could be due if only the horizon allowed it."""
        return self._first and self._revision > 0 and self._clock.waits(time.time_ns() // 1_000_000)

    # -- raw records ----------------------------------------------------------------------------------

    def _raw(self, batch: RecordBatch, out: Output) -> bool:
        """Map a batch; False where it must be read again later, because a schema registry is away."""
        place = batch.source
        held = self._held.get(place)
        if place.topic in self._away or held not in (None, batch.begin):
            self._held.setdefault(place, batch.begin)
            return False
        events, letters = len(out.events), len(out.letters)
        try:
            self._readers[place.topic].read(batch.records, out.events, out.letters)
        except RegistryAway as away:
            log.warning("%s: waiting: %s", place.topic, away)
            del out.events[events:], out.letters[letters:]
            self._away[place.topic] = None
            self._held[place] = batch.begin
            return False
        self._held.pop(place, None)
        return True

    def _let_go(self, now: float) -> set[str]:
        """Topics not to be read now; each is left out at least once, so that it is read from its position."""
        for topic, until in list(self._away.items()):
            if until is None:
                self._away[topic] = now + REGISTRY_SECONDS
            elif until <= now:
                del self._away[topic]
        return set(self._away)

    # -- commands -------------------------------------------------------------------------------------

    def _commands(self, batch: RecordBatch, out: Output) -> None:
        for record in batch.records:
            try:
                timestamp = record.timestamp()[1]
                if not EARLIEST <= timestamp < LATEST:  # it becomes the time of a `_command`
                    raise Unreadable(f"the record's Kafka timestamp {timestamp} is no time")
                command = commands.parse(record.value())
            except Unreadable as bad:
                out.letters.append(letter(record, NORMALIZER, "", bad.reason, bad.message))
                if bad.command_id is not None:
                    self._answer(out, record, bad.command_id, bad.customer_id, bad)
                continue
            try:
                answered = self._obey(command, record, batch.source, out)
            except Refused as refused:
                self._answer(out, record, command.command_id, command.customer_id or "", refused)
            else:
                if answered:
                    self._answer(out, record, command.command_id, command.customer_id or "")

    def _answer(
        self, out: Output, record: Record, command_id: str, customer_id: str, why: Refused | None = None
    ) -> None:
        status, reason, message = (
            (commands.DONE, "", "") if why is None else (commands.REFUSED, why.reason, why.message)
        )
        out.results.append(
            commands.result(command_id, customer_id, record, self._revision, status, reason, message)
        )

    def _obey(self, command: Command, record: Record, place: Partition, out: Output) -> bool:
        """Carry a command out; True where that was all, False where the fold answers.  Raises Refused."""
        if command.command in commands.FORWARDED:
            value = commands.forwarded(command, record)
            if len(value) > LARGEST_EVENT:
                raise Refused(Reason.OVERSIZED, f"the command is {len(value)} bytes, above {LARGEST_EVENT}")
            if command.customer_id is None:
                out.everywhere.append(value)
            else:
                out.events.append((command.customer_id.encode(), value))
            return False
        if command.command not in (commands.TICK, commands.REPLAY):
            raise Refused("unknown_command", f"there is no command {command.command!r}")
        if place != ZERO:
            raise Refused("wrong_partition", f"{command.command} is read on partition 0 only")
        if command.command == commands.TICK:
            at = commands.instant(command.at)
            if self._settings.clock == "wall":
                raise Refused("wall_clock", "KHAYWE_CLOCK=wall writes the ticks itself")
            out.everywhere.append(tick(at, everyone=True))
        else:
            self._replay(command, out)
        return True

    def _replay(self, command: Command, out: Output) -> None:
        """Map the stored bytes of a dead letter again.  Raises Refused, Aborted."""
        entry = command.letter
        if entry is None:
            raise Refused("invalid_command", "a replay carries the dead letter in `letter`")
        if entry.stage != NORMALIZER or entry.topic == topics.CUSTOMER_COMMANDS:
            raise Refused("not_replayable", f"{entry.id} is no raw record of a data source")
        try:
            known = entry.id in out.replayed or entry.id in self._memory
        except KafkaAway as away:
            raise Aborted(str(away)) from away
        if known:
            raise Refused("already_replayed", f"{entry.id} was replayed before")
        reader = self._sources.get(entry.source)
        if reader is None:
            raise Refused(Reason.UNKNOWN_SOURCE, f"the catalog has no data source {entry.source!r} to map it")
        try:
            out.events.append(reader.again(entry))
        except RegistryAway as away:
            raise Refused("registry_away", str(away)) from away
        out.replayed[entry.id] = Replayed(
            replayed=entry.id, source=entry.source, command_id=command.command_id, revision=self._revision
        )


class _Beside:
    """What runs beside the stream, each in a thread of its own."""

    def __init__(self, settings: Settings, first: Callable[[], bool], tick_waits: Callable[[], bool]) -> None:
        """`first` says whether partition 0 is owned, `tick_waits` whether the horizon is asked for."""
        self._settings = settings
        self._first = first
        self._catalog: CatalogService | None = None
        self._producer: Producer
        self.raw = RawTopics(settings)
        self.horizon = Horizon(
            settings, NORMALIZER_GROUP, self.raw.partitions, lambda: tick_waits() and self.raw.settled
        )
        self._outbox = Repeating("catalog outbox", OUTBOX_SECONDS, self._publish)
        self.raw.start()
        self.horizon.start()
        self._outbox.start()

    def _publish(self) -> None:
        if not self._first():
            return
        if self._catalog is None:
            self._catalog = CatalogService(self._settings.database_url(), self._settings)
            self._producer = Producer(self._settings.producer_config())
        self._catalog.publish_outbox(self._producer)

    def stop(self) -> None:
        """End the threads."""
        self.raw.stop()
        self.horizon.stop()
        self._outbox.stop()
