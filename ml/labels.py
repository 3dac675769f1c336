"""What happened to customers after their features were taken: labels by horizon, from later events.

A label looks at (as of, as of + horizon] only.  NaN is no label: whoever got no campaign cannot answer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.content import ScoringPolicy
from loyalty.events import ACTIVITY
from loyalty.times import parse_many

HORIZON = 30  # days
#: What an offer is about; `ml.ranking` says which of the seed's offers is which.
OFFER_KINDS = ("points", "data", "recharge", "bundle", "roaming", "upgrade", "comeback", "service")
PRODUCT_KINDS = ("data", "voice", "sms", "roaming", "content", "device")
#: Attributes that say what was offered (of campaign_delivered and campaign_converted) and what was bought.
OFFER_KIND, PRODUCT_KIND = "offer_kind", "product_kind"
LABELS: tuple[str, ...] = (
    "churn", "ltv", "propensity", "upsell", "campaign_response", "payment_default", "engagement",
    *(f"nbo:{kind}" for kind in OFFER_KINDS), *(f"product:{kind}" for kind in PRODUCT_KINDS),
)  # fmt: skip
_BUYS = frozenset(("purchase", "bundle_purchase"))
_SOLD = frozenset(("purchase", "bundle_purchase", "plan_upgrade", "auto_renew"))


class Labels:
    """Labels of customers, filled event by event; `as_of` are their times (ms)."""

    def __init__(
        self, ids: Sequence[str], as_of: NDArray[np.int64], horizon: int = HORIZON,
        policy: ScoringPolicy | None = None,
    ) -> None:  # fmt: skip
        self._place = {id: at for at, id in enumerate(ids)}
        self._begin = as_of.tolist()
        self._horizon = horizon
        self._revenue_types = frozenset((policy or ScoringPolicy()).revenue_types)
        count = len(ids)
        self._days: list[set[int]] = [set() for _ in range(count)]
        self._sums = {
            name: np.zeros(count)
            for name in ("ended", "revenue", "bought", "upgraded", "delivered", "converted", "invoices",
                         "payments", "late")
        }  # fmt: skip
        self._kinds: dict[str, list[set[str]]] = {
            name: [set() for _ in range(count)] for name in ("delivered", "converted", "bought")
        }

    def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Let CustomerEvents count, as plain values; those outside the window do not."""
        times = parse_many([str(event["occurred_at"]) for event in events])
        for event, time in zip(events, times.tolist(), strict=True):
            self._take(event, time)

    def _take(self, event: Mapping[str, Any], time: int) -> None:
        at = self._place.get(str(event["customer_id"]))
        if at is None:
            return
        after = time - self._begin[at]
        if not 0 < after <= self._horizon * DAY_MS:
            return
        kind, value = str(event["event_type"]), float(event["value"])
        attributes = event.get("attributes") or {}
        if kind in ACTIVITY:
            self._days[at].add((after - 1) // DAY_MS)
        if kind in self._revenue_types and attributes.get("paid_from") != "balance":
            self._add("revenue", at, value)
        self._count(kind, at, value, attributes)

    def _count(self, kind: str, at: int, value: float, attributes: Mapping[str, Any]) -> None:
        if kind == "refund":
            self._add("revenue", at, -value)
        elif kind == "customer_ended":
            self._add("ended", at)
        elif kind == "plan_upgrade":
            self._add("upgraded", at)
        elif kind == "invoice":
            self._add("invoices", at)
        elif kind == "payment":
            self._add("payments", at)
            self._add("late", at, float(str(attributes.get("on_time")).lower() in ("false", "0", "no")))
        elif kind in ("campaign_delivered", "campaign_converted"):
            name = kind.removeprefix("campaign_")
            self._add(name, at)
            self._kinds[name][at].add(str(attributes.get(OFFER_KIND)))
        if kind in _BUYS:
            self._add("bought", at)
        if kind in _SOLD:
            self._kinds["bought"][at].add(str(attributes.get(PRODUCT_KIND)))

    def _add(self, name: str, at: int, value: float = 1.0) -> None:
        self._sums[name][at] += value

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Every label of LABELS, each of shape (customers,)."""
        s = self._sums
        active = np.array([len(days) for days in self._days], np.float64)
        billed = (s["invoices"] > 0) | (s["payments"] > 0)
        unpaid = (s["late"] > 0) | (s["invoices"] > s["payments"])
        delivered, converted, bought = (self._kinds[name] for name in ("delivered", "converted", "bought"))
        sells = any(kinds - {"None"} for kinds in bought)
        return {
            "churn": ((active == 0) | (s["ended"] > 0)).astype(np.float64),
            "ltv": np.maximum(s["revenue"], 0.0) * 365.0 / self._horizon,
            "propensity": (s["bought"] > 0).astype(np.float64),
            "upsell": (s["upgraded"] > 0).astype(np.float64),
            "campaign_response": np.where(s["delivered"] > 0, s["converted"] > 0, np.nan),
            "payment_default": np.where(billed, unpaid, np.nan),
            "engagement": active / self._horizon,
            **{f"nbo:{kind}": _of_kind(kind, delivered, converted) for kind in OFFER_KINDS},
            **{
                f"product:{kind}": np.array([float(kind in kinds) if sells else np.nan for kinds in bought])
                for kind in PRODUCT_KINDS
            },
        }


def _of_kind(kind: str, delivered: list[set[str]], converted: list[set[str]]) -> NDArray[np.float64]:
    return np.array(
        [float(kind in c) if kind in d else np.nan for d, c in zip(delivered, converted, strict=True)]
    )
