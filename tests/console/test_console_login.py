"""Logging in to the console at an OpenID provider, which is a real one over HTTP."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import text

from tests.console.issuer import CLIENT, SECRET, Issuer
from tests.served import BY_TEST
from web.api.app import create
from web.api.oidc import Oidc
from web.api.parts import Parts
from web.console.app import PATH
from web.console.entrance import LEAVE
from web.console.gate import COOKIE, GUARD
from web.console.rendering import texts


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _as_it_should_be(request: pytest.FixtureRequest) -> None:
    if "issuer" in request.fixturenames:
        found = request.getfixturevalue("issuer")
        found.refuse, found.bend, found.signs, found.discovery = "", {}, found.key, {}


@contextmanager
def _served(parts: Parts, **settings: Any) -> Iterator[str]:
    """The app with other settings, on the same services."""
    changed = parts.settings.model_copy(update=settings)
    mine = replace(parts, settings=changed, oidc=Oidc(changed, parts.people), kept={})
    server = uvicorn.Server(uvicorn.Config(create(mine), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def at(parts: Parts, keys: dict[str, str], issuer: Issuer) -> Iterator[str]:
    """The console of an operator that has a provider; roles are khaywe's own."""
    parts.people.add_user("olga", "marketer", BY_TEST)
    settings = {"oidc_issuer": issuer.url, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    with _served(parts, **settings) as address:
        yield f"{address}{PATH}"


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """Keeps cookies, follows nothing."""
    with httpx.Client(timeout=60) as client:
        yield client


def _answer(browser: httpx.Client, at: str, next: str = "/") -> str:
    """The way to the provider; where it sends the browser."""
    left = browser.get(f"{at}/login/provider", params={"next": next})
    assert left.status_code == 303, left.text
    return browser.get(left.headers["Location"]).headers["Location"]


def test_somebody_logs_in_at_the_provider(
    at: str, issuer: Issuer, browser: httpx.Client, parts: Parts
) -> None:
    issuer.user = "olga"
    assert f"{PATH}/login/provider?next=%2Fbadges%2F" in browser.get(f"{at}/login?next=/badges/").text
    back = _answer(browser, at, "/badges/")
    assert back.startswith(f"{at}/login/back?")
    come = browser.get(back)
    assert (come.status_code, come.headers["Location"]) == (303, f"{PATH}/badges/")
    assert LEAVE not in browser.cookies
    page = browser.get(f"{at}/badges/").text
    assert "<b>olga</b>" in page
    assert "/people/" not in page
    assert browser.get(f"{at}/people/").status_code == 403
    with parts.store.session() as session:
        entered = session.execute(
            text("select via from governance.audit where \"user\" = 'olga' and action = 'enter'")
        ).scalars()
        assert set(entered) == {"oidc"}
    # The role is that of now, and who is switched off is out at once.
    version = parts.people.change_user(
        "olga", "admin", None, parts.people.user("olga").version, BY_TEST
    ).version
    assert browser.get(f"{at}/people/").status_code == 200
    version = parts.people.change_user("olga", "marketer", False, version, BY_TEST).version
    assert browser.get(f"{at}/badges/").status_code == 303
    parts.people.change_user("olga", None, True, version, BY_TEST)
    assert browser.get(f"{at}/badges/").status_code == 200
    guard = re.findall(rf'name="{GUARD}" value="([^"]+)"', browser.get(f"{at}/").text)[0]
    token = browser.cookies[COOKIE]
    browser.post(f"{at}/logout", data={GUARD: guard})
    assert browser.get(f"{at}/", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 303


def test_what_the_browser_is_sent_with(at: str, browser: httpx.Client) -> None:
    seen = []
    for _ in range(2):
        left = browser.get(f"{at}/login/provider", params={"next": "/"})
        said = left.headers["set-cookie"].lower()
        assert all(word in said for word in ("httponly", "samesite=lax", f"path={PATH}/login", "max-age=600"))
        asked = {
            name: values[0] for name, values in parse_qs(urlsplit(left.headers["Location"]).query).items()
        }
        assert asked["redirect_uri"] == f"{at}/login/back"
        assert SECRET not in left.headers["Location"]
        seen += [asked["state"], asked["nonce"], asked["code_challenge"]]
    assert len(set(seen)) == 6
    assert all(len(each) >= 43 for each in seen)


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    at: str, issuer: Issuer, browser: httpx.Client
) -> None:
    issuer.user = "olga"
    back = _answer(browser, at)
    with httpx.Client() as another:
        # Somebody else's answer: this browser never asked.
        assert another.get(back).status_code == 401
        assert COOKIE not in another.cookies
        # It asked, for another login.
        another.get(f"{at}/login/provider")
        refused = another.get(back)
        assert (refused.status_code, COOKIE in another.cookies) == (401, False)
        assert LEAVE not in another.cookies
    wrong = back.replace("state=", "state=x")
    kept = browser.cookies[LEAVE]
    assert browser.get(wrong).status_code == 401
    again = {"Cookie": f"{LEAVE}={kept}"}
    assert browser.get(back.replace("iss=", "iss=http%3A%2F%2Fevil"), headers=again).status_code == 401
    assert browser.get(back, headers=again).status_code == 303
    assert browser.get(back, headers=again).status_code == 401
    assert issuer.refused[-1] == "invalid_grant"
    for cookie in ("", "x", "e30", kept[:-9] + "A" * 9, "A" * 3000):
        assert httpx.get(back, headers={"Cookie": f"{LEAVE}={cookie}"}).status_code == 401, cookie


@pytest.mark.parametrize(
    "bent",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": [CLIENT, "another"]},
        {"azp": "another"}, {"iss": "http://elsewhere"}, {"exp": 1}, {"exp": None}, {"iat": None},
        {"sub": "stranger"}, {"sub": None}, {"aud": "khaywe"},
    ],
)  # fmt: skip
def test_a_token_that_is_none_of_ours_opens_nothing(
    at: str, issuer: Issuer, browser: httpx.Client, bent: dict[str, Any]
) -> None:
    issuer.user, issuer.bend = "olga", bent
    come = browser.get(_answer(browser, at))
    assert (come.status_code, COOKIE in browser.cookies) == (401, False)
    assert "no active user here" in come.text


def test_a_token_signed_by_another_opens_nothing(at: str, issuer: Issuer, browser: httpx.Client) -> None:
    issuer.user = "olga"
    issuer.signs = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert browser.get(_answer(browser, at)).status_code == 401
    issuer.signs, issuer.bend = issuer.key, {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert browser.get(_answer(browser, at)).status_code == 303


def test_who_does_not_agree_is_told_so(at: str, issuer: Issuer, browser: httpx.Client) -> None:
    issuer.refuse = "access_denied"
    come = browser.get(_answer(browser, at, "/badges/"))
    assert (come.status_code, "access_denied" in come.text) == (401, True)
    assert "next=%2Fbadges%2F" in come.text


def test_nobody_is_led_elsewhere(at: str, issuer: Issuer, browser: httpx.Client) -> None:
    issuer.user = "olga"
    for next in ("//evil.example", "https://evil.example/", "/\\evil.example"):
        assert browser.get(_answer(browser, at, next)).headers["Location"] == f"{PATH}/"


def test_roles_may_be_the_providers(parts: Parts, issuer: Issuer, browser: httpx.Client) -> None:
    settings = {
        "oidc_issuer": issuer.url, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET,
        "oidc_role_claim": "roles",
    }  # fmt: skip
    with _served(parts, **settings) as address:
        at = f"{address}{PATH}"
        issuer.user, issuer.roles = "nobody-here", ["viewer", "admin", "king"]
        assert browser.get(_answer(browser, at)).status_code == 303
        assert browser.get(f"{at}/people/").status_code == 200
        browser.cookies.clear()
        issuer.roles = ["king"]
        assert browser.get(_answer(browser, at)).status_code == 401


def test_a_provider_that_cannot_be_used_is_said_so(
    parts: Parts, issuer: Issuer, browser: httpx.Client
) -> None:
    settings = {"oidc_issuer": issuer.url, "oidc_client_id": CLIENT, "oidc_client_secret": "wrong"}
    for bent in ({"issuer": "http://another"}, {"authorization_endpoint": "javascript:x"}, {}):
        issuer.discovery = bent
        with _served(parts, **settings) as address:
            at = f"{address}{PATH}"
            left = browser.get(f"{at}/login/provider")
            if bent:
                assert left.status_code == 502
                assert LEAVE not in browser.cookies
            else:
                come = browser.get(browser.get(left.headers["Location"]).headers["Location"])
                assert (come.status_code, "invalid_client" in come.text) == (401, True)
                assert browser.get(f"{at}/login").status_code == 200
    with _served(parts, **settings | {"oidc_issuer": "http://127.0.0.1:9"}) as address:
        assert browser.get(f"{address}{PATH}/login/provider").status_code == 502


def test_without_a_provider_there_is_only_the_key(address: str) -> None:
    page = httpx.get(f"{address}{PATH}/login").text
    assert texts()["login.or"] not in page
    for path in ("provider", "back"):
        assert httpx.get(f"{address}{PATH}/login/{path}").status_code == 404


def test_sessions_of_before_go_on(parts: Parts, keys: dict[str, str]) -> None:
    from web.console.sessions import Sessions

    token = Sessions(parts.store, parts.people).begin(keys["viewer"])
    assert token is not None
    with parts.store.session() as session:
        session.execute(text("delete from console.sessions where key_id is null"))
        session.execute(text('alter table console.sessions drop column "user", drop column role'))
        session.execute(text("alter table console.sessions alter column key_id set not null"))
    found = Sessions(parts.store, parts.people).find(token)
    assert found is not None
    assert found.caller.role == "viewer"
