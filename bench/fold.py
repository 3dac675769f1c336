"""The fold alone, without Kafka and RocksDB: `python -m bench.fold`.

CDRs, app events and payments of 100,000 customers over a month, in batches of 5,000, over a state in memory.
Printed: what decoding takes, what the kernel takes, and what a batch takes from bytes to effects and
changelog records.  CPU time, so that neighbours matter less.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np

from loyalty import kernel
from loyalty.columns import DESK, EFFECT, EFFECTS_PER_EVENT, NEVER
from loyalty.content import Decisions, ScoringPolicy
from loyalty.decode import Batch, decode, integers
from loyalty.engine import Engine
from loyalty.policy import compile_policy
from loyalty.row import ROW
from loyalty.state import State
from loyalty.times import iso_many

CUSTOMERS, EVENTS, BATCH, DAYS = 100_000, 500_000, 5_000, 30
START = 1_704_067_200_000  # 2024-01-01
SHARES = {
    "voice_call": 0.35, "data_session": 0.30, "sms": 0.15, "app_login": 0.06, "content_view": 0.04,
    "recharge": 0.06, "bundle_purchase": 0.04,
}  # fmt: skip

Log = list[tuple[int, bytes | None]]


class Content(msgspec.Struct):
    """Revision 0."""

    decisions: Decisions = msgspec.field(default_factory=Decisions)
    policy: ScoringPolicy = msgspec.field(default_factory=ScoringPolicy)


def generate(seed: int = 1) -> list[Log]:
    """Batches of (offset, record)."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(SHARES), EVENTS, p=list(SHARES.values())).tolist()
    who = rng.integers(0, CUSTOMERS, EVENTS).tolist()
    values = np.round(rng.exponential(60, EVENTS), 2).tolist()
    times = iso_many(np.sort(START + rng.integers(0, DAYS * 86_400_000, EVENTS)))
    log: Log = []
    for n, (kind, customer, value, at) in enumerate(zip(kinds, who, values, times, strict=True)):
        event = {
            "event_id": f"{kind}-{n:09}",
            "customer_id": f"2376{customer:08}",
            "event_type": kind,
            "source": "cdr",
            "value": value,
            "occurred_at": at,
            "received_at": at,
            "attributes": {},
        }
        log.append((n, msgspec.json.encode(event)))
    return [log[first : first + BATCH] for first in range(0, EVENTS, BATCH)]


def decode_alone(batches: list[Log]) -> float:
    """Seconds to decode everything."""
    started = time.process_time()
    for batch in batches:
        decode(batch)
    return time.process_time() - started


def kernel_alone(batches: list[Log]) -> float:
    """Seconds in `kernel.fold`."""
    policy, rows = compile_policy(Content()), np.empty(CUSTOMERS, ROW)
    rows[:] = np.zeros(1, ROW)  # memory of a worker at work, not the kernel's first touch of it
    slot: dict[bytes, int] = {}
    seconds = 0.0
    for decoded in map(decode, batches):
        events = _prepared(decoded, slot, policy)
        size = len(events)
        seen, flags = np.full(size, NEVER, np.int64), np.zeros((2, size), np.bool_)
        desk, effects = np.zeros(1, DESK), np.empty(EFFECTS_PER_EVENT * size, EFFECT)
        links = np.empty(0, ROW)
        started = time.process_time()
        kernel.fold(rows, events, decoded.profiles, links, seen, flags[0], flags[1], 0, policy, desk, effects)
        seconds += time.process_time() - started
    return seconds


def _prepared(decoded: Batch, slot: dict[bytes, int], policy: np.ndarray) -> np.ndarray:
    events = decoded.events
    events["slot"] = [slot.setdefault(id, len(slot)) for id in decoded.ids]
    events["key"] = np.arange(len(events))
    events["value"] = integers(decoded.values, events["kind"], policy)
    return events


def whole(batches: list[Log]) -> tuple[float, int, int]:
    """Seconds from bytes to effects and changelog records, and how many there were of each."""
    engine = Engine(0, State(), lambda revision: Content())
    effects = changed = 0
    started = time.process_time()
    for batch in batches:
        for outcome in engine.fold(batch, batch[-1][0] + 1):
            effects += len(outcome.effects)
            changed += len(engine.state.changes().keys)
            engine.state.committed()
    return time.process_time() - started, effects, changed


def main() -> None:
    """Print the figures."""
    batches = generate()
    kernel_alone(batches[:1])  # compiles
    whole(batches[:1])
    for name, seconds in (("decode", decode_alone(batches)), ("kernel", kernel_alone(batches))):
        print(f"{name}: {seconds / EVENTS * 1e6:.2f} us an event, {EVENTS / seconds:,.0f} events/s")
    seconds, effects, changed = whole(batches)
    print(
        f"bytes to effects and changelog: {seconds / EVENTS * 1e6:.2f} us an event, {EVENTS / seconds:,.0f} "
        f"events/s, {effects / EVENTS:.2f} effects and {changed / EVENTS:.2f} changelog records an event"
    )


if __name__ == "__main__":
    main()
