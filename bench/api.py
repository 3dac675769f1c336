"""How fast the REST API reads while a worker has all the work it can take: `python -m bench api`.

The records are in Kafka before the clock starts, so that the worker (all its agents, models inline, the
projector too) is never without work; a few clients ask `khaywe api` one question after another meanwhile.
What a question takes is measured where it is asked.  All of it shares the machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from rich.console import Console

from bench.generate import cdr_blocks
from bench.pipeline import DAYS, PARTITIONS, WARM, WEB_PORT, add_source, environment, metrics, records, send
from catalog.draft import seed
from config import topics as names
from config.settings import Settings
from streams import topics
from streams.embedded import services as embedded
from web.api.doors import PREFIX

EVENTS, CUSTOMERS = 3_000_000, 20_000
API_PORT = 16_080
#: Who asks at the same time, for how long at most, and how long anything may take to start.
CLIENTS, SECONDS, READY_SECONDS = 4, 30.0, 180.0

#: Reads in turn; `{id}` is another customer each time.
READS = {
    "customer": "/customers/{id}/",
    "behavior scores": "/behavior-scores/{id}/",
    "missions": "/missions/?customer_id={id}",
    "ledger": "/ledger/?customer_id={id}",
    "usage": "/customers/{id}/usage/",
    "predictions": "/predictions/{id}/",
    "leaderboard": "/leaderboards/?by=points",
    "offers": "/campaigns/available-offers/",
    "dashboard": "/dashboard/",
}

KHAYWE = (sys.executable, "-c", "from cli.main import main; main()")

say = Console(stderr=True).print


def run(events: int = EVENTS, customers: int = CUSTOMERS, seconds: float = SECONDS) -> dict[str, Any]:
    """One run in a home of its own; returns the figures."""
    home = Path(tempfile.mkdtemp(prefix="khaywe-bench-"))
    settings = Settings(_env_file=None, home=home, clock="event", partitions=PARTITIONS, web_port=WEB_PORT)
    try:
        embedded.up(settings, lambda what, share: None)
        topics.create(settings)
        add_source(settings, seed(), predict=True)
        send(settings, names.raw_topic("cdr"), records(events, customers))
        with ExitStack() as running:
            return _measure(settings, events, customers, seconds, running)
    finally:
        embedded.down(settings, lambda what, share: None)
        shutil.rmtree(home, ignore_errors=True)


def _measure(
    settings: Settings, events: int, customers: int, seconds: float, running: ExitStack
) -> dict[str, Any]:
    key, api = serve(settings, API_PORT, "viewer", running)
    worker = _start("worker", environment(settings), running)
    folded = 0.0

    def is_warm() -> bool:
        nonlocal folded
        folded = _folded()
        return folded >= WARM * events

    _until(f"the worker has folded {WARM:.0%} of the records", is_warm, worker)
    ids = _ids(customers)
    with _client(key) as http:
        for path in READS.values():  # connections are made, what is compiled at first use is compiled
            http.get(path.format(id=ids[0]))
    folded = _folded()
    say(f"{CLIENTS} clients ask while the worker folds")
    process = psutil.Process(api.pid)
    cpu, started, before = sum(process.cpu_times()[:2]), time.perf_counter(), folded
    took = _ask(key, ids, lambda: _folded() < events and time.perf_counter() - started < seconds)
    wall, after = time.perf_counter() - started, _folded()
    reads = sum(map(len, took.values()))
    if not reads:
        raise RuntimeError("the worker was done before anything was asked: send more events")
    return {
        "clients": CLIENTS,
        "customers": customers,
        "seconds": round(wall, 1),
        "worker_events_per_second": round((after - before) / wall),
        "reads": reads,
        "reads_per_second": round(reads / wall),
        "api_cpu_ms_per_read": round((sum(process.cpu_times()[:2]) - cpu) * 1000 / reads, 2),
        **_shares([each for times in took.values() for each in times]),
        "by_read": {name: {"reads": len(times), **_shares(times)} for name, times in took.items()},
    }


def serve(
    settings: Settings, port: int, role: str, running: ExitStack
) -> tuple[str, subprocess.Popen[bytes]]:
    """`khaywe api`, once it answers: a key of that role, and the process, which ends with `running`."""
    given = {**environment(settings), "KHAYWE_API_PORT": str(port), "KHAYWE_API_RATE": "1000000"}
    made = [*KHAYWE, "api", "key", "create", "--user", "bench", "--role", role]
    key = subprocess.run(made, env=given, check=True, capture_output=True, text=True).stdout.strip()
    process = _start("api", given, running)
    _until("the API answers", lambda: _is_well(f"http://127.0.0.1:{port}"), process)
    return key, process


def _ask(key: str, ids: list[str], go_on: Callable[[], bool]) -> dict[str, list[float]]:
    """What each read took, in seconds, of all clients."""
    took: dict[str, list[float]] = defaultdict(list)
    faults: list[str] = []
    over = threading.Event()

    def client(number: int) -> None:
        turn = number * len(ids) // CLIENTS
        with _client(key) as http:
            for name, path in cycle(READS.items()):
                if over.is_set():
                    return
                turn += 1
                started = time.perf_counter()
                answer = http.get(path.format(id=ids[turn % len(ids)]))
                took[name].append(time.perf_counter() - started)
                if answer.status_code not in (200, 404):  # 404: a model has not spoken of the customer yet
                    faults.append(f"{path}: {answer.status_code} {answer.text[:200]}")
                    return

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while go_on() and not faults:
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    if faults:
        raise RuntimeError(faults[0])
    return took


def _client(key: str) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{API_PORT}{PREFIX}", headers={"X-API-Key": key}, timeout=60
    )


def _shares(times: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    return {"p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1)}


def _ids(customers: int) -> list[str]:
    """Some of the customers, each once."""
    keys, _ = next(cdr_blocks(7, customers, 10_000, DAYS, datetime(2026, 1, 1, tzinfo=UTC)))
    return [key.decode() for key in dict.fromkeys(keys)]


def _folded() -> float:
    return metrics().get(("khaywe_events_total", "events"), 0.0)


def _start(command: str, given: dict[str, str], running: ExitStack) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([*KHAYWE, command], env=given, stdout=subprocess.DEVNULL)
    running.callback(process.wait, 60)
    running.callback(process.terminate)
    return process


def _until(what: str, holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + READY_SECONDS
    while not holds():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"not so: {what}")
        time.sleep(0.1)


def _is_well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
