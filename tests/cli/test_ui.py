"""What commands show: tables and JSON for people and for programs, errors of every library in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import KafkaError, KafkaException
from sqlalchemy.exc import OperationalError

from cli import ui
from cli.main import explained
from config.errors import KhayweError


def test_a_table_aligns_numbers_and_breaks_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    ui.show_table(
        ("name", "rows", "share", "there"), [("a" * 200, 1_234_567, 0.5, True), ("[b]", 1, None, False)]
    )
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "rows", "share", "there"]
    assert first.split() == ["a" * 200, "1,234,567", "0.50", "yes"]
    assert second.split() == ["[b]", "1", "-", "no"]
    assert first.index("1,234,567") + len("1,234,567") == second.index(" 1 ") + 2


def test_a_table_without_rows_is_its_headers(capsys: pytest.CaptureFixture[str]) -> None:
    ui.show_table(("name", "rows"), [])
    assert capsys.readouterr().out.split() == ["name", "rows"]


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    ui.show_json({"name": "Zażółć", "at": datetime(2024, 1, 1, tzinfo=UTC)})
    assert json.loads(capsys.readouterr().out) == {"name": "Zażółć", "at": "2024-01-01 00:00:00+00:00"}


def test_progress_off_a_terminal_is_a_line_for_each_new_thing(capsys: pytest.CaptureFixture[str]) -> None:
    with ui.progress_line() as progress:
        for share in (0.0, 0.5, 1.0):
            progress("fetching", share)
        progress("starting", None)
    with ui.progress_bar("sending", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "fetching\nstarting\n")


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (KhayweError("what", "do this"), "what", "do this"),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), "Kafka: ", "khaywe status"),
        (KafkaConnectionError("no way there"), "no way there", "khaywe status"),
        (OperationalError("select 1", {}, Exception("refused")), "PostgreSQL: refused", "khaywe status"),
        (FileNotFoundError(2, "No such file", "x.csv"), "x.csv", ""),
        (KeyError("row"), "unexpected KeyError: 'row'", "defect"),
    ],
)
def test_errors_are_explained(error: Exception, words: str, hint: str) -> None:
    said, todo = explained(error)
    assert words in said
    assert hint in todo
