"""What a notifier delivers, to receivers that answer, refuse, hang and close."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from hashlib import sha256
from uuid import uuid4

import pytest

from config import topics
from loyalty.effects import digest
from outwards.subscriptions import Subscriptions, Wanted, plain, state
from outwards.trying import Policy
from tests.faults.harness import until
from tests.outwards.conftest import BY_TEST, SECRET, Notify, Subscribe
from tests.outwards.receiver import CLOSE, DRIP, FLOOD, FLOOD_BYTES, HANG, Got, Receiver
from tests.outwards.told import AT, Told


def test_what_is_asked_for_is_delivered_signed_and_in_an_envelope(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, other: Receiver, customer: str
) -> None:
    told.mission(customer)  # before anybody wanted to know
    subscribe(receiver)
    subscribe(other)
    notify()
    ids = {
        told.mission(customer, "given"): "MissionStateChangeEvent",
        told.badge(customer): "BadgeAwardEvent",
        told.tier(customer): "TierChangeEvent",
        told.grant(customer): "RewardGrantEvent",
        told.trigger(customer): "CampaignTriggerEvent",
    }
    told.mission(customer, "progress")
    last = told.mission(customer, "completed")
    until("all came", lambda: last in receiver.taken_ids() and len(receiver.taken_ids()) == 6)
    until("to both", lambda: len(other.taken_ids()) == 6)
    assert {got.id: got.event["eventType"] for got in receiver.got if got.id != last} == ids
    got = next(got for got in receiver.got if got.id == last)
    assert got.path == "/hook"
    assert got.headers["content-type"] == "application/json"
    event = got.event
    record = event.pop("event")["mission"]
    assert event == {
        "eventId": last, "eventType": "MissionStateChangeEvent", "eventTime": AT, "domain": "loyalty",
        "title": "A mission was given or ended", "correlationId": "cdr:e-1",
        "reportingSystem": {"id": "khaywe", "@type": "ReportingResource"},
        "relatedParty": [{"id": customer, "role": "customer", "@referredType": "Customer"}],
        "@type": "MissionStateChangeEvent",
    }  # fmt: skip
    assert (record["effect_id"], record["status"], record["customer_id"]) == (last, "completed", customer)
    at = got.headers["x-khaywe-timestamp"]
    assert abs(int(at) - time.time()) < 120
    signed = hmac.new(SECRET.encode(), at.encode() + b"." + got.body, sha256).hexdigest()
    assert got.headers["x-khaywe-signature"] == f"sha256={signed}"


def test_a_query_says_what(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, other: Receiver, customer: str
) -> None:
    subscribe(receiver, "eventType=MissionStateChangeEvent&status=completed,expired&number=2")
    subscribe(other, "eventType=RewardGrantEvent,BadgeAwardEvent")
    notify()
    told.mission(customer, "given", 2)
    told.mission(customer, "completed", 1)
    wanted = [told.mission(customer, "completed", 2), told.mission(customer, "expired", 2)]
    told.tier(customer)
    others = {told.badge(customer), told.grant(customer)}
    until("both came", lambda: receiver.taken_ids() == wanted)
    until("others came", lambda: set(other.taken_ids()) == others)


def test_it_is_tried_again_in_order_until_it_is_taken(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    faults: Iterator[int | str] = iter([500, HANG, CLOSE, 302, 503])
    receiver.answer = lambda got: next(faults, 200)
    notify(notify_timeout=0.5)
    ids = [told.mission(customer, number=n) for n in range(5)]
    until("all came", lambda: receiver.taken_ids() == ids)
    assert [got.id for got in receiver.got] == [ids[0]] * 6 + ids[1:]
    assert all(got.path == "/hook" for got in receiver.got), "a redirect is not followed"
    until("it is kept", lambda: subscriptions.get(row.id).delivered == 5)
    found = state(subscriptions.get(row.id))
    assert (found["status"], found["last_error"], subscriptions.waiting(row.id)) == (
        "delivering",
        "",
        ([], 0),
    )


def test_what_is_refused_is_a_dead_letter_and_is_sent_once_more(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    receiver.answer = lambda got: 422 if got.event["event"]["mission"]["number"] == 13 else 200
    notify()
    before, bad, after = (told.mission(customer, number=n) for n in (12, 13, 14))
    until("the rest came", lambda: receiver.taken_ids() == [before, after])
    assert [got.id for got in receiver.got].count(bad) == 3
    until("it is kept", lambda: subscriptions.letters(row.id, 0, 10))
    [letter] = subscriptions.letters(row.id, 0, 10)
    assert (letter.event_id, letter.event_type, letter.tries) == (bad, "MissionStateChangeEvent", 3)
    assert letter.error == "answered 422"
    assert json.loads(letter.body)["eventId"] == bad
    assert subscriptions.send_again(row.id, [letter.id], BY_TEST) == 1
    until("it is refused again", lambda: subscriptions.letters(row.id, 0, 10)[0].tries == 4)
    assert not subscriptions.letters(row.id, 0, 10)[0].again
    receiver.answer = lambda got: 200
    subscriptions.send_again(row.id, None, BY_TEST)
    until("it is taken", lambda: receiver.taken_ids() == [before, after, bad])
    until("it is no letter any more", lambda: not subscriptions.letters(row.id, 0, 10))
    assert receiver.got[-1].body == letter.body


@pytest.mark.parametrize("fault", [HANG, DRIP, CLOSE, 500])
def test_nobody_waits_for_a_receiver_that_is_slow_or_away(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, other: Receiver, customer: str,
    fault: int | str,
) -> None:  # fmt: skip
    subscribe(receiver)
    subscribe(other)
    receiver.answer = lambda got: fault
    notify(notify_timeout=1.0)
    ids = [told.mission(customer, number=n) for n in range(20)]
    until("the other one has all", lambda: other.taken_ids() == ids)
    assert not receiver.taken
    assert {got.id for got in receiver.got} <= {ids[0]}, "and its own order holds"


def test_one_event_that_is_never_taken_holds_up_its_lane_only_and_is_given_up(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver
) -> None:
    row = subscribe(receiver)
    bad = ""
    receiver.answer = lambda got: 500 if got.id == bad else 200
    customers = [f"c-{uuid4().hex[:8]}" for _ in range(40)]
    bad = told.mission(customers[0])
    notify(Policy(tries=4, hours=1.0, first=0.5, longest=1.0))
    behind = told.mission(customers[0])
    rest = [told.mission(each) for each in customers[1:]]
    until("most have come", lambda: len(receiver.taken_ids()) > 20)
    assert behind not in receiver.taken_ids()
    until("all have come", lambda: {behind, *rest} == set(receiver.taken_ids()))
    until("it is a letter", lambda: [e.event_id for e in subscriptions.letters(row.id, 0, 10)] == [bad])
    assert [got.id for got in receiver.got].count(bad) >= 4
    until("no try is left", lambda: not subscriptions.waiting(row.id)[0])


def test_who_takes_nothing_for_hours_is_suspended_and_goes_on_where_it_stands(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    receiver.answer = lambda got: 503
    notify(Policy(tries=2, hours=2 / 3600, first=0.1, longest=0.2))
    ids = [told.mission(customer, number=n) for n in range(5)]
    until("it is suspended", lambda: subscriptions.get(row.id).suspended_at)
    found = state(subscriptions.get(row.id))
    assert (found["status"], found["last_error"]) == ("suspended", "answered 503")
    assert [each.event_id for each in subscriptions.letters(row.id, 0, 10)] == ids[:1]
    tries = len(receiver.got)
    assert tries > 4, "tries alone are no reason while nobody is there"
    receiver.answer = lambda got: 200
    ids.append(told.mission(customer, number=6))
    time.sleep(1.5)  # a look and a bit: nothing is to happen
    assert len(receiver.got) == tries
    subscriptions.resume(row.id, BY_TEST)
    until("the rest has come", lambda: receiver.taken_ids() == ids[1:])
    until("it is well", lambda: state(subscriptions.get(row.id))["status"] == "delivering")


def test_an_answer_is_not_read_beyond_its_beginning(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, customer: str
) -> None:
    subscribe(receiver)
    receiver.answer = lambda got: FLOOD if len(receiver.got) == 1 else 200
    notify()
    ids = [told.mission(customer, number=n) for n in range(3)]
    until("the rest came", lambda: receiver.taken_ids() == ids[1:])
    assert receiver.flooded < FLOOD_BYTES / 2


def test_a_private_address_gets_nothing_where_no_setting_permits_it(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    notify(notify_private=False)
    told.mission(customer)
    until("it says so", lambda: "KHAYWE_NOTIFY_PRIVATE" in subscriptions.get(row.id).last_error)
    assert not receiver.got


def test_a_score_that_crosses_a_value_is_told_once_each_way_and_over_a_restart(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, other: Receiver, customer: str
) -> None:
    high, new = f"{customer}-high", f"{customer}-new"
    told.scores(customer, 10)
    told.scores(high, 90)
    query = "eventType=ScoreCrossingEvent&score=risk&value=70"
    subscribe(receiver, query)
    subscribe(other, f"{query}&direction=down")
    first = notify()
    told.scores(high, 95)
    told.scores(customer, 69.99)
    up = told.scores(customer, 70)
    told.scores(customer, 80)
    born = told.scores(new, 75)
    until("both came", lambda: set(receiver.taken_ids()) == {up, born})
    first.stop()
    told.scores(customer, 99)
    told.scores(new, 71)
    notify()
    down = told.scores(customer, 1)
    sunk = told.scores(high, 2)
    until("both sank", lambda: set(other.taken_ids()) == {down, sunk})
    until("all came", lambda: set(receiver.taken_ids()) == {up, born, down, sunk})
    event = next(got.event for got in receiver.got if got.id == up)
    assert event["eventType"] == "ScoreCrossingEvent"
    crossing = event["event"]["scoreCrossing"]
    assert (crossing["score"], crossing["value"], crossing["direction"], crossing["now"]) == (
        "risk", 70.0, "up", 70.0,
    )  # fmt: skip
    told.raw(topics.BEHAVIOR_SCORES, new, None)  # erased, and a new life
    again = told.scores(new, 75)
    until("a new life crosses anew", lambda: again in receiver.taken_ids())


def test_however_many_run_one_delivers(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, customer: str
) -> None:
    subscribe(receiver)
    first = notify()
    notify()
    ids = [told.mission(customer, number=n) for n in range(30)]
    until("all came", lambda: receiver.taken_ids() == ids)
    first.stop()
    ids += [told.mission(customer, number=n) for n in range(30)]
    until("the other one goes on", lambda: receiver.taken_ids() == ids)
    assert [got.id for got in receiver.got] == ids, "stopped, not killed: nothing is repeated"


def test_switched_off_it_keeps_its_place_and_a_new_topic_begins_now(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver, "eventType=MissionStateChangeEvent")
    notify()
    ids = [told.mission(customer)]
    until("the first came", lambda: receiver.taken_ids() == ids)
    until("it is kept", lambda: subscriptions.get(row.id).delivered == 1)
    off = subscriptions.change(row.id, 1, Wanted(receiver.url, row.query, "", False), BY_TEST)
    assert state(off)["status"] == "off"
    ids.append(told.mission(customer))
    told.badge(customer)
    both = "eventType=MissionStateChangeEvent,BadgeAwardEvent"
    on = subscriptions.change(row.id, 2, Wanted(receiver.url, both), BY_TEST)
    assert plain(on)["query"] == both
    ids.append(told.badge(customer))
    until("all but the early badge came", lambda: set(receiver.taken_ids()) == set(ids))
    subscriptions.new_secret(row.id, "quite another secret", BY_TEST)
    signed: list[Got] = []

    def verifies(got: Got) -> int:
        text = got.headers["x-khaywe-timestamp"].encode() + b"." + got.body
        if hmac.new(b"quite another secret", text, sha256).hexdigest() in got.headers["x-khaywe-signature"]:
            signed.append(got)
            return 200
        return 401

    receiver.answer = verifies
    last = told.badge(customer)
    until("the new secret signs", lambda: [got.id for got in signed] == [last])
    subscriptions.remove(row.id, BY_TEST)
    assert subscriptions.all() == []


def test_dead_letters_of_an_erased_customer_go(
    subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told, receiver: Receiver,
    customer: str,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    receiver.answer = lambda got: 400
    notify()
    told.mission(customer)
    stays = told.mission(f"{customer}-2")
    until("both are letters", lambda: len(subscriptions.letters(row.id, 0, 10)) == 2)
    told.raw(topics.ERASURES, digest(customer.encode()).hex(), b"{}")
    until("one is left", lambda: [e.event_id for e in subscriptions.letters(row.id, 0, 10)] == [stays])


def test_what_cannot_be_read_is_passed_over(
    subscribe: Subscribe, notify: Notify, told: Told, receiver: Receiver, customer: str
) -> None:
    subscribe(receiver)
    notify()
    for value in (b"no JSON", b"[]", b"{}", None):
        told.raw(topics.MISSION_PROGRESS, customer, value)
    last = told.mission(customer)
    until("what follows came", lambda: receiver.taken_ids() == [last])
