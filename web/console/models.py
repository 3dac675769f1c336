"""Models: what each foretells, how good it is, and which version counts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from web.api import models as governed
from web.api.doors import Admin, Reader
from web.api.parts import P
from web.console.gate import form_of
from web.console.rendering import page

router = APIRouter()


@router.get("/models/")
def models(request: Request, parts: P, caller: Reader) -> Response:
    """A card each."""
    return page(request, "models.html", models=governed.models(parts, caller, 100, None).items)


@router.get("/models/{name}/")
def model(request: Request, parts: P, caller: Reader, name: governed.Name) -> Response:
    """The card of the version that counts, whole."""
    return page(request, "model.html", model=governed.model(parts, caller, name))


@router.post("/models/{name}/activate")
def activate(request: Request, parts: P, caller: Admin, name: governed.Name) -> Response:
    """Another version counts."""
    given = governed.Version(version=form_of(request).get("version", ""))
    governed.activate(parts, caller, name, given)
    return RedirectResponse(f"{request.scope['root_path']}/models/{name}/", 303)
