"""What models would say, for logs: an ask's answers as `_prediction` records, and some that nobody asked for.

What is foretold is drawn by a hash of customer, time and set, so that whoever answers says the same.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.reference.core import digest
from tests.reference.model import FORETOLD, hash64, iso
from tests.reference.records import encode

SETS = {1: "inline", 2: "daily"}
SHARES = (0, 1, 0.5, 1.0, 0.00005, 0.00015, 0.99995, 0.12345, 0.75, 1e-300, -0.0)
NUMBERS: dict[str, tuple[float, ...]] = {
    "offer": (0, 0, 1, 7, 7, 30_000, 2**31 - 2),
    "engagement": (0, 30, 3, 0.005, 0.015, 29.995, 12.345, 7.0),
    "rfm": (111, 555, 333, 444, 543, 500),
    "ltv": (0, 0.005, 0.015, 1.005, 2.675, 50, 99.99, 1_234.5, 4e7, 1e13, 1e15, 1e300),
}
# Members with what makes a record unreadable.
BAD: dict[str, tuple[Any, ...]] = {
    "churn": (-0.001, 1.0001, 2, "0.5", True, [], {}, 10**400, -1e-300),
    "offer": (-1, 2**31 - 1, 1.0, 2.5, "7", False, 2**63, 2**64),
    "propensity": (1.5, True, "1"),
    "response": (-1, [0.5]),
    "default_risk": (1e300, {}),
    "upsell": (-0.5, False),
    "engagement": (-0.01, 30.001, "3", True, 31),
    "rfm": (110, 556, 333.0, "333", 0, -333, True),
    "ltv": (-0.01, "9", True, 10**400, -(10**400)),
}
NO_SETS: tuple[Any, ...] = (None, "", "Inline", "weekly", 1, True, [], ["inline"], {"inline": 1})


def prediction(who: str, which: Any, when: int, event_id: str, values: dict[str, Any]) -> bytes:
    """A `_prediction` by docs/predictions.md; `when`: as_of of the ask."""
    return encode(
        {
            "event_id": event_id,
            "customer_id": who,
            "event_type": "_prediction",
            "source": "khaywe",
            "value": 1,
            "occurred_at": iso(when),
            "received_at": iso(when),
            "attributes": {"set": which, **values},
        }
    )


def answers(ask: dict[str, Any]) -> list[tuple[int, bytes]]:
    """An ask's answers, each with the pieces of the log that it lets pass; some never come."""
    found = []
    for bit, which in SETS.items():
        if ask["sets"] & bit:
            who, when, cause = ask["customer_id"], ask["as_of"], ask["cause"]
            r = Random(hash64(f"{who}\0{when}\0{which}".encode()))
            event_id = digest(
                who, f"prediction:{which}", str(ask["revision"]), cause["source"], cause["event_id"], "0"
            )
            record = prediction(who, which, when, event_id, foretold(r, which))
            if r.random() < 0.9:
                found.append((r.choice([0, 0, 0, 0, 1, 2, 5]), record))
    return found


def foretold(r: Random, which: str) -> dict[str, Any]:
    """What models of a set say: mostly all of it, sometimes some or nothing."""
    chance = r.random()
    names = [name for name in FORETOLD[which] if chance < 0.6 or r.random() < (0.1 if chance > 0.85 else 0.7)]
    return {name: None if r.random() < 0.03 else _value(r, name) for name in names}


def _value(r: Random, name: str) -> float:
    if r.random() < 0.5:
        return r.choice(NUMBERS.get(name, SHARES))
    match name:
        case "offer":
            return r.randint(0, 8)
        case "rfm":
            return r.randint(111, 555)
        case "engagement":
            return r.uniform(0, 30)
        case "ltv":
            return r.choice([round(r.uniform(0, 300), 2), r.uniform(0, 3_000), r.randint(0, 3_000)])
    return r.random()


def stray(r: Random, who: str, when: int, event_id: str, readable: bool = False) -> bytes:
    """A `_prediction` that nobody asked for; now and then it cannot be read."""
    which: Any = r.choice(["inline", "daily"])
    values = foretold(r, which)
    chance = 1.0 if readable else r.random()
    if chance < 0.02:
        which = r.choice(NO_SETS)
    elif chance < 0.1:
        name = r.choice(list(FORETOLD[which]))
        values[name] = r.choice(BAD[name])
    elif chance < 0.2:
        other = r.choice(list(BAD))  # of the other set it does not matter
        values |= {} if other in FORETOLD[which] else {other: r.choice(BAD[other])}
    return prediction(who, which, when, event_id, values)


def unreadable() -> list[bytes]:
    """Records of every kind that is none of the page's."""
    sets = [prediction("a", which, 1_577_836_800_000, "p", {}) for which in NO_SETS]
    return sets + [
        prediction("a", which, 1_577_836_800_000, "p", {name: value})
        for which, names in FORETOLD.items()
        for name in names
        for value in BAD[name]
    ]
