"""Who a worker is: its stable name, and a port for its web views."""

from __future__ import annotations

import fcntl
import socket
from typing import IO

from config.errors import KhayweError
from config.settings import Settings

#: Held for the life of the process: the lock on this worker's name.
_locks: list[IO[str]] = []


def worker_name(settings: Settings) -> str:
    """The worker's name: KHAYWE_WORKER, else the first of worker-1, worker-2 ... that no process here holds.

    The name is stable over restarts: it names the transactional ids, whose open transactions the next
    life of the worker ends, and the directory of its RocksDB.
    """
    root = settings.home_dir / "workers"
    wanted = [settings.worker] if settings.worker else [f"worker-{n}" for n in range(1, 1000)]
    for name in wanted:
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        lock = open(directory / "lock", "w")  # noqa: SIM115  (held until the process ends)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return name
    raise KhayweError(
        f"worker {wanted[0]!r} runs already on this machine",
        hint="set KHAYWE_WORKER to another name, or leave it unset",
    )


def free_port(host: str, wanted: int) -> int:
    """`wanted` if it is free on `host`, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise KhayweError(
        f"no free port on {host} for the web views", hint="set KHAYWE_WEB_HOST and KHAYWE_WEB_PORT"
    )
