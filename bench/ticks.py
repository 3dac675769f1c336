"""Time for a million customers who send nothing: `python -m bench.ticks`.

A minute's tick moves those whose daily refresh is due, with scores, badges and missions; what nobody is due
for costs next to nothing.  In memory, CPU time.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from bench.fold import Content
from catalog import draft
from loyalty.engine import Engine
from loyalty.game import Game
from loyalty.log import joined
from loyalty.state import State
from loyalty.times import iso

CUSTOMERS, BLOCK = 1_000_000, 20_000
START, DAY, MINUTE = 1_704_067_200_000, 86_400_000, 60_000
MINUTES = 60


def run(customers: int = CUSTOMERS) -> dict[str, Any]:
    """Microseconds a customer who is due, and a tick for which nobody is."""
    content = Content(game=draft.seed().onto(Game(), 2))
    engine = Engine(0, State(), lambda revision: content, chunk=1_000_000)
    for first in range(0, customers, BLOCK):
        _fold(engine, [_event(n) for n in range(first, min(first + BLOCK, customers))])
    _fold(engine, [_tick(START + 2 * DAY)])  # missions are given, buckets filled
    done = engine.state.rows["as_of"].sum()
    seconds = 0.0
    due = effects = 0
    for minute in range(1, MINUTES + 1):
        at = START + 2 * DAY + minute * MINUTE
        started = time.process_time()
        outcomes = _fold(engine, [_tick(at)])
        seconds += time.process_time() - started
        due += sum(outcome.counts["refreshes"] for outcome in outcomes)
        effects += sum(len(outcome.effects) for outcome in outcomes)
    assert engine.state.rows["as_of"].sum() > done
    started = time.process_time()
    for second in range(100):
        _fold(engine, [_tick(START + 2 * DAY + MINUTES * MINUTE + second + 1)])
    idle = (time.process_time() - started) / 100
    return {
        "silent_customers": customers,
        "due_in_an_hour": due,
        "effects_in_an_hour": effects,
        "microseconds_a_due_customer": round(seconds / due * 1e6, 1),
        "seconds_of_cpu_a_day": round(seconds * 24 * 60 / MINUTES, 1),
        "microseconds_a_tick_with_nobody_due": round(idle * 1e6, 1),
    }


def _fold(engine: Engine, values: list[bytes]) -> list[Any]:
    outcomes = []
    for outcome in engine.fold(joined(list(enumerate(values))), len(values)):
        engine.state.changes()
        engine.state.committed()
        outcomes.append(outcome)
    return outcomes


def _event(number: int) -> bytes:
    at = iso(START + number * 2_654_435_761 % DAY)
    return _record("voice_call", f"2376{number:08}", f"v{number}", at, {})


def _tick(at: int) -> bytes:
    return _record("_tick", "", f"tick-{at}", iso(at), {"at": iso(at)})


def _record(event_type: str, customer_id: str, event_id: str, at: str, attributes: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {
            "event_id": event_id,
            "customer_id": customer_id,
            "event_type": event_type,
            "source": "cdr",
            "value": 60,
            "occurred_at": at,
            "received_at": at,
            "attributes": attributes,
        }
    )


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(run())).decode())
