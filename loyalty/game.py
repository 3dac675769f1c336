"""The rules of the game as data: templates, badges, tiers, earning and offers of a catalog revision.

docs/game.md says what each field does.  Amounts stand in canonical units (seconds, megabytes, currency), as
people write them; conditions are texts in the language of `loyalty.conditions`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ACTIVE = 5  # missions a customer has at most
ONBOARDING = 2  # of them onboarding
LEVELS = ("bronze", "silver", "gold", "platinum")
TEMPLATES = 511  # highest number of a template
CAMPAIGNS = 255  # highest number of a campaign
ZONES = 16  # that have quiet hours of their own
BADGES = 31  # highest number of a badge
MISSION_DAYS = 190  # longest mission
DISTINCT = 6  # most distinct values a goal may ask for

#: What offers are about, as the model of the next best offer knows it.
OFFER_KINDS = ("points", "data", "recharge", "bundle", "roaming", "upgrade", "comeback", "service")
VALUES = ("low", "medium", "high")  # of customers to the operator, as the models' segments name them

CATEGORIES = ("onboarding", "engagement", "revenue", "loyalty", "behavioral_correction")
GOALS = ("count", "sum", "distinct", "days", "weeks", "share", "first", "inactivity")

Category = Literal["onboarding", "engagement", "revenue", "loyalty", "behavioral_correction"]
OfferKind = Literal["", "points", "data", "recharge", "bundle", "roaming", "upgrade", "comeback", "service"]
ValueSegment = Literal["all", "low", "medium", "high", "low_medium", "medium_high"]
GoalKind = Literal["count", "sum", "distinct", "days", "weeks", "share", "first", "inactivity"]


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be done: events of `types` that the filter `where` lets through."""

    kind: GoalKind
    types: list[str]
    where: str = ""  # a condition over `value` and attributes of the event
    distinct: str = ""  # distinct: the attribute, or `event_type`
    among: str = ""  # share: a filter; the share is that of `where` among the events it lets through
    at_least: int = 1  # share: events among which it counts
    gap: int = 0  # inactivity: longest absence allowed, days


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much: `value`, or personal: clamp(baseline x stretch, low, high), a number that people like."""

    value: int = 0
    baseline: str = ""  # a feature of the customer
    stretch: float = 1.0
    low: int = 0
    high: int = 0


class Reward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is given: any of points, an offer and a badge up to a level."""

    points: int = 0
    offer: int = -1  # offer_id
    badge: int = -1  # number
    level: int = 1  # of the badge, 1 to 4


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often at most; 0: no limit."""

    per_customer: int = 0  # times completed
    total: int = 0  # times given and not lost, by all customers
    budget: int = 0  # points, by all customers


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mission before it has a customer."""

    number: int
    name: str
    category: Category
    goal: Goal
    target: Target
    duration_days: int
    cooldown_days: int
    priority: int
    description: str = ""
    eligibility: str = ""
    after: list[str] = []  # names of templates that must have been completed before
    rewards: Reward = Reward()
    limits: Limits = Limits()
    active: bool = True


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level of a badge."""

    condition: str
    rewards: Reward = Reward()


class Badge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A badge with its four levels, bronze first."""

    number: int
    name: str
    levels: list[Level]
    description: str = ""
    active: bool = True


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A standing, by points earned in this or the last calendar year."""

    name: str
    points: int


class Earning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points for what is paid: floor(value x points_per_unit) of each event it fits."""

    number: int
    name: str
    types: list[str]
    points_per_unit: float
    where: str = ""


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a reward or a campaign may hand out; the operator's systems do it.

    The fold knows its number and name; the rest is for those who hand it out, and for who ranks offers.
    """

    offer_id: int
    name: str
    description: str = ""
    category: str = ""  # a word for people and reports
    lifecycle_stage: str = "all"  # of the customers it is for
    target_value_segment: ValueSegment = "all"
    segments: list[str] = []  # of the customers it is for; none: of any
    kind: OfferKind = ""  # "": no model ranks it
    value: float = 0.0  # what it brings when it is taken, currency
    cost: float = 0.0  # of handing it out once, currency
    points_factor: float = 1.0  # points are earned so many times
    discount: float = 0.0  # off the price, percent
    bonus: dict[str, float] = {}  # on top: unit -> amount
    valid_days: int = 0  # how long it holds once handed out; 0: as the operator's systems say

    @property
    def for_value(self) -> frozenset[str]:
        """Which of `VALUES` it is for; empty: all."""
        return frozenset(self.target_value_segment.split("_")) - {"all"}


class Fits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events of some types that a filter lets through; no types: none."""

    types: list[str] = []
    where: str = ""


class OnEvent(Fits, frozen=True, tag_field="kind", tag="event", forbid_unknown_fields=True):
    """A campaign's turn comes with an event."""


class OnCrossing(msgspec.Struct, frozen=True, tag_field="kind", tag="crossing", forbid_unknown_fields=True):
    """A campaign's turn comes when a condition becomes true."""

    when: str


class OnSchedule(msgspec.Struct, frozen=True, tag_field="kind", tag="schedule", forbid_unknown_fields=True):
    """A campaign's turn comes at the daily refresh."""

    weekdays: list[int] = []  # 1 Monday to 7; none: every day


class Sold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A product of the catalog as it stood when its campaign was published."""

    product_id: str
    name: str
    price: str = ""  # decimal
    currency: str = ""
    validity_days: int = 0


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is spoken to, when, about what; docs/campaigns.md says what each member does."""

    number: int
    name: str
    trigger: OnEvent | OnCrossing | OnSchedule
    audience: str = ""
    priority: int = 0
    valid_from: int = 0  # ms, 0: open
    valid_to: int = 0
    cooldown_days: int = 30
    per_customer: int = 0  # 0: no limit, as in those below
    total: int = 0
    budget: int = 0  # minor units of the currency
    cost: int = 0  # of one trigger, minor units
    service: bool = False
    control_share: float = 0.0
    conversion: Fits = Fits()
    window_days: int = 14
    offer: int = -1
    offer_config: dict[str, Any] = {}
    product: Sold | None = None
    product_config: dict[str, Any] = {}
    messages: dict[str, str] = {}  # by language, the first for every other
    description: str = ""
    active: bool = True


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When and how often customers may be spoken to."""

    most: int = 0  # triggers in `days`; 0: no cap
    days: int = 7
    quiet_from: int = 0  # minutes of the day; equal: never quiet
    quiet_to: int = 0
    zones: list[str] = []  # of customers who have quiet hours of their own


class Game(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it.  An empty game decides nothing."""

    templates: list[Template] = []
    badges: list[Badge] = []
    tiers: list[Tier] = []
    earning: list[Earning] = []
    offers: list[Offer] = []
    points_valid_months: int = 12
    campaigns: list[Campaign] = []
    contact: Contact = Contact()
