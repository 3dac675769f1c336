"""What a campaign can have wrong: each mistake at its place, in words for who made it."""

from __future__ import annotations

from typing import Any

import pytest

from loyalty.checking import Problem, problems
from loyalty.game import Campaign, Contact, Fits, Game, Offer, OnCrossing, OnEvent, OnSchedule, Sold
from loyalty.messages import MessageError, compiled_text, filled_in, values

GOOD = Campaign(
    1, "Welcome", OnEvent(["sms"], "where = 'abroad'"), audience="segment = 'gold'", offer=4,
    offer_config={"mb": 1}, budget=10, cost=2, conversion=Fits(["recharge"], "value > 5"),
    messages={"en": "Hello {{ customer_id }}, {{ offer.name }} for {{ validity_days }} days"},
)  # fmt: skip


def found(*campaigns: Campaign, **contact: Any) -> list[Problem]:
    game = Game(campaigns=list(campaigns), contact=Contact(**contact), offers=[Offer(4, "More")])
    return problems(game, 2)


def changed(**fields: Any) -> Campaign:
    before = {name: getattr(GOOD, name) for name in Campaign.__struct_fields__}
    return Campaign(**before | fields)


def test_good_ones_have_no_problem() -> None:
    timed = Campaign(255, "Weekly", OnSchedule([1, 7]), product=Sold("p", "Flat"), product_config={"x": 1})
    crossing = Campaign(2, "Leaves", OnCrossing("churn_probability > 0.5"), messages={"en": "{{ campaign }}"})
    hours = {"most": 8, "days": 90, "quiet_from": 1_320, "quiet_to": 420, "zones": ["Asia/Kathmandu"]}
    assert found(GOOD, timed, crossing, **hours) == []


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"number": 0}, "number", "must be 1 to 255, not 0"),
        ({"number": 256}, "number", "must be 1 to 255, not 256"),
        ({"trigger": OnEvent([])}, "trigger.types", "must name at least one event type"),
        ({"trigger": OnEvent(["sns"])}, "trigger.types[0]", "there is no event type 'sns'; did you mean sms"),
        ({"trigger": OnEvent(["sms"], "a >")}, "trigger.where", ""),
        ({"trigger": OnCrossing(" ")}, "trigger.when", "is empty, and never becomes true"),
        ({"trigger": OnCrossing("risks > 1")}, "trigger.when", "risk"),
        ({"trigger": OnSchedule([1, 8])}, "trigger.weekdays[1]", "must be 1 to 7, not 8"),
        ({"audience": "risks > 1"}, "audience", "risk"),
        ({"valid_from": 10, "valid_to": 10}, "valid_to", "must be after `valid_from`"),
        ({"valid_from": -1}, "valid_from", "must be 0 to"),
        ({"cooldown_days": 0}, "cooldown_days", "must be 1 to 3,650 days, not 0"),
        ({"per_customer": 256}, "per_customer", "must be 0 to 255 times, not 256"),
        ({"total": -1}, "total", "must be 0 to"),
        ({"budget": 10, "cost": 0}, "budget", "is a budget, and the campaign costs nothing: say its cost"),
        ({"budget": 10, "cost": 11}, "budget", "is less than the cost of a single trigger, 11"),
        ({"control_share": 1.1}, "control_share", "must be 0 to 1, not 1.1"),
        ({"control_share": float("nan")}, "control_share", "must be 0 to 1, not nan"),
        ({"conversion": Fits([], "value > 1")}, "conversion.types", "must name at least one event type"),
        ({"conversion": Fits(["sns"])}, "conversion.types[0]", "there is no event type 'sns'"),
        ({"window_days": 91}, "window_days", "must be 1 to 90 days, not 91"),
        ({"offer": 5}, "offer", "there is no offer 5; there are: 4"),
        ({"offer": -1, "messages": {}}, "offer_config", "belongs to an offer, and there is none"),
        ({"product_config": {"x": 1}}, "product_config", "belongs to a product, and there is none"),
        ({"messages": {"en": "{{ offer.price }}"}}, 'messages["en"]', "has no attribute 'price'"),
        ({"messages": {"en": "", "de": "{{ name }}"}}, 'messages["de"]', "'name' is undefined"),
        ({"messages": {"en": "{% if %}"}}, 'messages["en"]', "Expected an expression"),
        ({"messages": {" ": "x"}}, "messages", "has a message of no language"),
    ],
)
def test_a_mistake_is_told_at_its_place(fields: dict[str, Any], place: str, message: str) -> None:
    (problem,) = found(changed(**fields))
    assert problem.place == f'campaigns["Welcome"].{place}'
    assert message in problem.message


def test_names_and_numbers_are_used_once() -> None:
    told = found(GOOD, changed(name="Other"), changed(number=3))
    assert [problem.place for problem in told] == [
        'campaigns["Other"].number',
        'campaigns["Welcome"].name',
    ]


@pytest.mark.parametrize(
    ("contact", "place"),
    [
        ({"most": 9}, "most"),
        ({"days": 0}, "days"),
        ({"quiet_from": 1_440}, "quiet_from"),
        ({"quiet_to": -1}, "quiet_to"),
        ({"zones": ["Mars/Olympus"]}, "zones[0]"),
        ({"zones": ["Europe/Berlin", "Europe/Berlin"]}, "zones[1]"),
    ],
)
def test_rules_of_contact(contact: dict[str, Any], place: str) -> None:
    (problem,) = found(GOOD, **contact)
    assert problem.place == f"contact.{place}"


def test_too_many_attributes_in_filters_of_campaigns() -> None:
    where = " and ".join(f"a{n} = 'x'" for n in range(32))
    (problem,) = found(changed(conversion=Fits(["sms"], where)))
    assert "more than 31" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 99999999 }}",
        "{{ [1] * 1000000000 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ customer_id.__init__ }}",
        "{% for i in range(100000000) %}x{% endfor %}",
        "{{ 'a'|center(1000000000) }}",
        "{{ lipsum() }}",
        "{{ [1, 2]|random }}",
        "{{ customer_id.zfill(1000000000) }}",
        "{% include 'x' %}",
        "x" * 10_001,
        "{{ customer_id|replace('c', 'x') }}" * 200 + "y" * 3_900,
    ],
)
def test_texts_stay_in_their_sandbox(text: str) -> None:
    with pytest.raises(MessageError):
        filled_in(compiled_text(text), {"customer_id": "c", **values(GOOD, None)})


def test_filters_and_conditions_serve() -> None:
    text = "{% if product %}{{ product.name|upper }}{% else %}{{ (validity_days * 2)|round|int }}{% endif %}"
    assert filled_in(compiled_text(text), values(changed(product=Sold("p", "Flat")), None)) == "FLAT"
    assert filled_in(compiled_text(text), values(GOOD, Offer(4, "x", valid_days=7))) == "14"


def test_words_are_not_escaped() -> None:
    assert filled_in(compiled_text("{{ campaign }} & <you>"), {"campaign": "Öl > 'x'"}) == "Öl > 'x' & <you>"


def test_days_that_what_is_handed_out_holds() -> None:
    flat, short = Sold("p", "Flat", validity_days=30), Offer(4, "More", valid_days=7)
    cases = ((flat, short, 30), (None, short, 7), (Sold("p", "x"), short, 7), (None, None, 0))
    for product, offer, days in cases:
        assert values(changed(product=product), offer)["validity_days"] == days
