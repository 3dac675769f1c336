"""The demo's home: what may be removed, what counts as running, whose settings count."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from cli.demo_home import STATE, DemoError, Home, Process, State, home


def quiet(_what: str, _share: float | None) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The home of a demo that has not run yet."""
    return tmp_path / "demo"


def test_nobody_elses_directory_is_removed(path: Path) -> None:
    path.mkdir()
    (path / "services.json").write_text("{}")
    with pytest.raises(DemoError, match="is no demo's directory"):
        Home(path).check()
    assert (path / "services.json").exists()


def test_a_fresh_one_removes_what_a_demo_left(path: Path) -> None:
    Home(path).fresh(quiet)
    (path / "old").write_text("")
    old = Home(path)
    old.check()
    assert old.used
    old.fresh(quiet)
    assert not (path / "old").exists()
    assert old.state is not None
    assert old.settings().clock == "event"


def test_nobodys_kafka_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"HOME": str(path), "KAFKA": "elsewhere:9092", "CLOCK": "wall", "PARTITIONS": "7"}
    for name, value in theirs.items():
        monkeypatch.setenv(f"KHAYWE_{name}", value)
    mine = home()
    mine.fresh(quiet)
    config = mine.settings()
    assert (config.home, config.kafka, config.clock, config.partitions) == (path, None, "event", 4)
    assert mine.environment()["KHAYWE_HOME"] == str(path)
    assert not [name for name in os.environ if name.startswith("KHAYWE_")]


def test_only_a_kept_worker_that_lives_is_running(path: Path) -> None:
    Home(path).fresh(quiet)
    me = Process.of(os.getpid())

    def runs(worker: Process | None, kept: bool = True) -> bool:
        state = State("2020-01-01T00:00:00Z", 1, 2, me, worker, None, kept)
        (path / STATE).write_bytes(msgspec.json.encode(state))
        return Home(path).runs()

    assert runs(me)
    assert not runs(me, kept=False)
    assert not runs(None)
    assert not runs(Process(me.id, me.began - 100))
    assert not runs(Process(2**22 + 1, me.began))


def test_two_demos_do_not_share_a_home(path: Path) -> None:
    Home(path).fresh(quiet)
    parent = Process.of(os.getppid())
    (path / STATE).write_bytes(msgspec.json.encode(State("", 1, 2, parent)))
    with pytest.raises(DemoError, match=f"is at work in .* \\(process {parent.id}\\)"):
        Home(path).check()
    (path / STATE).write_bytes(msgspec.json.encode(State("", 1, 2, Process(parent.id, 0.0))))
    Home(path).check()
