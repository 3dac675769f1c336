"""The app of `khaywe api`: doors, routers, errors, and the OpenAPI document with each endpoint's roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from web.api import (
    campaigns,
    commanding,
    customers,
    drafts,
    hub,
    letters,
    metrics,
    models,
    notifications,
    people,
    problems,
    products,
    projected,
    reference,
    revisions,
    rules,
    simulations,
    sources,
    webhooks,
)
from web.api.doors import PREFIX, Doors
from web.api.parts import Parts
from web.api.problems import MEDIA, ProblemBody
from web.console import app as console

ABOUT = """\
Loyalty and gamification for telecom operators.

Send a key (`khaywe api key create`) as `X-API-Key`, or a bearer token of the operator's OpenID provider.
Lists are paged: pass `next` as `cursor`. An edit names, in `If-Match`, the `ETag` of what was read. Errors
are `application/problem+json` and name the field.
"""
#: Requests that are worked on at once: those that wait for a command must not keep others out.
THREADS = 100
_PROBLEM = {MEDIA: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": _PROBLEM}
    for status, words in {
        "401": "No valid key or token.", "403": "The role may not do this.", "422": "Wrong input: the field.",
        "default": "Any other error.",
    }.items()
}  # fmt: skip


def create(parts: Parts) -> FastAPI:
    """The app on its parts, which it closes at its end."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        parts.close()

    app = FastAPI(
        title="khaywe",
        version=version("khaywe"),
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
        separate_input_output_schemas=False,
    )
    app.state.parts = parts
    app.add_middleware(Doors, people=parts.people, oidc=parts.oidc, rate=parts.settings.api_rate)
    problems.install(app)
    app.include_router(_routers(), prefix=PREFIX)

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return app.openapi()

    @app.get(f"{PREFIX}/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(
            reference.page(app.openapi()), headers={"Content-Security-Policy": reference.POLICY}
        )

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, Any]:
        return {"healthy": True, "revision": parts.content().revision}

    app.mount(console.PATH, console.create(parts))
    metrics.install(app, parts.settings)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _routers() -> APIRouter:
    whole = APIRouter(responses=_ERRORS)
    for prefix in ("/data-sources", "/config/data-sources"):
        whole.include_router(sources.router, prefix=prefix)
    whole.include_router(campaigns.router)  # before `campaigns/{number}/`
    for prefix, router in (
        ("/mission-templates", rules.templates), ("/badges", rules.badges), ("/offers", rules.offers),
        ("/earning-rules", rules.earning), ("/scoring-policy", rules.policy),
        ("/campaigns", rules.campaigns), ("/contact-policy", rules.contact),
        ("/prediction-policy", rules.predictions),
    ):  # fmt: skip
        whole.include_router(router, prefix=prefix)
    # In this order: `customers` has paths that stand before `missions/{mission_id}/`.
    for module in (
        webhooks, customers, projected, drafts, revisions, products, models, simulations, letters,
        people, commanding, notifications, hub,
    ):  # fmt: skip
        whole.include_router(module.router)
    return whole


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes,
            separate_input_output_schemas=False,
        )  # fmt: skip
        schemas = found["components"]["schemas"]
        for model in (ProblemBody, webhooks.Webhook):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = found
    return app.openapi_schema
