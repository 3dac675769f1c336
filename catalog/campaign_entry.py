"""Campaigns and the rules of contact as people write them, and how they become those of `loyalty.game`.

A campaign names its offer, and its product by the id of the table `products`; the product's name, price and
validity are copied, because what was decided is told with the price that it was decided at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from catalog.entry import (
    Clock,
    Days,
    Entry,
    Large,
    LimitsEntry,
    Moment,
    Numbers,
    Strict,
    Types,
    Unresolved,
    Whole,
    in_ms,
    minutes_of,
    number_by_name,
)
from catalog.product_entry import fit_for_json
from loyalty.game import Campaign, Contact, Fits, OnCrossing, OnEvent, OnSchedule, Sold

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: Bytes of JSON that go along with an offer or a product, in each record of each customer.
LARGEST_CONFIG = 4 << 10
#: Which fields of a trigger belong to which kind.
BELONGS = {"event": ("types", "where"), "crossing": ("when",), "schedule": ("weekdays",)}

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Language = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,35}$")]


def _texts(given: Any) -> Any:
    """YAML reads the language `no` as false."""
    if isinstance(given, dict):
        return {"no" if language is False else language: text for language, text in given.items()}
    return given


class TriggerEntry(Strict):
    """What brings a campaign's turn: an event, a condition that becomes true, or the days of the week."""

    kind: Literal["event", "crossing", "schedule"]
    types: Types = Field([])
    where: str = ""
    when: str = ""
    weekdays: list[Weekday] = Field([])

    @model_validator(mode="after")
    def _has_what_its_kind_has(self) -> Self:
        for kind, fields in BELONGS.items():
            for field in fields:
                if kind != self.kind and getattr(self, field):
                    raise ValueError(f"`{field}` belongs to the kind {kind}; this one is {self.kind}")
        return self

    def build(self) -> OnEvent | OnCrossing | OnSchedule:
        """It as the fold has it."""
        if self.kind == "event":
            return OnEvent(self.types, self.where)
        if self.kind == "crossing":
            return OnCrossing(self.when)
        return OnSchedule(sorted({WEEKDAYS.index(day) + 1 for day in self.weekdays}))


class ConversionEntry(Strict):
    """Which events count as converted; no types: only what is answered."""

    types: Types = Field(default=[])
    where: str = ""


class CampaignEntry(Entry):
    """A campaign."""

    number: Whole | None = None
    description: str = ""
    trigger: TriggerEntry
    audience: str = ""
    priority: Whole = 0
    valid_from: Moment = ""
    valid_to: Moment = ""
    cooldown: Days = 30
    limits: LimitsEntry = LimitsEntry()
    cost: Large = 0
    service: bool = False
    control_share: float = 0.0
    conversion: ConversionEntry = ConversionEntry()
    window: Days = 14
    offer: str | None = None
    offer_config: dict[str, JsonValue] = Field({})
    product_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    product_config: dict[str, JsonValue] = Field({})
    messages: Annotated[dict[Language, str], BeforeValidator(_texts)] = Field({})
    active: bool = True

    @field_validator("offer_config", "product_config", "messages")
    @classmethod
    def _json_can_be_stored(cls, value: Any) -> Any:
        return fit_for_json(value)

    @field_validator("offer_config", "product_config")
    @classmethod
    def _goes_along(cls, value: Any) -> Any:
        return fit_for_json(value, LARGEST_CONFIG)

    def build(self, number: int, numbers: Numbers) -> Campaign:
        """Raises Unresolved."""
        offer = -1 if self.offer is None else number_by_name(numbers.offers, self.offer, "offer", "offer")
        return Campaign(
            number=number,
            name=self.name,
            trigger=self.trigger.build(),
            audience=self.audience,
            priority=self.priority,
            valid_from=in_ms(self.valid_from),
            valid_to=in_ms(self.valid_to),
            cooldown_days=self.cooldown,
            per_customer=self.limits.per_customer,
            total=self.limits.total,
            budget=self.limits.budget,
            cost=self.cost,
            service=self.service,
            control_share=float(self.control_share),
            conversion=Fits(self.conversion.types, self.conversion.where),
            window_days=self.window,
            offer=offer,
            offer_config=self.offer_config,
            product=self._sold(number, numbers),
            product_config=self.product_config,
            messages=self.messages,
            description=self.description,
            active=self.active,
        )

    def _sold(self, number: int, numbers: Numbers) -> Sold | None:
        """Raises Unresolved.  Whatever became of its product, a campaign can be switched off."""
        if self.product_id is None:
            return None
        before = numbers.sold.get(number)
        if not self.active and before is not None and before.product_id == str(self.product_id):
            return before
        found = numbers.products.get(self.product_id, f"there is no product {self.product_id}")
        if isinstance(found, str):
            raise Unresolved("product_id", f"{found}; `khaywe product list` shows what can be sold")
        return found


class ContactEntry(Strict):
    """When, and how often, customers may be spoken to."""

    most: Whole = 0
    days: Days = 7
    quiet_from: Clock = "00:00"
    quiet_to: Clock = "00:00"
    zones: list[str] = Field([])

    def build(self) -> Contact:
        """It as the fold has it."""
        return Contact(
            self.most, self.days, minutes_of(self.quiet_from), minutes_of(self.quiet_to), self.zones
        )
