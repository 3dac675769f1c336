"""`khaywe tick`: what it refuses before anything is sent."""

from __future__ import annotations

import subprocess

from config.settings import Settings
from tests.faults import forked


def tick(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return forked.khaywe(environment, "tick", *arguments)


def test_the_wall_clock_refuses_ticks(services: Settings, environment: dict[str, str]) -> None:
    done = tick(environment | {"KHAYWE_CLOCK": "wall"}, "--at", "2020-03-01")
    assert done.returncode == 1
    assert "error: the wall clock writes the ticks itself" in done.stderr
    assert "KHAYWE_CLOCK=event" in done.stderr


def test_a_time_must_be_one(services: Settings, environment: dict[str, str]) -> None:
    for bad in ("noon", "2150-01-01", ""):
        done = tick(environment, "--at", bad)
        assert done.returncode == 2
        assert "Invalid value for --at" in done.stderr
