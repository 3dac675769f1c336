"""The rules of the game as people write them in YAML, and how they become those of `loyalty.game`.

These models check the form: which fields there are, numbers, days, names.  Whether the rules make sense
together is `loyalty.checking`'s to say.  docs/catalog.md explains every field.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from catalog.campaign_entry import CampaignEntry
from catalog.entry import Days, Entry, LimitsEntry, Numbers, Strict, Types, Unresolved, Whole, number_by_name
from loyalty.content import Predictions
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


def _target(given: Any) -> Any:
    return {"value": given} if isinstance(given, int) else given


LevelName = Literal["bronze", "silver", "gold", "platinum"]
#: An amount of money or of anything else that is not below 0.
Amount = Annotated[float, Field(ge=0, le=1e9)]
Unit = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_ -]{0,62}$")]


class GoalEntry(Strict):
    """`loyalty.game.Goal`."""

    kind: GoalKind
    types: Types
    where: str = ""
    distinct: str = ""
    among: str = ""
    at_least: Whole = 1
    gap: Days = 0


class TargetEntry(Strict):
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


class BadgeReward(Strict):
    """Which badge, and up to which level."""

    name: str
    level: LevelName = "bronze"


class RewardEntry(Strict):
    """`loyalty.game.Reward`, with names instead of numbers."""

    points: Whole = 0
    offer: str | None = None
    badge: BadgeReward | None = None

    def build(self, numbers: Numbers) -> Reward:
        """Raises Unresolved."""
        offer = badge = -1
        if self.offer is not None:
            offer = number_by_name(numbers.offers, self.offer, "offer", "rewards.offer")
        if self.badge is not None:
            badge = number_by_name(numbers.badges, self.badge.name, "badge", "rewards.badge")
        level = LEVELS.index(self.badge.level) + 1 if self.badge is not None else 1
        return Reward(self.points, offer, badge, level)


class TemplateEntry(Entry):
    """A mission template."""

    number: Whole | None = None
    category: Category
    description: str = ""
    eligibility: str = ""
    after: list[str] = Field([])
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


class LevelEntry(Strict):
    """A level of a badge."""

    condition: str
    rewards: RewardEntry = RewardEntry()


class LevelsEntry(Strict):
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
    segments: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field([])
    kind: OfferKind = ""
    value: Amount = 0.0
    cost: Amount = 0.0
    points_factor: float = Field(1.0, ge=1, le=1_000)
    discount: float = Field(0.0, ge=0, le=100)
    bonus: dict[Unit, Annotated[Amount, Field(gt=0)]] = Field({})
    valid_days: int = Field(0, ge=0, le=3_650)
    active: bool = True

    def build(self, number: int, numbers: Numbers) -> Offer:
        """The offer under its number."""
        return Offer(offer_id=number, **self.model_dump(exclude={"offer_id", "active"}))


class TierEntry(Strict):
    """A tier."""

    name: str
    points: Whole

    def build(self) -> Tier:
        """The tier."""
        return Tier(self.name, self.points)


class PredictionsEntry(Strict):
    """When models are asked about a customer."""

    enabled: bool
    step: float = Field(ge=0, le=100, description="Points by which a score has moved since they were asked.")
    hours: int = Field(ge=0, le=8_760, description="Since they were asked.")

    def build(self) -> Predictions:
        """It as the fold has it."""
        return Predictions(self.enabled, self.step, self.hours)


#: What a file may hold besides what there is one of, in the order in which names are looked up.
SECTIONS: dict[str, type[OfferEntry | BadgeEntry | TemplateEntry | EarningEntry | CampaignEntry]] = {
    "offers": OfferEntry,
    "badges": BadgeEntry,
    "templates": TemplateEntry,
    "earning": EarningEntry,
    "campaigns": CampaignEntry,
}
