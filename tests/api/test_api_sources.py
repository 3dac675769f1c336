"""Data sources over HTTP: edits with tags, tries, polls, secrets; each change in the audit log."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.served import Api
from web.api.parts import Parts
from web.api.sources import EXAMPLE


def source(name: str, **more: Any) -> dict[str, Any]:
    """A data source of its own."""
    return {**EXAMPLE, "name": name, "connection_config": {}, **more}


@pytest.mark.parametrize("path", ["/data-sources/", "/config/data-sources/"])
def test_a_source_is_added_changed_and_removed(api: Api, path: str) -> None:
    admin = api("admin")
    name = f"crm-{path.count('/')}"
    made = admin.post(path, json=source(name))
    assert made.status_code == 201, made.text
    assert (made.json()["id"], made.json()["topic"]) == (name, f"raw_{name}_events")
    assert made.json()["published"] is True
    again = admin.post(path, json=source(name))
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)

    shown = api("viewer").get(f"{path}{name}/")
    assert shown.json()["event_mapping"]["customer_id_field"] == "msisdn"
    tag = shown.headers["ETag"]
    assert tag == made.headers["ETag"]
    other = source(name, event_mapping=EXAMPLE["event_mapping"] | {"customer_id_field": "phone"})
    assert admin.put(f"{path}{name}/", json=other).status_code == 428
    assert admin.put(f"{path}{name}/", json=other, headers={"If-Match": '"old"'}).status_code == 412
    changed = admin.put(f"{path}{name}/", json=other, headers={"If-Match": tag})
    assert changed.json()["event_mapping"]["customer_id_field"] == "phone"
    assert changed.headers["ETag"] != tag
    off = admin.patch(
        f"{path}{name}/", json={"is_active": False}, headers={"If-Match": changed.headers["ETag"]}
    )
    assert off.json()["is_active"] is False
    assert any(each["id"] == name for each in api("viewer").get(path).json()["items"])
    gone = admin.delete(f"{path}{name}/", headers={"If-Match": off.headers["ETag"]})
    assert gone.status_code == 204
    assert admin.get(f"{path}{name}/").status_code == 404

    told = admin.get("/audit/", params={"resource": f"data-sources/{name}"}).json()["items"]
    assert [each["action"] for each in told] == ["remove", "change", "change", "create"]
    assert told[1]["before"]["is_active"] is True
    assert told[1]["after"]["is_active"] is False
    assert told[0]["after"] is None
    assert {each["user"] for each in told} == {"a-admin"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"source_type": "fax"}, "source_type"),
        ({"name": "Ü"}, "name"),
        ({"event_mapping": {"customer_id_field": "a"}}, "event_mapping.timestamp_field"),
        ({"connection_config": {"format": "csv"}}, "connection_config"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_names_its_field(api: Api, wrong: dict[str, Any], field: str) -> None:
    answer = api("admin").post("/data-sources/", json=source("wrong") | wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [each["field"] for each in answer.json()["errors"]]


def test_custom_is_there_from_the_start_and_stays(api: Api) -> None:
    shown = api("viewer").get("/data-sources/custom/")
    assert shown.json()["event_mapping"]["customer_id_field"] == "customer_id"
    answer = api("admin").delete("/data-sources/custom/", headers={"If-Match": shown.headers["ETag"]})
    assert answer.status_code == 409


def test_a_record_is_tried_field_by_field(api: Api) -> None:
    api("admin").post("/data-sources/", json=source("tried"))
    good = {"msisdn": "1", "kind": "complaint", "at": "2026-03-01T00:00:00Z", "id": "x"}
    found = api("marketer").post("/data-sources/tried/test/", json={"record": good}).json()
    assert found["fits"] is True
    assert found["event"]["event_type"] == "complaint"
    bad = api("marketer").post("/data-sources/tried/test/", json={"record": good | {"kind": "fax"}}).json()
    assert (bad["fits"], bad["reason"], bad["field"]) == (False, "unknown_event_type", "kind")
    newest = api("marketer").post("/data-sources/tried/test/", json={}).json()
    assert newest == {"topic": "raw_tried_events", "partitions": newest["partitions"], "samples": []}


def test_a_source_that_is_pushed_cannot_be_polled(api: Api) -> None:
    answer = api("system").post("/data-sources/custom/sync/")
    assert (answer.status_code, answer.json()["reason"]) == (409, "pushed")
    assert api("system").post("/data-sources/nobody/sync/").status_code == 404


def test_a_secret_is_kept_encrypted_and_shown_to_nobody(api: Api, parts: Parts) -> None:
    admin = api("admin")
    assert admin.put("/data-sources/custom/secrets/token/", json={"value": "s3cret!"}).status_code == 204
    assert admin.get("/data-sources/custom/secrets/").json() == {"names": ["token"]}
    assert parts.vault.get("custom.token") == "s3cret!"
    with parts.store.session() as session:
        kept = session.execute(text("select token from governance.secrets")).scalars().all()
        told = session.execute(text("select before::text || after::text from governance.audit")).scalars()
        assert not any("s3cret!" in each for each in told)
    assert not any(b"s3cret!" in bytes(each) for each in kept)
    key = parts.settings.home_dir / "secrets.key"
    assert key.stat().st_mode & 0o077 == 0
    assert admin.delete("/data-sources/custom/secrets/token/").status_code == 204
    assert admin.delete("/data-sources/custom/secrets/token/").status_code == 404
    assert admin.put("/data-sources/custom/secrets/token/", json={"value": ""}).status_code == 422


def test_lists_are_paged_by_cursor(api: Api) -> None:
    for name in ("page-a", "page-b", "page-c"):
        api("admin").post("/data-sources/", json=source(name))
    whole = [each["id"] for each in api("viewer").get("/data-sources/").json()["items"]]
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api("viewer").get("/data-sources/", params=params).json()
        assert len(page["items"]) <= 2
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole
    for bad in ("nonsense", "MTI", "!!"):
        answer = api("viewer").get("/data-sources/", params={"cursor": bad})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")
