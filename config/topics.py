"""The registry of every topic: key, partitions, retention, compaction.

Topics marked `with_customers` have KHAYWE_PARTITIONS partitions and are placed by the customer's id, so
that one worker owns all of a customer.  Raw topics are the operator's: one a data source, any number of
partitions.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Settings

DAY_MS = 86_400_000

CUSTOMER_EVENTS = "customer-events"
CUSTOMER_COMMANDS = "customer-commands"
CATALOG = "catalog"
CHANGELOG = "customers-changelog"
BEHAVIOR_SCORES = "behavior-scores"
MISSION_PROGRESS = "mission-progress"
BADGE_AWARDS = "badge-awards"
REWARD_GRANTS = "reward-grants"
DECISIONS = "decisions"
CAMPAIGN_TRIGGERS = "campaign-triggers"
PREDICTIONS = "predictions"
COMMAND_RESULTS = "command-results"
ERASURES = "erasures"
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic must be.  `retention_days` None: kept for ever; `ours`: workers write it."""

    name: str
    key: str
    about: str
    with_customers: bool = True
    compacted: bool = False
    retention_days: int | None = None
    max_message_bytes: int = 1 << 20
    ours: bool = True

    def partitions(self, settings: Settings) -> int:
        """Number of partitions."""
        return settings.partitions if self.with_customers else 1

    def config(self) -> dict[str, str]:
        """Kafka's topic configuration."""
        retention = -1 if self.retention_days is None else self.retention_days * DAY_MS
        config = {
            "cleanup.policy": "compact" if self.compacted else "delete",
            "retention.ms": str(-1 if self.compacted else retention),
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.ours:
            # A worker's clock that is wrong must not stop it (Kafka refuses what is an hour ahead), nor let
            # Kafka remove what looks older than the retention.
            config["message.timestamp.type"] = "LogAppendTime"
        if self.compacted:
            config["min.cleanable.dirty.ratio"] = "0.3"
        return config


def raw_topic(source: str) -> str:
    """Name of the topic a data source is read from where its connection names no other."""
    return f"raw_{source}_events"


def registry(settings: Settings) -> tuple[Topic, ...]:
    """Every topic that khaywe itself needs, in the order of the data's way."""
    days = settings.retention
    return (
        Topic(CUSTOMER_EVENTS, "customer_id", "events, commands, ticks, markers", retention_days=days),
        Topic(CUSTOMER_COMMANDS, "customer_id", "commands, before they are checked", retention_days=days),
        Topic(CATALOG, "revision", "every catalog revision under its number", with_customers=False),
        Topic(CHANGELOG, "row key", "the customer table: rows and side table", compacted=True),
        Topic(BEHAVIOR_SCORES, "customer_id", "the five scores of each customer", compacted=True),
        Topic(MISSION_PROGRESS, "customer_id", "missions given, advanced, ended", retention_days=days),
        Topic(BADGE_AWARDS, "customer_id", "badges awarded", retention_days=days),
        Topic(REWARD_GRANTS, "customer_id", "what the operator must hand out", retention_days=days),
        Topic(DECISIONS, "customer_id", "the reason of every decision", retention_days=days),
        Topic(CAMPAIGN_TRIGGERS, "customer_id", "campaign messages to send", retention_days=days),
        Topic(PREDICTIONS, "customer_id and model", "the last prediction of each model", compacted=True),
        Topic(COMMAND_RESULTS, "command_id", "what became of each command", retention_days=days),
        Topic(ERASURES, "hashed customer_id", "erased customers, obeyed by rebuilds", compacted=True),
        Topic(
            DEAD_LETTERS, "source topic", "records that could not be used, with the reason",
            with_customers=False, retention_days=days, max_message_bytes=2 << 20,
        ),
    )  # fmt: skip


def raw(name: str, settings: Settings) -> Topic:
    """A raw topic as khaywe creates it; the operator's own may differ."""
    return Topic(
        name, "any", "raw records of a data source", retention_days=settings.retention, ours=False
    )  # fmt: skip
