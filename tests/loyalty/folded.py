"""A partition that tells what it asked for: the engine over a state in memory, for examples by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any

from loyalty.asking import DAILY, INLINE, Ask, prediction_id, prediction_record
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.engine import Engine
from loyalty.game import Game, Goal, Target, Template, Tier
from loyalty.hashing import hash64
from loyalty.log import joined
from loyalty.row import plain
from loyalty.state import State
from tests.reference.games import badge
from tests.reference.records import Content, at, event

DAY, HOUR = 86_400_000, 3_600_000
NOON = at("2024-05-01T12:00")
#: Nobody's score moves by so much.
NO_STEP = 1_000.0


def refreshed(least: int, most: int, prefix: str = "c") -> str:
    """A customer whose refresh minute lies there."""
    names = (f"{prefix}{n}" for n in count())
    return next(name for name in names if least <= hash64(name.encode()) % 1440 < most)


#: Refreshed in the first hour of a UTC day, so that nothing happens between noon and midnight.
ADA, BOB = refreshed(0, 60), refreshed(0, 60, "b")


def content(game: Game = Game(), decide: Mapping[str, Any] | None = None, **asked: Any) -> Content:  # noqa: B008
    """A revision by what its `predictions` say."""
    return Content(Decisions(**decide or {}), ScoringPolicy(), game, Predictions(**asked))


class Folded:
    """`size`: records of a batch; everything that came out so far stands in its lists."""

    def __init__(self, *revisions: Content, size: int = 1_000, chunk: int = 5_000) -> None:
        self.state, self.size = State(), size
        self.contents = [content(enabled=False), *revisions]
        self.engine = Engine(0, self.state, self.contents.__getitem__, chunk)
        self.asks: list[Ask] = []
        self.asked: list[dict[str, Any]] = []  # plain rows
        self.effects: list[tuple[str, str, dict[str, Any] | None]] = []
        self.forwards: list[bytes] = []
        self.dead: list[tuple[int, str, str]] = []
        self.counts: Counter[str] = Counter()
        self._offset = 0

    def fold(self, *records: bytes) -> list[tuple[str, int, int]]:
        """The new asks as (customer, sets, as_of)."""
        before = len(self.asks)
        numbered = list(enumerate(records, self._offset))
        self._offset += len(records)
        for start in range(0, len(numbered), self.size):
            batch = numbered[start : start + self.size]
            for out in self.engine.fold(joined(batch), batch[-1][0] + 1):
                assert len(out.asks) == len(out.asked)
                self.asks += out.asks
                self.asked += [plain(row) for row in out.asked]
                self.effects += [
                    (effect.topic, effect.key.decode(), json.loads(effect.value or b"null"))
                    for effect in out.effects
                ]
                self.forwards += [value for _, value in out.forwards]
                self.dead += out.dead
                self.counts.update(out.counts)
                self.state.changes()
                self.state.committed()
        return [(ask.id.decode(), ask.sets, ask.as_of) for ask in self.asks[before:]]

    def row(self, customer_id: str) -> dict[str, Any]:
        """A row as plain values."""
        return plain(self.raw(customer_id))

    def raw(self, customer_id: str) -> Any:
        """A row."""
        slot = self.state.find(customer_id.encode())
        assert slot >= 0, f"there is no {customer_id}"
        return self.state.rows[slot]

    def told(self, topic: str) -> list[dict[str, Any]]:
        """What stands on a topic."""
        return [value for name, _, value in self.effects if name == topic and value is not None]


def answers(ask: Ask, **values: Any) -> list[bytes]:
    """The records that answer an ask."""
    which = [each for each in (INLINE, DAILY) if ask.sets & each]
    return [prediction_record(ask, each, prediction_id(ask, each), values)[1] for each in which]


def prediction(customer_id: str, when: int, which: str, event_id: str = "p", **says: Any) -> bytes:
    return event(customer_id, "_prediction", when, 1, event_id, "khaywe", set=which, **says)


def complaint(customer_id: str, when: int, **attributes: Any) -> bytes:
    """An event that moves no score."""
    return event(customer_id, "complaint", when, 1, f"complaint-{when}", **attributes)


_AT_RISK = Template(
    number=7, name="Stay", category="loyalty", goal=Goal("count", ["sms"]), target=Target(2),
    duration_days=3, cooldown_days=0, priority=1,
    eligibility="churn_probability >= 0.7 and predicted_ltv > 10",
)  # fmt: skip
#: A mission for whom may leave and is worth it, a badge for the best.
GAME = Game(
    templates=[_AT_RISK],
    badges=[
        badge(1, "Foretold", "rfm_score >= 500", "rfm_score > 600", "rfm_score > 600", "rfm_score > 600")
    ],
    tiers=[Tier("bronze", 0)],
)
