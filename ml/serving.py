"""Models in the stream: what the fold asks for is answered here, whole batches at once.

`Serving` holds the ten models, takes a version over when it is activated, and keeps the old one where the new
one cannot be used.  The same rows and models give the same bytes, however batches are cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.asking import DAILY, INLINE, SETS, Ask
from loyalty.content import Decisions
from loyalty.effects import PREDICTIONS, SOURCE, Cause, Effect, Moment, effect_id, moment, plain
from loyalty.game import Game
from loyalty.row import ROW
from loyalty.spans import Texts
from loyalty.times import iso_many
from loyalty.writing import Page
from ml import features, ranking
from ml.card import Card
from ml.drift import Reservoir, feature_drift, score_drift
from ml.features import Matrix, Rows
from ml.models import KINDS, Outputs, kind_of
from ml.ranking import Best, Offers
from ml.registry import SHIPPED, Model, ModelError, Registry
from ml.rules import Rule

#: The models of each set that the fold asks for.
MODELS: dict[int, tuple[str, ...]] = {
    INLINE: ("churn", "nbo"),
    DAILY: (
        "ltv", "propensity", "product_recommendation", "campaign_response", "payment_default", "upsell",
        "engagement", "rfm",
    ),
}  # fmt: skip
NAMES = (*MODELS[INLINE], *MODELS[DAILY])
#: Which order the recorded features have.
FEATURE_SET = 1
#: Offers that stand in a record.
BEST = 3

NONE, RULES = "none", "rules"  # what may stand in for a model
_json = msgspec.json.Encoder().encode


class Content(Protocol):
    """What is needed of a catalog revision."""

    @property
    def decisions(self) -> Decisions: ...
    @property
    def game(self) -> Game: ...


class _Empty(msgspec.Struct):
    decisions: Decisions = Decisions()
    game: Game = Game()


class Switch(NamedTuple):
    """A version that was activated: taken over, or refused with the reason while the old one goes on."""

    model: str
    version: str
    refused: str


@dataclass(slots=True)
class Answers:
    """What a transaction writes: records of `predictions`, `_prediction` (key, value) for customer-events."""

    effects: list[Effect] = field(default_factory=list)
    forwards: list[tuple[bytes, bytes]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # predictions by model


class Serving:
    """The models of a worker.  `answer` is called from one thread, `poll` and `drift` may be from another."""

    def __init__(self, directory: Path | None = None, fallback: str = NONE) -> None:
        """Load all models of a directory, unset: those that come along.

        Raises ModelError where one cannot be used and `fallback` is not RULES.
        """
        self._registry = Registry(directory or SHIPPED)
        self._seen = {name: self._signature(name) for name in NAMES}
        self._offers: tuple[Any, Card, Offers] | None = None
        self.sample = Reservoir(len(features.NAMES))
        self.models: dict[str, Model | Rule] = {}
        for name in NAMES:
            try:
                self.models[name] = self._load(name)
            except ModelError as error:
                if fallback != RULES:
                    raise _none(name, error, self._registry.directory) from None
                self.models[name] = Rule(name)

    def prepare(self) -> None:
        """Compile what the first answer needs, while nobody waits."""
        ask = Ask(b"", INLINE | DAILY, 0, 0, Cause("", ""))
        self.answer([ask], np.zeros(1, ROW), _Empty())
        self.sample = Reservoir(len(features.NAMES))

    def poll(self) -> list[Switch]:
        """Take over what was activated since; what cannot be used is refused once, the old one goes on."""
        found = []
        for name in NAMES:
            signature = self._signature(name)
            if signature == self._seen[name]:
                continue
            self._seen[name] = signature
            try:
                model = self._load(name)
            except ModelError as error:
                found.append(Switch(name, signature[0], f"{error}; {error.hint}"))
            else:
                self.models = self.models | {name: model}
                found.append(Switch(name, model.version, ""))
        return found

    def answer(self, asks: Sequence[Ask], rows: Rows, content: Content) -> Answers:
        """The answers of asks of one revision, whose content it is; `rows` are theirs, in the same order."""
        out = Answers()
        if not asks:
            return out
        models, decisions = self.models, content.decisions
        values = features.matrix(rows, decimals=decisions.currency_decimals, timezone=decisions.timezone)
        self.sample.add(values)
        sets = np.fromiter((ask.sets for ask in asks), np.int64, len(asks))
        moments = _moments(asks)
        for which in (INLINE, DAILY):
            chosen = np.flatnonzero(sets & which)
            if not len(chosen):
                continue
            mine = [moments[at] for at in chosen.tolist()]
            ids, *heads = _heads(which, mine)
            told = _Set(which, values[chosen], heads)
            for name in MODELS[which]:
                model = models[name]
                _, prediction = model.run(features.select(told.values, model.names))
                told.model(name, model, prediction)
                if name == "nbo":
                    told.offers(self._best(model, prediction, rows[chosen], content), model.card)
                out.counts[name] += len(chosen)
            tail = f":{SETS[which]}".encode()
            for of, id, record, event in zip(mine, ids, *told.finish(), strict=True):
                out.effects.append(Effect(PREDICTIONS, of.key + tail, record, id))
                out.forwards.append((of.key, event))
        return out

    def drift(self) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
        """Population stability of rows served lately: by feature (worst of all models), by (model, target).

        Nothing where too few were served yet.
        """
        values = self.sample.rows()
        by_feature: dict[str, float] = {}
        by_score: dict[tuple[str, str], float] = {}
        if values is None:
            return by_feature, by_score
        for name, model in self.models.items():
            if isinstance(model, Model):
                chosen = features.select(values, model.names)
                for feature, index in feature_drift(model, chosen).items():
                    by_feature[feature] = max(index, by_feature.get(feature, 0.0))
                for target, index in score_drift(model, chosen).items():
                    by_score[name, target] = index
        return by_feature, by_score

    def _best(
        self, model: Model | Rule, prediction: NDArray[np.float32], rows: Rows, content: Content
    ) -> Best:
        offers, card = content.game.offers, model.card
        if self._offers is None or self._offers[0] is not offers or self._offers[1] is not card:
            kinds = [target.partition(":")[2] for target in card.targets]
            self._offers = offers, card, Offers(ranking.choices(offers), kinds)
        value = value_of(rows, self.models["ltv"].card, content.decisions.currency_decimals)
        return self._offers[2].best(prediction.astype(np.float64), value, rows["segment"], BEST)

    def _load(self, name: str) -> Model:
        model = self._registry.load(name)
        card = model.card
        if card.kind != KINDS[name] or card.inputs != "row" or card.targets != list(kind_of(name).labels):
            raise ModelError(
                f"{name} {model.version} is refused: it is a model of kind {card.kind}, of a {card.inputs}, "
                f"for {', '.join(card.targets)}",
                hint=f"`khaywe ml train --model {name}` makes it anew",
            )
        return model

    def _signature(self, name: str) -> tuple[str, int, int]:
        """What changes when another version is to be tried: version, time and size of its file."""
        version = ""
        try:
            version = self._registry.active(name)
            stat = self._registry.path(name, version).stat()
        except (ModelError, OSError, ValueError):  # what is wrong is said when it is loaded
            return version, 0, 0
        return version, stat.st_mtime_ns, stat.st_size


def value_of(rows: Rows, ltv: Card, decimals: int) -> NDArray[np.int64]:
    """A customer's value by the lifetime value foretold last: 0 unknown, else 1 + the place in LEVELS."""
    amount = (rows["ltv"].astype(np.int64) - 1) / 10.0**decimals
    level = 1 + (amount >= ltv.low_below).astype(np.int64) + (amount >= ltv.high_from)
    return np.asarray(np.where(rows["ltv"] > 0, level, 0))


class _Set:
    """What one set of models says of some customers, as text of both records.

    `heads` are what the records of `predictions` begin with, and the `_prediction`s.
    """

    def __init__(self, which: int, values: Matrix, heads: Sequence[list[bytes]]) -> None:
        self.values = values
        self._unknown = features.insufficient_history(values)
        self._page, self._event = Page(len(values)), Page(len(values))
        self._begun = False
        self._page.pick(Texts.of(heads[0]))
        self._text(f',"set":"{SETS[which]}","models":{{')
        self._event.pick(Texts.of(heads[1]))
        self._event.text(f',"attributes":{{"set":"{SETS[which]}"'.encode())

    def model(self, name: str, model: Model | Rule, prediction: NDArray[np.float32]) -> None:
        """One model's outputs."""
        self._text(f'{"}," if self._begun else ""}"{name}":{{"model_version":{_json(model.version).decode()}')
        self._begun = True
        outputs = model.outputs(prediction)
        for key, column in outputs.items():
            self._text(f',"{key}":')
            self._page.value(column)
        self._text(',"insufficient_history":')
        self._page.value(self._unknown)
        self._text(f',"fallback":{"true" if isinstance(model, Rule) else "false"}')
        self._foretell(name, outputs)

    def _foretell(self, name: str, outputs: Outputs) -> None:
        """What the fold takes of it."""
        member, key = _TAKEN.get(name, ("", ""))
        if member:
            self._take(member, outputs[key])

    def _take(self, member: str, column: NDArray[Any]) -> None:
        self._event.text(f',"{member}":'.encode())
        self._event.value(np.where(self._unknown, np.nan, column))

    def offers(self, best: Best, card: Card) -> None:
        """The best ones, of the model that came last."""
        kinds = np.array([target.partition(":")[2] for target in card.targets])[best.kinds]
        self._text(',"offers":[')
        for place in range(best.ids.shape[1]):
            self._page.skip(best.ids[:, place], 9)
            for name, column in (
                ("offer_id", best.ids), ("kind", kinds), ("probability", best.probabilities),
                ("expected_value", best.expected),
            ):  # fmt: skip
                lead = "," if name != "offer_id" else ",{" if place else "{"
                self._text(f'{lead}"{name}":')
                self._page.value(column[:, place])
            self._text("}")
        self._text("]")
        first = best.ids[:, 0]
        self._take("offer", np.where(first < 0, np.nan, first))

    def finish(self) -> tuple[list[bytes], list[bytes]]:
        """Records of `predictions`, and `_prediction`s."""
        self._text('}},"features":[')
        self._page.numbers(self.values)
        self._text(f'],"feature_set":{FEATURE_SET}}}')
        self._event.text(b"}}")
        return self._page.written().split(), self._event.written().split()

    def _text(self, text: str) -> None:
        self._page.text(text.encode())


#: Model -> the member of a `_prediction` and the output that it is.
_TAKEN = {
    "churn": ("churn", "probability"),
    "propensity": ("propensity", "probability"),
    "campaign_response": ("response", "probability"),
    "payment_default": ("default_risk", "probability"),
    "upsell": ("upsell", "probability"),
    "engagement": ("engagement", "amount"),
    "rfm": ("rfm", "rfm_score"),
    "ltv": ("ltv", "amount"),
}


def _heads(which: int, moments: Sequence[Moment]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Effect ids, and what both records of each ask begin with: the second as `asking.prediction_record`."""
    rule = f"prediction:{SETS[which]}"
    ids, records, events = [], [], []
    for of in moments:
        id = effect_id(of, rule)
        ids.append(id.encode())
        records.append(f'{{"effect_id":"{id}",{of.head}'.encode())
        events.append(
            f'{{"event_id":"{id}","customer_id":{plain(of.customer_id)},"event_type":"_prediction",'
            f'"source":"{SOURCE}","value":1,"occurred_at":"{of.at}","received_at":"{of.at}"'.encode()
        )
    return ids, records, events


def _moments(asks: Sequence[Ask]) -> list[Moment]:
    """As `asking.moment_of`, all at once."""
    times = iso_many(np.fromiter((ask.as_of for ask in asks), np.int64, len(asks)))
    return [
        moment(ask.id, at, ask.revision, ask.cause.source, ask.cause.event_id, ask.id.decode())
        for ask, at in zip(asks, times, strict=True)
    ]


def _none(name: str, error: ModelError, directory: Path) -> ModelError:
    return ModelError(
        f"no model {name} to predict with: {error}",
        hint=f"{error.hint}; models are those of {directory} (KHAYWE_MODELS), and "
        f"KHAYWE_MODEL_FALLBACK={RULES} lets rules answer meanwhile",
    )
