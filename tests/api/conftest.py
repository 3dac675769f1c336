"""One app over the real services, with a caller of each role."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import create_engine, make_url, text

from catalog.governance.audit import Caller
from catalog.governance.people import ROLES
from config.settings import Settings
from streams.topics import create as create_topics
from web.api.app import create
from web.api.doors import PREFIX
from web.api.parts import Parts

BY_TEST = Caller("test", "admin", "cli")

#: `api(role)` is a client of that role, `api()` one without a key.
Api = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def api_settings(services: Settings) -> Iterator[Settings]:
    """The session's Kafka, and a database of the API's tests."""
    server = create_engine(services.database_url(), isolation_level="AUTOCOMMIT")
    name = "test_api"
    with server.connect() as connection:
        connection.execute(text(f"create database {name}"))
    url = make_url(services.database_url()).set(database=name).render_as_string(hide_password=False)
    create_topics(services)
    # No worker listens there: what is live is asked in tests of its own.
    yield services.model_copy(update={"database": url, "api_rate": 1e6, "worker_url": "http://127.0.0.1:9"})
    with server.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    server.dispose()


@pytest.fixture(scope="session")
def parts(api_settings: Settings) -> Iterator[Parts]:
    """What the app is made of."""
    found = Parts.open(api_settings)
    yield found
    found.close()


@pytest.fixture(scope="session")
def app(parts: Parts) -> FastAPI:
    """The app."""
    return create(parts)


@pytest.fixture(scope="session")
def keys(parts: Parts) -> dict[str, str]:
    """A key of each role."""
    found = {}
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
            clients[given] = httpx.Client(base_url=f"{address}{PREFIX}", headers=headers, timeout=30)
        return clients[given]

    yield client
    for each in clients.values():
        each.close()
