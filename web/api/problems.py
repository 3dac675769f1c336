"""Errors as `application/problem+json` (RFC 9457), with the field where there is one.

Whatever khaywe raises in words becomes a status here, in one table; what nobody foresaw is 500, and logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from agents.tail import KafkaAway, NoTopic
from catalog.connectors.pages import ConnectorError
from catalog.draft import DraftError
from catalog.governance.drafts import SamePerson
from catalog.governance.people import Stale
from catalog.product_sync import NoSuchSystem
from catalog.products import NoSuchProduct, ProductChanged
from catalog.service import Away, NoSuch, Taken, Unfit
from config.errors import KhayweError
from web.ask_worker import NoAnswer, UnknownCustomer, UnknownName

log = logging.getLogger(__name__)

MEDIA = "application/problem+json"
#: An error of khaywe's -> status; the first that fits counts.
STATUSES: list[tuple[type[KhayweError], int]] = [
    (Stale, 412),
    (SamePerson, 403),
    (NoSuch, 404),
    (NoSuchProduct, 404),
    (NoSuchSystem, 404),
    (ProductChanged, 412),
    (ConnectorError, 502),
    (UnknownCustomer, 404),
    (UnknownName, 404),
    (Unfit, 422),
    (DraftError, 422),
    (Taken, 409),
    (Away, 503),
    (KafkaAway, 503),
    (NoTopic, 503),
    (NoAnswer, 503),
    (KhayweError, 409),
]
_TITLES = {
    400: "Bad request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found",
    405: "No such method", 409: "Conflict", 412: "Changed meanwhile", 413: "Too large", 422: "Wrong input",
    428: "If-Match is missing", 429: "Too many requests", 500: "A defect of khaywe",
    502: "Another system failed", 503: "Not available now",
}  # fmt: skip


class FieldFault(BaseModel):
    """A field, and what is wrong with it."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """What every error looks like."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Wrong input",
                    "status": 422,
                    "detail": "priority: Input should be a valid integer",
                    "errors": [{"field": "priority", "message": "Input should be a valid integer"}],
                }
            ]
        },
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str | None = None
    errors: list[FieldFault] | None = None


class Problem(Exception):
    """An error that a router knows; `more` are further members."""

    def __init__(self, status: int, detail: str, fields: Iterable[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = list(fields)
        self.more = more


def problem(
    status: int, detail: str, fields: Iterable[tuple[str, str]] = (), headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:  # fmt: skip
    """The response."""
    faults = [{"field": field, "message": message} for field, message in fields]
    body: dict[str, Any] = {
        "type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail,
    }  # fmt: skip
    body |= {"errors": faults} if faults else {}
    body |= {name: value for name, value in more.items() if value not in (None, "")}
    return JSONResponse(body, status, headers, MEDIA)


def faults_of_request(error: RequestValidationError) -> list[tuple[str, str]]:
    """Fields by dotted path, without where they stand (`body`, `query`, `path`)."""
    found = []
    for fault in error.errors():
        place = [str(step) for step in fault["loc"]]
        if fault["type"] == "json_invalid":
            found.append(("body", f"no JSON: {fault.get('ctx', {}).get('error', fault['msg'])}"))
            continue
        path = ".".join(place[1:]) or place[0]
        message = str(fault["msg"]).removeprefix("Value error, ")
        if len(place) == 1 and fault["type"] == "value_error" and ": " in message:
            path, message = message.split(": ", 1)  # of the body as a whole: it says the field itself
        found.append((path, message))
    return found


def of_khaywe(error: KhayweError) -> JSONResponse:
    """The response to an error of khaywe's own."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    fields: list[tuple[str, str]] = []
    faults = getattr(error, "faults", [])
    if isinstance(faults, dict):
        fields = list(faults.items())
    elif isinstance(error, Unfit):
        fields = faults
    if fields:
        status = 422
    detail = "; ".join(f"{field}: {message}" if field else message for field, message in fields) or str(error)
    return problem(status, detail, fields, hint=error.hint)


def install(app: FastAPI) -> None:
    """Answer every error so."""

    @app.exception_handler(Problem)
    async def _known(request: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.detail, error.fields, **error.more)

    @app.exception_handler(KhayweError)
    async def _ours(request: Request, error: KhayweError) -> JSONResponse:
        return of_khaywe(error)

    @app.exception_handler(RequestValidationError)
    async def _input(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = faults_of_request(error)
        return problem(422, "; ".join(f"{field}: {message}" for field, message in faults), faults)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return problem(500, f"unexpected {type(error).__name__}; the log of `khaywe api` says more")
