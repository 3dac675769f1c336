"""Badges: the grid of levels with holders and conditions, and an editor of a badge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray

from catalog.governance import rules
from catalog.service import Unfit
from loyalty.conditions import ConditionError, parse
from loyalty.game import LEVELS
from loyalty.survey import awards, holding
from loyalty.vocabulary import KINDS
from web.api import sampled
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.api.rules import Number
from web.ask_worker import NoAnswer
from web.console import editing, figures
from web.console.gate import form_of
from web.console.kept import kept
from web.console.missions import feature_words
from web.console.rendering import page, say

router = APIRouter()
SHOWN = 50
SECTION = "badges"
LEVEL_FIELDS = tuple(
    f"levels.{level}.{field}"
    for level in LEVELS
    for field in ("condition", "rewards.points", "rewards.offer")
)
FIELDS = ("name", "description", *LEVEL_FIELDS, "active")


@router.get("/badges/")
def badges(request: Request, parts: P, caller: Reader) -> Response:
    """Every badge, every level, how many hold it."""
    held = _held(parts)
    found = rules.entries(parts.content().game, SECTION)
    most = max(held.values(), default=0)
    return page(request, "badges.html", badges=found, held=held, most=most, levels=LEVELS)


def _held(parts: Parts) -> dict[tuple[int, int], int]:
    """How many hold each (badge, level)."""

    def look() -> dict[tuple[int, int], int]:
        with reading(parts) as session:
            return figures.holders(session)

    found: dict[tuple[int, int], int] = kept(parts).of("holders", look)
    return found


@router.get("/badges/new")
def new(request: Request, parts: P, caller: Editor) -> Response:
    """An empty editor."""
    return _editor(request, parts, None, {"active": "on"}, [])


@router.post("/badges/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor, or what it would change; a page where no script asks."""
    form = form_of(request)
    edit, faults = _read(parts, form)
    if "hx-request" not in request.headers:
        return _editor(request, parts, _of(parts, form), form, faults, edit)
    values = _verdict(parts, edit, faults, form)
    return page(request, "part_badge_verdict.html", oob=True, places=FIELDS, levels=LEVELS, **values)


@router.post("/badges/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft."""
    form = form_of(request)
    answer, faults = editing.saved(request, parts, caller, form, *_read(parts, form))
    return answer or _editor(request, parts, _of(parts, form), form, faults, None, 422)


@router.get("/badges/{number}/edit")
def edit(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """The editor with a badge in it."""
    found = editing.standing(parts, SECTION, number)
    values = editing.flat(found, FIELDS) | {"base": rules.tag(found), "number": str(number)}
    return _editor(request, parts, found, values, [], _read(parts, values)[0])


@router.get("/badges/{number}/{level}/")
def holders(
    request: Request, parts: P, caller: Reader, number: Number, level: Annotated[int, Path(ge=1, le=4)],
    cursor: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]+$")] = None,
) -> Response:  # fmt: skip
    """Who holds a level, and what it takes."""
    badge = editing.standing(parts, SECTION, number)
    with reading(parts) as session:
        rows = figures.holding(session, number, level, cursor, SHOWN + 1)
    return page(
        request, "badge.html", badge=badge, level=level, level_name=LEVELS[level - 1], rows=rows[:SHOWN],
        count=_held(parts).get((number, level), 0), levels=LEVELS,
        next=rows[SHOWN - 1]["customer_id"] if len(rows) > SHOWN else None,
    )  # fmt: skip


# -- the editor -------------------------------------------------------------------------------------------


def _editor(
    request: Request, parts: Parts, badge: dict[str, Any] | None, values: Mapping[str, str],
    faults: editing.Faults, edit: rules.Edit | None = None, status: int = 200,
) -> Response:  # fmt: skip
    return page(
        request, "badge_edit.html", status, badge=badge, values=dict.fromkeys(FIELDS, "") | dict(values),
        base=values.get("base", ""), levels=LEVELS, features=feature_words(), oob=False,
        offers=[each.name for each in parts.content().game.offers], **editing.into(parts, values),
        **_verdict(parts, edit, faults, values),
    )  # fmt: skip


def _verdict(
    parts: Parts, edit: rules.Edit | None, faults: editing.Faults, form: Mapping[str, str]
) -> dict[str, Any]:
    changes: list[dict[str, Any]] = []
    if edit is not None:
        changes, faults = editing.tried(parts, edit)
    found, away = effect(parts, form, edit)
    shown = editing.by_field(faults, FIELDS, SECTION)
    return {"faults": shown, "changes": changes, "effect": found, "away": away, "fits": edit is not None}


def _of(parts: Parts, form: Mapping[str, str]) -> dict[str, Any] | None:
    number = editing.id_of(form, "number")
    return None if number is None else rules.standing(parts.content(), SECTION, number)


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken."""
    entry, faults = editing.nested(form, FIELDS, _value)
    return editing.entry_edit(parts, SECTION, form, entry, faults)


def _value(name: str, text: str) -> Any:
    if name == "active":
        return text == "on"
    if name.endswith(".condition"):
        if not text:
            raise ValueError(say("badge.no_condition"))
        try:
            parse(text, KINDS)
        except ConditionError as error:
            raise ValueError(str(error)) from None
        return text
    if not text:
        return None
    return editing.whole_number(text) if name.endswith(".points") else text


def effect(
    parts: Parts, form: Mapping[str, str], edit: rules.Edit | None
) -> tuple[dict[str, Any] | None, str]:
    """For how many each level's condition holds now, how many would get it; or why nobody can say."""
    try:
        found = sampled.sample(parts)
    except NoAnswer as error:
        return None, str(error)
    if not len(found):
        return None, ""
    content = parts.content()
    seen = sampled.survey(found, content).features
    badge = _of(parts, form)
    told = None if edit is None else _awards(parts, found, edit)
    levels = []
    for n, level in enumerate(LEVELS):
        now = _held_by(seen, form.get(f"levels.{level}.condition", "").strip())
        if now is None:
            continue
        was = None if badge is None else _held_by(seen, badge["levels"][level]["condition"])
        levels.append(
            {
                "name": level,
                "now": found.of_all(int(now.sum())),
                "was": None if was is None else found.of_all(int(was.sum())),
                "fresh": None if told is None else found.of_all(int(told[n, 0])),
                "points": None if told is None else found.of_all(int(told[n, 1])),
                "share": float(now.mean()),
            }
        )
    return {
        "levels": levels, "of": len(found), "total": max(found.total, len(found)), "at": found.at,
        "off": form.get("active") != "on",
    }, ""  # fmt: skip


def _held_by(seen: NDArray[np.float64], condition: str) -> NDArray[np.bool_] | None:
    """For whom a condition holds; None for one that cannot be read."""
    try:
        return holding(seen, condition) if condition else None
    except ConditionError:
        return None


def _awards(parts: Parts, found: sampled.Sample, edit: rules.Edit) -> NDArray[np.int64] | None:
    """Who would be awarded levels at once; None where the edit does not fit."""
    try:
        content = parts.drafts.content(editing.draft_of(edit))
    except Unfit:
        return None
    badge = next(each for each in content.game.badges if each.name == edit["entry"]["name"])
    alone = msgspec.structs.replace(content.game, badges=[badge], templates=[], campaigns=[])
    return awards(found.rows, msgspec.structs.replace(content, game=alone), badge.number)
