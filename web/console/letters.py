"""Dead letters: what could not be used, why, its bytes; and mapped again once the cause is mended."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from web.api import letters as governed
from web.api.doors import Machine, Reader
from web.api.parts import P
from web.api.problems import Problem
from web.console.rendering import page, say

router = APIRouter()
SHOWN = 50
Word = Annotated[str, Query(max_length=63)]


@router.get("/dead-letters/")
def letters(
    request: Request, parts: P, caller: Reader, source: Word = "", reason: Word = "", replayed: str = "no",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """The newest first; those that were mapped again only when they are asked for."""
    wanted = {"yes": True, "no": False}.get(replayed)
    found = governed.dead_letters(parts, caller, source or None, reason or None, wanted, SHOWN, cursor)
    for each in found.items:
        each["text"] = text_of(each.get("value"))
    return page(
        request, "letters.html", letters=found.items, next=found.next, source=source, reason=reason,
        replayed=replayed if replayed in ("yes", "no", "all") else "no",
        sources=sorted(each.name for each in parts.content().sources),
        mappable=any(each["stage"] == "normalizer" and not each["replayed"] for each in found.items),
    )  # fmt: skip


def text_of(value: dict[str, Any] | None) -> str:
    """The bytes of a record as far as they can be read."""
    if value is None:
        return say("letters.no_value")
    if not value.get("base64"):
        return say("letters.too_large", size=value["size"])
    return base64.b64decode(value["base64"]).decode("utf-8", "replace")[:4000]


@router.post("/dead-letters/replay")
def replay(request: Request, parts: P, caller: Machine) -> Response:
    """Those that are marked are mapped again, with the mapping of now."""
    ids = list(dict.fromkeys(value for name, value in request.state.pairs if name == "id"))
    if not ids:
        raise Problem(422, say("letters.none_marked"))
    if len(ids) > governed.MOST:
        raise Problem(422, say("letters.too_many", most=governed.MOST))
    answer = governed.replay(parts, caller, governed.Ids(ids=ids), Response())
    counts = Counter(each["status"] for each in answer["items"])
    refused = [
        {"id": each["id"], "why": "; ".join(r["message"] or r["reason"] for r in each["results"])}
        for each in answer["items"]
        if each["status"] == "refused"
    ]
    return page(request, "part_replayed.html", counts=counts, refused=refused)
