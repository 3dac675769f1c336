"""Records as the topics have them, made by hand, and a writer of them into a database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from catalog.content import Content
from config import topics
from loyalty.content import Decisions, ScoringPolicy
from projection.writer import TOPICS, Start, Writer

CONTENT = Content(revision=1, created_at="", decisions=Decisions(), policy=ScoringPolicy())
NIGHT = Content(revision=2, created_at="", decisions=Decisions(timezone="Asia/Dhaka"), policy=ScoringPolicy())


class Message(NamedTuple):
    """A record as confluent_kafka gives it, as far as the writer looks."""

    id: bytes
    body: bytes | None
    at: int
    recorded: int

    def key(self) -> bytes:
        return self.id

    def value(self) -> bytes | None:
        return self.body

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, self.recorded


class Slice(NamedTuple):
    """Records of a partition."""

    source: tuple[str, int]
    begin: int
    end: int
    records: list[Message]


def id_of(*parts: object) -> str:
    """An id like those of effects."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def hash_of(customer: str) -> str:
    """What is kept of an erased customer's id."""
    return blake2b(customer.encode(), digest_size=16).hexdigest()


def contents(revision: int) -> Content:
    """Revision 2 has its days in Dhaka."""
    return NIGHT if revision == 2 else CONTENT


class Logs:
    """Topics of one partition that grow, and what a writer has read of them."""

    def __init__(self, url: str, writer: Writer | None = None) -> None:
        self.writer = writer or Writer(url, contents)
        self.records: dict[str, list[Message]] = {topic: [] for topic in TOPICS}
        self.read: Counter[str] = Counter()
        self.now = 1_772_000_000_000  # Kafka's clock, ms
        self.number = 0

    # -- what is put -------------------------------------------------------------------------------

    def put(self, topic: str, key: str, value: Any, recorded: int | None = None) -> None:
        """A record, a millisecond after the one before."""
        self.now += 1
        body = None if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        log = self.records[topic]
        log.append(Message(key.encode(), body, len(log), recorded or self.now))

    def head(self, customer: str, at: str, revision: int = 1) -> dict[str, Any]:
        self.number += 1
        return {
            "effect_id": id_of("effect", self.number), "customer_id": customer, "occurred_at": at,
            "revision": revision, "cause": {"source": "cdr", "event_id": f"cause-{self.number}"},
        }  # fmt: skip

    def event(
        self,
        customer: str,
        kind: str,
        at: str,
        value: float = 1.0,
        /,
        id: str | None = None,
        **attributes: Any,
    ) -> None:
        self.number += 1
        self.put(topics.CUSTOMER_EVENTS, customer, {
            "event_id": id or f"event-{self.number}", "customer_id": customer, "event_type": kind,
            "source": "cdr", "value": value, "occurred_at": at, "received_at": at, "attributes": attributes,
        })  # fmt: skip

    def command(self, customer: str, name: str, at: str = "2026-01-01T00:00:00.000Z") -> None:
        self.event(customer, "_command", at, command_id=f"command-{self.number}", command=name, arguments={})

    def scores(self, customer: str, at: str, value: float, revision: int = 1) -> None:
        five = dict.fromkeys(("engagement", "revenue", "loyalty", "risk", "digital"), value)
        told = self.head(customer, at, revision) | {"as_of": at, "reason": "moved", "scores": five}
        self.put(topics.BEHAVIOR_SCORES, customer, told)

    def mission(self, customer: str, at: str, status: str, number: int = 7, started: str = "") -> str:
        started = started or at
        id = id_of(customer, number, started)
        self.put(topics.MISSION_PROGRESS, customer, self.head(customer, at) | {
            "mission_id": id, "number": number, "name": "Talk", "category": "engagement", "status": status,
            "reason": "", "progress": 3.0, "target": 10.0, "tenths": 3, "started_at": started,
            "ends_at": "2026-03-01T00:00:00.000Z",
        })  # fmt: skip
        return id

    def badge(self, customer: str, at: str, number: int = 3, level: int = 1) -> None:
        names = ("bronze", "silver", "gold", "platinum")
        self.put(topics.BADGE_AWARDS, customer, self.head(customer, at) | {
            "kind": "badge", "number": number, "name": "Talker", "level": level,
            "level_name": names[level - 1], "reason": "earned",
        })  # fmt: skip

    def grant(
        self, customer: str, at: str, kind: str = "points", points: int = 100, balance: int = 100,
        offer: int = -1, grant_id: str = "", reverses: str = "", repeat: int = 0,
    ) -> str:  # fmt: skip
        head = self.head(customer, at)
        id = grant_id or str(head["effect_id"])
        self.put(topics.REWARD_GRANTS, customer, head | {
            "grant_id": id, "kind": kind, "rule": "mission:7", "points": points, "offer": offer,
            "balance": balance, "month": 684, "reverses": reverses, "repeat": repeat,
        })  # fmt: skip
        return id

    def decision(self, customer: str, at: str, control: bool = False) -> None:
        self.put(topics.DECISIONS, customer, self.head(customer, at) | {
            "kind": "mission", "decision": "given", "rule": "mission:7", "name": "Talk", "control": control,
            "conditions": [{"condition": 'segment = "a\tb\\"', "seen": "a\tb\\", "holds": True}],
        })  # fmt: skip

    def prediction(self, customer: str, at: str, set: str = "inline") -> None:
        self.put(topics.PREDICTIONS, f"{customer}:{set}", self.head(customer, at) | {
            "set": set, "models": {"churn": {"model_version": "1", "churn_probability": 0.5}},
            "features": [1, None, 2.5], "feature_set": 1,
        })  # fmt: skip

    def trigger(
        self, customer: str, at: str, status: str, campaign: int = 4, arm: str = "treatment", of: str = "",
        by: str = "event",
    ) -> str:  # fmt: skip
        id = id_of("trigger", customer, campaign, of or at)
        triggered = status == "triggered"
        self.put(topics.CAMPAIGN_TRIGGERS, customer, self.head(customer, at) | {
            "trigger_id": id, "campaign": campaign, "name": "Win back", "status": status,
            "by": by if status == "converted" else "", "arm": arm, "offer": 3 if triggered else -1,
            "offer_config": {}, "product": None, "product_config": {}, "language": "en",
            "message": "Come back" if triggered else "",
            "cost": 25 if triggered and arm == "treatment" else 0,
        })  # fmt: skip
        return id

    def everything(self, customer: str, at: str) -> None:
        """An effect of each kind."""
        self.scores(customer, at, 10.0)
        self.mission(customer, at, "given")
        self.badge(customer, at)
        self.grant(customer, at)
        self.decision(customer, at)
        self.prediction(customer, at)
        self.trigger(customer, at, "triggered")
        self.put(topics.BADGE_AWARDS, customer, self.head(customer, at) | {
            "kind": "tier", "number": 0, "name": "tier", "level": 1, "level_name": "silver", "reason": "up",
        })  # fmt: skip

    def erase(self, customer: str) -> None:
        """What the fold tells of an erasure."""
        self.put(topics.BEHAVIOR_SCORES, customer, None)
        for set in ("inline", "daily"):
            self.put(topics.PREDICTIONS, f"{customer}:{set}", None)
        value = {"customer_hash": hash_of(customer), "erased_at": "2026-01-01T00:00:00.000Z"}
        self.put(topics.ERASURES, hash_of(customer), value)

    # -- what is written ---------------------------------------------------------------------------

    def take(self) -> None:
        found = self.writer.take({(topic, 0): Start(f"id of {topic}", 0) for topic in TOPICS})
        self.read = Counter({topic: position for (topic, _), position in found.items()})

    def slices(self, names: Sequence[str] = TOPICS, most: int = 1_000_000) -> list[Slice]:
        """What was not read yet."""
        found = []
        for topic in names:
            begin = self.read[topic]
            records = self.records[topic][begin : begin + most]
            if records:
                found.append(Slice((topic, 0), begin, begin + len(records), records))
        return found

    def write(self, names: Sequence[str] = TOPICS, most: int = 1_000_000) -> int:
        """Write what was not read yet of these topics."""
        slices = self.slices(names, most)
        if not slices:
            return 0
        done = self.writer.write(slices)
        self.read.update({each.source[0]: each.end - each.begin for each in slices})
        return done


def utc(text: str) -> datetime:
    """A time of a record."""
    return datetime.fromisoformat(text).astimezone(UTC)
