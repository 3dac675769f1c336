"""Delivers to one subscription: reads its topics, tells its receiver, keeps how far it is.

The steps, with a test that kills between them (tests/outwards/test_notifier_killed.py):

1. `read`: records behind the kept positions; those that are asked for become events, at most WINDOW of them
   until a position moves.
2. `delivered`: the receiver has answered 2xx to one.  Events of a customer go one after the other, those of
   different customers in LANES lanes at once.
3. `kept`: a position moved, in one SQL transaction with sides of scores, tries and dead letters.  It never
   passes an event that is neither delivered nor a dead letter; what was delivered above it comes again after
   a kill, with the same id.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import zlib
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Message

from catalog.leases import Lease, LeaseLost
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from outwards import events
from outwards.events import Event
from outwards.ledger import Changed, Dead, Ledger, Look, News, Standing, Trying
from outwards.reading import Reader
from outwards.sending import Sender
from outwards.trying import Policy, Verdict
from streams import metrics
from streams.batches import Partition

log = logging.getLogger(__name__)

#: Records read at a time, and events from the kept positions on: in memory, and again after a kill.
RECORDS, WINDOW = 500, 2_000
#: Events under way at once.
LANES = 8
#: Seconds between two looks for records, and between two times that progress is kept.
LOOK_SECONDS, KEEP_SECONDS = 0.1, 1.0
#: Dead letters sent once more at a time.
LETTERS = 100


class Suspended(Exception):
    """The receiver took nothing for too long."""


class _Due(NamedTuple):
    place: Partition
    offset: int
    event: Event


class Delivery:
    """One subscription of this process, in its event loop."""

    def __init__(
        self, settings: Settings, ledger: Ledger, look: Look, lease: Lease, policy: Policy, alive: float,
        on_step: Callable[[str], None],
    ) -> None:  # fmt: skip
        """`alive`: seconds after which the lease is renewed though nothing has happened."""
        self._settings, self._ledger, self._policy, self._on_step = settings, ledger, policy, on_step
        self._id, self._version, self._lease, self._alive = look.id, look.version, lease, alive
        self._news, self._keeping = News(), asyncio.Lock()
        self._alive_at = 0.0
        #: What is kept no longer fits what was done: nothing more may be kept.
        self._broken = False
        self._kept: dict[Partition, int] = {}
        self._lanes: list[asyncio.Queue[_Due]] = [asyncio.Queue() for _ in range(LANES)]
        #: By partition: offsets of events that are not done; of all events from the kept position on; how far
        #: it was read.
        self._open: dict[Partition, set[int]] = {}
        self._ahead: dict[Partition, list[int]] = {}
        self._ends: dict[Partition, int] = {}
        #: Changes of sides that are not kept yet, in the order of the log.
        self._sides: list[tuple[Partition, int, str, bool]] = []
        self._last_success: datetime | None = None
        self.again = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled.  Raises Changed, LeaseLost, Suspended, KhayweError, KafkaException."""
        standing = await asyncio.to_thread(self._ledger.open, self._id, self._version)
        self._last_success, self._tries = standing.delivered_at, standing.tries
        reader = await asyncio.to_thread(Reader, self._settings, standing.positions)
        sender = Sender(self._settings, standing.callback, standing.secret, LANES + 1)
        jobs = [self._forward(reader, standing), self._keep_on(reader), self._once_more(sender)]
        work = [
            asyncio.create_task(job) for job in (*jobs, *(self._lane(each, sender) for each in self._lanes))
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            await next(iter(done))
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await sender.close()
            await asyncio.to_thread(reader.close)
            with suppress(Changed, LeaseLost, KhayweError):  # then it is told again
                await self._keep()
            with suppress(KeyError):
                metrics.NOTIFICATION_LAG.remove(self._id)

    # -- forward through the topics -------------------------------------------------------------------

    async def _forward(self, reader: Reader, standing: Standing) -> None:
        while True:
            if self._is_full():
                await self._keep()
                if self._is_full():
                    await asyncio.sleep(LOOK_SECONDS)
                continue
            found, ends = reader.poll(RECORDS)
            if not ends:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            due = await self._due(found, standing)
            # From here on without a pause: no position may be kept that does not know of these.
            self._ends |= ends
            for each in due:
                self._open.setdefault(each.place, set()).add(each.offset)
                self._ahead.setdefault(each.place, []).append(each.offset)
                lane = zlib.crc32(each.event.customer_id.encode()) % LANES
                self._lanes[lane].put_nowait(each)
            self._on_step("read")

    def _is_full(self) -> bool:
        return sum(map(len, self._ahead.values())) >= WINDOW

    async def _due(self, found: dict[Partition, list[Message]], standing: Standing) -> list[_Due]:
        """What is to be told of a batch: in the order of each partition, and of Kafka's times among them."""
        crossing = standing.interest.crossing
        above: set[str] = set()
        if crossing is not None:
            customers = {
                _key(message)
                for place, messages in found.items()
                if place.topic == topics.BEHAVIOR_SCORES
                for message in messages
            }
            async with self._keeping:  # so that what is not in PostgreSQL yet is in `_sides`
                above = await asyncio.to_thread(self._ledger.above, self._id, sorted(customers))
            for _, _, customer, is_above in self._sides:
                (above.add if is_above else above.discard)(customer)
        lines = []
        for place, messages in found.items():
            line = []
            for message in messages:
                event = self._event(place, message, standing, above)
                if event is not None:
                    line.append((message.timestamp()[1], _Due(place, int(message.offset() or 0), event)))
            lines.append(line)
        return [due for _, due in heapq.merge(*lines, key=lambda each: each[0])]

    def _event(self, place: Partition, message: Message, standing: Standing, above: set[str]) -> Event | None:
        value, offset, crossing = message.value(), int(message.offset() or 0), standing.interest.crossing
        try:
            if place.topic == topics.ERASURES:
                self._news.erased.add(bytes.fromhex(_key(message)))
                return None
            if crossing is None:
                return events.of_record(standing.interest, place.topic, value) if value is not None else None
            if value is None:  # erased
                self._move(place, offset, _key(message), False, above)
                return None
            seen = events.see(crossing, value)
            was_above = seen.customer_id in above
            self._move(place, offset, seen.customer_id, seen.above, above)
            if offset < standing.told_from[place]:
                return None
            return events.of_crossing(crossing, seen, was_above)
        except ValueError as error:
            log.warning(
                "subscription %s: %s/%d offset %d cannot be read and is passed over: %s",
                self._id, *place, offset, error,
            )  # fmt: skip
            return None

    def _move(self, place: Partition, offset: int, customer: str, is_above: bool, above: set[str]) -> None:
        if is_above != (customer in above):
            (above.add if is_above else above.discard)(customer)
            self._sides.append((place, offset, customer, is_above))

    # -- one event ------------------------------------------------------------------------------------

    async def _lane(self, lane: asyncio.Queue[_Due], sender: Sender) -> None:
        while True:
            due = await lane.get()
            suspend = await self._tell(due.event, sender)
            self._open[due.place].discard(due.offset)
            if suspend:
                self._news.suspend = True
                raise Suspended(f"nothing was taken for {self._policy.hours:g} hours")

    async def _tell(self, event: Event, sender: Sender) -> bool:
        """Until it is delivered or a dead letter; whether nobody is there at all."""
        while True:
            trying = self._tries.get(event.id)
            if trying is not None:
                await asyncio.sleep(max(0.0, (trying.next_at - datetime.now(UTC)).total_seconds()))
            outcome = await sender.send(event.id, event.body)
            now = datetime.now(UTC)
            if outcome.delivered:
                self._on_step("delivered")
                self._last_success = self._news.delivered_at = now
                self._news.delivered, self._news.error = self._news.delivered + 1, None
                metrics.NOTIFICATIONS.labels("delivered").inc()
                self._over(event)
                return False
            metrics.NOTIFICATIONS.labels("failed").inc()
            tries = 1 if trying is None else trying.tries + 1
            first_at = now if trying is None else trying.first_at
            pause = timedelta(seconds=self._policy.pause(tries))
            trying = Trying(tries, first_at, now + pause, outcome.why)
            self._news.error = (outcome.why, now)
            verdict = self._policy.verdict(tries, first_at, now, self._last_success, outcome.refused)
            if verdict is Verdict.AGAIN:
                if tries == 1:
                    log.info("subscription %s: %s; goes on trying", self._id, outcome.why)
                self._tries[event.id] = self._news.tries[event.id] = trying
                continue
            metrics.NOTIFICATIONS.labels("dead").inc()
            log.warning(
                "subscription %s: event %s is given up after %d tries: %s", self._id, event.id, tries,
                outcome.why,
            )  # fmt: skip
            self._news.dead.append(Dead(event, trying))
            self._over(event)
            return verdict is Verdict.SUSPEND

    def _over(self, event: Event) -> None:
        if self._tries.pop(event.id, None) is not None:
            self._news.tries[event.id] = None

    # -- beside it ------------------------------------------------------------------------------------

    async def _keep_on(self, reader: Reader) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            metrics.NOTIFICATION_LAG.labels(self._id).set(reader.lag())
            await self._keep()

    async def _keep(self) -> None:
        """Keep what is done, whoever stops waiting: half of it kept would be a loss."""
        await asyncio.shield(asyncio.ensure_future(self._keep_now()))

    async def _keep_now(self) -> None:
        async with self._keeping:
            if self._broken:
                return
            news, self._news = self._news, News()
            for place, end in self._ends.items():
                position = min(self._open.get(place, ()), default=end)
                if position != self._kept.get(place):
                    news.positions[place] = position
            self._sides, sides = [], self._sides
            for side in sides:
                place, offset, customer, is_above = side
                if offset < news.positions.get(place, 0):
                    news.above[customer] = is_above
                else:
                    self._sides.append(side)
            now = asyncio.get_running_loop().time()
            if not news and now - self._alive_at < self._alive:
                return
            try:
                await asyncio.to_thread(self._ledger.keep, self._id, self._lease, news)
            except BaseException:
                self._broken = True
                raise
            self._kept |= news.positions
            for place, position in news.positions.items():
                ahead = self._ahead.get(place, [])
                self._ahead[place] = ahead[bisect_left(ahead, position) :]
            self._alive_at = now
            self._on_step("kept")

    async def _once_more(self, sender: Sender) -> None:
        """Dead letters that somebody asked for: one try each."""
        while True:
            await self.again.wait()
            self.again.clear()
            for letter in await asyncio.to_thread(self._ledger.letters, self._id, LETTERS):
                outcome = await sender.send(letter.event_id, letter.body)
                if outcome.delivered:
                    self._last_success = self._news.delivered_at = datetime.now(UTC)
                    self._news.delivered += 1
                    self._news.letters_done.append(letter.id)
                else:
                    self._news.letters_failed[letter.id] = outcome.why
                metrics.NOTIFICATIONS.labels("delivered" if outcome.delivered else "failed").inc()
            await self._keep()


def _key(message: Message) -> str:
    return (message.key() or b"").decode(errors="replace")
