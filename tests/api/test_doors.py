"""Who comes in: generated over the OpenAPI, so that no endpoint is forgotten."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from catalog.governance.people import ROLES
from tests.served import BY_TEST, Api
from web.api.doors import PREFIX, Doors
from web.api.parts import Parts
from web.api.problems import problem
from web.api.rates import Rates

SAMPLES = {"command_id": "0" * 32, "grant_id": "0" * 32, "mission_id": "0" * 32, "name": "sample", "id": "1"}


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path with samples in it, and what the document says of the operation."""
    found = []
    for path, item in app.openapi()["paths"].items():
        shown = re.sub(r"{(\w+)}", lambda m: SAMPLES.get(m[1], "1"), path).removeprefix(PREFIX)
        found += [(method.upper(), shown, operation) for method, operation in item.items()]
    return found


def test_nobody_comes_in_without_a_key(app: FastAPI, api: Api) -> None:
    for method, path, _ in operations(app):
        answer = api().request(method, path, json={})
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for bad in ("khaywe_000000000000_" + "a" * 43, "nonsense", "x"):
        assert api().get("/me/", headers={"X-API-Key": bad}).status_code == 401
        assert api().get("/me/", headers={"Authorization": f"Bearer {bad}"}).status_code == 401


def test_every_role_that_is_not_named_is_refused(app: FastAPI, api: Api) -> None:
    refused = 0
    for method, path, operation in operations(app):
        assert set(operation["x-roles"]) <= set(ROLES), path
        assert "admin" in operation["x-roles"]
        if method != "GET":
            assert "viewer" not in operation["x-roles"] or path.endswith("/check/"), path
        for role in set(ROLES) - set(operation["x-roles"]):
            body: dict[str, Any] | None = {} if method in ("POST", "PUT", "PATCH") else None
            answer = api(role).request(method, path, json=body)
            assert answer.status_code == 403, (role, method, path, answer.text)
            assert role in answer.json()["detail"]
            refused += 1
    assert refused > 100


def test_a_key_works_until_it_is_revoked_or_ends_or_its_user_is_off(parts: Parts, api: Api) -> None:
    parts.people.add_user("brief", "viewer", BY_TEST)
    issued = parts.people.issue("brief", "", datetime.now(UTC) + timedelta(seconds=1), BY_TEST)
    assert parts.people.caller_of_key(issued.key) is not None
    assert api(key=issued.key).get("/me/").json() == {"name": "brief", "role": "viewer", "active": True}
    lasting = parts.people.issue("brief", "", None, BY_TEST)
    assert parts.people.caller_of_key(lasting.key) is not None
    assert parts.people.caller_of_key(lasting.key[:-1] + ("a" if lasting.key[-1] != "a" else "b")) is None
    assert api("admin").delete(f"/keys/{lasting.row.id}/").json()["revoked_at"] is not None
    assert parts.people.caller_of_key(lasting.key) is None
    third = parts.people.issue("brief", "", None, BY_TEST)
    user = api("admin").get("/users/brief/")
    changed = api("admin").patch(
        "/users/brief/", json={"active": False}, headers={"If-Match": user.headers["ETag"]}
    )
    assert changed.json()["active"] is False
    assert parts.people.caller_of_key(third.key) is None


def test_a_secret_is_kept_as_a_hash_only(parts: Parts, keys: dict[str, str]) -> None:
    from sqlalchemy import text

    with parts.store.session() as session:
        rows = [str(dict(row)) for row in session.execute(text("select * from governance.keys")).mappings()]
    assert rows
    for key in keys.values():
        assert not any(key.rsplit("_", 1)[1][:20] in row for row in rows)


def test_a_caller_gets_so_many_requests_and_then_waits() -> None:
    rates = Rates(2.0)
    assert [rates.take("a", 0.0) for _ in range(21)] == [0] * 20 + [1]
    assert rates.take("b", 0.0) == 0
    assert rates.take("a", 0.4) == 1
    assert rates.take("a", 0.5) == 0
    assert rates.take("a", 0.5) == 1


def test_too_many_requests_are_429(parts: Parts, keys: dict[str, str]) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await problem(400, "it came in")(scope, receive, send)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Doors(inner, parts.people, parts.oidc, 0.1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            headers = {"X-API-Key": keys["viewer"]}
            return [await client.get(f"{PREFIX}/me/", headers=headers) for _ in range(2)]

    first, second = asyncio.run(ask())
    assert (first.status_code, second.status_code) == (400, 429)
    assert 1 <= int(second.headers["Retry-After"]) <= 10


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    answer = api("admin").post("/users/", content=b" " * (11 << 20))
    assert answer.status_code == 413

    def pieces() -> Any:
        for _ in range(11):
            yield b" " * (1 << 20)

    assert api("admin").post("/users/", content=pieces()).status_code == 413


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_a_key_may_stand_in_either_header(api: Api, keys: dict[str, str], header: str) -> None:
    value = keys["viewer"] if header == "X-API-Key" else f"Bearer {keys['viewer']}"
    assert api().get("/me/", headers={header: value}).json()["name"] == "a-viewer"
