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

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from config.settings import SERVICES_FILE, Settings
from streams.embedded import kafka, postgres, process
from streams.embedded.process import HOST, Progress

ELSEWHERE_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Service:
    """One of the two.  `elsewhere`: a setting names it, khaywe neither starts nor stops it."""

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
    found = status(settings)
    facts: dict[str, object] = {"pids": {}, "versions": {}}
    for service in (found.kafka, found.database):
        if service.state == "running" and not service.elsewhere:
            facts[service.name] = service.address
            facts["pids"] |= {service.name: service.pid}  # type: ignore[operator]
            facts["versions"] |= {service.name: service.version}  # type: ignore[operator]
    process.write_atomically(settings.home_dir / SERVICES_FILE, json.dumps(facts, indent=2) + "\n")
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
    at = postgres.port(home)
    if running is None or at is None:
        return Service("database", "stopped", False, log=postgres.log(home))
    version = postgres.answers(home)
    state: Literal["running", "silent"] = "running" if version else "silent"
    return Service("database", state, False, postgres.url(home, at), version, running.pid, postgres.log(home))


def _database_elsewhere(address: str) -> Service:
    engine = create_engine(address, connect_args={"connect_timeout": int(ELSEWHERE_TIMEOUT)})
    try:
        with engine.connect() as connection:
            version = connection.execute(text("show server_version")).scalar_one()
    except SQLAlchemyError:
        return Service("database", "silent", True, make_url(address).render_as_string())
    finally:
        engine.dispose()
    return Service("database", "running", True, make_url(address).render_as_string(), version)
