"""What every test may use: real Kafka and PostgreSQL, started once a session, in a home of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy import create_engine, make_url, text

from config.settings import Settings
from streams.embedded import services as embedded
from streams.topics import await_topics
from tests import homes
from tests.homes import HOMES, quiet


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings() -> Iterator[None]:
    """No test depends on the KHAYWE_* of whoever runs it."""
    mine = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("KHAYWE_")}
    yield
    os.environ.update(mine)


@pytest.fixture(scope="session")
def services() -> Iterator[Settings]:
    """Settings of a running Kafka and PostgreSQL, the clock at `event`."""
    _sweep()
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    settings = Settings(_env_file=None, home=home, clock="event")
    try:
        homes.up(settings)
        yield settings
    finally:
        homes.end(settings)
        shutil.rmtree(home)


def _sweep() -> None:
    """End what a test run that was killed has left behind."""
    for home in Path(tempfile.gettempdir()).glob(f"{HOMES}*"):
        try:
            mine = home.stat().st_uid == os.getuid()
            left = mine and not psutil.pid_exists(int(home.name.removeprefix(HOMES).split("-")[0]))
        except (FileNotFoundError, OverflowError):
            continue  # another run has just swept it; a number that no process has
        if left:
            embedded.down(Settings(_env_file=None, home=home), quiet)
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def environment(services: Settings) -> dict[str, str]:
    """Environment of a `khaywe` process that is to use `services`."""
    return {**os.environ, "KHAYWE_HOME": str(services.home), "KHAYWE_CLOCK": services.clock}


@pytest.fixture
def topics(services: Settings) -> Callable[..., str]:
    """`topics(name)`: a name of its own; `topics(name, partitions=4, config={})` makes the topic too."""
    admin = AdminClient(services.kafka_config())

    def unique(
        name: str = "topic", partitions: int | None = None, config: dict[str, str] | None = None
    ) -> str:
        topic = f"{name}-{uuid4().hex[:12]}"
        if partitions is not None:
            new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config or {})
            admin.create_topics([new])[topic].result()
            await_topics(admin, {topic: partitions})
        return topic

    return unique


@pytest.fixture
def database(services: Settings) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database."""
    name = f"test_{uuid4().hex[:12]}"
    server = create_engine(services.database_url(), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield make_url(services.database_url()).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    server.dispose()
