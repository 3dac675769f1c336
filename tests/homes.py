"""Kafka and PostgreSQL of a test: copied from a home that was laid out once, and ended without ceremony."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import psutil

from config.settings import Settings
from streams.embedded import services as embedded

#: How the directories under the temporary one begin; the process that made one follows.
HOMES = "khaywe-test-"


def quiet(_what: str, _share: float | None) -> None:
    """Progress that nobody watches."""


def up(settings: Settings) -> None:
    """Start both in the home of these settings, or what of them does not run."""
    home = settings.home_dir
    if not any((home / name).exists() for name in ("kafka", "postgres")):
        home.mkdir(parents=True, exist_ok=True)
        # Not Python's copy: files keep their owner, whom PostgreSQL runs as.
        subprocess.run(["cp", "-a", f"{_laid_out()}/.", str(home)], check=True)
    embedded.up(settings, quiet)


def end(settings: Settings) -> None:
    """End both, whose home nobody will use again."""
    pids = settings.services().get("pids", {})
    for name, number in (("kafka", signal.SIGKILL), ("database", signal.SIGQUIT)):
        if name in pids and psutil.pid_exists(pids[name]):
            os.kill(pids[name], number)
    embedded.down(settings, quiet)


@cache
def _laid_out() -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-laid-out-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = Settings(_env_file=None, home=home)
    embedded.up(settings, quiet)
    embedded.down(settings, quiet)
    # Tests end processes, not machines: what was written stays without waiting for the disk.
    with (home / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("\nfsync = off\n")
    # Each takes ports of its own: clients of a home that has gone must not find the next one.
    (home / "kafka" / "server.properties").unlink()
    (home / "postgres" / "port").unlink()
    return home
