"""Models at work in a worker: answers for the fold's transaction, new versions and drift beside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from agents.background import Repeating
from catalog.content import Content
from config.settings import Settings
from loyalty.engine import Outcome
from ml.rules import Rule
from ml.serving import Answers, Serving
from streams import metrics

log = logging.getLogger(__name__)

#: Seconds between two looks at which versions are active, and between two reckonings of drift: a quarter of a
#: second of work each.
LOOK_SECONDS = 1.0
DRIFT_SECONDS = 300.0


class Predicting:
    """The models of a worker."""

    def __init__(self, settings: Settings) -> None:
        """Load them, and compile what they need.  Raises ModelError: one is missing, no rule may answer."""
        self._serving = Serving(settings.models, settings.model_fallback)
        self._serving.prepare()
        for name, model in self._serving.models.items():
            if isinstance(model, Rule):
                log.warning("no model %s: a rule answers, and says so (KHAYWE_MODEL_FALLBACK)", name)
            metrics.MODEL.labels(name, model.version).set(1)
        self._drifted = time.monotonic()
        self._watch = Repeating("models", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Begin to look for new versions."""
        self._watch.start()

    def answer(self, outcomes: Sequence[Outcome], contents: Callable[[int], Content]) -> Answers:
        """What is foretold of whom a transaction's outcomes ask about: one batch of each revision."""
        asks = [ask for outcome in outcomes for ask in outcome.asks]
        if not asks:
            return Answers()
        rows = np.concatenate([rows for outcome in outcomes for rows in outcome.handed_out])
        revisions = np.array([ask.revision for ask in asks])
        out = Answers()
        for revision in np.unique(revisions).tolist():
            chosen = np.flatnonzero(revisions == revision)
            whole = len(chosen) == len(asks)
            found = self._serving.answer(
                asks if whole else [asks[n] for n in chosen.tolist()],
                rows if whole else rows[chosen],
                contents(revision),
            )
            out.effects += found.effects
            out.forwards += found.forwards
            out.counts += found.counts
        return out

    def look(self) -> None:
        """Take over what was activated since; now and then reckon drift."""
        before = self._serving.models
        for switch in self._serving.poll():
            if switch.refused:
                metrics.MODEL_REFUSALS.labels(switch.model).inc()
                kept = before[switch.model].version
                log.error(
                    "model %s %s is refused, %s goes on: %s",
                    switch.model, switch.version or "(none)", kept, switch.refused,
                )  # fmt: skip
                continue
            metrics.MODEL.remove(switch.model, before[switch.model].version)
            metrics.MODEL.labels(switch.model, switch.version).set(1)
            log.info("model %s: version %s answers from now on", switch.model, switch.version)
        if time.monotonic() - self._drifted >= DRIFT_SECONDS:
            self._drifted = time.monotonic()
            self.reckon()

    def reckon(self) -> None:
        """Put drift on the metrics, where enough was served."""
        features, scores = self._serving.drift()
        for feature, index in features.items():
            metrics.FEATURE_DRIFT.labels(feature).set(index)
        for (model, target), index in scores.items():
            metrics.SCORE_DRIFT.labels(model, target).set(index)
