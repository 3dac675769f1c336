"""Predictions of the reference: whose turn it is, with the row that is handed out, and what answers move."""

from __future__ import annotations

from tests.reference.campaigns import Campaigns
from tests.reference.customer import Customer, snapshot
from tests.reference.model import FORETOLD, NO, OPEN, VALUE_LIMIT, Cause, Record, half_even

HOUR_MS = 3_600_000
INLINE, DAILY = 1, 2


class Predictions(Campaigns):
    """Asks pile up in `asks`, each with the row as it was when its turn came."""

    # When it is asked.

    def _ask_after(self, c: Customer, cause: Cause) -> None:
        """At the end of an event or a `_merge`."""
        wanted = self.content.predictions
        if not wanted.enabled:
            return
        waited = c.as_of - c.inline_asked >= wanted.hours * HOUR_MS
        pairs = zip(self._scores_of_models(c), c.asked_scores, strict=True)
        if waited or any(abs(new - old) >= wanted.step * 100 for new, old in pairs):
            self._ask(c, INLINE, cause)

    def _ask_refreshed(self, c: Customer, cause: Cause) -> None:
        self._ask(c, INLINE | DAILY if c.last_activity > c.daily_asked else INLINE, cause)

    def _ask(self, c: Customer, sets: int, cause: Cause) -> None:
        if not self.content.predictions.enabled or c.state != OPEN or self._backfill:
            return
        if sets & INLINE:
            c.inline_asked, c.asked_scores = c.as_of, self._scores_of_models(c)
        if sets & DAILY:
            c.daily_asked = c.as_of
        ask = {
            "customer_id": c.customer_id,
            "sets": sets,
            "as_of": c.as_of,
            "revision": self.revision,
            "cause": {"source": cause.source, "event_id": cause.event_id},
            "row": snapshot(c),
        }
        self.asks.append(ask)

    def _scores_of_models(self, c: Customer) -> list[int]:
        """Engagement, revenue, loyalty, digital: risk is what a model says."""
        engagement, revenue, loyalty, _, digital = self._scores(c)
        return [engagement, revenue, loyalty, digital]

    # What comes back.

    def _prediction(self, record: Record) -> None:
        if self._is_erased(record.customer_id):
            self.counts["ignored_erased"] += 1
            return
        c, which, asked = self.customers.get(record.customer_id), record.attributes["set"], record.occurred_at
        if c is None or c.state != OPEN or asked < c.opened_at or asked < c.foretold_at[which]:
            self.counts["predictions_ignored"] += 1
            return
        self.counts["predictions_taken"] += 1
        c.foretold_at[which] = asked
        for name in FORETOLD[which]:
            c.foretold.pop(name, None)
            said = record.attributes.get(name)
            if said is not None:
                c.foretold[name] = self._smallest(name, said)
        if c.opted != NO:
            found = self._features(c)
            if self._has_game:
                self._check_badges(c, found, record.cause)
                self._generate(c, found, record.cause)
                self._tier(c, record.cause)
            self._contact(c, found, record.cause, None, daily=False)
        self._publish_moved(c, record.cause)

    def _smallest(self, name: str, said: float) -> int:
        if name == "ltv":
            return min(half_even(float(said), 10**self.decimals), VALUE_LIMIT)
        if name in ("offer", "rfm"):
            return int(said)
        return round(float(said) * (100.0 if name == "engagement" else 10_000.0))
