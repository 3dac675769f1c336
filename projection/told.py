"""Effects as rows: what each record of the effects topics becomes.

Members are those of docs/game.md, docs/predictions.md and docs/campaigns.md; what else a record has is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from config import topics
from loyalty.times import NO_TIME, iso_many, parse_many
from projection.eras import Eras
from projection.staging import NULL, Stage, json, plain


class _Cause(msgspec.Struct, gc=False):
    source: str
    event_id: str


class _Head(msgspec.Struct, gc=False):
    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: _Cause


class _Five(msgspec.Struct, gc=False):
    engagement: float
    revenue: float
    loyalty: float
    risk: float
    digital: float


class _Scores(_Head):
    reason: str
    scores: _Five


class _Mission(_Head):
    mission_id: str
    number: int
    name: str
    category: str
    status: str
    reason: str
    progress: float
    target: float
    tenths: int
    started_at: str
    ends_at: str


class _Badge(_Head):
    kind: str
    number: int
    name: str
    level: int
    level_name: str
    reason: str


class _Grant(_Head):
    grant_id: str
    kind: str
    rule: str
    points: int
    offer: int
    balance: int
    month: int
    reverses: str
    repeat: int


class _Decision(_Head):
    kind: str
    decision: str
    rule: str
    name: str
    control: bool
    conditions: msgspec.Raw


class _Prediction(_Head):
    set: str
    models: msgspec.Raw
    features: msgspec.Raw = msgspec.Raw(b"[]")
    feature_set: int = 0


class _Trigger(_Head):
    trigger_id: str
    campaign: int
    name: str
    status: str
    by: str
    arm: str
    cost: int


KINDS: dict[str, type[_Head]] = {
    topics.BEHAVIOR_SCORES: _Scores,
    topics.MISSION_PROGRESS: _Mission,
    topics.BADGE_AWARDS: _Badge,
    topics.REWARD_GRANTS: _Grant,
    topics.DECISIONS: _Decision,
    topics.PREDICTIONS: _Prediction,
    topics.CAMPAIGN_TRIGGERS: _Trigger,
}
_DECODE: dict[str, Callable[[bytes], Any]] = {
    topic: msgspec.json.Decoder(kind).decode for topic, kind in KINDS.items()
}


class Effects(NamedTuple):
    """Records of one partition of an effects topic, in order."""

    topic: str
    partition: int
    records: list[Any]
    raws: list[bytes]
    offsets: list[int]
    recorded: list[int]  # Kafka's time, ms
    times: NDArray[np.int64]  # occurred_at, ms
    tombstones: list[tuple[bytes, int]]  # key, recorded
    unreadable: list[tuple[int, str]]  # offset, why


def read(topic: str, partition: int, messages: Iterable[Any]) -> Effects:
    """Decode what Kafka gave."""
    decode = _DECODE[topic]
    records: list[Any] = []
    raws: list[bytes] = []
    offsets: list[int] = []
    recorded: list[int] = []
    tombstones = []
    unreadable = []
    for message in messages:
        value = message.value()
        if value is None:
            tombstones.append((message.key() or b"", message.timestamp()[1]))
            continue
        try:
            records.append(decode(value))
        except (msgspec.MsgspecError, ValueError) as error:
            unreadable.append((message.offset(), str(error)))
            continue
        raws.append(value)
        offsets.append(message.offset())
        recorded.append(message.timestamp()[1])
    times = parse_many([record.occurred_at for record in records])
    bad = times == NO_TIME
    for name in _TIMES.get(topic, ()):
        bad |= parse_many([getattr(record, name) for record in records]) == NO_TIME
    if bad.any():
        unreadable += [(offsets[n], "one of its times is none") for n in np.flatnonzero(bad).tolist()]
        kept = np.flatnonzero(~bad).tolist()
        records, raws = [records[n] for n in kept], [raws[n] for n in kept]
        offsets, recorded = [offsets[n] for n in kept], [recorded[n] for n in kept]
        times = times[kept]
    return Effects(topic, partition, records, raws, offsets, recorded, times, tombstones, unreadable)


class Row(NamedTuple):
    """A record on its way."""

    record: Any
    raw: bytes
    customer: str  # these three as fields of a line
    at: str
    head: str
    day: str
    place: str  # partition and recorded
    gone: bool


def stage(effects: Effects, eras: Eras, gone: Callable[[str, int], bool] | None, to: Stage) -> None:
    """Stage the rows.  `gone(customer_id, recorded)` says whom nobody may know; None: nobody is erased."""
    records, partition = effects.records, effects.partition
    if not records:
        return
    shown = iso_many(np.array(effects.recorded, np.int64))
    days = map(eras.date, eras.days(effects.times, [record.revision for record in records]).tolist())
    rows = []
    for record, raw, offset, recorded, kept_at, day in zip(
        records, effects.raws, effects.offsets, effects.recorded, shown, days, strict=True
    ):
        id, at, cause = record.customer_id, record.occurred_at, record.cause
        customer, place = plain(id), f"{partition}\t{kept_at}"
        head = (
            f"{customer}\t{at}\t{record.effect_id}\t{day}\t{record.revision}\t{plain(cause.source)}\t"
            f"{plain(cause.event_id)}\t{place}\t{offset}"
        )
        rows.append(Row(record, raw, customer, at, head, day, place, gone is not None and gone(id, recorded)))
    _STAGERS[effects.topic](rows, to)


def _bool(value: bool) -> str:
    return "t" if value else "f"


def _scores(rows: list[Row], to: Stage) -> None:
    last, history = to.last["scores"], to.last["score_history"]
    for row in rows:
        if row.gone:
            continue
        record, customer = row.record, row.customer
        five = record.scores
        values = f"{five.engagement}\t{five.revenue}\t{five.loyalty}\t{five.risk}\t{five.digital}\t{row.at}"
        last[customer] = f"{customer}\t{values}\t{plain(record.reason)}\t{record.revision}\t{row.place}"
        history[customer, row.day] = f"{customer}\t{row.day}\t{values}\t{row.place}"


def _missions(rows: list[Row], to: Stage) -> None:
    last, history = to.last["missions"], to.rows["mission_history"]
    for row in rows:
        record, gone = row.record, row.gone
        status, reason = plain(record.status), plain(record.reason)
        id, progress = record.mission_id, f"{record.progress}\t{record.target}\t{record.tenths}"
        history.append(f"{row.head}\t{id}\t{record.number}\t{status}\t{reason}\t{progress}\t{_bool(gone)}")
        if not gone:
            now = "active" if status in _ACTIVE else status
            last[id] = (
                f"{id}\t{row.customer}\t{record.number}\t{plain(record.name)}\t{plain(record.category)}\t{now}"
                f"\t{reason}\t{progress}\t{record.started_at}\t{record.ends_at}\t{row.at}\t{row.day}"
                f"\t{record.revision}\t{row.place}"
            )


def _badges(rows: list[Row], to: Stage) -> None:
    awards, tiers = to.rows["badges"], to.last["tiers"]
    for row in rows:
        record = row.record
        if record.kind == "badge":
            awards.append(
                f"{row.head}\t{record.number}\t{plain(record.name)}\t{record.level}\t{plain(record.level_name)}"
                f"\t{plain(record.reason)}\t{_bool(row.gone)}"
            )
            continue
        to.rows["tier_history"].append(
            f"{row.head}\t{record.level}\t{plain(record.level_name)}\t{plain(record.reason)}\t{_bool(row.gone)}"
        )
        if not row.gone:
            tiers[row.customer] = (
                f"{row.customer}\t{record.level}\t{plain(record.level_name)}\t{row.at}\t{row.place}"
            )


def _ledger(rows: list[Row], to: Stage) -> None:
    ledger, balances = to.rows["ledger"], to.last["balances"]
    for row in rows:
        record = row.record
        ledger.append(
            f"{row.head}\t{record.grant_id}\t{plain(record.kind)}\t{plain(record.rule)}\t{record.points}"
            f"\t{record.offer}\t{record.balance}\t{record.month}\t{record.reverses or NULL}\t{record.repeat}"
            f"\t{_bool(row.gone)}"
        )
        if not row.gone:
            balances[row.customer] = f"{row.customer}\t{record.balance}\t{row.at}\t{row.place}"


def _predictions(rows: list[Row], to: Stage) -> None:
    last = to.last["predictions"]
    for row in rows:
        if not row.gone:
            record = row.record
            last[row.customer, record.set] = (
                f"{row.customer}\t{plain(record.set)}\t{row.at}\t{json(record.models)}\t{record.feature_set}"
                f"\t{json(record.features)}\t{record.revision}\t{row.place}"
            )


def _decisions(rows: list[Row], to: Stage) -> None:
    decisions = to.rows["decisions"]
    for row in rows:
        record = row.record
        decisions.append(
            f"{row.head}\t{plain(record.kind)}\t{plain(record.decision)}\t{plain(record.rule)}"
            f"\t{plain(record.name)}\t{_bool(record.control)}\t{json(record.conditions)}\t{_bool(row.gone)}"
        )


def _triggers(rows: list[Row], to: Stage) -> None:
    history = to.rows["trigger_history"]
    parts: dict[str, list[str]] = {}
    for row in rows:
        record = row.record
        id, status, by = record.trigger_id, record.status, plain(record.by)
        history.append(
            f"{row.head}\t{id}\t{record.campaign}\t{plain(status)}\t{by}\t{plain(record.arm)}\t{record.cost}"
            f"\t{_bool(row.gone)}"
        )
        if row.gone:
            continue
        told = parts.setdefault(id, [NULL] * 7)
        if status == "triggered":
            told[0], told[1], told[5:] = str(record.cost), row.at, (json(row.raw), row.day)
        elif status == "delivered":
            told[2] = row.at
        elif status == "converted":
            told[3], told[4] = row.at, by
        to.last["triggers"][id] = (
            f"{id}\t{row.customer}\t{record.campaign}\t{plain(record.name)}\t{plain(record.arm)}\t"
            + "\t".join(told)
            + f"\t{row.place}"
        )


_ACTIVE = ("given", "progress")
_TIMES = {topics.MISSION_PROGRESS: ("started_at", "ends_at")}
_STAGERS: dict[str, Callable[[list[Row], Stage], None]] = {
    topics.BEHAVIOR_SCORES: _scores,
    topics.MISSION_PROGRESS: _missions,
    topics.BADGE_AWARDS: _badges,
    topics.REWARD_GRANTS: _ledger,
    topics.DECISIONS: _decisions,
    topics.PREDICTIONS: _predictions,
    topics.CAMPAIGN_TRIGGERS: _triggers,
}
