"""Rules of the game in YAML files: read, laid over a game, and checked, with the place of every fault.

A draft says what changes: an entry it has is new or replaces the one of its number or name, what it does not
mention stays.  Numbers are never given to something else, so an entry that is no longer wanted stays, with
`active: false`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import yaml
from pydantic import ValidationError

from catalog import yaml_text
from catalog.campaign_entry import ContactEntry
from catalog.entries import SECTIONS, TierEntry
from catalog.entry import Entry, Numbers, Unresolved
from config.errors import KhayweError
from loyalty.checking import problems
from loyalty.game import LEVELS, Game, Sold

#: Numbers of a section that are taken, with the names they had, besides those of a game.
Retired = Mapping[str, Mapping[int, str]]
#: What campaigns may sell, by product_id; or why it cannot be had, in words.
Products = Mapping[int, Sold | str]
SEED = Path(__file__).with_name("seed")
_ALL = (*SECTIONS, "contact", "tiers", "points_valid_months")
#: Where `loyalty.game` says it otherwise than the files.
_SHOWN = {
    "duration_days": "duration",
    "cooldown_days": "cooldown",
    "target.value": "target",
    "rewards.level": "rewards.badge.level",
    "window_days": "window",
    "per_customer": "limits.per_customer",
    "total": "limits.total",
    "budget": "limits.budget",
}
#: Faults that are shown, and characters of one: a broken file has thousands, and may quote itself.
MOST_SHOWN, LONGEST = 100, 500
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DraftError(KhayweError):
    """Files that cannot be loaded; a line for each fault, with its place."""

    def __init__(self, faults: Sequence[str]) -> None:
        shown = [fault if len(fault) <= LONGEST else f"{fault[:LONGEST]}..." for fault in faults[:MOST_SHOWN]]
        if len(faults) > MOST_SHOWN:
            shown.append(f"and {len(faults) - MOST_SHOWN:,} more")
        super().__init__(
            "\n  ".join(("this cannot be loaded, and nothing was changed:", *shown)),
            hint="docs/catalog.md explains every field, docs/conditions.md the conditions",
        )
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry is written: the file and its YAML there."""

    file: str
    node: yaml.Node

    def of(self, path: str) -> str:
        """`file:line` of a field of the entry, or of what is nearest to it."""
        node = self.node
        line = node.start_mark.line
        for step in path.split("."):
            if isinstance(node, yaml.MappingNode):
                pair = next((each for each in node.value if each[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line, pair[1]
            elif isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
                node = node.value[int(step)]
                line = node.start_mark.line
            else:
                break
        return f"{self.file}:{line + 1}"


@dataclass(frozen=True, slots=True)
class Written:
    """An entry and its place."""

    entry: Any
    place: Place


@dataclass(frozen=True, slots=True)
class Draft:
    """What files say.  What there is one of is None where they say nothing of it."""

    files: list[str]
    entries: dict[str, list[Written]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    tiers: list[Written] | None = None
    valid_months: Written | None = None
    contact: Written | None = None

    def products(self) -> set[int]:
        """Ids of the products that it names."""
        named = (each.entry.product_id for each in self.entries["campaigns"])
        return {each for each in named if each is not None}

    def onto(
        self,
        game: Game,
        currency_decimals: int,
        retired: Retired | None = None,
        products: Products | None = None,
    ) -> Game:
        """The game with the draft laid over it, checked.  Raises DraftError."""
        faults: list[str] = []
        places: dict[str, dict[str, Written]] = {name: {} for name in SECTIONS}
        changed: dict[str, Any] = {}
        for section in SECTIONS:
            numbers = Numbers(
                {offer.name: offer.offer_id for offer in changed.get("offers", game.offers)},
                {badge.name: badge.number for badge in changed.get("badges", game.badges)},
                products or {},
                {each.number: each.product for each in game.campaigns if each.product is not None},
            )
            taken = (retired or {}).get(section, {})
            changed[section] = self._section(section, game, taken, numbers, places[section], faults)
        if self.tiers is not None:
            changed["tiers"] = [each.entry.build() for each in self.tiers]
        if self.valid_months is not None:
            changed["points_valid_months"] = int(self.valid_months.entry)
        if self.contact is not None:
            changed["contact"] = self.contact.entry.build()
        if faults:
            raise DraftError(faults)
        found = msgspec.structs.replace(game, **changed)
        faults = [
            f"{self._place(problem.place, places)}: {problem.message}"
            for problem in problems(found, currency_decimals)
        ]
        if faults:
            raise DraftError(faults)
        return found

    def _section(
        self,
        section: str,
        game: Game,
        taken: Mapping[int, str],
        numbers: Numbers,
        places: dict[str, Written],
        faults: list[str],
    ) -> list[Any]:
        key = SECTIONS[section].key
        rules = {getattr(rule, key): rule for rule in getattr(game, section)}
        names = {rule.name: number for number, rule in rules.items()}
        names |= {name: number for number, name in taken.items()}
        # Who may not come back under another name.
        gone = dict(taken) | {
            number: rule.name for number, rule in rules.items() if not getattr(rule, "active", True)
        }
        said: dict[int, Written] = {}
        given = [each.entry.given_number for each in self.entries[section]]
        free = max([*rules, *taken, *(number for number in given if number is not None), 0]) + 1
        for each in self.entries[section]:
            entry: Entry = each.entry
            number = entry.given_number

            def fault(path: str, what: str, each: Written = each, name: str = entry.name) -> None:
                faults.append(f'{each.place.of(path)}: {section}["{name}"].{path}: {what}')

            if entry.name in places:
                fault("name", f"is there twice, also at {places[entry.name].place.of('name')}")
                continue
            places[entry.name] = each
            if number is None:
                number = names.get(entry.name)
                if number is None:
                    number, free = free, free + 1
            elif number in gone and gone[number] != entry.name:
                fault(key, f"{number} was {gone[number]!r}; numbers are never used again, {free} is free")
                continue
            elif entry.name in taken.values() and number != names[entry.name]:
                fault(key, f"{entry.name!r} has the number {names[entry.name]}")
                continue
            if number in said:
                fault(key, f"{number} is there twice, also at {said[number].place.of(key)}")
                continue
            said[number] = each
            try:
                rule = entry.build(number, numbers)  # type: ignore[attr-defined]
            except Unresolved as error:
                fault(error.field, str(error))
                continue
            rules[number] = rule
            if not hasattr(rule, "active") and not entry.active:  # type: ignore[attr-defined]
                del rules[number]
        return [rules[number] for number in sorted(rules)]

    def _place(self, place: str, places: dict[str, dict[str, Written]]) -> str:
        """A place of `loyalty.checking` as the files have it."""
        found = re.fullmatch(r'(\w+)(?:\["(.*?)"\]|\[(\d+)\])?\.?(.*)', place)
        assert found is not None, place
        section, name, index, path = found.groups()
        path = re.sub(r"\blevels\[(\d)\]", lambda level: f"levels.{LEVELS[int(level[1])]}", path)
        path = re.sub(r'\["(.*?)"\]', r".\1", path)
        path = _SHOWN.get(path, path)
        if name is not None:
            written = places.get(section, {}).get(name)
            shown = f'{section}["{name}"]'
        else:
            written = None
            shown = section if index is None else f"{section}[{index}]"
            if section == "tiers" and self.tiers is not None and int(index or 0) < len(self.tiers):
                written = self.tiers[int(index or 0)]
            elif section == "points_valid_months":
                written = self.valid_months
            elif section == "contact":
                written = self.contact
        shown = f"{shown}.{path}" if path else shown
        if written is None:
            return f"in the catalog: {shown}"
        return f"{written.place.of(path.replace('[', '.').replace(']', ''))}: {shown}"


@lru_cache(maxsize=1)
def seed() -> Draft:
    """What a fresh installation begins with."""
    return read([SEED])


def read(paths: Sequence[Path]) -> Draft:
    """The draft that YAML files, and those of directories, hold together.  Raises DraftError, OSError."""
    faults: list[str] = []
    entries: dict[str, list[Written]] = {name: [] for name in SECTIONS}
    alone: dict[str, Any] = {"tiers": None, "points_valid_months": None, "contact": None}
    files = list(_files(paths))
    for path in files:
        root = _root(path, faults)
        for key, node in root.value if root is not None else ():
            section, place = key.value, Place(str(path), node)
            if section not in _ALL:
                near = difflib.get_close_matches(section, _ALL, 1) or [", ".join(_ALL)]
                faults.append(f"{path}:{key.start_mark.line + 1}: there is no {section!r}; is it {near[0]}?")
            elif section in SECTIONS:
                entries[section] += _entries(section, SECTIONS[section], place, faults)
            elif alone[section] is not None:
                faults.append(f"{place.of('')}: {section}: is there twice, also in {alone[section].file}")
            else:
                alone[section] = place
    tiers = months = contact = None
    if alone["contact"] is not None:
        contact = _entry("contact", ContactEntry, alone["contact"], faults)
    if alone["tiers"] is not None:
        tiers = _entries("tiers", TierEntry, alone["tiers"], faults)
    if alone["points_valid_months"] is not None:
        place = alone["points_valid_months"]
        months = Written(place.node.value, place)
        if place.node.tag != "tag:yaml.org,2002:int" or not months.entry.isdecimal():
            faults.append(f"{place.of('')}: points_valid_months: must be a whole number")
    if faults:
        raise DraftError(faults)
    return Draft([str(path) for path in files], entries, tiers, months, contact)


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml"))
            if not inside:
                raise DraftError([f"{path}: there is no .yaml in this directory"])
            found += inside
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _root(path: Path, faults: list[str]) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(yaml_text.read(path), _Loader)
    except (yaml.YAMLError, ValueError) as error:
        faults.append(f"{path}: no YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(root, yaml.MappingNode):
        faults.append(f"{path}: must hold {', '.join(_ALL[:-1])} or {_ALL[-1]}")
        return None
    before = len(faults)
    _find_twice(root, str(path), faults, set())
    return root if len(faults) == before else None


def _find_twice(node: yaml.Node, file: str, faults: list[str], known: set[int]) -> None:
    """YAML takes the last of two keys of one name; people mean both."""
    if id(node) in known:  # an alias
        return
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                faults.append(f"{file}:{key.start_mark.line + 1}: a field's name is a word")
                continue
            if key.value in seen:
                faults.append(f"{file}:{key.start_mark.line + 1}: {key.value}: is there twice")
            seen.add(key.value)
            _find_twice(value, file, faults, known)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _find_twice(value, file, faults, known)


def _value(node: yaml.Node) -> Any:
    """What a node says.  Raises ValueError for what is no value, whatever PyYAML raises."""
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no value: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def _entries(section: str, model: Any, place: Place, faults: list[str]) -> list[Written]:
    if not isinstance(place.node, yaml.SequenceNode):
        faults.append(f"{place.of('')}: {section}: must be a list")
        return []
    found = []
    for index, node in enumerate(place.node.value):
        written = _entry(f"{section}[{index}]", model, Place(place.file, node), faults)
        found += [written] if written is not None else []
    return found


def _entry(shown: str, model: Any, place: Place, faults: list[str]) -> Written | None:
    try:
        value = _value(place.node)
    except ValueError as error:
        faults.append(f"{place.of('')}: {shown}: {error}")
        return None
    name = value.get("name") if isinstance(value, dict) else None
    if isinstance(name, str):
        shown = f'{shown.partition("[")[0]}["{name}"]'
    try:
        return Written(model.model_validate(value), place)
    except ValidationError as error:
        faults += [_explained(shown, place, fault, model) for fault in error.errors()]
        return None


def _explained(shown: str, place: Place, fault: Any, model: Any) -> str:
    path = ".".join(str(step) for step in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if not path and fault["type"] == "value_error":  # of an entry as a whole: it says the field itself
        path, message = message.split(": ", 1)
    if fault["type"] == "missing":
        message = "is missing"
    elif fault["type"] == "extra_forbidden":
        message = "there is no such field"
        near = difflib.get_close_matches(str(fault["loc"][-1]), model.model_fields, 1)
        if near and len(fault["loc"]) == 1:
            message += f"; is it {near[0]}?"
    elif fault["type"] == "model_type":
        message = "must be fields with their values"
    return f"{place.of(path)}: {shown}{'.' + path if path else ''}: {message}"
