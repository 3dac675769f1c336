"""The fold alone, without Kafka and RocksDB: `python -m bench.fold`.

CDRs, app events and payments of 100,000 customers over a month, in batches of 5,000, over a state in memory.
Printed: what decoding takes, of records as the normaliser writes them and of others; what mapping takes, of a
simple source and record by record; and what a batch takes from bytes to effects and changelog records, with
scores alone, with the game of `catalog/seed`, and with ten times its templates.  CPU time, so that neighbours
matter less.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from bench.generate import cdr_blocks
from bench.pipeline import SOURCE
from catalog import draft
from catalog.content import SourceContent
from catalog.mapping import Mapped, compile_mapping, encode_event
from catalog.plain_mapping import PlainMapping
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.decode import decode
from loyalty.engine import Engine
from loyalty.game import Game
from loyalty.log import Column, Log, joined
from loyalty.state import State
from loyalty.times import iso_many

CUSTOMERS, EVENTS, BATCH, DAYS = 100_000, 500_000, 5_000, 30
START = 1_704_067_200_000  # 2024-01-01
SHARES = {
    "voice_call": 0.35, "data_session": 0.30, "sms": 0.15, "app_login": 0.06, "content_view": 0.04,
    "recharge": 0.06, "bundle_purchase": 0.04,
}  # fmt: skip


class Content(msgspec.Struct):
    """Revision 0."""

    decisions: Decisions = msgspec.field(default_factory=Decisions)
    policy: ScoringPolicy = msgspec.field(default_factory=ScoringPolicy)
    game: Game = Game()
    predictions: Predictions = Predictions(enabled=False)


def games() -> dict[str, Game]:
    """Scores alone, the game as it comes, and the same with ten times the templates."""
    game = draft.seed().onto(Game(), 2)
    many = [
        msgspec.structs.replace(
            template,
            number=template.number + 30 * n,
            name=f"{template.name} {n}" if n else template.name,
            after=[],
        )
        for n in range(10)
        for template in game.templates
    ]
    return {"scores": Game(), "game": game, "290 templates": msgspec.structs.replace(game, templates=many)}


def generate(seed: int = 1, spaced: bool = False) -> list[Log]:
    """Batches of records; `spaced`: with a space in each, which is not the normaliser's form."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(list(SHARES), EVENTS, p=list(SHARES.values())).tolist()
    who = rng.integers(0, CUSTOMERS, EVENTS).tolist()
    values = np.round(rng.exponential(60, EVENTS), 2).tolist()
    times = iso_many(np.sort(START + rng.integers(0, DAYS * 86_400_000, EVENTS)))
    log: list[tuple[int, bytes | None]] = []
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
        raw = msgspec.json.encode(event)
        log.append((n, raw.replace(b",", b", ", 1) if spaced else raw))
    return [joined(log[first : first + BATCH]) for first in range(0, EVENTS, BATCH)]


def decode_alone(batches: list[Log]) -> float:
    """Seconds to decode everything."""
    started = time.process_time()
    for batch in batches:
        decode(batch)
    return time.process_time() - started


def map_alone() -> tuple[float, float]:
    """Seconds to map as many raw records, together and one by one."""
    source, arrived = SourceContent(**SOURCE), 1_767_500_000_000
    many, one = PlainMapping(source, Decisions()), compile_mapping(source, Decisions())
    parse = msgspec.json.Decoder(dict[str, Any]).decode
    start = datetime(2026, 1, 1, tzinfo=UTC)
    raws = [raw for _, block in cdr_blocks(7, CUSTOMERS, EVENTS, 2, start) for raw in block]
    times = np.full(BATCH, arrived)
    parts = [Column.of(raws[first : first + BATCH]) for first in range(0, EVENTS, BATCH)]
    many.map(parts[0], times)  # compiles
    started = time.process_time()
    for part in parts:
        if many.map(part, times).left:
            raise RuntimeError("a plain record was left")
    between = time.process_time()
    for raw in raws:
        mapped = one(parse(raw), arrived, raw)
        assert isinstance(mapped, Mapped)
        encode_event(mapped, source.name, arrived)
    return between - started, time.process_time() - between


def whole(batches: list[Log], game: Game) -> tuple[float, int, int]:
    """Seconds from bytes to effects and changelog records, and how many there were of each."""
    content = Content(game=game)
    engine = Engine(0, State(), lambda revision: content)
    effects = changed = 0
    started = time.process_time()
    for batch in batches:
        for outcome in engine.fold(batch, int(batch.offsets[-1]) + 1):
            effects += len(outcome.effects)
            changed += len(engine.state.changes().keys)
            engine.state.committed()
    return time.process_time() - started, effects, changed


def _show(what: str, seconds: float) -> None:
    print(f"{what}: {seconds / EVENTS * 1e6:.2f} us an event, {EVENTS / seconds:,.0f} events/s")


def main() -> None:
    """Print the figures."""
    batches = generate()
    whole(batches[:1], Game())  # compiles
    for what, log in (
        ("decode", batches),
        ("decode, with a space in each record", generate(spaced=True)),
    ):
        _show(what, decode_alone(log))
    for what, seconds in zip(("map together", "map one by one"), map_alone(), strict=True):
        _show(what, seconds)
    for name, game in games().items():
        seconds, effects, changed = whole(batches, game)
        print(
            f"{name}, bytes to effects and changelog: {seconds / EVENTS * 1e6:.2f} us an event, "
            f"{EVENTS / seconds:,.0f} events/s, {effects / EVENTS:.2f} effects and {changed / EVENTS:.2f} "
            "changelog records an event"
        )


if __name__ == "__main__":
    main()
