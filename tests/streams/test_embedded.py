"""The embedded services start, are found again, stop, and come back after every kind of end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy import create_engine, text

from config.settings import NoService, Settings
from streams.embedded import jars, kafka, postgres
from streams.embedded import services as embedded
from streams.embedded.process import ServiceError, free_ports
from streams.topics import await_topics

UP = "from config.settings import Settings; from streams.embedded.services import up; up(Settings(), print)"


class Spy:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, what: str, _share: float | None) -> None:
        self.said.append(what)

    def heard(self, words: str) -> bool:
        return any(words in what for what in self.said)


@pytest.fixture(scope="module")
def own() -> Iterator[Settings]:
    """Services that the tests of this file may kill; each test begins and ends with them running."""
    with tempfile.TemporaryDirectory() as private:  # which only its owner may enter, as a home directory is
        settings = Settings(_env_file=None, home=Path(private, "with a space", "home"))
        embedded.up(settings, Spy())
        _write_something(settings)
        yield settings
        embedded.down(settings, Spy())


def _write_something(settings: Settings) -> None:
    admin = AdminClient(settings.kafka_config())
    admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result()
    await_topics(admin, {"kept": 1})
    producer = Producer(settings.producer_config(**{"transactional.id": "test"}))
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce("kept", b"value", b"key")
    producer.commit_transaction()
    engine = create_engine(settings.database_url())
    with engine.begin() as connection:
        connection.execute(text("create table kept as select 42 as answer"))
    engine.dispose()


def _check_that_it_is_there(settings: Settings) -> None:
    engine = create_engine(settings.database_url())
    with engine.connect() as connection:
        assert connection.execute(text("select answer from kept")).scalar_one() == 42
    engine.dispose()
    consumer = Consumer(settings.kafka_config(**{"group.id": "check", "enable.auto.commit": False}))
    consumer.assign([TopicPartition("kept", 0, OFFSET_BEGINNING)])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert (message.key(), message.value()) == (b"key", b"value")


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "KHAYWE_HOME": str(settings.home)}


def _kill(pid: int | None) -> None:
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


def test_kafka_and_postgresql_answer(services: Settings, topics: Callable[..., str], database: str) -> None:
    topic = topics("orders", partitions=3)
    found = AdminClient(services.kafka_config()).list_topics(timeout=5).topics
    assert len(found[topic].partitions) == 3
    engine = create_engine(database)
    with engine.connect() as connection:
        assert connection.execute(text("select current_database()")).scalar_one() == engine.url.database
    engine.dispose()


def test_a_second_up_finds_the_first(own: Settings) -> None:
    spy = Spy()
    before = embedded.status(own)
    assert embedded.up(own, spy) == before
    assert before.kafka.state == before.database.state == "running"
    assert not spy.heard("Starting")


def test_down_and_up_keep_data_and_ports(own: Settings) -> None:
    before = embedded.up(own, Spy())
    down = embedded.down(own, Spy())
    assert down.kafka.state == down.database.state == "stopped"
    for service in (before.kafka, before.database):
        assert not psutil.pid_exists(service.pid or 0) or psutil.Process(service.pid).status() == "zombie"
    with pytest.raises(NoService):
        own.bootstrap_servers()
    with pytest.raises(NoService):
        own.database_url()
    assert embedded.down(own, Spy()) == down
    after = embedded.up(own, Spy())
    assert (after.kafka.address, after.database.address) == (before.kafka.address, before.database.address)
    assert (after.kafka.pid, after.database.pid) != (before.kafka.pid, before.database.pid)
    _check_that_it_is_there(own)


def test_a_killed_broker_and_server_come_back(own: Settings) -> None:
    before = embedded.up(own, Spy())
    _kill(before.kafka.pid)
    _kill(before.database.pid)
    gone = embedded.status(own)
    assert gone.kafka.state == gone.database.state == "stopped"
    embedded.up(own, Spy())
    _check_that_it_is_there(own)


def test_a_power_cut_leaves_nothing_in_the_way(own: Settings) -> None:
    home = own.home_dir
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    left = pid_file.read_text()
    before = embedded.up(own, Spy())
    _kill(before.kafka.pid)
    _kill(before.database.pid)
    # After the restart the number in the pid file is another process, of the very user PostgreSQL runs as.
    other = postgres._account()
    with subprocess.Popen(
        ["cat"],
        stdin=subprocess.PIPE,
        cwd="/",
        user=other.pw_uid if other else None,
    ) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *left.split("\n")[1:]]))
        (home / "services.json.new").write_text("{")
        after = embedded.up(own, Spy())
        assert stranger.poll() is None
        stranger.kill()
    assert after.kafka.state == after.database.state == "running"
    _check_that_it_is_there(own)


def test_only_one_of_two_starts_at_a_time(own: Settings) -> None:
    embedded.down(own, Spy())
    environment = _environment(own)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", UP], env=environment, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Starting Kafka" in words for words in said) == 1
    assert sum("Waiting for another khaywe" in words for words in said) == 1
    _check_that_it_is_there(own)


def test_a_start_that_was_killed_is_taken_over(own: Settings) -> None:
    embedded.down(own, Spy())
    environment = _environment(own)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", UP], env=environment, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as start:
        assert start.stdout is not None
        while "Starting Kafka" not in start.stdout.readline():
            assert start.poll() is None
        while kafka.find(own.home_dir) is None:
            assert start.poll() is None
        start.kill()
    orphan = kafka.find(own.home_dir)
    assert orphan is not None
    after = embedded.up(own, Spy())
    assert after.kafka.pid == orphan.pid
    _check_that_it_is_there(own)


def test_a_first_start_that_was_killed_leaves_no_half_directory(services: Settings) -> None:
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, home=home, kafka=services.bootstrap_servers())
        environment = _environment(settings) | {"KHAYWE_KAFKA": services.bootstrap_servers()}
        with subprocess.Popen(
            [sys.executable, "-u", "-c", UP], env=environment, stdout=subprocess.PIPE, text=True, cwd="/"
        ) as start:
            assert start.stdout is not None
            while "Preparing PostgreSQL" not in start.stdout.readline():
                assert start.poll() is None
            while not list(settings.home_dir.glob("postgres/new-*/data/base")):
                assert start.poll() is None
            start.kill()
        assert not (settings.home_dir / "postgres" / "data").exists()
        assert embedded.up(settings, Spy()).database.state == "running"
        embedded.up(settings, Spy())
        assert not list(settings.home_dir.glob("postgres/new-*"))
        embedded.down(settings, Spy())


def test_a_port_that_somebody_took_is_replaced(own: Settings) -> None:
    embedded.down(own, Spy())
    taken = kafka.port(own.home_dir)
    assert taken is not None
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", taken))
        thief.listen()
        after = embedded.up(own, Spy())
    assert after.kafka.address != f"127.0.0.1:{taken}"
    _check_that_it_is_there(own)


def test_the_file_of_addresses_is_private_and_says_what_runs(own: Settings) -> None:
    found = embedded.up(own, Spy())
    file = own.home_dir / "services.json"
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text()) == {
        "kafka": found.kafka.address,
        "database": own.database_url(),
        "pids": {"kafka": found.kafka.pid, "database": found.database.pid},
        "versions": {"kafka": "4.1.0", "database": found.database.version},
    }
    assert str(found.database.version).startswith("18.")


def test_what_a_setting_names_elsewhere_is_left_alone(
    own: Settings, services: Settings, tmp_path: Path
) -> None:
    far = Settings(
        _env_file=None, home=tmp_path, kafka=services.bootstrap_servers(), database=services.database_url()
    )
    spy = Spy()
    up = embedded.up(far, spy)
    assert not spy.said
    assert up.kafka.elsewhere
    assert up.kafka.state == up.database.state == "running"
    assert "***" in str(up.database.address)
    assert embedded.down(far, spy) == up
    assert embedded.status(services).kafka.state == "running"


def test_a_service_elsewhere_that_is_away_is_said_to_be_silent(tmp_path: Path) -> None:
    [nowhere] = free_ports([None])
    far = Settings(
        _env_file=None,
        home=tmp_path,
        kafka=f"127.0.0.1:{nowhere}",
        database=f"postgresql+psycopg2://someone:secret@127.0.0.1:{nowhere}/x",
    )
    found = embedded.status(far)
    assert (found.kafka.state, found.database.state) == ("silent", "silent")


def test_a_password_is_needed(own: Settings) -> None:
    url = own.database_url()
    wrong = create_engine(url.replace(url.split("@")[0].rsplit(":", 1)[1], "guess"))
    with pytest.raises(Exception, match="password authentication failed"):
        wrong.connect()
    wrong.dispose()


def test_the_jars_are_those_that_were_pinned(own: Settings) -> None:
    pinned = jars.pinned()
    assert f"org.apache.kafka:kafka_2.13:{kafka.VERSION}" in pinned
    found = jars.classpath(Spy())
    assert len(found) == len(pinned) == 46
    assert {jars.sha256(path) for path in found} == set(pinned.values())


def test_a_jar_that_is_another_is_refused(tmp_path: Path) -> None:
    name = "org.jspecify:jspecify:1.0.0"
    got = tmp_path / "org" / "jspecify" / "jspecify" / "1.0.0" / "jspecify-1.0.0.jar"
    got.parent.mkdir(parents=True)
    got.write_bytes(b"what somebody on the way made of it")
    with pytest.raises(ServiceError, match=r"jspecify:1\.0\.0 is not the one that was pinned"):
        jars._download(name, jars.pinned()[name], tmp_path, tmp_path / "used.jar")
    assert not (tmp_path / "used.jar").exists()


def test_a_damaged_jar_is_fetched_again(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = jars.classpath(Spy())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jars.cache().mkdir(parents=True)
    for path in whole:
        (jars.cache() / path.name).symlink_to(path)
    damaged = jars.cache() / "org.jspecify.jspecify-1.0.0.jar"
    damaged.unlink()
    damaged.write_bytes(b"half of")
    spy = Spy()
    assert [path.name for path in jars.classpath(spy)] == [path.name for path in whole]
    assert spy.heard("1 jars")
    assert jars.sha256(damaged) == jars.pinned()["org.jspecify:jspecify:1.0.0"]


def test_a_port_that_a_killed_server_still_holds_is_waited_for() -> None:
    server = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", server], **pipes) as held:  # type: ignore[call-overload]
        assert held.stdout is not None
        port = int(held.stdout.readline())
        threading.Timer(0.3, held.kill).start()
        assert free_ports([port]) == [port]
