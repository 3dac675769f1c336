"""What a subscription may ask for, and what is wrong with the rest."""

from __future__ import annotations

import pytest

from catalog.service import Unfit
from outwards.query import CROSSING, KINDS, Crossing, parse


def test_an_empty_query_asks_for_everything_but_crossings() -> None:
    found = parse("")
    assert found.types == set(KINDS) - {CROSSING}
    assert all(found.fits(kind, {}) for kind in found.types)
    assert not found.fits(CROSSING, {})
    assert "behavior-scores" not in found.topics()
    assert "erasures" in found.topics()


def test_names_are_and_and_values_are_or() -> None:
    found = parse("?eventType=MissionStateChangeEvent&status=completed,expired&number=2")
    assert found.topics() == {"mission-progress", "erasures"}
    assert found.fits("MissionStateChangeEvent", {"status": "expired", "number": 2})
    assert not found.fits("MissionStateChangeEvent", {"status": "given", "number": 2})
    assert not found.fits("MissionStateChangeEvent", {"status": "expired", "number": 3})
    assert not found.fits("BadgeAwardEvent", {"status": "expired", "number": 2})


@pytest.mark.parametrize(
    ("direction", "up", "down"), [("up", 1, 0), ("down", 0, 1), ("both", 1, 1), ("", 1, 1)]
)
def test_a_crossing(direction: str, up: int, down: int) -> None:
    query = f"eventType={CROSSING}&score=risk&value=70.5" + (f"&direction={direction}" if direction else "")
    assert parse(query).crossing == Crossing("risk", 70.5, bool(up), bool(down))
    assert parse(query).topics() == {"behavior-scores", "erasures"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("eventType", "name=value"),
        ("eventType=", "one or more of"),
        ("eventType=NoEvent", "one or more of"),
        ("eventType=BadgeAwardEvent&eventType=TierChangeEvent", "twice"),
        ("eventType=BadgeAwardEvent&status=given", "BadgeAwardEvent cannot be asked for 'status'"),
        ("status=completed", "cannot be asked for 'status'"),
        (f"eventType={CROSSING},BadgeAwardEvent&score=risk&value=1", "of its own"),
        (f"eventType={CROSSING}&score=luck&value=1", "score is one of"),
        (f"eventType={CROSSING}&score=risk", "value is a number"),
        (f"eventType={CROSSING}&score=risk&value=0", "value is a number"),
        (f"eventType={CROSSING}&score=risk&value=nan", "value is a number"),
        (f"eventType={CROSSING}&score=risk&value=101", "value is a number"),
        (f"eventType={CROSSING}&score=risk&value=1&direction=left", "direction is one of"),
        (f"eventType={CROSSING}&score=risk&value=1&status=x", "cannot be asked for 'status'"),
        ("&".join(f"a{n}=1" for n in range(30)), "name=value"),
    ],
)
def test_what_is_wrong_is_said_of_the_query(query: str, said: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse(query)
    [(field, message)] = caught.value.faults
    assert field == "query"
    assert said in message
