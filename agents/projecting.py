"""What stands behind the projector: positions come from PostgreSQL, and move with what is written there.

The consumer group only says who reads what: whoever owns partition p of `customer-events` reads partition p
of every topic that is projected.  No Kafka transaction is needed, as nothing goes to Kafka.
"""

from __future__ import annotations

import logging

from confluent_kafka.admin import AdminClient

from agents import founding
from agents.catalog_feed import CatalogFeed
from agents.places import starts
from catalog.content import Content
from config.settings import Settings
from projection.writer import TOPICS, Away, Moved, Writer
from streams import metrics
from streams.batches import Aborted, Commit, Epoch, Partition, Poll
from streams.names import PROJECTOR_GROUP
from streams.source import Source
from streams.topics import width

log = logging.getLogger(__name__)

#: Seconds between two words about a revision that is waited for.
PATIENCE = 5.0


class ProjectorProcessor:
    """Implements `streams.batches.Processor`."""

    def __init__(self, settings: Settings, feed: CatalogFeed) -> None:
        self._settings = settings
        self._feed = feed
        self._epoch: Epoch | None = None
        self._admin = AdminClient(settings.kafka_config(log_level=2))
        self.writer = Writer(settings.database_url(), self._content)

    def reads(self, assigned: frozenset[Partition]) -> set[Partition]:
        """The same partitions of every topic."""
        return {Partition(topic, place.partition) for topic in TOPICS for place in assigned}

    def take(self, epoch: Epoch) -> None:
        """Read on from where the tables stand.  Raises Aborted while PostgreSQL is away, KafkaException."""
        self._epoch = epoch
        try:
            founding.found(self._settings, self.writer, self._content)
            positions = self.writer.take(starts(self._admin, epoch.positions))
        except Away as away:
            raise Aborted(f"{away} ({away.hint})") from away
        epoch.positions.update({Partition(*place): position for place, position in positions.items()})

    def process(self, poll: Poll, commit: Commit) -> None:
        """One SQL transaction for the poll; without records, a look whether the tables were made anew."""
        self._epoch = poll.epoch
        try:
            if not poll.batches:
                self.writer.check()
                return
            self.writer.write(poll.batches)
        except (Moved, Away) as reason:
            raise Aborted(str(reason)) from reason
        metrics.LAST_COMMIT.labels(PROJECTOR_GROUP).set_to_current_time()

    def drop(self) -> None:
        """Whoever has the partitions now may have written meanwhile."""
        self.writer.forget()

    def close(self) -> None:
        """The worker stops."""
        self._feed.stop()
        self.writer.close()

    def _content(self, revision: int) -> Content:
        """The content of a revision; waited for where it has not been read yet."""
        while True:
            content = self._feed.get(revision, PATIENCE)
            if content is not None:
                return content
            if self._epoch is not None and not self._epoch.alive:
                raise Aborted(f"partitions went while waiting for catalog revision {revision}")
            log.warning("projector: waiting for catalog revision %d", revision)


class Follower:
    """Projects every partition in this process, without a group: for a rebuild while no projector runs."""

    def __init__(self, settings: Settings, writer: Writer, admin: AdminClient) -> None:
        self._writer = writer
        self._admin = admin
        self._places = every(settings)
        self._source = Source(settings, f"{PROJECTOR_GROUP}-rebuild")
        self._records = settings.poll_records
        self._taken = False

    def step(self) -> None:
        """Write what one poll gives.  Raises Away, KafkaException."""
        if not self._taken:
            found = self._writer.take(starts(self._admin, self._places))
            self._source.assign({Partition(*place): position for place, position in found.items()})
            self._taken = True
        batches = self._source.poll(self._records)
        if not batches:
            return
        try:
            self._writer.write(batches)
        except Moved:
            self._taken = False  # a projector has begun: its positions count

    def close(self) -> None:
        """Stop reading."""
        self._source.close()


def every(settings: Settings) -> list[Partition]:
    """Every partition that is projected.  Raises KafkaException."""
    return [Partition(topic, number) for topic in TOPICS for number in range(width(settings))]
