"""The truth about simulated customers: their hidden traits, and what these make of the 30 days that follow.

Formulas here are assumptions about a market, not measurements; models learn them from events alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.labels import HORIZON, OFFER_KINDS, PRODUCT_KINDS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """By label name: the expected value (a probability, a share, an amount) and what was drawn from it.

    An outcome of NaN is none: whoever gets no bill cannot fail to pay it.
    """

    traits: dict[str, Floats]
    expected: dict[str, Floats]
    outcomes: dict[str, Floats]


def draw_traits(rng: np.random.Generator, count: int) -> dict[str, Floats]:
    """Hidden traits, each of shape (count,): rates are a day's or a month's at the usual level."""

    def normal() -> Floats:
        return np.asarray(rng.standard_normal(count))

    active, social, digital, wealth = normal(), normal(), normal(), normal()
    sticky, careful, open_, abroad = normal(), normal(), normal(), normal()
    tariff = rng.choice(3, count, p=[0.5, 0.35, 0.15]).astype(np.float64)
    declining = rng.random(count) < 0.35
    network = np.exp(0.9 * normal() - 1.9)
    rich = np.exp(0.6 * wealth)
    return {
        "tenure": np.where(
            rng.random(count) < 0.04,
            rng.integers(1, 30, count),
            np.floor(np.clip(np.exp(6.3 + 0.75 * sticky + 0.35 * normal()), 30, 1800)),
        ),
        "tariff": tariff,
        "sticky": sticky,
        "digital": digital,
        "social": social,
        "calls": np.exp(-0.2 + 0.5 * active + 0.45 * social),
        "call_seconds": np.exp(4.5 + 0.3 * social),
        "sms": np.exp(-1.4 + 0.8 * social - 0.3 * digital),
        "data_days": np.exp(-0.5 + 0.4 * active + 0.35 * digital),
        "data_mb": np.exp(5.2 + 0.7 * digital),
        "app": np.exp(-1.5 + 0.9 * digital),
        "features": np.exp(-1.7 + 0.9 * digital),
        "content": np.exp(-2.0 + 1.0 * digital),
        "failures": network,
        "roaming": np.exp(-2.0 + 1.2 * abroad + 0.3 * wealth),
        "wealth": rich,
        "recharges": np.exp(1.9 + 0.35 * active - 0.1 * wealth),
        "recharge_size": 3.5 * rich,
        "bill": 18.0 * rich,
        "bundles": np.exp(-1.1 + 0.35 * open_ + 0.6 * digital),
        "buys": np.exp(-2.6 + 0.5 * open_ + 0.3 * wealth),
        "upgrades": np.exp(-4.0 + 0.6 * open_),
        "late": _sigmoid(-1.8 - 0.5 * careful - 0.7 * wealth - 0.6 * digital),
        "complaints": np.exp(-3.6 + 0.6 * np.log(network / np.exp(-1.9)) + 0.3 * normal()),
        "campaigns": np.full(count, 1.5),
        "responds": _sigmoid(-1.5 + 0.3 * open_ + 0.8 * digital),
        "onset": np.where(declining, rng.integers(10, 23, count), 0),  # days since activity fell,
        "fallen": np.where(declining, rng.uniform(0.7, 4.0, count), 0.0),  # by how much, log
    }


def truth_of(rng: np.random.Generator, traits: dict[str, Floats]) -> Truth:
    """What the traits make of the next HORIZON days, and what then happens."""
    t = traits
    fallen, left = t["fallen"], np.exp(-t["fallen"])
    failing, digital, data = np.log(t["failures"]), t["digital"], np.log(t["data_mb"] * t["data_days"]) - fallen
    rich, bundles = np.log(t["wealth"]), np.log(t["bundles"])
    churn = _sigmoid(-3.8 + 1.7 * fallen - 0.6 * (np.log(t["tenure"]) - 6.3) + 0.4 * (failing + 1.9))
    stays = 1.0 - churn
    monthly = _monthly(t, np.sqrt(left))
    offers = _sigmoid(
        np.stack(
            [
                -1.9 + 0.8 * digital,
                -1.7 + 1.0 * (data - 4.5),
                np.where(t["tariff"] == 1, -4.5, -1.4) + 0.5 * (np.log(t["recharges"]) - 1.9),
                -1.5 + 0.9 * (bundles + 1.1),
                -2.2 + 1.0 * (np.log(t["roaming"]) + 2.0),
                -2.3 + 0.9 * rich + 0.5 * (data - 4.5),
                -3.2 + 1.6 * fallen,
                -2.6 + 1.1 * (failing + 1.9),
            ],
            1,
        )
    )
    products = stays[:, None] * _sigmoid(
        np.stack(
            [
                -1.6 + 0.9 * (data - 4.5),
                -1.8 + 0.9 * (np.log(t["calls"]) + 0.2),
                -2.4 + 1.0 * (np.log(t["sms"]) + 1.4),
                -2.5 + 1.1 * (np.log(t["roaming"]) + 2.0),
                -2.4 + 1.2 * (np.log(t["content"]) + 2.0),
                -3.4 + 1.2 * rich,
            ],
            1,
        )
    )
    postpaid = t["tariff"] > 0
    expected = {
        "churn": churn,
        "ltv": stays * monthly * 365.0 / HORIZON,
        "propensity": stays * (1.0 - np.exp(-(t["bundles"] * 1.2 + t["buys"]) * (0.4 + 0.6 * left))),
        "upsell": stays * _sigmoid(-2.5 + 0.5 * (data - 4.5) + 1.1 * rich + 1.0 * digital - 1.0 * postpaid),
        "campaign_response": _sigmoid(
            np.log(t["responds"] / (1 - t["responds"])) + 0.3 - 0.7 * fallen + 0.5 * digital
        ),
        "payment_default": np.where(
            postpaid,
            1.0 - (1.0 - 0.4 * churn) * (1.0 - _sigmoid(_logit(t["late"]) + 0.6 * fallen - 0.5 * rich)),
            np.nan,
        ),
        "engagement": stays * _active_share(t, left),
        **{f"nbo:{kind}": offers[:, at] for at, kind in enumerate(OFFER_KINDS)},
        **{f"product:{kind}": products[:, at] for at, kind in enumerate(PRODUCT_KINDS)},
    }
    return Truth(traits, expected, _draw(rng, expected, traits))


def _draw(rng: np.random.Generator, expected: dict[str, Floats], traits: dict[str, Floats]) -> dict[str, Any]:
    gone = rng.random(len(expected["churn"])) < expected["churn"]
    stays = np.maximum(1.0 - expected["churn"], 1e-9)
    outcomes: dict[str, Floats] = {"churn": gone.astype(np.float64)}
    for name, mean in expected.items():
        if name == "churn":
            continue
        if name == "ltv":
            noise = rng.gamma(12.0, 1.0 / 12.0, len(mean))
            outcomes[name] = np.where(gone, 0.0, mean / stays * noise)
        elif name == "engagement":
            outcomes[name] = np.where(gone, 0.0, rng.binomial(HORIZON, np.minimum(mean / stays, 1)) / HORIZON)
        elif name in ("propensity", "upsell") or name.startswith("product:"):
            outcomes[name] = np.where(gone, 0.0, rng.random(len(mean)) < np.minimum(mean / stays, 1.0))
        else:
            drawn = rng.random(len(mean)) < np.nan_to_num(mean)
            outcomes[name] = np.where(np.isnan(mean), np.nan, drawn.astype(np.float64))
    return outcomes


def _monthly(t: dict[str, Floats], spending: Floats) -> Floats:
    """Revenue expected of a month, currency."""
    topped = np.where(t["tariff"] != 1, t["recharges"] * t["recharge_size"], 0.0) * spending
    return np.asarray(
        topped
        + np.where(t["tariff"] > 0, t["bill"], 0.0)
        + t["wealth"] * (5.0 * t["bundles"] + 8.0 * t["buys"] + 10.0 * t["upgrades"])
    )


def _active_share(t: dict[str, Floats], level: Floats) -> Floats:
    """Share of days with activity, where each kind of use is a Poisson of its rate."""
    uses = t["calls"] + t["sms"] + t["data_days"] + t["app"] + t["features"] + t["content"]
    return np.asarray(1.0 - np.exp(-uses * level))


def _sigmoid(x: Any) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(x, np.float64))))


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p / (1.0 - p)))
