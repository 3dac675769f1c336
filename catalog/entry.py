"""What all entries of the rules have in common: names and numbers, days, event types, times of the day.

An entry is a rule as people write it in YAML; `catalog.entries` has the kinds of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from loyalty.events import ACTIVITY, APP, CALLS, CODES, DATA
from loyalty.game import Sold

#: Words for several event types at once; the widest stands first.
GROUPS: dict[str, frozenset[str]] = {
    "activity": ACTIVITY,
    "app_events": APP,
    "calls": CALLS,
    "data": DATA,
}
#: What neither PostgreSQL nor UTF-8 takes.
_UNFIT = re.compile("[\\0\ud800-\udfff]")
_DAYS = re.compile(r"(\d+) (days?|weeks?)")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
DAY_MINUTES = 1_440


class Unresolved(ValueError):
    """A name that an entry uses and nothing has; `field` is where it stands."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Numbers:
    """What entries may name: numbers by name, products by id (or why it cannot be had)."""

    offers: Mapping[str, int]
    badges: Mapping[str, int]
    products: Mapping[int, Sold | str] = field(default_factory=dict)
    #: By number of a campaign: the product that it has already.
    sold: Mapping[int, Sold] = field(default_factory=dict)


def number_by_name(numbers: Mapping[str, int], name: str, what: str, field: str) -> int:
    """Raises Unresolved."""
    if name not in numbers:
        known = ", ".join(numbers) or "none"
        raise Unresolved(field, f"there is no {what} {name!r}; there are: {known}")
    return numbers[name]


def _days(given: Any) -> Any:
    if isinstance(given, str):
        found = _DAYS.fullmatch(given.strip())
        if found is None:
            raise ValueError(f"must be like '14 days' or '2 weeks', not {given!r}")
        return int(found[1]) * (7 if found[2].startswith("week") else 1)
    return given


def _types(given: Any) -> Any:
    """Groups as their event types, each once, in the order of their codes."""
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return given
    found = {each for name in names for each in GROUPS.get(name, (name,))}
    return sorted(found, key=lambda name: (CODES.get(name, 1 << 30), name))


def _moment(given: Any) -> Any:
    """A time with its offset, as UTC; "" and None: open."""
    if given in ("", None):
        return ""
    try:
        at = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(f"must be a time with its offset, like '2026-03-01T00:00:00Z', not {str(given)!r}")
    try:
        return in_words(round(at.timestamp() * 1000))
    except (OverflowError, OSError):
        raise ValueError(f"{str(given)!r} is too far away") from None


def in_words(ms: int) -> str:
    """A time in ms as entries have it, "" for 0."""
    if ms == 0:
        return ""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def in_ms(moment: str) -> int:
    """The reverse."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000) if moment else 0


def _clock(given: Any) -> Any:
    """A time of the day.  YAML reads 21:00 without quotes as minutes, which is what it means."""
    if type(given) is int and 0 <= given < DAY_MINUTES:
        return of_day(given)
    found = _CLOCK.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f"must be a time of the day like '21:00', not {given!r}")
    return of_day(int(found[1]) * 60 + int(found[2]))


def of_day(minutes: int) -> str:
    """Minutes of the day as `21:00`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def minutes_of(clock: str) -> int:
    """The reverse."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Large = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Days = Annotated[Whole, BeforeValidator(_days)]
Types = Annotated[list[str], BeforeValidator(_types)]
Moment = Annotated[str, BeforeValidator(_moment)]
Clock = Annotated[str, BeforeValidator(_clock)]


class Strict(BaseModel):
    """Fields of the right type, and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _texts_can_be_stored(cls, value: Any) -> Any:
        for text in value if isinstance(value, (list, dict)) else [value]:
            if isinstance(text, str) and _UNFIT.search(text):
                raise ValueError("has a character that cannot be kept")
        return value


class LimitsEntry(Strict):
    """How often at most; 0: no limit."""

    per_customer: Whole = 0
    total: Large = 0
    budget: Large = 0


class Entry(Strict):
    """What has a number and a name.  `key` is the number's field in `loyalty.game`."""

    key: ClassVar[str] = "number"

    name: str = Field(max_length=100)

    @field_validator("name")
    @classmethod
    def _name_can_be_shown(cls, value: str) -> str:
        if not value or value != value.strip() or not value.isprintable() or '"' in value:
            raise ValueError("must be a name without quotation marks and without blanks around it")
        return value

    @property
    def given_number(self) -> int | None:
        """The number, where the entry says it."""
        found: int | None = getattr(self, self.key)
        return found
