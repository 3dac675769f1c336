"""Predictions that the fold wants, and the form in which their answers come back to it.

The fold asks and never runs a model: an Ask leaves with the customer's row, and what was foretold returns as
a `_prediction` in the log.  docs/predictions.md says when and how.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from loyalty.columns import DAILY as DAILY
from loyalty.columns import INLINE as INLINE
from loyalty.effects import Cause, Moment, effect_id, moment
from loyalty.links import own_record
from loyalty.times import iso

#: Sets of models by their bits in `Ask.sets`.
SETS = {INLINE: "inline", DAILY: "daily"}
#: What a `_prediction` of a set may say; one that is absent or None is unknown.
MEMBERS = {
    INLINE: ("churn", "offer"),
    DAILY: ("propensity", "response", "default_risk", "upsell", "engagement", "rfm", "ltv"),
}


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A customer's turn: `sets` of models (INLINE, DAILY or both) as of a time (ms)."""

    id: bytes
    sets: int
    as_of: int
    revision: int
    cause: Cause


def prediction_id(ask: Ask, which: int) -> str:
    """The `effect_id` on `predictions` of an ask's answer by a set of models, INLINE or DAILY."""
    return effect_id(moment_of(ask), f"prediction:{SETS[which]}")


def moment_of(ask: Ask) -> Moment:
    """What the records of an ask's answers begin with."""
    cause, id = ask.cause, ask.id
    return moment(id, iso(ask.as_of), ask.revision, cause.source, cause.event_id, id.decode())


def prediction_record(
    ask: Ask, which: int, event_id: str, values: Mapping[str, float | None]
) -> tuple[bytes, bytes]:
    """Key and value of the `_prediction` for customer-events that answers an ask by a set of models.

    `event_id` is the `effect_id` on `predictions`, `values` are by MEMBERS: shares 0 to 1, `engagement` 0 to
    30 days, `rfm` and `offer` integers, `ltv` in units of currency.
    """
    attributes = {"set": SETS[which], **values}
    return own_record(ask.id.decode(), "_prediction", event_id, iso(ask.as_of), attributes)
