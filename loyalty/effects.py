"""What the fold tells others: scores and results of commands, as JSON with CloudEvents headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, cached_property
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.blake2 import HEX
from loyalty.game import Sold
from loyalty.records import Record
from loyalty.spans import Spans, Texts
from loyalty.times import iso_many
from loyalty.writing import Page

BEHAVIOR_SCORES = "behavior-scores"
COMMAND_RESULTS = "command-results"
MISSION_PROGRESS = "mission-progress"
BADGE_AWARDS = "badge-awards"
REWARD_GRANTS = "reward-grants"
DECISIONS = "decisions"
CAMPAIGN_TRIGGERS = "campaign-triggers"
PREDICTIONS = "predictions"
ERASURES = "erasures"
ID = "ce_id"  # header
SOURCE = "khaywe"  # of records that the fold itself causes

REASONS = ("refresh", "moved", "band", "recalculate")  # by `detail` of a publication
STATUSES = (
    ("done", ""),
    ("refused", "unknown_command"),
    ("refused", "unknown_segment"),
    ("refused", "unknown_customer"),
    ("refused", "closed"),
    ("refused", "invalid_arguments"),
    ("refused", "opted_out"),
    ("refused", "control"),
    ("refused", "insufficient_points"),
    ("refused", "unknown_grant"),
    ("refused", "no_model"),
    ("refused", "erased"),
)  # by `detail` of a result


class Effect(msgspec.Struct, frozen=True, gc=False):
    """A record to produce; `id` is what consumers know it again by, empty of a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    id: bytes = b""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents headers; a tombstone has none."""
        return [(ID, self.id), *common(self.topic)] if self.id else []


class Put(Protocol):
    """Takes effects one by one."""

    def append(self, effect: Effect, /) -> None:
        """One more."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What an effect came of: an event, or of `khaywe` a refresh or tick."""

    source: str
    event_id: str


class Scores(msgspec.Struct, frozen=True, gc=False):
    """The five behaviour scores, 0 to 100, two decimals."""

    engagement: float
    revenue: float
    loyalty: float
    risk: float
    digital: float


class BehaviorScores(msgspec.Struct, frozen=True, gc=False):
    """A customer's scores as of a time."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    as_of: str
    reason: str
    scores: Scores


class CommandResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a command in a partition."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    command_id: str
    partition: int
    status: str
    reason: str


class MissionProgress(msgspec.Struct, frozen=True, gc=False):
    """What became of a mission.  `progress` and `target` in canonical units."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
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


class BadgeAward(msgspec.Struct, frozen=True, gc=False):
    """A level of a badge, or a tier that a customer came to."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    kind: str
    number: int
    name: str
    level: int
    level_name: str
    reason: str


class RewardGrant(msgspec.Struct, frozen=True, gc=False):
    """Points that came or went, or an offer to hand out; `month` is the first one without the points."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    grant_id: str
    kind: str
    rule: str
    points: int
    offer: int
    balance: int
    month: int
    reverses: str
    repeat: int


class CampaignTrigger(msgspec.Struct, frozen=True, gc=False):
    """A message to send to a customer, and what came of it; `by`: an event or an answer."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    trigger_id: str
    campaign: int
    name: str
    status: str
    by: str
    arm: str
    offer: int
    offer_config: dict[str, Any]
    product: Sold | None
    product_config: dict[str, Any]
    language: str
    message: str
    cost: int


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """A comparison with the value it saw."""

    condition: str
    seen: float | str | bool | None
    holds: bool


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Why: what was decided, by which rule, on what it saw."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: Cause
    kind: str
    decision: str
    rule: str
    name: str
    control: bool
    conditions: list[Comparison]


@cache
def common(topic: str) -> list[tuple[str, bytes]]:
    """Headers that all records of a topic have."""
    return [
        ("ce_source", SOURCE.encode()),
        ("ce_type", f"khaywe.{topic}.v1".encode()),
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
    ]


_NOTHING = blake2b(digest_size=16)
_encode = msgspec.json.Encoder().encode

Which = NDArray[np.int64]  # moments of effects
Ids = NDArray[np.uint8]  # of effects, (effects, HEX)


class Moment(msgspec.Struct, frozen=True, gc=False):
    """What the effects of one cause on one customer share, as it is written."""

    key: bytes
    customer_id: str
    at: str
    head: str  # JSON of the members from customer_id to cause
    tail: str  # of what ids are made of


def plain(value: Any) -> str:
    """A text, a number, or what else content may hold, as JSON."""
    return _encode(value).decode()


def quoted(text: str) -> str:
    """A text as JSON; most have nothing to escape."""
    return f'"{text}"' if text.isalnum() and text.isascii() else _encode(text).decode()


def plain_many(values: list[float]) -> list[str]:
    """Each number as JSON."""
    return _encode(values)[1:-1].decode().split(",")


def moment(key: bytes, at: str, revision: int, source: str, event_id: str, customer_id: str) -> Moment:
    """A cause (source and event_id) at work on a customer at a time; `key` is that of its records."""
    return Moment(
        key,
        customer_id,
        at,
        f'"customer_id":{quoted(customer_id)},"occurred_at":"{at}","revision":{revision},'
        f'"cause":{{"source":{quoted(source)},"event_id":{quoted(event_id)}}}',
        f"\x1f{revision}\x1f{source}\x1f{event_id}\x1f",
    )


NOBODY = moment(b"", "", 0, "", "", "")


def effect_id(of: Moment, rule: str, ordinal: int = 0) -> str:
    """The id by which a consumer knows an effect again (32 hex digits)."""
    hash_ = _NOTHING.copy()  # cheaper than a new one
    hash_.update(f"{of.customer_id}\x1f{rule}{of.tail}{ordinal}".encode())
    return hash_.hexdigest()


def mission_id(customer_id: str, number: int, started: int) -> str:
    """The id of a customer's mission that began at a time (whole seconds since 1970; 32 hex digits)."""
    hash_ = _NOTHING.copy()
    hash_.update(f"{customer_id}\x1fmission\x1f{number}\x1f{started}".encode())
    return hash_.hexdigest()


def trigger_id(customer_id: str, number: int, day: int) -> str:
    """The id of a campaign's trigger of a local day (days since 1970; 32 hex digits)."""
    hash_ = _NOTHING.copy()
    hash_.update(f"{customer_id}\x1fcampaign\x1f{number}\x1f{day}".encode())
    return hash_.hexdigest()


def digest(customer_id: bytes) -> bytes:
    """What is kept of an erased customer's id, 16 bytes."""
    hash_ = _NOTHING.copy()
    hash_.update(customer_id)
    return hash_.digest()


def told(topic: str, of: Moment, id: str, members: str) -> Effect:
    """The record of an effect: its head, and the JSON of the members that only its kind has.

    Written as text, which takes a third of the time of building the structs above; tests read it as these.
    """
    value = f'{{"effect_id":"{id}",{of.head},{members}}}'.encode()
    return Effect(topic, of.key, value, id.encode())


def erased(key: bytes, at: str) -> list[Effect]:
    """What tells everybody to forget a customer: tombstones, and the record that rebuilds obey."""
    hash_ = digest(key).hex()
    value = _encode({"customer_hash": hash_, "erased_at": at})
    return [
        Effect(BEHAVIOR_SCORES, key, None),
        Effect(PREDICTIONS, key + b":inline", None),
        Effect(PREDICTIONS, key + b":daily", None),
        Effect(ERASURES, hash_.encode(), value, hash_.encode()),
    ]


def scores_effect(of: Moment, reason: str, scores: list[str]) -> Effect:
    """A publication of the five scores (hundredths / 100, as JSON)."""
    engagement, revenue, loyalty, risk, digital = scores
    members = (
        f'"as_of":"{of.at}","reason":"{reason}","scores":{{"engagement":{engagement},'
        f'"revenue":{revenue},"loyalty":{loyalty},"risk":{risk},"digital":{digital}}}'
    )
    return told(BEHAVIOR_SCORES, of, effect_id(of, "scores"), members)


class Moments:
    """The moments of many effects, by index; for compiled code in the form in which it copies them."""

    def __init__(
        self, customers: Texts, as_of: NDArray[np.int64], revision: int, sources: Spans, event_ids: Spans
    ) -> None:
        self.customers, self.keys, self.as_of = customers, customers.spans(), as_of
        self.sources, self.event_ids = sources, event_ids
        self._revision = revision
        self._last, self._moment = -1, NOBODY

    def __getitem__(self, n: int) -> Moment:
        """One of them."""
        if n != self._last:
            key, source, event_id = self.keys[n], self.sources[n].decode(), self.event_ids[n].decode()
            self._moment = moment(key, self._times[n], self._revision, source, event_id, key.decode())
            self._last = n
        return self._moment

    @cached_property
    def _times(self) -> list[str]:
        return iso_many(self.as_of)

    @cached_property
    def heads(self) -> Texts:
        """As `Moment.head`."""
        page = Page(len(self.keys))
        page.text(b'"customer_id":')
        page.quote(self.customers)
        page.text(b',"occurred_at":"')
        page.time(self.as_of)
        page.text(f'","revision":{self._revision},"cause":{{"source":'.encode())
        page.quote(self._sources)
        page.text(b',"event_id":')
        page.quote(self._event_ids)
        page.text(b"}")
        return page.written()

    @cached_property
    def tails(self) -> Texts:
        """As `Moment.tail`."""
        page = Page(len(self.keys))
        page.text(f"\x1f{self._revision}\x1f".encode())
        page.pick(self._sources)
        page.text(b"\x1f")
        page.pick(self._event_ids)
        page.text(b"\x1f")
        return page.written()

    @cached_property
    def _sources(self) -> Texts:
        return self.sources.joined()

    @cached_property
    def _event_ids(self) -> Texts:
        return self.event_ids.joined()

    def ids(
        self, which: Which, rule: Callable[[Page], None], ordinal: NDArray[np.uint8] | None = None
    ) -> Ids:
        """As `effect_id` of these moments, (len(which), HEX); `rule` writes what it is."""
        page = Page(len(which))
        page.pick(self.customers, which)
        page.text(b"\x1f")
        rule(page)
        page.pick(self.tails, which)
        if ordinal is None:
            page.text(b"0")
        else:
            page.value(ordinal)
        return page.written().hashed()

    def page(self, which: Which, ids: Ids) -> Page:
        """What values of effects of these moments begin with."""
        page = Page(len(which))
        page.text(b'{"effect_id":"')
        page.hex(ids)
        page.text(b'",')
        page.pick(self.heads, which)
        return page


def hexes(ids: Ids) -> list[bytes]:
    """Each id as text."""
    return ids.view(f"S{HEX}").ravel().tolist()


def scores_effects(
    of: Moments, which: Which, reasons: NDArray[np.uint8], scores: NDArray[np.uint16]
) -> Iterator[Effect]:
    """Publications of the five scores (hundredths, (len(which), 5)); `reasons` by place in REASONS."""
    texts = plain_many((scores / 100).ravel().tolist())
    for n, (m, reason) in enumerate(zip(which.tolist(), reasons.tolist(), strict=True)):
        yield scores_effect(of[m], REASONS[reason], texts[5 * n : 5 * n + 5])


def result_effect(
    record: Record, revision: int, partition: int, detail: int, nameless: bool = False
) -> Effect:
    """The result of a command, for a customer or (customer_id empty) for the partition.

    `nameless`: without the customer, who is not to be known any more.
    """
    customer_id = "" if nameless else record.customer_id
    command_id: str = record.attributes["command_id"]
    of = moment(
        command_id.encode(), record.occurred_at, revision, record.source, record.event_id, customer_id
    )
    id = effect_id(of, "command", 0 if customer_id else partition)
    status, reason = STATUSES[detail]
    members = (
        f'"command_id":{plain(command_id)},"partition":{partition},"status":"{status}","reason":"{reason}"'
    )
    return told(COMMAND_RESULTS, of, id, members)
