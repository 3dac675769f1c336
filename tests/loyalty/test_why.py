"""What "why" says is what the fold does: on any log, and of customers who lack one thing."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings

from loyalty.game import Game, Goal, Limits, Reward, Tier
from loyalty.why import why
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.examples import contents
from tests.reference.games import badge, template
from tests.reference.records import CONTENTS, at, command, event, marker, tick
from tests.reference.streams import Log, run_log
from tests.reference.streams_game import game_log, game_logs

LATER = at("2031-05-05T05:05")


def asked(ours: CompiledPartition, customer: str) -> dict[str, Any]:
    """What is said of a customer now."""
    id = customer.encode()
    row = ours.state.rows[ours.state.find(id)]
    revision = ours.state.partition.revision
    return why(row, revision, ours.engine.content, ours.engine.side.profile(id))


def decided(ours: CompiledPartition, name: str, customer: str, offset: int) -> list[dict[str, Any]]:
    """What a command decides."""
    effects = ours.fold([(offset, command(customer, LATER, f"{name}-{offset}", name=name))])
    return [effect["value"] for effect in effects if effect["topic"] == "decisions"]


def check(log: Log) -> int:
    """Hold what is said of every customer at the end of a log against what is then done."""
    ours, found = CompiledPartition(), 0
    run_log(
        ours, [*log.segments, [tick(LATER, everyone=True), marker(max(CONTENTS))]], log.twice, log.answered
    )
    offset = 10**9
    for customer, row in ours.rows.items():
        said = asked(ours, customer)
        for each in said["templates"]:
            assert each["given"] == (not each["reasons"]), each
        if row["state"] != 1:
            assert said["off"] == "closed"
            continue
        if row["as_of"] < LATER:
            continue  # reopened after the tick, by a cycle of links: a command moves it first
        done = decided(ours, "generate", customer, offset)
        given = {
            d["rule"]: d for d in done if d["kind"] == "mission" and d["decision"] in ("given", "reserved")
        }
        if said["off"] != "nothing_to_win":
            assert {f"mission:{t['number']}" for t in said["templates"] if t["given"]} == given.keys()
        for each in said["templates"]:
            decision = given.get(f"mission:{each['number']}")
            if decision is not None:
                assert each["conditions"] == decision["conditions"]
                assert each["capped"] == (decision["decision"] == "reserved")
                assert decision["control"] == said["control"]
        said = asked(ours, customer)
        done = decided(ours, "award", customer, offset + 1)
        levels = {d["rule"]: d for d in done if d["kind"] == "badge"}
        nexts = {f"badge:{b['number']}:{b['next']['level']}": b["next"] for b in said["badges"] if b["next"]}
        for rule, next_ in nexts.items():
            assert next_["awarded"] == (rule in levels)
            if rule in levels:
                assert next_["conditions"] == levels[rule]["conditions"]
        found += len(given) + len(levels)
        offset += 2
    return found


@settings(max_examples=150, deadline=None)
@given(game_logs())
def test_what_is_said_is_what_is_done(log: Log) -> None:
    check(log)


def test_something_is_given_in_those_logs() -> None:
    assert sum(check(game_log(Random(seed))) for seed in range(40)) > 20


NOW = at("2020-03-01T12:00")
GAME = Game(
    templates=[
        template(
            1, "Save", Goal("count", ["sms"]), 2, days=5, cooldown=9, priority=50,
            eligibility='sms_30_days >= 1 and revenue_lifetime > 100 and segment = "gold"',
            rewards=Reward(points=30),
        ),
        template(2, "Next", Goal("count", ["sms"]), 1, after=["Save"]),
        template(3, "First Call", Goal("first", ["voice_call"]), priority=9),
        template(4, "Once", Goal("count", ["recharge"]), 1, priority=60, limits=Limits(per_customer=1)),
        template(5, "Off", Goal("count", ["sms"]), 1, active=False),
        template(6, "One", Goal("first", ["app_login"]), days=9, category="onboarding", priority=70),
        template(7, "Two", Goal("first", ["web_login"]), days=9, category="onboarding", priority=71),
        template(8, "Three", Goal("first", ["self_care"]), days=9, category="onboarding", priority=69),
    ],
    badges=[badge(3, "Sender", "sms_lifetime >= 1", "sms_lifetime >= 3", "tier = 3", "tier = 4")],
    tiers=[Tier("bronze", 0), Tier("silver", 50)],
)  # fmt: skip


def told(*records: bytes, game: Game = GAME, **decide: Any) -> dict[str, Any]:
    """What is said of customer a after some records."""
    ours = CompiledPartition()
    ours.engine._contents = contents(game, **decide).__getitem__
    run_log(ours, [list(records)])
    return asked(ours, "a")


def of(said: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in said["templates"] if each["name"] == name)
    return found


def reasons(said: dict[str, Any], name: str) -> list[str]:
    return [each["reason"] for each in of(said, name)["reasons"]]


def test_who_lacks_one_comparison_is_told_which() -> None:
    said = told(
        event("a", "profile_update", NOW, segment="gold"),
        event("a", "sms", NOW + 1),
        event("a", "recharge", NOW + 2, 99.5),
    )
    save = of(said, "Save")
    assert (save["given"], save["holds"], reasons(said, "Save")) == (False, False, ["condition"])
    assert save["conditions"] == [
        {"condition": "sms_30_days >= 1", "seen": 1.0, "holds": True},
        {"condition": "revenue_lifetime > 100", "seen": 99.5, "holds": False},
        {"condition": 'segment = "gold"', "seen": "gold", "holds": True},
    ]


def test_each_reason_has_its_name() -> None:
    said = told(
        event("a", "voice_call", NOW, 60),
        event("a", "recharge", NOW + 1, 200),
        event("a", "recharge", NOW + 2, 200),
    )
    assert reasons(said, "Next") == ["after"]
    assert of(said, "Next")["reasons"][0]["missing"] == ["Save"]
    assert reasons(said, "First Call") == ["done_before"]
    assert reasons(said, "Once") == ["limit"]
    assert reasons(said, "Off") == ["switched_off"]
    assert reasons(said, "One") == reasons(said, "Two") == ["running"]
    assert reasons(said, "Three") == ["onboarding_full"]
    assert of(said, "Save")["conditions"][2] == {
        "condition": 'segment = "gold"',
        "seen": None,
        "holds": False,
    }
    assert [mission["name"] for mission in said["missions"]] == ["Two", "One"]


def test_a_cooldown_has_its_date() -> None:
    said = told(
        event("a", "profile_update", NOW, segment="gold"),
        event("a", "recharge", NOW + 1, 200),
        event("a", "sms", NOW + 2),
        event("a", "sms", NOW + 3),
        event("a", "sms", NOW + 4),
    )
    assert reasons(said, "Save") == ["cooling"]
    assert of(said, "Save")["reasons"][0]["until"] == "2020-03-10"
    assert [(each["name"], each["until"]) for each in said["cooldowns"]] == [("Save", "2020-03-10")]
    assert reasons(said, "Next") == ["running"], "what follows it has begun"
    assert said["points"]["balance"] == 30
    assert said["points"]["lots"] == [{"ends": "2021-04-01", "points": 30}]
    assert (said["points"]["tier"], said["points"]["next_tier"]) == (
        "bronze", {"name": "silver", "points_missing": 20},
    )  # fmt: skip


def test_no_slot_says_what_would_have_to_go() -> None:
    many = Game(
        templates=[
            template(n, f"T{n}", Goal("count", ["sms"]), 5, days=9, priority=50 - n) for n in range(1, 8)
        ]
    )
    said = told(event("a", "voice_call", NOW, 60), game=many)
    assert reasons(said, "T1") == ["running"]
    assert reasons(said, "T6") == reasons(said, "T7") == ["no_slot"]
    assert "lower priority" in of(said, "T6")["reasons"][0]["message"]


def test_the_next_level_of_a_badge_says_what_lacks() -> None:
    said = told(event("a", "sms", NOW), event("a", "sms", NOW + 1))
    (sender,) = said["badges"]
    assert sender["held"] == ["bronze"]
    assert (sender["next"]["level_name"], sender["next"]["holds"], sender["next"]["awarded"]) == (
        "silver", False, False,
    )  # fmt: skip
    assert sender["next"]["conditions"] == [{"condition": "sms_lifetime >= 3", "seen": 2.0, "holds": False}]


def test_who_has_opted_out_or_left_wins_nothing() -> None:
    out = told(event("a", "sms", NOW), event("a", "opt_out", NOW + 1))
    assert (out["off"], reasons(out, "One")[0]) == ("opted_out", "opted_out")
    left = told(event("a", "sms", NOW), event("a", "customer_ended", NOW + 1))
    assert left["off"] == "closed"
    nothing = told(event("a", "sms", NOW), game=Game())
    assert (nothing["off"], nothing["templates"]) == ("nothing_to_win", [])


def test_the_control_group_is_named() -> None:
    assert told(event("a", "sms", NOW), control_share=1.0)["control"]
    assert not told(event("a", "sms", NOW))["control"]
