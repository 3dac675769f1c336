"""Whether a peer is right before it is timed: all its effects against the reference fold's on the same log.

Not a figure more or less is allowed: what stands on each topic for each customer must be the same values in
the same order, with ids, times, conditions and points.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.generate import cdr_blocks
from bench.peers.records import TOPICS, CustomerEvent, mapper
from bench.peers.rules import REVISION, document, game
from bench.peers.start import PEERS, await_assignment, folded, running
from config.errors import KhayweError
from config.settings import Settings
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Game
from streams.embedded import services as embedded
from streams.topics import ensure_raw_topic
from tests.reference.fold import ReferenceFold
from tests.reference.records import Content, marker

WAIT, AFTER = 90.0, 3.0  # seconds without an effect
AT_MOST = 30.0  # seconds until what was told is committed
START = datetime(2025, 1, 1, tzinfo=UTC)
#: Seed, customers, records, days, start.  Many customers in two days, as in the benchmark; few for so long
#: that missions end in every way, badges rise, tiers change and points expire.
LOGS = ((5, 300, 2_500, 2, START), (5, 20, 2_500, 460, START))
#: Topic and customer -> the values told there, in order.
Told = dict[tuple[str, str], list[dict[str, Any]]]


class Wrong(KhayweError):
    """A peer that must not be timed."""


def raw_records(seed: int, customers: int, n: int, days: int, start: datetime) -> list[tuple[bytes, bytes]]:
    """Keys and values of `n` CDRs as the benchmark sends them, but for some that come late and some twice."""
    blocks = cdr_blocks(seed, customers, n, days, start)
    found = [pair for keys, values in blocks for pair in zip(keys, values, strict=True)]
    random = Random(seed)
    late = [at + (random.randint(2, n // 5) if random.random() < 0.05 else 0) for at in range(len(found))]
    found = [found[at] for at in sorted(range(len(found)), key=late.__getitem__)]
    return found + found[-len(found) // 50 :]


def events(raw: Sequence[tuple[bytes, bytes]], timestamp: int = 4_000_000_000_000) -> list[CustomerEvent]:
    """What the first hop makes of raw records."""
    to_event = mapper(document()["source"])
    return [to_event(json.loads(value), timestamp) for _, value in raw]


def reference(found: Iterable[CustomerEvent]) -> tuple[ReferenceFold, Told]:
    """What is right: the reference fold after these events, and all that it told."""
    contents = {
        0: Content(Decisions(), ScoringPolicy(), Game(), Predictions(enabled=False)),
        REVISION: Content(Decisions(), ScoringPolicy(), game(), Predictions(enabled=False)),
    }
    fold = ReferenceFold(0, contents)
    fold.apply(0, marker(REVISION))
    names = CustomerEvent.__struct_fields__
    told: Told = defaultdict(list)
    for offset, event in enumerate(found, 1):
        for effect in fold.apply(offset, {name: getattr(event, name) for name in names}):
            told[effect["topic"], effect["key"]].append(effect["value"])
    return fold, dict(told)


def differences(
    wanted: Mapping[Any, Sequence[Any]], got: Mapping[Any, Sequence[Any]], most: int = 5
) -> list[str]:
    """The first differences between what should be told and what was; empty where there are none."""
    found = []
    for key in sorted({*wanted, *got}):
        should, does = wanted.get(key, []), got.get(key, [])
        if list(should) == list(does):
            continue
        at = next(
            (n for n, (a, b) in enumerate(zip(should, does, strict=False)) if a != b),
            min(len(should), len(does)),
        )
        found.append(
            f"{key}: {len(should)} wanted, {len(does)} told; number {at}:\n"
            f"  wanted {should[at] if at < len(should) else None}\n"
            f"  told   {does[at] if at < len(does) else None}"
        )
        if len(found) == most:
            break
    return found


def verify(peer: str, settings: Settings) -> None:
    """Run a peer over both logs, on a broker and with state of its own.  Raises Wrong."""
    for log in LOGS:
        with TemporaryDirectory(prefix=f"khaywe-{peer}-") as home:
            found = on_kafka(peer, settings, raw_records(*log), Path(home))
        if found:
            raise Wrong(f"{peer} does not tell what the reference tells:\n" + "\n".join(found))


def on_kafka(peer: str, settings: Settings, raw: Sequence[tuple[bytes, bytes]], home: Path) -> list[str]:
    """Run a peer on a broker over raw records; the differences of what it told, empty if it is right."""
    prefix = f"check-{uuid4().hex[:8]}-"
    topic = f"{prefix}raw"
    ensure_raw_topic(settings, topic)
    _, right = reference(events(raw))
    producer = Producer(settings.producer_config())
    with running(peer, settings, topic, prefix, home) as process:
        await_assignment(peer, settings, prefix, process)
        for key, value in raw:
            producer.produce(topic, value, key)
        producer.flush()
        told = read_told(settings, prefix, sum(map(len, right.values())), process)
        # Faust tells outside its transaction, and commits seconds later.
        until = time.monotonic() + AT_MOST
        while (committed := folded(peer, settings, prefix)) < len(raw) and time.monotonic() < until:
            time.sleep(0.5)
    if committed < len(raw):
        return [f"{committed} of {len(raw)} events are committed", *differences(right, told)]
    return differences(right, told)


def read_told(settings: Settings, prefix: str, n: int, peer: subprocess.Popen[bytes]) -> Told:
    """What committed transactions told: `n` effects, and those that follow within seconds.

    Raises RuntimeError where the peer ends; stops where nothing comes for WAIT seconds.
    """
    how = {"group.id": prefix, "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings.kafka_config(**how))
    partitions = range(settings.partitions)
    consumer.assign([TopicPartition(prefix + name, at, 0) for name in TOPICS for at in partitions])
    told: Told = defaultdict(list)
    got, last = 0, time.monotonic()
    while time.monotonic() - last < (WAIT if got < n else AFTER):
        if peer.poll() is not None:
            raise RuntimeError(f"the peer ended with {peer.returncode} after {got} of {n} effects")
        for message in consumer.consume(1_000, 0.5):
            if (error := message.error()) is not None:
                raise RuntimeError(str(error))
            value = json.loads(message.value() or b"")
            told[(message.topic() or "").removeprefix(prefix), (message.key() or b"").decode()].append(value)
            got, last = got + 1, time.monotonic()
    consumer.close()
    return dict(told)


def main() -> None:
    """Check the peers that are named, else all, on a broker made for it."""
    home = Path(mkdtemp(prefix="khaywe-peers-"))
    settings = Settings(_env_file=None, home=home, clock="event")
    try:
        embedded.up(settings, lambda what, share: None)
        for peer in sys.argv[1:] or PEERS:
            verify(peer, settings)
            sys.stdout.write(f"{peer}: right\n")
    except KhayweError as error:
        sys.exit(f"{error}\n{error.hint}".rstrip())
    finally:
        embedded.down(settings, lambda what, share: None)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
