"""Coming in with a key of the API, going out, and how light the pages are."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from web.api.doors import FAILURES
from web.api.parts import P
from web.api.rates import Rates
from web.console.gate import COOKIE, form_of, set_cookie
from web.console.rendering import THEME_COOKIE, THEMES, page, say
from web.console.sessions import Sessions

router = APIRouter()
YEAR = 365 * 24 * 3600


def _within(request: Request, target: str) -> str:
    """A path of the console; its first page for whatever leads elsewhere."""
    root = request.scope.get("root_path", "")
    parts = urlsplit(target)
    if (
        parts.scheme
        or parts.netloc
        or not target.startswith("/")
        or target.startswith("//")
        or "\\" in target
    ):
        return f"{root}/"
    return f"{root}{target}"


@router.get("/login")
def login(request: Request, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """Where a key is asked for."""
    if request.state.session is not None:
        return RedirectResponse(_within(request, next), 303)
    return page(request, "login.html", next=next, error="")


@router.post("/login")
def enter(request: Request, parts: P) -> Response:
    """A session for a key."""
    given = form_of(request)
    key, target = given.get("key", "").strip(), given.get("next", "/")
    failures = parts.kept.setdefault(Rates, Rates(FAILURES))
    sessions: Sessions = request.app.state.sessions
    token = sessions.begin(key)
    if token is None:
        wait = failures.take(request.client.host if request.client is not None else "")
        if wait:
            return page(request, "login.html", 429, next=target, error=say("login.often", seconds=wait))
        return page(request, "login.html", 401, next=target, error=say("login.wrong"))
    answer = RedirectResponse(_within(request, target), 303)
    set_cookie(answer, request, token)
    return answer


@router.post("/logout")
def leave(request: Request) -> Response:
    """The session ends here and everywhere."""
    sessions: Sessions = request.app.state.sessions
    sessions.end(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse(f"{request.scope.get('root_path', '')}/login", 303)
    answer.delete_cookie(COOKIE, path=request.scope.get("root_path", "") or "/")
    return answer


@router.post("/theme")
def theme(request: Request) -> Response:
    """Light, dark, or as the machine has it."""
    given = form_of(request)
    answer = RedirectResponse(_within(request, given.get("back", "/")), 303)
    wanted = given.get("theme", "")
    answer.set_cookie(
        THEME_COOKIE, wanted if wanted in THEMES else "auto", max_age=YEAR,
        path=request.scope.get("root_path", "") or "/", secure=request.url.scheme == "https", httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer
