"""`khaywe up`, `down` and `status`: Kafka and PostgreSQL together, one start at a time.

What runs is written to KHAYWE_HOME/services.json, where `config.settings` reads the addresses.  A service
that a setting names elsewhere is neither started nor stopped.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from config.settings import SERVICES_FILE, Settings
from streams.embedded import kafka, postgres, process
from streams.embedded.process import HOST, Progress

ELSEWHERE_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two.  `elsewhere`: a setting names it, khaywe neither starts nor stops it.

    `address` shows no password: services.json has it.
    """

    name: Literal["kafka", "database"]
    state: Literal["running", "stopped", "silent"]
    elsewhere: bool
    address: str | None = None
    version: str | None = None
    pid: int | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Where both are."""

    kafka: Service
    database: Service


def up(settings: Settings, progress: Progress) -> Services:
    """Start what does not run yet and no setting names elsewhere.  Raises ServiceError."""
    home = settings.home_dir
    home.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(home, progress):
        if settings.kafka is None:
            kafka.start(home, progress)
        if settings.database is None:
            postgres.start(home, progress)
        return _written_down(settings)


def down(settings: Settings, progress: Progress) -> Services:
    """Stop what `up` started; the data stays.  Raises ServiceError."""
    home = settings.home_dir
    if not home.exists():
        return status(settings)
    with _one_at_a_time(home, progress):
        broker = kafka.find(home)
        if broker is not None:
            progress("Stopping Kafka", None)
            kafka.stop(broker)
        server = postgres.find(home)
        if server is not None:
            progress("Stopping PostgreSQL", None)
            postgres.stop(server)
        return _written_down(settings)


def status(settings: Settings) -> Services:
    """Where both are and whether they answer; starts and changes nothing."""
    return Services(
        _kafka_elsewhere(settings) if settings.kafka else _kafka_here(settings.home_dir),
        _database_elsewhere(settings.database) if settings.database else _database_here(settings.home_dir),
    )


@contextmanager
def _one_at_a_time(home: Path, progress: Progress) -> Iterator[None]:
    """The kernel gives the lock back when its holder ends, however that ends."""
    with (home / "services.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting for another khaywe that starts or stops the services", None)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _written_down(settings: Settings) -> Services:
    """What runs here now, written to services.json, which only this user may read."""
    home = settings.home_dir
    found = status(settings)
    here = [each for each in (found.kafka, found.database) if each.state == "running" and not each.elsewhere]
    addresses = {each.name: each.address for each in here}
    if "database" in addresses:
        addresses["database"] = postgres.url(home).render_as_string(hide_password=False)
    facts = addresses | {
        "pids": {each.name: each.pid for each in here},
        "versions": {each.name: each.version for each in here},
    }
    process.write_atomically(home / SERVICES_FILE, json.dumps(facts, indent=2) + "\n")
    return found


def _kafka_here(home: Path) -> Service:
    running = kafka.find(home)
    if running is None:
        return Service("kafka", "stopped", False, log=kafka.log(home))
    address = f"{HOST}:{kafka.port(home)}"
    answered = kafka.answers({"bootstrap.servers": address}, ELSEWHERE_TIMEOUT) == kafka.cluster_id(home)
    state: Literal["running", "silent"] = "running" if answered else "silent"
    return Service("kafka", state, False, address, kafka.VERSION, running.pid, kafka.log(home))


def _kafka_elsewhere(settings: Settings) -> Service:
    answered = kafka.answers(settings.kafka_config(), ELSEWHERE_TIMEOUT)
    return Service("kafka", "running" if answered else "silent", True, settings.kafka)


def _database_here(home: Path) -> Service:
    running = postgres.find(home)
    if running is None:
        return Service("database", "stopped", False, log=postgres.log(home))
    version = postgres.answers(home)
    state: Literal["running", "silent"] = "running" if version else "silent"
    address = postgres.url(home).render_as_string()
    return Service("database", state, False, address, version, running.pid, postgres.log(home))


def _database_elsewhere(address: str) -> Service:
    engine = create_engine(
        address, poolclass=NullPool, connect_args={"connect_timeout": int(ELSEWHERE_TIMEOUT)}
    )
    shown = engine.url.render_as_string()
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
    except OperationalError:
        return Service("database", "silent", True, shown)
    return Service("database", "running", True, shown, version)
