"""A catalog revision: what people have defined, whole, under its number.

It travels on the topic `catalog` as JSON and never changes afterwards.  What the fold reads of it is defined
in `loyalty.content` (decisions, policy, predictions) and `loyalty.game`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from config.topics import raw_topic
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Game

#: Goes up when older code would misread the JSON; a new member that may be absent needs no new number.
#: 2: `game`, without which a worker would decide otherwise.  3: campaigns in it, likewise.
FORMAT = 3


class SourceContent(msgspec.Struct, frozen=True):
    """A data source as workers see it."""

    name: str
    source_type: str
    event_mapping: dict[str, Any]
    connection_config: dict[str, Any] = {}
    is_active: bool = True

    @property
    def topic(self) -> str:
        """The raw topic it is read from."""
        return str(self.connection_config.get("kafka_topic") or raw_topic(self.name))


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """One revision, whole."""

    revision: int
    created_at: str
    decisions: Decisions
    policy: ScoringPolicy
    game: Game = Game()
    predictions: Predictions = Predictions()
    sources: list[SourceContent] = []
    note: str = ""
    format: int = FORMAT

    def source(self, name: str) -> SourceContent | None:
        """The source of that name."""
        return next((source for source in self.sources if source.name == name), None)


class _Head(msgspec.Struct):
    revision: int
    format: int = FORMAT


_encode = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode = msgspec.json.Decoder(Content).decode


def encode(content: Content) -> bytes:
    """The revision's JSON."""
    return _encode(content)


def decode(value: bytes) -> Content:
    """The reverse.  Raises ValueError that names the field, or a format that is newer than this code."""
    head = _decode_head(value)
    if head.format > FORMAT:
        raise ValueError(
            f"revision {head.revision} has format {head.format}, this khaywe reads up to {FORMAT}: upgrade it"
        )
    return _decode(value)
