"""Campaigns over HTTP: drafts like other rules, products copied, a campaign's whole way to its figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.test_api_rules import publish
from tests.faults.harness import Worker, until
from tests.served import Api

CAMPAIGN: dict[str, Any] = {
    "name": "Sorry For The Trouble",
    "description": "After a complaint.",
    "trigger": {"kind": "event", "types": ["complaint"]},
    "priority": 10,
    "cooldown": "1 day",
    "cost": 25,
    "service": True,
    "conversion": {"types": ["recharge"]},
    "window": "30 days",
    "offer": "Recharge Bonus",
    "offer_config": {"code": "SORRY"},
    "messages": {
        "en": "Sorry. {{ offer.name }}, or {{ product.name }} for {{ product.price }}.",
        "fr": "Pardon, {{ customer_id }} : {{ product.name }} à {{ product.price }}, {{ validity_days }} j.",
    },
}
PRODUCT: dict[str, Any] = {
    "external_product_id": "campaign-data", "name": "Data 3 GB", "product_type": "data", "price": "4.5",
    "currency": "USD", "attributes": {"validity_days": 30},
}  # fmt: skip
ID = "spoken-to"


@pytest.fixture(scope="module")
def product(api: Api) -> int:
    """Something to sell."""
    answer = api("marketer").post("/products/", json=PRODUCT)
    assert answer.status_code == 201, answer.text
    found: int = answer.json()["id"]
    return found


@pytest.fixture(scope="module")
def number(api: Api, product: int) -> int:
    """A campaign that was published."""
    draft = api("marketer").post("/campaigns/", json=CAMPAIGN | {"product_id": product})
    assert draft.status_code == 201, draft.text
    publish(api, draft)
    return named(api, CAMPAIGN["name"])


def named(api: Api, name: str) -> int:
    """A campaign's number."""
    found = get(api, "/campaigns/", search=name)["items"]
    [number] = [each["number"] for each in found if each["name"] == name]
    return int(number)


def get(api: Api, path: str, **params: Any) -> dict[str, Any]:
    """What a viewer reads."""
    answer = api("viewer").get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_every_endpoint_asks_who_and_what_role(api: Api) -> None:
    paths = [
        ("GET", "/campaigns/"), ("POST", "/campaigns/"), ("GET", "/campaigns/1/"), ("PUT", "/campaigns/1/"),
        ("DELETE", "/campaigns/1/"), ("GET", "/campaigns/available-offers/"),
        ("GET", "/campaigns/1/offer-details/"), ("GET", "/campaigns/1/performance/"),
        ("GET", "/campaigns/1/preview/"), ("GET", "/campaign-triggers/"), ("GET", "/contact-policy/"),
        ("PUT", "/contact-policy/"), ("GET", "/prediction-policy/"), ("PUT", "/prediction-policy/"),
    ]  # fmt: skip
    bodies = {"/campaigns/": CAMPAIGN, "/campaigns/1/": CAMPAIGN}
    for method, path in paths:
        assert api().request(method, path).status_code == 401, path
        if method == "GET":
            continue
        body = bodies.get(path) or api("viewer").get(path).json()
        answer = api("viewer").request(method, path, json=body, headers={"If-Match": '"x"'})
        assert answer.status_code == 403, (method, path)


def test_a_campaign_is_edited_like_other_rules(api: Api, number: int) -> None:
    shown = api("viewer").get(f"/campaigns/{number}/")
    assert shown.json()["trigger"] == {
        "kind": "event", "types": ["complaint"], "where": "", "when": "", "weekdays": [],
    }  # fmt: skip
    path, tag = f"/campaigns/{number}/", {"If-Match": shown.headers["ETag"]}
    assert api("marketer").put(path, json=shown.json()).status_code == 428
    assert api("marketer").put(path, json=shown.json(), headers={"If-Match": '"x"'}).status_code == 412
    other = shown.json() | {"priority": 11, "valid_from": "2026-01-01T00:00:00+01:00"}
    draft = api("marketer").put(path, json=other, headers=tag)
    assert draft.status_code == 200, draft.text
    [change] = draft.json()["changes"]
    assert change["fields"] == {"priority": [10, 11], "valid_from": [None, "2025-12-31T23:00:00Z"]}
    publish(api, draft)
    assert get(api, path)["priority"] == 11
    assert api("marketer").post("/campaigns/", json=CAMPAIGN).status_code == 409
    assert api("viewer").get("/campaigns/254/").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"trigger": {"kind": "event", "types": ["fax"]}}, "trigger.types[0]"),
        ({"trigger": {"kind": "crossing", "when": "rsk >= 60"}}, "trigger.when"),
        ({"trigger": {"kind": "schedule", "when": "risk >= 60"}}, "trigger"),
        ({"trigger": {"kind": "schedule", "weekdays": ["caturday"]}}, "trigger.weekdays.0"),
        ({"audience": "tenure_dais > 3"}, "audience"),
        ({"offer": "Nothing"}, "offer"),
        ({"product_id": 2**40}, "product_id"),
        ({"product_config": {"a": "\ud800"}}, "product_config"),
        ({"messages": {"en": "{{ nobody.knows }}"}}, "messages.en"),
        ({"valid_to": "tomorrow"}, "valid_to"),
        ({"limits": {"budget": 5}, "cost": 10}, "limits.budget"),
        ({"control_share": 1.5}, "control_share"),
        ({"cooldown": "0 days"}, "cooldown"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_campaign_names_its_field(api: Api, wrong: dict[str, Any], field: str) -> None:
    body = json.dumps(CAMPAIGN | {"name": "Wrong", "messages": {}} | wrong)
    answer = api("marketer").post("/campaigns/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_product_that_is_not_sold_is_refused_in_words(api: Api) -> None:
    gone = api("marketer").post(
        "/products/", json=PRODUCT | {"external_product_id": "gone", "is_active": False}
    )
    body = CAMPAIGN | {"name": "Sells What Is Gone", "product_id": gone.json()["id"]}
    answer = api("marketer").post("/campaigns/", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "product_id"
    assert "'Data 3 GB', is not active" in error["message"]


def test_what_it_hands_out_stands_there_as_published_and_as_it_is_now(
    api: Api, number: int, product: int
) -> None:
    found = get(api, f"/campaigns/{number}/offer-details/")
    assert found["offer"]["name"] == "Recharge Bonus"
    assert found["granting"] == ["10 credit_percent on top"]
    assert (found["offer_config"], found["validity_days"], found["cost"]) == ({"code": "SORRY"}, 30, 25)
    assert found["product"]["price"] == found["product_now"]["price"] == "4.50"
    shown = api("viewer").get(f"/products/{product}/")
    tag = {"If-Match": shown.headers["ETag"]}
    api("marketer").put(f"/products/{product}/", json=PRODUCT | {"price": "6"}, headers=tag)
    found = get(api, f"/campaigns/{number}/offer-details/")
    assert (found["product"]["price"], found["product_now"]["price"]) == ("4.50", "6.00")
    assert api("viewer").get("/campaigns/254/offer-details/").status_code == 404


def test_the_rules_of_contact_are_edited_like_the_rest(api: Api) -> None:
    shown = api("viewer").get("/contact-policy/")
    tag = {"If-Match": shown.headers["ETag"]}
    rules = shown.json() | {"most": 0, "zones": ["Africa/Lagos"]}
    publish(api, api("marketer").put("/contact-policy/", json=rules, headers=tag))
    again = api("viewer").get("/contact-policy/")
    assert again.json() == rules
    tag = {"If-Match": again.headers["ETag"]}
    for wrong, field in (
        ({"most": 9}, "most"), ({"quiet_to": "noon"}, "quiet_to"), ({"zones": ["Lagos"]}, "zones[0]"),
        ({"fax": 1}, "fax"),
    ):  # fmt: skip
        answer = api("marketer").put("/contact-policy/", json=rules | wrong, headers=tag)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text


def test_when_models_are_asked_is_edited_like_the_rest(api: Api) -> None:
    shown = api("viewer").get("/prediction-policy/")
    tag = {"If-Match": shown.headers["ETag"]}
    draft = api("marketer").put("/prediction-policy/", json=shown.json() | {"step": 7.5}, headers=tag)
    assert draft.json()["changes"][0]["fields"] == {"step": [10.0, 7.5]}
    done = publish(api, draft)
    assert get(api, f"/revisions/{done['revision']}/")["predictions"]["step"] == 7.5
    tag = {"If-Match": api("viewer").get("/prediction-policy/").headers["ETag"]}
    for wrong, field in (({"step": -1}, "step"), ({"hours": 1.5}, "hours"), ({"enabled": "x"}, "enabled")):
        answer = api("marketer").put("/prediction-policy/", json=shown.json() | wrong, headers=tag)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    # In a draft of several edits, too; and back with the revision before.
    body = {"edits": [{"section": "predictions", "entry": shown.json()}]}
    publish(api, api("marketer").post("/drafts/", json=body))
    assert get(api, "/prediction-policy/") == shown.json()


def test_a_campaigns_whole_way(api: Api, number: int, live: Worker) -> None:
    """Event -> trigger -> delivered -> converted -> figures."""
    newest = get(api, "/revisions/", limit=1)["items"][0]["number"]
    sent = 0

    def send(kind: str, day: int, **attributes: str) -> None:
        nonlocal sent
        sent += 1
        event = {
            "event_id": f"{ID}-{sent}", "customer_id": ID, "event_type": kind, "value": 20,
            "occurred_at": f"2026-05-{day:02}T10:00:00Z", "attributes": attributes,
        }  # fmt: skip
        answer = api("system").post("/webhooks/customer-event", json={"event": event})
        assert answer.status_code == 200, answer.text

    def up_to_date() -> bool:
        # The revision counts from some event on: none is decided before it by the new rules.
        send("profile_update", 1, language="fr")
        shown = api("viewer").get(f"/customers/{ID}/").json()
        return bool(shown.get("revision", 0) >= newest)

    until("the worker has the revision", up_to_date, 90, live.log)
    said = get(api, f"/campaigns/{number}/preview/", customer_id=ID)
    assert said == {
        "campaign": number, "customer_id": ID, "profile_language": "fr", "language": "fr",
        "message": f"Pardon, {ID} : Data 3 GB à 4.50, 30 j.",
    }  # fmt: skip

    def triggers(**wanted: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = get(
            api, "/campaign-triggers/", campaign=number, customer_id=ID, **wanted
        )["items"]
        return found

    send("complaint", 2)
    until("it is triggered", triggers, 90, live.log)
    [one] = triggers(status="triggered")
    body = one["body"]
    assert (body["message"], body["language"]) == (said["message"], "fr")
    assert (body["offer_config"], body["product"]["price"]) == ({"code": "SORRY"}, "4.50")
    send("campaign_delivered", 3, trigger_id=one["trigger_id"])
    send("recharge", 4)
    until("it is converted", lambda: triggers(status="converted"), 90, live.log)
    found = get(api, f"/campaigns/{number}/performance/")
    assert found["name"] == CAMPAIGN["name"]
    treated = found["arms"]["treatment"]
    assert treated.pop("converted_by")["event"] == 1
    assert treated == {"triggered": 1, "delivered": 1, "converted": 1, "cost": 25, "rate": 1.0}
    assert (found["arms"]["control"]["triggered"], found["uplift"]) == (0, None)
    later = get(api, f"/campaigns/{number}/performance/", since="2027-01-01")
    assert later["arms"]["treatment"]["triggered"] == 0


def test_what_cannot_be_previewed_or_counted_is_told(api: Api, number: int, live: Worker) -> None:
    preview = f"/campaigns/{number}/preview/"
    assert api("viewer").get(preview).json()["errors"][0]["field"] == "customer_id"
    assert api("viewer").get(preview, params={"customer_id": "nobody"}).status_code == 404
    assert api("viewer").get("/campaigns/254/preview/", params={"customer_id": ID}).status_code == 404
    assert api("viewer").get("/campaigns/254/performance/").status_code == 404
    wrong = api("viewer").get(f"/campaigns/{number}/performance/", params={"since": "May"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "since")
    wrong = api("viewer").get("/campaign-triggers/", params={"arm": "left"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "arm")
    # A draft is previewed before anybody approves it.
    shown = api("viewer").get(f"/campaigns/{number}/")
    draft = api("marketer").put(
        f"/campaigns/{number}/", json=shown.json() | {"messages": {"en": "Soon, {{ customer_id }}."}},
        headers={"If-Match": shown.headers["ETag"]},
    )  # fmt: skip
    said = get(api, preview, customer_id=ID, draft=draft.json()["id"])
    assert (said["language"], said["message"]) == ("en", f"Soon, {ID}.")


def test_a_campaign_is_switched_off_though_its_product_is_gone(api: Api, number: int, product: int) -> None:
    shown = api("viewer").get(f"/products/{product}/")
    api("marketer").put(
        f"/products/{product}/",
        json=PRODUCT | {"is_active": False},
        headers={"If-Match": shown.headers["ETag"]},
    )
    campaign = api("viewer").get(f"/campaigns/{number}/")
    tag = {"If-Match": campaign.headers["ETag"]}
    refused = api("marketer").put(
        f"/campaigns/{number}/", json=campaign.json() | {"priority": 5}, headers=tag
    )
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "product_id")
    publish(api, api("marketer").delete(f"/campaigns/{number}/", headers=tag))
    assert get(api, f"/campaigns/{number}/")["active"] is False
    assert get(api, f"/campaigns/{number}/offer-details/")["product"]["name"] == "Data 3 GB"
