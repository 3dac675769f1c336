"""The form of a campaign: its fields, an entry of the catalog as the form has it, and the reverse."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from catalog.campaign_entry import BELONGS, WEEKDAYS
from catalog.governance import rules
from loyalty.conditions import ConditionError, parse
from loyalty.content import Decisions
from loyalty.messages import MessageError, compiled_text
from loyalty.vocabulary import KINDS
from web.api.parts import Parts
from web.console import editing
from web.console.rendering import say

SECTION = "campaigns"
#: What a form has, in the names that faults have; languages stand in rows beside them.
FIELDS = (
    "name", "description", "priority", "audience", "service", "control_share", "trigger", "trigger.kind",
    "trigger.types", "trigger.where", "trigger.when", "trigger.weekdays", "valid_from", "valid_to",
    "cooldown", "limits.per_customer", "limits.total", "limits.budget", "cost", "conversion.types",
    "conversion.where", "window", "offer", "offer_config", "product_id", "product_config", "messages",
    "active",
)  # fmt: skip
FLAGS = ("service", "active")
KINDS_OF_TRIGGER = tuple(BELONGS)
_WHOLE = {"priority", "limits.per_customer", "limits.total", "product_id"}
_MONEY = {"limits.budget", "cost"}
_DAYS = {"cooldown", "window"}
_TYPES = {"trigger.types", "conversion.types"}
_TIMES = {"valid_from", "valid_to"}
_JSON = {"offer_config", "product_config"}
#: Empty rows for messages in more languages.
SPARE = 2
MOST_MESSAGES = 40


def usual(decisions: Decisions) -> dict[str, str]:
    """What an empty editor begins with."""
    return {
        "trigger.kind": "crossing", "cooldown": "30", "window": "14", "priority": "50", "control_share": "10",
        "active": "on", "message.0.language": "en",
    }  # fmt: skip


def flat(entry: dict[str, Any], decisions: Decisions) -> dict[str, str]:
    """An entry as the form has it: amounts in the currency, times in the operator's zone, shares in %."""
    found: dict[str, str] = {}
    for name in FIELDS:
        value: Any = entry
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if name in FLAGS:
            found[name] = "on" if value else ""
        elif name in ("trigger", "messages") or value is None or (value in (0, "") and name != "priority"):
            found[name] = ""
        elif name == "control_share":
            found[name] = f"{Decimal(repr(value)) * 100:f}".rstrip("0").rstrip(".")
        elif name in _MONEY:
            found[name] = f"{Decimal(value).scaleb(-decisions.currency_decimals):f}"
        elif name in _TIMES:
            at = datetime.fromisoformat(value).astimezone(ZoneInfo(decisions.timezone))
            found[name] = at.replace(tzinfo=None).isoformat(timespec="seconds").removesuffix(":00")
        elif name in _JSON:
            found[name] = json.dumps(value, ensure_ascii=False, indent=2) if value else ""
        elif name == "trigger.weekdays":
            found |= {f"weekday.{day}": "on" for day in value}
        else:
            found[name] = ", ".join(value) if isinstance(value, list) else str(value)
    for n, (language, text) in enumerate(entry["messages"].items()):
        found[f"message.{n}.language"], found[f"message.{n}.text"] = language, text
    return found


def rows(values: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """Messages of a form: place, language, text; those that stand there, and some to add."""
    filled = [
        n
        for n in range(MOST_MESSAGES)
        if values.get(f"message.{n}.language", "").strip() or values.get(f"message.{n}.text", "").strip()
    ]
    last = max(filled, default=-1)
    return [
        (n, values.get(f"message.{n}.language", ""), values.get(f"message.{n}.text", ""))
        for n in range(min(last + 1 + SPARE, MOST_MESSAGES))
    ]


def messages_of(form: Mapping[str, str]) -> dict[str, str]:
    """Texts by language, the first for every other."""
    found = {}
    for _, language, text in rows(form):
        if text.strip():
            found[language.strip()] = text.strip().replace("\r\n", "\n")
    return found


def read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken: somebody changed the campaign meanwhile."""
    kind, decisions = form.get("trigger.kind", ""), parts.content().decisions
    own = {f"trigger.{name}" for name in BELONGS.get(kind, ())}
    asked = [name for name in FIELDS if not name.startswith("trigger.") or name in own]
    entry, faults = editing.nested(form, asked, lambda name, text: _value(name, text, decisions))
    trigger = entry.setdefault("trigger", {})
    trigger["kind"] = kind
    if kind == "schedule":
        trigger["weekdays"] = [day for day in WEEKDAYS if form.get(f"weekday.{day}") == "on"]
    entry["messages"] = messages_of(form)
    faults += _unfit_texts(form, kind)
    return editing.entry_edit(parts, SECTION, form, entry, faults, "campaigns")


def _unfit_texts(form: Mapping[str, str], kind: str) -> editing.Faults:
    """What is wrong with conditions and messages, at once, whatever else is missing yet."""
    faults: editing.Faults = []
    conditions = ["audience", *(["trigger.when"] if kind == "crossing" else [])]
    for name in conditions:
        try:
            parse(form.get(name, ""), KINDS)
        except ConditionError as error:
            faults.append((name, str(error)))
    seen: set[str] = set()
    for n, language, text in rows(form):
        if not text.strip():
            if language.strip() and n > 0:
                faults.append((f"message.{n}", say("campaigns.no_text")))
            continue
        if not language.strip():
            faults.append((f"message.{n}", say("campaigns.no_language")))
        elif language.strip() in seen:
            faults.append((f"message.{n}", say("campaigns.language_twice")))
        seen.add(language.strip())
        try:
            compiled_text(text)
        except MessageError as error:
            faults.append((f"message.{n}", str(error)))
    return faults


def _value(name: str, text: str, decisions: Decisions) -> Any:
    """Raises ValueError with words for the reader."""
    if name in FLAGS:
        return text == "on"
    if not text or name in ("trigger", "messages"):  # what has parts: only faults are told there
        return None
    if name in _WHOLE:
        if not re.fullmatch(r"-?\d{1,18}", text.replace(",", "")):
            raise ValueError(say("missions.whole"))
        return int(text.replace(",", ""))
    if name in _DAYS:
        return int(text) if text.isdecimal() else text
    if name in _TYPES:
        return editing.words(text)
    if name == "control_share":
        return float(_decimal(text.removesuffix("%").strip()) / 100)
    if name in _MONEY:
        minor = _decimal(text.replace(",", "")).scaleb(decisions.currency_decimals)
        if minor != minor.to_integral_value():
            raise ValueError(say("campaigns.too_fine", n=decisions.currency_decimals))
        return int(minor)
    if name in _TIMES:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(say("campaigns.no_time")) from None
        at = at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(decisions.timezone))
        try:
            return at.astimezone(UTC).isoformat()
        except OverflowError:
            raise ValueError(say("campaigns.no_time")) from None
    if name in _JSON:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(say("sources.no_json", why=error)) from None
        if not isinstance(found, dict):
            raise ValueError(say("campaigns.no_object"))
        return found
    return text


def _decimal(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError(say("sources.no_number")) from None
    if not found.is_finite() or abs(found) >= 10**15:
        raise ValueError(say("sources.no_number"))
    return found


def by_field(faults: editing.Faults, form: Mapping[str, str]) -> dict[str, list[str]]:
    """Faults by the field of the form that shows them, those of a message by its row."""
    written = rows(form)
    places = {language.strip(): f"message.{n}" for n, language, text in written if text.strip()}
    placed = []
    for field, message in faults:
        section, _, language = field.removeprefix(f"{SECTION}.").partition(".")
        row = places.get(language.split(".")[0]) if section == "messages" else None
        placed.append((row or field, message))
    return editing.by_field(placed, (*FIELDS, *(f"message.{n}" for n, _, _ in written)), SECTION)
