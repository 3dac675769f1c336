"""What checks of all kinds of rules have in common: a problem and its place, numbers, names, conditions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from loyalty.conditions import ConditionError, Kind, parse
from loyalty.events import SOURCE_TYPES
from loyalty.game import BADGES, CAMPAIGNS, TEMPLATES

MOST_NUMBER = {
    "templates": TEMPLATES, "badges": BADGES, "earning": 2**16 - 1, "offers": 2**31 - 1,
    "campaigns": CAMPAIGNS,
}  # fmt: skip
MOST_PRIORITY = 1_000_000
MOST_TOTAL = 10**12


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a place like `templates["Summer Calls"].goal.types[1]`."""

    place: str
    message: str


def named(section: str, entries: list[tuple[int, str]], least: int = 0) -> Iterator[Problem]:
    key = "offer_id" if section == "offers" else "number"
    names: dict[str, int] = {}
    numbers: dict[int, str] = {}
    for index, (number, name) in enumerate(entries):
        place = f'{section}["{name}"]'
        if not name.strip():
            yield Problem(f"{section}[{index}].name", "must not be empty")
        elif name in names:
            yield Problem(f"{place}.name", f"two have this name, {names[name]} and {number}")
        if number in numbers:
            yield Problem(f"{place}.{key}", f"{numbers[number]!r} has the number {number} too")
        yield from within(f"{place}.{key}", number, least, MOST_NUMBER[section])
        names.setdefault(name, number)
        numbers.setdefault(number, name)


def within(place: str, value: float, least: float, most: float, unit: str = "") -> Iterator[Problem]:
    # The form that NaN fails.
    if not least <= value <= most:
        yield Problem(place, f"must be {least:,} to {most:,}{unit and ' ' + unit}, not {value:,}")


def near(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 3)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def condition(place: str, text: str, names: Mapping[str, Kind] | None) -> Iterator[Problem]:
    try:
        parse(text, names)
    except ConditionError as error:
        yield Problem(place, str(error))


def event_types(place: str, types: Sequence[str]) -> Iterator[Problem]:
    if not types:
        yield Problem(place, "must name at least one event type")
    for index, name in enumerate(types):
        if name not in SOURCE_TYPES:
            yield Problem(
                f"{place}[{index}]", f"there is no event type {name!r}{near(name, sorted(SOURCE_TYPES))}"
            )
