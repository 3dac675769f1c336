"""Records of `customer-events` as columns: the hot way in, and where whatever is no record is put aside.

Bytes become structs one by one, by msgspec; all else is done for a whole batch.
"""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from collections.abc import Sequence
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
    BIRTHDAY_BIT,
    CAN_LINK,
    CONSENT_BIT,
    DONE,
    ERASE_OP,
    EVENT,
    FROM_BALANCE,
    GENERATE_OP,
    INVALID_ARGUMENTS,
    KNOWN_ON_TIME,
    ON_TIME,
    OPT_IN_OP,
    OPT_OUT_OP,
    PREDICT_OP,
    PROFILE,
    RECALCULATE_OP,
    REDEEM_OP,
    REPEAT_GRANT_OP,
    UNKNOWN_COMMAND,
    UNKNOWN_SEGMENT,
)
from loyalty.conditions import ConditionError, Term, parse, terms
from loyalty.events import CODES, SOURCE_TYPES
from loyalty.hashing import hash64_many, word_hash
from loyalty.nesting import MOST_NESTED, too_deep
from loyalty.policy import VALUE_LIMIT
from loyalty.row import (
    ACTIVE_DAYS,
    FORETOLD,
    NO,
    OPEN,
    PROPENSITY,
    UNKNOWN,
    WORDS,
    YES,
    RowFormatError,
)  # fmt: skip
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

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_BIRTHDAY = re.compile(r"(?:[0-9]{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_END_OF_TIME = 4_102_444_800_000  # 2100-01-01
_HEX16 = re.compile(r"[0-9a-f]{16}")

UNDECODABLE, UNKNOWN_EVENT_TYPE = "undecodable", "unknown_event_type"


class Record(msgspec.Struct, gc=False):
    """A record as it stands on the topic."""

    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str
    attributes: dict[str, Any] = {}


_decode = msgspec.json.Decoder(Record).decode


@dataclass(slots=True)
class Batch:
    """Records of a partition in log order, those that are none left out; everything by index."""

    offsets: list[int]
    raws: list[bytes]
    records: list[Record]
    ids: list[bytes]
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
        return len(self.records)


class _Refused(ValueError):
    """No record; the message names the field."""


class _Answer(NamedTuple):
    """What a `_prediction` says, as a row keeps it, but for `ltv`: in units of currency, None unknown."""

    offer: int
    foretold: tuple[int, ...]
    daily: bool
    ltv: float | None


def decode(records: Sequence[tuple[int, bytes | None]]) -> Batch:
    """The batch of (offset, value).  Raises nothing, whatever the bytes."""
    offsets: list[int] = []
    raws: list[bytes] = []
    found: list[Record] = []
    dead: list[tuple[int, str, str]] = []
    for offset, raw in records:
        try:
            if raw is None:
                raise _Refused("a record without a value")
            if len(raw) > 2 * MOST_NESTED and too_deep(raw):
                raise _Refused(f"nested more than {MOST_NESTED} deep")
            record = _decode(raw)
            if not raw.isascii():
                raw.decode()  # msgspec passes over members that it does not know
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            dead.append((offset, UNDECODABLE, str(error)))
            continue
        offsets.append(offset)
        raws.append(raw)
        found.append(record)

    ids = [record.customer_id.encode() for record in found]
    events = np.zeros(len(found), EVENT)
    events["at"] = parse_many([record.occurred_at for record in found])
    events["kind"] = [_KINDS.get(record.event_type, 0) for record in found]
    foretold, unreadable = _foretold(found, events)
    refused = unreadable | _refusals(found, ids, events)
    if refused:
        dead.extend((offsets[i], *why) for i, why in refused.items())
        dead.sort()
        kept = [i for i in range(len(found)) if i not in refused]
        offsets, raws = [offsets[i] for i in kept], [raws[i] for i in kept]
        found, ids, events = [found[i] for i in kept], [ids[i] for i in kept], events[kept]
        foretold = {i: foretold[i] for i in kept if i in foretold}
    events["id_hash"], events["words"] = hash64_many(ids), -1
    events["hash"] = hash64_many([f"{record.source}\0{record.event_id}".encode() for record in found])

    kinds = events["kind"]
    values = np.array([record.value for record in found], np.float64)
    predictions = np.flatnonzero(kinds == PREDICTION)
    events["extra"][predictions] = np.arange(len(predictions))
    values[predictions] = [answer.ltv or 0.0 for answer in foretold.values()]
    answers = np.array(
        [(each.offer, each.foretold, each.daily, each.ltv is not None) for each in foretold.values()], ANSWER
    )
    updates: list[dict[str, Any]] = []
    links = 0
    for i in [i for i, record in enumerate(found) if record.attributes]:
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
        offsets, raws, found, ids, events, values, alone, points, updates, profiles(updates), links, answers,
        dead,
    )  # fmt: skip


def _foretold(
    records: list[Record], events: NDArray[np.void]
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
    records: list[Record], ids: list[bytes], events: NDArray[np.void]
) -> dict[int, tuple[str, str]]:
    """Index -> reason and message of what is no record though it could be read."""
    refused: dict[int, tuple[str, str]] = {}
    for i in np.flatnonzero(events["kind"] == 0).tolist():
        refused[i] = UNKNOWN_EVENT_TYPE, f"there is no event type {records[i].event_type!r}"
    for i in np.flatnonzero((events["kind"] >= TICK) & (events["kind"] != PREDICTION)).tolist():
        try:
            _check(records[i])
        except _Refused as error:
            refused[i] = UNDECODABLE, str(error)
    if b"" in ids:
        for i, id in enumerate(ids):
            if not id and events["kind"][i] not in (TICK, MARKER, COMMAND):
                refused[i] = UNDECODABLE, "customer_id: empty"
    if b"\0" in b"".join(ids):
        for i, id in enumerate(ids):
            if b"\0" in id:
                refused[i] = UNDECODABLE, "customer_id: has the character 0"
    for i in np.flatnonzero(events["at"] == NO_TIME).tolist():
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
    except (ValueError, RowFormatError) as error:
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


def truth(value: Any) -> bool | None:
    """Yes or no in the ways people write it, None for anything else."""
    if isinstance(value, str):
        return _TRUTHS.get(value.lower()) if value.isascii() else None
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    return None


def birthday(value: Any) -> int:
    """Month x 100 + day of `YYYY-MM-DD` or `MM-DD`, 0 for anything else."""
    found = _BIRTHDAY.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * 100 + int(found[2]) if found else 0


def word(value: Any) -> str | None:
    """A word: a string as it is, a whole number's digits; None for anything else."""
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str) and value else None


def profile_update(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a profile_update sets; None clears."""
    update: dict[str, Any] = {name: word(attributes[name]) for name in WORDS if name in attributes}
    if "consent" in attributes:
        update["consent"] = truth(attributes["consent"])
    if "birthday" in attributes:
        update["birthday"] = attributes["birthday"] if birthday(attributes["birthday"]) else None
    return update


def profiles(updates: Sequence[dict[str, Any]]) -> NDArray[np.void]:
    """Updates as PROFILE."""
    profiles = np.zeros(len(updates), PROFILE)
    for to, update in zip(profiles, updates, strict=True):
        for n, name in enumerate(WORDS):
            if name in update:
                to["present"] |= 1 << n
                to["words"][n] = word_hash(update[name] or "")
        if "consent" in update:
            to["present"] |= CONSENT_BIT
            to["consent"] = {None: UNKNOWN, True: YES, False: NO}[update["consent"]]
        if "birthday" in update:
            to["present"] |= BIRTHDAY_BIT
            to["birthday"] = birthday(update["birthday"])
    return profiles


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
