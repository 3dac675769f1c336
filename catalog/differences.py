"""What differs between two revisions, in the words of the files that people write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.content import Content
from catalog.entries import SECTIONS
from catalog.written import written

_Entries = dict[Any, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that was added, removed or changed; `fields` are those that differ, before and after."""

    section: str
    name: str
    number: int | None
    change: str
    fields: dict[str, tuple[Any, Any]]

    def lines(self) -> list[str]:
        """It as people read it."""
        sign = {"added": "+", "removed": "-", "changed": "~"}[self.change]
        number = "" if self.number is None else f" ({self.number})"
        name = f' "{self.name}"' if self.name else ""
        lines = [f"{sign} {self.section}{name}{number}"]
        for field, (before, after) in self.fields.items() if self.change != "removed" else ():
            value = _shown(after) if self.change == "added" else f"{_shown(before)} -> {_shown(after)}"
            lines.append(f"    {field}: {value}")
        return lines

    def plain(self) -> dict[str, Any]:
        """It for a program."""
        found: dict[str, Any] = {"section": self.section, "name": self.name, "number": self.number}
        fields = {field: list(values) for field, values in self.fields.items()}
        return found | {"change": self.change, "fields": fields}


def differences(before: Content, after: Content) -> list[Difference]:
    """All of them, section by section, by number."""
    found = []
    olds, news = _sections(before), _sections(after)
    for section in olds:
        old, new = olds[section], news[section]
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) == new.get(key):
                continue
            a, b = old.get(key, {}), new.get(key, {})
            # In the order of the files, what is gone last.
            fields = {name: (a.get(name), b.get(name)) for name in {**b, **a} if a.get(name) != b.get(name)}
            change = "added" if key not in old else "removed" if key not in new else "changed"
            if change != "changed":
                fields.pop("name", None)
            number = key if isinstance(key, int) else None
            name = (a or b).get("name", "") if number is not None else key
            found.append(Difference(section, name, number, change, fields))
    return found


def _sections(content: Content) -> dict[str, _Entries]:
    game = written(content.game)
    found: dict[str, _Entries] = {}
    for section in ("templates", "badges", "earning", "offers", "campaigns"):
        key = SECTIONS[section].key
        knows = section in ("templates", "badges", "campaigns")
        found[section] = {
            each.pop(key): _flat({"active": True} | each if knows else each) for each in game[section]
        }
    for campaign in content.game.campaigns:
        # What was copied of a product can change, though the campaign still names the same.
        sold = {"product": msgspec.to_builtins(campaign.product)} if campaign.product is not None else {}
        found["campaigns"][campaign.number] |= _flat(sold)
    found["contact"] = {"": game["contact"]}
    found["tiers"] = {each["name"]: {"points": each["points"]} for each in game["tiers"]}
    found["points_valid_months"] = {"": {"months": game["points_valid_months"]}}
    found["sources"] = {
        source.name: _without_name(_flat(msgspec.to_builtins(source))) for source in content.sources
    }
    found["policy"] = {"": _flat(msgspec.to_builtins(content.policy))}
    found["predictions"] = {"": _flat(msgspec.to_builtins(content.predictions))}
    found["decisions"] = {"": _flat(msgspec.to_builtins(content.decisions))}
    return found


def _without_name(fields: dict[str, Any]) -> dict[str, Any]:
    del fields["name"]
    return fields


def _flat(value: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict):
            found |= _flat(each, f"{before}{name}.")
        else:
            found[before + name] = each
    return found


def _shown(value: Any) -> str:
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(str(each) for each in value)
    return str(value)
