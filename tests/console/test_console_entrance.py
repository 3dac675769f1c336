"""Who comes in to the console, how long, and what a page may do in a browser."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest
from sqlalchemy import text

from tests.console.conftest import As, Visit
from tests.served import BY_TEST
from web.api.parts import Parts
from web.console import sessions
from web.console.app import PATH
from web.console.gate import COOKIE, GUARD, POLICY
from web.console.rendering import HERE, PLACES, texts

#: What every admin may open without knowing an id.
PAGES = [
    *(target for _, target, _ in PLACES), "/missions/1/", "/missions/1/edit", "/missions/new", "/badges/1/1/",
    "/leaderboards/?by=risk", "/revisions/1/", "/sources/custom/", "/sources/new", "/products/new",
    "/sources/new?of=network", "/sources/custom/now", "/products/systems/new", "/notifications/new",
    "/pipeline/health", "/leaderboards/?by=badges&season=2026-Q1",
    "/models/churn/", "/people/audit", "/customers/?search=nobody", "/dead-letters/?replayed=all",
]  # fmt: skip


class _Inline(HTMLParser):
    """What a strict policy would not run: collected."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name == "style" or re.match(r"on|hx-on", name)]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_there_and_runs_nothing_of_its_own(visit: As, page: str) -> None:
    answer = visit("admin").client.get(page)
    assert answer.status_code == 200, answer.text[-2000:]
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    seen = _Inline()
    seen.feed(answer.text)
    assert seen.found == []
    assert "<h1" in answer.text


def test_strangers_are_sent_to_the_login_and_back(address: str, keys: dict[str, str]) -> None:
    with httpx.Client(base_url=f"{address}{PATH}") as stranger:
        sent = stranger.get("/customers/?search=1")
        assert (sent.status_code, sent.headers["Location"]) == (
            303, f"{PATH}/login?next=%2Fcustomers%2F%3Fsearch%3D1",
        )  # fmt: skip
        assert stranger.get("/live").status_code == 303
        assert stranger.post("/customers/x/redeem", data={"points": "1"}).status_code == 303
        assert stranger.get("/", headers={"HX-Request": "true"}).headers["HX-Redirect"] == f"{PATH}/login"
        assert 'name="next" value="/customers/?search=1"' in stranger.get(sent.headers["Location"][8:]).text
        wrong = stranger.post("/login", data={"key": "khaywe_000000000000_" + 43 * "x"})
        assert (wrong.status_code, COOKIE in wrong.cookies) == (401, False)
        assert texts()["login.wrong"] in wrong.text
        for next_, place in (
            ("/badges/", f"{PATH}/badges/"), ("//evil.example", f"{PATH}/"),
            ("https://evil.example", f"{PATH}/"), ("/\\evil.example", f"{PATH}/"),
        ):  # fmt: skip
            answer = stranger.post("/login", data={"key": keys["viewer"], "next": next_})
            assert (answer.status_code, answer.headers["Location"]) == (303, place)


def test_the_cookie_is_closed_and_of_it_only_a_hash_is_kept(
    address: str, keys: dict[str, str], parts: Parts
) -> None:
    with httpx.Client(base_url=f"{address}{PATH}") as client:
        said = client.post("/login", data={"key": keys["viewer"]}).headers["set-cookie"]
        assert "httponly" in said.lower()
        assert "samesite=lax" in said.lower()
        assert f"path={PATH}" in said.lower()
        assert "secure" not in said.lower()
        token = client.cookies[COOKIE]
        over_tls = httpx.post(
            f"{address}{PATH}/login", data={"key": keys["viewer"]}, headers={"X-Forwarded-Proto": "https"}
        )
        assert "secure" in over_tls.headers["set-cookie"].lower()
        with parts.store.session() as session:
            kept = session.execute(text("select hash, guard from console.sessions")).all()
        assert hashlib.sha256(token.encode()).digest() in {bytes(row.hash) for row in kept}
        assert token not in {row.guard for row in kept}
        guard = re.findall(rf'name="{GUARD}" value="([^"]+)"', client.get("/").text)[0]
        assert client.post("/logout", data={GUARD: guard}).status_code == 303
        assert COOKIE not in client.cookies
        assert client.get("/", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 303


def test_a_change_takes_a_form_of_ours(visit: As) -> None:
    me = visit("admin")
    for form in ({}, {GUARD: ""}, {GUARD: "x" * 43}):
        assert (
            me.client.post("/people/users", data=form | {"name": "eve", "role": "admin"}).status_code == 403
        )
    ours = {GUARD: me.guard, "name": "eve", "role": "admin"}
    for headers in (
        {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ):  # fmt: skip
        assert me.client.post("/people/users", data=ours, headers=headers).status_code == 403
        assert me.client.post("/login", data={"key": "x"}, headers=headers).status_code == 403
    assert "eve" not in me.get("/people/")
    assert me.client.post("/people/users", data=ours | {"name": "x" * (2 << 20)}).status_code == 413


def test_a_session_ends_with_its_key_and_has_the_role_of_now(address: str, parts: Parts) -> None:
    parts.people.add_user("leaver", "admin", BY_TEST)
    issued = parts.people.issue("leaver", "", None, BY_TEST)
    me = Visit(address, issued.key)
    assert me.get("/people/")
    version = parts.people.user("leaver").version
    parts.people.change_user("leaver", "viewer", None, version, BY_TEST)
    assert texts()["problem.role.title"] in me.get("/people/", 403)
    parts.people.revoke(issued.row.id, BY_TEST)
    assert me.client.get("/").status_code == 303


def test_a_token_is_exchanged_and_the_old_one_is_good_for_a_moment(
    address: str, keys: dict[str, str], parts: Parts
) -> None:
    me = Visit(address, keys["viewer"])
    old = me.client.cookies[COOKIE]
    hash = hashlib.sha256(old.encode()).digest()

    def aged(seconds: float, hash: bytes) -> None:
        with parts.store.session() as session:
            session.execute(
                text(
                    "update console.sessions set rotated_at = now() - make_interval(secs => :s) "
                    "where hash = :h or old_hash = :h"
                ),
                {"s": seconds, "h": hash},
            )

    aged(sessions.ROTATES.total_seconds() + 1, hash)
    me.get("/")
    new = me.client.cookies[COOKIE]
    assert new != old
    with httpx.Client(base_url=f"{address}{PATH}") as late:
        assert late.get("/badges/", headers={"Cookie": f"{COOKIE}={old}"}).status_code == 200
        aged(sessions.OVERLAP.total_seconds() + 1, hash)
        assert late.get("/badges/", headers={"Cookie": f"{COOKIE}={old}"}).status_code == 303
        assert late.get("/badges/", headers={"Cookie": f"{COOKIE}={new}"}).status_code == 200
        with parts.store.session() as session:
            session.execute(text("update console.sessions set seen_at = now() - interval '3 hours'"))
        assert late.get("/badges/", headers={"Cookie": f"{COOKIE}={new}"}).status_code == 303
        with parts.store.session() as session:
            session.execute(text("update console.sessions set seen_at = now()"))


def test_light_and_dark(visit: As) -> None:
    me = visit("viewer")
    assert 'data-theme="auto"' in me.get("/badges/")
    assert me.post("/theme", theme="dark", back="/badges/").headers["Location"] == f"{PATH}/badges/"
    assert 'data-theme="dark"' in me.get("/badges/")
    me.post("/theme", theme="nonsense", back="/badges/")
    assert 'data-theme="auto"' in me.get("/badges/")


def test_errors_are_pages_with_words(visit: As) -> None:
    me = visit("viewer")
    assert texts()["problem.missing.title"] in me.get("/nowhere", 404)
    assert "there is no mission template 999" in me.get("/missions/999/", 404)
    assert me.client.get("/missions/x/").status_code == 422
    part = me.client.get("/missions/999/", headers={"HX-Request": "true"})
    assert (part.status_code, part.text.startswith('<p class="note bad"')) == (404, True)


def test_a_search_of_anything_is_shown_as_text(visit: As) -> None:
    shown = visit("viewer").get("/customers/?search=%3Cscript%3Ealert(1)%3C/script%3E%00")
    assert "<script>alert" not in shown


def test_every_word_of_a_page_is_in_the_texts() -> None:
    known = texts()
    said = re.compile(r"""\bt\('([a-z_0-9.]+)'[,)]""")
    for path in sorted((HERE / "templates").glob("*.html")):
        missing = [key for key in said.findall(path.read_text()) if key not in known]
        assert missing == [], path.name
    spoken = re.compile(r"""\bsay\("([a-z_0-9.]+)"[,)]""")
    for path in sorted(HERE.glob("*.py")):
        assert [key for key in spoken.findall(path.read_text()) if key not in known] == [], path.name


def test_pages_write_no_side_but_a_logical_one() -> None:
    css = (HERE / "static" / "console.css").read_text()
    sided = re.findall(
        r"(?:margin|padding|border|inset)-(?:left|right|top|bottom)|\b(?:left|right):"
        r"|text-align: (?:left|right)",
        css,
    )
    assert sided == []


def test_what_is_vendored_has_its_licence() -> None:
    vendored = HERE / "static" / "vendor"
    for path in vendored.iterdir():
        if path.suffix in (".js", ".css"):
            name = re.sub(r"-\d.*", "", path.name)
            assert (vendored / f"{name}.LICENSE").exists(), path.name
