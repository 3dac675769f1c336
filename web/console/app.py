"""The console as an app that `web.api.app` mounts at `/console`: gate, pages, static files, errors."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from config.errors import KhayweError
from web.api.parts import Parts
from web.api.problems import STATUSES, Problem, faults_of_request
from web.console import (
    arriving,
    badges,
    campaign_editor,
    campaigns,
    customers,
    drafts,
    entrance,
    leaderboards,
    letters,
    missions,
    models,
    notifications,
    offers,
    overview,
    people,
    pipeline,
    policy,
    products,
    sources,
    systems,
)
from web.console.gate import Gate
from web.console.rendering import HERE, problem_page
from web.console.sessions import Sessions

PATH = "/console"
#: What a status is called in the texts, where an error says no more.
_REASONS = {
    401: "away", 403: "role", 404: "missing", 405: "missing", 409: "conflict", 412: "changed",
    413: "large", 422: "input", 429: "often", 502: "other", 503: "away",
}  # fmt: skip


class Versioned(StaticFiles):
    """Files that change with the version in their address, so that they may be kept."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        found = await super().get_response(path, scope)
        found.headers["Cache-Control"] = "max-age=86400"
        return found


def create(parts: Parts) -> FastAPI:
    """The console on the API's parts."""
    app = FastAPI(title="khaywe console", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    app.state.sessions = Sessions(parts.store, parts.people)
    app.add_middleware(Gate, sessions=app.state.sessions)
    app.mount("/static", Versioned(directory=HERE / "static"), name="static")
    for module in (
        entrance, overview, customers, missions, campaign_editor, campaigns, badges, offers, policy, drafts,
        products, sources, letters, pipeline, models, people, systems, arriving, notifications, leaderboards,
    ):  # fmt: skip
        app.include_router(module.router)
    _errors(app)
    return app


def _errors(app: FastAPI) -> None:
    """Every error as a page in words."""

    @app.exception_handler(Problem)
    async def _known(request: Request, error: Problem) -> Response:
        return problem_page(
            request, error.status, _REASONS.get(error.status, "defect"), error.detail, error.more.get("hint")
        )

    @app.exception_handler(KhayweError)
    async def _ours(request: Request, error: KhayweError) -> Response:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        return problem_page(request, status, _REASONS.get(status, "defect"), str(error), error.hint)

    @app.exception_handler(RequestValidationError)
    async def _input(request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{field}: {message}" for field, message in faults_of_request(error))
        return problem_page(request, 422, "input", faults)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return problem_page(request, error.status_code, _REASONS.get(error.status_code, "defect"))
