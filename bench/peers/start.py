"""Peers as processes: what each needs is had first, then it runs on a broker until it is told to end.

All are started alike, with `Arguments`; topics with the prefix of the run are made before, all with as many
partitions.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.peers import java
from bench.peers.records import TOPICS
from bench.peers.rules import write
from config.errors import KhayweError
from config.settings import Settings
from streams.embedded.jars import cache
from streams.topics import await_topics

REPOSITORY = Path(__file__).parents[2]
# Kafka's producer warns of batches that it sends again; each transaction of version 2 may begin with some.
QUIET = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.producer.internals.Sender=error",
)
START = 60  # seconds
PEERS = ("kafka_streams", "quix_streams", "faust_tutorial")


def command(peer: str) -> list[str]:
    """What starts a peer, without its arguments; fetched, compiled or installed where that is missing."""
    match peer:
        case "kafka_streams":
            options = ["-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "--enable-native-access=ALL-UNNAMED"]
            return [
                java.java(),
                *options,
                *QUIET,
                "-cp",
                ":".join(map(str, java.built())),
                "khaywe.peer.Main",
            ]
        case "quix_streams":
            return [*_python("quix-streams"), "bench.peers.quix_streams"]
        case "faust_tutorial":
            return [*_python("faust-tutorial"), "bench.peers.faust_tutorial"]
    raise ValueError(f"no peer: {peer}")


@contextmanager
def running(
    peer: str, settings: Settings, raw: str, prefix: str, home: Path, **options: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A peer while it runs on a raw topic; `home` is for its state, `options` are a peer's own."""
    home.mkdir(parents=True, exist_ok=True)
    arguments = {
        "broker": settings.bootstrap_servers(),
        "raw": raw,
        "prefix": prefix,
        "partitions": settings.partitions,
        "rules": write(home / "rules.json"),
        "home": home / "state",
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    given = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    make_topics(settings, prefix)
    process = subprocess.Popen([*command(peer), *given], cwd=REPOSITORY)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def group(peer: str, prefix: str) -> str:
    """The consumer group of a peer, of both hops; what it has committed says how far it is."""
    return prefix + peer.replace("_", "-")


def folded(peer: str, settings: Settings, prefix: str) -> int:
    """Records of customer-events that a peer has committed, a marker for each transaction among them."""
    topic = prefix + "customer-events"
    of = [TopicPartition(topic, at) for at in range(settings.partitions)]
    consumer = Consumer(settings.kafka_config(**{"group.id": group(peer, prefix)}))
    try:
        return sum(max(0, at.offset) for at in consumer.committed(of, 30))
    finally:
        consumer.close()


def await_assignment(peer: str, settings: Settings, prefix: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a peer has its partitions.  Raises KhayweError where it ends or takes too long."""
    admin, name = AdminClient(settings.kafka_config()), group(peer, prefix)
    until = time.monotonic() + START
    while process.poll() is None and time.monotonic() < until:
        with suppress(KafkaException):  # there is no such group yet, or its coordinator is loading
            found = admin.describe_consumer_groups([name])[name].result()
            if found.state == ConsumerGroupState.STABLE and found.members:
                return
        time.sleep(0.2)
    raise KhayweError(f"{peer} did not start", hint="see what it printed above")


def make_topics(settings: Settings, prefix: str) -> None:
    """The topics of a run, with as many partitions as khaywe's own."""
    admin = AdminClient(settings.kafka_config())
    wanted = {prefix + name: settings.partitions for name in ("customer-events", "dead-letters", *TOPICS)}
    made = admin.create_topics([NewTopic(name, count, 1) for name, count in wanted.items()])
    for future in made.values():
        future.result()
    await_topics(admin, wanted)


def _python(name: str) -> list[str]:
    """The Python of an environment of its own, made of `name`.lock, with `-m`."""
    lock = Path(__file__).with_name(f"{name}.lock")
    home = cache().parent / "peers" / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        uv = REPOSITORY / ".uv" / "bin" / "uv"
        if not uv.exists():
            raise KhayweError("uv is not there", hint="run `make install`")
        shutil.rmtree(home, ignore_errors=True)
        home.parent.mkdir(parents=True, exist_ok=True)
        for step in (
            ["venv", "--quiet", "--python", sys.executable, str(home)],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)],
        ):
            subprocess.run([str(uv), *step], check=True)
        done.touch()
    return [str(python), "-m"]
