"""Compiling before the first record comes, while nobody waits.

On a machine that has never run this version it takes tens of seconds, far longer than a transaction may;
after that the compiled code lies on disk and is read in less than one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.engine import Engine
from loyalty.game import (
    Campaign,
    Contact,
    Earning,
    Fits,
    Game,
    Goal,
    Limits,
    OnCrossing,
    OnEvent,
    Target,
    Template,
)
from loyalty.log import joined
from loyalty.packing import pack, unpack
from loyalty.state import State
from loyalty.writing import Page

_GAME = Game(
    templates=[
        Template(
            number=1, name="capped", category="engagement", goal=Goal("count", ["sms"]), target=Target(2),
            duration_days=1, cooldown_days=0, priority=1, limits=Limits(total=1),
        ),
    ],
    earning=[Earning(1, "paid", ["recharge"], 1.0)],
    campaigns=[
        Campaign(1, "capped", OnEvent(["sms"]), total=1, service=True),
        Campaign(2, "message", OnCrossing("sms_30_days > 0"), service=True, conversion=Fits(["recharge"])),
    ],
    contact=Contact(zones=["UTC"]),
)  # fmt: skip


class _Content(msgspec.Struct):
    decisions: Decisions = msgspec.field(default_factory=Decisions)
    policy: ScoringPolicy = msgspec.field(default_factory=ScoringPolicy)
    game: Game = _GAME
    predictions: Predictions = Predictions()


def prepare() -> None:
    """Fold a little log with one of everything."""
    Page(1).written().hashed()  # as effects are written that come in great numbers
    state = State(max_rows=16)
    engine = Engine(0, state, lambda revision: _Content())
    waiting = [
        _record("a", "sms"),
        _record("a", "recharge"),
        _record("a", "refund", refunds="recharge"),
        _record("a", "_command", command_id="a", command="generate"),
        _record("a", "_command", command_id="b", command="repeat_grant", arguments={"grant_id": "0" * 32}),
        _record("a", "_command", command_id="c", command="predict"),
        _record("a", "_prediction", set="inline", churn=0.5, offer=1),
        _record("a", "_prediction", set="daily", propensity=0.5, ltv=1.0),
        _record("a", "campaign_delivered", trigger_id=""),
        _record("a", "customer_link", to="b"),
        _record("c", "profile_update", segment="gold"),
        _record("", "_tick", at="2024-01-03T00:00:00.000Z", everyone=True),
        _record("", "_command", command_id="all", command="recalculate", segment="all"),
    ]
    while waiting:
        log = joined(list(enumerate(waiting)))
        waiting = [value for done in engine.fold(log, len(log)) for _, value in done.forwards]
    unpack(pack(state.rows, state.slots([b"a"])))


def _record(customer_id: str, event_type: str, **attributes: Any) -> bytes:
    at = "2024-01-01T00:00:00.000Z"
    return msgspec.json.encode(
        {
            "event_id": event_type,
            "customer_id": customer_id,
            "event_type": event_type,
            "source": "prepare",
            "value": 1,
            "occurred_at": at,
            "received_at": at,
            "attributes": attributes,
        }
    )
