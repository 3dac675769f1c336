"""Records of the Python peers: a raw CDR to a CustomerEvent by the mapping, and that to what is folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from bench.peers.compiled import KINDS
from bench.peers.game import Event
from bench.peers.telling import iso

CODES = {kind: code for code, kind in enumerate(KINDS)}
TOPICS = ("behavior-scores", "mission-progress", "badge-awards", "reward-grants", "decisions")


class CustomerEvent(msgspec.Struct, gc=False):
    """A record of customer-events."""

    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str


class Unfit(ValueError):
    """A raw record that is no event, with the reason."""


def mapper(source: Mapping[str, Any]) -> Callable[[Mapping[str, Any], int], CustomerEvent]:
    """The function (raw record, its Kafka timestamp in ms) -> event of a source; it raises Unfit."""
    name, types = source["name"], source["event_types"]
    names = ("event_id", "customer_id", "event_type", "value", "timestamp")
    id_field, customer_field, type_field, value_field, time_field = (
        source[f"{each}_field"] for each in names
    )

    def to_event(raw: Mapping[str, Any], timestamp: int) -> CustomerEvent:
        try:
            event_id, customer_id, at = raw[id_field], raw[customer_field], raw[time_field]
            event_type, value = types[raw[type_field]], raw[value_field]
            when = datetime.fromisoformat(at)
        except (KeyError, TypeError, ValueError) as error:
            raise Unfit(f"{error!r}") from error
        if not (customer_id and type(customer_id) is str and type(event_id) is str):
            raise Unfit("an id that is no text")
        if type(value) not in (int, float) or value < 0:
            raise Unfit("the value is no number, or below 0")
        ms = int(when.timestamp() * 1000)
        if ms - timestamp > 86_400_000:
            raise Unfit("later than its arrival")
        return CustomerEvent(event_id, customer_id, event_type, name, value, iso(ms), iso(timestamp))

    return to_event


def read(event: CustomerEvent) -> Event:
    """What the game folds."""
    at = datetime.fromisoformat(event.occurred_at)
    ms = int(at.timestamp()) * 1000 + at.microsecond // 1000
    code = CODES[event.event_type]
    return Event(event.event_id, event.customer_id, code, event.source, event.value, ms)
