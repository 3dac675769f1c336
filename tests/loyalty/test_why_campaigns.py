"""What "why" says of campaigns: its reasons against the code that decides, and each of them by hand."""

from __future__ import annotations

from random import Random
from typing import Any

from loyalty.game import Campaign, Contact, Game, OnCrossing, OnEvent, OnSchedule
from tests.loyalty.compiled_partition import CompiledPartition
from tests.loyalty.test_why import asked
from tests.reference.examples import contents
from tests.reference.records import at, event
from tests.reference.streams import run_log
from tests.reference.streams_game import campaign_log

NOW = at("2020-03-02T12:00")
DAY = 86_400_000


def told(*records: bytes, game: Game, **decide: Any) -> dict[str, dict[str, Any]]:
    """What is said of customer a after some records, campaign by campaign."""
    ours = CompiledPartition()
    ours.engine._contents = contents(game, **decide).__getitem__
    run_log(ours, [list(records)])
    return {each["name"]: each for each in asked(ours, "a")["campaigns"]}


def agreed(**profile: Any) -> bytes:
    return event("a", "profile_update", NOW, 1, "about", **{"consent": True, **profile})


def sms(when: int) -> bytes:
    return event("a", "sms", when, 1, f"sms-{when}")


def campaign(number: int, name: str, trigger: Any = None, **more: Any) -> Campaign:
    return Campaign(number, name, trigger or OnEvent(["sms"]), **{"cooldown_days": 3, **more})


def reasons(said: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {name: [each["reason"] for each in one["reasons"]] for name, one in said.items()}


def test_there_is_a_reason_where_the_fold_would_do_nothing_and_nowhere_else() -> None:
    r, ready, not_ready = Random(11), 0, 0
    for _ in range(120):
        ours = CompiledPartition()
        campaign_log(r).run(ours)
        for customer in ours.rows:
            for each in asked(ours, customer)["campaigns"]:
                assert each["ready"] == (not each["reasons"]) == bool(each["then"]), each
                ready, not_ready = ready + each["ready"], not_ready + (not each["ready"])
    assert ready > 50
    assert not_ready > 50


def test_each_reason_has_its_name() -> None:
    said = told(
        agreed(), sms(NOW + 1),
        game=Game(
            campaigns=[
                campaign(1, "Spoke"),
                campaign(2, "Off", active=False),
                campaign(3, "Later", valid_from=NOW + DAY),
                campaign(4, "Over", valid_to=NOW),
                campaign(5, "Gold", OnSchedule(), audience='segment = "gold" and sms_30_days >= 1'),
                campaign(6, "Ready", OnSchedule(), priority=-1),
                campaign(7, "Once", per_customer=1, service=True),
            ],
        ),
    )  # fmt: skip
    assert reasons(said) == {
        "Spoke": ["open", "cooldown"], "Off": ["switched_off"], "Later": ["not_yet"], "Over": ["over"],
        "Gold": ["condition"], "Ready": [], "Once": ["open", "cooldown", "limit"],
    }  # fmt: skip
    assert said["Gold"]["conditions"] == [
        {"condition": 'segment = "gold"', "seen": None, "holds": False},
        {"condition": "sms_30_days >= 1", "seen": 1.0, "holds": True},
    ]
    assert said["Spoke"]["reasons"][1]["message"] == "it cools down until 2020-03-05"
    assert said["Spoke"]["entry"] == {
        "status": "open", "arm": "treatment", "times": 1, "day": "2020-03-02",
        "triggered_at": "2020-03-02T12:00:00.000Z", "held_until": None,
    }  # fmt: skip
    assert (said["Ready"]["ready"], said["Ready"]["then"], said["Ready"]["entry"]) == (
        True,
        "triggered",
        None,
    )


def test_without_consent_only_services_speak() -> None:
    game = Game(campaigns=[campaign(1, "Sale"), campaign(2, "Notice", service=True)])
    assert reasons(told(sms(NOW - DAY), game=game))["Sale"] == ["consent"]
    refused = told(agreed(consent=False), game=game)
    assert [each["message"] for each in refused["Sale"]["reasons"]] == ["the customer has refused consent"]
    assert refused["Notice"]["ready"]


def test_what_would_come_of_its_turn() -> None:
    game = Game(
        campaigns=[
            campaign(1, "Sent", OnSchedule(), service=True),
            campaign(2, "Held", OnSchedule()),
            campaign(3, "Capped", OnSchedule(), total=5),
            campaign(4, "Control", OnSchedule(), control_share=1.0),
        ],
        contact=Contact(0, 7, 11 * 60, 13 * 60),
    )
    then = {name: each["then"] for name, each in told(agreed(), game=game).items()}
    assert then == {"Sent": "triggered", "Held": "held", "Capped": "reserved", "Control": "control"}
    everybody = told(agreed(), game=game, control_share=1.0)
    assert {each["then"] for each in everybody.values()} == {"universal_control"}


def test_caps_and_what_is_under_way() -> None:
    contact = Contact(1, 7, 11 * 60, 13 * 60)
    held = told(
        agreed(), sms(NOW), game=Game(campaigns=[campaign(1, "Held"), campaign(2, "Next")], contact=contact)
    )
    assert reasons(held) == {"Held": ["contacts", "held", "cooldown"], "Next": ["contacts"]}
    assert held["Held"]["entry"]["held_until"] == "2020-03-02T13:00:00.000Z"
    ours = CompiledPartition()
    capped = Game(campaigns=[campaign(1, "Capped", budget=5, cost=5)])
    ours.engine._contents = contents(capped).__getitem__
    ours.fold([(0, agreed()), (1, sms(NOW))])  # nobody answers
    (waiting,) = asked(ours, "a")["campaigns"]
    assert [each["reason"] for each in waiting["reasons"]] == ["waiting", "cooldown"]


def test_six_entries_are_all_there_are() -> None:
    many = [campaign(n, f"C{n}", per_customer=1, cooldown_days=1) for n in range(1, 8)]
    said = told(agreed(), sms(NOW), sms(NOW + 90 * DAY), game=Game(campaigns=many))
    assert reasons(said)["C7"] == ["no_entry"]


def test_a_crossing_says_where_it_stands() -> None:
    game = Game(campaigns=[campaign(1, "Crossed", OnCrossing("sms_30_days >= 1 or calls_lifetime > 3"))])
    before, after = told(agreed(), game=game)["Crossed"], told(agreed(), sms(NOW), game=game)["Crossed"]
    assert (before["when_holds"], before["crossed"]) == (False, False)
    assert (after["when_holds"], after["crossed"], after["entry"]["times"]) == (True, True, 1)
    assert [each["holds"] for each in after["when_conditions"]] == [True, False]


def test_who_left_or_opted_out_hears_nothing() -> None:
    game = Game(campaigns=[campaign(1, "Sale")])
    assert reasons(told(agreed(), event("a", "opt_out", NOW), game=game))["Sale"] == ["opted_out"]
    assert reasons(told(agreed(), event("a", "customer_ended", NOW), game=game))["Sale"][0] == "closed"
