"""What an external system's fields mean for a product: data, checked when it is saved; TMF620 is ready made.

A field is a path: names joined by dots, `[0]` for an element of a list, `[name=value]` for the first one that
has it.  Where several are given, the first that says something counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, field_validator, model_validator

from catalog.product_entry import FIELDS

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\[([^=\[\]]+)=([^\[\]]*)\]")
_PATH = re.compile(r"[^.\[\]]+(\[[^\[\]]+\])*(\.[^.\[\]]+(\[[^\[\]]+\])*)*")


class Unmapped(ValueError):
    """A record does not say what a product needs; `field` is the product's."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _paths(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Paths = Annotated[list[str], BeforeValidator(_paths)]


class Rule(_Strict):
    """How one field of a product comes about; a text alone is its path."""

    field: Paths = []
    values: dict[str, JsonValue] | None = None
    default: JsonValue = None
    #: Of a list: the list's path, and of its elements the path of what is kept and of its name.
    each: str | None = None
    key: str | None = None
    value: str | None = None

    @field_validator("field")
    @classmethod
    def _are_paths(cls, value: list[str]) -> list[str]:
        for path in value:
            _check(path)
        return value

    @field_validator("each", "key", "value")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None:
            _check(value)
        return value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.each is not None:
            if self.field or self.values is not None or self.default is not None:
                raise ValueError("each goes with key and value alone")
        elif self.key is not None or self.value is not None:
            raise ValueError("key and value go with each")
        elif not self.field and self.default is None:
            raise ValueError("say a field, each, or a default")
        return self


def _rule(given: Any) -> Any:
    return {"field": given} if isinstance(given, str | list) else given


class ProductMapping(_Strict):
    """Product field -> rule.  `use: tmf620` begins with that one, whose rules those given replace."""

    use: str | None = None
    fields: dict[str, Annotated[Rule, BeforeValidator(_rule)]] = {}

    @model_validator(mode="before")
    @classmethod
    def _is_written_flat(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"use": given}
        if isinstance(given, Mapping) and "fields" not in given:
            return {
                "use": given.get("use"),
                "fields": {name: rule for name, rule in given.items() if name != "use"},
            }
        return given

    @field_validator("use")
    @classmethod
    def _is_there(cls, value: str | None) -> str | None:
        if value is not None and value not in READY:
            raise ValueError(f"there is no ready mapping {value!r}; there are: {', '.join(READY)}")
        return value

    @field_validator("fields")
    @classmethod
    def _are_of_products(cls, value: dict[str, Rule]) -> dict[str, Rule]:
        for name in value:
            if name not in MAPPED:
                raise ValueError(f"{name}: a product has no such field; there are: {', '.join(MAPPED)}")
        return value

    @model_validator(mode="after")
    def _makes_products(self) -> Self:
        rules = self.rules()
        for name in ("external_product_id", "name", "product_type", "price", "currency"):
            if name not in rules:
                raise ValueError(f"{name}: every product needs one")
        return self

    def rules(self) -> dict[str, Rule]:
        """All of them, by the product's field."""
        return (READY[self.use] if self.use is not None else {}) | self.fields

    def plain(self) -> dict[str, Any]:
        """It as people write it."""
        rules = {
            name: rule.model_dump(mode="json", exclude_defaults=True) for name, rule in self.fields.items()
        }
        return ({"use": self.use} if self.use is not None else {}) | rules

    def product(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a product that a record says.  Raises Unmapped."""
        found = {name: _apply(name, rule, record) for name, rule in self.rules().items()}
        return {name: value for name, value in found.items() if value is not None}


MAPPED = tuple(name for name in FIELDS if name != "external_system")


def _apply(name: str, rule: Rule, record: Mapping[str, Any]) -> Any:
    if rule.each is not None:
        return _collected(rule, look(record, rule.each))
    value = next((value for path in rule.field if (value := look(record, path)) is not None), None)
    if value is None or value == "":
        return rule.default
    if rule.values is None:
        return value
    said = str(value).casefold()
    for code, ours in rule.values.items():
        if code.casefold() == said:
            return ours
    if rule.default is not None:
        return rule.default
    raise Unmapped(name, f"{value!r} is none of {', '.join(rule.values)}")


def _collected(rule: Rule, elements: Any) -> Any:
    if not isinstance(elements, list):
        return None
    values = [look(each, rule.value) if rule.value is not None else each for each in elements]
    if rule.key is None:
        return [value for value in values if value is not None]
    keys = [look(each, rule.key) for each in elements]
    return {str(key): value for key, value in zip(keys, values, strict=True) if key is not None}


def look(record: Any, path: str) -> Any:
    """What stands at a path; None where nothing does."""
    value = record
    for step in _STEP.finditer(path):
        name, index, key, wanted = step.groups()
        if name is not None:
            value = value.get(name) if isinstance(value, Mapping) else None
        elif not isinstance(value, list):
            return None
        elif index is not None:
            value = value[int(index)] if int(index) < len(value) else None
        else:
            fits = (each for each in value if isinstance(each, Mapping) and str(each.get(key)) == wanted)
            value = next(fits, None)
        if value is None:
            return None
    return value


def _check(path: str) -> None:
    if not _PATH.fullmatch(path) or "".join(step[0] for step in _STEP.finditer(path)) != path.replace(
        ".", ""
    ):
        raise ValueError(f"{path!r} is no path: names joined by dots, [0] and [name=value]")


_RECURRING, _FIRST = "productOfferingPrice[priceType=recurring]", "productOfferingPrice[0]"
#: TM Forum's Product Catalog Management, product offerings with their prices.
_TMF620 = {
    "external_product_id": "id",
    "name": "name",
    "description": "description",
    "product_type": ["category[0].name", "productSpecification.name"],
    "category": "category[0].name",
    "price": [
        f"{price}.{amount}"
        for price in (_RECURRING, _FIRST)
        for amount in ("price.value", "price.taxIncludedAmount.value", "price.taxIncludedAmount")
    ],
    "currency": [
        f"{price}.price.{unit}"
        for price in (_RECURRING, _FIRST)
        for unit in ("unit", "taxIncludedAmount.unit", "currencyCode")
    ],
    "recurring": {"field": f"{_RECURRING}.priceType", "values": {"recurring": True}, "default": False},
    "billing_cycle": {
        "field": [f"{_RECURRING}.recurringChargePeriodType", f"{_RECURRING}.recurringChargePeriod"],
        "values": {
            code: cycle
            for cycle, codes in {
                "daily": ("day", "days", "daily"),
                "weekly": ("week", "weeks", "weekly"),
                "monthly": ("month", "months", "monthly"),
                "quarterly": ("quarter", "quarters", "quarterly"),
                "yearly": ("year", "years", "yearly", "annual"),
            }.items()
            for code in codes
        },
    },
    "features": {"each": "prodSpecCharValueUse", "value": "name"},
    "attributes": {
        "each": "prodSpecCharValueUse",
        "key": "name",
        "value": "productSpecCharacteristicValue[0].value",
    },
    "is_active": {
        "field": "lifecycleStatus",
        "values": {
            **dict.fromkeys(("Active", "Launched"), True),
            **dict.fromkeys(
                ("In study", "In design", "In test", "Rejected", "Retired", "Obsolete", "Inactive"), False
            ),
        },
    },
    "is_available": "isSellable",
    "target_segments": {"each": "marketSegment", "value": "name"},
}
READY: dict[str, dict[str, Rule]] = {
    "tmf620": {name: Rule.model_validate(_rule(rule)) for name, rule in _TMF620.items()}
}
