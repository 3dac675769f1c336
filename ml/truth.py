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
    # How activity fell, log: not at all, somewhat, nearly to nothing.
    fallen = rng.choice((0.0, 1.5, 3.0), count, p=(0.65, 0.2, 0.15))
    network = np.exp(0.9 * normal() - 1.9)
    rich = np.exp(0.6 * wealth)
    return {
        "tenure": np.where(
            rng.random(count) < 0.04,
            rng.integers(1, 30, count),
            np.floor(np.clip(np.exp(6.3 + 0.75 * sticky + 0.35 * normal()), 30, 1800)),
        ),
        "tariff": tariff,
        "digital": digital,
        "open": open_,
        "careful": careful,
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
        "buys": np.exp(-2.9 + 0.2 * open_ + 0.4 * wealth),
        "upgrades": np.exp(-4.0 + 0.6 * open_),
        "late": _sigmoid(-1.8 - 0.5 * careful - 0.7 * wealth - 0.6 * digital),
        "complaints": np.exp(-3.6 + 0.6 * np.log(network / np.exp(-1.9)) + 0.3 * normal()),
        "campaigns": np.full(count, 1.5),
        "responds": _sigmoid(-1.5 + 0.3 * open_ + 0.8 * digital),
        "onset": np.where(fallen > 0, rng.integers(11, 21, count), 0),  # days since activity fell,
        "fallen": fallen,
    }


def truth_of(rng: np.random.Generator, traits: dict[str, Floats], lived: dict[str, Floats]) -> Truth:
    """What traits, and what the customers did and met (`ml.simulator.lived`), make of the next HORIZON days.

    Habit and experience count beside character: who met failures leaves, who bought bundles buys them again.
    """
    t, open_, digital = traits, traits["open"], traits["digital"]
    fallen, left, tenure = t["fallen"], np.exp(-t["fallen"]), np.log(t["tenure"]) - 6.3
    months = np.minimum(t["tenure"], 1_800) / 30.0

    def recent(*kinds: str) -> Floats:
        """Log of how much of it there was in 30 days; 0 is the middle of the market."""
        return np.log1p(sum(lived[f"{kind}:30"] for kind in kinds))

    def often(kind: str) -> Floats:
        """Log of how often in a month, drawn to the market's mean where the customer is new."""
        mean = lived[kind].sum() / months.sum()
        return np.asarray(np.log((lived[kind] + mean * 3.0) / (months + 3.0) / mean))

    def share(part: str, whole: str) -> Floats:
        mean = lived[part].sum() / lived[whole].sum()
        return _logit((lived[part] + 4.0 * mean) / (lived[whole] + 4.0))

    revenue = sum(lived[f"{kind}:90"] for kind in _REVENUE)
    spends = np.log((revenue + 5.0) / 3.0) - 3.3
    app = recent("app_login", "feature_use", "content_view") - 2.7
    data, calls = recent("data_session") - 7.6, recent("voice_call") - 3.2
    failed, roams = recent("qoe_degradation") - 1.6, often("roaming_call")
    bundles, postpaid = often("bundle_purchase"), t["tariff"] > 0
    churn = _sigmoid(-3.7 + 1.5 * fallen - 0.9 * tenure + 0.7 * failed)
    stays = 1.0 - churn
    expected = {
        "churn": churn,
        "ltv": stays
        * 365.0
        / HORIZON
        * (0.15 * _monthly(t, np.sqrt(left)) + 0.85 * revenue / 3.0 * np.sqrt(left)),
        "propensity": stays * _sigmoid(-0.9 + 1.0 * bundles + 0.6 * app + 0.2 * open_),
        "upsell": stays
        * _sigmoid(-2.9 + 0.2 * data + 1.5 * spends + 1.1 * app - 1.2 * postpaid + 0.1 * open_),
        "campaign_response": _sigmoid(
            share("campaign_converted", "campaign_delivered") - 0.8 * fallen + 0.6 * app + 0.2 * digital
        ),
        "payment_default": np.where(
            postpaid,
            _sigmoid(share("late", "payment") + 0.9 * fallen - 1.0 * spends - 0.5 * app),
            np.nan,
        ),
        "engagement": stays * (0.5 * _active_share(t, left) + 0.5 * lived["active:7"] / 7.0),
        **_offers(fallen, app, data, failed, bundles, roams, spends, t, recent("recharge") - 3.0),
        **_products(stays, app, data, calls, recent("sms") - 2.2, roams, spends),
    }
    return Truth(traits, expected, _draw(rng, expected))


def _offers(
    fallen: Floats, app: Floats, data: Floats, failed: Floats, bundles: Floats, roams: Floats, spends: Floats,
    t: dict[str, Floats], topped: Floats,
) -> dict[str, Floats]:  # fmt: skip
    prepaid = np.where(t["tariff"] == 1, -3.0, 0.0)
    margins = (
        -1.9 + 0.9 * app,
        -1.7 + 0.9 * data,
        -1.5 + prepaid + 0.6 * topped,
        -1.5 + 1.1 * bundles + 0.2 * t["open"],
        -2.0 + 1.2 * roams,
        -2.2 + 1.0 * spends + 0.4 * data,
        -3.0 + 1.4 * fallen,
        -2.3 + 1.1 * failed,
    )
    return {f"nbo:{kind}": _sigmoid(margin) for kind, margin in zip(OFFER_KINDS, margins, strict=True)}


def _products(
    stays: Floats, app: Floats, data: Floats, calls: Floats, sms: Floats, roams: Floats, spends: Floats
) -> dict[str, Floats]:
    margins = (
        -1.6 + 1.1 * data, -1.9 + 1.1 * calls, -2.3 + 0.8 * sms, -2.2 + 1.4 * roams, -2.2 + 1.3 * app,
        -2.8 + 1.4 * spends,
    )  # fmt: skip
    return {
        f"product:{kind}": stays * _sigmoid(margin)
        for kind, margin in zip(PRODUCT_KINDS, margins, strict=True)
    }


_REVENUE = ("recharge", "bundle_purchase", "purchase", "plan_upgrade", "payment")


def _draw(rng: np.random.Generator, expected: dict[str, Floats]) -> dict[str, Floats]:
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
