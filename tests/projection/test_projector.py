"""The projector against real Kafka and PostgreSQL: nothing lost, nothing doubled, the erased stay erased."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from agents.places import ends
from agents.projecting import every
from cli.projection import look
from config import topics
from projection.writer import TOPICS, Writer
from tables import snapshots
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, consents, mixed
from tests.projection import plain

STEPS = ("begun", "moved", "copied", "merged", "committed")
GONE, BACK = "c7", "c11"  # customers who are erased; one of them comes back

#: With a control group of its own, conversions by events, and some that are held until the tick.
CAMPAIGNS = """
contact: {most: 3, days: 7 days, quiet_from: "21:00", quiet_to: "08:00"}
campaigns:
  - number: 11
    name: More Credit
    trigger: {kind: event, types: [recharge], where: value >= 20}
    cooldown: 10 days
    cost: 25
    control_share: 0.3
    conversion: {types: [payment], where: value >= 100}
    window: 10 days
    messages: {en: "More credit, {{ customer_id }}."}
"""


def nobody(revision: int) -> Any:
    """Content that is not asked for."""
    raise AssertionError(revision)


def answered(told: list[Any]) -> list[dict[str, Any]]:
    """Records of a gateway that delivered most messages, and heard of some conversions."""
    effects = [json.loads(message.value()) for message in told]
    triggered = [each for each in effects if each["status"] == "triggered" and each["arm"] == "treatment"]
    return [
        {
            "id": f"{what}-{each['trigger_id']}", "who": each["customer_id"], "what": what, "much": 1,
            "at": each["occurred_at"], "more": {"trigger_id": each["trigger_id"]},
        }
        for what, every_ in (("campaign_delivered", 2), ("campaign_converted", 3))
        for each in triggered[::every_]
    ]  # fmt: skip


class Projected(Pipeline):
    """A pipeline whose log is written once, and projectors of it."""

    @property
    def url(self) -> str:
        return self.settings.database_url()

    def projector(self, name: str) -> Worker:
        """A projector, not yet started."""
        command = ["-m", "tests.faults.khaywe", "worker", "--agents", "projector"]
        environment = {**self.environment, "KHAYWE_WORKER": name, "KHAYWE_POLL_RECORDS": "2000"}
        return Worker(command, environment, self.home / f"{name}.log")

    def behind(self) -> int:
        writer = Writer(self.url, nobody)
        try:
            return sum(place.behind for place in look(self.settings, writer))
        finally:
            writer.close()

    def caught_up(self, log: Path, seconds: float = 60) -> None:
        until("the projection has caught up", lambda: self.behind() == 0, seconds, log)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a statement; none of one that returns none."""
        connection = psycopg2.connect(self.url.replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def empty(self) -> None:
        """As before the first projector."""
        self.sql("drop schema if exists projection cascade")

    def records(self) -> dict[str, list[Any]]:
        return {topic: self.committed(topic) for topic in TOPICS}


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Projected]:
    """Everything the fold has told of 120 customers, read by nobody yet."""
    # Not tmp_path: PostgreSQL, which does not run as root, must be able to pass through.
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    made = Projected(home, control_share=0.1, snapshot_interval=0.5)
    try:
        made.add_source(SOURCE)
        worker = made.worker("a")
        with workers(worker):
            (home / "campaigns.yaml").write_text(CAMPAIGNS)
            made.khaywe("catalog", "load", str(home / "campaigns.yaml"))
            worker.start()
            made.send(consents(120) + mixed(31, 120, 3_000))
            made.settled(worker.log)
            made.send(answered(made.committed(topics.CAMPAIGN_TRIGGERS)))
            made.settled(worker.log)
            made.khaywe("tick", "--at", "2026-02-20T00:00:00Z")
            made.settled(worker.log)
            assert worker.stop() == 0
        yield made
    finally:
        made.close()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def expected(pipeline: Projected) -> plain.Tables:
    return plain.expected(pipeline.records())


def test_killed_at_every_gap_between_steps(pipeline: Projected, expected: plain.Tables) -> None:
    pipeline.empty()
    worker = Worker(["-m", "tests.projection.follow"], pipeline.environment, pipeline.home / "killed.log")
    with workers(worker):
        for step in STEPS:
            worker.start(FAULT=f"{step}:2", KHAYWE_POLL_RECORDS="1500")
            until(f"it has killed itself after {step}", lambda: not worker.alive, 180, worker.log)
            assert worker.process is not None
            assert worker.process.returncode == -signal.SIGKILL, worker.log.read_text()
        assert pipeline.behind() > 0
        worker.start()
        until("it has come to the end", lambda: not worker.alive, 180, worker.log)
        assert worker.process is not None
        assert worker.process.returncode == 0, worker.log.read_text()
    plain.same(expected, plain.found(pipeline.url))
    empty = [table for table in plain.SELECTS if not expected[table]]
    assert not empty, f"not every table was at stake: {empty}"


@pytest.mark.parametrize("step", ["merged", "committed"])
def test_one_is_paused_beyond_its_session_and_resumed(
    pipeline: Projected, expected: plain.Tables, step: str
) -> None:
    pipeline.empty()
    zombie, heir = pipeline.projector("zombie"), pipeline.projector("heir")
    for log in (zombie.log, heir.log):
        log.unlink(missing_ok=True)
    with workers(zombie, heir):
        zombie.start(FAULT=f"khaywe-projector:{step}:2:STOP")
        until("the projector has stopped itself", lambda: zombie.alive and zombie.stopped, 180, zombie.log)
        heir.start()
        pipeline.caught_up(heir.log, 90)
        zombie.signal(signal.SIGCONT)
        until(
            "the zombie reads again", lambda: zombie.log.read_text().count("took over") > 1, 180, zombie.log
        )
        pipeline.caught_up(heir.log)
        assert step == "committed" or "aborted" in zombie.log.read_text()
    plain.same(expected, plain.found(pipeline.url))


def test_rebuilt_it_is_what_it_was(pipeline: Projected, expected: plain.Tables) -> None:
    pipeline.empty()
    worker = pipeline.projector("alone")
    with workers(worker):
        worker.start()
        pipeline.caught_up(worker.log)
        before = plain.dump(pipeline.url)
        pipeline.sql("delete from projection.ledger where points > 50")
        pipeline.sql("update projection.usage set calls = calls + 1")
        pipeline.khaywe("projection", "rebuild")  # while a projector runs, which does the work
        assert pipeline.behind() == 0
        plain.same(before, plain.dump(pipeline.url))
        assert worker.stop() == 0
    pipeline.sql("delete from projection.scores")
    done = json.loads(pipeline.khaywe("projection", "rebuild", "--json"))
    assert done["offsets"] > 10_000
    plain.same(before, plain.dump(pipeline.url))
    plain.same(expected, plain.found(pipeline.url))


def test_the_tables_say_what_the_rows_of_the_fold_say(pipeline: Projected) -> None:
    from loyalty import packing
    from loyalty.state import ROW_KEY

    pipeline.khaywe("projection", "rebuild")
    rows = {
        m.key()[1:].decode(): packing.decode(m.value())
        for m in pipeline.committed(topics.CHANGELOG)
        if m.key()[:1] == ROW_KEY
    }
    assert len(rows) == 120
    day = "day - date '1970-01-01'"
    usage = {
        (customer, number): cells
        for customer, number, *cells in pipeline.sql(
            f"select customer_id, {day}, calls, data_kb, sms, app_login from projection.usage"
        )
    }
    held = pipeline.sql("select customer_id, number * 4 + level - 1 from projection.badges")
    balances = dict(pipeline.sql("select customer_id, balance from projection.balances"))
    active = dict(
        pipeline.sql(
            "select customer_id, count(*) from projection.missions where status = 'active' group by 1"
        )
    )
    control = {
        customer for (customer,) in pipeline.sql("select customer_id from projection.decisions where control")
    }
    assert 0 < len(control) < 50
    for customer, row in rows.items():
        for index, ring in enumerate(("calls", "data_kb", "sms", "app_login")):
            for number, value in row["rings"][ring].items():
                most = 255 if ring == "app_login" else 2**32  # a cell of a row saturates
                assert min(usage[customer, number][index], most) == value, (customer, ring, number)
        if customer in control:
            continue
        bits = sum(1 << bit for bit in {bit for who, bit in held if who == customer})
        assert bits == row["badges"], customer
        lots = sum(points for month, points in row["lots"] if month > row["month"])
        assert balances.get(customer, 0) == lots - row["debt"], customer
        running = sum(mission is not None and mission["status"] == 1 for mission in row["missions"])
        assert active.get(customer, 0) == running, customer


def _last_lives(dumped: plain.Tables) -> plain.Tables:
    return {table: dumped[table] for table in ("scores", "predictions", "erased")}


def test_the_erased_stay_erased_and_snapshots_tell_what_was_cut(pipeline: Projected) -> None:
    """The last test: it changes the log, and then cuts it."""
    root, partitions = snapshots.directory(pipeline.settings), range(pipeline.settings.partitions)
    worker, projector = pipeline.worker("a"), pipeline.projector("beside")
    with workers(worker, projector):
        worker.start()
        projector.start()
        for customer in (GONE, BACK):
            pipeline.khaywe("command", "erase", "--customer", customer)
        later = [
            {"who": who, "what": "recharge", "much": 5, "at": "2026-02-21T08:00:00Z"} for who in (GONE, BACK)
        ]
        life = {"who": BACK, "what": "activation", "much": 1, "at": "2026-02-21T09:00:00Z"}
        pipeline.send([{"id": f"late{n}", **each} for n, each in enumerate([*later, life, *later])])
        pipeline.settled(worker.log)
        pipeline.khaywe("tick", "--at", "2026-02-23T00:00:00Z")
        pipeline.settled(worker.log)
        behind = {partition: set(snapshots.found(root, partition)) for partition in partitions}
        until(
            "there is a snapshot of each partition since",
            lambda: all(set(snapshots.found(root, p)) - behind[p] for p in partitions), 60, worker.log,
        )  # fmt: skip
        assert worker.stop() == 0
        pipeline.caught_up(projector.log)
        assert projector.stop() == 0

    live = plain.dump(pipeline.url)
    _only_the_new_life(live)
    pipeline.khaywe("projection", "rebuild")
    again = plain.dump(pipeline.url)
    _only_the_new_life(again)
    plain.same(live, again)
    held, owed, running = _standing(pipeline)

    _cut(pipeline)
    newest = snapshots.found(root, 0)[-1]
    damaged = bytearray(newest.read_bytes())
    damaged[-10] ^= 1
    newest.with_name(f"99991231T000000Z-1{snapshots.SUFFIX}").write_bytes(damaged)  # passed over
    pipeline.khaywe("projection", "rebuild")
    cut = plain.dump(pipeline.url)
    assert not cut["ledger"]
    assert not any(GONE in row for rows in cut.values() for row in rows)
    assert _standing(pipeline) == (held, owed, running)
    plain.same(_last_lives(again), _last_lives(cut))
    known = {row[0] for row in again["customers"]}
    assert {row[0] for row in cut["customers"]} == known
    assert len(known) == 119

    pipeline.send(
        [{"id": "much-later", "who": GONE, "what": "recharge", "much": 5, "at": "2026-02-24T08:00:00Z"}]
    )
    with workers(worker, projector):
        worker.start()
        projector.start()
        pipeline.settled(worker.log)
        pipeline.caught_up(projector.log)
    assert not any(GONE in row for rows in plain.dump(pipeline.url).values() for row in rows)


def _only_the_new_life(dumped: plain.Tables) -> None:
    """Of the erased nothing stands in any table, but for what came after."""
    assert sum(dumped["erased"].values()) == 2
    for table, rows in dumped.items():
        assert not any(GONE in row for row in rows), table
        mine = [row for row in rows if BACK in row]
        assert not any("2026-01" in str(row) for row in mine), (table, mine)
    [event] = [row for row in dumped["events"] if BACK in row and "recharge" in row]
    assert "late4" in event  # of the four, the only one after the activation
    assert [row for row in dumped["scores"] if BACK in row]


def _standing(pipeline: Projected) -> tuple[Any, ...]:
    return (
        set(pipeline.sql("select customer_id, number, level, level_name from projection.badges")),
        set(pipeline.sql("select customer_id, balance from projection.balances where balance <> 0")),
        set(
            pipeline.sql(
                "select mission_id, customer_id, number, name, target, started_at, ends_at "
                "from projection.missions where status = 'active'"
            )
        ),
    )


def _cut(pipeline: Projected) -> None:
    """What retention does to topics that are not compacted, all of it at once."""
    compacted = {topics.BEHAVIOR_SCORES, topics.PREDICTIONS, topics.ERASURES}
    places = [place for place in every(pipeline.settings) if place.topic not in compacted]
    admin = AdminClient(pipeline.settings.kafka_config())
    logs = ends(admin, places)
    for done in admin.delete_records([TopicPartition(*place, end) for place, end in logs.items()]).values():
        done.result()
