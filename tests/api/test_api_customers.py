"""Customers and commands over HTTP, with a worker that answers."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.api.doors import PREFIX
from web.api.parts import Parts

ID = "live-1"
PATH = f"/customers/{ID}/"


@pytest.fixture(scope="module")
def known(api: Api, pipeline: Pipeline, live: Worker) -> str:
    """A customer whose events came by the webhook."""
    events = [
        {
            "event_id": f"known-{n}", "customer_id": ID, "event_type": kind, "value": value,
            "occurred_at": f"2026-01-{n + 1:02}T10:00:00Z",
        }
        for n, (kind, value) in enumerate(
            [("activation", 1), ("recharge", 20), ("voice_call", 60), ("recharge", 30), ("app_login", 1)]
        )
    ]  # fmt: skip
    assert api("system").post("/webhooks/customer-event", json={"event": events}).status_code == 200
    until("the customer is known", lambda: api("viewer").get(PATH).json().get("scores"), 180, live.log)
    pipeline.settled(live.log)
    pipeline.khaywe("tick", "--at", "2026-01-10T00:00:00Z")
    pipeline.settled(live.log)
    return ID


def send(api: Api, path: str, body: Any = None, role: str = "system", method: str = "POST") -> httpx.Response:
    """A command; one that is still on its way is asked for until it is answered."""
    answer = api(role).request(method, path, json=body)
    if answer.status_code == 202 and "Location" in answer.headers:
        place = answer.headers["Location"].removeprefix(PREFIX)
        until("it is answered", lambda: api(role).get(place).json()["status"] != "pending", 180)
        return api(role).get(place)
    return answer


def test_a_customer_is_shown_live(api: Api, known: str) -> None:
    found = api("viewer").get(PATH).json()
    assert (found["answered_by"], found["age_seconds"]) == ("worker", 0.0)
    assert found["customer_id"] == known
    assert found["points"]["balance"] > 0
    scores = api("viewer").get(f"/behavior-scores/{known}/").json()
    assert set(scores["scores"]) == {"engagement", "revenue", "loyalty", "risk", "digital"}
    assert "components" in scores["scores"]["revenue"]
    missing = api("viewer").get("/customers/nobody/")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


def test_points_are_redeemed_in_order_with_everything_else(api: Api, known: str) -> None:
    before = api("viewer").get(PATH).json()["points"]["balance"]
    answer = send(api, f"{PATH}redeem/", {"points": 10})
    assert (answer.status_code, answer.json()["status"]) == (200, "done")
    assert api("viewer").get(PATH).json()["points"]["balance"] == before - 10
    refused = api("system").post(f"{PATH}redeem/", json={"points": 10**6})
    assert (refused.status_code, refused.json()["reason"]) == (409, "insufficient_points")
    assert api("system").post("/customers/nobody/redeem/", json={"points": 1}).status_code == 404
    wrong = api("system").post(f"{PATH}redeem/", json={"points": 0})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "points")
    assert send(api, f"{PATH}adjust/", {"points": 10}, "admin").json()["status"] == "done"
    assert api("admin").post(f"{PATH}adjust/", json={"points": 0}).status_code == 422
    assert api("viewer").get(PATH).json()["points"]["balance"] == before
    # What was sent can be asked for, by anybody who may look, and stands in the audit log.
    again = api("viewer").get(f"/commands/{answer.json()['command_id']}/").json()
    assert again == answer.json()
    told = api("admin").get("/audit/", params={"resource": f"commands/{again['command_id']}"}).json()["items"]
    assert told[0]["after"] == {
        "command": "redeem", "segment": None, "arguments": {"points": 10},
    }  # fmt: skip
    assert api("viewer").get(f"/commands/{'0' * 32}/").status_code == 404


def test_scores_are_calculated_anew(api: Api, known: str) -> None:
    answer = send(api, f"/behavior-scores/{known}/recalculate/")
    assert answer.json()["status"] == "done"
    both = api("system").post("/behavior-scores/batch-calculate/", json={"customer_ids": [known, "nobody"]})
    found = both.json()
    assert found["done"] + found["refused"] + found["pending"] == 2

    def answered(command_id: str) -> bool:
        status: str = api("viewer").get(f"/commands/{command_id}/").json()["status"]
        return status != "pending"

    for each in found["commands"]:
        until("both are answered", partial(answered, each["command_id"]))
    segment = send(api, "/behavior-scores/batch-calculate/", {"segment": "all"})
    assert segment.json()["commands"][0]["segment"] == "all"
    for body, field in (({"customer_ids": []}, "customer_ids"), ({"segment": "rsk > 1"}, "segment")):
        wrong = api("system").post("/behavior-scores/batch-calculate/", json=body)
        assert wrong.status_code == 422
        assert any(field in each["field"] for each in wrong.json()["errors"])


def test_missions_are_generated_and_badges_checked(api: Api, known: str) -> None:
    assert send(api, "/missions/generate-for-customer/", {"customer_id": known}).json()["status"] == "done"
    segment = send(api, "/missions/generate-for-segment/", {"segment": "tenure_days >= 0"}).json()
    assert (segment["status"], len(segment["results"])) == ("done", 2)
    assert send(api, "/badges/check-and-award/", {"customer_id": known}).json()["status"] == "done"
    assert send(api, "/badges/check-and-award/", {"segment": "all"}).json()["status"] == "done"
    one = send(api, "/mission-templates/1/generate-for-customer/", {"customer_id": known}).json()
    assert one["name"] == "First Call Mission"
    assert isinstance(one["running"], bool)
    assert one["why"]["number"] == 1
    assert (
        api("system")
        .post("/mission-templates/400/generate-for-customer/", json={"customer_id": known})
        .status_code
        == 404
    )
    for body, field in (
        ({}, "customer_id"), ({"customer_id": known, "segment": "all"}, "customer_id"),
        ({"segment": "no such thing"}, "segment"), ({"customer_id": ""}, "customer_id"),
    ):  # fmt: skip
        wrong = api("system").post("/badges/check-and-award/", json=body)
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, field), wrong.text


def test_a_customer_opts_out_and_in_again(api: Api, known: str) -> None:
    assert send(api, f"{PATH}opt-out/").json()["status"] == "done"
    refused = api("system").post("/missions/generate-for-customer/", json={"customer_id": known})
    assert (refused.status_code, refused.json()["reason"]) == (409, "opted_out")
    assert send(api, f"{PATH}opt-in/").json()["status"] == "done"
    unknown = api("system").post(f"/grants/{'0' * 32}/repeat/", json={"customer_id": known})
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "unknown_grant")


def test_a_published_revision_reaches_the_worker(api: Api, known: str, live: Worker) -> None:
    newest = api("viewer").get("/revisions/").json()["items"][0]["number"]
    draft = api("marketer").post("/offers/", json={"name": "To the worker", "description": ""})
    approved = api("approver").post(
        f"/drafts/{draft.json()['id']}/approve/", headers={"If-Match": draft.headers["ETag"]}
    )
    api("approver").post(
        f"/drafts/{draft.json()['id']}/publish/", headers={"If-Match": approved.headers["ETag"]}
    )

    def reached() -> bool:
        send(api, f"/behavior-scores/{known}/recalculate/")
        return bool(api("viewer").get(PATH).json()["revision"] > newest)

    until("the worker decides by it", reached, 180, live.log)


def test_a_dead_letter_is_listed_and_mapped_again(api: Api, known: str, parts: Parts) -> None:
    from tests.api.test_api_sources import source

    assert api("admin").post("/data-sources/", json=source("letters")).status_code == 201
    from confluent_kafka import Producer

    producer = Producer(parts.settings.producer_config())
    record = {"msisdn": "live-2", "kind": "grumble", "at": "2026-01-05T00:00:00Z", "id": "d1"}
    producer.produce("raw_letters_events", json.dumps(record).encode())
    producer.flush()

    def listed() -> list[dict[str, Any]]:
        found = api("viewer").get("/dead-letters/", params={"source": "letters"}).json()["items"]
        return list(found)

    until("it is a dead letter", listed, 180)
    [letter] = listed()
    assert (letter["reason"], letter["replayed"]) == ("unknown_event_type", False)
    still = send(api, "/dead-letters/replay/", {"ids": [letter["id"]]}).json()["items"]
    assert still[0]["results"][0]["reason"] == "unknown_event_type"
    shown = api("admin").get("/data-sources/letters/")
    mended = source("letters")
    mended["event_mapping"] = mended["event_mapping"] | {"event_types": {"grumble": "complaint"}}
    changed = api("admin").put(
        "/data-sources/letters/", json=mended, headers={"If-Match": shown.headers["ETag"]}
    )
    assert changed.status_code == 200

    def mapped() -> bool:
        answer = api("system").post("/dead-letters/replay/", json={"ids": [letter["id"]]}).json()
        return bool(answer["items"][0]["status"] == "done")

    until("it is mapped", mapped, 180)
    assert listed()[0]["replayed"] is True
    assert (
        api("viewer").get("/dead-letters/", params={"replayed": False, "source": "letters"}).json()["items"]
        == []
    )
    assert api("system").post("/dead-letters/replay/", json={"ids": ["raw/0/9"]}).status_code == 404


def test_a_draft_is_simulated(api: Api, known: str) -> None:
    draft = api("marketer").post("/offers/", json={"name": "Simulated", "description": ""}).json()
    made = api("marketer").post("/simulations/", json={"draft": draft["id"]})
    assert made.status_code == 202
    path = made.headers["Location"].removeprefix(PREFIX)
    until("it is done", lambda: api("viewer").get(path).json()["status"] != "running", 180)
    found = api("viewer").get(path).json()
    assert (found["status"], found["error"]) == ("done", None)
    assert found["report"]["records"] > 0
    assert found["report"]["points"]["granted"]["difference"] == 0
    assert [each["id"] for each in api("viewer").get("/simulations/").json()["items"]] == [found["id"]]
    wrong = api("marketer").post("/simulations/", json={"draft": 999_999})
    assert wrong.status_code == 404
    assert api("viewer").get("/simulations/999999/").status_code == 404
    since = api("marketer").post("/simulations/", json={"draft": draft["id"], "since": "soon"})
    assert since.json()["errors"][0]["field"] == "since"


def test_models_are_listed_with_their_cards(api: Api) -> None:
    found = api("viewer").get("/ml/models/").json()["items"]
    churn = next(each for each in found if each["name"] == "churn")
    assert churn["active"] in churn["versions"]
    card = api("viewer").get("/ml/models/churn/").json()
    assert card["version"] == churn["active"]
    assert card["features"]
    assert api("viewer").get("/ml/models/nothing/").status_code == 404
    wrong = api("admin").post("/ml/models/churn/activate/", json={"version": "none"})
    assert wrong.status_code == 404


def test_a_customer_is_erased(api: Api, known: str, parts: Parts) -> None:
    answer = send(api, PATH, role="admin", method="DELETE")
    assert answer.json()["status"] == "done"
    with parts.store.session() as session:
        rows = [
            str(dict(row))
            for table in ("commands", "audit", "answers")
            for row in session.execute(text(f"select * from governance.{table}")).mappings()
        ]
    assert rows
    assert not [row for row in rows if ID in row]
    gone = api("system").post(f"{PATH}redeem/", json={"points": 1})
    assert (gone.status_code, gone.json()["reason"]) == (409, "erased")
