"""The rules of the game as people write them in YAML, and how they become those of `loyalty.game`.

These models check the form: which fields there are, numbers, days, names.  Whether the rules make sense
together is `loyalty.checking`'s to say.  docs/catalog.md explains every field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from loyalty.events import ACTIVITY, APP, CALLS, CODES, DATA
from loyalty.game import (
    LEVELS,
    Badge,
    Category,
    Earning,
    Goal,
    GoalKind,
    Level,
    Limits,
    Offer,
    OfferKind,
    Reward,
    Target,
    Template,
    Tier,
    ValueSegment,
)

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


class Unresolved(ValueError):
    """A name that an entry uses and nothing has; `field` is where it stands."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers by name, of what rewards may name."""

    offers: Mapping[str, int]
    badges: Mapping[str, int]


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


def _target(given: Any) -> Any:
    return {"value": given} if isinstance(given, int) else given


Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Days = Annotated[Whole, BeforeValidator(_days)]
Types = Annotated[list[str], BeforeValidator(_types)]
LevelName = Literal["bronze", "silver", "gold", "platinum"]


#: An amount of money or of anything else that is not below 0.
Amount = Annotated[float, Field(ge=0, le=1e9)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_ -]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _texts_can_be_stored(cls, value: Any) -> Any:
        for text in value if isinstance(value, (list, dict)) else [value]:
            if isinstance(text, str) and _UNFIT.search(text):
                raise ValueError("has a character that cannot be kept")
        return value


class GoalEntry(_Strict):
    """`loyalty.game.Goal`."""

    kind: GoalKind
    types: Types
    where: str = ""
    distinct: str = ""
    among: str = ""
    at_least: Whole = 1
    gap: Days = 0


class TargetEntry(_Strict):
    """`loyalty.game.Target`; a number alone is its value."""

    value: Whole = 0
    baseline: str = ""
    stretch: float = 1.0
    low: Whole = 0
    high: Whole = 0

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.value and self.model_fields_set > {"value"}:
            raise ValueError("say either a number, or baseline, stretch, low and high")
        return self


class BadgeReward(_Strict):
    """Which badge, and up to which level."""

    name: str
    level: LevelName = "bronze"


class RewardEntry(_Strict):
    """`loyalty.game.Reward`, with names instead of numbers."""

    points: Whole = 0
    offer: str | None = None
    badge: BadgeReward | None = None

    def build(self, numbers: Numbers) -> Reward:
        """Raises Unresolved."""
        offer = badge = -1
        if self.offer is not None:
            offer = _number(numbers.offers, self.offer, "offer")
        if self.badge is not None:
            badge = _number(numbers.badges, self.badge.name, "badge")
        level = LEVELS.index(self.badge.level) + 1 if self.badge is not None else 1
        return Reward(self.points, offer, badge, level)


def _number(numbers: Mapping[str, int], name: str, what: str) -> int:
    if name not in numbers:
        known = ", ".join(numbers) or "none"
        raise Unresolved(f"rewards.{what}", f"there is no {what} {name!r}; there are: {known}")
    return numbers[name]


class LimitsEntry(_Strict):
    """`loyalty.game.Limits`."""

    per_customer: Whole = 0
    total: Whole = 0
    budget: Whole = 0


class Entry(_Strict):
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


class TemplateEntry(Entry):
    """A mission template."""

    number: Whole | None = None
    category: Category
    description: str = ""
    eligibility: str = ""
    after: list[str] = []
    goal: GoalEntry
    target: Annotated[TargetEntry | None, BeforeValidator(_target)] = None
    duration: Days
    cooldown: Days
    priority: Whole
    rewards: RewardEntry = RewardEntry()
    limits: LimitsEntry = LimitsEntry()
    active: bool = True

    @model_validator(mode="after")
    def _has_the_target_its_goal_needs(self) -> Self:
        implied = self.goal.kind in IMPLIED
        if implied and self.target is not None:
            raise ValueError(f"target: a goal of kind {self.goal.kind} has its own; leave it out")
        if not implied and self.target is None:
            raise ValueError(f"target: a goal of kind {self.goal.kind} needs one")
        return self

    def build(self, number: int, numbers: Numbers) -> Template:
        """Raises Unresolved."""
        if self.target is not None:
            target = Target(**self.target.model_dump())
        else:
            target = Target(1 if self.goal.kind == "first" else self.duration)
        return Template(
            number=number,
            name=self.name,
            category=self.category,
            goal=Goal(**self.goal.model_dump()),
            target=target,
            duration_days=self.duration,
            cooldown_days=self.cooldown,
            priority=self.priority,
            description=self.description,
            eligibility=self.eligibility,
            after=self.after,
            rewards=self.rewards.build(numbers),
            limits=Limits(**self.limits.model_dump()),
            active=self.active,
        )


#: Goals that say themselves how much.
IMPLIED = ("first", "inactivity")


class LevelEntry(_Strict):
    """A level of a badge."""

    condition: str
    rewards: RewardEntry = RewardEntry()


class LevelsEntry(_Strict):
    """All four."""

    bronze: LevelEntry
    silver: LevelEntry
    gold: LevelEntry
    platinum: LevelEntry


class BadgeEntry(Entry):
    """A badge."""

    number: Whole | None = None
    description: str = ""
    levels: LevelsEntry
    active: bool = True

    def build(self, number: int, numbers: Numbers) -> Badge:
        """Raises Unresolved."""
        levels = []
        for name in LEVELS:
            level: LevelEntry = getattr(self.levels, name)
            try:
                levels.append(Level(level.condition, level.rewards.build(numbers)))
            except Unresolved as error:
                raise Unresolved(f"levels.{name}.{error.field}", str(error)) from None
        return Badge(number, self.name, levels, self.description, self.active)


class EarningEntry(Entry):
    """A rule of earning."""

    number: Whole | None = None
    types: Types
    where: str = ""
    points_per_unit: float
    active: bool = True

    def build(self, number: int, numbers: Numbers) -> Earning:
        """The rule under its number."""
        return Earning(number, self.name, self.types, self.points_per_unit, self.where)


class OfferEntry(Entry):
    """An offer."""

    key: ClassVar[str] = "offer_id"

    offer_id: Whole | None = None
    description: str = ""
    category: Word | Literal[""] = ""
    lifecycle_stage: str = Field("all", min_length=1, max_length=100)
    target_value_segment: ValueSegment = "all"
    segments: list[Annotated[str, Field(min_length=1, max_length=100)]] = []
    kind: OfferKind = ""
    value: Amount = 0.0
    cost: Amount = 0.0
    points_factor: float = Field(1.0, ge=1, le=1_000)
    discount: float = Field(0.0, ge=0, le=100)
    bonus: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Annotated[Amount, Field(gt=0)]] = {}
    valid_days: int = Field(0, ge=0, le=3_650)
    active: bool = True

    def build(self, number: int, numbers: Numbers) -> Offer:
        """The offer under its number."""
        return Offer(offer_id=number, **self.model_dump(exclude={"offer_id", "active"}))


class TierEntry(_Strict):
    """A tier."""

    name: str
    points: Whole

    def build(self) -> Tier:
        """The tier."""
        return Tier(self.name, self.points)


#: What a file may hold besides `tiers` and `points_valid_months`, in the order in which names are looked up.
SECTIONS: dict[str, type[OfferEntry | BadgeEntry | TemplateEntry | EarningEntry]] = {
    "offers": OfferEntry,
    "badges": BadgeEntry,
    "templates": TemplateEntry,
    "earning": EarningEntry,
}


def number_of(section: str, rule: Any) -> int:
    """The number of a template, badge, rule of earning or offer."""
    found: int = getattr(rule, SECTIONS[section].key)
    return found
