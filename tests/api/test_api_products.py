"""Products over HTTP, and their synchronisation with a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.served import Api
from web.api.products import _EXAMPLE

#: Not the document's own example, which others may have posted before.
OWN = _EXAMPLE | {"external_product_id": "own-1"}


@pytest.fixture
def shop() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A system with products: its address, and what it has."""
    there: list[dict[str, Any]] = [
        {"id": "p1", "name": "Tiny Data", "description": "1 GB", "productSpecification": {"name": "data"},
         "lifecycleStatus": "Active", "category": [{"name": "bundles"}],
         "productOfferingPrice": [{"price": {"unit": "USD", "value": 2.5}}]},
    ]  # fmt: skip

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = "secret" not in self.path or self.headers["Authorization"] == "Bearer s3cret"
            body = json.dumps(there).encode()
            self.send_response(200 if allowed else 403)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody listens."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/products", there
    server.shutdown()
    server.server_close()


def test_a_product_is_added_changed_and_deleted(api: Api) -> None:
    editor, find = api("marketer"), api("viewer").get
    made = editor.post("/products/", json=OWN)
    assert made.status_code == 201, made.text
    path = f"/products/{made.json()['id']}/"
    assert made.json()["price"] == "9.90"
    assert editor.post("/products/", json=OWN).status_code == 409
    shown = find(path)
    assert shown.headers["ETag"] == made.headers["ETag"]
    assert editor.patch(path, json={"price": "8.50"}).status_code == 428
    cheaper = editor.patch(path, json={"price": "8.50"}, headers={"If-Match": shown.headers["ETag"]})
    assert (cheaper.status_code, cheaper.json()["price"]) == (200, "8.50")
    late = editor.put(path, json=OWN, headers={"If-Match": shown.headers["ETag"]})
    assert late.status_code == 412
    tag = {"If-Match": cheaper.headers["ETag"]}
    whole = editor.put(path, json=OWN | {"name": "Data 10 GB new"}, headers=tag)
    assert whole.json()["name"] == "Data 10 GB new"

    found = find("/products/", params={"search": "10 gb new"}).json()["items"]
    assert [each["name"] for each in found] == ["Data 10 GB new"]
    assert find("/products/", params={"product_type": "nothing"}).json()["items"] == []
    assert find("/products/", params={"min_price": "abc"}).status_code == 422
    suited = find("/products/available/", params={"customer_value": "20", "segment": "youth"}).json()["items"]
    assert made.json()["id"] in [each["id"] for each in suited]
    others = find("/products/available/", params={"segment": "senior"}).json()["items"]
    assert made.json()["id"] not in [each["id"] for each in others]
    assert find("/products/stats/").json()["total"] >= 1

    assert editor.delete(path, headers={"If-Match": whole.headers["ETag"]}).status_code == 204
    assert find(path).status_code == 404
    told = api("admin").get("/audit/", params={"resource": path.strip("/")}).json()["items"]
    assert [each["action"] for each in told] == ["delete", "change", "change", "create"]
    assert (told[2]["before"]["price"], told[2]["after"]["price"]) == ("9.90", "8.50")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"price": "free"}, "price"),
        ({"currency": "dollars"}, "currency"),
        ({"recurring": True}, "billing_cycle"),
    ],
)
def test_what_is_wrong_with_a_product_names_its_field(api: Api, wrong: dict[str, Any], field: str) -> None:
    answer = api("marketer").post("/products/", json=OWN | wrong)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_products_are_synchronised(api: Api, shop: tuple[str, list[dict[str, Any]]]) -> None:
    url, there = shop
    connection = {"kind": "rest", "url": url}
    put = api("admin").put("/products/systems/xiva/", json={"connection": connection, "mapping": "tmf620"})
    assert put.status_code == 200, put.text
    body = {"external_system": "xiva"}
    report = api("system").post("/products/sync/", json=body)
    assert report.status_code == 200, report.text
    assert (report.json()["created"], report.json()["refused"]) == (1, 0), report.text
    assert api("system").post("/products/sync/", json=body).json()["unchanged"] == 1
    there.clear()
    assert len(api("viewer").get("/products/sync/").json()["items"]) == 2
    assert [each["name"] for each in api("viewer").get("/products/systems/").json()["items"]] == ["xiva"]
    found = api("viewer").get("/products/", params={"external_system": "xiva"}).json()["items"]
    assert [(each["name"], each["price"]) for each in found] == [("Tiny Data", "2.50")]
    assert api("system").post("/products/sync/", json={"external_system": "nobody"}).status_code == 404
    wrong = api("admin").put("/products/systems/xiva/", json={"connection": {"kind": "fax"}})
    assert wrong.status_code == 422
    assert api("admin").delete("/products/systems/xiva/").status_code == 204
    assert api("admin").delete("/products/systems/xiva/").status_code == 404


def test_a_polled_source_is_tried_and_polled_with_its_secret(
    api: Api, shop: tuple[str, list[dict[str, Any]]]
) -> None:
    url, there = shop
    there[:] = [{"who": f"polled-{n}", "at": f"2026-01-0{n}T00:00:00Z", "n": n} for n in (1, 2)]
    poll = {
        "kind": "rest", "url": f"{url}?secret", "cursor_field": "at", "cursor_param": "since",
        "auth": {"kind": "bearer", "token": "vault:polled.token"},
    }  # fmt: skip
    given = {
        "name": "polled", "source_type": "billing", "connection_config": {"poll": poll, "interval": "1 day"},
        "event_mapping": {"customer_id_field": "who", "timestamp_field": "at", "event_type": "complaint"},
        "is_active": False,
    }  # fmt: skip
    made = api("admin").post("/data-sources/", json=given)
    assert made.status_code == 201, made.text
    # Without its secret it cannot be reached, and the message says so.
    assert api("marketer").post("/data-sources/polled/test/", json={}).status_code >= 400
    secret = "/data-sources/polled/secrets/token/"
    assert api("admin").put(secret, json={"value": "guess"}).status_code == 204
    assert api("marketer").post("/data-sources/polled/test/", json={}).status_code == 502
    assert (
        api("admin").put("/data-sources/polled/secrets/token/", json={"value": "s3cret"}).status_code == 204
    )
    tried = api("marketer").post("/data-sources/polled/test/", json={})
    assert tried.status_code == 200, tried.text
    assert [each["event"]["customer_id"] for each in tried.json()["samples"]] == ["polled-1", "polled-2"]
    on = api("admin").patch(
        "/data-sources/polled/", json={"is_active": True}, headers={"If-Match": made.headers["ETag"]}
    )
    assert on.status_code == 200, on.text
    polled = api("system").post("/data-sources/polled/sync/")
    assert (polled.status_code, polled.json()["records"]) == (200, 2), polled.text
    assert api("system").post("/data-sources/polled/sync/").json()["records"] == 0
    assert "s3cret" not in api("viewer").get("/data-sources/polled/").text
