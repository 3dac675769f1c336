"""Writes what Kafka gave to PostgreSQL: one SQL transaction for a batch, and the positions move within it.

The steps, with a kill test for each gap between two of them (tests/projection):

1. `begun`: the transaction is open.
2. `moved`: the positions of all partitions in the batch went from where it begins to where it ends.  Had
   anybody else moved one of them, nothing is written: so a writer that was paused, or two at once, double
   nothing.
3. `copied`: the rows stand in temporary tables.
4. `merged`: they stand in the tables; erasures are done, old days are gone.
5. `committed`: PostgreSQL has decided.  Only now may anything in memory count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import psycopg2
from psycopg2.extras import execute_values
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.exc import ArgumentError, OperationalError

from config import topics
from config.errors import KhayweError
from loyalty.effects import digest
from loyalty.times import iso
from projection import log as log_
from projection import schema, told
from projection.eras import Contents, Eras
from projection.log import Log, Person
from projection.staging import Stage, make_stages

log = logging.getLogger(__name__)

#: What is read: all of these in the same partitions.
TOPICS = (topics.CUSTOMER_EVENTS, topics.ERASURES, *told.KINDS)
#: Milliseconds until PostgreSQL ends a transaction nobody goes on with: a process that was stopped within one
#: holds positions that its successor waits for.
IDLE_MS = 10_000
#: Effects are written under a shared lock, erasures under this one alone: no effect of an erased customer
#: slips in while nobody knows yet.  Any number nobody else uses.
ERASURE_LOCK = 7_310_424_012
#: One founding at a time, and how long it may read Kafka and snapshots without a word, in milliseconds.
FOUNDING_LOCK, FOUNDING_MS = 7_310_424_013, 600_000
#: Customers asked for at once.
PIECE = 10_000

_P = schema.NAME


class Moved(Exception):
    """The positions are not where the batch begins: nothing is written."""


class Away(KhayweError):
    """PostgreSQL does not answer."""

    def __init__(self, why: str) -> None:
        super().__init__(f"PostgreSQL does not answer: {why}", hint="`khaywe status` says whether it runs")


class Slice(Protocol):
    """Records of one partition between two positions, as `streams.batches.RecordBatch` has them."""

    @property
    def source(self) -> tuple[str, int]: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def records(self) -> Sequence[Any]: ...


class Start(NamedTuple):
    """What Kafka has of a partition: the topic's id, the first position that is still there."""

    topic_id: str
    low: int


def connect(url: str) -> Engine:
    """An engine for the projection.  Raises KhayweError for what is no URL."""
    options = f"-c idle_in_transaction_session_timeout={IDLE_MS} -c timezone=UTC -c synchronous_commit=on"
    try:
        return create_engine(
            url, pool_pre_ping=True, pool_size=2,
            connect_args={"connect_timeout": 5, "options": options},
        )  # fmt: skip
    except (ArgumentError, ImportError) as error:
        raise KhayweError(
            f"KHAYWE_DATABASE is no URL of PostgreSQL: {error}",
            hint="it looks like postgresql+psycopg2://user:password@host:5432/database",
        ) from None


def no_step(name: str) -> None:
    """Nobody watches the steps."""


class Writer:
    """One projector's way into the tables.  Used from one thread."""

    def __init__(self, url: str, contents: Contents, on_step: Callable[[str], None] = no_step) -> None:
        self._engine = connect(url)
        self._eras = Eras(contents)
        self._connection: Any = None
        self.on_step = on_step
        self._logs: dict[int, Log] = {}
        self._erased: dict[bytes, int] = {}  # hash -> recorded, ms
        self._erased_number = 0
        self._founded: datetime | None = None

    # -- positions ----------------------------------------------------------------------------------

    def take(self, starts: Mapping[tuple[str, int], Start]) -> dict[tuple[str, int], int]:
        """Positions of these partitions; those new here begin where Kafka's log does.

        Raises Away, WrongVersion; KhayweError where a topic is another than the one that was read.
        """
        self.forget()
        try:
            schema.ensure(self._engine)
            with self._cursor() as cursor:
                found = self._take(cursor, starts)
                self._connection.commit()
                return found
        except (psycopg2.OperationalError, psycopg2.InterfaceError, OperationalError) as error:
            self.forget()
            raise Away(_first_line(error)) from None

    def found(self, fill: Callable[[Any], None], again: bool = False) -> None:
        """Let `fill(cursor)` write the first rows, unless somebody has; `again`: empty everything before.

        Whoever writes meanwhile finds its positions moved.  Raises Away, WrongVersion and
        what `fill` raises.
        """
        self.forget()
        try:
            schema.ensure(self._engine)
            with self._cursor() as cursor:
                if not again:
                    cursor.execute(f"select founded_at from {_P}.meta")
                    if cursor.fetchone()[0] is not None:
                        return
                cursor.execute(f"set local idle_in_transaction_session_timeout = {FOUNDING_MS}")
                cursor.execute("select pg_advisory_xact_lock(%s)", (FOUNDING_LOCK,))
                cursor.execute(f"select founded_at from {_P}.meta")
                if again or cursor.fetchone()[0] is None:
                    cursor.execute(f"lock table {_P}.offsets in access exclusive mode")
                    names = ", ".join(
                        f"{_P}.{table.name}"
                        for table in schema.metadata.sorted_tables
                        if table is not schema.meta
                    )
                    cursor.execute(f"truncate {names}")
                    fill(cursor)
                    cursor.execute(f"update {_P}.meta set founded_at = now()")
                self._connection.commit()
        except (psycopg2.OperationalError, psycopg2.InterfaceError, OperationalError) as error:
            raise Away(_first_line(error)) from None
        finally:
            self.forget()

    def _take(self, cursor: Any, starts: Mapping[tuple[str, int], Start]) -> dict[tuple[str, int], int]:
        cursor.execute(f"select founded_at from {_P}.meta")
        self._founded = cursor.fetchone()[0]
        rows = [
            (*place, start.topic_id, start.low, start.low == 0) for place, start in sorted(starts.items())
        ]
        execute_values(
            cursor,
            f"insert into {_P}.offsets (topic, partition, topic_id, position, whole) values %s "
            "on conflict do nothing",
            rows,
        )
        cursor.execute(
            f"select topic, partition, topic_id, position, revision, newest, whole from {_P}.offsets"
        )
        positions: dict[tuple[str, int], int] = {}
        for topic, partition, topic_id, position, revision, newest, whole in cursor.fetchall():
            start = starts.get((topic, partition))
            if start is None:
                continue
            if topic_id != start.topic_id:
                raise KhayweError(
                    f"topic {topic} is another than the one that the projection was made of",
                    hint="`khaywe projection rebuild` makes it anew from the topics that are there",
                )
            if position < start.low:
                log.warning(
                    "projection: position %d of %s/%d is below the log's start %d: retention removed records "
                    "unread", position, topic, partition, start.low,
                )  # fmt: skip
                cursor.execute(
                    f"update {_P}.offsets set position = %s, whole = false "
                    "where topic = %s and partition = %s and position = %s",
                    (start.low, topic, partition, position),
                )
            positions[topic, partition] = max(position, start.low)
            if topic == topics.CUSTOMER_EVENTS:
                whole = whole and position >= start.low
                other = partition if whole else schema.EVERY
                cursor.execute(
                    f"select hash from {_P}.closed where partition in (%s, %s)", (partition, other)
                )
                closed = {bytes(hash_) for (hash_,) in cursor.fetchall()}
                self._logs[partition] = Log(revision, 0 if newest is None else _ms(newest), whole, closed)
        return positions

    def forget(self) -> None:
        """Give the connection up, and whatever was read over it."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None
        self._logs, self._erased, self._erased_number = {}, {}, 0

    def close(self) -> None:
        """Let go of PostgreSQL."""
        self.forget()
        self._engine.dispose()

    def _cursor(self) -> Any:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            cursor = self._connection.cursor()
            make_stages(cursor)
            self._connection.commit()
            return cursor
        return self._connection.cursor()

    def positions(self) -> dict[tuple[str, int], int]:
        """Where the tables stand, of every partition ever read.  Raises Away, WrongVersion."""
        try:
            schema.ensure(self._engine)
            with self._engine.connect() as connection:
                found = connection.execute(
                    select(schema.offsets.c.topic, schema.offsets.c.partition, schema.offsets.c.position)
                )
                return {(topic, partition): position for topic, partition, position in found}
        except OperationalError as error:
            raise Away(_first_line(error)) from None

    def check(self) -> None:
        """Raises Moved where the projection was made anew since the positions were taken; Away."""
        try:
            with self._cursor() as cursor:
                cursor.execute(f"select founded_at from {_P}.meta")
                found = cursor.fetchone()[0]
                self._connection.commit()
        except (psycopg2.OperationalError, psycopg2.InterfaceError, OperationalError) as error:
            self.forget()
            raise Away(_first_line(error)) from None
        if found != self._founded:
            raise Moved("the projection is being made anew")

    # -- batches ------------------------------------------------------------------------------------

    def write(self, slices: Sequence[Slice]) -> int:
        """Write a batch, all or nothing; returns how many records it had.

        Raises Moved and Away where nothing was written, or nobody knows: take the positions again.
        """
        logs = {part: Log(**_fields(each)) for part, each in self._logs.items()}
        reads, effects, erasures = [], [], []
        for each in slices:
            topic, partition = each.source
            if topic == topics.CUSTOMER_EVENTS:
                reads.append(log_.read(partition, each.records, logs[partition]))
            elif topic == topics.ERASURES:
                erasures += _erasures(each.records)
            else:
                effects.append(told.read(topic, partition, each.records))
        self._report(effects)
        self._eras.prepare(
            {revision for read in reads for revision in read.revisions}
            | {record.revision for each in effects for record in each.records}
        )
        erasures += [
            (digest(key), key.decode(), recorded)
            for each in effects
            if each.topic == topics.BEHAVIOR_SCORES
            for key, recorded in each.tombstones
        ]
        try:
            with self._cursor() as cursor:
                self._write(cursor, slices, reads, effects, erasures, logs)
                self._connection.commit()
        except (psycopg2.OperationalError, psycopg2.InterfaceError, OperationalError) as error:
            self.forget()
            raise Away(_first_line(error)) from None
        except BaseException:
            self.forget()
            raise
        self._logs = logs
        self.on_step("committed")
        return sum(len(each.records) for each in slices)

    def _write(
        self, cursor: Any, slices: Sequence[Slice], reads: list[log_.Read], effects: list[told.Effects],
        erasures: list[tuple[bytes, str | None, int]], logs: dict[int, Log],
    ) -> None:  # fmt: skip
        shared = "" if erasures else "_shared"
        cursor.execute(f"select pg_advisory_xact_lock{shared}(%s)", (ERASURE_LOCK,))
        self.on_step("begun")
        self._move(cursor, slices)
        self.on_step("moved")
        self._erase(cursor, erasures)
        self._follow_erased(cursor)
        stage = Stage()
        gone = self._gone if self._erased else None
        for each in effects:
            told.stage(each, self._eras, gone, stage)
        before = {read.partition: logs[read.partition].newest for read in reads}
        for read in reads:
            self._log(cursor, read, logs[read.partition], stage)
        stage.copy(cursor)
        self.on_step("copied")
        stage.merge(cursor)
        for partition, newest in before.items():
            self._prune(cursor, partition, newest, logs[partition])
        self.on_step("merged")

    def _move(self, cursor: Any, slices: Sequence[Slice]) -> None:
        moves = sorted((*each.source, each.begin, each.end) for each in slices)
        execute_values(
            cursor,
            f"update {_P}.offsets as old set position = new.e, moved_at = now() from (values %s) "
            "as new (topic, partition, b, e) where old.topic = new.topic and old.partition = new.partition "
            "and old.position = new.b",
            moves,
            page_size=len(moves) + 1,
        )
        if cursor.rowcount != len(moves):
            raise Moved(
                f"{len(moves) - cursor.rowcount} of {len(moves)} positions were moved by somebody else"
            )

    def _gone(self, customer_id: str, recorded: int) -> bool:
        return recorded <= self._erased.get(digest(customer_id.encode()), -1)

    def _follow_erased(self, cursor: Any) -> None:
        cursor.execute(
            f"select hash, recorded_at, number from {_P}.erased where number > %s", (self._erased_number,)
        )
        for hash_, recorded, number in cursor.fetchall():
            self._erased[bytes(hash_)] = _ms(recorded)
            self._erased_number = max(self._erased_number, number)

    def _erase(self, cursor: Any, erasures: Iterable[tuple[bytes, str | None, int]]) -> None:
        """Delete what effects have told of customers until then; what comes later is theirs."""
        for hash_, customer, recorded in erasures:
            cursor.execute(
                f"insert into {_P}.erased as old (hash, recorded_at, number) "
                f"values (%s, %s, nextval('{_P}.erased_number')) on conflict (hash) do update set "
                "recorded_at = greatest(old.recorded_at, excluded.recorded_at), number = excluded.number",
                (hash_, iso(recorded)),
            )
            if customer is None:
                cursor.execute(
                    f"select customer_id from {_P}.customers where hash = %s union all "
                    f"select customer_id from {_P}.closed where hash = %s and customer_id is not null",
                    (hash_, hash_),
                )
                found = cursor.fetchone()
                customer = None if found is None else found[0]
            cursor.execute(f"update {_P}.closed set customer_id = null where hash = %s", (hash_,))
            if customer is not None:
                for table in schema.OF_EFFECTS:
                    cursor.execute(
                        f"delete from {_P}.{table.name} where customer_id = %s and recorded_at <= %s",
                        (customer, iso(recorded)),
                    )
                # Whoever became this customer does not tell of it any more.
                cursor.execute(
                    f"with linked as (update {_P}.customers set linked_to = null where linked_to = %s and "
                    f"recorded_at <= %s returning customer_id) update {_P}.events set attributes = '{{}}' "
                    "where event_type = 'customer_link' and customer_id in (select customer_id from linked)",
                    (customer, iso(recorded)),
                )

    def _log(self, cursor: Any, read: log_.Read, now: Log, stage: Stage) -> None:
        gone = self._gone if self._erased else None
        reading = log_.Reading(read, self._eras, now, self._people(cursor, read.ids()), gone)
        while (erased := reading.run()) is not None:
            # What stood before the erasure counts among everybody, whatever batch it came in.
            reading.stage(stage)
            stage.copy(cursor)
            stage.merge(cursor)
            stage.clear(cursor)
            for table in schema.OF_LOG:
                cursor.execute(f"delete from {_P}.{table.name} where customer_id = %s", (erased,))
            reading.forget(erased)
        reading.stage(stage)
        reading.finish(now)
        for hash_, (customer, recorded) in reading.closed.items():
            known = self._erased.get(hash_, -1) >= recorded  # the erasure was read before the command
            cursor.execute(
                f"insert into {_P}.closed (hash, partition, customer_id) values (%s, %s, %s) "
                "on conflict (hash) do update set partition = excluded.partition, "
                "customer_id = excluded.customer_id",
                (hash_, read.partition, None if known else customer),
            )
        for hash_ in reading.opened:
            cursor.execute(f"delete from {_P}.closed where hash = %s", (hash_,))
        cursor.execute(
            f"update {_P}.offsets set revision = %s, newest = %s where topic = %s and partition = %s",
            (now.revision, iso(now.newest) if now.newest else None, topics.CUSTOMER_EVENTS, read.partition),
        )

    def _people(self, cursor: Any, ids: list[str]) -> dict[str, Person]:
        people = {}
        for start in range(0, len(ids), PIECE):
            cursor.execute(
                "select customer_id, state, linked_to, opened_at, first_seen, last_seen, recent "
                f"from {_P}.customers where customer_id = any(%s)",
                (ids[start : start + PIECE],),
            )
            for id, state, linked_to, opened, first, last, recent in cursor.fetchall():
                people[id] = Person(
                    state, linked_to, 0 if opened is None else _ms(opened), _ms(first), _ms(last),
                    log_.unpack(bytes(recent)),
                )  # fmt: skip
        return people

    def _prune(self, cursor: Any, partition: int, before: int, now: Log) -> None:
        """A new day has begun: let go of the oldest one."""
        if not now.newest:
            return
        today = self._eras.day(now.newest, now.revision)
        if before and self._eras.day(before, now.revision) == today:
            return
        for table, days in schema.KEPT.items():
            cursor.execute(
                f"delete from {_P}.{table.name} where partition = %s and day <= %s",
                (partition, self._eras.date(today - days)),
            )

    @staticmethod
    def _report(effects: Iterable[told.Effects]) -> None:
        for each in effects:
            for offset, why in each.unreadable:
                log.error(
                    "%s/%d, offset %d: left out, it is no effect: %s", each.topic, each.partition, offset, why
                )


def _erasures(records: Iterable[Any]) -> list[tuple[bytes, str | None, int]]:
    found: list[tuple[bytes, str | None, int]] = []
    for record in records:
        try:
            hash_ = bytes.fromhex((record.key() or b"").decode())
        except ValueError:
            hash_ = b""
        if len(hash_) != 16:
            log.error("%s, offset %s: left out, its key is no hash", topics.ERASURES, record.offset())
        elif record.value() is not None:
            found.append((hash_, None, record.timestamp()[1]))
    return found


def _fields(each: Log) -> dict[str, Any]:
    return {
        "revision": each.revision, "newest": each.newest, "whole": each.whole, "closed": set(each.closed),
    }  # fmt: skip


def _ms(time: datetime) -> int:
    return round(time.astimezone(UTC).timestamp() * 1000)


def _first_line(error: BaseException) -> str:
    return (str(getattr(error, "orig", None) or error).strip().splitlines() or ["the connection ended"])[0]
