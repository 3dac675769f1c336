"""What a view shows of a customer: the row in words, with the same code that decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from catalog.content import Content
from catalog.times import iso
from loyalty.explain import counters, explain, recent
from loyalty.row import OPEN

_STATES = {0: "none", OPEN: "open", 2: "ended", 3: "linked"}


def portrait(
    customer_id: str, row: Any, content: Content, profile: bytes | None, link: bytes | None
) -> dict[str, Any]:
    """Scores with each component's measure and points, counters, last events, profile; times in ISO 8601."""
    shown: dict[str, Any] = {
        "customer_id": customer_id,
        "as_of": iso(int(row["as_of"])),
        "state": _STATES[int(row["state"])],
        "revision": content.revision,
        "currency": content.decisions.currency,
        "scores": explain(row, content),
        "counters": counters(row, content),
        "recent": [
            {"event_type": kind, "occurred_at": _seconds(at), "value": value}
            for kind, at, value in recent(row, content)
        ],
        "profile": msgspec.json.decode(profile) if profile else {},
    }
    if link is not None:
        shown["linked_to"] = link.decode()
    return shown


def _seconds(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
