"""Simulations: a draft on what is recorded, in a process of its own, one at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import select

from catalog.governance.audit import record
from catalog.governance.models import SimulationRow
from catalog.service import NoSuch
from web.api import paging
from web.api.doors import PREFIX, Editor, Reader, guarded
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P
from web.api.simulating import RUNNING

router = guarded("simulations")


class NewSimulation(BaseModel):
    """A draft, and the log's time in which it would have counted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"draft": 7, "since": "2026-02-01T00:00:00Z", "until": None}]},
    )

    draft: int = Field(ge=1, lt=2**63)
    since: AwareDatetime | None = Field(None, description="Unset: the log's begin.")
    until: AwareDatetime | None = Field(None, description="Unset: its end.")


class Simulated(BaseModel):
    """A simulation, and its report once it is done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": 3, "status": "running", "asked": {"draft": 7}, "report": None, "error": None}]
        }
    )

    id: int
    status: str
    asked: dict[str, Any]
    user: str = ""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    report: dict[str, Any] | None = None
    error: str | None = None


@router.get("/simulations/", summary="List simulations")
def simulations(parts: P, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """The newest first, without their reports."""
    parts.simulations.give_up_lost()
    query = select(SimulationRow).order_by(SimulationRow.id.desc()).limit(limit + 1)
    below = paging.decode(cursor, int)
    if below is not None:
        query = query.where(SimulationRow.id < below)
    with parts.store.session() as session:
        rows = list(session.scalars(query))
    names = ("id", "status", "asked", "user", "created_at", "ended_at", "error")
    return paging.page(
        rows, limit, lambda row: row.id, lambda row: {name: getattr(row, name) for name in names}
    )


@router.post("/simulations/", status_code=202, summary="Simulate a draft")
def simulate(parts: P, caller: Editor, given: NewSimulation, response: Response) -> Simulated:
    """What the draft would have done with what is recorded, beside what happened.  Nothing is given."""
    content = parts.drafts.content(parts.drafts.get(given.draft))
    asked = given.model_dump(mode="json")
    with parts.store.session() as session:
        row = SimulationRow(status=RUNNING, asked=asked, user=caller.user)
        session.add(row)
        session.flush()
        session.refresh(row)
        parts.simulations.hold(row.id)
        record(session, caller, "create", f"simulations/{row.id}", None, asked)
    parts.simulations.start(row.id, content, _time(given.since), _time(given.until))
    response.headers["Location"] = f"{PREFIX}/simulations/{row.id}/"
    return _view(row)


def _time(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@router.get("/simulations/{id}/", summary="Show a simulation")
def simulation(parts: P, caller: Reader, id: Annotated[int, Path(ge=1, lt=2**63)]) -> Simulated:
    """Its report once it is done: each figure of the draft, beside the one recorded, and the difference."""
    parts.simulations.give_up_lost()
    with parts.store.session() as session:
        row = session.get(SimulationRow, id)
    if row is None:
        raise NoSuch(f"there is no simulation {id}")
    return _view(row)


def _view(row: SimulationRow) -> Simulated:
    names = ("id", "status", "asked", "user", "created_at", "ended_at", "report", "error")
    return Simulated.model_validate({name: getattr(row, name) for name in names})
