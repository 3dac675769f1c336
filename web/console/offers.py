"""Offers: what rewards and campaigns may hand out, where each is used, and an editor into a draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from catalog.content import Content
from catalog.governance import rules
from catalog.service import Unfit
from loyalty.game import LEVELS, OfferKind, ValueSegment
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.api.rules import Number
from web.api.segments import segments_of
from web.console import editing, figures
from web.console.gate import form_of
from web.console.missions import Word
from web.console.rendering import page, say

router = APIRouter()

SECTION = "offers"
KINDS: tuple[str, ...] = tuple(each for each in get_args(OfferKind) if each)
VALUES: tuple[str, ...] = get_args(ValueSegment)
FIELDS = (
    "name", "description", "category", "kind", "value", "cost", "points_factor", "discount", "bonus",
    "valid_days", "lifecycle_stage", "target_value_segment", "segments", "active",
)  # fmt: skip
_AMOUNTS = ("value", "cost", "points_factor", "discount")


@router.get("/offers/")
def offers(
    request: Request, parts: P, caller: Reader, kind: str = "",
    search: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """All offers, and how often each was handed out."""
    wanted, content = search.strip().casefold(), parts.content()
    found = [
        each
        for each in rules.entries(content.game, SECTION)
        if kind in ("", each["kind"])
        and (wanted in each["name"].casefold() or wanted in each["description"].casefold())
    ]
    with reading(parts) as session:
        granted = {number: value for number, detail, value in figures.by_number(session, "grants")
                   if detail == "offer"}  # fmt: skip
    return page(
        request, "offers.html", offers=found, kind=kind, kinds=KINDS, search=search, granted=granted,
        used={each["offer_id"]: len(used_by(content, each["offer_id"])) for each in found},
        currency=content.decisions.currency,
    )  # fmt: skip


@router.get("/offers/new")
def new(request: Request, parts: P, caller: Editor) -> Response:
    """An empty editor."""
    values = {"active": "on", "points_factor": "1", "lifecycle_stage": "all", "target_value_segment": "all"}
    return _editor(request, parts, None, values, [])


@router.post("/offers/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor, or what it would change."""
    edit, faults = _read(parts, form_of(request))
    values = editing.verdict(parts, SECTION, FIELDS, edit, faults)
    return page(request, "part_offer_verdict.html", oob=True, places=FIELDS, **values)


@router.post("/offers/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft."""
    form = form_of(request)
    number = editing.id_of(form, "number")
    found = None if number is None else rules.standing(parts.content(), SECTION, number)
    answer, faults = editing.saved(request, parts, caller, form, *_read(parts, form))
    return answer or _editor(request, parts, found, form, faults, 422)


@router.get("/offers/{number}/")
def offer(request: Request, parts: P, caller: Reader, number: Number) -> Response:
    """One offer: what it is, whom it is for, and where it is used."""
    return _shown(request, parts, number, [])


@router.get("/offers/{number}/edit")
def edit(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """The editor with an offer in it."""
    found = editing.standing(parts, SECTION, number)
    values = editing.flat(found, FIELDS) | {"base": rules.tag(found), "number": str(number)}
    return _editor(request, parts, found, values, [])


@router.post("/offers/{number}/remove")
def remove(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """Take it out of the catalog, as a draft."""
    before = editing.standing(parts, SECTION, number)
    edit = {"section": SECTION, "entry": before | {"active": False}, "base": rules.tag(before)}
    try:
        row = parts.drafts.add([edit], caller)
    except Unfit as unfit:
        return _shown(request, parts, number, [message for _, message in unfit.faults], 422)
    return RedirectResponse(f"{request.scope['root_path']}/drafts/{row.id}/", 303)


def _shown(request: Request, parts: Parts, number: int, faults: list[str], status: int = 200) -> Response:
    found = editing.standing(parts, SECTION, number)
    content = parts.content()
    with reading(parts) as session:
        days = figures.by_day(session, "grants", number)
    granted: dict[str, int] = {}
    for _, detail, value in days:
        granted[detail] = granted.get(detail, 0) + value
    chart = None
    if len({day for day, _, _ in days}) > 1:
        at = sorted({day for day, _, _ in days})
        by_day = {day: value for day, detail, value in days if detail == "offer"}
        chart = {
            "key": "granted", "kind": "line", "days": at, "names": [say("offers.granted.title")],
            "series": [{"key": "granted", "values": [by_day.get(day, 0) for day in at]}],
        }  # fmt: skip
    return page(
        request, "offer.html", status, offer=found, used=used_by(content, number), granted=granted,
        chart=chart, faults=faults, currency=content.decisions.currency,
    )  # fmt: skip


def used_by(content: Content, number: int) -> list[dict[str, Any]]:
    """Missions, levels of badges and campaigns that hand an offer out: `kind`, `name`, `path`."""
    game = content.game
    found: list[dict[str, Any]] = [
        {"kind": "templates", "name": each.name, "path": f"/missions/{each.number}/"}
        for each in game.templates
        if each.rewards.offer == number
    ]
    for badge in game.badges:
        for n, level in enumerate(badge.levels):
            if level.rewards.offer == number:
                name = f"{badge.name}, {say(f'level.{LEVELS[n]}')}"
                found.append({"kind": "badges", "name": name, "path": f"/badges/{badge.number}/{n + 1}/"})
    found += [
        {"kind": "campaigns", "name": each.name, "path": f"/campaigns/{each.number}/"}
        for each in game.campaigns
        if each.offer == number
    ]
    return found


# -- the editor -------------------------------------------------------------------------------------------


def _editor(
    request: Request, parts: Parts, found: dict[str, Any] | None, values: Mapping[str, str],
    faults: editing.Faults, status: int = 200,
) -> Response:  # fmt: skip
    content = parts.content()
    return page(
        request, "offer_edit.html", status, offer=found, values=dict.fromkeys(FIELDS, "") | dict(values),
        base=values.get("base", ""), kinds=KINDS, value_segments=VALUES, oob=False,
        segments=[Word(each["name"], ", ".join(each["used_by"])) for each in segments_of(content.game)],
        currency=content.decisions.currency, **editing.into(parts, values),
        **editing.verdict(parts, SECTION, FIELDS, None, faults),
    )  # fmt: skip


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken."""
    entry, faults = editing.nested(form, FIELDS, _value)
    return editing.entry_edit(parts, SECTION, form, entry, faults)


def _value(name: str, text: str) -> Any:
    if name == "active":
        return text == "on"
    if name == "segments":
        return editing.words(text)
    if name == "bonus":
        return _bonus(text)
    if not text:
        return None
    if name in _AMOUNTS:
        return editing.amount(text)
    return editing.whole_number(text) if name == "valid_days" else text


def _bonus(text: str) -> dict[str, float]:
    """`unit = amount`, a line each.  Raises ValueError."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        unit, sign, amount = line.partition("=")
        if not sign or not unit.strip():
            raise ValueError(say("editing.pair"))
        found[unit.strip()] = editing.amount(amount.strip())
    return found
