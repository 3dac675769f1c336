"""Campaigns by hand: docs/campaigns.md, rule by rule, folded in batches of one and of all."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from loyalty.effects import trigger_id
from loyalty.game import (
    Campaign,
    Contact,
    Fits,
    Game,
    Goal,
    Offer,
    OnCrossing,
    OnEvent,
    OnSchedule,
    Sold,
    Target,
    Template,
)
from loyalty.hashing import hash64, mix
from tests.loyalty.folded import ADA, BOB, DAY, HOUR, NO_STEP, NOON, Folded, content, prediction
from tests.reference.records import command, event, marker, tick

TOPIC = "campaign-triggers"
SMS = OnEvent(["sms"])
MINUTE = 60_000
#: Friday 3 May 2024, 12:00 UTC.
NOW = NOON + 2 * DAY


@pytest.fixture(params=[1, 1_000], ids=["one by one", "all at once"])
def size(request: pytest.FixtureRequest) -> int:
    """Records of a batch."""
    found: int = request.param
    return found


def campaign(number: int = 1, trigger: Any = SMS, **more: Any) -> Campaign:
    return Campaign(number, more.pop("name", f"C{number}"), trigger, **{"cooldown_days": 1, **more})


def game(*campaigns: Campaign, offers: Any = (), **contact: Any) -> Game:
    return Game(campaigns=list(campaigns), contact=Contact(**contact), offers=list(offers))


def begin(size: int, *games: Game, decide: Any = None, customer: str = ADA, **profile: Any) -> Folded:
    """A customer that consents, since noon of 1 May, and the revisions of some games; the first counts."""
    contents = [content(each, decide, enabled=False, step=NO_STEP) for each in games]
    folded = Folded(*contents, size=size)
    about = {"consent": True, **profile}
    folded.fold(marker(1), event(customer, "profile_update", NOON, 1, "about", **about))
    return folded


def sms(when: int, customer: str = ADA, **attributes: Any) -> bytes:
    return event(customer, "sms", when, 1, f"sms-{when}", **attributes)


def paid(when: int, value: float = 10, customer: str = ADA, **attributes: Any) -> bytes:
    return event(customer, "recharge", when, value, f"paid-{when}-{value}", **attributes)


def said(folded: Folded) -> list[tuple[int, str]]:
    return [(each["campaign"], each["status"]) for each in folded.told(TOPIC)]


def decided(folded: Folded) -> list[tuple[str, str]]:
    return [
        (each["rule"], each["decision"]) for each in folded.told("decisions") if each["kind"] == "campaign"
    ]


def entries(folded: Folded, customer: str = ADA) -> list[dict[str, int]]:
    return [each for each in folded.row(customer)["campaigns"] if each]


def arm_of(customer: str, number: int) -> float:
    """Where a customer stands among all, 0 to 1, for the control group of a campaign."""
    z = mix(np.uint64(hash64(customer.encode()) ^ hash64(f"campaign:{number}".encode())))
    return (int(z) >> 11) * 2.0**-53


# -- what triggers ---------------------------------------------------------------------------------------


def test_an_event_of_the_type_that_the_filter_lets_through(size: int) -> None:
    only = campaign(7, OnEvent(["sms", "recharge"], "where = 'abroad'"))
    folded = begin(size, game(only))
    folded.fold(sms(NOW), sms(NOW + 1, where="home"), event(ADA, "complaint", NOW + 2, where="abroad"))
    assert said(folded) == []
    folded.fold(sms(NOW + 3_999, where="abroad"))
    day = NOW // DAY
    assert entries(folded) == [
        {"campaign": 7, "status": 1, "arm": 0, "times": 1, "day": day, "at": NOW // 1000 + 3, "until": 0}
    ]
    (told,) = folded.told(TOPIC)
    id = trigger_id(ADA, 7, day)
    assert told == {
        "effect_id": told["effect_id"], "customer_id": ADA, "occurred_at": "2024-05-03T12:00:03.999Z",
        "revision": 1, "cause": {"source": "test", "event_id": f"sms-{NOW + 3_999}"}, "trigger_id": id,
        "campaign": 7, "name": "C7", "status": "triggered", "by": "", "arm": "treatment", "offer": -1,
        "offer_config": {}, "product": None, "product_config": {}, "language": "", "message": "", "cost": 0,
    }  # fmt: skip
    (decision,) = folded.told("decisions")
    assert (decision["rule"], decision["decision"], decision["name"]) == ("campaign:7", "triggered", "C7")
    assert (decision["control"], decision["conditions"]) == (False, [])
    assert folded.counts["campaigns_triggered"] == 1
    assert folded.row(ADA)["contacts"] == [day, 0, 0, 0, 0, 0, 0, 0]


def test_a_condition_that_becomes_true_and_once_again(size: int) -> None:
    folded = begin(size, game(campaign(200, OnCrossing("sms_30_days >= 2"))))
    folded.fold(sms(NOW))
    assert (said(folded), folded.row(ADA)["crossed"]) == ([], 0)
    folded.fold(sms(NOW + 1))
    assert (said(folded), folded.row(ADA)["crossed"]) == ([(200, "triggered")], 1 << 200)
    (decision,) = folded.told("decisions")
    assert decision["conditions"] == [{"condition": "sms_30_days >= 2", "seen": 2, "holds": True}]
    folded.fold(sms(NOW + 20 * DAY))  # true all the time: does not become true
    assert len(said(folded)) == 1
    # Two of three are forgotten; then it becomes true again.
    folded.fold(event(ADA, "complaint", NOW + 45 * DAY))
    assert folded.row(ADA)["crossed"] == 0
    folded.fold(sms(NOW + 45 * DAY + 1))
    assert len(said(folded)) == 2


def test_what_crosses_while_nobody_may_be_spoken_to_has_crossed(size: int) -> None:
    folded = begin(size, game(campaign(1, OnCrossing("sms_30_days >= 1"))), consent=False)
    folded.fold(sms(NOW))
    assert (said(folded), folded.row(ADA)["crossed"]) == ([], 2)
    folded.fold(event(ADA, "profile_update", NOW + 1, consent=True), sms(NOW + 2))
    assert said(folded) == []


def test_crossing_at_refreshes_and_predictions(size: int) -> None:
    late = campaign(1, OnCrossing("days_since_last_activity >= 3"))
    likely = campaign(2, OnCrossing("churn_probability > 0.5"))
    folded = begin(size, game(late, likely))
    folded.fold(sms(NOW), tick(NOW + 2 * DAY))
    assert said(folded) == []
    folded.fold(tick(NOW + 3 * DAY))
    assert said(folded) == [(1, "triggered")]
    assert folded.told(TOPIC)[0]["cause"]["event_id"].startswith("refresh:")
    folded.fold(prediction(ADA, NOW + 3 * DAY, "inline", "p1", churn=0.6))
    assert said(folded)[1:] == [(2, "triggered")]
    assert folded.told(TOPIC)[1]["cause"] == {"source": "khaywe", "event_id": "p1"}


def test_the_schedule_comes_at_refreshes_on_its_weekdays(size: int) -> None:
    folded = begin(size, game(campaign(1, OnSchedule([6])), campaign(2, OnSchedule(), cooldown_days=2)))
    for day in range(5):  # 3 May is a Friday; days in between have no event
        folded.fold(tick(NOW + day * DAY))
    days = [(each["campaign"], each["occurred_at"][:10]) for each in folded.told(TOPIC)]
    # The open ones keep their entry for 14 days.
    assert days == [(2, "2024-05-03"), (1, "2024-05-04")]


# -- who may be spoken to --------------------------------------------------------------------------------


def test_validity_audience_and_consent(size: int) -> None:
    campaigns = [
        campaign(1, valid_from=NOW, valid_to=NOW + 2),
        campaign(2, audience="segment = 'gold' and sms_30_days > 1"),
        campaign(3, service=True),
        campaign(4, active=False),
    ]
    folded = begin(size, game(*campaigns), segment="gold")
    folded.fold(sms(NOW - 1))
    assert said(folded) == [(3, "triggered")]
    folded.fold(sms(NOW))
    assert said(folded)[1:] == [(1, "triggered"), (2, "triggered")]
    seen = folded.told("decisions")[-1]["conditions"]
    assert [each["seen"] for each in seen] == ["gold", 2]
    for consent in (False, None):
        folded = begin(size, game(*campaigns), segment="gold", consent=consent)
        folded.fold(sms(NOW - 1), sms(NOW))
        assert said(folded) == [(3, "triggered")]
    folded = begin(size, game(*campaigns))
    folded.fold(sms(NOW + 2))
    assert said(folded) == [(3, "triggered")]


def test_priority_then_number(size: int) -> None:
    folded = begin(size, game(campaign(3), campaign(2, priority=-1), campaign(9, priority=5), campaign(1)))
    folded.fold(sms(NOW))
    assert [number for number, _ in said(folded)] == [9, 1, 3, 2]


def test_cooldown_and_times_of_a_customer(size: int) -> None:
    rested = {"window_days": 1}
    folded = begin(size, game(campaign(1, cooldown_days=3, per_customer=2, **rested)))
    for day in range(10):
        folded.fold(sms(NOW + day * DAY))
    assert [each["occurred_at"][:10] for each in folded.told(TOPIC)] == ["2024-05-03", "2024-05-06"]
    (entry,) = entries(folded)
    assert (entry["times"], entry["status"], entry["day"]) == (2, 0, NOW // DAY + 3)


def test_an_open_trigger_keeps_its_campaign_away_until_the_window_is_over(size: int) -> None:
    folded = begin(size, game(campaign(1, window_days=5)))
    folded.fold(sms(NOW), sms(NOW + 5 * DAY - 1))
    assert len(said(folded)) == 1
    folded.fold(sms(NOW + 5 * DAY))
    assert len(said(folded)) == 2


def test_the_contact_cap_is_of_all_campaigns_but_service_ones(size: int) -> None:
    kinds = ["sms", "recharge", "complaint", "referral"]
    campaigns = [campaign(n, OnEvent([kind])) for n, kind in enumerate(kinds, 1)]
    service = campaign(5, OnEvent(["sms"]), service=True)
    folded = begin(size, game(*campaigns, service, most=2, days=3))
    for n, kind in enumerate(kinds[:3]):
        folded.fold(event(ADA, kind, NOW + n))
    assert [number for number, _ in said(folded)] == [1, 5, 2]
    folded.fold(event(ADA, "complaint", NOW + 2 * DAY))
    assert len(said(folded)) == 3
    folded.fold(event(ADA, "complaint", NOW + 3 * DAY))
    day = NOW // DAY
    assert said(folded)[3:] == [(3, "triggered")]
    assert folded.row(ADA)["contacts"][:4] == [day + 3, day, day, 0]


def test_six_entries_and_which_are_used_again(size: int) -> None:
    first = [campaign(n, OnEvent(["sms"]), window_days=1) for n in range(1, 7)]
    first[2] = campaign(3, OnEvent(["sms"]), window_days=1, per_customer=1)
    last = campaign(7, OnEvent(["recharge"]))
    others = [campaign(8, OnEvent(["referral"])), *first[1:], last]
    folded = begin(size, game(*first, last), game(*others))
    folded.fold(sms(NOW), paid(NOW + 1))
    assert [number for number, _ in said(folded)] == [1, 2, 3, 4, 5, 6]
    folded.fold(paid(NOW + DAY + 1))  # the first rests, and may be asked again
    assert [each["campaign"] for each in entries(folded)] == [7, 2, 3, 4, 5, 6]
    assert entries(folded)[0]["times"] == 1
    # The second is reusable, the third is not: its campaign counts its times.
    folded.fold(marker(2), event(ADA, "referral", NOW + DAY + 2))
    assert [each["campaign"] for each in entries(folded)] == [7, 8, 3, 4, 5, 6]


def test_the_entry_of_a_campaign_that_is_gone_is_free(size: int) -> None:
    counted = [campaign(n, per_customer=1, cooldown_days=90) for n in range(1, 7)]
    folded = begin(size, game(*counted), game(campaign(9), *counted[:5]))
    folded.fold(sms(NOW), marker(2), sms(NOW + 1))
    assert [each["campaign"] for each in entries(folded)] == [1, 2, 3, 4, 5, 9]


# -- control groups --------------------------------------------------------------------------------------


def test_the_control_group_of_a_campaign_hears_nothing_and_is_measured(size: int) -> None:
    share = arm_of(ADA, 1)
    offer = Offer(4, "More data")
    for control_share, arm in ((share, "treatment"), (share + 1e-9, "control"), (1.0, "control")):
        asked = campaign(
            1, control_share=control_share, messages={"en": "Hello"}, conversion=Fits(["recharge"]), cost=5,
            offer=4, total=9 if arm == "control" else 0,
        )  # fmt: skip
        folded = begin(size, game(asked, offers=[offer]))
        folded.fold(sms(NOW), paid(NOW + 1_000))
        triggered, converted = folded.told(TOPIC)
        assert triggered["arm"] == converted["arm"] == arm
        heard = ("Hello", "en", 4, 5) if arm == "treatment" else ("", "", -1, 0)
        assert tuple(triggered[name] for name in ("message", "language", "offer", "cost")) == heard
        assert (converted["status"], converted["by"], converted["message"]) == ("converted", "event", "")
        assert folded.forwards == []
        assert not folded.told("decisions")[0]["control"]


def test_the_universal_control_group_only_has_decisions(size: int) -> None:
    capped = campaign(1, total=5, conversion=Fits(["recharge"]))
    folded = begin(size, game(capped, quiet_from=0, quiet_to=1_439), decide={"control_share": 1.0})
    folded.fold(sms(NOW), paid(NOW + 1_000))
    assert (said(folded), folded.forwards, decided(folded)) == ([], [], [("campaign:1", "triggered")])
    assert folded.told("decisions")[0]["control"]
    assert entries(folded)[0]["status"] == 0
    assert folded.counts["campaigns_triggered"] == folded.counts["campaigns_converted"] == 0


# -- quiet hours -----------------------------------------------------------------------------------------


def quiet(size: int, when: int, *, start: int, end: int, zone: str = "UTC", **more: Any) -> Folded:
    """A campaign whose turn has come in quiet hours."""
    of = game(campaign(1, messages={"en": "Hi"}), quiet_from=start, quiet_to=end, zones=["Asia/Kathmandu"])
    folded = begin(size, of, decide={"timezone": zone}, **more)
    folded.fold(sms(when))
    return folded


@pytest.mark.parametrize(
    ("start", "end", "hour", "until"),
    [
        (9 * 60, 18 * 60, 9 * 60, 18 * 60),
        (9 * 60, 18 * 60, 18 * 60 - 1, 18 * 60),
        (9 * 60, 18 * 60, 18 * 60, None),
        (22 * 60, 7 * 60, 23 * 60, 24 * 60 + 7 * 60),
        (22 * 60, 7 * 60, 6 * 60 + 59, 7 * 60),
        (22 * 60, 7 * 60, 7 * 60, None),
        (600, 600, 600, None),
    ],
)
def test_quiet_hours(size: int, start: int, end: int, hour: int, until: int | None) -> None:
    midnight = NOW - 12 * HOUR
    folded = quiet(size, midnight + hour * MINUTE + 59_999, start=start, end=end)
    (entry,) = entries(folded)
    if until is None:
        assert (entry["status"], entry["until"], said(folded)) == (1, 0, [(1, "triggered")])
    else:
        assert (entry["status"], entry["until"]) == (2, (midnight + until * MINUTE) // 1000)
        assert (said(folded), decided(folded)) == ([], [("campaign:1", "held")])
        row = folded.row(ADA)
        assert row["due"] == min(row["next_refresh"], midnight + until * MINUTE)


def test_a_held_message_goes_out_when_the_quiet_hours_are_over(size: int) -> None:
    folded = quiet(size, NOW, start=600, end=1_000)
    until = NOW - 12 * HOUR + 1_000 * MINUTE
    folded.fold(tick(until - 1))
    assert said(folded) == []
    folded.fold(event(ADA, "complaint", until + HOUR))
    (told,) = folded.told(TOPIC)
    assert (told["occurred_at"], told["message"]) == ("2024-05-03T16:40:00.000Z", "Hi")
    assert told["cause"] == {"source": "khaywe", "event_id": "held:2024-05-03T16:40:00.000Z"}
    assert decided(folded) == [("campaign:1", "held")]
    (entry,) = entries(folded)
    assert (entry["status"], entry["at"], entry["day"]) == (1, until // 1000, NOW // DAY)


@pytest.mark.parametrize("then", ["gone", "inactive", "past"])
def test_a_held_message_that_is_no_longer_wanted(size: int, then: str) -> None:
    now = campaign(1, valid_to=NOW + HOUR) if then == "past" else campaign(1)
    later = {"gone": [], "inactive": [campaign(1, active=False)], "past": [now]}[then]
    of = {"quiet_from": 0, "quiet_to": 1_000}
    folded = begin(size, game(now, **of), game(*later, **of))
    folded.fold(sms(NOW), marker(2), tick(NOW + DAY))
    assert (said(folded), entries(folded)[0]["status"]) == ([], 0)


def test_a_customer_of_a_zone_has_quiet_hours_of_its_own(size: int) -> None:
    # 12:00 UTC is 17:45 in Kathmandu, 14:00 in Berlin.
    hours: dict[str, Any] = {"start": 17 * 60, "end": 18 * 60}
    folded = quiet(size, NOW, **hours, timezone="Asia/Kathmandu")
    assert entries(folded)[0]["until"] == (NOW + 15 * MINUTE) // 1000
    for timezone in ("Europe/Berlin", None):
        folded = quiet(size, NOW, **hours, timezone=timezone)
        assert said(folded) == [(1, "triggered")]
    folded = quiet(size, NOW, start=14 * 60, end=15 * 60, zone="Europe/Berlin")
    assert entries(folded)[0]["until"] == (NOW + HOUR) // 1000


def test_service_messages_know_no_quiet_hours(size: int) -> None:
    folded = begin(size, game(campaign(1, service=True), quiet_from=0, quiet_to=1_439))
    folded.fold(sms(NOW))
    assert (said(folded), folded.row(ADA)["contacts"][0]) == ([(1, "triggered")], 0)


# -- conversion and answers ------------------------------------------------------------------------------


def test_what_counts_as_converted(size: int) -> None:
    bought = campaign(1, conversion=Fits(["recharge"], "value >= 20"), window_days=2)
    folded = begin(size, game(bought))
    folded.fold(paid(NOW - 1, 30), sms(NOW), paid(NOW + 1_000), event(ADA, "payment", NOW + 1_001, 30))
    folded.fold(paid(NOW - 1_000, 25))  # of before
    assert said(folded) == [(1, "triggered")]
    folded.fold(paid(NOW + 2 * DAY - 1, 20))
    assert said(folded)[1:] == [(1, "converted")]
    told = folded.told(TOPIC)[1]
    assert (told["by"], told["trigger_id"]) == ("event", folded.told(TOPIC)[0]["trigger_id"])
    assert entries(folded)[0]["status"] == 0
    assert folded.counts["campaigns_converted"] == 1
    folded.fold(paid(NOW + 2 * DAY - 1, 21))
    assert len(said(folded)) == 2


def test_a_window_that_is_over(size: int) -> None:
    folded = begin(size, game(campaign(1, conversion=Fits(["recharge"]), window_days=2)))
    folded.fold(sms(NOW), paid(NOW + 2 * DAY))
    assert (said(folded), entries(folded)[0]["status"]) == ([(1, "triggered")], 0)


def test_an_event_does_not_convert_what_it_has_triggered(size: int) -> None:
    folded = begin(size, game(campaign(1, OnEvent(["recharge"]), conversion=Fits(["recharge"]))))
    folded.fold(paid(NOW))
    assert said(folded) == [(1, "triggered")]
    folded.fold(paid(NOW + DAY))
    assert said(folded)[1:] == [(1, "converted"), (1, "triggered")]


def test_answers(size: int) -> None:
    folded = begin(size, game(campaign(1), campaign(2)))
    folded.fold(sms(NOW))
    first, second = (each["trigger_id"] for each in folded.told(TOPIC))
    for name, id in (("campaign_delivered", "no"), ("campaign_converted", ""), ("campaign_converted", "no")):
        folded.fold(event(ADA, name, NOW + 1, trigger_id=id))
    folded.fold(event(ADA, "campaign_delivered", NOW + 2))
    assert len(said(folded)) == 2
    folded.fold(event(ADA, "campaign_delivered", NOW + 3, trigger_id=second))
    folded.fold(event(ADA, "campaign_converted", NOW + 4, trigger_id=second))
    folded.fold(event(ADA, "campaign_converted", NOW + 5, trigger_id=second))
    assert said(folded)[2:] == [(2, "delivered"), (2, "converted")]
    assert [each["by"] for each in folded.told(TOPIC)[2:]] == ["", "answer"]
    assert [each["status"] for each in entries(folded)] == [1, 0]
    assert folded.counts["campaigns_converted"] == 1
    same = event(ADA, "campaign_delivered", NOW + 6, event_id="again", trigger_id=first)
    folded.fold(same, same)
    assert len(said(folded)) == 5


# -- accounts --------------------------------------------------------------------------------------------


def reserved(folded: Folded) -> list[bytes]:
    """What was sent on to customer-events since, taken away."""
    waiting = list(folded.forwards)
    folded.forwards.clear()
    return waiting


def test_an_account_lets_so_many_through(size: int) -> None:
    folded = begin(size, game(campaign(1, total=1, cost=7)), customer=ADA)
    folded.fold(event(BOB, "profile_update", NOON, 1, "about", consent=True))
    folded.fold(sms(NOW), sms(NOW + 1, BOB))
    assert (said(folded), decided(folded)) == ([], [("campaign:1", "reserved")] * 2)
    assert entries(folded)[0]["status"] == 3
    requests = reserved(folded)
    folded.fold(*requests)
    assert said(folded) == []
    folded.fold(*reserved(folded))
    assert said(folded) == [(1, "triggered")]
    assert folded.told(TOPIC)[0]["cost"] == 7
    assert decided(folded)[2:] == [("campaign:1", "triggered"), ("campaign:1", "refused")]
    assert (entries(folded)[0]["status"], entries(folded)[0]["times"]) == (1, 1)
    assert (entries(folded, BOB)[0]["status"], entries(folded, BOB)[0]["times"]) == (0, 0)
    assert folded.told("decisions")[2]["conditions"] == []


def test_what_an_account_is_asked_and_answers(size: int) -> None:
    folded = begin(size, game(campaign(1, budget=10, cost=6)))
    folded.fold(sms(NOW))
    (request,) = map(json.loads, reserved(folded))
    id = trigger_id(ADA, 1, NOW // DAY)
    assert (request["customer_id"], request["event_id"]) == ("campaign:1", id)
    assert request["event_type"] == "_reserve"
    assert request["attributes"] == {"customer": ADA, "campaign": 1, "count": 1, "points": 6}
    folded.fold(json.dumps(request).encode(), json.dumps(request).encode())
    answers = [json.loads(each) for each in reserved(folded)]
    assert [each["attributes"]["granted"] for each in answers] == [True, False]
    assert answers[0]["attributes"] == {"campaign": 1, "granted": True, "count": 1, "points": 6}
    assert (answers[0]["customer_id"], answers[0]["event_id"]) == (ADA, f"reservation:{id}")


def test_what_nobody_waits_for_is_given_back(size: int) -> None:
    folded = begin(size, game(campaign(1, total=1)))
    folded.fold(sms(NOW))
    folded.fold(*reserved(folded))
    folded.fold(event(ADA, "opt_out", NOW + 1))
    assert entries(folded)[0]["status"] == 0
    folded.fold(*reserved(folded))
    (back,) = folded.forwards
    assert b'"return:reservation:' in back
    assert b'"count":-1' in back
    assert said(folded) == []
    folded.fold(*reserved(folded), event(ADA, "opt_in", NOW + 2), sms(NOW + DAY))
    folded.fold(*reserved(folded))
    folded.fold(*reserved(folded))
    assert said(folded) == [(1, "triggered")]


def test_a_campaign_that_is_gone_when_its_account_answers(size: int) -> None:
    folded = begin(size, game(campaign(1, total=1)), game(campaign(1, total=1, active=False)))
    folded.fold(sms(NOW))
    folded.fold(*reserved(folded))
    folded.fold(marker(2))
    folded.fold(*reserved(folded))
    assert (said(folded), entries(folded)[0]["status"], len(folded.forwards)) == ([], 0, 1)


def test_granted_in_quiet_hours(size: int) -> None:
    folded = begin(size, game(campaign(1, total=1), quiet_from=0, quiet_to=1_000))
    folded.fold(sms(NOW))
    folded.fold(*reserved(folded))
    folded.fold(*reserved(folded))
    assert decided(folded) == [("campaign:1", "reserved"), ("campaign:1", "held")]
    assert entries(folded)[0]["status"] == 2
    folded.fold(tick(NOW + DAY))
    assert said(folded) == [(1, "triggered")]


# -- when the game is off, and ends ----------------------------------------------------------------------


def test_nothing_comes_of_backfill_or_for_who_opted_out(size: int) -> None:
    folded = begin(size, game(campaign(1, conversion=Fits(["recharge"]))))
    folded.fold(sms(NOW, _backfill=True))
    assert (said(folded), entries(folded)) == ([], [])
    folded.fold(sms(NOW + 1), event(ADA, "opt_out", NOW + 2), paid(NOW + 3), sms(NOW + 2 * DAY))
    assert said(folded) == [(1, "triggered")]
    assert entries(folded)[0]["status"] == 1
    folded.fold(command(ADA, command_id="in", name="opt_in"), paid(NOW + 2 * DAY))
    assert said(folded)[1:] == [(1, "converted")]


@pytest.mark.parametrize("how", ["event", "command"])
def test_opting_out_drops_what_is_held(size: int, how: str) -> None:
    folded = begin(size, game(campaign(1), quiet_from=0, quiet_to=1_000))
    out = event(ADA, "opt_out", NOW + 1) if how == "event" else command(ADA, name="opt_out")
    folded.fold(sms(NOW), out)
    assert entries(folded)[0]["status"] == 0
    assert folded.row(ADA)["due"] == folded.row(ADA)["next_refresh"]
    folded.fold(tick(NOW + DAY))
    assert said(folded) == []


NOTHING = {"contacts": [0] * 8, "crossed": 0, "campaigns": [None] * 6}


def of_campaigns(folded: Folded, customer: str = ADA) -> dict[str, Any]:
    row = folded.row(customer)
    return {name: row[name] for name in NOTHING}


def test_ended_and_linked_rows_keep_nothing_and_hand_nothing_on(size: int) -> None:
    of = game(campaign(1), campaign(2, OnCrossing("sms_30_days > 0")))
    for last in (
        event(ADA, "customer_ended", NOW + 1),
        event(ADA, "customer_link", NOW + 1, to=BOB),
    ):
        folded = begin(size, of)
        folded.fold(sms(NOW))
        assert of_campaigns(folded)["crossed"] == 4
        folded.fold(last)
        assert of_campaigns(folded) == NOTHING
    folded.fold(event(BOB, "profile_update", NOON, 1, "about", consent=True), sms(NOW, BOB))
    before = of_campaigns(folded, BOB)
    folded.fold(*reserved(folded))
    assert folded.counts["merges"] == 1
    assert of_campaigns(folded, BOB) == before
    assert before != NOTHING


def test_a_game_beside_campaigns(size: int) -> None:
    mission = Template(
        number=1, name="Write", category="engagement", goal=Goal("count", ["sms"]), target=Target(2),
        duration_days=3, cooldown_days=1, priority=1,
    )  # fmt: skip
    both = Game(templates=[mission], campaigns=[campaign(1)])
    folded = begin(size, both)
    folded.fold(sms(NOW), sms(NOW + 1))
    told = [
        (topic, value["status"])
        for topic, _, value in folded.effects
        if value and topic in (TOPIC, "mission-progress")
    ]
    assert told == [
        ("mission-progress", "given"),
        ("mission-progress", "progress"),
        (TOPIC, "triggered"),
        ("mission-progress", "completed"),
    ]


# -- words -----------------------------------------------------------------------------------------------


def test_messages_speak_the_language_of_the_customer(size: int) -> None:
    texts = {
        "en": "{{ customer_id }}: {{ campaign }}, {{ offer.name }} ({{ offer.description }})",
        "de": "{% if product %}{{ product.name }} für {{ product.price }} {{ product.currency }}{% endif %}, "
        "{{ validity_days }} Tage",
    }
    product = Sold("p1", "Flat", "9.90", "EUR", 30)
    of = game(
        campaign(1, name="Öl & <Wasser>", messages=texts, offer=4, offer_config={"mb": 500, "x": [1, None]},
                 product=product, product_config={"y": True}),
        offers=[Offer(4, "More", "1 GB")],
    )  # fmt: skip
    for language, key, words in (
        ("de", "de", "Flat für 9.90 EUR, 30 Tage"),
        ("fr", "en", f"{ADA}: Öl & <Wasser>, More (1 GB)"),
        (None, "en", f"{ADA}: Öl & <Wasser>, More (1 GB)"),
    ):
        folded = begin(size, of, language=language)
        folded.fold(sms(NOW))
        (told,) = folded.told(TOPIC)
        assert (told["language"], told["message"]) == (key, words)
        assert (told["offer"], told["offer_config"]) == (4, {"mb": 500, "x": [1, None]})
        assert told["product"] == {
            "product_id": "p1", "name": "Flat", "price": "9.90", "currency": "EUR", "validity_days": 30,
        }  # fmt: skip
        assert told["product_config"] == {"y": True}


def test_the_language_is_that_of_the_moment(size: int) -> None:
    texts = {"en": "Hello", "de": "Hallo"}
    of = game(campaign(1, messages=texts), campaign(2, OnEvent(["recharge"]), messages=texts))
    folded = begin(size, of)
    folded.fold(sms(NOW), event(ADA, "profile_update", NOW + 1, language="de"), paid(NOW + 2))
    assert [each["message"] for each in folded.told(TOPIC)] == ["Hello", "Hallo"]


def test_a_text_that_cannot_be_filled_in_after_all_says_nothing(size: int) -> None:
    folded = begin(size, game(campaign(1, messages={"en": "{{ customer_id[999] }}"})))
    folded.fold(sms(NOW))
    assert [(each["language"], each["message"]) for each in folded.told(TOPIC)] == [("en", "")]
