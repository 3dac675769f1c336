"""Coming in with a key of the API or by the OpenID provider, going out, and how light the pages are."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from web.api.doors import FAILURES
from web.api.parts import P, Parts
from web.api.rates import Rates
from web.console.gate import COOKIE, form_of, set_cookie
from web.console.provider import AWAY_SECONDS, Leave, NoLogin, Provider
from web.console.rendering import THEME_COOKIE, THEMES, page, say
from web.console.sessions import Sessions

router = APIRouter()
YEAR = 365 * 24 * 3600
#: What the browser keeps while its user is at the provider.
LEAVE = "khaywe_login"


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


def _door(request: Request, parts: Parts, status: int = 200, next: str = "/", error: str = "") -> Response:
    return page(
        request, "login.html", status, next=next, error=error, provider=_provider(parts).name,
    )  # fmt: skip


def _provider(parts: Parts) -> Provider:
    found: Provider = parts.kept.setdefault(Provider, Provider(parts.settings, parts.oidc))
    return found


def _failed(request: Request, parts: Parts, next: str, words: str) -> Response:
    """The login again; who fails too often has to wait."""
    failures = parts.kept.setdefault(Rates, Rates(FAILURES))
    wait = failures.take(request.client.host if request.client is not None else "")
    if wait:
        return _door(request, parts, 429, next, say("login.often", seconds=wait))
    return _door(request, parts, 401, next, words)


@router.get("/login")
def login(request: Request, parts: P, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """Where a key is asked for."""
    if request.state.session is not None:
        return RedirectResponse(_within(request, next), 303)
    return _door(request, parts, next=next)


@router.post("/login")
def enter(request: Request, parts: P) -> Response:
    """A session for a key."""
    given = form_of(request)
    key, target = given.get("key", "").strip(), given.get("next", "/")
    sessions: Sessions = request.app.state.sessions
    token = sessions.begin(key)
    if token is None:
        return _failed(request, parts, target, say("login.wrong"))
    answer = RedirectResponse(_within(request, target), 303)
    set_cookie(answer, request, token)
    return answer


@router.get("/login/provider")
def go(request: Request, parts: P, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """To the OpenID provider, where there is one."""
    provider = _provider(parts)
    if not provider.name:
        raise HTTPException(404)
    try:
        target, leave = provider.begin(_back(request), next)
    except NoLogin as error:
        return _door(request, parts, 502, next, _told(error))
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        LEAVE, leave.cookie(), max_age=AWAY_SECONDS, path=_leave_path(request),
        secure=request.url.scheme == "https", httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


@router.get("/login/back")
def come(request: Request, parts: P) -> Response:
    """From the OpenID provider: a session for whom it vouches for."""
    provider = _provider(parts)
    leave = Leave.of(request.cookies.get(LEAVE, ""))
    if not provider.name:
        raise HTTPException(404)
    answer: Response
    if leave is None:
        answer = _failed(request, parts, "/", say("login.late"))
    else:
        try:
            caller = provider.end(leave, dict(request.query_params), _back(request))
        except NoLogin as error:
            answer = _failed(request, parts, leave.next, _told(error))
        else:
            if caller is None:
                answer = _failed(request, parts, leave.next, say("login.stranger", name=provider.name))
            else:
                sessions: Sessions = request.app.state.sessions
                answer = RedirectResponse(_within(request, leave.next), 303)
                by_provider = parts.settings.oidc_role_claim is not None
                set_cookie(answer, request, sessions.vouched(caller, by_provider))
    answer.delete_cookie(LEAVE, path=_leave_path(request))
    return answer


def _leave_path(request: Request) -> str:
    return f"{request.scope.get('root_path', '')}/login"


def _back(request: Request) -> str:
    """Where the provider sends the browser: this address must be known there."""
    return f"{request.url.scheme}://{request.url.netloc}{_leave_path(request)}/back"


def _told(error: NoLogin) -> str:
    return f"{error}. {error.hint}" if error.hint else str(error)


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
