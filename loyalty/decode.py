"""Records of `customer-events` as columns: the hot way in, and where whatever is no record is put aside.

Compiled code reads what has the normaliser's form (`loyalty.scan`); other records become structs one by
one, by msgspec, as do those that somebody asks for.
"""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.columns import (
    ADJUST_OP,
    ANSWER,
    AWARD_OP,
    BACKFILL,
    CAN_LINK,
    DONE,
    ERASE_OP,
    FROM_BALANCE,
    GENERATE_OP,
    INVALID_ARGUMENTS,
    KNOWN_ON_TIME,
    ON_TIME,
    OPT_IN_OP,
    OPT_OUT_OP,
    PREDICT_OP,
    RECALCULATE_OP,
    REDEEM_OP,
    REPEAT_GRANT_OP,
    UNKNOWN_COMMAND,
    UNKNOWN_SEGMENT,
)
from loyalty.conditions import ConditionError, Term, parse, terms
from loyalty.events import CODES, SOURCE_TYPES
from loyalty.hashing import hash64_many
from loyalty.log import Log
from loyalty.nesting import MOST_NESTED, too_deep
from loyalty.policy import VALUE_LIMIT
from loyalty.profile import profile_update, profiles, truth
from loyalty.records import Record, Records, decode_one
from loyalty.row import (
    ACTIVE_DAYS,
    FORETOLD,
    OPEN,
    PROPENSITY,
    NewerRow,
)  # fmt: skip
from loyalty.scan import Scanner
from loyalty.spans import Spans
from loyalty.times import NO_TIME, parse_many
from loyalty.upgrade import current
from loyalty.vocabulary import INDEX, KINDS

_OWN = ("_tick", "_marker", "_command", "_merge", "_reserve", "_reservation", "_prediction")
TICK, MARKER, COMMAND, MERGE, RESERVE, RESERVATION, PREDICTION = (CODES[name] for name in _OWN)
_KINDS = {name: CODES[name] for name in (*SOURCE_TYPES, *_OWN)}
_PROFILE_UPDATE, _LINK = CODES["profile_update"], CODES["customer_link"]
REFUND, FULFILLED, FAILED = CODES["refund"], CODES["grant_fulfilled"], CODES["grant_failed"]
DELIVERED, CONVERTED = CODES["campaign_delivered"], CODES["campaign_converted"]
#: What speaks of something that the fold has told before, and the attribute that says of what.
ANSWERS = {
    REFUND: "refunds", FULFILLED: "grant_id", FAILED: "grant_id", DELIVERED: "trigger_id",
    CONVERTED: "trigger_id",
}  # fmt: skip
#: Commands by name; two of them are for a single customer and do more than the kernel can.
OPS = {
    "recalculate": RECALCULATE_OP, "generate": GENERATE_OP, "award": AWARD_OP, "opt_in": OPT_IN_OP,
    "opt_out": OPT_OUT_OP, "adjust": ADJUST_OP, "redeem": REDEEM_OP, "repeat_grant": REPEAT_GRANT_OP,
    "erase": ERASE_OP, "predict": PREDICT_OP,
}  # fmt: skip
MOST_POINTS = 2**32 - 1
MOST_OFFER = 2**31 - 2  # offer_id of a prediction
_UNKNOWN = (0,) * (len(FORETOLD) - 1)  # what a daily set foretells
_LARGEST = sys.float_info.max

_END_OF_TIME = 4_102_444_800_000  # 2100-01-01
_HEX16 = re.compile(r"[0-9a-f]{16}")

#: Reasons of what is put aside.  NEWER is no fault of the record: whoever folds is to stop.
UNDECODABLE, UNKNOWN_EVENT_TYPE, NEWER = "undecodable", "unknown_event_type", "newer_row"


_MONEY_FLAGS = ("paid_from", "_backfill", "on_time")
_scanner = Scanner(_KINDS, _MONEY_FLAGS)


@dataclass(slots=True)
class Batch:
    """Records of a partition in log order, those that are none left out; everything by index."""

    offsets: list[int]
    records: Records
    ids: Spans
    events: NDArray[np.void]  # EVENT, but for `slot`, `key`, `value`
    values: NDArray[np.float64]
    alone: list[int]  # whatever needs the side table or other rows: the kernel runs through the rest
    points: dict[int, int]  # of commands that move some
    updates: list[dict[str, Any]]  # by `extra`: what each profile_update sets (None: clears)
    profiles: NDArray[np.void]  # PROFILE, by `extra`: the same as numbers
    links: int  # customer_links that have an `extra`
    answers: NDArray[np.void]  # ANSWER, by `extra` of predictions
    dead: list[tuple[int, str, str]]  # offset, reason, message

    def __len__(self) -> int:
        return len(self.ids)


class _Refused(ValueError):
    """No record; the message names the field."""

    reason = UNDECODABLE


class _Newer(_Refused):
    """A record that a newer version can read."""

    reason = NEWER


class _Answer(NamedTuple):
    """What a `_prediction` says, as a row keeps it, but for `ltv`: in units of currency, None unknown."""

    offer: int
    foretold: tuple[int, ...]
    daily: bool
    ltv: float | None


def decode(log: Log) -> Batch:
    """The batch of records.  Raises nothing, whatever the bytes."""
    offsets, texts = log.offsets, log.values
    starts, ends = texts.starts, texts.ends
    read = _scanner.scan(log)
    events, ids, values, told, causes = read.events, read.ids, read.values, read.told, read.causes
    decoded: dict[int, Record] = {}
    refused: dict[int, tuple[str, str]] = {}
    for i in np.flatnonzero(~read.plain).tolist():
        if texts.missing[i]:
            refused[i] = UNDECODABLE, "a record without a value"
            continue
        try:
            decoded[i] = _read(texts.text[starts[i] : ends[i]])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            refused[i] = UNDECODABLE, str(error)
    if decoded:
        told[list(decoded)] = [bool(record.attributes) for record in decoded.values()]
        ids = ids.but(np.array(list(decoded)), _fill(decoded, events, values))
    found = Records(texts.text, starts, ends, decoded, causes)
    foretold, unreadable = _foretold(found, events)
    refused |= unreadable | _refusals(found, ids, events, decoded)
    dead = [(int(offsets[i]), *why) for i, why in refused.items()]
    if refused:
        kept = np.setdiff1d(np.arange(len(ends)), list(refused))
        now = {int(i): n for n, i in enumerate(kept)}
        decoded = {now[i]: record for i, record in decoded.items() if i in now}
        foretold = {now[i]: answer for i, answer in foretold.items() if i in now}
        ids = ids.take(kept)
        offsets, starts, ends, causes = offsets[kept], starts[kept], ends[kept], causes[:, kept]
        events, values, told = events[kept], values[kept], told[kept]
        found = Records(texts.text, starts, ends, decoded, causes)
    dead.sort()
    events["words"] = -1

    kinds = events["kind"]
    predictions = np.flatnonzero(kinds == PREDICTION)
    events["extra"][predictions] = np.arange(len(predictions))
    values[predictions] = [answer.ltv or 0.0 for answer in foretold.values()]
    answers = np.array(
        [(each.offer, each.foretold, each.daily, each.ltv is not None) for each in foretold.values()], ANSWER
    )
    updates: list[dict[str, Any]] = []
    links = 0
    for i in np.flatnonzero(told).tolist():
        events["flag"][i] = _money_flag(found[i].attributes)  # any type may be revenue
    for i in np.flatnonzero((kinds == _PROFILE_UPDATE) | (kinds == _LINK)).tolist():
        if kinds[i] == _PROFILE_UPDATE:
            events["extra"][i] = len(updates)
            updates.append(profile_update(found[i].attributes))
        else:
            events["extra"][i] = links
            events["flag"][i] |= CAN_LINK if _can_link(found[i]) else 0
            links += 1
    alone: list[int] = []
    points: dict[int, int] = {}
    special = (kinds >= TICK) & (kinds != PREDICTION)
    for i in np.flatnonzero(special | np.isin(kinds, tuple(ANSWERS))).tolist():
        if kinds[i] == COMMAND:
            events["flag"][i] = refusal = _refusal(found[i])
            name = found[i].attributes.get("command")
            op = events["op"][i] = OPS.get(name, 0) if isinstance(name, str) else 0
            if op in (ADJUST_OP, REDEEM_OP) and refusal == DONE:
                points[i] = _points(found[i])
            if refusal != DONE or (found[i].customer_id and op < REPEAT_GRANT_OP):
                continue
        elif kinds[i] < TICK and not isinstance(found[i].attributes.get(ANSWERS[int(kinds[i])]), str):
            continue
        alone.append(i)
    return Batch(
        offsets.tolist(), found, ids, events, values, alone, points, updates, profiles(updates), links,
        answers, dead,
    )  # fmt: skip


def _read(raw: bytes) -> Record:
    """Any record.  Raises MsgspecError, ValueError, RecursionError."""
    if len(raw) > 2 * MOST_NESTED and too_deep(raw):
        raise _Refused(f"nested more than {MOST_NESTED} deep")
    record = decode_one(raw)
    if not raw.isascii():
        raw.decode()  # msgspec passes over members that it does not know
    return record


def _fill(decoded: dict[int, Record], events: NDArray[np.void], values: NDArray[np.float64]) -> list[bytes]:
    """What the scanner does not read of these records; their ids."""
    where, records = list(decoded), decoded.values()
    own = [record.customer_id.encode() for record in records]
    values[where] = [record.value for record in records]
    events["at"][where] = parse_many([record.occurred_at for record in records])
    events["kind"][where] = [_KINDS.get(record.event_type, 0) for record in records]
    events["id_hash"][where] = hash64_many(own)
    events["hash"][where] = hash64_many(
        [f"{record.source}\0{record.event_id}".encode() for record in records]
    )
    return own


def _foretold(
    records: Records, events: NDArray[np.void]
) -> tuple[dict[int, _Answer], dict[int, tuple[str, str]]]:
    """Index -> what a `_prediction` says; index -> reason and message of one that cannot be read."""
    found: dict[int, _Answer] = {}
    refused: dict[int, tuple[str, str]] = {}
    for i in np.flatnonzero(events["kind"] == PREDICTION).tolist():
        try:
            found[i] = _answer(records[i].attributes)
        except _Refused as error:
            refused[i] = UNDECODABLE, str(error)
    return found, refused


def _answer(says: dict[str, Any]) -> _Answer:
    match says.get("set"):
        case "inline":
            return _Answer(
                _whole(says, "offer", 0, MOST_OFFER), (_share(says, "churn"), *_UNKNOWN), False, None
            )
        case "daily":
            shares = [_share(says, name) for name in FORETOLD[PROPENSITY:ACTIVE_DAYS]]
            days, rfm = _stored(says, "engagement", 30, 100), _whole(says, "rfm", 111, 555)
            return _Answer(0, (0, *shares, days, rfm), True, _within(says, "ltv", _LARGEST))
    raise _Refused("attributes.set: neither inline nor daily")


def _within(says: dict[str, Any], name: str, most: float) -> float | None:
    value = says.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _Refused(f"attributes.{name}: no number from 0{'' if most == _LARGEST else f' to {most}'}")
    return float(value)


def _stored(says: dict[str, Any], name: str, most: int, scale: int) -> int:
    value = _within(says, name, most)
    return 0 if value is None else round(value * scale) + 1


def _share(says: dict[str, Any], name: str) -> int:
    return _stored(says, name, 1, 10_000)


def _whole(says: dict[str, Any], name: str, least: int, most: int) -> int:
    value = says.get(name)
    if value is None:
        return 0
    if type(value) is not int or not least <= value <= most:
        raise _Refused(f"attributes.{name}: no integer from {least:,} to {most:,}")
    return value + 1


def _refusals(
    records: Records, ids: Sequence[bytes], events: NDArray[np.void], decoded: Iterable[int]
) -> dict[int, tuple[str, str]]:
    """Index -> reason and message of what is no record though it could be read."""
    refused: dict[int, tuple[str, str]] = {}
    for i in decoded:
        if not events["kind"][i]:
            refused[i] = UNKNOWN_EVENT_TYPE, f"there is no event type {records[i].event_type!r}"
    for i in np.flatnonzero((events["kind"] >= TICK) & (events["kind"] != PREDICTION)).tolist():
        try:
            _check(records[i])
        except _Refused as error:
            refused[i] = error.reason, str(error)
    for i in decoded:
        if not ids[i] and events["kind"][i] not in (TICK, MARKER, COMMAND):
            refused[i] = UNDECODABLE, "customer_id: empty"
        if b"\0" in ids[i]:
            refused[i] = UNDECODABLE, "customer_id: has the character 0"
        if events["at"][i] == NO_TIME:
            refused[i] = UNDECODABLE, f"occurred_at: {records[i].occurred_at!r} is {_NO_TIME}"
    return refused


_NO_TIME = "no time like 2020-01-31T12:00:00.000Z, from 1971 to 2099"


def _check(record: Record) -> None:
    attributes = record.attributes
    if record.event_type == "_tick":
        tick_time(record)
    elif record.event_type == "_merge":
        carried_row(record)
    elif record.event_type == "_marker" and type(attributes.get("revision")) is not int:
        raise _Refused("attributes.revision: no integer")
    elif record.event_type == "_command" and not isinstance(attributes.get("command_id"), str):
        raise _Refused("attributes.command_id: no string")
    elif record.event_type in ("_reserve", "_reservation"):
        for name in ("campaign" if "campaign" in attributes else "template", "count", "points"):
            if type(attributes.get(name)) is not int:
                raise _Refused(f"attributes.{name}: no integer")
        if record.event_type == "_reserve" and not isinstance(attributes.get("customer"), str):
            raise _Refused("attributes.customer: no string")
        if record.event_type == "_reservation" and type(attributes.get("granted")) is not bool:
            raise _Refused("attributes.granted: no boolean")


def tick_time(record: Record) -> int:
    """The time of a tick, ms."""
    at = record.attributes.get("at")
    time = int(parse_many([at])[0]) if isinstance(at, str) else NO_TIME
    if time == NO_TIME:
        raise _Refused(f"attributes.at: {at!r} is {_NO_TIME}")
    return time


def carried_row(record: Record) -> NDArray[np.void]:
    """The row (1,) of a `_merge`."""
    packed = record.attributes.get("row")
    if not isinstance(packed, str):
        raise _Refused("attributes.row: no string")
    try:
        row = current(b64decode(packed, validate=True), record.customer_id.encode())
    except NewerRow as error:
        raise _Newer(f"attributes.row: {error}") from None
    except ValueError as error:
        raise _Refused(f"attributes.row: {error}") from None
    if row["state"][0] != OPEN:
        raise _Refused("attributes.row: not of an open customer")
    if not (0 < row["as_of"][0] < _END_OF_TIME and 0 < row["day"][0] <= _END_OF_TIME // DAY_MS + 1):
        raise _Refused("attributes.row: of a time that no event can have")
    return row


def carried_ids(record: Record) -> dict[int, int]:
    """The side entries that a `_merge` brings, hash -> time; what is none is left out."""
    ids = record.attributes.get("ids")
    return {
        int(text, 16): time
        for text, time in (ids.items() if isinstance(ids, dict) else ())
        if _HEX16.fullmatch(text) and type(time) is int and abs(time) < 2**63
    }


def carried_profile(record: Record) -> dict[str, Any]:
    """The profile that a `_merge` brings."""
    profile = record.attributes.get("profile")
    return profile_update(profile) if isinstance(profile, dict) else {}


def _refusal(record: Record) -> int:
    """The status a command is refused with at once, DONE for none."""
    command = record.attributes.get("command")
    if not isinstance(command, str) or command not in OPS:
        return UNKNOWN_COMMAND
    op = OPS[command]
    arguments = record.attributes.get("arguments")
    if op in (ADJUST_OP, REDEEM_OP) and not _points(record):
        return INVALID_ARGUMENTS
    if op == REPEAT_GRANT_OP and not isinstance(
        (arguments if isinstance(arguments, dict) else {}).get("grant_id"), str
    ):
        return INVALID_ARGUMENTS
    if not record.customer_id and (op >= ADJUST_OP or segment(record) is None):
        return UNKNOWN_SEGMENT
    return DONE


def _points(record: Record) -> int:
    """How many points an `adjust` or `redeem` moves, 0 for what is no such number."""
    arguments = record.attributes.get("arguments")
    points = arguments.get("points") if isinstance(arguments, dict) else None
    if type(points) is not int or abs(points) > MOST_POINTS:
        return 0
    return 0 if record.attributes.get("command") == "redeem" and points < 1 else points


def segment(record: Record) -> list[Term] | None:
    """The condition on whom a command without customer concerns; None where it cannot be read."""
    text = record.attributes.get("segment")
    if not isinstance(text, str) or not text.strip():
        return None
    if text == "all":
        return []
    try:
        return terms(parse(text, KINDS), lambda name, kind: INDEX[name])
    except ConditionError:
        return None


def _can_link(record: Record) -> bool:
    to = record.attributes.get("to")
    return isinstance(to, str) and bool(to) and "\0" not in to and to != record.customer_id


def _money_flag(attributes: dict[str, Any]) -> int:
    flag = FROM_BALANCE if attributes.get("paid_from") == "balance" else 0
    if attributes.get("_backfill") is True:
        flag |= BACKFILL
    if "on_time" in attributes:
        on_time = truth(attributes["on_time"])
        flag |= 0 if on_time is None else KNOWN_ON_TIME | (ON_TIME if on_time else 0)
    return flag


def integers(
    values: NDArray[np.float64], kinds: NDArray[np.uint8], policy: NDArray[np.void]
) -> NDArray[np.int64]:
    """Values in their smallest units by a POLICY (1,), rounded half-even in decimal, within their limits."""
    scales: NDArray[np.int64] = policy["scales"][0][kinds]
    exact = np.clip(values, -2.0 * VALUE_LIMIT, 2.0 * VALUE_LIMIT) * scales
    rounded = np.rint(exact)
    # A product that is no half may stand for a decimal that is one, and the other way round.
    near = np.abs(exact - np.floor(exact) - 0.5) <= np.abs(exact) * 2.0**-48
    for i in np.flatnonzero(near & (scales > 1)).tolist():
        decimal = Decimal(repr(float(values[i]))) * int(scales[i])
        rounded[i] = float(decimal.to_integral_value(rounding=ROUND_HALF_EVEN))
    np.clip(rounded, policy["floors"][0][kinds], VALUE_LIMIT, out=rounded)
    return rounded.astype(np.int64)
