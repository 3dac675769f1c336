"""A prediction that was written down, explained: from the features it saw, by the version that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml import features
from ml.explain import Explainer, Factor
from ml.registry import ModelError, Registry
from ml.serving import FEATURE_SET


@dataclass(frozen=True, slots=True)
class Told:
    """One model's part of a record of `predictions`: its outputs as recorded, and why in sentences.

    `factors` are empty where nobody can say: `text` says why not.
    """

    model: str
    version: str
    outputs: dict[str, Any]
    text: str
    factors: list[Factor]


class Recorded:
    """Explains records; each version of a model is loaded once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._explainers: dict[tuple[str, str], Explainer] = {}

    def tell(self, record: Mapping[str, Any]) -> list[Told]:
        """The models of a record, in its order; `record` is the value of a record of `predictions`."""
        values = np.array([record["features"]], np.float32)
        return [
            self._one(name, outputs, values, record["feature_set"])
            for name, outputs in record["models"].items()
        ]

    def _one(self, name: str, outputs: dict[str, Any], values: features.Matrix, feature_set: int) -> Told:
        version = outputs["model_version"]

        def unexplained(why: str) -> Told:
            return Told(name, version, outputs, why, [])

        if outputs["fallback"]:
            return unexplained("A rule answered: no model was there.")
        if feature_set != FEATURE_SET or values.shape[1] != len(features.NAMES):
            return unexplained("Its features are of another version of khaywe.")
        try:
            explainer = self._explainers.get((name, version)) or Explainer(self._registry.load(name, version))
        except ModelError as error:
            return unexplained(f"Nobody can say why any more: {error}.")
        self._explainers[name, version] = explainer
        # What is offered is not always what is taken most probably: it is that which is to be explained.
        offered = [f"{name}:{offer['kind']}" for offer in outputs.get("offers", ())[:1]]
        (found,) = explainer.explain(features.select(values, explainer.model.names), *offered)
        said = found.text
        if outputs["insufficient_history"]:
            said += " Too little is known of the customer to act on it."
        return Told(name, version, outputs, said, found.factors)
