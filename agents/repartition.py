"""Another number of partitions for customers: the table moved, then topics grown that are too small.

docs/decisions/0006-repartition.md has more partitions, 0007-fewer-partitions.md fewer.

The steps, with a kill test for each gap between two of them; run again, each does what is still to be done:

1. `looked`: no worker runs, nothing waits in customer-events, all partitions stand at the same tick and
   revision, the topics have the old number of partitions or the new one.
2. `held`: a transaction holds the groups' positions as they are, and says which partitions are left.  A
   worker that starts now waits until it ends.  With a last look that there is none.
3. `fenced`: the changelog has the new number, if that is more than it had.  From here on no worker starts,
   with either number: topics that do not all have KHAYWE_PARTITIONS partitions in use are refused.
4. `sent`: in that transaction, what moves is in its new place and deleted in the old.
5. `moved`: the transaction is committed.
6. `grown`: all other topics have the new number or more, customer-events last.
7. `verified`: every entry lies where its customer does; customers and points are as many as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from agents.repartition_state import Placing, Put, Sums, Uneven, misplaced
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.row import RowFormatError
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP, NORMALIZER_GROUP, PROJECTOR_GROUP
from streams.positions import RETIRED, GroupPositions
from streams.topics import TIMEOUT, await_topics, retired
from tables import reload
from tables.errors import TableError
from tables.restore import bounds

#: Seconds a call of the transactional API may take before it is made again.
CALL_SECONDS = 10.0
#: Seconds without a word from Kafka after which reading is given up.
SILENT_SECONDS = 60.0
#: Seconds in which Kafka must take what is written.
FLUSH_SECONDS = 600.0
#: More than this is a slip of the finger: each costs every topic a log.
MOST_PARTITIONS = 4_096

GROUPS = (NORMALIZER_GROUP, CUSTOMERS_GROUP, PROJECTOR_GROUP)


class Refused(KhayweError):
    """Nothing was changed, or what was can be gone on with; the hint says how."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: `moved` counts changelog records written, 0 where there was nothing left to move."""

    before: int
    after: int
    sums: Sums
    moved: int


def no_step(name: str) -> None:
    """Nobody watches the steps."""


def repartition(
    settings: Settings,
    partitions: int,
    behind: Callable[[], int],
    progress: Callable[[str, float | None], None],
    on_step: Callable[[str], None] = no_step,
) -> Done:
    """Give customers `partitions` partitions.  `behind`: records of customer-events that no fold has read.

    Raises Refused, TableError, KafkaException; run again, it goes on.
    """
    progress("Looking at the topics", None)
    admin = AdminClient(settings.kafka_config())
    there = _look(settings, admin, partitions)
    producer = reload.producer_of(settings)  # aborts what a run that was killed has left open
    before = there - len(retired(settings, there))
    _require_rest(settings, behind)
    logs = len(admin.list_topics(timeout=TIMEOUT).topics[topics.CHANGELOG].partitions)
    try:
        _table(settings, logs, partitions, progress).common(before)
    except Uneven as error:
        raise Refused(
            f"partitions differ: {error}",
            hint="run workers until `khaywe lag` shows nothing behind, stop them, then run this again",
        ) from None
    on_step("looked")
    sums, moved = _move(settings, admin, producer, there, before, partitions, behind, progress, on_step)
    on_step("moved")
    progress("Growing the other topics", None)
    names = [each.name for each in topics.registry(settings) if each.with_customers]
    _grow(admin, [*(n for n in names if n != topics.CUSTOMER_EVENTS), topics.CUSTOMER_EVENTS], partitions)
    on_step("grown")
    progress("Counting again", None)
    _verify(settings, max(there, partitions), partitions, sums)
    on_step("verified")
    return Done(before, partitions, sums, moved)


def _look(settings: Settings, admin: AdminClient, partitions: int) -> int:
    """How many partitions there are.  Raises Refused."""
    present = admin.list_topics(timeout=TIMEOUT).topics
    names = [each.name for each in topics.registry(settings) if each.with_customers]
    missing = [name for name in names if name not in present]
    if missing:
        raise Refused(f"there is no topic {missing[0]}", hint="run `khaywe topics create` first")
    counts = {name: len(present[name].partitions) for name in names}
    there = counts[topics.CUSTOMER_EVENTS]
    if partitions > MOST_PARTITIONS:
        raise Refused(f"{partitions:,} partitions are more than {MOST_PARTITIONS:,}", hint="choose fewer")
    wanted = max(there, partitions)  # Kafka takes none of a topic away
    odd = {name: count for name, count in counts.items() if count not in (there, wanted)}
    if odd:
        name, count = next(iter(odd.items()))
        raise Refused(
            f"topic {name} has {count} partitions, neither {there} nor {wanted}",
            hint=f"an earlier change went to {count}: finish that with `khaywe repartition {count}` first",
        )
    return there


def _require_rest(settings: Settings, behind: Callable[[], int]) -> None:
    """Raises Refused where workers run, or the fold has not read all."""
    for group in GROUPS:
        try:
            reload.require_nobody(settings.kafka_config(), group)
        except TableError as error:
            raise Refused(str(error), hint="stop all workers, then run this again") from None
    left = behind()
    if left:
        raise Refused(
            f"{left:,} records of {topics.CUSTOMER_EVENTS} wait to be folded",
            hint="run `khaywe worker --agents customers` until `khaywe lag` shows the customers at 0, "
            "stop it, then run this again",
        )


def _grow(admin: AdminClient, names: list[str], partitions: int) -> None:
    """One after the other, those that have fewer.  Raises Refused."""
    for name in names:
        if len(admin.list_topics(timeout=TIMEOUT).topics[name].partitions) >= partitions:
            continue
        try:
            admin.create_partitions([NewPartitions(name, partitions)])[name].result()
        except KafkaException as error:
            raise Refused(
                f"topic {name} gets no more partitions: {error.args[0].str()}",
                hint="let Kafka's administrator allow it, then run this again: it goes on",
            ) from error
        await_topics(admin, {name: partitions})


def _move(
    settings: Settings,
    admin: AdminClient,
    producer: Producer,
    there: int,
    before: int,
    partitions: int,
    behind: Callable[[], int],
    progress: Callable[[str, float | None], None],
    on_step: Callable[[str], None],
) -> tuple[Sums, int]:
    producer.begin_transaction()
    try:
        _hold(settings, producer, CUSTOMERS_GROUP, topics.CUSTOMER_EVENTS, there, partitions)
        _hold(settings, producer, NORMALIZER_GROUP, topics.CUSTOMER_COMMANDS, there, there)
        _require_rest(settings, behind)
        on_step("held")
        _grow(admin, [topics.CHANGELOG], partitions)
        on_step("fenced")
        # As of now: what this transaction writes stands behind it, and is not read.
        logs = max(there, partitions)
        ends = {n: bounds(settings.kafka_config(), topics.CHANGELOG, n) for n in range(logs)}
        placing, moved = _table(settings, logs, partitions, progress), 0
        for n, place in ends.items():
            progress("Moving customers", n / logs)
            moved += _send(producer, placing.move(n, read(settings, n, *place)))
        moved += _send(producer, placing.rest(before))
        if producer.flush(FLUSH_SECONDS):
            raise Refused(
                "Kafka does not take what is written", hint="`khaywe status` says whether it answers"
            )
        on_step("sent")
        while True:
            try:
                producer.commit_transaction(CALL_SECONDS)
                return placing.sums, moved
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
    except BaseException:
        # Where it cannot be aborted now, the broker does it, or the next run.
        with suppress(KafkaException):
            producer.abort_transaction(CALL_SECONDS)
        raise


def _table(
    settings: Settings, logs: int, partitions: int, progress: Callable[[str, float | None], None]
) -> Placing:
    """The table as it is committed, in the partitions that are there.  Raises Refused for rows unread."""
    placing = Placing(partitions)
    for n in range(logs):
        progress("Reading the customer table", n / logs)
        try:
            placing.look(n, read(settings, n, *bounds(settings.kafka_config(), topics.CHANGELOG, n)))
        except RowFormatError as error:
            raise Refused(
                f"{topics.CHANGELOG}/{n}: {error}",
                hint="run the version of khaywe that wrote it, or a newer one",
            ) from None
    return placing


def _hold(settings: Settings, producer: Producer, group: str, topic: str, there: int, used: int) -> None:
    """A group's positions, as they are, in the transaction: whoever takes over waits until it ends.

    Those from `used` on are marked as left, with a position where they had none.
    """
    asker = GroupPositions(settings, group, stable=True)
    try:
        held = asker.of(Partition(topic, n) for n in range(there))
    finally:
        asker.close()
    for n in range(used, there):
        held.setdefault(Partition(topic, n), bounds(settings.kafka_config(), topic, n)[1])
    if not held:
        return
    positions = [
        TopicPartition(*place, offset, RETIRED if place.partition >= used else "")
        for place, offset in held.items()
    ]
    member = Consumer(settings.kafka_config(**{"group.id": group}))  # never joins
    try:
        producer.send_offsets_to_transaction(positions, member.consumer_group_metadata(), CALL_SECONDS)
    finally:
        member.close()


def _send(producer: Producer, puts: Iterator[Put]) -> int:
    sent, until = 0, time.monotonic() + SILENT_SECONDS
    for partition, key, value in puts:
        while True:
            try:
                producer.produce(topics.CHANGELOG, value, key, partition)
                break
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:  # a broker that has not heard of the new partitions
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION or time.monotonic() > until:
                    raise
                producer.list_topics(topics.CHANGELOG, TIMEOUT)
        sent += 1
    return sent


def read(settings: Settings, partition: int, start: int, end: int) -> dict[bytes, bytes]:
    """A partition of the changelog from start to end, committed and compacted.  Raises KafkaException."""
    found: dict[bytes, bytes] = {}
    consumer = Consumer(
        settings.kafka_config(**{
            "group.id": "khaywe-repartition",  # librdkafka wants a name; nothing joins or commits
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        })
    )  # fmt: skip
    try:
        consumer.assign([TopicPartition(topics.CHANGELOG, partition, start)])
        position, heard = start, time.monotonic()
        while position < end:
            for message in consumer.consume(10_000, 0.1):
                heard = time.monotonic()
                position = max(position, _take(message, found, end))
            if time.monotonic() - heard > SILENT_SECONDS:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    finally:
        consumer.close()
    return found


def _take(message: Any, found: dict[bytes, bytes], end: int) -> int:
    """Keep a record that stands before the end; the position behind it."""
    error = message.error()
    offset = message.offset() or 0
    if error is None:
        key, value = message.key() or b"", message.value()
        if offset < end and value is not None:
            found[key] = value
        elif offset < end:
            found.pop(key, None)
        return offset + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return offset
    if error.retriable() or error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
        return 0
    raise KafkaException(error)


def _verify(settings: Settings, logs: int, partitions: int, sums: Sums) -> None:
    """Raises Refused where something is lost, doubled or in the wrong place."""
    found = Sums()
    wrong = 0
    for n in range(logs):
        entries = read(settings, n, *bounds(settings.kafka_config(), topics.CHANGELOG, n))
        found.add(entries)
        wrong += misplaced(n, entries, partitions)
    same = all(
        getattr(found, name) == getattr(sums, name)
        for name in ("customers", "points", "debt", "side", "owed")
    )
    if wrong or not same:
        raise Refused(
            f"{wrong:,} entries are in the wrong partition; there were {sums.shown()}, "
            f"there are {found.shown()}",
            hint="start no worker; restore the last snapshots, and report this: it is a defect of khaywe",
        )
