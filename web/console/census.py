"""How many customers fit a condition or a campaign now, as the workers that own them say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from loyalty.conditions import ConditionError, parse
from loyalty.vocabulary import KINDS
from web.api.parts import Parts
from web.ask_worker import NoAnswer, UnknownCustomer, everywhere
from web.console.rendering import number, say


@dataclass(frozen=True, slots=True)
class Census:
    """Of all open customers: how many each condition fits, and by name what a campaign would come to.

    Where not all were looked at, `exact` is false and the figures are what those who were make likely.
    """

    customers: int
    looked_at: int
    fits: list[int]
    reach: dict[str, int]

    @property
    def exact(self) -> bool:
        """Whether everybody was looked at."""
        return self.looked_at == self.customers


def census(parts: Parts, conditions: Sequence[str], campaign: int = 0) -> Census | None:
    """None where a worker does not answer, or not all that is asked is known to it yet."""
    query = urlencode([("condition", each) for each in conditions] + [("campaign", str(campaign))])
    try:
        answers = everywhere(parts.settings, f"/census?{query}")
    except (NoAnswer, UnknownCustomer):  # 404: a campaign that the workers have not read yet
        return None
    customers = looked_at = 0
    fits, reach = [0.0] * len(conditions), Counter[str]()
    for each in (partition for answer in answers for partition in answer["partitions"]):
        customers += each["customers"]
        looked_at += each["looked_at"]
        stands_for = each["customers"] / each["looked_at"] if each["looked_at"] else 0.0
        for n, count in enumerate(each["fits"]):
            fits[n] += count * stands_for
        for name, count in each["reach"].items():
            reach[name] += count * stands_for
    return Census(
        customers, looked_at, [round(count) for count in fits],
        {name: round(count) for name, count in reach.items()},
    )  # fmt: skip


def meant(parts: Parts, condition: str) -> str:
    """How many customers a condition fits now, in words; "" for what is no condition."""
    try:
        parse(condition, KINDS)
    except ConditionError:
        return ""
    found = census(parts, [condition])
    if found is None:
        return say("campaigns.meant_away")
    about = "" if found.exact else "≈ "
    return f"{about}{number(found.fits[0])} {say('campaigns.meant_of', n=number(found.customers))}"
