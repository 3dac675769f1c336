"""Drafts of the rules: what waits for a second person, and what was published of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog.entries import SECTIONS, TierEntry
from catalog.governance import rules
from catalog.governance.drafts import plain
from catalog.governance.models import DraftRow
from catalog.service import Unfit, faults_of
from web.api import etags, paging
from web.api.doors import Approver, Editor, Reader, guarded
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts

router = guarded("drafts and revisions")

Id = Annotated[int, Path(ge=1, lt=2**63)]
Status = Literal["draft", "approved", "published", "withdrawn"]
Section = Literal[
    "templates", "badges", "offers", "earning", "campaigns", "contact", "tiers", "points_valid_months",
    "policy", "predictions",
]  # fmt: skip


class Draft(BaseModel):
    """Edits that wait for a second person, or did."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "id": 7, "status": "draft", "note": "a longer weekend", "authors": ["anna"], "edits": [],
                    "approved_by": None, "revision": None, "changes": [],
                }
            ]
        },
    )  # fmt: skip

    id: int
    status: Status
    note: str
    authors: list[str]
    edits: list[dict[str, Any]]
    approved_by: str | None
    revision: int | None
    changes: list[dict[str, Any]] = Field([], description="What differs from the newest revision.")


class GivenEdit(BaseModel):
    """An entry whole, as the files have it, in place of the one of its number or name."""

    model_config = ConfigDict(extra="forbid")

    section: Section
    entry: dict[str, Any] | list[dict[str, Any]] | int


class NewDraft(BaseModel):
    """Several edits at once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "note": "one more offer",
                    "edits": [
                        {"section": "offers", "entry": {"name": "Weekend Pass", "description": "2 GB"}}
                    ],
                }
            ]
        },
    )

    note: str = Field("", max_length=500)
    edits: list[GivenEdit] = Field(min_length=1, max_length=1000)


def view(parts: Parts, row: DraftRow) -> dict[str, Any]:
    """A draft and, while it is not published, what it would change."""
    open_ = row.status in ("draft", "approved")
    return plain(row) | {"changes": parts.drafts.changes(row) if open_ else []}


@router.get("/drafts/", summary="List drafts")
def drafts(
    parts: P, caller: Reader, status: Status | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    """The newest first."""
    rows = parts.drafts.page(paging.decode(cursor, int), limit + 1, status)
    return paging.page(rows, limit, lambda row: row.id, plain)


@router.post("/drafts/", status_code=201, summary="Make a draft", response_model=Draft)
def create(parts: P, caller: Editor, given: NewDraft, response: Response) -> dict[str, Any]:
    """Of several edits; what each replaces is what stands in the catalog now."""
    edits = [_edit(parts, n, each) for n, each in enumerate(given.edits)]
    return _shown(parts, parts.drafts.add(edits, caller, given.note), response)


def _edit(parts: Parts, number: int, given: GivenEdit) -> rules.Edit:
    """Raises Unfit that names the field."""
    section, entry = given.section, given.entry
    place = f"edits.{number}.entry"
    name = None
    try:
        if section in SECTIONS:
            entry = rules.whole(SECTIONS[section].model_validate(entry))
            _, name = rules.key_of({"section": section, "entry": entry})
        elif section == "tiers":
            if not isinstance(entry, list):
                raise Unfit("this", [(place, "must be a list")])
            entry = [TierEntry.model_validate(each).model_dump(mode="json") for each in entry]
        elif section == "points_valid_months":
            if not isinstance(entry, int):
                raise Unfit("this", [(place, "must be a whole number")])
        else:
            if not isinstance(entry, dict):
                raise Unfit("this", [(place, "must be an object")])
            if section in rules.FIELDS:
                entry = rules.whole(rules.FIELDS[section].model_validate(entry))
            else:
                rules.policy_of(entry)
    except ValidationError as error:
        raise Unfit(
            "this", [(f"{place}.{field}".rstrip("."), why) for field, why in faults_of(error)]
        ) from None
    before = rules.standing(parts.content(), section, name)
    return {"section": section, "entry": entry, "base": None if before is None else rules.tag(before)}


@router.get("/drafts/{id}/", summary="Show a draft", response_model=Draft)
def draft(parts: P, caller: Reader, id: Id, response: Response) -> dict[str, Any]:
    """With what it would change."""
    return _shown(parts, parts.drafts.get(id), response)


@router.post("/drafts/{id}/approve/", summary="Approve a draft", response_model=Draft)
def approve(parts: P, caller: Approver, id: Id, match: IfMatch, response: Response) -> dict[str, Any]:
    """By a second person: whoever edited it cannot."""
    return _shown(parts, parts.drafts.approve(id, etags.version(match), caller), response)


@router.post("/drafts/{id}/publish/", summary="Publish a draft", response_model=Draft)
def publish(parts: P, caller: Editor, id: Id, match: IfMatch, response: Response) -> dict[str, Any]:
    """An approved one becomes a revision, which workers take up at once."""
    row = parts.drafts.publish(id, etags.version(match), caller)
    return _shown(parts, row, response) | parts.publish()


@router.post("/drafts/{id}/withdraw/", summary="Give a draft up", response_model=Draft)
def withdraw(parts: P, caller: Editor, id: Id, match: IfMatch, response: Response) -> dict[str, Any]:
    """Its edits are forgotten by nobody, and done by nobody."""
    return _shown(parts, parts.drafts.withdraw(id, etags.version(match), caller), response)


def _shown(parts: Parts, row: DraftRow, response: Response) -> dict[str, Any]:
    etags.show(response, row.version)
    return view(parts, row)
