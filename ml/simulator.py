"""Telecom customers with a known truth: hidden traits drive events, and the fold makes rows of these.

What a model may see are the rows; the truth (traits, and the probability of what happens next) is kept apart,
so that the best possible figure of a model is known.  The same arguments give the same customers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.columns import PUBLICATION
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.decode import Batch
from loyalty.emitter import Emitter
from loyalty.engine import Engine, Outcome
from loyalty.events import ACTIVITY
from loyalty.game import Game
from loyalty.log import joined
from loyalty.spans import Spans
from loyalty.state import State
from loyalty.times import iso_many
from ml.features import TARIFFS
from ml.truth import Truth, draw_traits, truth_of

#: The local day that features are for: 2025-06-30, days since 1970-01-01.
AS_OF_DAY = 20_269
HISTORY = 90  # days before it in which every use is simulated
RARE = 1_800  # days in which payments, campaigns and complaints are: nobody is here for longer
BATCH = 20_000
_SOURCES = {
    "voice_call": "cdr", "sms": "cdr", "data_session": "cdr", "roaming_call": "cdr", "recharge": "billing",
    "bundle_purchase": "billing", "purchase": "billing", "plan_upgrade": "billing", "payment": "billing",
    "invoice": "billing", "activation": "crm", "profile_update": "crm", "complaint": "crm",
    "app_login": "app", "feature_use": "app", "content_view": "app", "qoe_degradation": "network",
    "campaign_delivered": "custom", "campaign_converted": "custom",
}  # fmt: skip
Times = NDArray[np.int64]
Floats = NDArray[np.float64]


class Content(msgspec.Struct):
    """What the fold needs of a revision: the defaults, and no game."""

    decisions: Decisions = msgspec.field(default_factory=Decisions)
    policy: ScoringPolicy = msgspec.field(default_factory=ScoringPolicy)
    game: Game = Game()
    predictions: Predictions = Predictions(enabled=False)


class _Quiet(Emitter):
    """Of a fold whose publications nobody reads: they are half of its time."""

    def emit(self, batch: Batch, start: int, found: Any, ids: Spans, out: Outcome, links: Any = None) -> None:
        told = found["kind"] != PUBLICATION
        super().emit(batch, start, found[told], ids.take(np.flatnonzero(told)), out, links)


@dataclass(slots=True)
class Events:
    """Events in columns: who (index), when (ms), what, how much, with what attributes."""

    who: list[NDArray[np.int64]] = field(default_factory=list)
    at: list[Times] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    attributes: list[list[str] | None] = field(default_factory=list)

    def add(
        self, kind: str, who: Any, at: Any, value: Any = 1.0, attributes: list[str] | None = None
    ) -> None:
        """Add events of one kind; `attributes` as JSON."""
        self.kind.append(kind)
        self.who.append(np.asarray(who, np.int64))
        self.at.append(np.asarray(at, np.int64))
        amounts = np.broadcast_to(np.asarray(value, np.float64), len(who))
        self.value.append(np.asarray(np.round(amounts, 2), np.float64))
        self.attributes.append(attributes)

    def records(self, ids: list[str], prefix: str = "") -> list[bytes]:
        """CustomerEvents as JSON, in order of time."""
        if not self.kind:
            return []
        order = np.argsort(np.concatenate(self.at), kind="stable").tolist()
        who, value = np.concatenate(self.who).tolist(), np.concatenate(self.value).tolist()
        at = iso_many(np.concatenate(self.at))
        kinds = [kind for kind, times in zip(self.kind, self.at, strict=True) for _ in range(len(times))]
        attributes = [
            one
            for many, times in zip(self.attributes, self.at, strict=True)
            for one in (many if many is not None else ["{}"] * len(times))
        ]
        return [
            f'{{"event_id":"{prefix}{n}","customer_id":"{ids[who[n]]}","event_type":"{kinds[n]}","source":'
            f'"{_SOURCES[kinds[n]]}","value":{value[n]},"occurred_at":"{at[n]}","received_at":"{at[n]}",'
            f'"attributes":{attributes[n]}}}'.encode()
            for n in order
        ]


@dataclass(frozen=True, slots=True)
class Population:
    """What models may see: ids, and rows (loyalty.row.ROW) as of the end of `day`."""

    ids: list[str]
    rows: NDArray[Any]
    day: int


def simulate(count: int, seed: int = 1) -> tuple[Population, Truth]:
    """So many customers: their rows as the fold makes them, and the truth about them."""
    rng = np.random.default_rng(seed)
    traits = draw_traits(rng, count)
    ids = [f"sim-{seed}-{n:06}" for n in range(count)]
    events = history(rng, traits)
    rows = fold(events.records(ids), ids)
    return Population(ids, rows, AS_OF_DAY), truth_of(rng, traits, lived(events, count))


def fold(records: list[bytes], ids: list[str], day: int = AS_OF_DAY) -> NDArray[Any]:
    """The rows of these customers after their records and a tick at the end of `day`."""
    content = Content()
    state = State()
    engine = Engine(0, state, lambda revision: content)
    engine.emitter = _Quiet(engine)
    at = iso_many(np.array([(day + 1) * DAY_MS - 1]))[0]
    tick = {
        "event_id": "tick", "customer_id": "", "event_type": "_tick", "source": "khaywe", "value": 1,
        "occurred_at": at, "received_at": at, "attributes": {"at": at, "everyone": True},
    }  # fmt: skip
    log = [*records, msgspec.json.encode(tick)]
    for begin in range(0, len(log), BATCH):
        batch = list(enumerate(log[begin : begin + BATCH], begin))
        for _ in engine.fold(joined(batch), begin + len(batch)):
            state.committed()
    return np.asarray(state.rows[state.slots([id.encode() for id in ids])])


def history(rng: np.random.Generator, traits: dict[str, Floats]) -> Events:
    """What the customers did until the end of AS_OF_DAY."""
    events = Events()
    end = (AS_OF_DAY + 1) * DAY_MS
    tenure = traits["tenure"].astype(np.int64)
    everyone = np.arange(len(tenure))
    begin = end - tenure * DAY_MS
    tariffs = [f'{{"tariff":"{TARIFFS[code]}"}}' for code in traits["tariff"].astype(int).tolist()]
    events.add("activation", everyone, begin)
    events.add("profile_update", everyone, begin, 1.0, tariffs)
    _usage(events, rng, traits, end)
    _money(events, rng, traits, end)
    _contacts(events, rng, traits, end)
    return events


def lived(events: Events, count: int) -> dict[str, Floats]:
    """What the customers did and met, shape (customers,): `kind` how often, `kind:30` in 30 days, `kind:90`
    the amount in 90 days, `late` payments, `active:7` days with activity in the last week."""
    end = (AS_OF_DAY + 1) * DAY_MS
    found: dict[str, Floats] = {}

    def add(name: str, who: NDArray[np.int64], value: Any) -> None:
        found[name] = found.get(name, np.zeros(count)) + np.bincount(who, value, count)

    columns = zip(events.kind, events.who, events.at, events.value, events.attributes, strict=True)
    for kind, who, at, value, attributes in columns:
        month, quarter = at >= end - 30 * DAY_MS, at >= end - 90 * DAY_MS
        add(kind, who, None)
        add(f"{kind}:30", who[month], None if kind == "voice_call" else value[month])
        add(f"{kind}:90", who[quarter], value[quarter])
        if kind == "payment" and attributes is not None:
            add("late", who, np.array(["false" in one for one in attributes], np.float64))
    week = np.zeros((count, 7), np.bool_)
    for kind, who, at in zip(events.kind, events.who, events.at, strict=True):
        ago = (end - 1 - at) // DAY_MS
        if kind in ACTIVITY:
            week[who[ago < 7], ago[ago < 7]] = True
    return found | {"active:7": week.sum(1).astype(np.float64)}


def _usage(events: Events, rng: np.random.Generator, traits: dict[str, Floats], end: int) -> None:
    """Calls one by one; SMS, data and the app a day at a time.  Before 30 days only that there was any."""
    ago = np.arange(HISTORY)
    level = _level(traits, ago)
    alive = ago[None, :] < traits["tenure"][:, None]

    def daily(rate: str, days: int) -> NDArray[np.int64]:
        usual = traits[rate][:, None] * alive[:, :days]
        return rng.poisson(usual if rate == "failures" else usual * level[:, :days])

    calls = daily("calls", 30)
    who, day = np.repeat(np.indices(calls.shape).reshape(2, -1), calls.ravel(), axis=1)
    seconds = rng.gamma(1.5, traits["call_seconds"][who] / 1.5)
    events.add("voice_call", who, _moments(rng, end, day), np.ceil(seconds))
    for kind, rate in (
        ("sms", "sms"), ("app_login", "app"), ("feature_use", "features"), ("content_view", "content"),
        ("qoe_degradation", "failures"),
    ):  # fmt: skip
        counts = daily(rate, 30)
        who, day = np.nonzero(counts)
        events.add(kind, who, _moments(rng, end, day), counts[who, day])
    sessions = daily("data_days", HISTORY)
    who, day = np.nonzero(sessions)
    size = rng.gamma(2.0, traits["data_mb"][who] / 2.0) * sessions[who, day]
    events.add("data_session", who, _moments(rng, end, day), size)
    abroad = rng.poisson(traits["roaming"] * np.minimum(traits["tenure"], RARE) / 30)
    who = np.repeat(np.arange(len(abroad)), abroad)
    events.add(
        "roaming_call", who, _before(rng, end, np.minimum(traits["tenure"], RARE)[who]),
        np.ceil(rng.gamma(1.5, 60.0, len(who))),
    )  # fmt: skip


def _money(events: Events, rng: np.random.Generator, traits: dict[str, Floats], end: int) -> None:
    ago = np.arange(HISTORY)
    spending = np.sqrt(_level(traits, ago)) * (ago[None, :] < traits["tenure"][:, None])
    prepaid = traits["tariff"] != 1
    topped = rng.poisson(traits["recharges"][:, None] / 30 * spending * prepaid[:, None])
    who, day = np.repeat(np.indices(topped.shape).reshape(2, -1), topped.ravel(), axis=1)
    amount = traits["recharge_size"][who] * np.exp(rng.normal(0, 0.15, len(who)))
    events.add("recharge", who, _moments(rng, end, day), amount)
    window = np.minimum(traits["tenure"], RARE)
    for kind, rate in (("bundle_purchase", "bundles"), ("purchase", "buys"), ("plan_upgrade", "upgrades")):
        counts = rng.poisson(traits[rate] * window / 30)
        who = np.repeat(np.arange(len(counts)), counts)
        amount = traits["wealth"][who] * {"bundle_purchase": 5, "purchase": 8, "plan_upgrade": 10}[kind]
        events.add(kind, who, _before(rng, end, window[who]), amount * np.exp(rng.normal(0, 0.2, len(who))))
    billed = np.where(traits["tariff"] > 0, (window // 30).astype(np.int64), 0)
    who = np.repeat(np.arange(len(billed)), billed)
    nth = np.arange(len(who)) - np.repeat(np.cumsum(billed) - billed, billed)
    late = rng.random(len(who)) < traits["late"][who]
    at = end - (nth * 30 + 15) * DAY_MS + rng.integers(0, 10 * DAY_MS, len(who))
    flags = [f'{{"on_time":{"false" if one else "true"}}}' for one in late.tolist()]
    events.add("payment", who, at, traits["bill"][who] * np.exp(rng.normal(0, 0.08, len(who))), flags)


def _contacts(events: Events, rng: np.random.Generator, traits: dict[str, Floats], end: int) -> None:
    window = np.minimum(traits["tenure"], RARE)
    for kind, rate in (("complaint", "complaints"), ("campaign_delivered", "campaigns")):
        counts = rng.poisson(traits[rate] * window / 30)
        who = np.repeat(np.arange(len(counts)), counts)
        at = _before(rng, end, window[who])
        events.add(kind, who, at)
        if kind == "campaign_delivered":
            took = rng.random(len(who)) < traits["responds"][who]
            events.add("campaign_converted", who[took], np.minimum(at[took] + DAY_MS // 4, end - 1))


def _level(traits: dict[str, Floats], ago: NDArray[np.int64]) -> Floats:
    """How much of their usual activity there is so many days ago, shape (customers, days)."""
    since = ago[None, :] < traits["onset"][:, None]
    return np.asarray(np.exp(-traits["fallen"][:, None] * since))


def _moments(rng: np.random.Generator, end: int, ago: NDArray[np.int64]) -> Times:
    """Some moment of the day so many days before the last."""
    return np.asarray(end - (ago + 1) * DAY_MS + rng.integers(0, DAY_MS, len(ago)))


def _before(rng: np.random.Generator, end: int, days: Floats) -> Times:
    """Some moment of the last so many days."""
    return np.asarray(end - 1 - (rng.random(len(days)) * days * DAY_MS).astype(np.int64))
