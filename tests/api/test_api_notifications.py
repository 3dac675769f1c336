"""Subscriptions over the API: the hub, settings, secrets that nobody sees again; and `/metrics`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from outwards.notifier import Notifier
from outwards.trying import Policy
from tests.faults.harness import until
from tests.faults.pipeline import Pipeline
from tests.outwards.receiver import Receiver
from tests.outwards.told import Told
from tests.served import Api
from web.api.app import create
from web.api.doors import PREFIX
from web.api.parts import Parts

CALLBACK = "https://crm.example.com/listener"
CROSSING = "eventType=ScoreCrossingEvent&score=risk&value=70&direction=up"


@pytest.fixture
def hub(api: Api) -> Iterator[httpx.Client]:
    """A client of an operator's system; no subscription is left behind."""
    client = api("system")
    for each in client.get("/hub").json():  # whatever Schemathesis registered
        client.delete(f"/hub/{each['id']}")
    yield client
    for each in client.get("/hub").json():
        client.delete(f"/hub/{each['id']}")


def _fields(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [each["field"] for each in answer.json()["errors"]]


def test_a_listener_registers_looks_and_goes(hub: httpx.Client, parts: Parts) -> None:
    made = hub.post("/hub", json={"callback": CALLBACK, "query": CROSSING, "@type": "EventSubscription"})
    assert made.status_code == 201, made.text
    found = made.json()
    secret = found.pop("secret")
    assert len(secret) >= 32
    assert made.headers["Location"] == f"{PREFIX}/hub/{found['id']}"
    assert (found["callback"], found["query"]) == (CALLBACK, CROSSING)
    assert hub.get(f"/hub/{found['id']}").json() == found
    assert hub.get("/hub").json() == [found]
    shown = hub.get(f"/notifications/{found['id']}/")
    assert shown.json()["status"] == "delivering"
    assert shown.json()["trying"] == []
    with parts.store.session() as session:
        tables = ("outwards.subscriptions", "governance.secrets", "governance.audit")
        rows = [row for name in tables for row in session.execute(text(f"select * from {name}"))]
        kept = "\n".join(map(str, rows))
    for everything in (shown.text, hub.get("/hub").text, hub.get("/notifications/").text, kept):
        assert secret not in everything
    assert f"hub.{found['id']}" in kept
    assert hub.delete(f"/hub/{found['id']}").status_code == 204
    for method, path in (("GET", "hub"), ("DELETE", "hub"), ("GET", "notifications")):
        slash = "/" if path == "notifications" else ""
        assert hub.request(method, f"/{path}/{found['id']}{slash}").status_code == 404
    assert parts.vault.names("hub.") == []


@pytest.mark.parametrize("path", ["/hub", "/notifications/"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "callback"),
        ({"callback": 7}, "callback"),
        ({"callback": "crm"}, "callback"),
        ({"callback": "http://crm.example.com/"}, "callback"),
        ({"callback": "https://127.0.0.1/"}, "callback"),
        ({"callback": "https://169.254.169.254/latest"}, "callback"),
        ({"callback": "https://localhost/"}, "callback"),
        ({"callback": CALLBACK, "query": "eventType=NoEvent"}, "query"),
        ({"callback": CALLBACK, "query": "status=\x00"}, "query"),
        ({"callback": CALLBACK, "query": f"{CROSSING}&value=1"}, "query"),
        ({"callback": CALLBACK, "secret": "short"}, "secret"),
        ({"callback": CALLBACK, "secret": "ż" * 20}, "secret"),
    ],
)
def test_wrong_input_names_the_field(hub: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    assert _fields(hub.post(path, json=body)) == [field]
    assert hub.get("/hub").json() == []


def test_settings_are_changed_by_who_read_them(hub: httpx.Client, parts: Parts) -> None:
    given = {"callback": CALLBACK, "query": "eventType=BadgeAwardEvent", "note": "badges"}
    made = hub.post("/notifications/", json=given | {"secret": "a secret of the tests"})
    assert made.json()["secret"] == "a secret of the tests"
    path, tag = f"/notifications/{made.json()['id']}/", made.headers["ETag"]
    assert hub.put(path, json=given).status_code == 428
    off = hub.put(path, json=given | {"active": False}, headers={"If-Match": tag})
    assert (off.status_code, off.json()["status"]) == (200, "off")
    assert hub.put(path, json=given, headers={"If-Match": tag}).status_code == 412
    match = {"If-Match": off.headers["ETag"]}
    assert _fields(hub.put(path, json=given | {"callback": "https://[::1]/"}, headers=match)) == ["callback"]
    assert _fields(hub.put(path, json=given | {"nothing": 1}, headers=match)) == ["nothing"]
    refused = hub.post(f"{path}dead-letters/send/", json={})
    assert (refused.status_code, refused.json()["detail"]) == (
        409, f"the subscription {made.json()['id']} is not delivered to",
    )  # fmt: skip
    assert hub.post(f"{path}resume/", json={}).status_code == 409
    other = hub.post(f"{path}secret/", json={}).json()["secret"]
    assert other != "a secret of the tests"
    assert parts.vault.get(f"hub.{made.json()['id']}") == other
    assert _fields(hub.post(f"{path}secret/", json={"secret": "short"})) == ["secret"]
    assert _fields(hub.post(f"{path}dead-letters/send/", json={"ids": ["x"]})) == ["ids.0"]
    assert _fields(hub.get(f"{path}dead-letters/", params={"limit": 0})) == ["limit"]
    assert _fields(hub.get("/notifications/", params={"cursor": "x"})) == ["cursor"]
    on = hub.put(path, json=given, headers={"If-Match": hub.get(path).headers["ETag"]})
    assert on.json()["status"] == "delivering"
    assert hub.post(f"{path}dead-letters/send/", json={"ids": [1]}).status_code == 404
    assert hub.post(f"{path}dead-letters/send/", json={}).json() == {"asked": 0}
    assert hub.delete(path).status_code == 204
    with parts.store.session() as session:
        changes = session.execute(
            text("select action from governance.audit where resource = :it order by id"),
            {"it": f"hub/{made.json()['id']}"},
        )
        assert [row[0] for row in changes] == ["create", "change", "change", "remove"]


def test_who_is_not_a_system_is_refused_and_who_is_nobody_too(api: Api) -> None:
    id = "0" * 16
    for method, path in (
        ("GET", "/hub"), ("POST", "/hub"), ("GET", f"/hub/{id}"), ("DELETE", f"/hub/{id}"),
        ("GET", "/notifications/"), ("POST", "/notifications/"), ("GET", f"/notifications/{id}/"),
        ("PUT", f"/notifications/{id}/"), ("DELETE", f"/notifications/{id}/"),
        ("POST", f"/notifications/{id}/secret/"), ("POST", f"/notifications/{id}/resume/"),
        ("GET", f"/notifications/{id}/dead-letters/"), ("POST", f"/notifications/{id}/dead-letters/send/"),
    ):  # fmt: skip
        body: dict[str, Any] | None = {} if method in ("POST", "PUT") else None
        assert api().request(method, path, json=body).status_code == 401, path
        for role in ("viewer", "marketer", "approver"):
            assert api(role).request(method, path, json=body).status_code == 403, path


def test_from_a_registration_to_a_delivery_and_a_dead_letter_by_command(
    pipeline: Pipeline, parts: Parts, hub: httpx.Client
) -> None:
    receiver = Receiver()
    receiver.answer = lambda got: 422
    settings = pipeline.settings.model_copy(update={"notify_private": True})
    # The app that this was registered with refuses such a callback: it is put where it must not be.
    made = hub.post("/hub", json={"callback": CALLBACK, "query": "eventType=BadgeAwardEvent"}).json()
    with parts.store.session() as session:
        session.execute(text("update outwards.subscriptions set callback = :url"), {"url": receiver.url})
    notifier = Notifier(settings, "n", Policy(tries=3, hours=1, first=0.05, longest=0.1), 3.0)
    notifier.start()
    try:
        badge = Told(settings).badge("15550001")
        path = f"/notifications/{made['id']}/"
        until("it is a dead letter", lambda: hub.get(f"{path}dead-letters/").json()["items"])
        [letter] = hub.get(f"{path}dead-letters/").json()["items"]
        assert (letter["event_id"], letter["error"]) == (badge, "answered 422")
        assert json.loads(letter["body"])["eventId"] == badge
        shown = json.loads(pipeline.khaywe("notifications", "dead-letters", made["id"], "--json"))
        assert [each["event_id"] for each in shown] == [badge]
        [listed] = json.loads(pipeline.khaywe("notifications", "list", "--json"))
        assert (listed["id"], listed["status"], listed["dead_letters"]) == (made["id"], "failing", 1)
        receiver.answer = lambda got: 204
        number = str(letter["id"])
        assert "1 asked for" in pipeline.khaywe("notifications", "send-again", made["id"], "--number", number)
        until("it is taken", lambda: [got.id for got in receiver.taken] == [badge])
        until("nothing is left", lambda: hub.get(path).json()["dead_letters"] == 0)
    finally:
        notifier.stop()
        receiver.close()


def _samples(answer: httpx.Response) -> dict[tuple[str, ...], float]:
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status(address: str, api: Api) -> None:
    before = _samples(httpx.get(f"{address}/metrics"))
    assert api("viewer").get("/users/").status_code == 403
    assert api("admin").get("/users/nobody-of-that-name/").status_code == 404
    assert api().get("/users/").status_code == 401
    assert httpx.get(f"{address}/no/such/path").status_code == 404
    after = _samples(httpx.get(f"{address}/metrics"))
    total = "khaywe_api_requests_total"
    for labels in (
        ("GET", f"{PREFIX}/users/", "403"), ("GET", f"{PREFIX}/users/{{name}}/", "404"),
        ("GET", "other", "401"), ("GET", "other", "404"),
    ):  # fmt: skip
        assert after[total, *labels] - before.get((total, *labels), 0) == 1, labels
    assert "nobody-of-that-name" not in str(after)
    seconds = ("khaywe_api_request_seconds_count", "GET", f"{PREFIX}/users/")
    assert after[seconds] - before.get(seconds, 0) == 1
    assert after["process_resident_memory_bytes",] > 1e6
    assert not any(name[0].startswith("khaywe_lag") for name in after), "a worker's figures are the worker's"


def test_elsewhere_metrics_ask_for_a_key_and_limits_are_counted(parts: Parts, keys: dict[str, str]) -> None:
    settings = parts.settings.model_copy(
        update={"api_host": "0.0.0.0", "worker_key": "of the workers", "api_rate": 0.01}
    )

    async def ask() -> None:
        from dataclasses import replace

        app = create(replace(parts, settings=settings))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            assert (await client.get("/metrics")).status_code == 401
            wrong = await client.get("/metrics", headers={"X-API-Key": "khaywe_000000000000_" + "a" * 43})
            assert wrong.status_code == 401
            assert wrong.headers["content-type"] == "application/problem+json"
            shown = {"Authorization": "Bearer of the workers"}
            before = _samples(await client.get("/metrics", headers=shown))
            statuses = []
            for _ in range(2):
                answer = await client.get(f"{PREFIX}/me/", headers={"X-API-Key": keys["viewer"]})
                statuses.append(answer.status_code)
            assert statuses == [200, 429]
            after = _samples(await client.get("/metrics", headers={"X-API-Key": keys["viewer"]}))
            name = ("khaywe_api_rate_limited_total",)
            assert after[name] - before[name] == 1

    asyncio.run(ask())
