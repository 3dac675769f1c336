"""What must hold of the game on any log, by the reference."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings

from config.topics import BADGE_AWARDS, MISSION_PROGRESS, REWARD_GRANTS
from tests.reference.customer import LOTS, U4
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import Log, run_log
from tests.reference.streams_game import game_logs, playing

ENDS = ("completed", "expired", "replaced", "cancelled")


def run(log: Log) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, run_log(fold, log.segments, log.twice)


@settings(max_examples=300, deadline=None)
@given(game_logs())
def test_rows_keep_to_their_limits(log: Log) -> None:
    fold, _ = run(log)
    assert not fold.dead
    for name, c in fold.customers.items():
        found = fold.snapshot(name)
        missions = [mission for mission in found["missions"] if mission]
        assert len({mission["template"] for mission in missions}) == len(missions)
        assert sum(fold._template(m).category == "onboarding" for m in c.missions if m) <= 2
        for mission in missions:
            assert 1 <= mission["target"] <= U4
            assert 0 <= mission["tenths"] <= 9
            assert mission["marks"] < 2**192
            assert (mission["started"] == mission["ends"] == 0) == (mission["status"] == 2)
        assert not missions or found["state"] == 1
        assert [lot[0] for lot in found["lots"]] == sorted({lot[0] for lot in found["lots"]})
        assert len(found["lots"]) <= LOTS
        assert all(0 < points <= U4 for _, points in found["lots"])
        cooling = [entry for entry in found["cooling"] if entry]
        assert len({template for template, _, _ in cooling}) == len(cooling)
        assert found["badges"] < 2**128
        for number in range(32):  # lower levels first
            assert found["badges"] >> (4 * number) & 15 in (0, 1, 3, 7, 15)
        assert found["open_grants"] <= sum(grant.status == "open" for grant in c.grants.values())
        assert found["due"] > found["as_of"]


@settings(max_examples=300, deadline=None)
@given(game_logs())
def test_a_mission_begins_once_and_ends_at_most_once(log: Log) -> None:
    fold, effects = run(log)
    begun: Counter[str] = Counter()
    for effect in effects:
        if effect["topic"] == MISSION_PROGRESS:
            value = effect["value"]
            mission = value["mission_id"]
            if value["status"] == "given":
                begun[mission] += 1
                assert begun[mission] == 1
                assert value["progress"] == 0
            else:
                # One that was given by a revision without a control group may end in it, untold.
                assert begun[mission] == 1 or 23 in fold.contents
                begun[mission] -= value["status"] in ENDS
    assert set(begun.values()) <= {0, 1}


@settings(max_examples=300, deadline=None)
@given(game_logs())
def test_points_add_up(log: Log) -> None:
    """What effects say of points is what the rows have, but for what saturated."""
    fold, effects = run(log)
    told: Counter[str] = Counter()
    for effect in effects:
        if effect["topic"] == REWARD_GRANTS:
            told[effect["key"]] += effect["value"]["points"]
    merged = any(forward["value"]["event_type"] == "_merge" for forward in fold.forwards)
    erased = any(effect["value"] is None for effect in effects)
    big = any(
        abs(effect["value"]["points"]) > 2**30 for effect in effects if effect["topic"] == REWARD_GRANTS
    )
    if not (merged or erased or big):
        for name, c in fold.customers.items():
            assert sum(lot.points for lot in c.lots) - c.debt == told[name]


@settings(max_examples=200, deadline=None)
@given(game_logs())
def test_effect_ids_are_unique(log: Log) -> None:
    _, effects = run(log)
    ids = Counter(
        (effect["topic"], effect["value"]["effect_id"])
        for effect in effects
        if effect["value"] and "effect_id" in effect["value"] and effect["topic"] != "command-results"
    )
    assert not {each: times for each, times in ids.items() if times > 1}


def test_the_long_logs_play_everything() -> None:
    segments = playing(1, customers=30, events=2_500, days=120, revisions=(20, 21, 22, 24, 25, 28))
    assert segments == playing(1, customers=30, events=2_500, days=120, revisions=(20, 21, 22, 24, 25, 28))
    fold = ReferenceFold(0, CONTENTS)
    effects = run_log(fold, segments)
    assert not fold.dead
    values = [effect["value"] for effect in effects if effect["value"]]
    said = {
        (value.get("kind") or value.get("status"), value.get("decision") or value.get("reason"))
        for value in values
    }
    progress = {
        value["status"] for value, effect in zip(values, effects, strict=False) if "mission_id" in value
    }
    assert progress == {"given", "progress", *ENDS}
    kinds = {value["kind"] for value in values if "grant_id" in value}
    assert kinds >= {"points", "offer", "redeemed", "adjusted", "expired", "reversed", "forfeited"}
    assert said >= {("badge", "earned"), ("badge", "reward"), ("tier", "up"), ("tier", "down")}
    assert said >= {("mission", "reserved"), ("mission", "refused"), ("refund", "unknown_event")}
    assert BADGE_AWARDS in {effect["topic"] for effect in effects}
