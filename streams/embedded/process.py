"""Processes that outlive the command that started them: free ports, finding them again, ending them."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from config.errors import KhayweError

# (what happens now, share of it that is done 0..1 or None where nobody knows)
Progress = Callable[[str, float | None], None]

HOST = "127.0.0.1"
# Seconds that a server gets to end by itself: Kafka writes its logs out, PostgreSQL a checkpoint.
STOP_TIMEOUT = 60.0
GIST_LINES = 12
LINGERING = 10.0  # seconds
# Below the ports that systems give to clients: while a broker is away its own clients, which keep knocking,
# could otherwise be given its port, and it would have to come back at another.
PORTS = range(10_000, 32_000)
FRESH = "new-"


class ServiceError(KhayweError):
    """An embedded service cannot be started or stopped."""


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A server that has just ended leaves connections behind that bar nobody.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(wanted: list[int | None]) -> list[int]:
    """For each wanted port itself where it is free or soon will be, else another free one; all differ."""
    ports: list[int] = []
    until = time.monotonic() + LINGERING
    for port in wanted:
        # A killed server holds its port until all of it is gone, and its clients know no other.
        while port is not None and not _is_free(port) and time.monotonic() < until:
            time.sleep(0.05)
        while port is None or port in ports or not _is_free(port):
            port = random.choice(PORTS)
        ports.append(port)
    return ports


def processes(name: str, directory: Path) -> list[psutil.Process]:
    """Living processes of that name at work in that directory: no pid file of a dead one can mislead."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == name and process.cwd() == str(directory.resolve()):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    """Is it at work?  One that has ended and waits for its parent to notice is not."""
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def stop(process: psutil.Process, how: signal.Signals, what: str) -> None:
    """Send the signal for a clean end and wait; SIGKILL after `STOP_TIMEOUT`, which both services survive."""
    with suppress(psutil.NoSuchProcess):
        for each in (how, signal.SIGKILL):
            process.send_signal(each)
            with suppress(psutil.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
                return
        raise ServiceError(f"{what} (process {process.pid}) does not end", "see who holds it up: ps, dmesg")


def log_size(log: Path) -> int:
    """Bytes in the log so far; 0 where there is none."""
    return log.stat().st_size if log.exists() else 0


def log_since(log: Path, start: int) -> str:
    """What was logged after byte `start`."""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def gist(said: str) -> str:
    """The last lines of a log, without the steps of Java's stack traces."""
    lines = [line for line in said.splitlines() if not line.lstrip().startswith(("at ", "... "))]
    return "\n".join(lines[-GIST_LINES:])


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step that a power cut cannot halve."""
    new = path.with_name(f"{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def fresh_directory(parent: Path) -> Iterator[Path]:
    """An empty directory to prepare in what is then moved to its place: a power cut leaves no half."""
    with tempfile.TemporaryDirectory(prefix=FRESH, dir=parent) as fresh:
        yield Path(fresh)


def own_directory(path: Path) -> None:
    """Make the directory of a service, or remove what an unfinished preparation left in it."""
    path.mkdir(exist_ok=True)
    for left in path.glob(f"{FRESH}*"):
        shutil.rmtree(left, ignore_errors=True)
