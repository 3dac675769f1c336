"""What a run does to khaywe: a pure function of the seed, so that a failure can be had again.

Faults are dealt like cards: thirteen cycles have each kind once, in an order of their own.  A plan of more
cycles begins with the plan of fewer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

KINDS = {
    "worker killed": "kill -9 at any moment, started again",
    "worker killed at a step": "kill -9 at a drawn step of a drawn app's transaction, started again",
    "worker paused": "SIGSTOP for longer than the group's session, then SIGCONT: a zombie",
    "worker paused at a step": "the same at a drawn step of a drawn app's transaction",
    "worker added": "one more joins",
    "worker removed": "one leaves (SIGTERM)",
    "broker killed": "kill -9, started again",
    "broker paused": "SIGSTOP, then SIGCONT",
    "store deleted": "RocksDB of a worker is deleted, under it or while it is down",
    "store truncated": "a drawn file of a worker's RocksDB is cut, under it or while it is down",
    "postgres stopped": "stopped, started again",
    "disk full": "the disk under a worker's RocksDB is filled, then there is room again",
    "clock moved": "a worker goes on with a clock that is minutes to weeks ahead or behind",
}
#: Kinds that may strike while another one is under way.
BESIDE = ("worker killed", "broker killed", "postgres stopped")
#: Kinds that need no worker of their own.
SERVICES = ("broker killed", "broker paused", "postgres stopped")
STEPS = {
    "khaywe-normalizer": ("begun", "produced", "offsets", "committed"),
    "khaywe-customers": ("begun", "produced", "offsets", "committed"),
    "khaywe-projector": ("begun", "moved", "copied", "merged", "committed"),
}
#: Seconds by which a clock is moved, ahead or behind.
MINUTE, DAY = 60, 86_400
SHIFTS = (5 * MINUTE, 90 * MINUTE, DAY, 40 * DAY)
FIRST = ("w1", "w2")
MOST = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens.  `worker`: to whom, empty for a service; `detail`: app:step, shift or share."""

    kind: str
    worker: str
    after: float  # seconds since the cycle began
    seconds: float  # how long it lasts, beyond what it takes to be felt
    detail: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.worker, self.detail)))


@dataclass(frozen=True, slots=True)
class Cycle:
    """Faults that overlap, and the workers that are there once they are over."""

    number: int
    faults: tuple[Fault, ...]
    crew: tuple[str, ...]


def plan(seed: int, cycles: int) -> tuple[Cycle, ...]:
    """What happens in a run of so many cycles."""
    return tuple(islice(_endless(seed), cycles))


def _endless(seed: int) -> Iterator[Cycle]:
    dice = random.Random(seed)
    crew, number = list(FIRST), 0
    while True:
        deck = list(KINDS)
        dice.shuffle(deck)
        for kind in deck:
            number += 1
            # The crew stays within its bounds: where one more would be too many, one goes, and so on.
            if kind == "worker added" and len(crew) == MOST:
                kind = "worker removed"
            elif kind == "worker removed" and len(crew) == 1:
                kind = "worker added"
            first = _fault(dice, kind, _victim(dice, kind, crew), round(dice.uniform(0.2, 2.0), 2))
            if kind == "worker added":
                crew.append(first.worker)
            elif kind == "worker removed":
                crew.remove(first.worker)
            faults = [first]
            beside = dice.choice(BESIDE)
            others = [name for name in crew if name != first.worker]
            apart = beside != kind and {beside, kind} != {"broker killed", "broker paused"}
            if dice.random() < 0.3 and apart and (others or beside in SERVICES):
                worker = "" if beside in SERVICES else dice.choice(others)
                faults.append(_fault(dice, beside, worker, round(first.after + dice.uniform(0.0, 4.0), 2)))
            yield Cycle(number, tuple(faults), tuple(crew))


def _victim(dice: random.Random, kind: str, crew: list[str]) -> str:
    if kind in SERVICES:
        return ""
    if kind == "worker added":
        return next(name for name in (f"w{n}" for n in range(1, MOST + 1)) if name not in crew)
    return dice.choice(crew)


def _fault(dice: random.Random, kind: str, worker: str, after: float) -> Fault:
    seconds, detail = 0.0, ""
    match kind:
        case "worker killed" | "broker killed":
            seconds = dice.uniform(0.0, 3.0)
        case "broker paused":
            seconds = dice.uniform(2.0, 9.0)
        case "postgres stopped":
            seconds = dice.uniform(0.5, 5.0)
        case "worker paused":
            seconds = dice.uniform(0.5, 5.0)
        case "worker killed at a step" | "worker paused at a step":
            seconds = dice.uniform(0.5, 5.0)
            app = dice.choice(list(STEPS))
            detail = f"{app}:{dice.choice(STEPS[app])}:{dice.randint(1, 6)}"
        case "store deleted":
            detail = dice.choice(("under it", "while down"))
        case "store truncated":
            detail = f"{dice.choice(('under it', 'while down'))} {dice.random():.2f} {dice.random():.2f}"
        case "disk full":
            seconds, detail = dice.uniform(2.0, 6.0), dice.choice(("under it", "at its start"))
        case "clock moved":
            detail = f"{dice.choice((-1, 1)) * dice.choice(SHIFTS):+d}"
    return Fault(kind, worker, after, round(seconds, 2), detail)
