"""Polled data sources: each record once in the raw topic, whoever polls, wherever it is killed or paused."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import Engine, text

from agents.dead_letters import Letter
from agents.poller import Poller
from agents.polling import PREFIX, NotPolled, poll_now, poll_states, run, sample
from agents.source_reader import Reader
from agents.tail import Tail
from catalog.connectors.pages import ConnectorError
from catalog.content import SourceContent
from catalog.database import connect, migrate
from catalog.leases import LeaseLost, Leases, UnderWay
from catalog.schema import Connection
from catalog.service import CatalogError, content_of, parse_source
from config import topics
from config.settings import Settings
from loyalty.content import Decisions
from streams.positions import GroupPositions
from streams.topics import create, ensure_raw_topic
from tests.agents.records import taken
from tests.catalog.http_api import Answer, Api, Asked, serving
from tests.faults.harness import Worker, until, workers

SIZE = 10


@pytest.fixture
def settings(services: Settings, database: str) -> Settings:
    create(services)
    engine = connect(database)
    migrate(engine)
    engine.dispose()
    return services.model_copy(update={"database": database})


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings.database_url())
    yield engine
    engine.dispose()


class Recharges:
    """An API with rows that can grow, of several moments, in pages by cursor."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.broken: int | None = None

    def __call__(self, asked: Asked) -> Answer:
        rows = [self.row(n) for n in range(self.count) if self.row(n)["at"] >= asked.params.get("since", "")]
        at = int(asked.params.get("after", 0))
        if self.broken is not None and at >= self.broken:
            return Answer({"error": "broken"}, 500)
        following = str(at + SIZE) if at + SIZE < len(rows) else None
        return Answer({"rows": rows[at : at + SIZE], "next": following})

    @staticmethod
    def row(n: int) -> dict[str, Any]:
        return {"id": f"r{n}", "who": f"48{n % 7}", "amount": n / 4, "at": f"2026-01-01T00:{n // 3:02}:00Z"}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        api.answer = Recharges(35)
        yield api


def source(api: Api, **poll: Any) -> SourceContent:
    how = {
        "kind": "rest", "url": f"{api.url}/recharges", "records": "rows", "attempts": 1,
        "paging": {"kind": "cursor", "field": "next", "param": "after"},
        "cursor_field": "at", "cursor_param": "since", **poll,
    }  # fmt: skip
    return content_of(
        parse_source(
            {
                "name": f"recharges_{uuid4().hex[:8]}",
                "source_type": "billing",
                "connection_config": {"poll": how, "interval": 1},
                "event_mapping": {
                    "customer_id_field": "who",
                    "timestamp_field": "at",
                    "event_type": "recharge",
                    "value_field": "amount",
                    "event_id_field": "id",
                },
            }
        )
    )


def written(settings: Settings, source: SourceContent) -> list[dict[str, Any]]:
    tail = Tail(settings, source.topic)
    try:
        return [json.loads(record.value() or b"") for record in tail.to_end()]
    finally:
        tail.close()


def ids(settings: Settings, source: SourceContent) -> Counter[str]:
    return Counter(record["id"] for record in written(settings, source))


def expected(count: int) -> Counter[str]:
    return Counter(f"r{n}" for n in range(count))


def test_what_is_new_comes_once_and_in_the_order_of_each_customer(settings: Settings, api: Api) -> None:
    polled = source(api)
    assert poll_now(settings, polled).records == 35
    assert written(settings, polled) != []
    assert poll_now(settings, polled).records == 0
    api.answer = Recharges(38)
    assert poll_now(settings, polled).records == 3
    assert ids(settings, polled) == expected(38)
    tail = Tail(settings, polled.topic)
    seen: dict[bytes, list[int]] = {}
    for record in tail.to_end():
        value = json.loads(record.value() or b"")
        assert record.key() == value["who"].encode()
        seen.setdefault(record.key() or b"", []).append(int(value["id"][1:]))
    tail.close()
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    (state,) = poll_states(settings)
    assert (state.name, state.records, state.last_records) == (f"{PREFIX}{polled.name}", 38, 3)
    assert (state.holder, state.last_error, state.failures) == (None, "", 0)


def test_a_source_that_breaks_in_the_middle_goes_on_where_it_broke(settings: Settings, api: Api) -> None:
    broken = Recharges(35)
    broken.broken = 20
    api.answer = broken
    polled = source(api)
    with pytest.raises(ConnectorError, match="500"):
        poll_now(settings, polled)
    assert ids(settings, polled) == expected(20)
    (state,) = poll_states(settings)
    assert (state.records, state.failures) == (20, 1)
    assert "500" in state.last_error
    broken.broken = None
    api.asked.clear()
    assert poll_now(settings, polled).records == 15
    assert [asked.params.get("after") for asked in api.asked] == ["20", "30"]
    assert ids(settings, polled) == expected(35)


STEPS = ("leased", "fetched", "prepared", "begun", "produced", "offsets", "committed", "kept")


@pytest.fixture
def child(settings: Settings, tmp_path: Path) -> Callable[..., Worker]:
    def start(source: SourceContent, step: str, number: str, hold: float = 1.0) -> Worker:
        given = {
            "home": str(settings.home),
            "database": settings.database,
            "clock": settings.clock,
            "transaction_timeout": settings.transaction_timeout,
        }
        said = msgspec.json.encode(source).decode()
        script = str(Path(__file__).with_name("polling_process.py"))
        arguments = [script, json.dumps(given), said, step, number, str(hold)]
        return Worker(arguments, {}, tmp_path / "child.log").start()

    return start


def take(leases: Leases, source: SourceContent) -> Any:
    """The lease, once the one who was killed or paused has lost it."""
    found: list[Any] = []

    def taken() -> bool:
        found.append(leases.take(PREFIX + source.name))
        return found[-1] is not None

    until("the lease has expired", taken, 180)
    return found[-1]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_nothing_is_lost_or_doubled(
    settings: Settings, api: Api, engine: Engine, child: Callable[..., Worker], step: str
) -> None:
    polled = source(api)
    first = child(polled, step, "SIGKILL")
    with workers(first):
        until("it has killed itself", lambda: not first.alive, 180, first.log)
    assert first.process is not None
    assert first.process.returncode == -signal.SIGKILL, first.log.read_text()
    leases = Leases(engine, "second")
    run(settings, leases, take(leases, polled), polled)
    assert ids(settings, polled) == expected(35)
    (state,) = poll_states(settings)
    assert state.failures == 0
    positions = GroupPositions(settings, "khaywe-poll", stable=True)
    page = engine.connect().execute(text("select page from fetches")).scalar_one()
    assert list(positions.of({(polled.topic, 0)}).values()) == [page] == [4]  # type: ignore[arg-type]
    positions.close()


@pytest.mark.parametrize("step", ["leased", "prepared", "produced"])
def test_one_that_was_paused_writes_nothing_when_it_wakes(
    settings: Settings, api: Api, engine: Engine, child: Callable[..., Worker], step: str
) -> None:
    polled = source(api)
    first = child(polled, step, "SIGSTOP")
    with workers(first):
        until("it has paused itself", lambda: first.alive and first.stopped, 180, first.log)
        leases = Leases(engine, "second")
        run(settings, leases, take(leases, polled), polled)
        assert ids(settings, polled) == expected(35)
        first.signal(signal.SIGCONT)
        until("it has ended", lambda: not first.alive, 180, first.log)
    assert (
        "is fetched by another one now" in first.log.read_text()
        or "did not take a page" in first.log.read_text()
    )
    assert ids(settings, polled) == expected(35)
    assert poll_now(settings, polled).records == 0  # its cursor counts nothing either


def test_two_workers_share_what_is_due(settings: Settings, api: Api) -> None:
    polled = [source(api) for _ in range(3)]
    grown = Recharges(12)
    api.answer = grown

    def due(engine: Engine) -> Any:
        return {
            PREFIX + each.name: (0.2, lambda ls, lease, stop, each=each: run(settings, ls, lease, each, stop))
            for each in polled
        }

    both = [Poller(settings, name, due) for name in ("one", "two")]
    for poller in both:
        poller.start()
    try:
        for count in (20, 27, 35):
            grown.count = count
            until(
                f"{count} records of each",
                lambda: [state.records for state in poll_states(settings)] == [grown.count] * 3,
            )
    finally:
        for poller in both:
            poller.stop()
    for each in polled:
        assert ids(settings, each) == expected(35)
    assert [state.holder for state in poll_states(settings)] == [None] * 3


def test_a_poller_that_is_stopped_leaves_the_rest_to_others(
    settings: Settings, api: Api, engine: Engine
) -> None:
    polled, stopping = source(api), threading.Event()
    leases = Leases(engine, "one")
    lease = leases.take(PREFIX + polled.name)
    assert lease is not None
    steps: list[str] = []

    def at(step: str) -> None:
        steps.append(step)
        if step == "kept":
            stopping.set()

    assert run(settings, leases, lease, polled, stopping, at).records == SIZE
    assert steps == [*STEPS]
    second = leases.take(PREFIX + polled.name, every=3_600)  # due at once: the run has not ended
    assert second is not None
    run(settings, leases, second, polled)
    assert ids(settings, polled) == expected(35)
    assert leases.take(PREFIX + polled.name, every=3_600) is None


def test_one_at_a_time_and_due_again_after_its_interval(engine: Engine, settings: Settings) -> None:
    one, two = Leases(engine, "one"), Leases(engine, "two")
    lease = one.take("x", every=0.3)
    assert lease is not None
    assert two.take("x") is None
    assert (two.holder("x") or ("", None))[0] == "one"
    one.release(lease)
    assert two.take("x", every=60) is None
    until("it is due", lambda: two.take("x", every=0.3), 180)
    with pytest.raises(LeaseLost):
        one.keep(lease, "c", 1, 1)
    assert two.take("x") is None

    failing = one.take("y")
    assert failing is not None
    one.release(failing, "no answer")
    with engine.begin() as connection:
        connection.execute(text("update fetches set last_began = now() - interval '31 s' where name = 'y'"))
    assert one.take("y", every=86_400) is not None  # a day is long for another try


def test_a_record_too_large_for_a_topic_is_a_dead_letter(settings: Settings, api: Api) -> None:
    rows = [Recharges.row(0), Recharges.row(1) | {"note": "x" * (1 << 20)}, Recharges.row(2)]
    api.answer = lambda asked: Answer({"rows": rows})
    polled = source(api)
    done = poll_now(settings, polled)
    assert (done.records, done.refused) == (3, 1)
    assert sorted(ids(settings, polled)) == ["r0", "r2"]
    tail = Tail(settings, topics.DEAD_LETTERS)
    letters = [r.value() for r in tail.to_end() if r.key() == polled.topic.encode()]
    tail.close()
    letter = msgspec.json.decode(letters[0] or b"", type=Letter)
    assert (letter.source, letter.reason, len(letters)) == (polled.name, "oversized", 1)


def test_a_record_that_comes_again_is_the_same_event(settings: Settings, api: Api) -> None:
    """What dedupe needs, where a source says a record twice or Kafka has forgotten a page's number."""
    row = Recharges.row(3) | {"amount": 0.10, "note": {"b": 1, "a": 2}}
    mapping = source(api).event_mapping
    del mapping["event_id_field"]  # its id is a hash of its bytes
    polled = msgspec.structs.replace(source(api), event_mapping=mapping)
    api.answer = lambda asked: Answer({"rows": [row]})
    poll_now(settings, polled)
    again = dict(reversed(row.items())) | {"note": {"a": 2, "b": 1}}
    api.answer = lambda asked: Answer({"rows": [again]})
    engine = connect(settings.database_url())
    with engine.begin() as connection:
        connection.execute(text("update fetches set cursor = null"))
    engine.dispose()
    assert poll_now(settings, polled).records == 1
    tail = Tail(settings, polled.topic)
    events: list[Any] = []
    Reader(polled, Decisions()).read(taken(list(tail.to_end())), events, [])
    tail.close()
    assert len(events) == 2
    assert len({json.loads(value)["event_id"] for _, value in events}) == 1


def test_another_kind_of_connection_begins_anew(settings: Settings, api: Api, tmp_path: Path) -> None:
    polled = source(api)
    poll_now(settings, polled)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jsonl").write_text(json.dumps(Recharges.row(40)) + "\n")
    files = {"poll": {"kind": "files", "folder": "in"}}
    there = settings.model_copy(update={"imports": tmp_path})
    other = msgspec.structs.replace(polled, connection_config=files)
    assert poll_now(there, other).records == 1
    assert poll_now(there, other).records == 0
    assert len(ids(settings, polled)) == 36


def test_who_cannot_be_polled_and_who_is_already(settings: Settings, api: Api, engine: Engine) -> None:
    polled = source(api)
    pushed = msgspec.structs.replace(polled, connection_config={})
    with pytest.raises(NotPolled, match="is not polled: its records are sent to topic"):
        poll_now(settings, pushed)
    with pytest.raises(NotPolled):
        sample(settings, Connection.model_validate({}))
    assert len(sample(settings, Connection.model_validate(polled.connection_config), 12)) == 12
    ensure_raw_topic(settings, polled.topic)
    assert ids(settings, polled) == Counter()
    assert Leases(engine, "worker-1").take(PREFIX + polled.name) is not None
    with pytest.raises(UnderWay, match="is being fetched by worker-1 since"):
        poll_now(settings, polled)


FOLDER = {"kind": "files", "folder": "in"}
LEAKY = {"kind": "sql", "database": "postgresql://u:p@h/d", "query": "select 1", "cursor_field": "a"}


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"poll": {"kind": "rest", "url": "http://x/"}}, "poll.cursor_field: is needed"),
        ({"interval": 60}, "interval: goes with poll"),
        ({"poll": FOLDER, "interval": "soon"}, "interval: must be like '5 minutes'"),
        ({"poll": FOLDER, "interval": 0}, "interval: .*greater than or equal to 1"),
        ({"poll": FOLDER, "format": "csv", "columns": ["a"]}, "written as json"),
        ({"poll": LEAKY}, "database: "),
        ({"poll": {"kind": "files"}}, "poll.files.folder: Field required"),
    ],
)
def test_what_cannot_be_polled_names_its_field(connection: dict[str, Any], message: str) -> None:
    mapping = {"customer_id_field": "a", "timestamp_field": "b", "event_type": "sms"}
    given = {"name": "x", "source_type": "dwh", "connection_config": connection, "event_mapping": mapping}
    with pytest.raises(CatalogError, match=message):
        parse_source(given)


def test_a_poll_is_kept_in_the_catalog_as_it_was_said() -> None:
    poll = {"kind": "sql", "database": "env:DWH", "query": "select 1 as a", "cursor_field": "a"}
    given = {
        "name": "dwh", "source_type": "dwh", "connection_config": {"poll": poll, "interval": "15 minutes"},
        "event_mapping": {"customer_id_field": "a", "timestamp_field": "b", "event_type": "sms"},
    }  # fmt: skip
    content = content_of(parse_source(given))
    assert content.connection_config == {"poll": poll, "interval": 900}
