"""Checks of a model that is to be trusted: shape, ranges, keys, aliases, explanations, latency."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.explain import Explainer
from ml.models import DEFINITIONS, LEVELS, Outputs
from ml.registry import Model, ModelError

ROWS = 2_000
#: Milliseconds of CPU time that ROWS may take on one core, for each target.
LATENCY_MS = 20.0
EXPLAINED = 200
_TOLERANCE = 1e-3  # of a margin: onnxruntime adds float32, explanations float64


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, whether it holds, and what was found."""

    name: str
    holds: bool
    found: str


def check(model: Model) -> list[Check]:
    """Every check of a loaded model."""
    values = sample(model, ROWS)
    checks: tuple[tuple[str, Callable[[], tuple[bool, str]]], ...] = (
        ("shape", lambda: _shape(model, values)),
        ("ranges", lambda: _ranges(model, values)),
        ("keys", lambda: _keys(model, values)),
        ("aliases", lambda: _aliases(model, values)),
        ("bad input", lambda: _bad_input(model, values)),
        ("explanation", lambda: _explanation(model, values[:EXPLAINED])),
        ("latency", lambda: _latency(model, values)),
    )
    return [Check(name, *run()) for name, run in checks]


def sample(model: Model, rows: int) -> NDArray[np.float32]:
    """Rows as they might come: each feature anywhere among the tenths of its training rows."""
    rng = np.random.default_rng(3)
    columns = [rng.choice(np.array(each.edges or [each.typical]), rows) for each in model.card.features]
    return np.stack(columns, 1).astype(np.float32)


def _shape(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    margin, prediction = model.run(values)
    wanted = (len(values), len(model.card.targets))
    empty = model.predict(values[:0])
    holds = margin.shape == prediction.shape == wanted and all(len(each) == 0 for each in empty.values())
    return holds, f"{len(model.names)} features, {wanted[1]} targets"


def _ranges(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    _, prediction = model.run(values)
    low, high = float(prediction.min()), float(prediction.max())
    top = 1.0 if model.card.link == "logit" else np.inf
    return bool(np.isfinite(prediction).all()) and low >= 0.0 and high <= top, f"{low:,.4g} to {high:,.4g}"


def _keys(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    found = model.predict(values)
    wanted = {*DEFINITIONS[model.card.kind].keys, "model_version"}
    if model.card.inputs == "row":
        wanted.add("insufficient_history")
    missing = sorted(wanted - set(found))
    whole = all(len(each) == len(values) for each in found.values())
    known = all(set(np.unique(found[key])) <= set(LEVELS) for key in ("risk_level",) if key in found)
    return (
        not missing and whole and known,
        f"missing: {', '.join(missing)}" if missing else f"{len(found)} keys",
    )


def _aliases(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    found: Outputs = model.predict(values)
    aliases = DEFINITIONS[model.card.kind].aliases
    same = all(np.array_equal(found[one], found[other]) for one, other in aliases)
    return same, ", ".join("/".join(pair) for pair in aliases) or "none"


def _bad_input(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    broken = values[:1].copy()
    broken[0, -1] = np.nan
    try:
        model.predict(broken)
    except ModelError as error:
        return model.names[-1] in str(error), "a NaN is refused by its column"
    return False, "a NaN is taken"


def _explanation(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    explainer = Explainer(model)
    margin, _ = model.run(values)
    worst = max(
        float(
            np.abs(
                explainer.contributions(values, at).sum(1) + explainer.paths(at).base - margin[:, at]
            ).max()
        )
        for at in range(len(model.card.targets))
    )
    told = explainer.explain(values)
    rules = DEFINITIONS[model.card.kind].objective == "rules"  # which tell all they count
    sides = {} if rules else {"low": (-1,), "high": (1,)}
    consistent = all(
        np.sign(factor.contribution) in sides.get(each.level, (-1, 1))
        for each in told
        for factor in each.factors
    )
    return worst < _TOLERANCE and consistent and len(told) == len(values), f"adds up to {worst:.1e}"


def _latency(model: Model, values: NDArray[np.float32]) -> tuple[bool, str]:
    def once() -> float:
        started = time.process_time()
        model.predict(values)
        return (time.process_time() - started) * 1000

    took = min(once() for _ in range(7))
    limit = LATENCY_MS * len(model.card.targets)
    return took <= limit, f"{took:.1f} ms for {len(values):,} rows, {limit:.0f} at most"
