"""Campaigns in the console, on real services: built, published, spoken, explained, paused, ended."""

from __future__ import annotations

import re
from itertools import count
from urllib.parse import quote

import pytest

from tests.console.conftest import As, Visit
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.console.app import PATH
from web.console.rendering import texts
from web.console.wording import in_words

_VERSION = re.compile(r'name="version" value="(\d+)"')
ID = "+camp one"  # ids may need quoting
OTHER = "camp-two"
NUMBERS = count()
NAME = "Console Thanks"
CAMPAIGN = {
    "name": NAME, "description": "After a complaint.", "priority": "77", "audience": "tenure_days >= 0",
    "trigger.kind": "event", "trigger.types": "complaint", "trigger.when": "ignored here >",
    "cooldown": "1 week", "window": "2 weeks", "cost": "0.25", "limits.budget": "100",
    "conversion.types": "recharge", "service": "on", "active": "on", "note": "for the console",
    "message.0.language": "en",
    "message.0.text": "Sorry, {{ customer_id }}. {{ product.name }} at {{ product.price }}.",
    "message.1.language": "fr", "message.1.text": "Pardon, {{ customer_id }}.", "message.2.text": "",
}  # fmt: skip
PRODUCT = {
    "external_product_id": "console-camp", "name": "Camp Data", "product_type": "data", "price": "4.5",
    "currency": "USD", "description": "Three gigabytes.", "attributes": {"validity_days": 30},
}  # fmt: skip


@pytest.fixture(scope="module")
def product(api: Api) -> str:
    """Something to sell."""
    answer = api("marketer").post("/products/", json=PRODUCT)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def sent(api: Api, customer: str, kind: str, day: int, **attributes: str) -> None:
    """An event with an id of its own, in the days of the other tests' events: lists keep 90 of them."""
    event = {
        "event_id": f"camp-{next(NUMBERS)}", "customer_id": customer, "event_type": kind, "value": 20,
        "occurred_at": f"2026-01-{day + 10}T10:00:00Z", "attributes": attributes,
    }  # fmt: skip
    answer = api("system").post("/webhooks/customer-event", json={"event": event})
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def customers(api: Api, pipeline: Pipeline, live: Worker) -> None:
    """Two customers, one with a language."""
    sent(api, ID, "profile_update", 1, language="fr")
    sent(api, OTHER, "recharge", 1)
    pipeline.settled(live.log)


def published(visit: As, page: str) -> str:
    """The draft of a page, approved by another person and published; its page then."""
    path = re.findall(rf'action="{PATH}(/drafts/\d+)/withdraw"', page)[0]
    approver, marketer = visit("approver"), visit("marketer")
    approved = approver.followed(approver.post(f"{path}/approve", version=_VERSION.findall(page)[0]))
    return marketer.followed(marketer.post(f"{path}/publish", version=_VERSION.findall(approved)[0]))


@pytest.fixture(scope="module")
def number(visit: As, product: str, customers: None) -> str:
    """The campaign, published by two people from the editor's form."""
    me = visit("marketer")
    page = me.followed(me.post("/campaigns/save", **CAMPAIGN, product_id=product))
    assert NAME in page
    assert texts()["draft.published"] in published(visit, page)
    found = re.findall(rf'{PATH}/campaigns/(\d+)/">{NAME}', me.get("/campaigns/?search=console+thanks"))
    assert len(found) == 1
    return str(found[0])


def count_in(page: str) -> int:
    """How many match, as the editor says."""
    return int(re.findall(r'class="count"><b>(?:≈ )?([\d,]+)</b>', page)[0].replace(",", ""))


def test_the_editor_says_what_is_wrong_at_the_field(visit: As, product: str) -> None:
    me = visit("marketer")
    wrong = CAMPAIGN | {
        "audience": "tenure >= 5", "cooldown": "soon", "cost": "0.255", "priority": "high",
        "valid_from": "someday", "offer_config": "{", "control_share": "many",
        "message.0.text": "{{ customer_id", "message.1.language": "",
    }  # fmt: skip
    found = me.post("/campaigns/check", **wrong).text
    for field in (
        "audience", "cooldown", "cost", "priority", "valid_from", "offer_config", "control_share",
        "message-0", "message-1",
    ):  # fmt: skip
        assert re.search(rf'id="fault-{field}"[^>]*>[^<]+<', found), field
    for field in ("name", "window", "trigger-types", "product_id"):
        assert re.search(rf'id="fault-{field}"[^>]*></span>', found), field
    nested = me.post("/campaigns/check", **CAMPAIGN | {"product_config": "[" * 3000}).text
    assert re.search(r'id="fault-product_config"[^>]*>[^<]+<', nested)
    # What only the catalog knows stands at its field, too.
    more = CAMPAIGN | {
        "trigger.types": "recharge, complain", "message.1.text": "{{ nothing }}", "limits.budget": "0.10",
        "message.0.text": "Sorry.",
    }  # fmt: skip
    found = me.post("/campaigns/check", **more).text
    assert re.search(r'id="fault-trigger-types"[^>]*>[^<]*complain', found)
    assert re.search(r'id="fault-message-1"[^>]*>[^<]*nothing', found)
    assert re.search(r'id="fault-limits-budget"[^>]*>[^<]+<', found)
    fits = me.post("/campaigns/check", **CAMPAIGN, product_id=product).text
    assert texts()["missions.fits"] in fits
    assert me.post("/campaigns/save", **wrong).status_code == 422


def test_the_editor_counts_whom_it_means_now(visit: As, customers: None) -> None:
    me = visit("marketer")

    def meant(**form: str) -> str:
        return me.post("/campaigns/check", **CAMPAIGN | form).text

    everybody = meant(audience="", service="")
    recharged = meant(audience="recharge_count >= 1")
    assert count_in(everybody) > count_in(recharged) >= 1
    assert count_in(meant(audience="recharge_count >= 100000")) == 0
    # Nobody of these customers has given consent, and a service needs none.
    may = texts()["campaigns.meant_consent"].split("{n}")[1]
    spoken = re.findall(rf"([\d,]+){re.escape(may)}", recharged)[0]
    assert int(spoken.replace(",", "")) == count_in(recharged)
    crossing = meant(**{"trigger.kind": "crossing", "trigger.when": "recharge_count >= 1", "audience": ""})
    when = texts()["campaigns.meant_when"].split("{n}")[1]
    already = re.findall(rf"([\d,]+){re.escape(when)}", crossing)[0]
    assert int(already.replace(",", "")) == count_in(recharged)
    assert texts()["campaigns.meant_mend"] in meant(audience="recharge_count >=")
    # The missions' editor counts in the same words.
    mission = me.post("/missions/check", eligibility="recharge_count >= 1").text
    assert re.search(rf'id="meant"[^>]*>(?:≈ )?{count_in(recharged)} of [\d,]+ customers', mission)
    assert re.search(r'id="meant"[^>]*></p>', me.post("/missions/check", eligibility="risk >=").text)


def test_the_editor_shows_what_is_handed_out_and_what_is_read(
    visit: As, product: str, customers: None
) -> None:
    me = visit("marketer")
    found = me.post(
        "/campaigns/check", **CAMPAIGN, product_id=product, offer="Recharge Bonus", customer=ID
    ).text
    assert "Three gigabytes." in found
    assert "4.50 USD" in found
    assert "10 credit_percent on top" in found
    assert f"Pardon, {ID}." in found
    found = me.post("/campaigns/check", **CAMPAIGN, product_id=product, customer=OTHER).text
    assert f"Sorry, {OTHER}. Camp Data at 4.50." in found
    assert "nobody-there" in me.post("/campaigns/check", **CAMPAIGN, customer="nobody-there").text
    choices = me.get("/campaigns/products?product_search=camp")
    assert f'value="{product}"' in choices
    assert f'value="{product}" selected' in me.get(
        f"/campaigns/products?product_search=none&product_id={product}"
    )
    assert f'value="{product}" selected' in me.get(f"/campaigns/new?product={product}")


def test_what_was_saved_is_in_the_editor_again(visit: As, number: str, product: str) -> None:
    me = visit("marketer")
    editor = me.get(f"/campaigns/{number}/edit")
    for name, value in (
        ("name", NAME), ("priority", "77"), ("cost", "0.25"), ("limits.budget", "100.00"), ("window", "14"),
        ("cooldown", "7"), ("trigger.types", "complaint"),
    ):  # fmt: skip
        assert re.search(rf'name="{re.escape(name)}" value="{re.escape(value)}"', editor), name
    assert "Pardon, {{ customer_id }}." in editor
    base = re.findall(r'name="base" value="([^"]+)"', editor)[0]
    again = CAMPAIGN | {"number": number, "product_id": product}
    assert me.post("/campaigns/save", **again | {"base": "0" * 20}).status_code == 409
    nothing = me.post("/campaigns/check", **again | {"base": base}).text
    assert "<del>" not in nothing
    edited = me.post(
        "/campaigns/check", **again | {"base": base, "priority": "78", "control_share": "7.5"}
    ).text
    assert "<del>77</del> → <ins>78</ins>" in edited
    assert "<ins>0.075</ins>" in edited
    taken = me.post("/campaigns/save", **CAMPAIGN)
    assert (taken.status_code, texts()["campaigns.taken"] in taken.text) == (422, True)


def test_times_are_the_operators(visit: As, number: str, product: str) -> None:
    me = visit("marketer")
    base = re.findall(r'name="base" value="([^"]+)"', me.get(f"/campaigns/{number}/edit"))[0]
    form = CAMPAIGN | {"number": number, "product_id": product, "base": base}
    form |= {"valid_from": "2026-07-01T08:30", "valid_to": "2026-08-01T00:00"}
    page = me.followed(me.post("/campaigns/save", **form))
    path = re.findall(rf'action="{PATH}(/drafts/\d+)/withdraw"', page)[0]
    assert "2026-07-01T08:30:00Z" in page  # the operator's timezone is UTC here
    me.followed(me.post(f"{path}/withdraw", version=_VERSION.findall(page)[0]))
    turned = me.post("/campaigns/check", **form | {"valid_to": "2026-06-01T00:00"}).text
    assert re.search(r'id="fault-valid_to"[^>]*>[^<]+<', turned)


def test_a_campaigns_whole_way(visit: As, api: Api, number: str, pipeline: Pipeline, live: Worker) -> None:
    """Complaint -> message -> delivered -> recharge: figures, who got it, and why, and why not the other."""
    me = visit("viewer")
    newest = api("viewer").get("/revisions/", params={"limit": 1}).json()["items"][0]["number"]

    def up_to_date() -> bool:
        # The revision counts from some event on, of each partition.
        sent(api, ID, "profile_update", 1, language="fr")
        sent(api, OTHER, "profile_update", 1)
        found = [api("viewer").get(f"/customers/{quote(each, safe='')}/").json() for each in (ID, OTHER)]
        return all(each.get("revision", 0) >= newest for each in found)

    until("the worker has the revision", up_to_date, 120, live.log)
    sent(api, ID, "complaint", 2)
    who = f"/campaigns/{number}/customers"
    until("it is triggered", lambda: f"Pardon, {ID}." in me.get(who), 120, live.log)
    [one] = (
        api("viewer")
        .get("/campaign-triggers/", params={"campaign": number, "customer_id": ID})
        .json()["items"]
    )
    sent(api, ID, "campaign_delivered", 3, trigger_id=one["trigger_id"])
    sent(api, ID, "recharge", 4)
    until("it is converted", lambda: f"Pardon, {ID}." in me.get(f"{who}?status=converted"), 120, live.log)
    assert texts()["campaigns.nobody_found"] in me.get(f"{who}?arm=control")
    assert f'href="{PATH}/customers/{quote(ID, safe="")}/"' in me.get(who)
    page = me.get(f"/campaigns/{number}/")
    for name, value in (("triggered", "1"), ("delivered", "1"), ("converted", "1"), ("spent", "0.25 USD")):
        words = re.escape(texts()[f"campaigns.{name}"])
        assert re.search(rf'{words}</dt>\s*<dd><span class="value">{re.escape(value)}</span>', page), name
    assert "99.75 USD" in page
    assert "100.0 %" in page
    assert texts()["campaigns.no_uplift"] in page
    assert "days as a customer at least 0" in page
    assert texts()["campaigns.nobody"] in me.get(f"/campaigns/{number}/?since=2027-01-01&until=")
    listed = me.get("/campaigns/?search=console+thanks")
    assert re.search(rf'{NAME}</a>.*?<td class="n">1</td>', listed, re.DOTALL)

    why = me.get(f"/campaigns/{number}/why?customer_id={quote(ID)}")
    assert texts()["campaigns.then.no"] in why
    assert "it cools down until" in why
    assert texts()["campaigns.decision.reserved"] in why  # it has a budget
    assert "tenure_days &gt;= 0" in why
    other = me.get(f"/campaigns/{number}/why?customer_id={OTHER}")
    assert texts()["campaigns.then.reserved"] in other
    assert texts()["campaigns.no_reasons"] in other
    assert texts()["campaigns.no_decisions"] in other
    assert "nobody-there is unknown" in me.get(f"/campaigns/{number}/why?customer_id=nobody-there")

    reach = me.get(f"/campaigns/{number}/reach")
    for name, least in (("treatment", 1), ("cooldown", 1), ("contacts", 0)):
        words = re.escape(texts()[f"campaigns.reach_of.{name}"])
        found = re.findall(rf'{words}</th><td class="n">([\d,]+)</td>', reach)
        assert int(found[0].replace(",", "")) >= least, name
    assert texts()["campaigns.decision.reserved"] in reach


def test_a_draft_is_simulated_with_its_campaigns(visit: As, number: str, live: Worker) -> None:
    me = visit("marketer")
    page = me.followed(me.post("/campaigns/save", **CAMPAIGN | {
        "name": "Console Second", "trigger.types": "recharge", "message.0.text": "Thanks.",
        "limits.budget": "",
    }))  # fmt: skip
    path = re.findall(rf'action="{PATH}(/drafts/\d+)/withdraw"', page)[0]
    me.followed(me.post(f"{path}/simulate"))
    until(
        "the simulation is done",
        lambda: re.search(
            rf"Console Second: {texts()['campaigns.triggered']}</th><td class=\"n\">[1-9]", me.get(f"{path}/")
        ) is not None,
        240, live.log,
    )  # fmt: skip
    me.followed(me.post(f"{path}/withdraw", version=_VERSION.findall(me.get(f"{path}/"))[0]))


def test_it_is_paused_resumed_and_ended_by_drafts(visit: As, number: str) -> None:
    me = visit("marketer")
    path = f"/campaigns/{number}"
    assert texts()["campaigns.state.running"] in me.get(f"{path}/")
    assert texts()["campaigns.pause"] not in visit("viewer").get(f"{path}/")
    published(visit, me.followed(me.post(f"{path}/switch")))
    paused = me.get(f"{path}/")
    assert texts()["campaigns.resume"] in paused
    assert f"{path}/end" not in paused
    assert me.post(f"{path}/end").status_code == 409
    published(visit, me.followed(me.post(f"{path}/switch")))
    assert f"{path}/end" in me.get(f"{path}/")
    published(visit, me.followed(me.post(f"{path}/end")))
    assert f">{texts()['campaigns.state.over']}</span>" in me.get(f"{path}/")
    assert NAME in me.get("/campaigns/?state=over")
    assert NAME not in me.get("/campaigns/?state=running")


def test_contact_rules_are_seen_and_edited(visit: As) -> None:
    me = visit("marketer")
    page = me.get("/campaigns/contact")
    base = re.findall(r'name="base" value="([^"]+)"', page)[0]
    form = {
        "base": base,
        "most": "3",
        "days": "2 weeks",
        "quiet_from": "21:30",
        "quiet_to": "07:00",
        "zones": "",
    }
    for wrong, field in (
        ({"most": "9"}, "most"), ({"most": "x"}, "most"), ({"quiet_to": "noon"}, "quiet_to"),
        ({"zones": "Lagos"}, "zones"), ({"days": "soon"}, "days"),
    ):  # fmt: skip
        answer = me.post("/campaigns/contact", **form | wrong)
        assert answer.status_code == 422, wrong
        assert re.search(rf'id="fault-{field}">[^<]+<', answer.text), wrong
    draft = me.followed(me.post("/campaigns/contact", **form))
    assert "<ins>3</ins>" in draft or "<ins>14 days</ins>" in draft
    path = re.findall(rf'action="{PATH}(/drafts/\d+)/withdraw"', draft)[0]
    me.followed(me.post(f"{path}/withdraw", version=_VERSION.findall(draft)[0]))
    assert me.post("/campaigns/contact", **form | {"base": "0" * 20}).status_code == 409
    assert 'name="quiet_from"' not in visit("viewer").get("/campaigns/contact")


@pytest.mark.parametrize(
    "path",
    ["check", "save", "contact", "254/switch", "254/end"],
)
def test_roles_are_those_of_the_api(visit: As, path: str) -> None:
    for role in ("viewer", "marketer", "approver", "system", "admin"):
        refused = visit(role).post(f"/campaigns/{path}").status_code == 403
        assert refused == (role in ("viewer", "system")), role


def test_what_there_is_not_is_said_so(visit: As) -> None:
    me: Visit = visit("viewer")
    for path in ("", "reach", "customers", "why"):
        assert "254" in me.get(f"/campaigns/254/{path}", 404)
    assert texts()["campaigns.none_found"] in me.get("/campaigns/?search=no+such+campaign")
    me.get("/campaigns/new", 403)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("", "everybody"),
        ("risk >= 60 and tenure_days > 90", "the risk score at least 60 and days as a customer above 90"),
        ('segment in ("a", "b") or consent = yes', "segment is one of a, b or consent: yes"),
        ("(arpu < 5 or recharge_count = 0) and opted_in != yes",
         "(revenue a month below 5 or number of recharge events is 0) and taking part: no"),
        ("not (revenue_90_days <= 1_000)", "not so: revenue within 90 days at most 1,000"),
        ("churn_probability is unknown", "churn probability is unknown"),
        ("what is this", "what is this"),
    ],
)  # fmt: skip
def test_conditions_are_said_in_words(condition: str, words: str) -> None:
    assert in_words(condition) == words
