"""How fast effects become rows of PostgreSQL: `python -m bench.projection`.

Effects as the game tells them, in batches as a poll returns them, through the writer of the projector into a
real PostgreSQL.  CPU time is the projector's; the server's is told beside it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil

from catalog.content import Content
from config import topics
from config.settings import Settings
from loyalty import effects
from loyalty.content import Decisions, ScoringPolicy
from loyalty.effects import Cause
from loyalty.times import iso
from projection.writer import Start, Writer
from streams.embedded import services as embedded

BATCHES, SIZE, CUSTOMERS = 30, 10_000, 100_000
WARM = 3  # batches before the clock starts: connections, plans, pages
START = 1_767_225_600_000  # 2026-01-01
CONTENT = Content(revision=1, created_at="", decisions=Decisions(), policy=ScoringPolicy())
#: Shares of a batch: what the seed's game tells on the demo's records, about.
MIX = (
    (topics.BEHAVIOR_SCORES, 4), (topics.MISSION_PROGRESS, 3), (topics.REWARD_GRANTS, 1),
    (topics.DECISIONS, 1), (topics.BADGE_AWARDS, 1),
)  # fmt: skip


class Message(NamedTuple):
    """A record as confluent_kafka gives it, as far as the writer looks."""

    id: bytes
    body: bytes
    at: int

    def key(self) -> bytes:
        """Its key."""
        return self.id

    def value(self) -> bytes:
        """Its value."""
        return self.body

    def offset(self) -> int:
        """Its offset."""
        return self.at

    def timestamp(self) -> tuple[int, int]:
        """Kind and time, ms."""
        return 1, START + self.at


class Slice(NamedTuple):
    """Records of a partition."""

    source: tuple[str, int]
    begin: int
    end: int
    records: list[Message]


def batches(count: int, size: int, customers: int) -> Iterator[list[Slice]]:
    """Batches of effects, all of one partition."""
    positions = dict.fromkeys((topic for topic, _ in MIX), 0)
    whole = sum(share for _, share in MIX)
    n = 0
    for _ in range(count):
        slices = []
        for topic, share in MIX:
            begin = positions[topic]
            records = []
            for offset in range(begin, begin + size * share // whole):
                customer = f"48{n * 7_919 % customers:09d}"
                records.append(Message(customer.encode(), _value(topic, customer, n), offset))
                n += 1
            positions[topic] = begin + len(records)
            slices.append(Slice((topic, 0), begin, positions[topic], records))
        yield slices


def _value(topic: str, customer: str, n: int) -> bytes:
    cause = Cause("cdr", f"event-{n}")
    at = iso(START + n * 1_000)
    id = effects.digest(f"{topic} {n}".encode()).hex()
    head = {
        "effect_id": id, "customer_id": customer, "occurred_at": at, "revision": 1,
        "cause": {"source": "cdr", "event_id": cause.event_id},
    }  # fmt: skip
    number = n % 29
    bodies: dict[str, dict[str, Any]] = {
        topics.BEHAVIOR_SCORES: {
            "as_of": at, "reason": "moved",
            "scores": {"engagement": 12.5, "revenue": 41.27, "loyalty": 33.0, "risk": 7.15, "digital": 20.0},
        },
        topics.MISSION_PROGRESS: {
            "mission_id": effects.digest(f"{customer} {n % 5}".encode()).hex(), "number": number,
            "name": "Weekend Talker", "category": "engagement", "status": "progress" if n % 3 else "given",
            "reason": "", "progress": 3.0, "target": 10.0, "tenths": 3, "started_at": at, "ends_at": at,
        },
        topics.REWARD_GRANTS: {
            "grant_id": id, "kind": "points", "rule": f"mission:{number}", "points": 100, "offer": -1,
            "balance": 300, "month": 684, "reverses": "", "repeat": 0,
        },
        topics.DECISIONS: {
            "kind": "mission", "decision": "given", "rule": f"mission:{number}", "name": "Weekend Talker",
            "control": False,
            "conditions": [{"condition": "calls_30_days >= 5", "seen": 12.0, "holds": True}] * 2,
        },
        topics.BADGE_AWARDS: {
            "kind": "badge", "number": number, "name": "Talker", "level": 1 + n % 4, "level_name": "bronze",
            "reason": "earned",
        },
    }  # fmt: skip
    return msgspec.json.encode(head | bodies[topic])


def _server_seconds(postmaster: int) -> float:
    """CPU seconds of a PostgreSQL's processes."""
    seconds = 0.0
    for process in psutil.Process(postmaster).children():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
    return seconds


def measure(count: int = BATCHES, size: int = SIZE, customers: int = CUSTOMERS) -> dict[str, Any]:
    """Effects a second of CPU and of wall time, with a PostgreSQL of its own."""
    home = Path(tempfile.mkdtemp(prefix="khaywe-bench-"))
    settings = Settings(_env_file=None, home=home)
    embedded.up(settings, lambda what, share: None)
    try:
        postmaster = settings.services()["pids"]["database"]
        writer = Writer(settings.database_url(), lambda revision: CONTENT)
        writer.take({(topic, 0): Start("bench", 0) for topic, _ in MIX})
        done, cpu, wall, server = 0, 0.0, 0.0, 0.0
        for n, slices in enumerate(batches(count + WARM, size, customers)):
            started, ticked, served = time.perf_counter(), time.process_time(), _server_seconds(postmaster)
            written = writer.write(slices)
            if n >= WARM:
                wall += time.perf_counter() - started
                cpu += time.process_time() - ticked
                server += _server_seconds(postmaster) - served
                done += written
        writer.close()
        return {
            "effects": done,
            "effects_per_cpu_second": round(done / cpu),
            "effects_per_second": round(done / wall),
            "effects_per_cpu_second_with_postgresql": round(done / (cpu + server)),
        }
    finally:
        embedded.down(settings, lambda what, share: None)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
