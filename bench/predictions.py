"""Predictions in the stream: what one takes on one core, from the rows the fold hands out to the records.

CPU time, best of several: whole batches of ROWS of simulated customers, each model, and both sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from catalog.draft import seed
from loyalty.asking import DAILY, INLINE, Ask
from loyalty.content import Decisions
from loyalty.effects import Cause
from loyalty.game import Game
from ml import features
from ml.serving import MODELS, Serving
from ml.simulator import simulate

ROWS = 2_000
ROUNDS = 7


class Content(msgspec.Struct):
    """What serving needs of a revision."""

    decisions: Decisions = msgspec.field(default_factory=Decisions)
    game: Game = Game()


def measure() -> dict[str, Any]:
    """Milliseconds for ROWS rows: the matrix, each model with its outputs, and answers of both sets."""
    rows = simulate(ROWS, 1)[0].rows
    serving, content = Serving(), Content(game=seed().onto(Game(), 2))
    values = features.matrix(rows)

    def run(name: str) -> Callable[[], object]:
        model = serving.models[name]
        return lambda: model.outputs(model.run(features.select(values, model.names))[1])

    def answer(which: int) -> Callable[[], object]:
        cause = Cause("khaywe", "refresh:2026-01-01T00:00:00.000Z")
        asks = [Ask(b"4812345%04d" % n, which, 1_767_225_600_000, 1, cause) for n in range(ROWS)]
        return lambda: serving.answer(asks, rows, content)

    return {
        "rows": ROWS,
        "features_ms": _best(lambda: features.matrix(rows)),
        **{f"{name}_ms": _best(run(name)) for names in MODELS.values() for name in names},
        "inline_answers_ms": _best(answer(INLINE)),
        "daily_answers_ms": _best(answer(DAILY)),
    }


def _best(work: Callable[[], object]) -> float:
    """Milliseconds of CPU time, the least of ROUNDS after a first one that compiles."""
    work()
    took = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return round(float(np.min(took)) * 1000, 2)
