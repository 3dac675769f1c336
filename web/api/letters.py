"""Dead letters: what could not be used and why; mapped again once the cause is mended."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from agents.asking import new_id
from agents.commands import REPLAY, Command
from agents.dead_letters import NORMALIZER, Letter, time_of
from web.api import paging
from web.api.doors import Machine, Reader, guarded
from web.api.letterbox import Letterbox, Places
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem

router = guarded("dead letters")

#: Letters mapped again in one request.
MOST = 200


class Ids(BaseModel):
    """Which letters."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": ["raw_crm_events/0/17"]}]}
    )

    ids: list[Annotated[str, Field(max_length=300)]] = Field(min_length=1, max_length=MOST)


@router.get("/dead-letters/", summary="List dead letters")
def dead_letters(
    parts: P, caller: Reader, source: Annotated[str | None, Query(max_length=63)] = None,
    reason: Annotated[str | None, Query(max_length=63)] = None, replayed: bool | None = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Page:  # fmt: skip
    """The newest first, with the original bytes in base64.

    A page may have less than `limit` though more follow: where what is looked for is rare.
    """

    def wanted(letter: Letter, again: bool) -> bool:
        return (
            source in (None, letter.source) and reason in (None, letter.reason) and replayed in (None, again)
        )

    found, below = _box(parts).page(wanted, limit, _places(cursor))
    return Page(
        items=[_plain(letter, again) for letter, again in found],
        next=None if below is None else paging.encode(below),
    )


def _box(parts: Parts) -> Letterbox:
    found: Letterbox = parts.kept.setdefault(Letterbox, Letterbox(parts.settings))
    return found


def _places(cursor: str | None) -> Places | None:
    found: dict[str, Any] | None = paging.decode(cursor, dict)
    if found is None:
        return None
    if not all(p.isdecimal() and type(at) is int and 0 <= at < 2**63 for p, at in found.items()):
        raise Problem(422, "cursor: is none of ours", [("cursor", "is none of ours: take `next` of a page")])
    return {int(p): at for p, at in found.items()}


def _plain(letter: Letter, again: bool) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(letter)
    return found | {"arrived_at": time_of(letter), "replayed": again}


@router.post("/dead-letters/replay/", summary="Map dead letters again")
def replay(parts: P, caller: Machine, given: Ids, response: Response) -> dict[str, Any]:
    """With the mapping that the source has now.  A letter is replayed once, whoever asks."""
    wanted = set(given.ids)
    letters = _box(parts).find(wanted)
    for id in given.ids:
        if id not in letters:
            raise Problem(404, f"there is no dead letter {id}", [("ids", f"there is no dead letter {id}")])
        if letters[id].stage != NORMALIZER:
            raise Problem(409, f"{id} is no raw record of a data source", [("ids", "cannot be mapped")])
    sent = {new_id(): letter for letter in letters.values()}
    known = parts.desk.send([Command(id, REPLAY, letter=letter) for id, letter in sent.items()], caller)
    items = [{"id": sent[each.row.id].id} | each.plain() for each in known]
    if any(each["status"] == "pending" for each in items):
        response.status_code = 202
    return {"items": items}
