"""Users, keys, the audit log; and tokens of an OpenID provider that the test runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.served import BY_TEST, Api
from web.api.oidc import Oidc
from web.api.parts import Parts

AUDIENCE = "khaywe"


def test_users_are_added_and_changed(api: Api) -> None:
    admin = api("admin")
    made = admin.post("/users/", json={"name": "zoe@example.com", "role": "marketer"})
    assert made.status_code == 201
    assert admin.post("/users/", json={"name": "zoe@example.com", "role": "viewer"}).status_code == 409
    path = "/users/zoe@example.com/"
    assert admin.get(path).headers["ETag"] == made.headers["ETag"]
    assert admin.patch(path, json={"role": "approver"}).status_code == 428
    changed = admin.patch(path, json={"role": "approver"}, headers={"If-Match": made.headers["ETag"]})
    assert changed.json()["role"] == "approver"
    late = admin.patch(path, json={"role": "viewer"}, headers={"If-Match": made.headers["ETag"]})
    assert late.status_code == 412
    assert admin.get("/users/nobody/").status_code == 404
    names = [each["name"] for each in admin.get("/users/", params={"limit": 500}).json()["items"]]
    assert names == sorted(names)
    told = admin.get("/audit/", params={"resource": "users/zoe"}).json()["items"]
    assert [(each["before"] or {}).get("role") for each in told] == ["marketer", None]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "a b", "role": "viewer"}, "name"),
        ({"role": "viewer"}, "name"),
        ({"name": "x", "role": "viewer", "colour": 1}, "colour"),
    ],
)
def test_a_user_that_cannot_be_names_its_field(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api("admin").post("/users/", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_the_last_admin_stays(api: Api, parts: Parts) -> None:
    admin = api("admin")
    for each in admin.get("/users/", params={"limit": 500}).json()["items"]:
        if each["role"] == "admin" and each["name"] != "a-admin":
            tag = {"If-Match": admin.get(f"/users/{each['name']}/").headers["ETag"]}
            assert admin.patch(f"/users/{each['name']}/", json={"role": "viewer"}, headers=tag).is_success
    tag = {"If-Match": admin.get("/users/a-admin/").headers["ETag"]}
    for change in ({"role": "viewer"}, {"active": False}):
        assert admin.patch("/users/a-admin/", json=change, headers=tag).status_code == 409
    assert parts.people.user("a-admin").role == "admin"


def test_a_key_is_shown_once(api: Api) -> None:
    admin = api("admin")
    made = admin.post("/keys/", json={"user": "a-viewer", "note": "for a test"}).json()
    assert api(key=made["key"]).get("/me/").json()["name"] == "a-viewer"
    listed = admin.get("/keys/", params={"user": "a-viewer", "limit": 500}).json()["items"]
    [found] = [each for each in listed if each["id"] == made["id"]]
    assert made["key"] not in json.dumps(found)
    assert admin.post("/keys/", json={"user": "nobody"}).status_code == 404
    past = admin.post("/keys/", json={"user": "a-viewer", "expires_at": "2020-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["errors"][0]["field"]) == (422, "expires_at")
    assert admin.delete("/keys/000000000000/").status_code == 404
    told = admin.get("/audit/", params={"resource": f"keys/{made['id']}"}).json()["items"]
    assert [each["action"] for each in told] == ["create"]
    assert made["key"].rsplit("_", 1)[1] not in json.dumps(told)


@pytest.fixture
def provider() -> Iterator[tuple[str, rsa.RSAPrivateKey]]:
    """An OpenID provider: its issuer, and its private key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "one", "use": "sig", "alg": "RS256"}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, HTTPServer)
            issuer = f"http://127.0.0.1:{self.server.server_port}"
            discovery = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
            body = json.dumps(discovery if "openid" in self.path else {"keys": [public]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody listens."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", key
    server.shutdown()
    server.server_close()


def test_a_token_of_the_provider_counts(parts: Parts, provider: tuple[str, rsa.RSAPrivateKey]) -> None:
    issuer, key = provider
    parts.people.add_user("oidc-user", "marketer", BY_TEST)
    settings = parts.settings.model_copy(update={"oidc_issuer": issuer})
    doors = Oidc(settings, parts.people)

    def token(signed_by: Any = key, algorithm: str = "RS256", **claims: Any) -> str:
        body = {"iss": issuer, "aud": AUDIENCE, "sub": "oidc-user", "exp": time.time() + 60} | claims
        return jwt.encode(
            {name: value for name, value in body.items() if value is not None}, signed_by, algorithm,
            headers={"kid": "one"},
        )  # fmt: skip

    found = doors.caller(token())
    assert found is not None
    assert (found.user, found.role, found.via) == ("oidc-user", "marketer", "oidc")
    for wrong in (
        token(exp=time.time() - 120),
        token(exp=None),
        token(aud="another"),
        token(iss="http://elsewhere"),
        token(sub="stranger"),
        token(signed_by=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        token(signed_by="a secret of sufficient length to be a key", algorithm="HS256"),
        jwt.encode({"sub": "oidc-user"}, "", "none"),
        "a.b.c",
    ):
        assert doors.caller(wrong) is None
    # Where the provider says roles, its word counts, the highest first.
    by_claim = Oidc(settings.model_copy(update={"oidc_role_claim": "roles"}), parts.people)
    named = by_claim.caller(token(sub="stranger", roles=["viewer", "approver", "king"]))
    assert named is not None
    assert (named.user, named.role) == ("stranger", "approver")
    assert by_claim.caller(token(roles=["king"])) is None
    assert Oidc(parts.settings, parts.people).caller(token()) is None
