"""Dead letters in pages from the end, and simulations whose API has ended."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Producer
from sqlalchemy import text

from agents.dead_letters import Bytes, Letter, Replayed, encode
from agents.tail import Tail
from catalog.governance.models import SimulationRow
from tests.faults.harness import until
from tests.served import Api
from web.api import letterbox
from web.api.letterbox import Letterbox
from web.api.parts import Parts
from web.api.simulating import FAILED, RUNNING, Simulations

SOURCE = "many-letters"
TOPICS = ("raw_one", "raw_two", "raw_three")
LETTERS = 2_400
#: Kafka removes what is older than its retention.
BEGIN = time.time_ns() // 1_000_000 - 60_000


def letter(number: int, reason: str = "bad_value") -> Letter:
    topic = TOPICS[number % len(TOPICS)]
    return Letter(
        id=f"{topic}/0/{number}", stage="normalizer", source=SOURCE, reason=reason, message="of a test",
        topic=topic, partition=0, offset=number, timestamp=BEGIN + number, key=None,
        value=Bytes.of(b"{}"), headers=[],
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(parts: Parts) -> list[Letter]:
    """Letters on the topic, the oldest first; every hundredth was mapped again later."""
    letters = [letter(n, "bad_event_id" if n == 7 else "bad_value") for n in range(LETTERS)]
    producer = Producer(parts.settings.producer_config())
    for each in letters:
        producer.produce("dead-letters", encode(each), each.topic.encode(), timestamp=each.timestamp)
        producer.poll(0)
    for each in letters[::100]:
        note = encode(Replayed(replayed=each.id, source=SOURCE, command_id="c", revision=1))
        producer.produce("dead-letters", note, each.topic.encode(), timestamp=letters[-1].timestamp)
    assert producer.flush(60) == 0
    return letters


def listed(api: Api, **params: Any) -> dict[str, Any]:
    answer = api("viewer").get("/dead-letters/", params={"source": SOURCE, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_pages_go_from_the_newest_to_the_oldest_and_lose_none(api: Api, written: list[Letter]) -> None:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(LETTERS):
        page = listed(api, limit=499, **cursor)
        found += page["items"]
        assert len(page["items"]) <= 499
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert [each["id"] for each in found] == [each.id for each in reversed(written)]
    assert {each["id"] for each in found if each["replayed"]} == {each.id for each in written[::100]}


def test_what_is_rare_is_found(api: Api, written: list[Letter]) -> None:
    def all_of(**wanted: Any) -> list[str]:
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = listed(api, **wanted, **cursor)
            found += [each["id"] for each in page["items"]]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    assert all_of(reason="bad_event_id") == [written[7].id]
    assert all_of(replayed=True) == [each.id for each in reversed(written[::100])]
    for cursor in ("nonsense", "e30x", "eyJhIjoxfQ", "eyIwIjotMX0", "MTc"):
        answer = api("viewer").get("/dead-letters/", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor"), cursor


def test_no_more_is_read_than_a_page_needs(
    parts: Parts, written: list[Letter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letterbox, "CHUNK", 50)
    ends = Tail(parts.settings, "dead-letters", from_end=True)
    whole = sum(ends.positions.values())
    ends.close()
    box = Letterbox(parts.settings)
    first, below = box.page(lambda each, _: each.source == SOURCE, 20)
    assert [each.id for each, _ in first] == [each.id for each in reversed(written[-20:])]
    assert below is not None
    assert box.read < min(whole, 200)
    # A box that knows nothing yet goes on where the first stopped, and knows what was mapped again.
    other = Letterbox(parts.settings)
    second, _ = other.page(lambda each, _: each.source == SOURCE, 100, below)
    assert [each.id for each, _ in second] == [each.id for each in reversed(written[-120:-20])]
    assert [each.id for each, again in second if again] == [written[-100].id]
    read = box.read
    box.page(lambda each, _: each.source == SOURCE, 20)
    assert box.read - read < 200
    assert box.find({written[3].id, "raw/0/0"}) == {written[3].id: written[3]}


def test_a_page_ends_though_what_is_looked_for_was_not_found_yet(
    parts: Parts, written: list[Letter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letterbox, "CHUNK", 50)
    monkeypatch.setattr(letterbox, "MOST_READ", 1)
    box, below, pages = Letterbox(parts.settings), None, 0
    while True:
        found, below = box.page(lambda each, _: each.id == written[0].id, 5, below)
        pages += 1
        if found or below is None:
            break
    assert [each.id for each, _ in found] == [written[0].id]
    assert pages > 5


def test_a_simulation_whose_api_has_ended_has_failed(api: Api, parts: Parts) -> None:
    with parts.store.session() as session:
        rows = [SimulationRow(status=RUNNING, asked={"draft": 1}, user="test") for _ in range(3)]
        session.add_all(rows)
        session.flush()
        lost, here, elsewhere = (row.id for row in rows)
        other = Simulations(parts.settings, parts.store)
        parts.simulations.hold(here)
        other.hold(elsewhere)

    def status(id: int) -> str:
        return str(api("viewer").get(f"/simulations/{id}/").json()["status"])

    assert (status(lost), status(here), status(elsewhere)) == (FAILED, RUNNING, RUNNING)
    assert "has ended" in api("viewer").get(f"/simulations/{lost}/").json()["error"]
    # It ends without a word, as a killed process does: PostgreSQL closes its connection.
    connection = other._holding
    assert connection is not None
    with parts.store.session() as session:
        pid = connection.execute(text("select pg_backend_pid()")).scalar_one()
        session.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid})
    until("it has failed", lambda: status(elsewhere) == FAILED, 60)
    assert status(here) == RUNNING
    listed_ = api("viewer").get("/simulations/").json()["items"]
    assert {each["status"] for each in listed_ if each["id"] in (lost, elsewhere)} == {FAILED}
    parts.simulations._let_go(here)
    assert status(here) == FAILED
    with parts.store.session() as session:
        session.execute(text("delete from governance.simulations where \"user\" = 'test'"))
