"""What the models are: targets, how their outputs are called, where low ends and high begins, the plain rule.

A model's figure is worth something only beside a rule that anybody could have written; each has one here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.card import Card
from ml.labels import OFFER_KINDS, PRODUCT_KINDS

Floats = NDArray[np.float64]
Outputs = dict[str, NDArray[Any]]
#: A column of the matrix by its name.
Columns = Callable[[str], Floats]
LEVELS = np.array(["low", "medium", "high"])


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind of model.  `bands` in units of the prediction; unset: the thirds of the training rows."""

    about: str
    labels: tuple[str, ...]
    link: str
    objective: str
    outcome: str  # in a sentence: "the risk of churn"
    outputs: Callable[[Floats, Card], Outputs]
    rule: str
    score: Callable[[Columns], Floats]  # the rule's, shape (n,) or (n, targets)
    keys: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()
    risk: bool = False  # high is bad for the operator
    metric: str = "auc"
    bands: tuple[float, float] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


def levels(prediction: Floats, card: Card) -> NDArray[Any]:
    """low, medium, high of each prediction."""
    at = (prediction >= card.low_below).astype(int) + (prediction >= card.high_from)
    return np.asarray(LEVELS[at])


def _churn(p: Floats, card: Card) -> Outputs:
    return {"probability": p[:, 0], "churn_probability": p[:, 0], "risk_level": levels(p[:, 0], card)}


def _ltv(p: Floats, card: Card) -> Outputs:
    return {"amount": p[:, 0], "lifetime_value": p[:, 0], "segment": levels(p[:, 0], card)}


def _propensity(p: Floats, card: Card) -> Outputs:
    return {
        "probability": p[:, 0], "propensity": p[:, 0], "propensity_score": p[:, 0],
        "segment": levels(p[:, 0], card),
    }  # fmt: skip


def _response(p: Floats, card: Card) -> Outputs:
    will = p[:, 0] >= card.yes_from
    return {
        "probability": p[:, 0], "will_respond": will, "response_prediction": will,
        "segment": levels(p[:, 0], card),
    }  # fmt: skip


def _default(p: Floats, card: Card) -> Outputs:
    return {
        "probability": p[:, 0], "default_risk": p[:, 0], "default_risk_score": p[:, 0],
        "risk_level": levels(p[:, 0], card),
    }  # fmt: skip


def _upsell(p: Floats, card: Card) -> Outputs:
    return {"probability": p[:, 0], "upsell_propensity": p[:, 0], "segment": levels(p[:, 0], card)}


def _engagement(p: Floats, card: Card) -> Outputs:
    return {
        "amount": p[:, 0] * 30.0, "engagement_score": p[:, 0] * 100.0,
        "engagement_level": levels(p[:, 0], card),
    }  # fmt: skip


def _best(name: str) -> Callable[[Floats, Card], Outputs]:
    def outputs(p: Floats, card: Card) -> Outputs:
        kinds = np.array([target.partition(":")[2] for target in card.targets])
        best = p.argmax(1) if len(p) else np.zeros(0, np.int64)
        return {
            name: kinds[best], "probability": p[np.arange(len(p)), best],
            **{f"probability:{kind}": p[:, at] for at, kind in enumerate(kinds.tolist())},
        }  # fmt: skip

    return outputs


#: Segments by the recency score and the mean of the other two, the first that fits.
RFM_SEGMENTS = (
    ("champions", 4, 4.0),
    ("loyal", 3, 3.5),
    ("promising", 4, 2.0),
    ("new", 4, 0.0),
    ("at_risk", 0, 3.5),
    ("needs_attention", 2, 2.0),
    ("hibernating", 0, 0.0),
)


def _rfm(p: Floats, card: Card) -> Outputs:
    scores = np.rint(p).astype(np.int64)
    recency, others = scores[:, 0], scores[:, 1:].mean(1)
    fits = [(recency >= least) & (others >= worth) for _, least, worth in RFM_SEGMENTS]
    return {
        "recency": recency, "frequency": scores[:, 1], "monetary": scores[:, 2],
        "rfm_score": scores[:, 0] * 100 + scores[:, 1] * 10 + scores[:, 2], "amount": scores.sum(1),
        "segment": np.select(fits, [name for name, _, _ in RFM_SEGMENTS], "hibernating"),
    }  # fmt: skip


def _constant(count: int) -> Callable[[Columns], Floats]:
    """Everybody gets what most people take: no figure of the customer counts."""
    return lambda column: np.zeros((len(column("calls_30d")), count))


DEFINITIONS: dict[str, Definition] = {
    "nbo": Definition(
        "Next best offer: how probably the customer takes an offer of each kind within 30 days.",
        tuple(f"nbo:{kind}" for kind in OFFER_KINDS), "logit", "binary", "taking the offer",
        _best("offer_kind"), "the kind that most customers take", _constant(len(OFFER_KINDS)),
        ("offer_kind", "probability"),
        metric="chosen", bands=(0.15, 0.4),
        parameters={"num_leaves": 4, "rounds": 25, "learning_rate": 0.2},
    ),
    "churn": Definition(
        "Churn: how probably the customer does nothing at all in the next 30 days, or ends.",
        ("churn",), "logit", "binary", "churn", _churn,
        "days since the last activity", lambda c: c("days_since_activity"),
        ("probability", "churn_probability", "risk_level"), risk=True, bands=(0.2, 0.5),
    ),
    "ltv": Definition(
        "Lifetime value: revenue of the next twelve months, from that of 30 days, currency.",
        ("ltv",), "log", "tweedie", "the value of the next twelve months", _ltv,
        "revenue of 90 days, taken four times", lambda c: 4.0 * c("revenue_90d"),
        ("amount", "lifetime_value", "segment"), metric="r2",
    ),
    "propensity": Definition(
        "Propensity to buy: how probably the customer buys a bundle or anything else within 30 days.",
        ("propensity",), "logit", "binary", "a purchase", _propensity,
        "bundles and purchases so far", lambda c: c("bundle_purchases") + c("purchases"),
        ("probability", "propensity", "segment"), (("propensity", "propensity_score"),), bands=(0.2, 0.5),
    ),
    "product_recommendation": Definition(
        "Product recommendation: how probably the customer buys a product of each kind within 30 days.",
        tuple(f"product:{kind}" for kind in PRODUCT_KINDS), "logit", "binary", "buying the product",
        _best("product_kind"), "the kind that most customers buy", _constant(len(PRODUCT_KINDS)),
        ("product_kind", "probability"), metric="chosen", bands=(0.15, 0.4),
        parameters={"num_leaves": 4, "rounds": 50, "learning_rate": 0.12},
    ),
    "campaign_response": Definition(
        "Campaign response: how probably the customer answers a campaign within 30 days.",
        ("campaign_response",), "logit", "binary", "an answer to a campaign", _response,
        "share of campaigns answered so far", lambda c: c("campaign_share"),
        ("probability", "will_respond", "segment"), (("will_respond", "response_prediction"),),
        bands=(0.15, 0.4),
    ),
    "payment_default": Definition(
        "Payment default: how probably a customer with a bill pays late or not within 30 days.",
        ("payment_default",), "logit", "binary", "a late or missing payment", _default,
        "share of payments that were late so far", lambda c: -c("on_time_share"),
        ("probability", "default_risk", "risk_level"), (("default_risk", "default_risk_score"),),
        risk=True, bands=(0.15, 0.4),
    ),
    "upsell": Definition(
        "Upsell: how probably the customer moves to a higher plan within 30 days.",
        ("upsell",), "logit", "binary", "moving to a higher plan", _upsell,
        "data used in 30 days", lambda c: c("data_mb_30d"), ("probability", "upsell_propensity", "segment"),
        bands=(0.05, 0.2), parameters={"rounds": 140, "learning_rate": 0.07},
    ),
    "engagement": Definition(
        "Engagement: share of the next 30 days on which the customer does something.",
        ("engagement",), "logit", "cross_entropy", "staying active", _engagement,
        "days with activity among the last 30", lambda c: c("active_days_30") / 30.0,
        ("amount", "engagement_score", "engagement_level"), metric="r2",
    ),
    "rfm": Definition(
        "RFM by rules: recency, frequency and monetary value in fifths of the customers, 1 to 5.",
        ("rfm:recency", "rfm:frequency", "rfm:monetary"), "identity", "rules", "the RFM scores", _rfm,
        "it is one", _constant(3), ("recency", "frequency", "monetary", "segment", "amount"), metric="",
        bands=(2.0, 4.0),
    ),
}  # fmt: skip

#: Columns that the scores of RFM are made of: the target's, and whether much of it is good.
RFM_COLUMNS = (("days_since_transaction", False), ("paying_days_90d", True), ("revenue_90d", True))

UCI = "churn-uci"
KINDS: dict[str, str] = {**{name: name for name in DEFINITIONS}, UCI: "churn"}
"""Model -> its kind: `churn-uci` is the same training code, on the columns of a real operator's file."""


def kind_of(name: str) -> Definition:
    """The definition of a model.  Raises KeyError."""
    return DEFINITIONS[KINDS[name]]
