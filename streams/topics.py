"""khaywe's topics on the broker: made as the registry in `config.topics` says, and compared with it.

Configuration can be brought in line; the number of partitions is only told, because more of them would
move keys away from their rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from config.errors import KhayweError
from config.settings import Settings
from config.topics import CUSTOMER_EVENTS, Topic, raw, raw_topic, registry
from streams.batches import Partition
from streams.names import CUSTOMERS_GROUP
from streams.positions import GroupPositions

TIMEOUT = 30.0  # seconds for one question to the brokers, and for a change to come through
PAUSE = 0.02  # seconds between two questions whether it has
HINT = "`khaywe topics list` shows how it must be"

# What is kept, and for how long: kept longer than said would break a promise too, that of erasure.
EXACT = ("cleanup.policy", "retention.ms")
AT_LEAST = "max.message.bytes"


class TopicError(KhayweError):
    """The brokers refuse to make a topic."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is on the brokers."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a topic, and what to do about it."""

    topic: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.what}; {self.todo}"


def create(settings: Settings) -> list[str]:
    """Make what is missing of the registry, and the raw topic of the source that is there from the start.

    Names of what was made.  Raises TopicError, KafkaException.
    """
    return _create((*registry(settings), raw(raw_topic("custom"), settings)), settings)


def alter(settings: Settings) -> list[str]:
    """Bring the configuration of topics that exist in line; names of what changed.  Raises TopicError."""
    differing = _all_differing(settings)
    if not differing:
        return []
    changes = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in config.items()
            ],
        )
        for name, config in differing.items()
    ]
    admin = _admin(settings)
    for resource, answer in admin.incremental_alter_configs(changes).items():
        try:
            answer.result()
        except KafkaException as error:
            what = f"topic {resource.name} cannot be altered: {error.args[0].str()}"
            raise TopicError(what, _hint(error)) from error
    _await(lambda: not _all_differing(settings))
    return list(differing)


def ensure_raw_topic(settings: Settings, name: str) -> bool:
    """Make a source's raw topic where there is none; whether it was made.  The operator's own stays."""
    return bool(_create((raw(name, settings),), settings))


def find(settings: Settings, names: list[str]) -> dict[str, Found]:
    """Those of the named topics that exist, by name.  Raises KafkaException."""
    admin = _admin(settings)
    present = admin.list_topics(timeout=TIMEOUT).topics
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names if name in present]
    if not resources:
        return {}
    found = {}
    for resource, answer in admin.describe_configs(resources, request_timeout=TIMEOUT).items():
        partitions = present[resource.name].partitions
        found[resource.name] = Found(
            resource.name,
            len(partitions),
            min(len(partition.replicas) for partition in partitions.values()),
            {name: str(entry.value) for name, entry in answer.result().items()},
        )
    return found


def check(settings: Settings) -> list[Problem]:
    """Everything in which the brokers differ from the registry; empty where all is well.

    Raises KafkaException.
    """
    wanted = registry(settings)
    found = find(settings, [topic.name for topic in wanted])
    log = found.get(CUSTOMER_EVENTS)
    spare = 0 if log is None else len(retired(settings, log.partitions))
    return [
        problem for topic in wanted for problem in _problems(topic, found.get(topic.name), settings, spare)
    ]


def retired(settings: Settings, partitions: int) -> set[int]:
    """Which of so many partitions customers have left, having fewer now.  Raises KafkaException."""
    asker = GroupPositions(settings, CUSTOMERS_GROUP, stable=True)
    try:
        left = asker.retired(Partition(CUSTOMER_EVENTS, number) for number in range(partitions))
    finally:
        asker.close()
    return {place.partition for place in left}


def width(settings: Settings) -> int:
    """Partitions of customer-events, those that customers have left too.  Raises KafkaException."""
    return len(_admin(settings).list_topics(timeout=TIMEOUT).topics[CUSTOMER_EVENTS].partitions)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient(settings.kafka_config())


def _create(topics: tuple[Topic, ...], settings: Settings) -> list[str]:
    admin = _admin(settings)
    present = admin.list_topics(timeout=TIMEOUT).topics
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions(settings),
            replication_factor=settings.replication,
            config=topic.config() | _acknowledged(settings),
        )
        for topic in topics
        if topic.name not in present
    ]
    if not new:
        return []
    created = []
    for name, answer in admin.create_topics(new, operation_timeout=TIMEOUT).items():
        try:
            answer.result()
        except KafkaException as error:
            # Another process made it in between.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicError(
                    f"topic {name} cannot be made: {error.args[0].str()}", _hint(error)
                ) from error
        else:
            created.append(name)
    wanted = {topic.name: topic.partitions(settings) for topic in topics}
    # What another process made may have as many partitions as it likes.
    await_topics(admin, {each.topic: wanted[each.topic] if each.topic in created else 1 for each in new})
    return created


def await_topics(admin: AdminClient, partitions: dict[str, int]) -> None:
    """Wait until topics just made can be used, each with so many partitions.  Raises TopicError."""

    def usable() -> bool:
        found = admin.list_topics(timeout=TIMEOUT).topics
        return all(
            name in found
            and len(found[name].partitions) >= number
            and all(partition.leader >= 0 for partition in found[name].partitions.values())
            for name, number in partitions.items()
        )

    _await(usable)


def _await(condition: Callable[[], bool]) -> None:
    """The controller answers before the brokers know."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise TopicError(f"the brokers have not heard of the change in {TIMEOUT:g} seconds", HINT)
        time.sleep(PAUSE)


def _hint(error: KafkaException) -> str:
    match error.args[0].code():
        case KafkaError.INVALID_REPLICATION_FACTOR:
            return "set KHAYWE_REPLICATION to no more than there are brokers"
        case KafkaError.TOPIC_AUTHORIZATION_FAILED | KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return "let Kafka's administrator do it: `khaywe topics list` shows how it must be"
        case _:
            return HINT


def _problems(topic: Topic, found: Found | None, settings: Settings, spare: int) -> list[Problem]:
    """`spare`: partitions that are there and not used, as customers have left them."""
    if found is None:
        return [Problem(topic.name, "is missing", "khaywe topics create")]
    problems = []
    partitions, spare = topic.partitions(settings), spare if topic.with_customers else 0
    used = found.partitions - spare
    if used != partitions:
        todo = "delete it and run khaywe topics create: its records are lost"
        if topic.with_customers:
            todo = f"KHAYWE_PARTITIONS={used}, if all others have so many too; else {todo}"
        what = f"has {used} partitions, not {partitions}"
        if spare:
            what = f"has {found.partitions} partitions, customers in {used}, not {partitions} of them"
        problems.append(Problem(topic.name, what, todo))
    if found.replication < settings.replication:
        what = f"has {found.replication} replicas, not {settings.replication}"
        problems.append(Problem(topic.name, what, "reassign its partitions, or lower KHAYWE_REPLICATION"))
    for name, value in _differing(topic, found).items():
        what = f"has {name}={found.config[name]}, not {value}"
        problems.append(Problem(topic.name, what, "khaywe topics create --alter"))
    return problems


def _acknowledged(settings: Settings) -> dict[str, str]:
    """With three replicas or more a record counts as written once two have it: one broker may be lost."""
    return {"min.insync.replicas": "2"} if settings.replication >= 3 else {}


def _all_differing(settings: Settings) -> dict[str, dict[str, str]]:
    """Of topics that exist and differ from the registry: configuration as it must be, by name."""
    wanted = registry(settings)
    found = find(settings, [topic.name for topic in wanted])
    differing = {topic.name: _differing(topic, found[topic.name]) for topic in wanted if topic.name in found}
    return {name: config for name, config in differing.items() if config}


def _differing(topic: Topic, found: Found) -> dict[str, str]:
    """Configuration that must be another: what it must be."""
    return {
        name: value
        for name, value in topic.config().items()
        if (name in EXACT and found.config[name] != value)
        or (name == AT_LEAST and int(found.config[name]) < int(value))
    }
