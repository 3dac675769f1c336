"""Rules of the game one by one, as the API reads and edits them: entries with tags, and edits as a draft.

An entry is what stands in the YAML files (`catalog.entries`), with nothing left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import yaml

from catalog.campaign_entry import ContactEntry
from catalog.content import Content
from catalog.draft import Draft, DraftError, Place, Written
from catalog.entries import SECTIONS, PredictionsEntry, TierEntry
from catalog.entry import Strict
from catalog.service import Unfit
from catalog.written import contact, written
from loyalty.content import COMPONENTS, SCORES, Predictions, ScoringPolicy
from loyalty.game import Game

#: What an edit may concern, besides the sections of entries; there is one of each.
ALONE = ("tiers", "points_valid_months", "policy", "contact", "predictions")
#: Those of them that are objects of said fields.
FIELDS: dict[str, type[ContactEntry | PredictionsEntry]] = {
    "contact": ContactEntry, "predictions": PredictionsEntry,
}  # fmt: skip
_FAULT = re.compile(r'edit:(\d+): (\w+)(?:\["(.*?)"\]|\[\d+\])?\.?([^:\s]*): (.*)', re.DOTALL)

#: `section`, `entry` (whole), and `base`: the tag of what it replaces, None for something new.
Edit = dict[str, Any]


def tag(value: Any) -> str:
    """What changes when a value does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(text.encode(), digest_size=10).hexdigest()


def entries(game: Game, section: str) -> list[dict[str, Any]]:
    """All entries of a section, by number."""
    model = SECTIONS[section]
    return [whole(model.model_validate(each)) for each in written(game)[section]]


def whole(entry: Strict) -> dict[str, Any]:
    """An entry with nothing left out; the same model reads it again."""
    found = entry.model_dump(mode="json")
    target = found.get("target")
    if target is not None:
        found["target"] = target.pop("value") or target
    return found


def standing(content: Content, section: str, name: str | int | None = None) -> Any:
    """What the content says: of an entry by number or name, or of what there is one of; None: nothing."""
    if section == "policy":
        return msgspec.to_builtins(content.policy)
    if section == "predictions":
        return msgspec.to_builtins(content.predictions)
    if section == "contact":
        return whole(ContactEntry.model_validate(contact(content.game.contact)))
    if section in ALONE:
        return written(content.game)[section]
    key = SECTIONS[section].key
    for each in entries(content.game, section):
        if name in (each[key], each["name"]):
            return each
    return None


def policy_of(given: Mapping[str, Any]) -> ScoringPolicy:
    """A scoring policy; scores and components in any order.  Raises Unfit."""
    scores = given.get("scores")
    if isinstance(scores, dict) and all(isinstance(parts, dict) for parts in scores.values()):
        ordered = {
            score: {name: scores[score][name] for name in _in_order(COMPONENTS[score], scores[score])}
            if score in COMPONENTS
            else scores[score]
            for score in _in_order(SCORES, scores)
        }
        given = {**given, "scores": ordered}
    try:
        policy = msgspec.convert(given, ScoringPolicy)
        policy.validate()
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        raise Unfit("the scoring policy", [(place.rstrip("`").lstrip("."), message)]) from None
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        raise Unfit("the scoring policy", [(field, message)]) from None
    return policy


def _in_order(wanted: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    return [name for name in wanted if name in given] + [name for name in given if name not in wanted]


def draft_of(edits: Sequence[Edit]) -> tuple[Draft, ScoringPolicy | None, Predictions | None]:
    """Edits as a draft of the game and, where they are among them, policy and predictions.  Raises Unfit."""
    found: dict[str, list[Written]] = {name: [] for name in SECTIONS}
    tiers = months = policy = spoken = predictions = None
    for number, edit in enumerate(edits):
        mark = yaml.Mark("edit", 0, number, 0, None, 0)
        place = Place("edit", yaml.ScalarNode("", "", start_mark=mark))
        section, entry = edit["section"], edit["entry"]
        if section == "policy":
            policy = policy_of(entry)
        elif section == "tiers":
            tiers = [Written(TierEntry.model_validate(each), place) for each in entry]
        elif section == "points_valid_months":
            months = Written(entry, place)
        elif section == "contact":
            spoken = Written(ContactEntry.model_validate(entry), place)
        elif section == "predictions":
            predictions = PredictionsEntry.model_validate(entry).build()
        else:
            found[section].append(Written(SECTIONS[section].model_validate(entry), place))
    return Draft(["edits"], found, tiers, months, spoken), policy, predictions


def unfit(error: DraftError, edits: Sequence[Edit]) -> Unfit:
    """The faults of a draft that was made of edits: fields of the last one as they are, others with where."""
    faults = []
    for fault in error.faults:
        parts = _FAULT.fullmatch(fault)
        if parts is None:
            faults.append(("", fault))
            continue
        number, section, name, path, message = parts.groups()
        if int(number) == len(edits):
            faults.append((path or section, message))
        else:
            shown = f'{section}["{name}"]' if name else section
            faults.append((f"{shown}.{path}" if path else shown, message))
    return Unfit("this", faults)


def key_of(edit: Edit) -> tuple[str, Any]:
    """What an edit concerns: its section, and the number, else the name, of the entry."""
    section, entry = edit["section"], edit["entry"]
    if section in ALONE:
        return section, None
    number = entry.get(SECTIONS[section].key)
    return section, entry["name"] if number is None else number


def back_to(now: Content, then: Content) -> list[Edit]:
    """The edits that make the rules of `now` say what those of `then` did; what is newer is switched off.

    A newer offer goes, but for one that newer rules name: that stays, and no model ranks it.
    """
    found: list[Edit] = []
    named = _offers_of_newer(now, then)
    for section, model in SECTIONS.items():
        old = {each[model.key]: each for each in entries(then.game, section)}
        new = {each[model.key]: each for each in entries(now.game, section)}
        for number in sorted(old.keys() | new.keys()):
            wanted = old.get(number)
            if wanted is None:
                kept = section == "offers" and new[number]["name"] in named
                wanted = new[number] | ({"kind": ""} if kept else {"active": False})
            if wanted != new.get(number):
                base = tag(new[number]) if number in new else None
                found.append({"section": section, "entry": wanted, "base": base})
    for section in ALONE:
        before, after = standing(then, section), standing(now, section)
        if before != after:
            found.append({"section": section, "entry": before, "base": tag(after)})
    return found


def _offers_of_newer(now: Content, then: Content) -> set[str]:
    """Names of offers that rules of `now` hand out which `then` had not."""
    found: set[str] = set()
    for section in ("templates", "badges", "campaigns"):
        old = {each["number"] for each in entries(then.game, section)}
        for each in entries(now.game, section):
            if each["number"] not in old:
                givers = each["levels"].values() if section == "badges" else [each]
                found |= {giver.get("rewards", giver)["offer"] or "" for giver in givers}
    return found
