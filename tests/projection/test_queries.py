"""Lists and sums of the projection, on records whose answers can be seen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.orm import Session

from projection import queries, schema, sums
from projection.paging import MOST, BadCursor, Page
from tests.projection.made import Logs, utc

JANUARY, LATER, MARCH = "2026-01-10T10:00:00.000Z", "2026-01-20T10:00:00.000Z", "2026-03-01T10:00:00.000Z"


@pytest.fixture
def logs(database: str) -> Iterator[Logs]:
    made = Logs(database)
    made.take()
    yield made
    made.writer.close()


@pytest.fixture
def db(database: str, logs: Logs) -> Iterator[Connection]:
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def all_of(ask: Callable[..., Page], limit: int, **filters: Any) -> list[dict[str, Any]]:
    """Every page, one after the other."""
    page = ask(limit=limit, **filters)
    rows = list(page.rows)
    while page.next is not None:
        assert len(page.rows) == limit
        page = ask(limit=limit, cursor=page.next, **filters)
        rows += page.rows
    return rows


def test_of_nobody_there_is_nothing(db: Connection) -> None:
    assert queries.customer(db, "a") is None
    assert queries.erased(db, "a") is None
    assert queries.scores(db, "a") is None
    assert queries.tier(db, "a") is None
    assert queries.mission(db, "no id") is None
    assert queries.mission_history(db, "no id") == []
    assert queries.predictions(db, "a") == {}
    assert queries.badges(db, "a") == queries.usage(db, "a") == queries.score_history(db, "a") == []
    assert queries.points(db, "a")["balance"] == 0
    lists = (
        queries.customers, queries.missions, queries.ledger, queries.grants, queries.decisions,
        queries.events, queries.triggers,
    )  # fmt: skip
    for ask in lists:
        assert ask(db) == Page([], None)
    assert sums.programme(db) == sums.owed_by_day(db) == []
    assert sums.liability(db) == {"owed": 0, "debts": 0, "customers": 0}
    assert sums.campaign_figures(db, 4)["uplift"] is None
    assert queries.freshness(db)["as_of"] is None


def test_a_customer(logs: Logs, db: Connection) -> None:
    logs.event("a", "recharge", LATER, 5)
    logs.event("a", "sms", JANUARY, 3)
    logs.event("b", "sms", JANUARY, 3)
    logs.event("b", "customer_ended", LATER)
    logs.everything("a", JANUARY)
    logs.scores("a", LATER, 30.5)
    logs.write()
    assert queries.customer(db, "a") == {
        "customer_id": "a", "state": "open", "linked_to": None, "opened_at": None,
        "first_seen": utc(JANUARY), "last_seen": utc(LATER),
    }  # fmt: skip
    assert [each["customer_id"] for each in queries.customers(db).rows] == ["a", "b"]
    assert [each["customer_id"] for each in queries.customers(db, state="ended").rows] == ["b"]
    scores = queries.scores(db, "a")
    assert scores is not None
    assert (scores["risk"], scores["as_of"], scores["reason"], scores["revision"]) == (
        30.5, utc(LATER), "moved", 1,
    )  # fmt: skip
    history = queries.score_history(db, "a")
    assert [(each["day"], each["loyalty"]) for each in history] == [
        (date(2026, 1, 10), 10.0), (date(2026, 1, 20), 30.5),
    ]  # fmt: skip
    assert queries.score_history(db, "a", since=date(2026, 1, 11))[0] == history[1]
    assert queries.score_history(db, "a", until=date(2026, 1, 10)) == history[:1]
    foretold = queries.predictions(db, "a")
    assert foretold["inline"]["models"]["churn"]["churn_probability"] == 0.5
    assert foretold["inline"]["features"] == [1, None, 2.5]
    assert queries.tier(db, "a") == {"level": 1, "name": "silver", "since": utc(JANUARY)}
    [day] = queries.usage(db, "a")
    assert (day["day"], day["sms"], day["calls"]) == (date(2026, 1, 10), 3, 0)
    assert queries.freshness(db)["as_of"] == utc(LATER)
    logs.command("a", "erase")
    logs.erase("a")
    logs.write()
    assert queries.customer(db, "a") is None
    assert queries.erased(db, "a") is not None


def test_missions_by_page_and_filter(logs: Logs, db: Connection) -> None:
    dice = random.Random(1)
    ids = []
    for n in range(57):
        at = f"2026-01-{dice.randrange(1, 9):02d}T10:00:00.000Z"  # many at one time
        ids.append(logs.mission(f"c{n % 5}", at, "given", number=n))
    logs.mission("c0", LATER, "completed", number=0, started=_started(logs, ids[0]))
    logs.write()

    def ask(**filters: Any) -> Page:
        return queries.missions(db, **filters)

    whole = all_of(ask, MOST)
    assert sorted(each["mission_id"] for each in whole) == sorted(ids)
    assert [(each["started_at"], each["mission_id"]) for each in whole] == sorted(
        ((each["started_at"], each["mission_id"]) for each in whole), reverse=True
    )
    for limit in (1, 10, 56, 57):
        assert all_of(ask, limit) == whole
    assert all_of(ask, 4, customer_id="c3") == [each for each in whole if each["customer_id"] == "c3"]
    assert [each["mission_id"] for each in all_of(ask, 5, status="completed")] == [ids[0]]
    assert len(all_of(ask, 20, status="active", category="engagement")) == 56
    assert [each["number"] for each in all_of(ask, 5, number=7)] == [7]
    found = queries.mission(db, ids[0])
    assert found is not None
    assert found["status"] == "completed"
    assert [each["status"] for each in queries.mission_history(db, ids[0])] == ["given", "completed"]
    for cursor in ("", "x", "W10", "bm9uZQ", "WzEsMl0", "WyIyMDI2LTAxLTAxIiwieCJd"):
        with pytest.raises(BadCursor):
            queries.missions(db, cursor=cursor)
    for limit in (0, MOST + 1):
        with pytest.raises(ValueError, match="limit"):
            queries.missions(db, limit=limit)


def _started(logs: Logs, mission: str) -> str:
    import json

    for message in logs.records["mission-progress"]:
        told = json.loads(message.value() or b"")
        if told["mission_id"] == mission:
            return str(told["started_at"])
    raise AssertionError(mission)


def test_badges_of_this_life_and_of_those_who_became_this_customer(logs: Logs, db: Connection) -> None:
    for who in ("old", "older", "now"):
        logs.event(who, "recharge", JANUARY, 5)
    logs.badge("old", JANUARY, number=3, level=1)
    logs.badge("older", JANUARY, number=4, level=2)
    logs.badge("now", LATER, number=3, level=1)
    logs.badge("now", LATER, number=3, level=2)
    logs.event("older", "customer_link", LATER, to="old")
    logs.event("old", "customer_link", LATER, to="now")
    logs.event("again", "recharge", JANUARY, 5)
    logs.badge("again", JANUARY, number=9)
    logs.event("again", "customer_ended", JANUARY)
    logs.event("again", "activation", LATER)
    logs.write()
    held = [(each["number"], each["level"], each["awarded_at"]) for each in queries.badges(db, "now")]
    assert held == [(3, 1, utc(JANUARY)), (3, 2, utc(LATER)), (4, 2, utc(JANUARY))]
    assert queries.badges(db, "again") == []


def test_points_and_what_is_owed(logs: Logs, db: Connection) -> None:
    for who in ("a", "b", "c"):
        logs.event(who, "recharge", JANUARY, 5)
    logs.grant("a", JANUARY, points=100, balance=100)
    logs.grant("a", LATER, kind="redeemed", points=-30, balance=70)
    logs.grant("b", LATER, points=50, balance=50)
    logs.grant("b", MARCH, kind="reversed", points=-60, balance=-10)
    logs.grant("c", LATER, points=5, balance=5)
    logs.event("c", "customer_ended", LATER)
    logs.write()
    assert queries.points(db, "a") == {
        "balance": 70, "as_of": utc(LATER), "points": 100, "redeemed": -30, "adjusted": 0, "expired": 0,
        "reversed": 0, "forfeited": 0,
    }  # fmt: skip
    assert sums.liability(db) == {"owed": 70, "debts": 10, "customers": 1}
    assert sums.owed_by_day(db) == [
        {"day": date(2026, 1, 10), "granted": 100, "redeemed": 0, "expired": 0, "owed": 100},
        {"day": date(2026, 1, 20), "granted": 55, "redeemed": 30, "expired": 0, "owed": 125},
        {"day": date(2026, 3, 1), "granted": 0, "redeemed": 0, "expired": 0, "owed": 65},
    ]  # fmt: skip
    assert sums.owed_by_day(db, since=date(2026, 2, 1))[0]["owed"] == 65
    assert [each["kind"] for each in queries.ledger(db, customer_id="a").rows] == ["redeemed", "points"]
    assert [each["points"] for each in queries.ledger(db, kind="reversed").rows] == [-60]
    assert len(all_of(lambda **f: queries.ledger(db, **f), 2, rule="mission:7")) == 5
    assert sums.programme_totals(db)["points"] == {"points": 155, "redeemed": -30, "reversed": -60}
    assert sums.programme_totals(db, since=date(2026, 2, 1))["points"] == {"reversed": -60}
    assert {
        "day": date(2026, 3, 1),
        "measure": "points",
        "number": 0,
        "detail": "reversed",
        "value": -60,
    } in (sums.programme(db, since=date(2026, 3, 1)))


def test_offers_by_what_became_of_them(logs: Logs, db: Connection) -> None:
    names = ("open", "again", "fulfilled", "failed", "reversed")
    made = {name: logs.grant("a", JANUARY, kind="offer", points=0, offer=3) for name in names}
    logs.grant("a", LATER, kind="offer", points=0, offer=3, grant_id=made["again"], repeat=1)
    logs.grant("a", MARCH, kind="offer", points=0, offer=3, grant_id=made["again"], repeat=2)
    logs.event("a", "grant_fulfilled", LATER, grant_id=made["fulfilled"])
    logs.event("a", "grant_failed", LATER, grant_id=made["failed"])
    logs.event("b", "grant_failed", LATER, grant_id=made["open"])  # not theirs
    logs.grant("a", LATER, kind="reversed", points=0, offer=3, reverses=made["reversed"])
    logs.write()
    found = {each["grant_id"]: each for each in all_of(lambda **f: queries.grants(db, **f), 2)}
    assert {name: found[id]["status"] for name, id in made.items()} == {
        name: "open" if name == "again" else name for name in names
    }
    again = found[made["again"]]
    assert (again["repeats"], again["granted_at"], again["told_at"]) == (2, utc(JANUARY), utc(MARCH))
    assert found[made["failed"]]["answered_at"] == utc(LATER)
    assert {each["grant_id"] for each in queries.grants(db, status="open").rows} == {
        made["open"], made["again"],
    }  # fmt: skip
    assert queries.grants(db, customer_id="b").rows == queries.grants(db, offer=4).rows == []


def test_events_and_decisions(logs: Logs, db: Connection) -> None:
    for n in range(30):
        logs.event(f"c{n % 3}", "recharge" if n % 2 else "complaint", JANUARY if n < 25 else LATER, n)
    logs.decision("c0", JANUARY)
    logs.decision("c1", LATER, control=True)
    logs.write()

    def ask(**filters: Any) -> Page:
        return queries.events(db, **filters)

    whole = all_of(ask, 7)
    assert [each["value"] for each in whole] == list(range(29, -1, -1))
    assert set(whole[0]) == {
        "customer_id", "source", "event_id", "event_type", "value", "occurred_at", "received_at",
        "attributes",
    }  # fmt: skip
    assert len(all_of(ask, 4, customer_id="c1")) == 10
    assert len(all_of(ask, 4, event_type="recharge", source="cdr")) == 15
    assert all_of(ask, 4, source="crm") == []
    assert len(all_of(ask, 4, since=utc(LATER))) == 5
    assert len(all_of(ask, 4, until=utc(LATER))) == 25
    assert [each["customer_id"] for each in queries.decisions(db).rows] == ["c1", "c0"]
    [control] = queries.decisions(db, control=True, kind="mission", rule="mission:7").rows
    assert control["customer_id"] == "c1"
    assert sums.programme_totals(db)["control"] == {"mission:given": 1}


def test_triggers_and_what_a_campaign_brought(logs: Logs, db: Connection) -> None:
    for n in range(100):
        at = JANUARY if n % 2 else LATER
        arm = "control" if n % 4 == 0 else "treatment"
        logs.trigger(f"c{n}", at, "triggered", arm=arm)
        if arm == "treatment":
            logs.trigger(f"c{n}", at, "delivered", of=at)
        if n % 8 in (0, 1, 2, 3):
            logs.trigger(f"c{n}", MARCH, "converted", arm=arm, of=at, by="answer" if n == 1 else "event")
        while logs.write(most=3):
            pass
    logs.trigger("other", JANUARY, "triggered", campaign=5)
    logs.write()
    figures = sums.campaign_figures(db, 4)
    treatment, control = figures["arms"]["treatment"], figures["arms"]["control"]
    assert (treatment["triggered"], treatment["delivered"], treatment["converted"]) == (75, 75, 39)
    assert (control["triggered"], control["delivered"], control["converted"]) == (25, 0, 13)
    assert treatment["cost"] == 75 * 25
    assert (treatment["rate"], control["rate"]) == (39 / 75, 13 / 25)
    assert treatment["converted_by"] == {"event": 38, "answer": 1}
    assert figures["uplift"]["value"] == pytest.approx(39 / 75 - 13 / 25)
    days = [(each["day"].isoformat(), each["arm"], each["triggered"]) for each in figures["by_day"]]
    first, later = JANUARY[:10], LATER[:10]
    assert days == [(first, "treatment", 50), (later, "treatment", 25), (later, "control", 25)]
    for name in ("delivered", "converted", "cost"):
        assert sum(each[name] for each in figures["by_day"]) == treatment[name] + control[name]
    assert figures["by_day"][0]["converted_by"] == {"event": 25, "answer": 1}
    early = sums.campaign_figures(db, 4, until=date(2026, 1, 10))
    assert early["arms"]["treatment"]["triggered"] == 50
    assert early["by_day"] == figures["by_day"][:1]
    found = all_of(lambda **f: queries.triggers(db, **f), 33, campaign=4)
    assert len(found) == 100
    assert found[0]["body"]["message"] == "Come back"
    converted = all_of(lambda **f: queries.triggers(db, **f), 10, campaign=4, status="converted")
    assert len(converted) == 52
    assert {each["converted_at"] for each in converted} == {utc(MARCH)}
    assert [each["customer_id"] for each in converted if each["converted_by"] == "answer"] == ["c1"]
    assert len(all_of(lambda **f: queries.triggers(db, **f), 10, arm="control", status="triggered")) == 12
    assert queries.triggers(db, status="lost").rows == []
    assert sums.programme_totals(db)["campaigns"]["triggered:treatment"] == 76


#: Newcombe (1998), table II, method 10: converted, of; less converted, of; the bounds.
PUBLISHED = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("converted", "of", "less", "less_of", "low", "high"), PUBLISHED)
def test_an_uplift_has_the_interval_that_was_published(
    converted: int, of: int, less: int, less_of: int, low: float, high: float
) -> None:
    found = sums.uplift({"triggered": of, "converted": converted}, {"triggered": less_of, "converted": less})
    assert found is not None
    assert found["value"] == pytest.approx(converted / of - less / less_of)
    assert (round(found["low"], 4), round(found["high"], 4)) == (low, high)


def test_an_uplift_needs_both_arms() -> None:
    assert sums.uplift({"triggered": 0, "converted": 0}, {"triggered": 80, "converted": 48}) is None
    assert sums.uplift({"triggered": 80, "converted": 48}, {"triggered": 0, "converted": 0}) is None


def test_leaders_share_a_rank(logs: Logs, db: Connection) -> None:
    for who, points in (("a", 10), ("b", 30), ("c", 30), ("d", 5)):
        logs.event(who, "recharge", JANUARY, 5)
        logs.grant(who, JANUARY, points=points, balance=points)
        logs.scores(who, JANUARY, float(points) + 0.5)
        logs.mission(who, JANUARY, "completed" if points > 5 else "given")
        for level in range(1, 1 + points // 10):
            logs.badge(who, JANUARY, level=level)
    logs.event("c", "customer_ended", LATER)
    logs.grant("e", JANUARY, points=30, balance=2)
    logs.write()
    assert sums.leaderboard(db) == [
        {"rank": 1, "customer_id": "b", "value": 30}, {"rank": 1, "customer_id": "e", "value": 30},
        {"rank": 3, "customer_id": "a", "value": 10}, {"rank": 4, "customer_id": "d", "value": 5},
    ]  # fmt: skip
    assert [each["customer_id"] for each in sums.leaderboard(db, "balance", limit=2)] == ["b", "a"]
    assert sums.leaderboard(db, "badges")[0] == {"rank": 1, "customer_id": "b", "value": 3}
    assert {each["customer_id"] for each in sums.leaderboard(db, "missions")} == {"a", "b"}
    assert sums.leaderboard(db, "risk")[0] == {"rank": 1, "customer_id": "b", "value": 30.5}
    with pytest.raises(ValueError, match="a leaderboard is by"):
        sums.leaderboard(db, "luck")


def test_a_session_will_do_too(logs: Logs, database: str) -> None:
    logs.everything("a", JANUARY)
    logs.write()
    engine = create_engine(database)
    with Session(engine) as session:
        assert queries.scores(session, "a") is not None
        assert len(queries.ledger(session).rows) == 1
    engine.dispose()


def test_what_is_kept_for_how_long_is_said_for_tables_with_days() -> None:
    assert schema.KEPT[schema.events] == 90
    assert all("day" in table.c and "partition" in table.c for table in schema.KEPT)
    assert timedelta(days=min(schema.KEPT.values())) == timedelta(days=schema.EVENT_DAYS)
