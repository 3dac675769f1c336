"""Revisions of the catalog: who changed what, when, and back again.  Also the segments that it speaks of."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from catalog.content import Content
from catalog.differences import differences
from catalog.governance import rules
from catalog.service import Revision
from loyalty.conditions import ConditionError
from web.api import etags, paging
from web.api.doors import Editor, Reader, guarded
from web.api.drafts import Draft, view
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P
from web.api.problems import Problem
from web.api.segments import canonical, segments_of

router = guarded("drafts and revisions")

Number = Annotated[int, Path(ge=1, lt=2**63)]


class Condition(BaseModel):
    """A condition of docs/conditions.md."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"condition": "risk >= 60 and tenure_days > 90"}]}
    )

    condition: str = Field(max_length=2000)


@router.get("/revisions/", summary="List revisions")
def revisions(parts: P, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """The newest first: when, by whom, and what for."""
    rows = parts.catalog.revisions(paging.decode(cursor, int), limit + 1)
    return paging.page(rows, limit, lambda row: row.number, _plain)


@router.get("/revisions/{number}/", summary="Show a revision")
def revision(parts: P, caller: Reader, number: Number) -> dict[str, Any]:
    """Its content, whole."""
    content = parts.catalog.revision(number)
    found: dict[str, Any] = msgspec.to_builtins(content)
    return found | {"created_by": parts.catalog.author(number)}


@router.get("/revisions/{number}/differences/", summary="Compare two revisions")
def compare(
    parts: P, caller: Reader, number: Number,
    against: Annotated[int | None, Query(ge=1, lt=2**63, description="Unset: the one before.")] = None,
) -> dict[str, Any]:  # fmt: skip
    """What is otherwise in this one than in another, field by field."""
    after = parts.catalog.revision(number)
    before = parts.catalog.revision(against) if against is not None else _before(after, parts)
    return {
        "before": before.revision,
        "after": after.revision,
        "changes": [each.plain() for each in differences(before, after)],
    }


def _before(content: Content, parts: P) -> Content:
    return parts.catalog.revision(content.revision - 1) if content.revision > 1 else content


@router.post("/revisions/{number}/restore/", status_code=201, summary="Go back", response_model=Draft)
def restore(parts: P, caller: Editor, number: Number, response: Response) -> dict[str, Any]:
    """A draft that makes the rules what they were; rules that are newer are switched off."""
    edits = rules.back_to(parts.content(), parts.catalog.revision(number))
    if not edits:
        raise Problem(409, f"the rules are those of revision {number}")
    row = parts.drafts.add(edits, caller, f"back to revision {number}")
    etags.show(response, row.version)
    return view(parts, row)


def _plain(row: Revision) -> dict[str, Any]:
    return {
        "number": row.number, "created_at": row.created_at, "created_by": row.created_by, "note": row.note,
    }  # fmt: skip


@router.get("/segments/", tags=["segments"], summary="Segments that the catalog speaks of")
def segments(parts: P, caller: Reader, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """Words of the profile's `segment`, each with what speaks of it; the operator's CRM sets them."""
    return paging.of_list(segments_of(parts.content().game), "name", limit, cursor, str)


@router.post("/segments/check/", tags=["segments"], summary="Check a condition")
def check(parts: P, caller: Reader, given: Condition) -> dict[str, Any]:
    """As commands for a segment, eligibility and badges take it; 422 says what is wrong, and where."""
    try:
        return {"condition": canonical(given.condition), "valid": True}
    except ConditionError as error:
        raise Problem(422, f"condition: {error}", [("condition", str(error))]) from None
