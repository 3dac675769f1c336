"""`khaywe simulate`: exactly what a draft changes, whoever asks twice, wherever the fold begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.recorded import Contents
from agents.simulation import Simulated, Simulation
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.content import ScoringPolicy
from loyalty.game import Game, Limits, Reward
from streams.partition import partition_of
from tests.cli.recording import Recording, broker, khaywe, recording
from tests.cli.test_replay import CUSTOMERS, GAME, days, played
from tests.reference.records import command, event, marker, tick

__all__ = ["broker", "recording"]  # fixtures


def simulated(
    settings: Settings, game: Game, since: str | None = None, until: str | None = None, **changes: Any
) -> Simulated:
    """A simulation of the newest revision with that game."""
    contents = Contents(settings)
    last = contents.last
    draft = msgspec.structs.replace(last, revision=last.revision + 1, game=game, **changes)
    return Simulation(settings, draft, contents, since, until).run(lambda more: None)


def with_template(number: int, **changes: Any) -> Game:
    """The game with that template changed."""
    templates = [
        msgspec.structs.replace(each, **changes) if each.number == number else each for each in GAME.templates
    ]
    return msgspec.structs.replace(GAME, templates=templates)


def sums(found: Simulated) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both sides come to, all of it."""
    names = ("missions", "badges", "tiers", "points", "offers", "got")
    both = [{name: dict(getattr(tally, name)) for name in names} for tally in (found.draft, found.recorded)]
    return both[0], both[1]


def uncapped(recording: Recording) -> Game:
    """A log with links but without accounts; its game."""
    game = with_template(2, limits=Limits())
    recording.content(game)
    recording.log(marker(1))
    for day in range(1, 15):
        recording.log(*days(CUSTOMERS, day, day + 1))
        recording.work()  # so that links arrive in time
    recording.log(tick("2026-01-15T00:00"))
    recording.work()
    return game


def test_what_changes_nothing_changes_nothing(recording: Recording) -> None:
    game = uncapped(recording)
    found = simulated(recording.settings, game)
    draft, recorded = sums(found)
    assert draft == recorded
    assert recorded["missions"][1, "completed"] > 0
    assert found.owed[0] == found.owed[1] > 0
    assert found.draft.scores == found.recorded.scores


def test_the_record_is_what_was_published(recording: Recording) -> None:
    told = played(recording)
    found = simulated(recording.settings, GAME)
    assert found.recorded.effects == {
        topic: sum(effect.topic == topic for effect in told) for topic in {effect.topic for effect in told}
    }


def test_exactly_what_a_draft_changes_is_another(recording: Recording) -> None:
    game = uncapped(recording)
    templates = [msgspec.structs.replace(game.templates[0], rewards=Reward(25, 7)), game.templates[1]]
    found = simulated(recording.settings, msgspec.structs.replace(game, templates=templates))
    draft, recorded = sums(found)
    completed = recorded["missions"][1, "completed"]
    assert draft["missions"] == recorded["missions"]
    assert draft["badges"] == recorded["badges"]
    assert draft["offers"] == recorded["offers"] == {7: completed}
    assert draft["points"].pop(("points", "mission:1")) == 25 * completed
    assert recorded["points"].pop(("points", "mission:1")) == 10 * completed
    assert draft["points"] == recorded["points"]
    assert found.owed[0] - found.owed[1] == 15 * completed


def test_a_draft_counts_from_its_begin(recording: Recording) -> None:
    game = uncapped(recording)
    nothing = msgspec.structs.replace(game, templates=[], earning=[])
    since, until = "2026-01-08T00:00:00.000Z", "2026-01-12T00:00:00.000Z"
    found = simulated(recording.settings, nothing, since, until)
    draft, recorded = sums(found)
    # Missions that ran at the begin go on by their own revision.
    assert 0 < draft["missions"][1, "completed"] < recorded["missions"][1, "completed"]
    assert (1, "given") not in draft["missions"]
    assert draft["badges"] == recorded["badges"] != {}
    assert not any(rule.startswith("earn") for _, rule in draft["points"])
    whole = simulated(recording.settings, nothing)
    assert not whole.draft.missions
    assert not whole.draft.points
    assert {at[:10] for at in logged(recording, found)} == {f"2026-01-{n:02}" for n in range(8, 12)}


def logged(recording: Recording, found: Simulated) -> list[str]:
    """Times of source events in the range."""
    records = recording.recorded(topics.CUSTOMER_EVENTS)
    ranges = {stretch.partition: range(stretch.begin, stretch.end) for stretch in found.stretches}
    heads = [json.loads(value) for partition, offset, value in records if offset in ranges[partition]]
    return [head["occurred_at"] for head in heads if not head["event_type"].startswith("_")]


def test_a_cap_holds_over_all_partitions_and_the_first_win(recording: Recording) -> None:
    game = uncapped(recording)
    capped = msgspec.structs.replace(
        game,
        templates=[game.templates[0], msgspec.structs.replace(game.templates[1], limits=Limits(total=4))],
    )
    found = simulated(recording.settings, capped)
    assert found.draft.missions[2, "given"] == 4
    assert found.recorded.missions[2, "given"] > 4
    # All ask on the first of January, as they come in the log.
    winners = {id for id, got in found.draft.got.items() if got["mission", 2, "given"]}
    assert winners == {"c0", "c1", "c2", "c3"}


def test_who_asks_first_is_served_first_wherever_that_is(recording: Recording) -> None:
    recording.content(with_template(1, active=False))
    recording.log(marker(1))
    seconds = {f"c{n}": (n * 7) % 30 for n in range(30)}
    recording.log(*[event(id, "sms", f"2026-01-01T12:00:{at:02}") for id, at in seconds.items()])
    found = simulated(recording.settings, Contents(recording.settings).last.game)
    winners = {id for id, got in found.draft.got.items() if got["mission", 2, "given"]}
    assert winners == {id for id, at in seconds.items() if at < 4}


def test_recorded_answers_are_not_the_drafts(recording: Recording) -> None:
    """Recorded: four of template 2.  The draft gives six; nobody who was refused stays refused."""
    played(recording)
    found = simulated(recording.settings, with_template(2, limits=Limits(total=6)))
    assert found.recorded.missions[2, "given"] == 4
    assert found.draft.missions[2, "given"] == 6
    same = simulated(recording.settings, GAME)
    assert same.draft.missions[2, "given"] == 4


def test_what_is_under_way_at_the_begin_arrives(recording: Recording) -> None:
    """Reservations asked for just before the range are answered in it, by the record."""
    recording.content(GAME)
    before = [event(f"c{n}", "voice_call", "2026-01-01T11:59:59", 60) for n in range(3)]
    recording.log(marker(1), *before)
    recording.log(*[event(f"x{n}", "sms", "2026-01-01T12:00", _backfill=True) for n in range(40)])
    recording.work()
    since = "2026-01-01T12:00:00.000Z"
    found = simulated(recording.settings, GAME, since)
    asked = {id for id, got in found.recorded.got.items() if got["mission", 2, "given"]}
    assert asked == {"c0", "c1", "c2"}
    assert {id for id, got in found.draft.got.items() if got["mission", 2, "given"]} == asked


def test_what_has_overtaken_the_begin_counts_once(recording: Recording) -> None:
    """A reservation of the range that its account has recorded before its own part of the range begins."""
    partitions = recording.settings.partitions
    account = partition_of(b"template:2", partitions)
    first, second = [f"c{n}" for n in range(9) if partition_of(b"c%d" % n, partitions) != account][:2]
    game = with_template(2, limits=Limits(total=2))
    recording.content(game)
    recording.log(marker(1), event(first, "sms", "2026-01-01T12:00"))
    recording.work()
    everywhere = [event(f"x{n}", "sms", "2026-01-01T12:00:20", _backfill=True) for n in range(30)]
    recording.log(*everywhere, event(second, "sms", "2026-01-01T12:00:30"))
    recording.work()
    found = simulated(recording.settings, game, "2026-01-01T12:00:00.000Z")
    assert found.recorded.missions[2, "given"] == 2
    assert found.draft.missions[2, "given"] == 2


def test_answers_for_grants_are_not_taken(recording: Recording) -> None:
    recording.content(GAME)
    recording.log(marker(1), *days(["a"], 1, 4))
    (grant,) = [
        json.loads(effect.value or b"")["grant_id"]
        for effect in recording.work()
        if effect.topic == topics.REWARD_GRANTS and b'"offer"' in (effect.value or b"")
        and json.loads(effect.value or b"")["kind"] == "offer"
    ]  # fmt: skip
    recording.log(event("a", "grant_fulfilled", "2026-01-04", grant_id=grant))
    recording.log(*days(["a"], 5, 9))
    recording.work()
    found = simulated(recording.settings, GAME, "2026-01-04T00:00:00.000Z")
    # Nobody has answered for the offer of before: it is told again and again, and not counted again.
    assert found.draft.offers == found.recorded.offers
    assert found.draft.effects[topics.REWARD_GRANTS] > found.recorded.effects[topics.REWARD_GRANTS]


def test_commands_are_obeyed(recording: Recording) -> None:
    recording.content(GAME)
    recording.log(marker(1), *days(["a"], 1, 4))
    redeem = json.loads(command("a", "2026-01-05", "r", "redeem"))
    redeem["attributes"]["arguments"] = {"points": 12}
    recording.log(json.dumps(redeem).encode())
    recording.work()
    found = simulated(recording.settings, msgspec.structs.replace(GAME, earning=[], templates=[]))
    assert found.recorded.results == {("done", ""): 1}
    assert found.draft.results == {("refused", "insufficient_points"): 1}
    assert found.recorded.points["redeemed", "command"] == -12


def test_from_a_snapshot_it_is_the_same(recording: Recording, tmp_path: Path) -> None:
    settings = recording.settings.model_copy(update={"snapshots": tmp_path})
    recording.content(GAME)
    recording.log(marker(1), *days(CUSTOMERS, 1, 8))
    recording.work()
    recording.snapshot(tmp_path)
    recording.log(*days(CUSTOMERS, 8, 15))
    recording.work()
    since, draft = "2026-01-09T12:00:00.000Z", with_template(1, rewards=Reward(77), cooldown_days=0)
    from_empty, from_snapshot = (simulated(each, draft, since) for each in (recording.settings, settings))
    assert {stretch.snapshot is None for stretch in from_snapshot.stretches} == {False}
    assert sums(from_snapshot) == sums(from_empty)
    assert from_snapshot.owed == from_empty.owed
    # One that is damaged makes no difference, one that has seen the begin is of no use.
    for path in tmp_path.glob("*/*.snap"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert sums(simulated(settings, draft, since)) == sums(from_empty)
    recording.snapshot(tmp_path)
    early = simulated(settings, draft, "2026-01-03T00:00:00.000Z")
    assert {stretch.snapshot for stretch in early.stretches} == {None}


def test_a_begin_that_is_gone(recording: Recording) -> None:
    uncapped(recording)
    recording.cut(topics.CUSTOMER_EVENTS)
    recording.log(*days(CUSTOMERS, 15, 17))
    with pytest.raises(KhayweError, match="nobody knows how customers stood then") as refused:
        simulated(recording.settings, GAME, "2026-01-16T00:00:00.000Z")
    assert "KHAYWE_SNAPSHOTS" in refused.value.hint


def test_a_policy_is_part_of_a_draft(recording: Recording) -> None:
    game = uncapped(recording)
    policy = msgspec.json.decode(msgspec.json.encode(ScoringPolicy()), type=ScoringPolicy)
    policy.scores["engagement"]["calls"] = msgspec.structs.replace(
        policy.scores["engagement"]["calls"], weight=0
    )
    found = simulated(recording.settings, game, policy=policy)
    for id, scores in found.recorded.scores.items():
        assert found.draft.scores[id][0] < scores[0]
        assert found.draft.scores[id][1:] == scores[1:]


DRAFT = """
templates:
  - number: 1
    name: Call twice
    category: engagement
    goal: {kind: count, types: [voice_call]}
    target: 2
    duration: 10 days
    cooldown: 3 days
    priority: 5
    rewards: {points: 30}
"""


def test_twice_the_same_bytes(recording: Recording, tmp_path: Path) -> None:
    played(recording)
    draft = tmp_path / "draft.yaml"
    draft.write_text(DRAFT)
    runs = []
    for n in range(2):
        out = tmp_path / f"{n}.jsonl"
        done = khaywe(
            recording.settings, "simulate", "--catalog", str(draft), "--json", "--out", str(out),
            "--from", "2026-01-03", "--to", "2026-01-14",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        runs.append((done.stdout, out.read_bytes()))
    assert runs[0] == runs[1]
    report, lines = json.loads(runs[0][0]), [json.loads(line) for line in runs[0][1].splitlines()]
    (mission,) = [each for each in report["missions"] if each["number"] == 1]
    rule = next(each for each in report["rules"] if each["rule"] == "mission:1")
    # Those of before go on with their 10.
    assert rule["points"]["recorded"] == 10 * mission["completed"]["recorded"]
    assert rule["points"]["recorded"] < rule["points"]["draft"] < 30 * mission["completed"]["draft"]
    assert [line["customer_id"] for line in lines] == sorted({line["customer_id"] for line in lines})
    assert (
        sum(line["draft"].get("missions", {}).get("Call twice", {}).get("completed", 0) for line in lines)
        == (mission["completed"]["draft"])
    )

    shown = khaywe(recording.settings, "simulate", "--catalog", str(draft))
    assert shown.returncode == 0, shown.stderr
    assert "customers who get something" in shown.stdout
    assert "Call twice" in shown.stdout


def test_a_draft_that_makes_no_sense(recording: Recording, tmp_path: Path) -> None:
    played(recording)
    draft = tmp_path / "draft.yaml"
    draft.write_text(DRAFT.replace("voice_call", "voice_cal"))
    done = khaywe(recording.settings, "simulate", "--catalog", str(draft))
    assert done.returncode == 1
    assert "voice_cal" in done.stderr
    assert "Traceback" not in done.stderr
    done = khaywe(recording.settings, "simulate", "--catalog", str(draft), "--from", "yesterday")
    assert done.returncode == 2
    assert "no ISO 8601 time: 'yesterday'" in done.stderr


def test_a_range_without_records(recording: Recording, tmp_path: Path) -> None:
    played(recording)
    draft = tmp_path / "draft.yaml"
    draft.write_text(DRAFT)
    asked = ("simulate", "--catalog", str(draft), "--from", "2026-03-01")
    done = khaywe(recording.settings, *asked)
    assert done.returncode == 1
    assert "holds no record from 2026-03-01T00:00:00.000Z to" in done.stderr
    done = khaywe(recording.settings, *asked, "--to", "2026-02-28")
    assert done.returncode == 2
    assert "does not lie behind" in done.stderr
    done = khaywe(recording.settings, "replay", "--from", "2026-03-01")
    assert done.returncode == 1
    assert "holds no record" in done.stderr


def test_a_telephone_with_a_wrong_clock_does_not_end_the_range(recording: Recording) -> None:
    recording.content(GAME)
    ahead = json.loads(event("b", "app_login", "2026-01-02T09:00"))
    ahead["received_at"] = "2026-01-01T10:00:00.000Z"
    recording.log(marker(1), event("a", "voice_call", "2026-01-01T09:00"), json.dumps(ahead).encode())
    recording.log(*[event(f"c{n}", "voice_call", "2026-01-01T11:00") for n in range(20)])
    recording.work()
    found = simulated(recording.settings, GAME, None, "2026-01-01T12:00:00.000Z")
    assert sum(stretch.records for stretch in found.stretches) >= 25
