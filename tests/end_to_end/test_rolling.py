"""Two workers restarted one after the other under load: nothing is lost, doubled, or restored whole.

How long partitions stood still is printed, not compared: it is the machine's as much as khaywe's.
"""

from __future__ import annotations

from pathlib import Path

from bench import rolling


def test_a_rolling_restart_loses_nothing(tmp_path: Path) -> None:
    rolled = rolling.run(tmp_path / "home", rate=200, customers=500)
    print(rolling.shown(rolled))
    assert [each.worker for each in rolled.restarts] == ["a", "b"]
    assert rolled.full == 0
    assert rolled.tails >= 4
