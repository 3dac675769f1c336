"""What a campaign says to its customer: texts with places to fill, in a sandbox.

A text sees the values below and nothing else, and says the same whenever it is filled in with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from loyalty.game import Campaign, Offer

MOST_TEXT = 10_000  # characters of a text
MOST_MESSAGE = 4_000  # characters of a message
_MOST_NUMBER = 10**15


class MessageError(ValueError):
    """A text that cannot be filled in, and why."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A product of moderate numbers: those of texts and lists, and powers, can be of any size."""
        numbers = all(isinstance(each, int | float) and abs(each) <= _MOST_NUMBER for each in (left, right))
        if operator == "**" or not numbers:
            raise SecurityError(f"only numbers up to {_MOST_NUMBER:,} are multiplied, and none to a power")
        return left * right

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """No methods of texts and the like: filters do for a message, and fill no memory."""
        return not isinstance(obj, str | dict | list | tuple) and super().is_safe_attribute(obj, attr, value)


# Folding constants would multiply them before the sandbox sees it.
_environment = _Environment(autoescape=False, undefined=StrictUndefined, optimized=False)
del _environment.filters["random"], _environment.globals["lipsum"]
# They make much of little.
del _environment.globals["range"]
del _environment.filters["center"], _environment.filters["indent"], _environment.filters["format"]


def compiled_text(text: str) -> Template:
    """A text, ready to be filled in.  Raises MessageError."""
    if len(text) > MOST_TEXT:
        raise MessageError(f"has {len(text):,} characters, more than {MOST_TEXT:,}")
    try:
        return _environment.from_string(text)
    except TemplateError as error:
        raise MessageError(str(error)) from None


def filled_in(template: Template, values: Mapping[str, Any]) -> str:
    """The message.  Raises MessageError."""
    try:
        message = template.render(values)
    except Exception as error:  # whatever its author thought of
        raise MessageError(str(error) or type(error).__name__) from None
    if len(message) > MOST_MESSAGE:
        raise MessageError(f"a message of {len(message):,} characters, more than {MOST_MESSAGE:,}")
    return message


def values(campaign: Campaign, offer: Offer | None) -> dict[str, Any]:
    """What the texts of a campaign see, but for `customer_id`."""
    product = campaign.product
    sold = product.validity_days if product else 0
    return {
        "campaign": campaign.name,
        "offer": {"name": offer.name, "description": offer.description} if offer else None,
        "product": {name: getattr(product, name) for name in product.__struct_fields__} if product else None,
        "validity_days": sold or (offer.valid_days if offer else 0),
    }
