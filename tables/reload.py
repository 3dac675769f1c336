"""Brings the customer table back from snapshots: rows into the changelog, positions into the consumer group.

Both stand in one Kafka transaction, so that a crash leaves either what was there or all of the snapshots.
Workers notice by themselves: their stores follow the changelog.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from config import topics
from config.settings import Settings
from tables import snapshots
from tables.errors import TableError
from tables.restore import ASK_SECONDS, bounds, topic_id
from tables.snapshots import Header

#: A restore must end in it; brokers allow no longer one unless told so (transaction.max.timeout.ms).
TRANSACTION_SECONDS = 900
#: Seconds a call of the transactional API may take before it is made again.
CALL_SECONDS = 10.0
#: Seconds between two questions of a kind.
PAUSE_SECONDS = 0.05

_NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one partition.  `position` is where customer-events will be read on."""

    path: Path
    header: Header
    position: int
    end: int
    #: There are records in the changelog: those of keys that the snapshot lacks are deleted.
    replaces: bool


def chosen(paths: Sequence[Path]) -> dict[int, Path]:
    """The snapshots that files and directories name, by partition: of a directory the newest of each.

    Raises TableError.
    """
    found: dict[int, Path] = {}
    for path in paths:
        files = [path]
        if path.is_dir():
            nested = [folder for folder in path.iterdir() if folder.is_dir() and folder.name.isdigit()]
            groups = [sorted(folder.glob(f"*{snapshots.SUFFIX}")) for folder in (path, *nested)]
            files = [group[-1] for group in groups if group]
            if not files:
                raise TableError(
                    f"{path} holds no snapshot", hint="`khaywe snapshot list` shows what there is"
                )
        for file in files:
            partition = snapshots.read_header(file).partition
            if partition in found:
                raise TableError(f"{found[partition]} and {file} are both of partition {partition}")
            found[partition] = file
    return found


def producer_of(settings: Settings) -> Producer:
    """The one producer of restores: whatever an earlier one has left open is aborted by the broker.

    Raises KafkaException.
    """
    producer = Producer(
        settings.producer_config(**{
            "transactional.id": "khaywe-restore",
            "transaction.timeout.ms": TRANSACTION_SECONDS * 1000,
            "linger.ms": 20,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 256 << 10,
            "message.max.bytes": 4 << 20,
        })
    )  # fmt: skip
    producer.init_transactions(CALL_SECONDS)
    return producer


def plan(settings: Settings, group: str, paths: Sequence[Path], force: bool) -> list[Step]:
    """Look at everything before anything is changed; waits for transactions that are open.

    Raises TableError for what cannot be restored, or only with `force`; KafkaException.
    """
    config = settings.kafka_config()
    files = chosen(paths)
    present = AdminClient(config).list_topics(timeout=ASK_SECONDS).topics
    for topic in (topics.CHANGELOG, topics.CUSTOMER_EVENTS):
        if topic not in present:
            raise TableError(f"there is no topic {topic}", hint="run `khaywe topics create` first")
    require_nobody(config, group)
    count = min(len(present[topics.CHANGELOG].partitions), settings.partitions)
    headers = {partition: snapshots.read_header(file) for partition, file in files.items()}
    for partition, header in headers.items():
        if header.partitions != count:
            raise TableError(
                f"{files[partition]} was written with {header.partitions} partitions, topic "
                f"{topics.CHANGELOG} has {count}: customers would be in the wrong ones",
                hint=f"set KHAYWE_PARTITIONS={header.partitions}, and make the topics with it",
            )
    missing = sorted(set(range(count)) - files.keys())
    if missing and not force:
        raise TableError(
            f"there is no snapshot of partition {', '.join(map(str, missing))}",
            hint="with --force those are left as they are",
        )
    log = topic_id(config, topics.CUSTOMER_EVENTS)
    return [_step(config, files[partition], headers[partition], log, force) for partition in sorted(files)]


def _step(config: dict[str, Any], path: Path, header: Header, log: str, force: bool) -> Step:
    place = f"{topics.CHANGELOG}/{header.partition}"
    replaces = next(_keys(config, header.partition), None) is not None
    if replaces and not force:
        raise TableError(
            f"{place} has records", hint="with --force they are replaced by what the snapshot holds"
        )
    start, end = _asked(lambda: bounds(config, topics.CUSTOMER_EVENTS, header.partition))
    position, why = header.position, ""
    if header.log != log:
        position, why = start, "is another topic than the one the snapshot was taken of"
    elif not start <= position <= end:
        position, why = min(max(start, position), end), f"holds {start} to {end}"
    if why and not force:
        raise TableError(
            f"{topics.CUSTOMER_EVENTS}/{header.partition} {why}; {path} stands at {header.position}",
            hint=f"with --force it is read on from {position}: events that are not there stay lost",
        )
    return Step(path, header, position, end, replaces)


def require_nobody(config: dict[str, Any], group: str) -> None:
    """Raises TableError where workers run."""
    admin = AdminClient(config)  # must live until it has answered
    try:
        members = _asked(
            lambda: (
                admin.describe_consumer_groups([group], request_timeout=ASK_SECONDS)[group].result().members
            )
        )
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise
        return
    if members:
        where = ", ".join(sorted({member.host.strip("/") for member in members}))
        raise TableError(
            f"{len(members)} workers run ({where})",
            hint="stop all workers, then restore, then start them again",
        )


def _asked(ask: Callable[[], T]) -> T:
    """An answer of brokers that may have just started, or just heard of a topic.  Raises KafkaException."""
    deadline = time.monotonic() + ASK_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)


def load(
    settings: Settings, producer: Producer, group: str, steps: Sequence[Step], progress: Callable[[int], None]
) -> None:
    """Write what the snapshots hold and their positions, all or nothing; `progress` is told entries written.

    Raises TableError, KafkaException; nothing was changed then.
    """
    config = settings.kafka_config()
    positions = [TopicPartition(topics.CUSTOMER_EVENTS, s.header.partition, s.position) for s in steps]
    member = Consumer({**config, "group.id": group})  # never joins: its metadata are those of an empty group
    producer.begin_transaction()
    try:
        for step in steps:
            _send(config, producer, step, progress)
        metadata = member.consumer_group_metadata()
        _patiently(lambda: producer.send_offsets_to_transaction(positions, metadata, CALL_SECONDS))
        # Positions are unstable from here on: a worker that starts now waits until they are committed.
        require_nobody(config, group)
        _patiently(lambda: producer.commit_transaction(CALL_SECONDS))
    except BaseException:
        # Where it cannot be aborted now, the broker does it, or the next restore.
        with suppress(KafkaException):
            producer.abort_transaction(CALL_SECONDS)
        raise
    finally:
        member.close()


def _patiently(call: Callable[[], object]) -> None:
    while True:
        try:
            call()
            return
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def _send(config: dict[str, Any], producer: Producer, step: Step, progress: Callable[[int], None]) -> None:
    partition = step.header.partition
    gone = set(_keys(config, partition)) if step.replaces else set()
    for block in snapshots.read(step.path):
        for key, value in block:
            _produce(producer, partition, key, value)
        gone.difference_update(key for key, _ in block)
        progress(len(block))
    for key in gone:
        _produce(producer, partition, key, None)


def _produce(producer: Producer, partition: int, key: bytes, value: bytes | None) -> None:
    while True:
        try:
            producer.produce(topics.CHANGELOG, value, key, partition)
            return
        except BufferError:
            producer.poll(0.1)


def _keys(config: dict[str, Any], partition: int) -> Iterator[bytes]:
    """Keys of the changelog's committed records, deleted ones and repetitions too."""
    start, end = _asked(lambda: bounds(config, topics.CHANGELOG, partition))
    consumer = Consumer({
        **config,
        "group.id": "khaywe-restore",  # librdkafka wants a name; nothing joins or commits
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
    })  # fmt: skip
    try:
        consumer.assign([TopicPartition(topics.CHANGELOG, partition, start)])
        position = start
        while position < end:
            for message in consumer.consume(10_000, 0.1):
                error = message.error()
                if error is None:
                    yield message.key() or b""
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                position = (message.offset() or 0) + (error is None)
    finally:
        consumer.close()
