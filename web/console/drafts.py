"""Drafts of the rules: what they change, approved by a second person, published, simulated; and revisions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from starlette.responses import RedirectResponse

from catalog.governance.drafts import STATUSES
from catalog.governance.models import SimulationRow
from web.api import drafts as governed
from web.api import revisions as revised
from web.api import simulations as simulated
from web.api.doors import Approver, Editor, Reader
from web.api.drafts import Id
from web.api.parts import P
from web.api.revisions import Number
from web.api.simulating import RUNNING
from web.console.gate import form_of
from web.console.rendering import page

router = APIRouter()
SHOWN = 50
Cursor = Annotated[str | None, Query(max_length=2000)]


@router.get("/drafts/")
def drafts(request: Request, parts: P, caller: Reader, status: str = "", cursor: Cursor = None) -> Response:
    """Drafts and revisions, the newest first."""
    wanted: Any = status if status in STATUSES else None
    found = governed.drafts(parts, caller, wanted, SHOWN, cursor)
    revisions = revised.revisions(parts, caller, 20, None)
    values = {"drafts": found.model_dump(), "revisions": revisions.items}
    return page(request, "drafts.html", chosen=wanted or "", statuses=STATUSES, **values)


@router.get("/drafts/{id}/")
def draft(request: Request, parts: P, caller: Reader, id: Id) -> Response:
    """What it changes, who did what, and what may be done now."""
    row = parts.drafts.get(id)
    found = governed.view(parts, row)
    with parts.store.session() as session:
        newest = select(SimulationRow).order_by(SimulationRow.id.desc()).limit(100)
        runs = [each for each in session.scalars(newest) if each.asked.get("draft") == id][:5]
    return page(
        request, "draft.html", draft=found, draft_version=row.version, runs=runs,
        running=any(each.status == RUNNING for each in runs), mine=caller.user in row.authors,
    )  # fmt: skip


@router.get("/drafts/{id}/simulations")
def runs(request: Request, parts: P, caller: Reader, id: Id) -> Response:
    """Simulations of a draft, as a part of its page."""
    with parts.store.session() as session:
        newest = select(SimulationRow).order_by(SimulationRow.id.desc()).limit(100)
        found = [each for each in session.scalars(newest) if each.asked.get("draft") == id][:5]
    return page(
        request, "part_runs.html", draft={"id": id}, runs=found,
        running=any(each.status == RUNNING for each in found),
    )  # fmt: skip


def _version(request: Request) -> str:
    return form_of(request).get("version", "")


def _back(request: Request, id: int) -> Response:
    return RedirectResponse(f"{request.scope['root_path']}/drafts/{id}/", 303)


@router.post("/drafts/{id}/approve")
def approve(request: Request, parts: P, caller: Approver, id: Id) -> Response:
    """By a second person."""
    governed.approve(parts, caller, id, _version(request), Response())
    return _back(request, id)


@router.post("/drafts/{id}/publish")
def publish(request: Request, parts: P, caller: Editor, id: Id) -> Response:
    """It becomes a revision."""
    governed.publish(parts, caller, id, _version(request), Response())
    return _back(request, id)


@router.post("/drafts/{id}/withdraw")
def withdraw(request: Request, parts: P, caller: Editor, id: Id) -> Response:
    """It is given up."""
    governed.withdraw(parts, caller, id, _version(request), Response())
    return _back(request, id)


@router.post("/drafts/{id}/simulate")
def simulate(request: Request, parts: P, caller: Editor, id: Id) -> Response:
    """What it would have done."""
    simulated.simulate(parts, caller, simulated.NewSimulation(draft=id, since=None, until=None), Response())
    return _back(request, id)


@router.get("/revisions/{number}/")
def revision(request: Request, parts: P, caller: Reader, number: Number) -> Response:
    """What a revision changed."""
    found = revised.compare(parts, caller, number, None)
    about = parts.catalog.revisions(number + 1, 1)
    return page(
        request, "revision.html", number=number, changes=found["changes"], about=about[0] if about else None,
        newest=parts.content().revision,
    )  # fmt: skip


@router.post("/revisions/{number}/restore")
def restore(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """A draft that goes back to a revision."""
    found = revised.restore(parts, caller, number, Response())
    return _back(request, found["id"])
