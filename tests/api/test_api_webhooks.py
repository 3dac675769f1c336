"""`webhooks/customer-event`: what Kafka has after it, and every refusal with its field."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from agents.tail import Tail
from tests.served import Api
from web.api.doors import SIGNATURE
from web.api.parts import Parts
from web.api.webhooks import TIMESTAMP

PATH = "/webhooks/customer-event"


def event(id: str | None = "e", **more: Any) -> dict[str, Any]:
    """A CustomerEvent in its own fields."""
    found = {
        "customer_id": "hook-1", "event_type": "recharge", "value": 5, "occurred_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return found | ({"event_id": id} if id is not None else {}) | more


def raw(parts: Parts) -> list[Any]:
    """All events on custom's raw topic."""
    tail = Tail(parts.settings, "raw_custom_events")
    try:
        return [json.loads(message.value() or b"") for message in tail.to_end()]
    finally:
        tail.close()


def ids(parts: Parts) -> list[str]:
    """Their ids."""
    return [each.get("event_id") for each in raw(parts)]


def test_one_event_is_answered_when_kafka_has_it(api: Api, parts: Parts) -> None:
    answer = api("system").post(PATH, json={"source": "custom", "event": event("one")})
    assert (answer.status_code, answer.json()) == (200, {"status": "processed", "event_id": "one"})
    assert ids(parts).count("one") == 1
    # `custom` is what nobody says, and a slash at the end changes nothing.
    answer = api("system").post(f"{PATH}", json={"event": event("two")})
    assert answer.json() == {"status": "processed", "event_id": "two"}
    without = api("system").post(PATH, json={"event": event(None, value=7)}).json()["event_id"]
    assert len(without) == 32


def test_a_list_is_all_or_nothing(api: Api, parts: Parts) -> None:
    good = {"source": "custom", "event": [event("l1"), event("l2")]}
    assert api("system").post(PATH, json=good).json() == {"status": "processed", "event_ids": ["l1", "l2"]}
    bodies = [{"event": event("l3")}, {"source": "custom", "event": event("l4")}]
    assert api("system").post(PATH, json=bodies).json()["event_ids"] == ["l3", "l4"]
    bad = api("system").post(PATH, json={"event": [event("l5"), event("l6", event_type="fax")]})
    assert bad.status_code == 400
    assert bad.json()["field"] == "event[1].event_type"
    found = ids(parts)
    assert {"l1", "l2", "l3", "l4"} <= set(found)
    assert not {"l5", "l6"} & set(found)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"event": event(customer_id=None)}, "event.customer_id"),
        ({"event": event(event_type="fax")}, "event.event_type"),
        ({"event": event(event_type="_tick")}, "event.event_type"),
        ({"event": event(value="many")}, "event.value"),
        ({"event": event(occurred_at="soon")}, "event.occurred_at"),
        ({"event": event(occurred_at="2099-01-01T00:00:00Z")}, "event.occurred_at"),
        ({"event": {}}, "event.customer_id"),
        ({"event": "recharge"}, "event"),
        ({"event": []}, "event"),
        ({}, "event"),
        ([], "event"),
        ([{"event": event()}, 7], "[1]"),
        ({"source": "nobody", "event": event()}, "source"),
        ({"source": 7, "event": event()}, "source"),
        ({"event": event(), "colour": 1}, "colour"),
        (7, "body"),
    ],
)
def test_what_does_not_fit_is_400_with_its_field(api: Api, body: Any, field: str) -> None:
    answer = api("system").post(PATH, json=body)
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert answer.json()["error"].startswith(field)


def test_what_is_no_json_is_400(api: Api) -> None:
    for content in (b"", b"{", b"\xff", b'{"event": "\\ud800"}', b"[" * 100_000):
        answer = api("system").post(PATH, content=content)
        assert (answer.status_code, answer.json()["field"]) == (400, "body"), content


def test_a_source_that_is_off_or_takes_no_json_is_refused(api: Api) -> None:
    for name, more in (
        ("hook-off", {"is_active": False}),
        ("hook-csv", {"connection_config": {"format": "csv", "columns": ["msisdn", "kind", "at", "id"]}}),
    ):
        from tests.api.test_api_sources import source

        assert api("admin").post("/data-sources/", json=source(name, **more)).status_code == 201
        answer = api("system").post(PATH, json={"source": name, "event": {}})
        assert (answer.status_code, answer.json()["field"]) == (400, "source")


def test_an_idempotency_key_carries_a_request_out_once(api: Api, parts: Parts) -> None:
    headers = {"Idempotency-Key": "k-1"}
    body = {"event": [event("i1"), event("i2")]}
    first = api("system").post(PATH, json=body, headers=headers)
    assert first.status_code == 200
    assert api("system").post(PATH, json=body, headers=headers).json() == first.json()
    assert ids(parts).count("i1") == 1
    other = api("system").post(PATH, json={"event": event("i3")}, headers=headers)
    assert (other.status_code, other.json()["field"]) == (400, "Idempotency-Key")
    # Another user's key is another key; what was refused may be sent again under the same.
    assert api("admin").post(PATH, json={"event": event("i4")}, headers=headers).status_code == 200
    bad = {"Idempotency-Key": "k-2"}
    assert api("system").post(PATH, json={"event": {}}, headers=bad).status_code == 400
    assert api("system").post(PATH, json={"event": event("i5")}, headers=bad).status_code == 200
    assert "i3" not in ids(parts)


def test_a_signature_opens_in_place_of_a_key(api: Api) -> None:
    from tests.api.test_api_sources import source

    api("admin").post("/data-sources/", json=source("signed"))
    api("admin").put("/data-sources/signed/secrets/webhook/", json={"value": "shared"})
    record = {"msisdn": "1", "kind": "complaint", "at": "2026-03-01T00:00:00Z", "id": "s1"}
    body = json.dumps({"source": "signed", "event": record}).encode()

    def send(secret: str = "shared", at: float | None = None, sent: bytes = body, **more: str) -> Any:
        stamp = str(int(time.time() if at is None else at))
        digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {SIGNATURE: f"sha256={digest}", TIMESTAMP: stamp, "Content-Type": "application/json"} | more
        return api().post(PATH, content=sent, headers=headers)

    assert send().json() == {"status": "processed", "event_id": "s1"}
    assert (send(secret="guess").status_code, send(secret="guess").json()["field"]) == (401, SIGNATURE)
    assert send(at=time.time() - 3600).json()["field"] == TIMESTAMP
    assert send(sent=body.replace(b"s1", b"s2")).status_code == 401
    # A key does not do away with a signature that the source wants; a source without a secret has none.
    assert api("system").post(PATH, content=body).status_code == 401
    unsigned = json.dumps({"event": event("s3")}).encode()
    assert send(sent=unsigned).status_code == 401


def test_a_record_is_normalized_without_being_sent(api: Api, parts: Parts) -> None:
    path = "/customer-events/normalize/"
    found = api("system").post(path, json={"record": event("n1")}).json()
    assert (found["fits"], found["published"], found["event"]["event_id"]) == (True, False, "n1")
    assert "n1" not in ids(parts)
    assert api("system").post(path, json={"record": event("n2"), "publish": True}).json()["published"] is True
    assert "n2" in ids(parts)
    bad = api("system").post(path, json={"record": event("n3", event_type="fax"), "publish": True})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "record.event_type")
    unsaved = {"name": "new", "source_type": "crm", "event_mapping": {"customer_id_field": "c",
               "timestamp_field": "t", "event_type": "complaint"}}  # fmt: skip
    body = {"source": unsaved, "record": {"c": "7", "t": "2026-01-01T00:00:00Z"}}
    assert api("marketer").post(path, json=body).json()["event"]["customer_id"] == "7"
    assert api("system").post(path, json={"source": "nobody", "record": {}}).status_code == 404
