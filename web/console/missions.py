"""Mission templates: what is published, what each did, and an editor whose edits become drafts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.entries import IMPLIED
from catalog.entry import GROUPS
from catalog.governance import rules
from catalog.service import NoSuch, faults_of
from loyalty.conditions import parse
from loyalty.events import SOURCE_TYPES
from loyalty.game import LEVELS, Category, GoalKind
from loyalty.vocabulary import FEATURES, KINDS
from web.api.doors import Commander, Editor, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.api.rules import Number
from web.console import editing, figures
from web.console.census import meant
from web.console.gate import form_of
from web.console.kept import kept
from web.console.rendering import page, said, say

router = APIRouter()

SECTION = "templates"
CATEGORIES: tuple[str, ...] = get_args(Category)
GOALS: tuple[str, ...] = get_args(GoalKind)
#: What a form has, in the names that faults have.
FIELDS = (
    "name", "category", "description", "eligibility", "after", "goal.kind", "goal.types", "goal.where",
    "goal.distinct", "goal.among", "goal.at_least", "goal.gap", "target", "target.value", "target.baseline",
    "target.stretch", "target.low", "target.high", "duration", "cooldown", "priority", "rewards.points",
    "rewards.offer", "rewards.badge", "limits.per_customer", "limits.total", "limits.budget", "active",
)  # fmt: skip
_WHOLE = {
    "goal.at_least", "target.value", "target.low", "target.high", "priority", "rewards.points",
    "limits.per_customer", "limits.total", "limits.budget",
}  # fmt: skip
_DAYS = {"duration", "cooldown", "goal.gap"}
_WORDS = {"goal.types", "after"}


def activity(parts: Parts, measure: str) -> dict[int, dict[str, int]]:
    """What each number did so far, by status or level."""

    def look() -> dict[int, dict[str, int]]:
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        with reading(parts) as session:
            for number, detail, value in figures.by_number(session, measure):
                found[number][detail] = value
        return dict(found)

    found: dict[int, dict[str, int]] = kept(parts).of(f"activity {measure}", look)
    return found


@router.get("/missions/")
def missions(
    request: Request, parts: P, caller: Reader, category: str = "",
    search: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """All templates, by category."""
    wanted = search.strip().casefold()
    found = [
        each
        for each in rules.entries(parts.content().game, SECTION)
        if category in ("", each["category"])
        and (wanted in each["name"].casefold() or wanted in each["description"].casefold())
    ]
    return page(
        request, "missions.html", templates=found, done=activity(parts, "missions"), categories=CATEGORIES,
        category=category, search=search,
    )  # fmt: skip


@router.get("/missions/new")
def new(request: Request, parts: P, caller: Editor) -> Response:
    """An empty editor."""
    values = {
        "active": "on",
        "category": "engagement",
        "goal.kind": "count",
        "duration": "14",
        "cooldown": "30",
    }
    values |= {"priority": "40", "goal.at_least": "1"}
    return _editor(request, parts, None, values, [])


@router.post("/missions/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor now, field by field."""
    form = form_of(request)
    values = editing.verdict(parts, SECTION, FIELDS, *_read(parts, form))
    return page(
        request, "part_mission_faults.html", fields=FIELDS, meant=meant(parts, form.get("eligibility", "")),
        **values,
    )  # fmt: skip


@router.get("/missions/{number}/")
def mission(request: Request, parts: P, caller: Reader, number: Number) -> Response:
    """One template: what it says, and what it did."""
    found = _standing(parts, number)
    with reading(parts) as session:
        days = figures.by_day(session, "missions", number)
    chart = None
    if len({day for day, _, _ in days}) > 1:
        at = sorted({day for day, _, _ in days})
        values = {(day, detail): value for day, detail, value in days}
        names = ("given", "completed", "expired")
        chart = {
            "key": "missions", "kind": "line", "days": at,
            "names": [say(f"overview.missions.{name}") for name in names],
            "series": [{"key": name, "values": [values.get((day, name), 0) for day in at]} for name in names],
        }  # fmt: skip
    done = activity(parts, "missions").get(number, {})
    return page(request, "mission.html", template=found, done=done, chart=chart)


@router.get("/missions/{number}/edit")
def edit(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """The editor with a template in it."""
    found = _standing(parts, number)
    return _editor(request, parts, found, _flat(found), [])


@router.post("/missions/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft, which somebody else approves."""
    form = form_of(request)
    number = editing.id_of(form, "number")
    found = None if number is None else _standing(parts, number)
    answer, faults = editing.saved(request, parts, caller, form, *_read(parts, form))
    return answer or _editor(request, parts, found, form, faults, 422)


@router.post("/missions/{number}/switch")
def switch(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """On or off, as a draft."""
    before = _standing(parts, number)
    entry = before | {"active": not before["active"]}
    row = parts.drafts.add([{"section": SECTION, "entry": entry, "base": rules.tag(before)}], caller)
    return RedirectResponse(f"{request.scope['root_path']}/drafts/{row.id}/", 303)


@router.post("/missions/generate")
def generate(request: Request, parts: P, caller: Commander) -> Response:
    """All customers of a segment get the missions that they are eligible for."""
    from web.api.commanding import ForSegment
    from web.api.customers import generate_for_segment

    try:
        given = ForSegment(segment=form_of(request).get("segment", "").strip())
    except ValidationError as error:
        words = "; ".join(message for _, message in faults_of(error))
        return said(request, kind="bad", words=words)
    answer = generate_for_segment(parts, caller, given, Response())
    done = answer["status"] == "done"
    return said(request, kind="good" if done else "warn",
        words=say("missions.generated") if done else say("customer.pending"),
    )  # fmt: skip


# -- the form -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """Something that may be written where the caret is."""

    name: str
    about: str


def feature_words() -> list[Word]:
    """What conditions speak of."""
    return [
        Word(each.name, f"{each.description}{f', {each.window_days} days' if each.window_days else ''}")
        for each in FEATURES
    ]


def type_words() -> list[Word]:
    """Event types and groups of them."""
    words = [Word(name, say("missions.group")) for name in GROUPS]
    return words + [Word(name, "") for name in sorted(SOURCE_TYPES)]


def _editor(
    request: Request, parts: Parts, found: dict[str, Any] | None, values: Mapping[str, str],
    faults: editing.Faults, status: int = 200,
) -> Response:  # fmt: skip
    game = parts.content().game
    return page(
        request, "mission_edit.html", status, template=found, values=dict.fromkeys(FIELDS, "") | dict(values),
        base=values.get("base") or (rules.tag(found) if found is not None else ""),
        categories=CATEGORIES, kinds=GOALS, levels=LEVELS, offers=[each.name for each in game.offers],
        badges=[each.name for each in game.badges], features=feature_words(), types=type_words(),
        templates=[Word(each.name, "") for each in game.templates], implied=IMPLIED,
        fields=FIELDS, **editing.into(parts, values), **editing.verdict(parts, SECTION, FIELDS, None, faults),
    )  # fmt: skip


def _flat(entry: dict[str, Any]) -> dict[str, str]:
    """An entry as the form has it."""
    target, badge = entry.get("target"), entry["rewards"].get("badge")
    whole = entry | {"target": {"value": target} if isinstance(target, int) else target or {}}
    found = editing.flat(whole, FIELDS)
    found |= {"target": "", "rewards.badge": f"{badge['name']}/{badge['level']}" if badge else ""}
    return {name: "" if text == "0" and name != "priority" else text for name, text in found.items()}


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken."""
    entry, faults = editing.nested(form, FIELDS, _value)
    target = entry.get("target")
    if isinstance(target, dict) and set(target) == {"value"}:
        entry["target"] = target["value"]
    if entry.get("goal", {}).get("kind") in IMPLIED:
        entry.pop("target", None)
    edit, faults = editing.entry_edit(parts, SECTION, form, entry, faults, "missions")
    return edit, [_placed(*each) for each in faults]


def _placed(field: str, message: str) -> tuple[str, str]:
    """A fault of the whole says its field itself."""
    place, colon, words = message.partition(": ")
    return (place, words) if not field and colon and place in FIELDS else (field, message)


def _value(name: str, text: str) -> Any:
    """Raises ValueError."""
    if name == "active":
        return text == "on"
    if not text or name == "target":  # faults of a target are told there; it is written in parts
        return None
    if name in _WHOLE:
        return editing.whole_number(text)
    if name in _DAYS:
        return int(text) if text.isdecimal() else text
    if name == "target.stretch":
        return editing.amount(text)
    if name in _WORDS:
        return editing.words(text)
    if name == "eligibility":  # at once, whatever else is missing yet
        parse(text, KINDS)
    if name == "rewards.badge":
        badge, _, level = text.rpartition("/")
        return {"name": badge, "level": level}
    return text


def _standing(parts: Parts, number: int) -> dict[str, Any]:
    found: dict[str, Any] | None = rules.standing(parts.content(), SECTION, number)
    if found is None:
        raise NoSuch(f"there is no mission template {number}")
    return found
