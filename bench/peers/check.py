"""Whether a peer is right before it is timed: all its effects against the reference fold's on the same log.

Not a figure more or less is allowed: what stands on each topic for each customer must be the same values in
the same order, with ids, times, conditions and points.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from bench.generate import cdr_blocks
from bench.peers.records import TOPICS, CustomerEvent, mapper
from bench.peers.rules import REVISION, document, game
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Game
from tests.reference.fold import ReferenceFold
from tests.reference.records import Content, marker

#: Topic and customer -> the values told there, in order.
Told = dict[tuple[str, str], list[dict[str, Any]]]


def raw_records(seed: int, customers: int, n: int, days: int, start: datetime) -> list[tuple[bytes, bytes]]:
    """Keys and values of `n` CDRs as the benchmark sends them, but for some that come late and some twice."""
    blocks = cdr_blocks(seed, customers, n, days, start)
    found = [pair for keys, values in blocks for pair in zip(keys, values, strict=True)]
    random = Random(seed)
    late = [at + (random.randint(2, n // 5) if random.random() < 0.05 else 0) for at in range(len(found))]
    found = [found[at] for at in sorted(range(len(found)), key=late.__getitem__)]
    return found + found[-len(found) // 50 :]


def events(raw: Sequence[tuple[bytes, bytes]], timestamp: int = 4_000_000_000_000) -> list[CustomerEvent]:
    """What the first hop makes of raw records."""
    to_event = mapper(document()["source"])
    return [to_event(json.loads(value), timestamp) for _, value in raw]


def reference(found: Iterable[CustomerEvent]) -> tuple[ReferenceFold, Told]:
    """What is right: the reference fold after these events, and all that it told."""
    contents = {
        0: Content(Decisions(), ScoringPolicy(), Game(), Predictions(enabled=False)),
        REVISION: Content(Decisions(), ScoringPolicy(), game(), Predictions(enabled=False)),
    }
    fold = ReferenceFold(0, contents)
    fold.apply(0, marker(REVISION))
    names = CustomerEvent.__struct_fields__
    told: Told = defaultdict(list)
    for offset, event in enumerate(found, 1):
        for effect in fold.apply(offset, {name: getattr(event, name) for name in names}):
            told[effect["topic"], effect["key"]].append(effect["value"])
    return fold, dict(told)


def differences(
    wanted: Mapping[Any, Sequence[Any]], got: Mapping[Any, Sequence[Any]], most: int = 5
) -> list[str]:
    """The first differences between what should be told and what was; empty where there are none."""
    found = []
    for key in sorted({*wanted, *got}):
        should, does = wanted.get(key, []), got.get(key, [])
        if list(should) == list(does):
            continue
        at = next(
            (n for n, (a, b) in enumerate(zip(should, does, strict=False)) if a != b),
            min(len(should), len(does)),
        )
        found.append(
            f"{key}: {len(should)} wanted, {len(does)} told; number {at}:\n"
            f"  wanted {should[at] if at < len(should) else None}\n"
            f"  told   {does[at] if at < len(does) else None}"
        )
        if len(found) == most:
            break
    return found


def summary(told: Told) -> dict[str, int]:
    """How many effects there are on each topic."""
    return {topic: sum(len(each) for key, each in told.items() if key[0] == topic) for topic in TOPICS}
