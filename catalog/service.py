"""Editing the catalog: every edit is a new revision, and its outbox row stands in the same SQL transaction.

What is published to the topic `catalog` comes from the outbox alone: an edit that was committed is published,
by whoever looks next, and one that was not never is.  Publishing a row twice is harmless: key and content are
the same.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
from pydantic import ValidationError
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from catalog.content import Content, SourceContent, decode, encode
from catalog.database import connect, migrate
from catalog.draft import Draft, seed
from catalog.game_rows import laid, store, stored
from catalog.models import DataSourceRow, OutboxRow, RevisionRow
from catalog.schema import DataSource
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.content import Decisions, Predictions, ScoringPolicy, currency_decimals
from loyalty.game import Game

#: One editor at a time: revision numbers are consecutive and each holds the whole content.
EDIT_LOCK = 7_310_424_002
OUTBOX_LOCK = 7_310_424_003
PUBLISH_SECONDS = 10.0
#: Bytes of a revision: the topic takes records of 1 MiB.
LARGEST_REVISION = 900 << 10
#: SQLSTATE of a table that is not there.
UNDEFINED_TABLE = "42P01"


class CatalogError(KhayweError):
    """The catalog refuses an edit."""


class NoSuch(CatalogError):
    """What is named is not in the catalog."""


class Taken(CatalogError):
    """A name or a topic is another's already."""


class Unfit(CatalogError):
    """What was given cannot be saved; `faults` are its fields, each with what is wrong."""

    def __init__(self, what: str, faults: list[tuple[str, str]]) -> None:
        lines = "".join(f"\n  {place or 'all of it'}: {message}" for place, message in faults)
        super().__init__(f"{what} cannot be saved:{lines}")
        self.faults = faults


class Away(CatalogError):
    """PostgreSQL does not answer."""


class Producer(Protocol):
    """What is needed of a Kafka producer."""

    def produce(
        self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]
    ) -> None: ...

    def flush(self, timeout: float) -> int: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that says something else than the catalog."""

    setting: str
    here: object
    catalog: object

    def __str__(self) -> str:
        return f"{self.setting} is {self.here!r} here, {self.catalog!r} in the catalog"


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision without its content."""

    number: int
    created_at: datetime
    created_by: str
    note: str


def decisions_of(settings: Settings) -> Decisions:
    """What the settings put into the first revision."""
    return Decisions(
        timezone=settings.timezone,
        currency=settings.currency,
        currency_decimals=currency_decimals(settings.currency),
        grace_seconds=settings.grace,
        control_share=settings.control_share,
        control_salt=settings.control_salt,
    )


def check_settings(content: Content, settings: Settings) -> list[Difference]:
    """Settings that were set here and differ from the revision, which counts."""
    pairs = {
        "timezone": content.decisions.timezone,
        "currency": content.decisions.currency,
        "grace": content.decisions.grace_seconds,
        "control_share": content.decisions.control_share,
        "control_salt": content.decisions.control_salt,
    }
    return [
        Difference(f"KHAYWE_{name.upper()}", getattr(settings, name), there)
        for name, there in pairs.items()
        if name in settings.model_fields_set and getattr(settings, name) != there
    ]


#: The source that is there from the start: CustomerEvent's own field names.
CUSTOM = {
    "name": "custom",
    "source_type": "custom",
    "connection_config": {"kafka_topic": topics.raw_topic("custom")},
    "event_mapping": {
        "customer_id_field": "customer_id",
        "event_type_field": "event_type",
        "value_field": "value",
        "timestamp_field": "occurred_at",
        "event_id_field": "event_id",
        "attributes_field": "attributes",
    },
}


def parse_source(given: dict[str, Any]) -> DataSource:
    """Check a data source as a person wrote it.  Raises Unfit."""
    what = f"data source {str(given.get('name', ''))[:100]!r}"
    try:
        return DataSource.model_validate(given)
    except ValidationError as error:
        raise Unfit(what, faults_of(error)) from None


def content_of(source: DataSource) -> SourceContent:
    """A checked data source as workers see it."""
    return SourceContent(
        source.name,
        source.source_type,
        source.event_mapping.model_dump(mode="json", exclude_defaults=True),
        source.connection_config.model_dump(mode="json", exclude_defaults=True),
        source.is_active,
    )


def faults_of(error: ValidationError) -> list[tuple[str, str]]:
    """Each fault, of many the first hundred: the field and what is wrong with it, which may quote it."""
    return [
        (".".join(str(step)[:100] for step in fault["loc"]), fault["msg"].removeprefix("Value error, ")[:999])
        for fault in error.errors()[:100]
    ]


class CatalogService:
    """The catalog in PostgreSQL."""

    def __init__(self, database_url: str, settings: Settings, author: str | None = None) -> None:
        self._engine = connect(database_url)
        self._settings = settings
        self._author = author or getpass.getuser()

    def by(self, author: str) -> CatalogService:
        """The same catalog, with edits by somebody else."""
        other = copy(self)
        other._author = author
        return other

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    @contextmanager
    def _locked(self, lock: int) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": lock})
                yield session
        except (OperationalError, ProgrammingError) as error:
            raise _told(error) from None

    def migrate(self) -> None:
        """Bring the schema up to date."""
        try:
            migrate(self._engine)
        except OperationalError as error:
            raise _told(error) from None

    def ensure_first_revision(self, game: Draft | None = None) -> int:
        """The last revision's number.

        Where there is none, settings, default policy, `custom` and a game (None: the seed) make 1.
        """
        self.migrate()
        with self._locked(EDIT_LOCK) as session:
            last = _newest(session)
            if last == 0:
                session.add(_row(parse_source(CUSTOM)))
                decisions = decisions_of(self._settings)
                store(session, laid(session, game or seed(), decisions.currency_decimals))
                return self._revise(session, "first revision", decisions, ScoringPolicy(), Predictions())
            return last

    def latest(self) -> Content:
        """The newest revision."""
        with self._reading() as session:
            return _content(session)

    def revision(self, number: int) -> Content:
        """One revision.  Raises CatalogError that says which there are."""
        with self._reading() as session:
            row = session.get(RevisionRow, number)
            if row is None:
                raise NoSuch(
                    f"there is no revision {number}", hint=f"there are 1 to {_content(session).revision}"
                )
            return decode(msgspec.json.encode(row.content))

    def revisions(self, below: int | None, limit: int) -> list[Revision]:
        """The newest revisions (of those below a number), the newest first."""
        query = select(RevisionRow.number, RevisionRow.created_at, RevisionRow.created_by, RevisionRow.note)
        if below is not None:
            query = query.where(RevisionRow.number < below)
        with self._reading() as session:
            rows = session.execute(query.order_by(RevisionRow.number.desc()).limit(limit)).all()
        return [Revision(*row) for row in rows]

    def author(self, number: int) -> str:
        """Who made a revision."""
        with self._reading() as session:
            row = session.get(RevisionRow, number)
            return row.created_by if row is not None else ""

    def sources(self) -> list[SourceContent]:
        """All data sources, by name."""
        return self.latest().sources

    def source(self, name: str) -> SourceContent:
        """One data source.  Raises CatalogError that names those there are."""
        content = self.latest()
        found = content.source(name)
        if found is None:
            known = ", ".join(source.name for source in content.sources)
            raise NoSuch(f"there is no data source {name!r}", hint=f"there are: {known}")
        return found

    def add_sources(self, given: list[dict[str, Any]]) -> int:
        """Add data sources, all or none, as one revision; returns its number."""
        parsed = [parse_source(source) for source in given]
        with self._locked(EDIT_LOCK) as session:
            for source in parsed:
                if session.scalar(select(DataSourceRow).where(DataSourceRow.name == source.name)) is not None:
                    raise Taken(
                        f"there is a data source {source.name!r} already",
                        hint="`khaywe source update` changes it",
                    )
                session.add(_row(source))
            self._check_topics(session)
            return self._revise(session, "added " + ", ".join(source.name for source in parsed))

    def update_sources(self, given: list[dict[str, Any]]) -> int:
        """Replace data sources by what is given, all or none, as one revision; returns its number.

        One that does not say `is_active` stays on or off as it was.  Where nothing changes, that is the
        newest revision's number.
        """
        parsed = [parse_source(source) for source in given]
        changed = False
        with self._locked(EDIT_LOCK) as session:
            for source in parsed:
                row, new = _find(session, source.name), _row(source)
                row.source_type, row.connection_config = new.source_type, new.connection_config
                row.event_mapping = new.event_mapping
                if "is_active" in source.model_fields_set:
                    row.is_active = source.is_active
                changed = changed or session.is_modified(row)
            if not changed:
                return _newest(session)
            self._check_topics(session)
            return self._revise(session, "changed " + ", ".join(source.name for source in parsed))

    def switch_source(self, name: str, active: bool) -> int:
        """Switch a data source on or off; returns the revision that says so."""
        with self._locked(EDIT_LOCK) as session:
            row = _find(session, name)
            if row.is_active == active:
                return _newest(session)
            row.is_active = active
            return self._revise(session, f"{'enabled' if active else 'disabled'} {name}")

    def remove_source(self, name: str) -> int:
        """Remove a data source; its topic stays.  Returns the revision without it."""
        if name == CUSTOM["name"]:
            raise Taken(f"{name} is there for good", hint="switch it off instead")
        with self._locked(EDIT_LOCK) as session:
            session.delete(_find(session, name))
            return self._revise(session, f"removed {name}")

    def draft_game(self, draft: Draft) -> Game:
        """The game as it would be with a draft loaded.  Raises DraftError."""
        with self._reading() as session:
            return laid(session, draft, _content(session).decisions.currency_decimals)

    def load_game(
        self,
        draft: Draft,
        note: str = "",
        policy: ScoringPolicy | None = None,
        since: int | None = None,
        predictions: Predictions | None = None,
    ) -> int:
        """Lay a draft over the game, and policy and predictions in place of the old, as one revision.

        Its number; where nothing changes, the newest one's.  `since`: only while that is the newest revision.
        Raises DraftError, Taken, ValueError that names a field of the policy.
        """
        with self._locked(EDIT_LOCK) as session:
            last = _content(session)
            if since not in (None, last.revision):
                raise Taken(f"revision {last.revision} was made meanwhile, after {since}")
            game = laid(session, draft, last.decisions.currency_decimals)
            policy, predictions = policy or last.policy, predictions or last.predictions
            if (game, policy, predictions) == (stored(session), last.policy, last.predictions):
                return last.revision
            store(session, game)
            note = note or "loaded " + ", ".join(Path(each).name for each in draft.files)
            return self._revise(session, note, policy=policy, predictions=predictions)

    def set_predictions(self, predictions: Predictions) -> int:
        """When predictions are asked for; returns the revision that says so."""
        with self._locked(EDIT_LOCK) as session:
            if predictions == _content(session).predictions:
                return _newest(session)
            return self._revise(session, "predictions", predictions=predictions)

    def _check_topics(self, session: Session) -> None:
        session.flush()
        ours = {topic.name for topic in topics.registry(self._settings)}
        readers: dict[str, str] = {}
        for row in session.scalars(select(DataSourceRow).order_by(DataSourceRow.id)):
            topic = row.connection_config.get("kafka_topic") or topics.raw_topic(row.name)
            if topic in ours:
                raise Taken(f"topic {topic} is khaywe's own; {row.name!r} cannot read it")
            if topic in readers:
                raise Taken(
                    f"topic {topic} is the data source {readers[topic]!r}'s; {row.name!r} cannot read it too"
                )
            readers[topic] = row.name

    def _revise(
        self,
        session: Session,
        note: str,
        decisions: Decisions | None = None,
        policy: ScoringPolicy | None = None,
        predictions: Predictions | None = None,
    ) -> int:
        """Write the next revision and its outbox row in this SQL transaction."""
        session.flush()
        if decisions is None or policy is None or predictions is None:
            last = _content(session)
            decisions, policy = decisions or last.decisions, policy or last.policy
            predictions = predictions or last.predictions
        policy.validate()
        number = _newest(session) + 1
        rows = session.scalars(select(DataSourceRow).order_by(DataSourceRow.name))
        content = Content(
            revision=number,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            decisions=decisions,
            policy=policy,
            game=stored(session),
            predictions=predictions,
            sources=[
                SourceContent(
                    row.name, row.source_type, row.event_mapping, row.connection_config, row.is_active
                )
                for row in rows
            ],
            note=note,
        )
        payload = encode(content)
        if len(payload) > LARGEST_REVISION:
            raise CatalogError(
                f"the catalog would have {len(payload):,} bytes, a revision has at most {LARGEST_REVISION:,}",
                hint="a long avro_schema can stand in a schema registry instead",
            )
        session.add(
            RevisionRow(
                number=number, content=msgspec.json.decode(payload), note=note, created_by=self._author
            )
        )
        session.add(OutboxRow(topic=topics.CATALOG, key=b"%d" % number, payload=payload))
        return number

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session:
                yield session
        except (OperationalError, ProgrammingError) as error:
            raise _told(error) from None

    def publish_again(self, producer: Producer) -> int:
        """Publish every revision, to a Kafka that has none.  Raises CatalogError as `publish_outbox`."""
        with self._locked(OUTBOX_LOCK) as session:
            session.execute(update(OutboxRow).values(published_at=None))
        return self.publish_outbox(producer)

    def publish_outbox(self, producer: Producer) -> int:
        """Publish what waits, in order; returns how many.  One process at a time, the others wait.

        Afterwards all that was committed before is on Kafka.  Raises CatalogError where Kafka does not take
        it; it waits on then.
        """
        with self._locked(OUTBOX_LOCK) as session:
            waiting = session.scalars(
                select(OutboxRow).where(OutboxRow.published_at.is_(None)).order_by(OutboxRow.id)
            ).all()
            failed: list[str] = []

            def delivered(error: Any, message: Any) -> None:
                if error is not None:
                    failed.append(error.str())

            for row in waiting:
                producer.produce(row.topic, row.payload, row.key, on_delivery=delivered)
            if waiting and (producer.flush(PUBLISH_SECONDS) or failed):
                raise CatalogError(
                    f"Kafka did not take the catalog's revision: {failed[0] if failed else 'no answer'}",
                    hint="it is kept and published by the next worker or command that reaches Kafka",
                )
            if waiting:
                session.execute(
                    update(OutboxRow)
                    .where(OutboxRow.id.in_([row.id for row in waiting]))
                    .values(published_at=func.now())
                )
            return len(waiting)


def _row(source: DataSource) -> DataSourceRow:
    content = content_of(source)
    return DataSourceRow(
        name=content.name,
        source_type=content.source_type,
        connection_config=content.connection_config,
        event_mapping=content.event_mapping,
        is_active=content.is_active,
    )


def _find(session: Session, name: str) -> DataSourceRow:
    row = session.scalar(select(DataSourceRow).where(DataSourceRow.name == name))
    if row is None:
        known = ", ".join(session.scalars(select(DataSourceRow.name).order_by(DataSourceRow.name)))
        raise NoSuch(f"there is no data source {name!r}", hint=f"there are: {known}")
    return row


def _content(session: Session) -> Content:
    row = session.scalar(select(RevisionRow).order_by(RevisionRow.number.desc()).limit(1))
    if row is None:
        raise _empty()
    return decode(msgspec.json.encode(row.content))


def _newest(session: Session) -> int:
    """Number of the newest revision, 0 where there is none."""
    return int(session.scalar(select(func.max(RevisionRow.number))) or 0)


def _empty() -> CatalogError:
    return CatalogError("the catalog is empty", hint="`khaywe source list` makes its first revision")


def _told(error: OperationalError | ProgrammingError) -> Exception:
    """A fault of PostgreSQL in words; what is a defect of ours stays what it is."""
    if getattr(error.orig, "pgcode", None) == UNDEFINED_TABLE:
        return _empty()
    if isinstance(error, ProgrammingError):
        return error
    reason = str(error.orig).strip().splitlines()[0]
    return Away(f"PostgreSQL does not answer: {reason}", hint="`khaywe status` says whether it runs")
