"""Drafts of the rules: what they change, approved by a second person, published, simulated; and revisions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from starlette.responses import RedirectResponse

from catalog.governance import rules
from catalog.governance.drafts import APPROVED, DRAFT, STATUSES
from catalog.governance.models import DraftRow, SimulationRow
from catalog.service import Unfit
from web.api import drafts as governed
from web.api import revisions as revised
from web.api import simulations as simulated
from web.api.doors import Approver, Editor, Reader
from web.api.drafts import Id
from web.api.parts import P, Parts
from web.api.revisions import Number
from web.api.simulating import RUNNING
from web.console import policy
from web.console.gate import form_of
from web.console.rendering import page

router = APIRouter()
SHOWN = 50
#: Revisions below the drafts, and those that one may be compared with.
NEWEST, COMPARED = 10, 200
Cursor = Annotated[str | None, Query(max_length=2000)]


@router.get("/drafts/")
def drafts(request: Request, parts: P, caller: Reader, status: str = "", cursor: Cursor = None) -> Response:
    """Drafts and revisions, the newest first."""
    wanted: Any = status if status in STATUSES else None
    found = governed.drafts(parts, caller, wanted, SHOWN, cursor)
    revisions = revised.revisions(parts, caller, NEWEST, None)
    made = _made_by(parts, [each["number"] for each in revisions.items])
    values = {"drafts": found.model_dump(), "revisions": revisions.items, "made": made}
    return page(request, "drafts.html", chosen=wanted or "", statuses=STATUSES, **values)


@router.get("/drafts/{id}/")
def draft(request: Request, parts: P, caller: Reader, id: Id) -> Response:
    """What it changes, who did what, and what may be done now."""
    row = parts.drafts.get(id)
    found = governed.view(parts, row)
    state = _state(parts, row) if row.status in (DRAFT, APPROVED) else {}
    with parts.store.session() as session:
        newest = select(SimulationRow).order_by(SimulationRow.id.desc()).limit(100)
        runs = [each for each in session.scalars(newest) if each.asked.get("draft") == id][:5]
    return page(
        request, "draft.html", draft=found, draft_version=row.version, runs=runs,
        running=any(each.status == RUNNING for each in runs), mine=caller.user in row.authors,
        **_NO_STATE | state,
    )  # fmt: skip


_NO_STATE: dict[str, Any] = {"faults": [], "stale": [], "effect": None, "away": "", "scores": False}


def _state(parts: Parts, row: DraftRow) -> dict[str, Any]:
    """What stands in a draft's way, and what it does to the scores where it edits their policy."""
    latest = parts.content()
    stale = []
    for edit in row.edits:
        section, name = rules.key_of(edit)
        now = rules.standing(latest, section, name)
        if edit["base"] != (None if now is None else rules.tag(now)) and now != edit["entry"]:
            shown = edit["entry"].get("name", "") if isinstance(edit["entry"], dict) else ""
            stale.append({"section": section, "name": shown})
    try:
        after = parts.drafts.content(row)
    except Unfit as unfit:
        return {"stale": stale, "faults": [": ".join(filter(None, each)) for each in unfit.faults]}
    if after.policy == latest.policy:
        return {"stale": stale}
    effect, away = policy.effect(parts, latest, after)
    return {"stale": stale, "effect": effect, "away": away, "scores": True}


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


@router.get("/revisions/")
def revisions(request: Request, parts: P, caller: Reader, cursor: Cursor = None) -> Response:
    """Every revision, the newest first: who made it, who agreed, when, and why."""
    found = revised.revisions(parts, caller, SHOWN, cursor)
    made = _made_by(parts, [each["number"] for each in found.items])
    return page(request, "revisions.html", revisions=found.items, next=found.next, made=made)


@router.get("/revisions/{number}/")
def revision(
    request: Request, parts: P, caller: Reader, number: Number,
    against: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = "",
) -> Response:  # fmt: skip
    """What a revision changed, or how it differs from another."""
    other = int(against) if against else None
    found = revised.compare(parts, caller, number, other)
    about = parts.catalog.revisions(number + 1, 1)
    return page(
        request, "revision.html", number=number, changes=found["changes"], about=about[0] if about else None,
        newest=parts.content().revision, against=other, before=found["before"],
        made=_made_by(parts, [number]).get(number), others=parts.catalog.revisions(None, COMPARED),
    )  # fmt: skip


def _made_by(parts: Parts, numbers: list[int]) -> dict[int, DraftRow]:
    """The drafts that became these revisions."""
    with parts.store.session() as session:
        found = session.scalars(select(DraftRow).where(DraftRow.revision.in_(numbers)))
        return {row.revision: row for row in found if row.revision is not None}


@router.post("/revisions/{number}/restore")
def restore(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """A draft that goes back to a revision."""
    found = revised.restore(parts, caller, number, Response())
    return _back(request, found["id"])
