"""What the fold tells others: scores and results of commands, as JSON with CloudEvents headers."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from loyalty.decode import Record

BEHAVIOR_SCORES = "behavior-scores"
COMMAND_RESULTS = "command-results"
SOURCE = "khaywe"  # of records that the fold itself causes

REASONS = ("refresh", "moved", "band", "recalculate")  # by `detail` of a publication
STATUSES = (
    ("done", ""),
    ("refused", "unknown_command"),
    ("refused", "unknown_segment"),
    ("refused", "unknown_customer"),
    ("refused", "closed"),
)  # by `detail` of a result


class Effect(msgspec.Struct, frozen=True, gc=False):
    """A record to produce."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What an effect came of: an event, or of `khaywe` a refresh or tick."""

    source: str
    event_id: str


class Scores(msgspec.Struct, frozen=True, gc=False):
    """The five behaviour scores, 0 to 100, two decimals."""

    engagement: float
    revenue: float
    loyalty: float
    risk: float
    digital: float


class BehaviorScores(msgspec.Struct, frozen=True, gc=False):
    """A customer's scores as of a time."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    as_of: str
    reason: str
    scores: Scores


class CommandResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a command in a partition."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    command_id: str
    partition: int
    status: str
    reason: str


def _headers(topic: str) -> list[tuple[str, bytes]]:
    return [
        ("ce_source", SOURCE.encode()),
        ("ce_type", f"khaywe.{topic}.v1".encode()),
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
    ]


_SCORES_HEADERS, _RESULT_HEADERS = _headers(BEHAVIOR_SCORES), _headers(COMMAND_RESULTS)
_NOTHING = blake2b(digest_size=16)
_encode = msgspec.json.Encoder().encode


def effect_id(customer_id: str, rule: str, revision: int, cause: Cause, ordinal: int) -> str:
    """The id by which a consumer knows an effect again (32 hex digits)."""
    parts = f"{customer_id}\x1f{rule}\x1f{revision}\x1f{cause.source}\x1f{cause.event_id}\x1f{ordinal}"
    hash_ = _NOTHING.copy()  # cheaper than a new one
    hash_.update(parts.encode())
    return hash_.hexdigest()


def scores_effect(
    key: bytes, as_of: str, revision: int, cause: Cause, reason: str, scores: list[float]
) -> Effect:
    """A publication of scores for the customer whose id is `key`."""
    customer_id = key.decode()
    id = effect_id(customer_id, "scores", revision, cause, 0)
    value = BehaviorScores(id, customer_id, as_of, revision, cause, as_of, reason, Scores(*scores))
    return Effect(BEHAVIOR_SCORES, key, _encode(value), [("ce_id", id.encode()), *_SCORES_HEADERS])


def result_effect(record: Record, revision: int, partition: int, detail: int) -> Effect:
    """The result of a command, for a customer or (customer_id empty) for the partition."""
    customer_id, cause = record.customer_id, Cause(record.source, record.event_id)
    command_id: str = record.attributes["command_id"]
    id = effect_id(customer_id, "command", revision, cause, 0 if customer_id else partition)
    value = CommandResult(
        id, customer_id, record.occurred_at, revision, cause, command_id, partition, *STATUSES[detail]
    )
    headers = [("ce_id", id.encode()), *_RESULT_HEADERS]
    return Effect(COMMAND_RESULTS, command_id.encode(), _encode(value), headers)
