"""Who may come in to the console: the session's cookie, forms from our own pages only, safe headers.

`Gate` stands before all pages.  It says who asks, in `request.state.caller`, where the API's roles look for
it: so `Reader`, `Editor`, `Approver`, `Admin` of `web.api.doors` guard pages as they guard endpoints.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.errors import KhayweError
from web.console.sessions import LASTS, Sessions

log = logging.getLogger(__name__)

#: Nothing but our own files; no script and no style inside a page.
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
        "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
COOKIE = "khaywe_session"
#: Where nobody asks who one is.
OPEN = ("/static/", "/login", "/theme")
GUARD = "guard"
GUARD_HEADER = "X-Khaywe-Guard"
#: Bytes of a form: the longest has a sample record in it.
LARGEST_FORM = 1 << 20
_SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or send it to the login."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        state = scope.setdefault("state", {})
        state["session"] = None
        state["form"] = {}
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        fresh: str | None = None
        begun = False
        changing = scope["method"] not in ("GET", "HEAD")

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _SAFE.items():
                    headers.setdefault(name, value)
                # Pages have customers on them: nobody else's cache keeps one.
                headers.setdefault("Cache-Control", "no-store")
                if fresh is not None:
                    carrier = Response()
                    set_cookie(carrier, request, fresh)
                    headers.append("set-cookie", carrier.headers["set-cookie"])
            await send(message)

        token = request.cookies.get(COOKIE, "")
        whole = not changing and "hx-request" not in request.headers and path != "/live"
        if token and not path.startswith("/static/"):
            try:
                session = await to_thread.run_sync(self._sessions.find, token, whole)
            except KhayweError as error:
                await away(request, error)(scope, receive, answer)
                return
            if session is not None:
                state["session"], state["caller"], fresh = session, session.caller, session.fresh
        if changing:
            if not _from_us(request.headers, request.url.scheme):
                await refuse(request, 403, "foreign")(scope, receive, answer)
                return
            body = b""
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM:
                    await refuse(request, 413, "large")(scope, receive, answer)
                    return
            try:
                pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000)
            except ValueError:
                pairs = []
            state["form"] = dict(pairs)
            state["pairs"] = pairs
        open_ = path.startswith(OPEN)
        if not open_ and state["session"] is None:
            await _to_login(request, root, path)(scope, receive, answer)
            return
        if changing and not open_:
            given = request.headers.get(GUARD_HEADER) or state["form"].pop(GUARD, "")
            if not state["session"].guarded_by(given):
                await refuse(request, 403, "stale")(scope, receive, answer)
                return
        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            log.error("%s %s", scope["method"], scope["path"], exc_info=error)
            if begun:
                raise
            await refuse(request, 500, "defect")(scope, receive, answer)


def away(request: Request, error: KhayweError) -> Response:
    """A page that says that PostgreSQL is away."""
    from web.console.rendering import problem_page

    return problem_page(request, 503, "away", str(error), error.hint)


def refuse(request: Request, status: int, reason: str) -> Response:
    """A page that says why not; `reason` is a key of the texts."""
    from web.console.rendering import problem_page

    return problem_page(request, status, reason)


def _to_login(request: Request, root: str, path: str) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": f"{root}/login"})
    target = f"{root}/login"
    if request.method == "GET" and path not in ("", "/", "/live"):
        query = f"?{request.url.query}" if request.url.query else ""
        target = str(request.url.replace(path=target, query="").include_query_params(next=f"{path}{query}"))
        parts = urlsplit(target)
        target = f"{parts.path}?{parts.query}"
    return RedirectResponse(target, 303)


def _from_us(headers: Headers, scheme: str) -> bool:
    """Whether a change comes from a page of ours, as the browser says."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def set_cookie(response: Response, request: Request, token: str) -> None:
    """Give the browser a token; over TLS it is never sent without."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LASTS.total_seconds()),
        path=request.scope.get("root_path", "") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a form that was sent."""
    found: dict[str, str] = request.state.form
    return found
