"""Answers by rules anybody could have written: where a model is missing, and the operator has let them.

They have the shape of a model's, so that all that comes after is the same; each says `fallback`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import features
from ml.card import Card, Column
from ml.models import DEFINITIONS, Columns, Outputs, kind_of

VERSION = "rules"
#: Where low ends and high begins, for models whose bands training would have found: currency, share of days.
_BANDS = {"ltv": (120.0, 420.0), "engagement": (0.5, 0.9)}
_COMMON = 0.1  # how probably anybody takes anything that nothing speaks for


def _days(column: Columns) -> Any:
    """Share of a month without activity; who never was active is as one who has left."""
    since = column("days_since_activity")
    return np.where(since < 0, 1.0, np.minimum(since / 30.0, 1.0))


def _where(holds: Any, then: float) -> Any:
    return np.where(holds, then, _COMMON)


def _offers(c: Columns) -> list[Any]:
    """In the order of `labels.OFFER_KINDS`."""
    return [
        _where(c("active_days_30") >= 15, 0.2),
        _where(c("data_mb_30d") > 0, 0.3),
        _where(c("recharge_days_30d") > 0, 0.3),
        _where(c("bundle_purchases") > 0, 0.3),
        _where(c("roaming_uses") > 0, 0.3),
        _where(c("data_mb_30d") >= 10_240, 0.2),
        _where(_days(c) >= 0.5, 0.3),
        _where(c("failures_30d") + c("complaints") > 0, 0.3),
    ]


def _products(c: Columns) -> list[Any]:
    """In the order of `labels.PRODUCT_KINDS`."""
    used = ("data_mb_30d", "calls_30d", "sms_30d", "roaming_uses", "content_views_30d")
    return [*(_where(c(name) > 0, 0.2) for name in used), 0.5 * _COMMON + 0 * c("calls_30d")]


def _fifths(values: Any, edges: tuple[float, ...], rises: bool) -> Any:
    above = np.searchsorted(np.array(edges), values, "left" if rises else "right")
    return 1.0 + above if rises else 5.0 - above


def _rfm(c: Columns) -> list[Any]:
    recency = c("days_since_transaction")
    return [
        np.where(recency < 0, 1.0, _fifths(recency, (7.0, 14.0, 30.0, 60.0), False)),
        _fifths(c("paying_days_90d"), (0.0, 2.0, 5.0, 9.0), True),
        _fifths(c("revenue_90d"), (0.0, 15.0, 45.0, 90.0), True),
    ]


_RULES: dict[str, Callable[[Columns], list[Any]]] = {
    "nbo": _offers,
    "churn": lambda c: [_days(c)],
    "ltv": lambda c: [np.maximum(4.0 * c("revenue_90d"), 0.0)],
    "propensity": lambda c: [1.0 - np.exp(-c("purchases_per_month") - c("bundles_per_month"))],
    "product_recommendation": _products,
    "campaign_response": lambda c: [np.where(c("campaign_share") < 0, _COMMON, c("campaign_share"))],
    "payment_default": lambda c: [np.where(c("on_time_share") < 0, _COMMON, 1.0 - c("on_time_share"))],
    "upsell": lambda c: [0.3 * np.minimum(c("data_mb_30d") / 10_240.0, 1.0)],
    "engagement": lambda c: [c("active_days_30") / 30.0],
    "rfm": _rfm,
}


class Rule:
    """What stands in for a model: `run` and `outputs` are a Model's."""

    def __init__(self, name: str) -> None:
        definition = kind_of(name)
        low, high = definition.bands or _BANDS[name]
        self.names = features.NAMES
        self.version = VERSION
        self.card = Card(
            name=name, kind=name, version=VERSION, about=definition.about, inputs="row",
            targets=list(definition.labels), link=definition.link, low_below=low, high_from=high,
            yes_from=0.5, data="none", data_hash="", rows=0, date="", limits=["a rule, no model"],
            rule=definition.rule, metric="", metrics={}, predictions=[],
            features=[Column(each.name, each.unit, each.window, each.about) for each in features.FEATURES],
        )  # fmt: skip

    def run(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Margins, which a rule has not and so are predictions too, and predictions, (n, targets)."""

        def column(name: str) -> NDArray[np.float64]:
            return np.asarray(values[:, self.names.index(name)], np.float64)

        found = np.stack(_RULES[self.card.name](column), 1).astype(np.float32)
        return found, found

    def outputs(self, prediction: NDArray[np.float32]) -> Outputs:
        """Outputs by key, as the model's."""
        return DEFINITIONS[self.card.kind].outputs(prediction.astype(np.float64), self.card)
