"""The API with its console over the real services, and a caller of each role: for several folders."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from catalog.governance.audit import Caller
from catalog.governance.people import ROLES
from streams.identity import free_port
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import Pipeline
from web.api.app import create
from web.api.doors import PREFIX
from web.api.parts import Parts

BY_TEST = Caller("test", "admin", "cli")

#: `api(role)` is a client of that role, `api()` one without a key.
Api = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def pipeline() -> Iterator[Pipeline]:
    """Kafka and PostgreSQL of the API's own: its revisions are on the topic `catalog`."""
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-api-"))
    made = Pipeline(home, partitions=2)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def parts(pipeline: Pipeline) -> Iterator[Parts]:
    """What the app is made of.  A worker answers once `live` has started it."""
    url = f"http://127.0.0.1:{free_port('127.0.0.1', 0)}"
    found = Parts.open(pipeline.settings.model_copy(update={"api_rate": 1e6, "worker_url": url}))
    yield found
    found.close()


@pytest.fixture(scope="session")
def live(pipeline: Pipeline, parts: Parts) -> Iterator[Worker]:
    """A worker on the same services, which has taken its partitions over."""
    environment = pipeline.environment | {
        "KHAYWE_WORKER": "a",
        "KHAYWE_WEB_PORT": str(parts.settings.worker_url).rsplit(":", 1)[1],
    }
    # No poller: tests poll themselves.
    command = ["-m", "tests.faults.khaywe", "worker", "--agents", "normalizer,customers,projector"]
    worker = Worker(command, environment, pipeline.home / "a.log")
    with workers(worker):
        worker.start()
        until("the worker is well", lambda: _well(parts), 180, worker.log)
        yield worker


def _well(parts: Parts) -> bool:
    try:
        return httpx.get(f"{parts.settings.worker_url}/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def app(parts: Parts) -> FastAPI:
    """The app."""
    return create(parts)


@pytest.fixture(scope="session")
def keys(parts: Parts) -> dict[str, str]:
    """A key of each role."""
    found: dict[str, str] = {}
    for role in ROLES:
        parts.people.add_user(f"a-{role}", role, BY_TEST)
        found[role] = parts.people.issue(f"a-{role}", "", None, BY_TEST).key
    return found


@pytest.fixture(scope="session")
def address(app: FastAPI) -> Iterator[str]:
    """Where the app listens, on a real socket."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def api(address: str, keys: dict[str, str]) -> Iterator[Api]:
    """Clients by role."""
    clients: dict[str | None, httpx.Client] = {}

    def client(role: str | None = None, key: str | None = None) -> httpx.Client:
        given = key or (keys[role] if role is not None else None)
        if given not in clients:
            headers = {"X-API-Key": given} if given is not None else {}
            clients[given] = httpx.Client(base_url=f"{address}{PREFIX}", headers=headers, timeout=300)
        return clients[given]

    yield client
    for each in clients.values():
        each.close()
