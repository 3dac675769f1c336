"""How far customers are from those that models were trained on, by the features that models saw last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import select

from loyalty.asking import SETS
from loyalty.columns import INLINE
from ml import features
from ml.drift import MOVED, STABLE, Reservoir, feature_drift, score_drift
from ml.features import Matrix
from ml.registry import Model
from ml.serving import FEATURE_SET
from projection import schema
from web.api.parts import Parts

#: Customers that are looked at, always the same ones: in the order of a hash of their ids.
MOST = 3_000
#: Seconds for which they are kept: drift takes days.
KEPT = 60.0


@dataclass(frozen=True, slots=True)
class Today:
    """What models saw last of some customers: `values` (n, features), the newest of it at `newest`."""

    values: Matrix
    newest: datetime | None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def enough(self) -> bool:
        """Whether an index says more of customers than of chance."""
        return len(self) >= Reservoir.LEAST


def today(parts: Parts) -> Today:
    """What the projection has, not older than KEPT."""
    return parts.lately(Today, _read, KEPT)


def _read(parts: Parts) -> Today:
    of, told = schema.customers.c, schema.predictions.c
    some = select(of.customer_id).where(of.state == "open").order_by(of.hash).limit(MOST).subquery()
    with parts.store.session() as session:
        found = session.execute(
            select(told.features, told.as_of)
            .join(some, some.c.customer_id == told.customer_id)
            .where(told.set == SETS[INLINE], told.feature_set == FEATURE_SET)
        ).all()
    values = np.array([row.features for row in found], np.float32).reshape(-1, len(features.NAMES))
    return Today(values, max((row.as_of for row in found), default=None))


def drift(now: Today, model: Model) -> dict[str, Any]:
    """Population stability index against training: by feature, by target; how the worst target's is read."""
    chosen = features.select(now.values, model.names)
    by_feature, by_score = feature_drift(model, chosen), score_drift(model, chosen)
    worst = max(by_score.values(), default=0.0)
    moved = sum(index >= MOVED for index in by_feature.values())
    return {
        "features": by_feature, "scores": by_score, "worst": worst, "reading": reading(worst), "moved": moved,
    }  # fmt: skip


def reading(index: float) -> str:
    """`stable`, `look` or `moved`."""
    return "stable" if index < STABLE else "look" if index < MOVED else "moved"
