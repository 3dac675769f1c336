"""The same on replay: the recorded log through the same fold, and its effects beside what was published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice, takewhile

from confluent_kafka import Consumer, KafkaException, TopicPartition

from agents.published import Compared, Comparison
from agents.recorded import Contents, Offsets, Reader, Recorded, held, recorded
from agents.refolding import BATCH, Stretch, plan
from agents.tail import ASK_SECONDS
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP
from streams.positions import GroupPositions

#: Effects that stand in the partition of their customer, in the order of its events.
BY_CUSTOMER = (
    topics.BEHAVIOR_SCORES,
    topics.MISSION_PROGRESS,
    topics.BADGE_AWARDS,
    topics.REWARD_GRANTS,
    topics.CAMPAIGN_TRIGGERS,
    topics.DECISIONS,
)
#: Effects under other keys.
SHARED = (topics.COMMAND_RESULTS, topics.ERASURES)
#: Records that wait for their effects at most before the fold goes on.
AHEAD = 50_000
#: What was published so many seconds before a snapshot is older than it, however clocks differ.
SKEW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it, by topic."""

    stretches: list[Stretch]
    topics: dict[str, Compared]


class Replay:
    """One run, partition by partition."""

    def __init__(self, settings: Settings, contents: Contents, since: str | None, until: str | None) -> None:
        """Of the log's time [since, until), None: from the first record, to the last that is committed.

        Raises KhayweError, KafkaException.
        """
        self._settings, self._contents, self._until = settings, contents, until
        self._since = since or ""
        names = [*BY_CUSTOMER, *SHARED]
        # In this order: what was there before the positions belongs to them, and all of theirs is read.
        self._surely = held(settings, names)
        self._stretches = plan(settings, since, _committed(settings))
        self._published = held(settings, names, committed=False)
        self._compacted = {topic.name: topic.compacted for topic in topics.registry(settings)}
        self._complete = since is None and all(each.snapshot is None for each in self._stretches)
        #: Offsets that are to be read, at most.
        self.total = sum(stretch.end - stretch.position for stretch in self._stretches)

    def run(self, progress: Callable[[int], None]) -> Replayed:
        """Fold and compare; `progress` is told how many more offsets are read.

        Raises KhayweError, KafkaException.
        """
        shared = {topic: self._comparison(topic, *self._places(topic)) for topic in SHARED}
        found = dict.fromkeys((*BY_CUSTOMER, *SHARED), Compared())
        for stretch in self._stretches:
            for topic, compared in self._partition(stretch, shared, progress).items():
                found[topic] += compared
        with closing(
            Reader(self._settings, {p: self._published[p] for t in SHARED for p in self._places(t)})
        ) as rest:
            _read_on(rest, shared, to_end=True)
        whole = self._complete and self._until is None
        for topic, comparison in shared.items():
            # Records of other times stand among those of the range.
            ends = {place.partition: self._surely[place][1] if whole else 0 for place in self._places(topic)}
            found[topic] = comparison.settle(whole, ends)
        return Replayed(self._stretches, found)

    def _places(self, topic: str) -> list[Partition]:
        return [place for place in self._published if place.topic == topic]

    def _comparison(self, topic: str, *places: Partition) -> Comparison:
        return Comparison(
            topic, self._compacted[topic], any(self._published[place][0] > 0 for place in places)
        )

    def _partition(
        self, stretch: Stretch, shared: dict[str, Comparison], progress: Callable[[int], None]
    ) -> dict[str, Compared]:
        places = [Partition(topic, stretch.partition) for topic in BY_CUSTOMER]
        comparisons = {place.topic: self._comparison(place.topic, place) for place in places}
        every = shared | comparisons
        refold = stretch.refold(self._contents, self._settings.cache_rows)
        offsets = stretch.position, stretch.end
        with (
            closing(Reader(self._settings, self._wanted(stretch, places))) as published,
            closing(recorded(self._settings, stretch.partition, offsets, progress)) as records,
        ):
            for counts, batch in self._batches(records):
                if counts:
                    if not stretch.records:
                        stretch.begin = batch[0].offset
                    stretch.records += len(batch)
                    stretch.end = batch[-1].offset + 1
                for outcome in refold.fold([record.value for record in batch]):
                    for effect in outcome.effects:
                        if effect.topic in every:
                            every[effect.topic].expect(effect, counts)
                _catch_up(published, comparisons)
            _read_on(published, comparisons, to_end=self._until is None)
        first = self._complete
        return {
            place.topic: comparisons[place.topic].settle(
                first, {place.partition: self._surely[place][1]} if self._until is None else None
            )
            for place in places
        }

    def _batches(self, records: Iterator[Recorded]) -> Iterator[tuple[bool, list[Recorded]]]:
        """Records to be folded at once, and whether they are of the range."""
        until = self._until or "~"
        within = takewhile(lambda record: record.at < until, records)
        for counts, group in groupby(within, lambda record: record.at >= self._since):
            while batch := list(islice(group, BATCH)):
                yield counts, batch

    def _wanted(self, stretch: Stretch, places: list[Partition]) -> dict[Partition, Offsets]:
        """What of the effects' topics may be of the stretch."""
        wanted = {place: self._published[place] for place in places}
        if stretch.snapshot is None:
            return wanted
        at = datetime.fromisoformat(stretch.created_at).timestamp() - SKEW_SECONDS
        asker = Consumer(self._settings.kafka_config(**{"group.id": "khaywe-recorded"}))
        try:
            asked = [TopicPartition(*place, int(at * 1000)) for place in places]
            for answer in asker.offsets_for_times(asked, ASK_SECONDS):
                if answer.error is not None:
                    raise KafkaException(answer.error)
                place = Partition(answer.topic, answer.partition)
                begin, end = wanted[place]
                wanted[place] = (max(begin, answer.offset) if answer.offset >= 0 else end, end)
        finally:
            asker.close()
        return wanted


def _committed(settings: Settings) -> dict[int, int]:
    """Where workers stand in customer-events, by partition: the effects of all before are published."""
    positions = GroupPositions(settings, CUSTOMERS_GROUP, stable=True)
    try:
        found = positions.of(held(settings, [topics.CUSTOMER_EVENTS]))
    finally:
        positions.close()
    if not found:
        raise KhayweError(
            f"no worker has folded {topics.CUSTOMER_EVENTS} yet: there is nothing to compare with",
            hint="start one: `khaywe worker`",
        )
    return {place.partition: position for place, position in found.items()}


def _catch_up(published: Reader, comparisons: dict[str, Comparison]) -> None:
    """Read what was published until nothing waits for it, or too much of it waits itself."""
    while not published.done:
        waiting = [comparison.waiting for comparison in comparisons.values()]
        if not any(told for told, _ in waiting) or sum(ahead for _, ahead in waiting) > AHEAD:
            return
        for message in published.read():
            comparisons[str(message.topic())].publish(message)


def _read_on(published: Reader, comparisons: dict[str, Comparison], to_end: bool) -> None:
    """All is told: read what was published to its end, or as long as something waits for it."""
    while not published.done and (to_end or any(each.waiting[0] for each in comparisons.values())):
        for message in published.read():
            comparison = comparisons[str(message.topic())]
            if to_end or comparison.waiting[0]:
                comparison.publish(message)
