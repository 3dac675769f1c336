"""Who may come in: API keys and bearer tokens, roles, rate limits, sizes.

`Doors` stands before the app and says 401, 413 and 429; what a role may do is said at each endpoint
(`Reader`, `Editor` ...), which answers 403.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog.governance.audit import Caller
from catalog.governance.people import ROLES, People, Role
from web.api.oidc import Oidc
from web.api.problems import Problem, problem
from web.api.rates import Rates

PREFIX = "/api/loyalty/v1"
#: What asks nobody who they are: it tells nothing of the operator.
OPEN = (f"{PREFIX}/openapi.json", f"{PREFIX}/docs")
#: Where a signature of the source's secret may stand in for a key; the endpoint checks it.
SIGNED = f"{PREFIX}/webhooks/customer-event"
SIGNATURE = "X-Khaywe-Signature"
#: Seconds for which a key once found is believed: a revoked one works no longer than that.
BELIEVED = 2.0
LARGEST_BODY = 10 << 20
#: Failed attempts a second from one address.
FAILURES = 20.0


class Doors:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, people: People, oidc: Oidc, rate: float) -> None:
        self._app = app
        self._people = people
        self._oidc = oidc
        self._rates = Rates(rate)
        self._failures = Rates(FAILURES)
        self._believed: dict[str, tuple[float, Caller]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(PREFIX) or path in OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        address = (scope.get("client") or ("",))[0]
        caller = None
        if SIGNATURE not in headers or path.rstrip("/") != SIGNED:
            caller = await self._caller(headers)
            if caller is None:
                wait = self._failures.take(address)
                answer = problem(
                    429 if wait else 401,
                    "too many attempts without a valid key" if wait else "no valid API key or bearer token",
                    headers={"Retry-After": str(wait)} if wait else {"WWW-Authenticate": "Bearer"},
                    hint="`khaywe api key create` makes a key; send it as X-API-Key",
                )
                await answer(scope, receive, send)
                return
        wait = self._rates.take(caller.user if caller is not None else f"signed {address}")
        if wait:
            answer = problem(
                429, f"more than your share: again in {wait} s", headers={"Retry-After": str(wait)}
            )
            await answer(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            await problem(413, f"a body has at most {LARGEST_BODY:,} bytes")(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, _limited(receive), send)

    async def _caller(self, headers: Headers) -> Caller | None:
        key = headers.get("x-api-key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if key is None and scheme.lower() == "bearer":
            key = token.strip()
        if not key:
            return None
        until, caller = self._believed.get(key, (0.0, None))
        if caller is not None and time.monotonic() < until:
            return caller
        caller = await to_thread.run_sync(self._ask, key)
        if caller is not None:
            if len(self._believed) > 10_000:
                self._believed.clear()
            self._believed[key] = (time.monotonic() + BELIEVED, caller)
        return caller

    def _ask(self, key: str) -> Caller | None:
        return self._people.caller_of_key(key) or self._oidc.caller(key)


def _limited(receive: Receive) -> Receive:
    """A body of no said length must end, too."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise HTTPException(413, f"a body has at most {LARGEST_BODY:,} bytes")
        return message

    return counted


_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key of `khaywe api key create`.")
_BEARER = HTTPBearer(auto_error=False, description="A key, or a token of the operator's OpenID provider.")


class Needs:
    """A dependency: the caller, if its role is one of `roles`; an admin may do everything."""

    def __init__(self, *roles: Role) -> None:
        self.roles = tuple(role for role in ROLES if role in roles or role == "admin")

    def __call__(
        self, request: Request, key: object = Security(_KEY), bearer: object = Security(_BEARER)
    ) -> Caller:
        """Raises Problem: 403."""
        caller: Caller = request.state.caller
        if caller.role not in self.roles:
            raise Problem(
                403,
                f"the role {caller.role} may not do this",
                hint=f"it takes {', '.join(self.roles)}",
            )
        return caller


class Guarded(APIRoute):
    """A route whose OpenAPI says, in `x-roles`, who may call it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        for roles in _roles(self.dependant):
            self.openapi_extra = {"x-roles": list(roles)} | (self.openapi_extra or {})


def _roles(dependant: Dependant) -> Iterator[tuple[Role, ...]]:
    for each in dependant.dependencies:
        if isinstance(each.call, Needs):
            yield each.call.roles


def guarded(*tags: str) -> APIRouter:
    """A router of such routes."""
    return APIRouter(tags=list(tags), route_class=Guarded)


#: Looks at anything that everybody may see.
Reader = Annotated[Caller, Depends(Needs(*ROLES))]
#: Edits rules as drafts, plans and tries.
Editor = Annotated[Caller, Depends(Needs("marketer", "approver"))]
#: Agrees with what others edited.
Approver = Annotated[Caller, Depends(Needs("approver"))]
#: Sends commands to customers.
Commander = Annotated[Caller, Depends(Needs("marketer", "approver", "system"))]
#: Sends events and runs synchronisations: an operator's system.
Machine = Annotated[Caller, Depends(Needs("system"))]
#: People, keys, connections, erasure.
Admin = Annotated[Caller, Depends(Needs("admin"))]
