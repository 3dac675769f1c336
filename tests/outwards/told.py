"""Effects as the fold tells them, made by hand, and sent to their topics."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer

from config import topics
from config.settings import Settings

AT = "2026-03-01T12:00:00Z"


class Told:
    """Sends effects; each method returns the effect's id."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.producer_config())

    def send(self, topic: str, customer: str, **members: Any) -> str:
        """Any effect, acknowledged."""
        id = uuid4().hex
        record = {
            "effect_id": id, "customer_id": customer, "occurred_at": AT, "revision": 1,
            "cause": {"source": "cdr", "event_id": "e-1"}, **members,
        }  # fmt: skip
        self.raw(topic, customer, json.dumps(record).encode())
        return id

    def raw(self, topic: str, key: str, value: bytes | None) -> None:
        """Whatever it is."""
        failed: list[object] = []
        self._producer.produce(topic, value, key.encode(), on_delivery=lambda e, _: failed.append(e))
        self._producer.flush(60)
        assert failed == [None]

    def mission(self, customer: str, status: str = "completed", number: int = 1) -> str:
        return self.send(
            topics.MISSION_PROGRESS, customer, mission_id="m", number=number, name="First Call Mission",
            category="onboarding", status=status, reason="", progress=1.0, target=1.0, tenths=10,
            started_at=AT, ends_at=AT,
        )  # fmt: skip

    def badge(self, customer: str, level: int = 1) -> str:
        return self.send(
            topics.BADGE_AWARDS, customer, kind="badge", number=3, name="Talker", level=level,
            level_name="bronze", reason="",
        )  # fmt: skip

    def tier(self, customer: str) -> str:
        return self.send(
            topics.BADGE_AWARDS, customer, kind="tier", number=0, name="", level=2, level_name="silver",
            reason="up",
        )  # fmt: skip

    def grant(self, customer: str, kind: str = "points") -> str:
        return self.send(
            topics.REWARD_GRANTS, customer, grant_id="g", kind=kind, rule="mission:1", points=50, offer=0,
            balance=50, month=0, reverses="", repeat=0,
        )  # fmt: skip

    def trigger(self, customer: str, status: str = "triggered") -> str:
        return self.send(
            topics.CAMPAIGN_TRIGGERS, customer, trigger_id="t", campaign=7, name="Come back", status=status,
            by="event", arm="target", cost=0, message="Hello",
        )  # fmt: skip

    def scores(self, customer: str, risk: float) -> str:
        five = {"engagement": 10.0, "revenue": 10.0, "loyalty": 10.0, "risk": risk, "digital": 10.0}
        return self.send(topics.BEHAVIOR_SCORES, customer, as_of=AT, reason="moved", scores=five)
