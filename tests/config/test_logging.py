"""Logs are lines: what a message, a line break and an exception become."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from config.logging import OneLine

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w+) +([\w.]+): (.*)")


def _record(message: str, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("streams.x", logging.WARNING, __file__, 1, message, (), info)


def _failure() -> Exception:
    try:
        raise ValueError("three\nlines\nlong")
    except ValueError as error:
        return error


def test_a_message_is_one_line() -> None:
    found = LINE.fullmatch(OneLine(False).format(_record("partition 3\nis lost")))
    assert found is not None
    assert found.groups() == ("WARNING", "streams.x", "partition 3 | is lost")


def test_an_exception_is_on_the_line_without_its_traceback() -> None:
    line = OneLine(False).format(_record("gave up", _failure()))
    assert line.endswith("gave up: ValueError: three | lines | long")


def test_at_debug_the_traceback_is_shown() -> None:
    assert "Traceback (most recent call last)" in OneLine(True).format(_record("gave up", _failure()))


@pytest.mark.parametrize(
    ("level", "words"), [("info", ["ours", "loud"]), ("debug", ["ours", "chat", "loud"])]
)
def test_libraries_are_heard_from_warning_on(level: str, words: list[str]) -> None:
    code = (
        f"import logging; from config.logging import setup; setup({level!r}); "
        "logging.getLogger('streams').info('ours'); logging.getLogger('aiokafka.x').info('chat'); "
        "logging.getLogger('aiokafka.x').warning('loud')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout
    assert [line.rsplit(" ", 1)[1] for line in done.stderr.splitlines()] == words
