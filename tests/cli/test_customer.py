"""`khaywe customer show`: what it asks, what it shows, and what it says when there is no answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
from rich.console import Console

from cli.customer import bar, number, portrait
from cli.grants import open_grants, points_owed
from cli.timeline import Names
from cli.timeline import words as words_of
from cli.why import explained
from config.settings import Settings
from config.topics import BADGE_AWARDS, CAMPAIGN_TRIGGERS, MISSION_PROGRESS, REWARD_GRANTS
from streams.identity import free_port
from web.ask_worker import NoAnswer, UnknownCustomer, UnknownName, fetch, fetch_why, web_url

KNOWN = "+880 01/82"
CUSTOMER = {
    "customer_id": KNOWN,
    "as_of": "2020-03-01T00:00:00.000Z",
    "state": "open",
    "revision": 3,
    "scores": {
        "engagement": {
            "value": 22.75,
            "components": {
                "calls": {"measure": 31, "full_at": 60, "points": 15.5, "weight": 30},
                "data": {"measure": 2475.125, "full_at": 10240, "points": 7.25, "weight": 30},
            },
        }
    },
    "counters": {"calls_30_days": 31, "calls_lifetime": 1200, "revenue_lifetime": 15.5, "active_weeks": 9},
    "recent": [{"event_type": "sms", "occurred_at": "2020-02-29T23:00:00Z", "value": 1}],
    "profile": {"segment": "youth", "consent": True},
}  # fmt: skip


PLAYER = CUSTOMER | {
    "opted": "out",
    "missions": [
        {
            "name": "Data Usage Goal", "percent": 45, "progress": 540.0, "target": 1200.0,
            "ends_at": "2020-03-20T10:30:00.000Z",
        },
        {"name": "Capped", "percent": 0, "progress": 0.0, "target": 2.0, "ends_at": None},
    ],
    "badges": [{"name": "Power User", "level_name": "silver"}],
    "campaigns": [
        {
            "number": 4, "name": "Sale", "status": "held", "arm": "control", "times": 2, "day": "2020-02-29",
            "triggered_at": "2020-02-29T23:00:00.000Z", "held_until": "2020-03-01T08:00:00.000Z",
        },
    ],
    "points": {
        "balance": 1250, "debt": 7, "tier": "silver", "next_tier": {"name": "gold", "points_missing": 4_375},
        "earned_this_year": 1_300, "expiring_next": {"ends": "2021-02-01", "points": 300},
    },
    "grants": [{"name": "Cinema", "offer": 7, "granted_at": "2020-02-01", "repeats": 2, "grant_id": "f00"}],
}  # fmt: skip


class Worker(BaseHTTPRequestHandler):
    """A worker's web views, which know one customer."""

    def do_GET(self) -> None:
        assert isinstance(self.server, HTTPServer)
        own = f"http://127.0.0.1:{self.server.server_port}/"
        customer = unquote(self.path.removeprefix("/customers/"))
        answers: dict[str, tuple[int, Any]] = {
            KNOWN: (200, CUSTOMER),
            "moving": (503, {"error": "the partition is moving"}),
            "strange": (200, None),
            "odd/why?mission=No & no": (404, {"error": "the catalog has no mission 'No & no'"}),
            "odd/why": (200, {"customer_id": "odd"}),
            "/tables": (200, {"workers": {own: [0, 1], "http://nobody:1": []}}),
            "/grants": (200, {"grants": [{"granted_at": "1", "customer_id": "a", "grant_id": "f"}]}),
            "/points": (200, {"partitions": [{"owed": {"2021-03-01": 1}}, {"owed": {"2021-03-01": 2}}]}),
        }
        status, body = answers.get(customer, (404, {"error": f"customer {customer} is unknown"}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode() if body is not None else b"<html>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def config() -> Iterator[Settings]:
    """Settings that lead to it."""
    server = HTTPServer(("127.0.0.1", 0), Worker)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Settings(_env_file=None, web_host="0.0.0.0", web_port=server.server_port)
    server.shutdown()
    server.server_close()


def printed(what: Any) -> str:
    """What a person sees."""
    console = Console(width=140, no_color=True)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def shown(found: dict[str, Any]) -> str:
    """A portrait as a person sees it."""
    return printed(portrait(found, [("2020-02-03T10:20:30.000Z", "+50 points for Save, balance 80")]))


def test_a_customer_with_every_sign_in_the_id(config: Settings) -> None:
    assert fetch(config, KNOWN) == CUSTOMER


def test_scores_counters_profile_and_events_are_shown() -> None:
    lines = shown(CUSTOMER).splitlines()
    assert lines[0] == f"{KNOWN}  as of 2020-03-01T00:00:00.000Z, catalog revision 3"
    words = [line.split() for line in lines]
    assert ["engagement", "22.75", "100", "█████" + "░" * 15] in [
        [*line[:3], "".join(line[3:])] for line in words
    ]
    assert any(line[:5] == ["calls", "31", "60", "15.50", "30"] for line in words)
    assert any(line[:5] == ["data", "2,475.12", "10,240", "7.25", "30"] for line in words)
    assert ["calls", "31", "1,200"] in words
    assert ["revenue", "15.50"] in words
    assert ["active_weeks", "9"] in words
    assert ["consent", "yes"] in words
    assert ["2020-02-29T23:00:00Z", "sms", "1"] in words


def test_missions_badges_points_grants_and_the_timeline_are_shown() -> None:
    said = shown(PLAYER)
    assert "opted out" in said.splitlines()[0]
    words = [line.split() for line in said.splitlines()]
    bar_ = "█" * 9 + "░" * 11
    assert ["Data", "Usage", "Goal", bar_, "45", "%", "540", "1,200", "2020-03-20", "10:30"] in words
    assert "waits for its account" in said
    assert ["Power", "User", "silver"] in words
    assert "Sale held (control) 2 2020-02-29T23:00:00.000Z held until" in " ".join(said.split())
    assert ["balance", "1,250", "debt", "7"] in words
    assert ["tier", "silver", "4,375", "points", "to", "gold"] in words
    assert ["next", "to", "end", "300", "2021-02-01"] in words
    assert ["Cinema", "2020-02-01", "2", "f00"] in words
    assert "2020-02-03 10:20  +50 points for Save, balance 80" in said


def test_what_the_game_told_stands_in_words() -> None:
    names = Names({2: "Save"}, {3: "Sender"}, {1: "Top-ups"}, {7: "Cinema"})
    mission = {
        "name": "Save", "status": "given", "reason": "", "progress": 0.0, "target": 2.5,
        "ends_at": "2020-02-03T00:00:00.000Z",
    }  # fmt: skip
    grant = {
        "kind": "points", "rule": "badge:3:2", "points": 50, "offer": -1, "balance": 1_080, "repeat": 0,
    }  # fmt: skip
    spoke = {
        "campaign": 4, "name": "Sale", "status": "triggered", "by": "", "arm": "treatment", "offer": 7,
        "product": {"name": "Week"}, "message": "Come!\n",
    }  # fmt: skip
    for topic, effect, expected in (
        (MISSION_PROGRESS, mission, "mission Save: 2.50 until 2020-02-03"),
        (
            MISSION_PROGRESS, mission | {"status": "cancelled", "reason": "opted_out", "progress": 1.0},
            "mission Save cancelled (opted out): 1 of 2.50",
        ),
        (MISSION_PROGRESS, mission | {"status": "progress", "progress": 2.0}, "mission Save: 2 of 2.50"),
        (BADGE_AWARDS, {"kind": "badge", "name": "Sender", "level_name": "gold"}, "badge Sender, gold"),
        (BADGE_AWARDS, {"kind": "tier", "reason": "down", "level_name": "bronze"}, "tier: down to bronze"),
        (REWARD_GRANTS, grant, "+50 points for Sender, level 2, balance 1,080"),
        (REWARD_GRANTS, grant | {"rule": "earn:1"}, "+50 points for Top-ups, balance 1,080"),
        (
            REWARD_GRANTS, grant | {"kind": "expired", "rule": "expiry", "points": -3},
            "-3 points expired, balance 1,080",
        ),
        (
            REWARD_GRANTS, grant | {"kind": "offer", "rule": "mission:2", "offer": 7, "repeat": 2},
            "offer Cinema for Save, told again (2)",
        ),
        (CAMPAIGN_TRIGGERS, spoke, "campaign Sale triggered: offer Cinema, product Week, “Come!”"),
        (
            CAMPAIGN_TRIGGERS,
            spoke | {"arm": "control", "offer": -1, "product": None, "message": ""},
            "campaign Sale triggered (control group)",
        ),
        (
            CAMPAIGN_TRIGGERS,
            spoke | {"status": "converted", "by": "event", "offer": -1, "product": None, "message": ""},
            "campaign Sale converted by an event",
        ),
    ):  # fmt: skip
        assert words_of(topic, effect, names) == expected


def test_why_asks_with_the_name_and_says_where_there_is_none(config: Settings) -> None:
    assert fetch_why(config, "odd") == {"customer_id": "odd"}
    with pytest.raises(UnknownName, match="no mission 'No & no'"):
        fetch_why(config, "odd", mission="No & no")


def test_every_worker_that_owns_something_is_asked(config: Settings) -> None:
    assert open_grants(config) == [{"granted_at": "1", "customer_id": "a", "grant_id": "f"}]
    assert points_owed(config) == {"2021-03-01": 3}


def test_why_shows_reasons_and_what_was_seen() -> None:
    lacks = [
        {"condition": "risk >= 60", "seen": 12.5, "holds": False},
        {"condition": 'segment = "gold"', "seen": None, "holds": False},
        {"condition": "consent = yes", "seen": True, "holds": True},
    ]
    save = {
        "name": "Save", "given": False, "holds": False, "target": 1_500.0,
        "eligibility": "risk >= 60 and ...",
        "conditions": lacks,
        "reasons": [
            {"reason": "cooling", "message": "it cools down until 2020-03-10"},
            {"reason": "condition", "message": "its eligibility does not hold"},
        ],
    }  # fmt: skip
    badge = {
        "name": "Sender", "active": True, "held": ["bronze"],
        "next": {
            "level_name": "silver", "awarded": False, "holds": False, "condition": "...", "conditions": lacks,
        },
    }  # fmt: skip
    sale = {
        "name": "Sale", "trigger": "event", "ready": False, "then": "", "entry": None, "when": "",
        "when_holds": True, "when_conditions": [], "crossed": False, "audience": "risk >= 60 and ...",
        "holds": False, "conditions": lacks,
        "reasons": [
            {"reason": "consent", "message": "the customer has refused consent"},
            {"reason": "condition", "message": "its audience does not include the customer"},
        ],
    }  # fmt: skip
    top_up = sale | {
        "name": "Top up", "trigger": "crossing", "ready": True, "then": "held", "reasons": [],
        "when": "risk >= 60", "when_conditions": lacks[:1], "when_holds": False, "audience": "",
        "holds": True,
        "entry": {"status": "rest", "times": 2, "triggered_at": "2020-01-01T00:00:00.000Z"},
    }  # fmt: skip
    decision = {
        "occurred_at": "2020-02-03T10:20:30.000Z", "kind": "mission", "decision": "given", "name": "Save",
        "control": True, "conditions": lacks[2:],
    }  # fmt: skip
    now = {
        "customer_id": "c", "as_of": "t", "revision": 3, "control": True, "off": "opted_out",
        "templates": [save], "badges": [badge], "campaigns": [sale, top_up],
    }  # fmt: skip
    said = printed(explained([decision], now, whole=False))
    assert "control group" in said
    assert "opted out" in said
    assert "2020-02-03 10:20  mission given (control)  Save  consent = yes (is yes)" in said
    assert 'it cools down until 2020-03-10; risk >= 60 (is 12.50), segment = "gold" (is unknown)' in said
    assert "Sender  bronze  silver  risk >= 60 (is 12.50)" in said
    whole = printed(explained([], now, whole=True))
    assert "no decision on the topic decisions" in whole
    assert "Save is not given now; its target would be 1,500" in whole
    assert "✗ risk >= 60  (is 12.50)" in whole
    assert "✓ consent = yes  (is yes)" in whole
    assert "Sender held: bronze" in whole
    assert "Sale no the customer has refused consent; risk >= 60" in " ".join(said.split())
    assert "would be held" in said
    assert "Sale is not triggered" in whole
    assert "rest, triggered 2 times, last 2020-01-01" in whole


def test_a_closed_customer_is_marked() -> None:
    assert "linked to 0018" in shown(CUSTOMER | {"state": "linked", "linked_to": "0018"})
    assert "linked" not in shown(CUSTOMER)


def test_bars_and_numbers() -> None:
    assert [bar(share, "red").plain.count("█") for share in (0, 0.5, 1)] == [0, 10, 20]
    assert [number(value) for value in (0, 1234.0, 0.126, -1.5)] == ["0", "1,234", "0.13", "-1.50"]


def test_no_answer_says_why(config: Settings) -> None:
    with pytest.raises(UnknownCustomer, match="customer nobody is unknown"):
        fetch(config, "nobody")
    with pytest.raises(NoAnswer, match="the partition is moving"):
        fetch(config, "moving")
    with pytest.raises(NoAnswer, match="is no worker of khaywe"):
        fetch(config, "strange")
    nobody = Settings(_env_file=None, web_port=free_port("127.0.0.1", 0))
    with pytest.raises(NoAnswer, match=f"no worker answers at {web_url(nobody)}: .*refused") as error:
        fetch(nobody, "1")
    assert "khaywe worker" in error.value.hint
