"""The tables of the projection: PostgreSQL schema `projection`, which has a version of its own.

Nothing here is anybody's original: all of it comes from Kafka's topics and can be made anew from them.
`recorded_at` is Kafka's time of the record, all other times are the fold's; `partition` is that of the
customer's topics; `log_offset` is the record's offset there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    inspect,
    text,
)
from sqlalchemy.schema import CreateSchema

from config.errors import KhayweError

NAME = "projection"
VERSION = 2
#: Statements that bring version n to n + 1, by n.
UPGRADES: dict[int, Sequence[str]] = {
    1: (
        f"create index badges_of_level on {NAME}.badges (number, level, customer_id)",
        f"create index customers_not_open on {NAME}.customers (customer_id) where state <> 'open'",
        f"create index figures_of_number on {NAME}.figures (measure, number, day)",
        f"create index missions_active on {NAME}.missions (number) where status = 'active'",
    ),
}
#: One creation at a time, however many processes start: any number nobody else uses.
SCHEMA_LOCK = 7_310_424_011

EVERY = -1
EVENT_DAYS = 90  # that events are kept, the newest day included
HISTORY_DAYS = 400  # thirteen months: a year can be compared with the one before

metadata = MetaData(schema=NAME)
_TIME = DateTime(timezone=True)
_ID = Uuid(as_uuid=False)
SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")
#: Rings of the row, by day; in their smallest units.
USAGE = (
    "calls", "seconds", "data_kb", "sms", "app_login", "feature_use", "content_view", "web_login",
    "app_other", "qoe",
)  # fmt: skip


def _head() -> list[Column[object]]:
    """What every effect's row has."""
    return [
        Column("customer_id", Text, primary_key=True),
        Column("occurred_at", _TIME, primary_key=True),
        Column("effect_id", _ID, primary_key=True),
        Column("day", Date, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("cause_source", Text, nullable=False),
        Column("cause_event", Text, nullable=False),
        *_place(),
        Column("log_offset", BigInteger, nullable=False),
    ]


def _place() -> list[Column[object]]:
    return [Column("partition", SmallInteger, nullable=False), Column("recorded_at", _TIME, nullable=False)]


meta = Table(
    "meta", metadata,
    Column("version", Integer, nullable=False),
    Column("founded_at", _TIME),  # None: nobody has looked at the erased and the snapshots yet
)  # fmt: skip

#: Where the projection stands.  Of customer-events also: the present revision, the newest time seen, and
#: whether nobody can be known to the fold who is not known here.
offsets = Table(
    "offsets", metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("topic_id", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("moved_at", _TIME, nullable=False, server_default=text("now()")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("newest", _TIME),
    Column("whole", Boolean, nullable=False, server_default=text("true")),
)  # fmt: skip

customers = Table(
    "customers", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # open, ended, linked
    Column("linked_to", Text, index=True),
    Column("opened_at", _TIME),  # of the activation after an end
    Column("first_seen", _TIME, nullable=False),
    Column("last_seen", _TIME, nullable=False),
    Column("recent", LargeBinary, nullable=False),  # hashes of the last usage events, oldest first
    *_place(),
    Index("customers_not_open", "customer_id", postgresql_where=text("state <> 'open'")),
)  # fmt: skip

#: By erasures: effects recorded until then are nobody's.  `number` grows with each change.
erased = Table(
    "erased", metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("recorded_at", _TIME, nullable=False),
    Column("number", BigInteger, nullable=False, index=True),
)  # fmt: skip

#: By the log: whoever is erased at this place of it; by id until the record of the erasure is read too.
closed = Table(
    "closed", metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("partition", SmallInteger, nullable=False, index=True),  # EVERY: nobody knows which
    Column("customer_id", Text),
)  # fmt: skip

scores = Table(
    "scores", metadata,
    Column("customer_id", Text, primary_key=True),
    *(Column(name, Double, nullable=False) for name in SCORES),
    Column("as_of", _TIME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    *_place(),
)  # fmt: skip

score_history = Table(
    "score_history", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    *(Column(name, Double, nullable=False) for name in SCORES),
    Column("as_of", _TIME, nullable=False),
    *_place(),
)  # fmt: skip

missions = Table(
    "missions", metadata,
    Column("mission_id", _ID, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("status", Text, nullable=False),  # active, or how it ended
    Column("reason", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("target", Double, nullable=False),
    Column("tenths", SmallInteger, nullable=False),
    Column("started_at", _TIME, nullable=False),
    Column("ends_at", _TIME, nullable=False),
    Column("changed_at", _TIME, nullable=False),
    Column("day", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    *_place(),
    Index("missions_of", "customer_id", "started_at"),
    Index("missions_newest", "started_at", "mission_id"),
    Index("missions_active", "number", postgresql_where=text("status = 'active'")),
)  # fmt: skip

mission_history = Table(
    "mission_history", metadata,
    *_head(),
    Column("mission_id", _ID, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("progress", Double, nullable=False),
    Column("target", Double, nullable=False),
    Column("tenths", SmallInteger, nullable=False),
)  # fmt: skip

#: Levels awarded, an award each.  Those that only a snapshot tells have the reason `snapshot`, and its time.
badges = Table(
    "badges", metadata,
    *_head(),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("level_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("badges_of_level", "number", "level", "customer_id"),
)  # fmt: skip

tiers = Table(
    "tiers", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("level", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("since", _TIME, nullable=False),
    *_place(),
)  # fmt: skip

tier_history = Table(
    "tier_history", metadata,
    *_head(),
    Column("level", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("reason", Text, nullable=False),
)  # fmt: skip

ledger = Table(
    "ledger", metadata,
    *_head(),
    Column("grant_id", _ID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("offer", Integer, nullable=False),
    Column("balance", BigInteger, nullable=False),
    Column("month", Integer, nullable=False),
    Column("reverses", _ID),
    Column("repeat", SmallInteger, nullable=False),
    Index("ledger_newest", "occurred_at", "effect_id"),
    Index(
        "ledger_offers", "occurred_at", "effect_id",
        postgresql_where=text("kind = 'offer' and repeat = 0"),
    ),
    Index("ledger_repeats", "grant_id", postgresql_where=text("repeat > 0")),
    Index("ledger_reversals", "reverses", postgresql_where=text("reverses is not null")),
)  # fmt: skip

balances = Table(
    "balances", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("balance", BigInteger, nullable=False, index=True),
    Column("as_of", _TIME, nullable=False),
    *_place(),
)  # fmt: skip

#: What the operator's systems answered for an offer, the first answer: grant_fulfilled or grant_failed.
answers = Table(
    "answers", metadata,
    Column("grant_id", _ID, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("occurred_at", _TIME, nullable=False),
    *_place(),
    Index("answers_of", "customer_id"),
)  # fmt: skip

predictions = Table(
    "predictions", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("set", Text, primary_key=True),
    Column("as_of", _TIME, nullable=False),
    Column("models", JSON, nullable=False),
    Column("feature_set", Integer, nullable=False),
    Column("features", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    *_place(),
)  # fmt: skip

decisions = Table(
    "decisions", metadata,
    *_head(),
    Column("kind", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("control", Boolean, nullable=False),
    Column("conditions", JSON, nullable=False),
    Index("decisions_newest", "occurred_at", "effect_id"),
)  # fmt: skip

trigger_history = Table(
    "trigger_history", metadata,
    *_head(),
    Column("trigger_id", _ID, nullable=False),
    Column("campaign", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("cost", BigInteger, nullable=False),
)  # fmt: skip

#: One row a trigger.  `body` is the record that told of it; None where only what came of it is known.
triggers = Table(
    "triggers", metadata,
    Column("trigger_id", _ID, primary_key=True),
    Column("customer_id", Text, nullable=False, index=True),
    Column("campaign", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("arm", Text, nullable=False),
    Column("cost", BigInteger),
    Column("triggered_at", _TIME),
    Column("delivered_at", _TIME),
    Column("converted_at", _TIME),
    Column("converted_by", Text),
    Column("body", JSON),
    Column("day", Date),  # of `triggered_at`
    *_place(),
    Index("triggers_of_campaign", "campaign", "triggered_at"),
    Index("triggers_newest", "triggered_at", "trigger_id"),
)  # fmt: skip

events = Table(
    "events", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("event_type", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("units", BigInteger, nullable=False),  # smallest ones: minor units of money
    Column("occurred_at", _TIME, nullable=False),
    Column("received_at", _TIME),
    Column("attributes", JSON, nullable=False),
    Column("day", Date, nullable=False),
    *_place(),
    Column("log_offset", BigInteger, nullable=False),
    Index("events_of", "customer_id", "occurred_at"),
    Index("events_newest", "occurred_at", "partition", "log_offset"),
)  # fmt: skip

usage = Table(
    "usage", metadata,
    Column("customer_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in USAGE),
    Column("partition", SmallInteger, nullable=False),
)  # fmt: skip

#: What happened in a day, of everybody: sums, by partition so that two projectors never wait for each other.
figures = Table(
    "figures", metadata,
    Column("day", Date, primary_key=True),
    Column("partition", SmallInteger, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("detail", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Index("figures_of_number", "measure", "number", "day"),
)  # fmt: skip

#: Days that rows are kept, by table; all others for ever.
KEPT = {
    events: EVENT_DAYS,
    usage: HISTORY_DAYS,
    score_history: HISTORY_DAYS,
    missions: HISTORY_DAYS,
    mission_history: HISTORY_DAYS,
    decisions: HISTORY_DAYS,
    trigger_history: HISTORY_DAYS,
    triggers: HISTORY_DAYS,
}
for _table in KEPT:
    Index(f"{_table.name}_days", _table.c.day, postgresql_using="brin")

#: Tables with rows of a customer that come of effects, and those that come of the log.
OF_EFFECTS = (
    scores, score_history, missions, mission_history, badges, tiers, tier_history, ledger, balances,
    predictions, decisions, trigger_history, triggers,
)  # fmt: skip
OF_LOG = (events, usage, answers, customers)


class WrongVersion(KhayweError):
    """The tables are not of this version."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the projection's tables have version {found}, this khaywe reads up to {VERSION}",
            hint="use the version of khaywe that made them, or a newer one",
        )


def ensure(engine: Engine) -> None:
    """Make the schema, or bring it to this version; several processes may call it at once.

    Raises WrongVersion, SQLAlchemyError.
    """
    with engine.connect() as connection:
        found = (
            connection.execute(text(f"select version from {NAME}.meta")).scalar_one_or_none()
            if inspect(connection).has_table("meta", schema=NAME)
            else None
        )
    if found == VERSION:
        return
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
        connection.execute(CreateSchema(NAME, if_not_exists=True))
        if not inspect(connection).has_table("meta", schema=NAME):
            metadata.create_all(connection)
            connection.execute(text(f"create sequence {NAME}.erased_number"))
            connection.execute(meta.insert().values(version=VERSION))
        version = connection.execute(text(f"select version from {NAME}.meta")).scalar_one()
        if version > VERSION:
            raise WrongVersion(version)
        for step in range(version, VERSION):
            for statement in UPGRADES[step]:
                connection.execute(text(statement))
            connection.execute(meta.update().values(version=step + 1))
