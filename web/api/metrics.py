"""`/metrics` of the API: requests by route and status, how long they took, who was told to wait, the process.

Open on this machine; where KHAYWE_API_HOST is another address, it asks for a key as a worker's views do.
"""

from __future__ import annotations

import time

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.settings import Settings
from web.api.problems import problem
from web.keys import HEADER, Keys

#: The API's own: metrics of a worker that are loaded with it, and stand still here, are no business of it.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
REQUESTS = Counter(
    "khaywe_api_requests_total",
    "Requests that were answered.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "khaywe_api_request_seconds",
    "Time from the request's headers to the end of the answer.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
LIMITED = Counter(
    "khaywe_api_rate_limited_total", "Requests above a caller's share, answered 429.", registry=REGISTRY
)
#: The route of what was turned away at the doors, or is nowhere: paths that people make up are no labels.
OTHER = "other"
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class Measured:
    """ASGI middleware, outside of all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            REQUESTS.labels(method, route, str(status)).inc()
            SECONDS.labels(method, route).observe(time.perf_counter() - began)
            if status == 429:
                LIMITED.inc()


def _route(scope: Scope) -> str:
    """The template of the path.  FastAPI's lacks the prefixes of routers around it."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return OTHER
    before = scope["path"].split("/")[: -template.count("/")]
    return "/".join(before) + str(template)


def install(app: FastAPI, settings: Settings) -> None:
    """Measure an app, and let `/metrics` show it."""
    keys = Keys(settings, settings.api_host)
    app.add_middleware(Measured)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        shown = request.headers.get(HEADER) or (token.strip() if scheme.lower() == "bearer" else None)
        if not await keys.allow(shown):
            return problem(
                401,
                "no key",
                headers={"WWW-Authenticate": "Bearer"},
                hint=f"show KHAYWE_WORKER_KEY, or a key of the API, as {HEADER} or bearer token",
            )
        return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
