"""What editors of the rules share: entries as fields of a form and back, faults, the way into a draft."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from catalog.entries import SECTIONS
from catalog.governance import rules
from catalog.governance.audit import Caller
from catalog.governance.drafts import DRAFT
from catalog.governance.models import DraftRow
from catalog.service import NoSuch, Taken, Unfit, faults_of
from web.api.parts import Parts
from web.console.rendering import say

#: A field and what is wrong there.
Faults = list[tuple[str, str]]
#: What of a fault's place is no field's name: which one of a list.
_INDEX = re.compile(r"\[\d+\]")


def id_of(form: Mapping[str, str], name: str) -> int | None:
    """A number that PostgreSQL has room for, None for anything else."""
    text = form.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def flat(entry: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    """An entry as a form has it: lists with commas, numbers as they are, nothing for what is not said."""
    found: dict[str, str] = {}
    for name in fields:
        value: Any = entry
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, bool):
            found[name] = "on" if value else ""
        elif isinstance(value, list):
            found[name] = ", ".join(map(plain, value))
        elif isinstance(value, Mapping):
            found[name] = "\n".join(f"{key} = {plain(each)}" for key, each in value.items())
        else:
            found[name] = "" if value is None else plain(value)
    return found


def plain(value: Any) -> str:
    """A value as one writes it: whole numbers without a point."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def nested(
    form: Mapping[str, str], fields: Sequence[str], read: Callable[[str, str], Any]
) -> tuple[dict[str, Any], Faults]:
    """What fields of a form say, as an entry; `read` (field, text) raises ValueError with the reason."""
    entry: dict[str, Any] = {}
    faults: Faults = []
    for name in fields:
        text = form.get(name, "").strip()
        try:
            value = read(name, text)
        except ValueError as error:
            faults.append((name, str(error)))
            continue
        if value is None:
            continue
        node = entry
        *path, last = name.split(".")
        for step in path:
            node = node.setdefault(step, {})
        node[last] = value
    return entry, faults


def whole_number(text: str) -> int:
    """Raises ValueError."""
    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise ValueError(say("missions.whole")) from None


def amount(text: str) -> float:
    """Raises ValueError."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise ValueError(say("editing.amount")) from None


def words(text: str) -> list[str]:
    """Words with commas between them."""
    return [each.strip() for each in text.split(",") if each.strip()]


def standing(parts: Parts, section: str, number: int) -> dict[str, Any]:
    """An entry as published.  Raises NoSuch."""
    found: dict[str, Any] | None = rules.standing(parts.content(), section, number)
    if found is None:
        raise NoSuch(say("editing.missing", what=say(f"section.{section}"), number=number))
    return found


def entry_edit(
    parts: Parts, section: str, form: Mapping[str, str], entry: dict[str, Any], faults: Faults,
    words: str = "editing",
) -> tuple[rules.Edit | None, Faults]:  # fmt: skip
    """An entry's edit, or its faults.  Raises Taken where somebody has published another one meanwhile.

    `words` is the section of the texts with `taken` and `changed`.
    """
    model = SECTIONS[section]
    number, base = id_of(form, "number"), None
    if number is not None:
        entry[model.key] = number
        base = unchanged(parts, section, form, number, words)
    elif rules.standing(parts.content(), section, entry.get("name", "")) is not None:
        faults.append(("name", say(f"{words}.taken")))
    try:
        whole = rules.whole(model.model_validate(entry))
    except ValidationError as error:
        known = {field for field, _ in faults}
        return None, faults + [each for each in faults_of(error) if each[0] not in known]
    return (None, faults) if faults else ({"section": section, "entry": whole, "base": base}, [])


def single_edit(
    parts: Parts, section: str, form: Mapping[str, str], fields: Sequence[str],
    read: Callable[[str, str], Any], whole: Callable[[dict[str, Any]], dict[str, Any]],
    words: str = "editing",
) -> tuple[rules.Edit | None, Faults]:  # fmt: skip
    """The edit of what there is one of, or its faults; `read` and `words` as above.  Raises Taken.

    `whole` makes the entry that is published of what the form says, or raises ValidationError or Unfit.
    """
    base = unchanged(parts, section, form, words=words)
    entry, faults = nested(form, fields, read)
    if faults:
        return None, faults
    try:
        return {"section": section, "entry": whole(entry), "base": base}, []
    except ValidationError as error:
        return None, faults_of(error)
    except Unfit as unfit:
        return None, unfit.faults


def unchanged(
    parts: Parts, section: str, form: Mapping[str, str], number: int | None = None, words: str = "editing"
) -> str:
    """The tag of what an editor was opened with.  Raises Taken where that is not what stands there now."""
    before = rules.standing(parts.content(), section, number)
    base = form.get("base", "")
    if before is None or base != rules.tag(before):
        raise Taken(say(f"{words}.changed", what=say(f"section.{section}")), hint=say("problem.changed.hint"))
    return base


def draft_of(edit: rules.Edit) -> DraftRow:
    """A draft of one edit, which nobody keeps."""
    return DraftRow(status=DRAFT, note="", edits=[edit], authors=[])


def tried(parts: Parts, edit: rules.Edit) -> tuple[list[dict[str, Any]], Faults]:
    """What an edit would change, or why it cannot."""
    row = draft_of(edit)
    try:
        parts.drafts.content(row)
    except Unfit as unfit:
        return [], unfit.faults
    return parts.drafts.changes(row), []


def saved(
    request: Request, parts: Parts, caller: Caller, form: Mapping[str, str], edit: rules.Edit | None,
    faults: Faults,
) -> tuple[Response | None, Faults]:  # fmt: skip
    """The way to the draft that has the edit, or what is wrong with it."""
    if edit is None:
        return None, faults
    try:
        row = parts.drafts.add([edit], caller, form.get("note", "")[:500], id_of(form, "draft"))
    except Unfit as unfit:
        return None, unfit.faults
    return RedirectResponse(f"{request.scope['root_path']}/drafts/{row.id}/", 303), []


def into(parts: Parts, form: Mapping[str, str]) -> dict[str, Any]:
    """What the end of every editor shows: drafts that the edit may go into, and why it is made."""
    return {
        "drafts": parts.drafts.page(None, 20, DRAFT), "note": form.get("note", ""),
        "into": form.get("draft", ""),
    }  # fmt: skip


def by_field(faults: Faults, fields: Sequence[str], section: str) -> dict[str, list[str]]:
    """Faults by the field of the form that shows them; "" has what belongs to none."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for field, message in faults:
        # An edit of another entry of the draft says its own place: templates["..."].goal
        place = _INDEX.sub("", field.removeprefix(f"{section}."))
        while place and place not in fields:
            place = place.rpartition(".")[0]
        words = message if place or not field else f"{field}: {message}"
        if words not in found[place]:
            found[place].append(words)
    return dict(found)


def verdict(
    parts: Parts, section: str, fields: Sequence[str], edit: rules.Edit | None, faults: Faults
) -> dict[str, Any]:
    """For an editor's page: what is wrong by field, else what the edit would change."""
    changes: list[dict[str, Any]] = []
    if edit is not None:
        changes, faults = tried(parts, edit)
    return {"faults": by_field(faults, fields, section), "changes": changes, "fits": edit is not None}
