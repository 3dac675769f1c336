"""The part of a catalog revision that the fold reads: decisions, scores, when models are asked.

All are data, versioned with the catalog.  Amounts stand in units of currency, data in megabytes.
"""

from __future__ import annotations

import math

import msgspec

from loyalty.events import SOURCE_TYPES

#: Digits after the point, where they are not two (ISO 4217).
_DECIMALS = {
    **dict.fromkeys(
        ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
         "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}  # fmt: skip

SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")
_REVENUE = ["recharge", "purchase", "bundle_purchase", "plan_upgrade", "auto_renew", "payment"]


def currency_decimals(currency: str) -> int:
    """Decimals of a currency by its ISO 4217 code."""
    return _DECIMALS.get(currency.upper(), 2)


class Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes a decision besides the rules."""

    timezone: str = "UTC"
    currency: str = "USD"
    currency_decimals: int = 2
    grace_seconds: int = 3600
    control_share: float = 0.0
    control_salt: str = "khaywe"


class Predictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the models are asked about a customer."""

    enabled: bool = True
    step: float = 10.0  # points by which a score has moved since it was asked last
    hours: int = 24  # since it was asked last


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`points = weight x clamp(measure / full_at, 0, 1)`."""

    weight: float
    full_at: float


def _default_scores() -> dict[str, dict[str, Component]]:
    c = Component
    return {
        "engagement": {
            "calls": c(30, 60), "data": c(30, 10_240), "app": c(20, 20), "sms": c(10, 60),
            "recency": c(10, 30),
        },
        "revenue": {
            "total": c(40, 1_000), "recent_recharges": c(30, 100), "arpu": c(20, 50),
            "lifetime_value": c(10, 2_000),
        },
        "loyalty": {
            "tenure": c(30, 365), "transactions": c(25, 100), "consistency": c(25, 1),
            "on_time_payments": c(20, 1),
        },
        "risk": {"churn_probability": c(50, 1), "inactivity": c(30, 60), "revenue_decline": c(20, 1)},
        "digital": {
            "app_logins": c(40, 20), "feature_use": c(30, 30), "content_views": c(20, 30),
            "web_logins": c(10, 10),
        },
    }  # fmt: skip


#: The components of each score, in the order of the design; a policy has these and no others.
COMPONENTS: dict[str, tuple[str, ...]] = {score: tuple(parts) for score, parts in _default_scores().items()}


class ScoringPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights and measures of the five scores, and what counts as revenue and as a transaction."""

    scores: dict[str, dict[str, Component]] = msgspec.field(default_factory=_default_scores)
    revenue_types: list[str] = msgspec.field(default_factory=lambda: list(_REVENUE))
    transaction_types: list[str] = msgspec.field(default_factory=lambda: list(_REVENUE))
    bands: list[float] = msgspec.field(default_factory=lambda: [25.0, 50.0, 75.0])
    publish_step: float = 1.0

    def validate(self) -> None:
        """Raises ValueError that names the field."""
        if tuple(self.scores) != SCORES:
            raise ValueError(f"scores: must be {', '.join(SCORES)}, in this order")
        for score, parts in self.scores.items():
            if tuple(parts) != COMPONENTS[score]:
                raise ValueError(f"scores.{score}: must be {', '.join(COMPONENTS[score])}, in this order")
            for name, part in parts.items():
                if not (math.isfinite(part.weight) and part.weight >= 0):
                    raise ValueError(f"scores.{score}.{name}.weight: must be a number of at least 0")
                if not (math.isfinite(part.full_at) and part.full_at > 0):
                    raise ValueError(f"scores.{score}.{name}.full_at: must be a number above 0")
            if sum(part.weight for part in parts.values()) > 100.0 + 1e-9:
                raise ValueError(f"scores.{score}: the weights must not add up to more than 100")
        for field in ("revenue_types", "transaction_types"):
            for event_type in getattr(self, field):
                if event_type not in SOURCE_TYPES:
                    raise ValueError(f"{field}: there is no event type {event_type!r}")
        if list(self.bands) != sorted(set(self.bands)) or not all(0 < band < 100 for band in self.bands):
            raise ValueError("bands: must ascend between 0 and 100")
        if not (math.isfinite(self.publish_step) and self.publish_step > 0):
            raise ValueError("publish_step: must be a number above 0")
