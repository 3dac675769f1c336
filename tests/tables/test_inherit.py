"""A store goes from worker to worker of a machine, but never from under one that has it open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tables import store as module
from tables.store import RocksStore, inherit
from tests.faults.harness import ROOT
from tests.tables.rows import key, row

LOG = "the changelog's id"
HOLDER = """
import sys
from pathlib import Path
from tables.store import RocksStore
held = RocksStore(Path(sys.argv[1]), sys.argv[2])
print("open", flush=True)
sys.stdin.read()
held.close()
"""


def left(path: Path, offset: int, log: str = LOG) -> Path:
    """A store that somebody has closed."""
    store = RocksStore(path, log)
    store.write([key(offset)], [row(offset)], offset)
    store.close()
    return path


def test_the_furthest_one_goes_on_here(tmp_path: Path) -> None:
    mine = left(tmp_path / "mine", 10)
    others = [left(tmp_path / "a", 20), left(tmp_path / "b", 5), left(tmp_path / "c", 99, "another")]
    assert inherit(others, mine, LOG, set()) == others[0]
    assert not others[0].exists()
    store = RocksStore(mine, LOG)
    assert store.offset() == 20
    assert store.rows([key(20)[1:], key(10)[1:]]) == [row(20), None]
    store.close()
    assert inherit(others, mine, LOG, set()) is None
    assert inherit(others, tmp_path / "new" / "one", LOG, set()) == others[1]


def test_one_that_is_open_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LETS_GO_SECONDS", 0.1)
    other = left(tmp_path / "a" / "0", 100_000)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(other), LOG],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"open\n"
        busy: set[Path] = set()
        assert inherit([other], tmp_path / "mine", LOG, busy) is None
        assert busy == {other.parent}
        holder.stdin.close()
        assert holder.wait(60) == 0
    finally:
        holder.kill()
    assert inherit([other], tmp_path / "mine", LOG, busy) == other
