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

from cli.ask_worker import NoAnswer, UnknownCustomer, fetch, web_url
from cli.customer import bar, number, portrait
from config.settings import Settings
from streams.identity import free_port

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


class Worker(BaseHTTPRequestHandler):
    """A worker's web views, which know one customer."""

    def do_GET(self) -> None:
        customer = unquote(self.path.removeprefix("/customers/"))
        answers: dict[str, tuple[int, Any]] = {
            KNOWN: (200, CUSTOMER),
            "moving": (503, {"error": "the partition is moving"}),
            "strange": (200, None),
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


def shown(found: dict[str, Any]) -> str:
    """What a person sees."""
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(portrait(found))
    return capture.get()


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
