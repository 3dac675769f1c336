"""What may be said of a product, checked at the edge: messages name the field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from config.errors import KhayweError

#: The system of products that are the operator's own, made here.
OWN = "own"
BillingCycle = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]
#: Bytes of JSON that features, or attributes, may have.
LARGEST_JSON = 64 << 10
#: What neither PostgreSQL nor UTF-8 takes.
UNFIT = re.compile("[\\0\ud800-\udfff]")

#: Exact: up to 12 digits before the point, 6 after it.
Money = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False)]
SystemName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Segment = Annotated[str, Field(min_length=1, max_length=100)]


class ProductRefused(KhayweError):
    """What was said cannot be; `faults` has what is wrong by field."""

    def __init__(self, what: str, faults: Mapping[str, str]) -> None:
        super().__init__("\n  ".join((f"{what}:", *(f"{field}: {why}" for field, why in faults.items()))))
        self.faults = dict(faults)


class ProductEntry(BaseModel):
    """A product as people and external systems say it."""

    # Systems have ids that are numbers.
    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True
    )

    external_system: SystemName = Field(OWN, description="Where it comes from.")
    external_product_id: str = Field(min_length=1, max_length=200, description="Its id there.")
    name: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=10_000)
    product_type: str = Field(
        min_length=1,
        max_length=63,
        description="data, voice, sms, roaming, content or device: models rank it.",
    )
    category: str = Field("", max_length=100)
    price: Money = Field(description="Exact: a number, or its text.")
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217.")
    recurring: bool = False
    billing_cycle: BillingCycle | None = Field(None, description="Goes with recurring.")
    features: list[JsonValue] = []
    attributes: dict[str, JsonValue] = {}
    is_active: bool = Field(True, description="It is part of the catalog.")
    is_available: bool = Field(True, description="It can be sold now.")
    target_segments: list[Segment] = Field([], max_length=100, description="None: customers of any segment.")
    min_customer_value: Money | None = Field(None, description="Only for customers worth so much, currency.")
    max_customer_value: Money | None = Field(None, description="Only for customers worth no more.")

    @field_validator("*")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        if isinstance(value, str) and UNFIT.search(value):
            raise ValueError("has a character that cannot be kept")
        return value

    @field_validator("features", "attributes", "target_segments")
    @classmethod
    def _json_can_be_stored(cls, value: Any) -> Any:
        return fit_for_json(value)

    @field_validator("target_segments")
    @classmethod
    def _segments_are_some(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    @field_validator("price", "min_customer_value", "max_customer_value")
    @classmethod
    def _plain(cls, value: Decimal | None) -> Decimal | None:
        return None if value is None else plain(value)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.recurring and self.billing_cycle is None:
            raise ValueError("billing_cycle: a recurring product needs one")
        if self.billing_cycle is not None and not self.recurring:
            raise ValueError("billing_cycle: only a recurring product has one")
        low, high = self.min_customer_value, self.max_customer_value
        if low is not None and high is not None and low > high:
            raise ValueError(f"max_customer_value: is below min_customer_value, {low}")
        return self


FIELDS = tuple(ProductEntry.model_fields)


def plain(value: Decimal) -> Decimal:
    """The same number with two decimals, or as many as it needs: 9.9 and 9.900000 are 9.90."""
    value = value.normalize()
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return value.quantize(Decimal(1).scaleb(min(exponent, -2)))


def parse_product(given: Mapping[str, Any], what: str = "this product cannot be saved") -> ProductEntry:
    """Raises ProductRefused."""
    try:
        return ProductEntry.model_validate(dict(given))
    except ValidationError as error:
        raise ProductRefused(what, faults_of(error)) from None


def entry_of(row: Any) -> dict[str, Any]:
    """The fields of something stored, as a `ProductEntry` dumps them."""
    return {
        name: plain(value) if isinstance(value := getattr(row, name), Decimal) else value for name in FIELDS
    }


def faults_of(error: ValidationError) -> dict[str, str]:
    """What is wrong, by field; the first fault of each."""
    found: dict[str, str] = {}
    for fault in error.errors():
        field = ".".join(str(step) for step in fault["loc"])
        why = fault["msg"].removeprefix("Value error, ")
        if not field and ": " in why:  # of all of it: the message begins with its field
            field, why = why.split(": ", 1)
        if fault["type"] == "missing":
            why = "is missing"
        elif fault["type"] == "extra_forbidden":
            why = "there is no such field"
        found.setdefault(field, why)
    return found


def fit_for_json(value: Any, most: int = LARGEST_JSON) -> Any:
    """The value.  Raises ValueError for what JSON in PostgreSQL does not take, or for over `most` bytes."""
    if _has_unfit(value):
        raise ValueError("has a character, or a number, that cannot be kept")
    size = len(msgspec.json.encode(value))
    if size > most:
        raise ValueError(f"has {size:,} bytes of JSON, at most {most:,} are kept")
    return value


def _has_unfit(value: Any) -> bool:
    match value:
        case str():
            return UNFIT.search(value) is not None
        case float():
            return not math.isfinite(value)
        case int():
            return not -(2**63) <= value < 2**63
        case list():
            return any(map(_has_unfit, value))
        case dict():
            return any(_has_unfit(key) or _has_unfit(each) for key, each in value.items())
    return False
