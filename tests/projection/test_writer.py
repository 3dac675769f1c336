"""The writer: each record once, in any order of topics; who is erased, ended or linked; what is too old."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from config import topics
from config.errors import KhayweError
from projection import schema
from projection.writer import TOPICS, Away, Moved, Start, Writer
from tests.projection import plain
from tests.projection.made import Logs, contents, hash_of, utc

JANUARY, LATER, MARCH = "2026-01-10T10:00:00.000Z", "2026-01-20T10:00:00.000Z", "2026-03-01T10:00:00.000Z"


@pytest.fixture
def logs(database: str) -> Iterator[Logs]:
    made = Logs(database)
    made.take()
    yield made
    made.writer.close()


class Sql:
    """Rows of a database."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        with self._engine.begin() as connection:
            found = connection.execute(text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def sql(database: str) -> Iterator[Sql]:
    made = Sql(database)
    yield made
    made.close()


def anywhere(url: str, customer: str) -> set[str]:
    """Tables that speak of a customer."""
    return {table for table, rows in plain.dump(url).items() if any(customer in row for row in rows)}


# -- once ------------------------------------------------------------------------------------------------


def test_a_batch_that_begins_elsewhere_is_refused_and_writes_nothing(logs: Logs, database: str) -> None:
    logs.everything("a", JANUARY)
    slices = logs.slices()
    logs.writer.write(slices)
    before = plain.dump(database)
    logs.scores("a", LATER, 20.0)
    again = logs.slices(most=2)  # from the beginning: another has written since
    for each in (again, slices):
        with pytest.raises(Moved, match="moved by somebody else"):
            logs.writer.write(each)
    plain.same(before, plain.dump(database))


def test_two_writers_of_the_same_batch(logs: Logs, database: str, sql: Sql) -> None:
    logs.everything("a", JANUARY)
    slow = Logs(database)
    slow.take()
    slow.records = logs.records
    logs.write()
    with pytest.raises(Moved):
        slow.write()
    slow.take()
    assert slow.write() == 0
    assert sql("select count(*) from projection.ledger") == [(1,)]
    slow.writer.close()


def test_an_effect_told_again_counts_once(logs: Logs, sql: Sql) -> None:
    """As after a restore of the customer table: same ids, later offsets."""
    logs.event("a", "recharge", JANUARY, 5, id="once")
    logs.everything("a", JANUARY)
    for log in logs.records.values():
        log += [m._replace(at=m.at + len(log), recorded=m.recorded + 60_000) for m in log]
    for most in (1, 10):
        while logs.write(most=most):
            pass
    assert sql("select count(*) from projection.ledger") == [(1,)]
    assert sql("select sum(value) from projection.figures where measure = 'points'") == [(100,)]
    assert sql("select sum(value) from projection.figures where measure = 'missions'") == [(1,)]
    assert sql("select detail, value from projection.figures where measure = 'amount'") == [("recharge", 500)]


def test_batches_of_any_size_make_the_same_rows(logs: Logs, database: str, sql: Sql) -> None:
    dice = random.Random(5)
    for n in range(170):
        at = f"2026-01-{1 + n // 12:02d}T{n % 24:02d}:00:00.000Z"
        who = dice.choice("abcd")
        dice.choice((logs.everything, lambda who, at: logs.event(who, "sms", at, 2)))(who, at)
        if n % 40 == 39:
            logs.command(who, "erase")
            logs.erase(who)
        if n % 40 == 5:
            logs.event(who, "activation", at)
    results = []
    for most in (1_000_000, 1, 7):
        sql("drop schema projection cascade")
        logs.take()
        while logs.write(most=most):
            pass
        results.append(plain.dump(database))
    plain.same(results[0], results[1])
    plain.same(results[0], results[2])
    assert results[0]["ledger"]


# -- erased ----------------------------------------------------------------------------------------------


def test_the_erased_go_whatever_is_read_first(logs: Logs, database: str, sql: Sql) -> None:
    for who in ("gone", "other"):
        logs.event(who, "recharge", JANUARY, 5)
        logs.event(who, "sms", JANUARY, 5)
        logs.everything(who, JANUARY)
    logs.command("gone", "erase")
    logs.erase("gone")
    logs.event("gone", "recharge", LATER, 5)  # what the fold ignores
    figures = None
    for order in itertools.permutations(
        [(topics.CUSTOMER_EVENTS,), (topics.ERASURES,), (topics.BEHAVIOR_SCORES,), TOPICS[3:]]
    ):
        sql("drop schema projection cascade")
        logs.take()
        for names in order:
            logs.write(names)
        assert not anywhere(database, "gone"), order
        assert anywhere(database, "other") >= {table.name for table in schema.OF_EFFECTS}
        found = plain.dump(database)["figures"]
        assert figures in (None, found), "who is erased counts among everybody, always"
        figures = found


def test_without_the_tombstone_the_record_of_the_erasure_will_do(logs: Logs, database: str) -> None:
    """Compaction removes tombstones after a day."""
    logs.event("gone", "recharge", JANUARY, 5)
    logs.everything("gone", JANUARY)
    logs.write()
    logs.command("gone", "erase")
    logs.erase("gone")
    logs.records[topics.BEHAVIOR_SCORES].pop()
    logs.write([topics.CUSTOMER_EVENTS])
    assert anywhere(database, "gone")
    logs.write([topics.ERASURES])
    assert not anywhere(database, "gone")


def test_whoever_comes_back_begins_anew(logs: Logs, database: str, sql: Sql) -> None:
    logs.event("a", "recharge", JANUARY, 5, id="old")
    logs.everything("a", JANUARY)
    logs.command("a", "erase")
    logs.erase("a")
    logs.event("a", "recharge", LATER, 5, id="ignored")
    logs.event("a", "opt_in", LATER, id="back")
    logs.event("a", "recharge", LATER, 7, id="new")
    logs.everything("a", LATER)
    logs.write()
    assert sql("select event_id from projection.events order by 1") == [("back",), ("new",)]
    for table in ("ledger", "badges", "decisions", "mission_history", "scores"):
        column = "as_of" if table == "scores" else "occurred_at"
        assert sql(f"select {column} from projection.{table}") == [(utc(LATER),)], table
    assert sql("select count(*) from projection.closed") == [(0,)]
    logs.command("a", "erase")
    logs.erase("a")
    logs.write([topics.ERASURES, topics.BEHAVIOR_SCORES])
    logs.write()
    assert not anywhere(database, "a")


def test_who_has_become_an_erased_customer_does_not_tell(logs: Logs, database: str, sql: Sql) -> None:
    logs.event("a", "recharge", JANUARY, 5)
    logs.event("gone", "recharge", JANUARY, 5)
    logs.event("a", "customer_link", JANUARY, to="gone")
    logs.event("gone", "recharge", LATER, 5, _path=["a"])
    logs.command("gone", "erase")
    logs.erase("gone")
    for order in itertools.permutations([(topics.CUSTOMER_EVENTS,), (topics.ERASURES,)]):
        sql("drop schema projection cascade")
        logs.take()
        for names in (*order, TOPICS):
            logs.write(names)
        assert not any("gone" in str(row) for rows in plain.dump(database).values() for row in rows), order
        assert sql("select state, linked_to from projection.customers") == [("linked", None)]


def test_a_refused_erasure_closes_nobody(logs: Logs, sql: Sql) -> None:
    logs.command("stranger", "erase")
    logs.event("stranger", "recharge", JANUARY, 5)
    logs.write()
    assert sql("select customer_id from projection.events") == [("stranger",)]


def test_of_a_log_without_its_beginning_everybody_may_be_known(logs: Logs, sql: Sql) -> None:
    sql("drop schema projection cascade")
    starts = {(topic, 0): Start(topic, 5 if topic == topics.CUSTOMER_EVENTS else 0) for topic in TOPICS}
    logs.writer.take(starts)
    logs.records[topics.CUSTOMER_EVENTS] = []
    for _ in range(5):
        logs.event("x", "sms", JANUARY)
    logs.read[topics.CUSTOMER_EVENTS] = 5
    logs.command("perhaps", "erase")
    logs.event("perhaps", "recharge", JANUARY, 5)
    logs.write()
    assert sql("select customer_id from projection.customers") == []


# -- ended, linked, repeated, late -----------------------------------------------------------------------


def test_a_number_changes_hands(logs: Logs, sql: Sql) -> None:
    logs.event("a", "recharge", JANUARY, 5, id="first")
    logs.event("a", "customer_ended", JANUARY)
    logs.event("a", "recharge", LATER, 5, id="nobody")
    logs.event("a", "activation", LATER)
    logs.event("a", "recharge", JANUARY, 5, id="before")
    logs.event("a", "recharge", MARCH, 5, id="second")
    while logs.write(most=1):
        pass
    found = sql("select event_id from projection.events where event_type = 'recharge' order by 1")
    assert found == [("first",), ("second",)]
    assert sql("select state, opened_at, first_seen, last_seen from projection.customers") == [
        ("open", utc(LATER), utc(LATER), utc(MARCH))
    ]


def test_a_linked_customer_is_listed_under_the_other_id(logs: Logs, sql: Sql) -> None:
    logs.event("a", "recharge", JANUARY, 5, id="own")
    logs.event("a", "customer_link", JANUARY, to="b")
    logs.event("a", "recharge", LATER, 5, id="again")
    logs.event("b", "recharge", LATER, 5, id="again", _path=["a"])
    while logs.write(most=1):
        pass
    found = sql(
        "select customer_id, event_id from projection.events where event_type = 'recharge' order by 2"
    )
    assert found == [("b", "again"), ("a", "own")]
    assert sql("select state, linked_to from projection.customers where customer_id = 'a'") == [
        ("linked", "b")
    ]


def test_usage_that_is_repeated_counts_once_among_the_last_32(logs: Logs, sql: Sql) -> None:
    for n in range(32):
        logs.event("a", "voice_call", JANUARY, 10.5, id=f"call{n}")
    logs.event("a", "voice_call", JANUARY, 10.5, id="call0")
    logs.event("a", "data_session", JANUARY, 1.5, id="data")
    logs.event("a", "voice_call", JANUARY, 10.5, id="call0")  # pushed out meanwhile: as the fold counts
    while logs.write(most=3):
        pass
    assert sql("select day, calls, seconds, data_kb from projection.usage") == [
        (date(2026, 1, 10), 33, 330, 1536)
    ]


def test_events_are_kept_for_ninety_days_of_the_logs_own_time(logs: Logs, sql: Sql) -> None:
    logs.event("a", "recharge", "2026-01-01T00:00:00.000Z", 1, id="oldest")
    logs.event("a", "recharge", "2026-01-02T00:00:00.000Z", 1, id="next")
    logs.event("a", "recharge", "2026-03-31T23:59:59.000Z", 1, id="89 days on")
    logs.write()
    assert [id for (id,) in sql("select event_id from projection.events order by occurred_at")] == [
        "oldest", "next", "89 days on",
    ]  # fmt: skip
    logs.event("", "_tick", "2026-04-01T00:00:00.000Z", at="2026-04-01T00:00:00.000Z", everyone=False)
    logs.event("a", "recharge", "2026-01-01T12:00:00.000Z", 1, id="too late")
    logs.event("a", "recharge", "2026-01-02T12:00:00.000Z", 1, id="late")
    logs.write()
    assert [id for (id,) in sql("select event_id from projection.events order by occurred_at")] == [
        "next", "late", "89 days on",
    ]  # fmt: skip
    assert sql("select sum(value) from projection.figures where measure = 'events'") == [(4,)]


def test_days_are_those_of_the_revision(logs: Logs, sql: Sql) -> None:
    logs.event("a", "sms", "2026-01-10T20:00:00.000Z", 1)
    logs.event("", "_marker", "2026-01-10T20:00:00.000Z", revision=2)
    logs.event("a", "sms", "2026-01-10T20:00:00.000Z", 1)
    logs.scores("a", "2026-01-10T20:00:00.000Z", 1.0, revision=2)
    while logs.write(most=1):
        pass
    assert sql("select day from projection.usage order by 1") == [(date(2026, 1, 10),), (date(2026, 1, 11),)]
    assert sql("select day from projection.score_history") == [(date(2026, 1, 11),)]


# -- odd records -----------------------------------------------------------------------------------------


def test_texts_of_any_kind_are_kept(logs: Logs, sql: Sql) -> None:
    odd = "tab\t back\\slash \\N new\nline \r é 漢 '\""
    logs.event(odd, "complaint", JANUARY, id=odd, note=odd, nul="a\0b")
    logs.everything(odd, JANUARY)
    logs.decision(odd, LATER)
    logs.event("nul", "complaint", JANUARY, id="a\0b")
    logs.write()
    [(event_id, attributes)] = sql(
        "select event_id, attributes::text from projection.events where event_id <> 'a\ufffdb'"
    )
    assert event_id == odd
    assert "a\\u0000b" in attributes
    for table in schema.OF_EFFECTS:
        assert {id for (id,) in sql(f"select distinct customer_id from projection.{table.name}")} == {odd}
    assert sql("select count(*) from projection.events where customer_id = 'nul'") == [(1,)]
    assert sql("select conditions from projection.decisions")[0][0][0]["seen"] == "a\tb\\"


def test_what_is_no_effect_is_left_out_and_said(
    logs: Logs, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    logs.put(topics.REWARD_GRANTS, "a", b"no json")
    logs.put(topics.REWARD_GRANTS, "a", {"effect_id": "x"})
    logs.put(topics.MISSION_PROGRESS, "a", None)
    logs.put(topics.ERASURES, "no hash", {})
    logs.put(topics.CUSTOMER_EVENTS, "a", b"{}")
    logs.grant("a", "yesterday")
    logs.grant("a", JANUARY)
    logs.write()
    assert sql("select count(*) from projection.ledger") == [(1,)]
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in said if "left out" in line] == [
        "erasures, offset 0", "reward-grants/0, offset 0", "reward-grants/0, offset 1",
        "reward-grants/0, offset 2",
    ]  # fmt: skip


# -- beside ----------------------------------------------------------------------------------------------


def test_another_topic_of_the_same_name_is_refused(logs: Logs) -> None:
    logs.everything("a", JANUARY)
    logs.write()
    with pytest.raises(KhayweError, match="is another than the one") as error:
        logs.writer.take({(topics.DECISIONS, 0): Start("made anew", 0)})
    assert "khaywe projection rebuild" in error.value.hint


def test_records_that_retention_took_are_passed_over_and_said(
    logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    found = logs.writer.take({(topics.DECISIONS, 0): Start(f"id of {topics.DECISIONS}", 9)})
    assert found == {(topics.DECISIONS, 0): 9}
    assert "retention removed records unread" in caplog.text


def test_a_founding_writes_once_and_again_empties(logs: Logs, sql: Sql) -> None:
    calls = []
    logs.everything("a", JANUARY)
    logs.write()
    logs.writer.found(lambda cursor: calls.append("first"))
    assert sql("select count(*) from projection.ledger") == [(0,)]
    logs.take()
    logs.write()
    logs.writer.check()
    logs.writer.found(lambda cursor: calls.append("never"))
    other = Writer(str(logs.writer._engine.url.render_as_string(hide_password=False)), contents)
    other.found(lambda cursor: calls.append("again"), again=True)
    other.close()
    assert calls == ["first", "again"]
    assert sql("select count(*) from projection.ledger") == [(0,)]
    logs.take()
    assert logs.write() == 8
    other.found(lambda cursor: None, again=True)
    with pytest.raises(Moved, match="made anew"):
        logs.writer.check()
    other.close()


def test_newer_tables_are_refused(logs: Logs, sql: Sql) -> None:
    sql("update projection.meta set version = 99")
    with pytest.raises(schema.WrongVersion, match="version 99"):
        logs.take()


def test_tables_of_the_first_version_become_those_of_now(logs: Logs, sql: Sql) -> None:
    logs.take()
    indexes = "select indexname, indexdef from pg_indexes where schemaname = 'projection' order by 1"
    now = sql(indexes)
    for statement in schema.UPGRADES[1]:
        sql(f"drop index projection.{statement.split()[2]}")
    sql("update projection.meta set version = 1")
    assert sql(indexes) != now
    logs.take()
    assert sql(indexes) == now
    assert sql("select version from projection.meta") == [(schema.VERSION,)]


def test_postgresql_away_is_said(database: str) -> None:
    writer = Writer("postgresql+psycopg2://nobody@127.0.0.1:1/nothing", contents)
    with pytest.raises(Away, match="does not answer"):
        writer.take({})
    writer.close()


def test_an_offer_is_answered_once(logs: Logs, sql: Sql) -> None:
    grant = logs.grant("a", JANUARY, kind="offer", points=0, offer=3)
    logs.event("a", "grant_failed", JANUARY, grant_id=grant)
    logs.event("a", "grant_fulfilled", LATER, grant_id=grant)
    logs.event("a", "grant_fulfilled", LATER, grant_id="no id")
    logs.write()
    assert sql("select kind from projection.answers") == [("grant_failed",)]
    assert hash_of("a") == sql("select encode(hash, 'hex') from projection.customers")[0][0]
