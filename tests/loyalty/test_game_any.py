"""What must hold of the game on any log, by the reference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec import structs

from config.topics import BADGE_AWARDS, MISSION_PROGRESS, REWARD_GRANTS
from tests.reference.customer import LOTS, U4
from tests.reference.fold import ReferenceFold
from tests.reference.records import CONTENTS
from tests.reference.streams import run_log
from tests.reference.streams_game import game_log, playing

ENDS = ("completed", "expired", "replaced", "cancelled")


# The same games with nobody in the control group, where all that happens is told.
EVERYBODY = {
    n: content._replace(decisions=structs.replace(content.decisions, control_share=0.0))
    for n, content in CONTENTS.items()
}


def played(
    seed: int, contents: Any = CONTENTS, logs: int = 40
) -> Iterator[tuple[ReferenceFold, list[dict[str, Any]]]]:
    """Logs by chance, played."""
    r = Random(seed)
    for _ in range(logs):
        log = game_log(r)
        fold = ReferenceFold(0, contents)
        yield fold, log.run(fold)


@pytest.mark.parametrize("seed", range(4))
def test_rows_keep_to_their_limits(seed: int) -> None:
    rows = [(fold, name, c) for fold, _ in played(seed) for name, c in fold.customers.items()]
    for fold, name, c in rows:
        assert {reason for _, reason in fold.dead} <= {"undecodable"}  # predictions
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


@pytest.mark.parametrize("seed", range(10, 13))
def test_a_mission_begins_once_and_ends_at_most_once(seed: int) -> None:
    for _, effects in played(seed, EVERYBODY):
        running: set[tuple[str, str]] = set()
        for effect in effects:
            if effect["topic"] == MISSION_PROGRESS:
                value = effect["value"]
                mission = (effect["key"], value["mission_id"])
                if value["status"] == "given":
                    assert mission not in running
                    running.add(mission)
                else:
                    assert mission in running
                    if value["status"] in ENDS:
                        running.remove(mission)
            elif effect["value"] is None:  # erased
                running = {(who, mission) for who, mission in running if who != effect["key"]}


@pytest.mark.parametrize("seed", range(20, 23))
def test_points_add_up(seed: int) -> None:
    """What effects say of points is what the rows have, but for what was merged, erased or saturated."""
    checked = 0
    for fold, effects in played(seed):
        told: Counter[str] = Counter()
        grants = [effect for effect in effects if effect["topic"] == REWARD_GRANTS]
        for effect in grants:
            told[effect["key"]] += effect["value"]["points"]
        merged = any(forward["value"]["event_type"] == "_merge" for forward in fold.forwards)
        erased = any(effect["value"] is None for effect in effects)
        big = any(abs(effect["value"]["points"]) > 2**30 for effect in grants)
        if not (merged or erased or big):
            for name, c in fold.customers.items():
                assert sum(lot.points for lot in c.lots) - c.debt == told[name]
                checked += told[name] != 0
    assert checked >= 3


@pytest.mark.parametrize("seed", range(30, 33))
def test_effect_ids_are_unique(seed: int) -> None:
    r = Random(seed)
    for _ in range(40):
        log = game_log(r)
        # What comes again when it is forgotten counts again, under the same id.
        known: set[str] = set()
        once: list[list[bytes]] = []
        for segment in log.segments:
            once.append([])
            for value in segment:
                event_id = json.loads(value)["event_id"] if value else ""
                if value and event_id not in known:
                    once[-1].append(value)
                    known.add(event_id)
        effects = run_log(ReferenceFold(0, CONTENTS), once)
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
