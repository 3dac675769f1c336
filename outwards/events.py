"""Effects as events that others are told: an envelope like TMF688's, around the record of the topic."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from config import topics
from outwards.query import CROSSING, KINDS, Crossing, Interest

log = logging.getLogger(__name__)


class Event(NamedTuple):
    """What is delivered; `id` is the effect's, the same each time."""

    id: str
    type: str
    customer_id: str
    body: bytes


class _Cause(msgspec.Struct):
    source: str
    event_id: str


class _Scores(msgspec.Struct):
    effect_id: str
    customer_id: str
    occurred_at: str
    cause: _Cause
    scores: dict[str, float]


_scores = msgspec.json.Decoder(_Scores).decode
_record = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def of_record(interest: Interest, topic: str, value: bytes) -> Event | None:
    """The event that a record is, where it is asked for.  Raises ValueError for what cannot be read."""
    record = _record(value)
    kind = _kind(topic, record)
    if kind is None or not interest.fits(kind, record):
        return None
    try:
        cause = f"{record['cause']['source']}:{record['cause']['event_id']}"
        return _event(
            record["effect_id"], kind, record["occurred_at"], record["customer_id"], cause, msgspec.Raw(value)
        )
    except (KeyError, TypeError):
        raise ValueError("a member of the head is missing") from None


def _kind(topic: str, record: Mapping[str, Any]) -> str | None:
    if topic == topics.BADGE_AWARDS:
        return "BadgeAwardEvent" if record.get("kind") == "badge" else "TierChangeEvent"
    if topic == topics.MISSION_PROGRESS:
        return None if record.get("status") == "progress" else "MissionStateChangeEvent"
    return {
        topics.REWARD_GRANTS: "RewardGrantEvent", topics.CAMPAIGN_TRIGGERS: "CampaignTriggerEvent"
    }.get(topic)  # fmt: skip


class Seen(NamedTuple):
    """A customer's scores, held against a crossing's value."""

    customer_id: str
    above: bool
    record: _Scores


def see(crossing: Crossing, value: bytes) -> Seen:
    """On which side of the value a record has its customer.  Raises ValueError."""
    record = _scores(value)
    if crossing.score not in record.scores:
        raise ValueError(f"there is no score {crossing.score}")
    return Seen(record.customer_id, record.scores[crossing.score] >= crossing.value, record)


def of_crossing(crossing: Crossing, seen: Seen, was_above: bool) -> Event | None:
    """The event that a change of sides is, where it is asked for."""
    if seen.above == was_above or not (crossing.up if seen.above else crossing.down):
        return None
    record = seen.record
    told = {
        "score": crossing.score,
        "value": crossing.value,
        "direction": "up" if seen.above else "down",
        "now": record.scores[crossing.score],
        "scores": record.scores,
        "customer_id": record.customer_id,
    }
    cause = f"{record.cause.source}:{record.cause.event_id}"
    return _event(record.effect_id, CROSSING, record.occurred_at, record.customer_id, cause, told)


def _event(id: str, kind: str, at: str, customer_id: str, cause: str, told: Any) -> Event:
    body = {
        "eventId": id,
        "eventType": kind,
        "eventTime": at,
        "domain": "loyalty",
        "title": KINDS[kind].title,
        "correlationId": cause,
        "reportingSystem": {"id": "khaywe", "@type": "ReportingResource"},
        "relatedParty": [{"id": customer_id, "role": "customer", "@referredType": "Customer"}],
        "event": {KINDS[kind].member: told},
        "@type": kind,
    }
    return Event(id, kind, customer_id, _encode(body))
