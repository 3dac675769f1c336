"""Sums that are kept: who waits for a new one, and who gets the last."""

from __future__ import annotations

import threading

import pytest

from web.console import kept as rules
from web.console.kept import Kept


class Slow:
    """A sum that ends when it is let; it says how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self) -> int:
        self.begun += 1
        mine = self.begun
        assert self.may_end.wait(60)
        return mine


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    monkeypatch.setattr(rules, "REST", 0.0)
    monkeypatch.setattr(rules, "QUICK", -1.0)
    return Slow()


def test_the_first_waits_and_everybody_gets_what_is_newest_in_time(slow: Slow) -> None:
    sums = Kept()
    assert sums.of("a", slow) == 1
    assert sums.of("a", slow) == 2
    slow.may_end.clear()
    assert [sums.of("a", slow) for _ in range(3)] == [2, 2, 2], "while a new one is on its way"
    assert slow.begun == 3, "one at a time"
    coming = sums.coming["a"]
    slow.may_end.set()
    assert coming.result(60) == 3
    assert sums.of("a", slow) in (3, 4)
    assert sums.of("b", lambda: "another") == "another"


def test_what_is_old_does_not_do(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = Kept()
    assert sums.of("a", slow) == 1
    monkeypatch.setattr(rules, "OLD", 0.0)
    slow.may_end.clear()
    threading.Timer(0.2, slow.may_end.set).start()
    assert sums.of("a", slow) == 2


def test_it_rests_as_long_as_it_took_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "REST", 1e9)
    monkeypatch.setattr(rules, "QUICK", -1.0)
    sums, slow = Kept(), Slow()
    assert [sums.of("a", slow) for _ in range(3)] == [1, 1, 1]


def test_what_comes_at_once_is_never_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "QUICK", 60.0)
    monkeypatch.setattr(rules, "PATIENCE", 0.0)
    sums, slow = Kept(), Slow()
    assert [sums.of("a", slow) for _ in range(3)] == [1, 2, 3]


def test_who_waits_hears_what_is_wrong_and_the_next_tries_again(slow: Slow) -> None:
    def fails() -> None:
        raise OSError("away")

    sums = Kept()
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            sums.of("a", fails)
    assert sums.of("a", slow) == 1
