"""Lives of customers with the seed of the game: a few steps in, what the compiled fold told of them out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from catalog.draft import seed
from loyalty.content import Decisions, ScoringPolicy
from loyalty.engine import Engine
from loyalty.game import Game, Template
from loyalty.hashing import hash64
from loyalty.log import joined
from loyalty.state import State
from tests.reference.records import Content, at, event, marker, tick

DAY = 86_400_000
NOON = at("2020-01-01T12:00")  # of day 0, a Wednesday


class Step(NamedTuple):
    """An event at noon of a day; one of type `tick` is a tick."""

    day: int
    type: str
    value: float
    attributes: dict[str, Any]


def e(
    event_type: str, days: int | Iterable[int] = 1, value: float = 1, n: int = 1, **more: Any
) -> list[Step]:
    """`n` events on each of some days."""
    each = [days] if isinstance(days, int) else days
    return [Step(day, event_type, value, more) for day in each for _ in range(n)]


def until(day: int) -> list[Step]:
    """Time passes."""
    return [Step(day, "tick", 0, {})]


def refreshed_early(name: str) -> str:
    """An id whose daily refresh stands before the noon at which things happen."""
    return next(id for n in range(1_000) if hash64((id := f"{name}{n}").encode()) % 1440 < 60)


@lru_cache(maxsize=1)
def game() -> Game:
    return seed().onto(Game(), 2)


def template(name: str) -> Template:
    return next(each for each in game().templates if each.name == name)


def with_only(*names: str) -> Game:
    """The seed with all other templates switched off, so that five missions are room enough."""
    return msgspec.structs.replace(
        game(),
        templates=[
            each if each.name in names else msgspec.structs.replace(each, active=False)
            for each in game().templates
        ],
    )


def live(rules: Game, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What is told of a customer who does all that, in its order; `topic` is among the members."""
    content = Content(Decisions(), ScoringPolicy(), rules)
    engine = Engine(0, State(max_rows=16), lambda revision: content)
    id = refreshed_early("ada")
    records = [marker(1)]
    for number, (day, kind, value, attributes) in enumerate(steps):
        when = NOON + day * DAY + number * 1_000
        if kind == "tick":
            records.append(tick(when))
        else:
            records.append(event(id, kind, when, value, f"e{number}", **attributes))
    found = []
    for outcome in engine.fold(joined(list(enumerate(records))), len(records)):
        assert not outcome.dead
        found += [{"topic": each.topic} | json.loads(each.value or b"{}") for each in outcome.effects]
    return found


def missions(rules: Game, steps: Sequence[Step], name: str) -> list[tuple[str, float]]:
    """(status, target) of a template's missions, but for their progress."""
    return [
        (each["status"], each["target"])
        for each in live(rules, steps)
        if each["topic"] == "mission-progress" and each["name"] == name and each["status"] != "progress"
    ]


def levels(rules: Game, steps: Sequence[Step], name: str) -> list[int]:
    """The levels of a badge that are awarded, in their order."""
    return [
        each["level"]
        for each in live(rules, steps)
        if each["topic"] == "badge-awards" and each["kind"] == "badge" and each["name"] == name
    ]
