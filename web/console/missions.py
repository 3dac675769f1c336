"""Mission templates: what is published, what each did, and an editor whose edits become drafts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.entries import IMPLIED, TemplateEntry
from catalog.entry import GROUPS
from catalog.governance import rules
from catalog.governance.drafts import DRAFT
from catalog.governance.models import DraftRow
from catalog.service import NoSuch, Taken, Unfit, faults_of
from loyalty.conditions import ConditionError, parse
from loyalty.events import SOURCE_TYPES
from loyalty.game import LEVELS, Category, GoalKind
from loyalty.vocabulary import FEATURES, KINDS
from web.api.doors import Commander, Editor, Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.api.rules import Number
from web.console import figures
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
    return _editor(request, parts, None, values, {})


@router.post("/missions/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor now, field by field."""
    edit, faults = _read(parts, form_of(request))
    changes = []
    if edit is not None:
        row, faults = _tried(parts, edit)
        changes = parts.drafts.changes(row) if not faults else []
    return page(
        request, "part_mission_faults.html", fields=FIELDS, faults=_by_field(faults), changes=changes,
        meant=meant(parts, form_of(request).get("eligibility", "")),
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
    return _editor(request, parts, found, _flat(found), {})


@router.post("/missions/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft, which somebody else approves."""
    form = form_of(request)
    number = form.get("number", "")
    found = _standing(parts, int(number)) if number.isdecimal() else None
    edit, faults = _read(parts, form)
    if edit is not None:
        to = form.get("draft", "")
        try:
            row = parts.drafts.add(
                [edit], caller, form.get("note", "")[:500], int(to) if to.isdecimal() else None
            )
            return RedirectResponse(f"{request.scope['root_path']}/drafts/{row.id}/", 303)
        except Unfit as unfit:
            faults = unfit.faults
    return _editor(request, parts, found, form, _by_field(faults), 422)


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
    from pydantic import ValidationError as Wrong

    from web.api.commanding import ForSegment
    from web.api.customers import generate_for_segment

    try:
        given = ForSegment(segment=form_of(request).get("segment", "").strip())
    except Wrong as error:
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
    faults: dict[str, list[str]], status: int = 200,
) -> Response:  # fmt: skip
    game = parts.content().game
    return page(
        request, "mission_edit.html", status, template=found, values=dict.fromkeys(FIELDS, "") | dict(values),
        faults=faults, base=values.get("base") or (rules.tag(found) if found is not None else ""),
        categories=CATEGORIES, kinds=GOALS, levels=LEVELS, offers=[each.name for each in game.offers],
        badges=[each.name for each in game.badges], features=feature_words(), types=type_words(),
        templates=[Word(each.name, "") for each in game.templates], implied=IMPLIED,
        drafts=parts.drafts.page(None, 20, DRAFT), note=values.get("note", ""), into=values.get("draft", ""),
        changes=[], fields=FIELDS,
    )  # fmt: skip


def _flat(entry: dict[str, Any]) -> dict[str, str]:
    """An entry as the form has it."""
    found: dict[str, str] = {}
    target = entry.get("target")
    whole = entry | {"target": {"value": target} if isinstance(target, int) else target or {}}
    for name in FIELDS:
        value: Any = whole
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, list):
            value = ", ".join(value)
        elif isinstance(value, bool):
            value = "on" if value else ""
        elif isinstance(value, dict) and name == "rewards.badge":
            value = f"{value['name']}/{value['level']}"
        elif isinstance(value, dict) or value is None or (value == 0 and name not in ("priority",)):
            value = ""
        found[name] = str(value)
    return found


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, list[tuple[str, str]]]:
    """The edit that a form says, or its faults."""
    entry: dict[str, Any] = {"active": form.get("active") == "on"}
    faults: list[tuple[str, str]] = []
    for name in FIELDS:
        text = form.get(name, "").strip()
        if not text or name == "active":
            continue
        try:
            value = _value(name, text)
        except ValueError:
            faults.append((name, say("missions.whole")))
            continue
        node = entry
        *path, last = name.split(".")
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value
    try:  # at once, whatever else is missing yet
        parse(entry.get("eligibility", ""), KINDS)
    except ConditionError as error:
        faults.append(("eligibility", str(error)))
    target = entry.get("target")
    if isinstance(target, dict) and set(target) == {"value"}:
        entry["target"] = target["value"]
    if entry.get("goal", {}).get("kind") in IMPLIED:
        entry.pop("target", None)
    before, base = None, None
    number = form.get("number", "")
    if number.isdecimal():
        before = rules.standing(parts.content(), SECTION, int(number))
        entry["number"] = int(number)
        base = form.get("base") or None
        if before is None or base != rules.tag(before):
            raise Taken(
                "somebody has changed this mission since you opened it", hint=say("problem.changed.hint")
            )
    elif rules.standing(parts.content(), SECTION, entry.get("name", "")) is not None:
        faults.append(("name", say("missions.taken")))
    try:
        whole = rules.whole(TemplateEntry.model_validate(entry))
    except ValidationError as error:
        # A fault of the whole says its field itself.
        for field, message in faults_of(error):
            place, colon, words = message.partition(": ")
            faults.append((place, words) if not field and colon and place in FIELDS else (field, message))
        return None, faults
    if faults:
        return None, faults
    return {"section": SECTION, "entry": whole, "base": base}, []


def _value(name: str, text: str) -> Any:
    """Raises ValueError."""
    if name in _WHOLE:
        return int(text.replace(",", ""))
    if name in _DAYS:
        return int(text) if text.isdecimal() else text
    if name == "target.stretch":
        return float(text)
    if name in _WORDS:
        return [each.strip() for each in text.split(",") if each.strip()]
    if name == "rewards.badge":
        badge, _, level = text.rpartition("/")
        return {"name": badge, "level": level}
    return text


def _tried(parts: Parts, edit: rules.Edit) -> tuple[DraftRow, list[tuple[str, str]]]:
    row = DraftRow(status=DRAFT, note="", edits=[edit], authors=[])
    try:
        parts.drafts.content(row)
    except Unfit as unfit:
        return row, unfit.faults
    return row, []


def _by_field(faults: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Faults by the field of the form that shows them; "" has what belongs to none."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for field, message in faults:
        place = field.removeprefix("templates.")
        while place and place not in FIELDS:
            place = place.rpartition(".")[0]
        found[place].append(message if place else f"{field}: {message}" if field else message)
    return dict(found)


def _standing(parts: Parts, number: int) -> dict[str, Any]:
    found: dict[str, Any] | None = rules.standing(parts.content(), SECTION, number)
    if found is None:
        raise NoSuch(f"there is no mission template {number}")
    return found
