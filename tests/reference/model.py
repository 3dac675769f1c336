"""What the reference fold works on: records as they are read, time, hashes, integers.

Written from docs/semantics.md and the design only, never from `loyalty/`'s kernel: the two must agree
because both are right, not because one copies the other.  Slow and plain on purpose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from math import isfinite
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
DAY_MS = 86_400_000
NO_TIME = 2**63 - 1
VALUE_LIMIT = 10**15
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DATE = date(1970, 1, 1)

NONE, OPEN, ENDED, LINKED = range(4)
UNKNOWN, YES, NO = range(3)

# The table of the design: event_type -> unit of `value`.
UNITS = {
    "seconds": ["voice_call", "roaming_call"],
    "messages": ["sms"],
    "megabytes": ["data_session", "roaming_data"],
    "currency": [
        "recharge", "purchase", "bundle_purchase", "plan_upgrade", "auto_renew", "payment", "refund",
        "invoice",
    ],
    "count": [
        "activation", "profile_update", "complaint", "referral", "status_change", "opt_in", "opt_out",
        "customer_link", "customer_ended", "app_install", "app_login", "web_login", "feature_use",
        "content_view", "social_share", "self_care", "qoe_degradation", "campaign_delivered",
        "campaign_converted", "grant_fulfilled", "grant_failed",
    ],
}  # fmt: skip
UNIT_OF = {event_type: unit for unit, event_types in UNITS.items() for event_type in event_types}
APP_EVENTS = {"app_install", "app_login", "feature_use", "content_view", "social_share", "self_care"}
CALLS = {"voice_call", "roaming_call"}
DATA = {"data_session", "roaming_data"}
USAGE = CALLS | DATA | APP_EVENTS | {"sms", "web_login", "qoe_degradation"}
NO_ACTIVITY = {
    "invoice", "complaint", "qoe_degradation", "status_change", "opt_in", "opt_out",
    "campaign_delivered", "campaign_converted", "grant_fulfilled", "grant_failed",
}  # fmt: skip
SYSTEM = {"_tick", "_marker", "_command", "_merge", "_reserve", "_reservation", "_prediction"}

# Sets of models -> what a `_prediction` of them may say, each with its least and greatest value.
FORETOLD: dict[str, dict[str, tuple[float, float]]] = {
    "inline": {"churn": (0, 1), "offer": (0, 2**31 - 2)},
    "daily": {
        "propensity": (0, 1), "response": (0, 1), "default_risk": (0, 1), "upsell": (0, 1),
        "engagement": (0, 30), "rfm": (111, 555), "ltv": (0, float("inf")),
    },
}  # fmt: skip

# Name of a ring -> (days it holds, least and greatest value of a cell).
RINGS = {
    "calls": (30, 0, 2**16 - 1),
    "seconds": (30, 0, 2**16 - 1),
    "data_kb": (30, 0, 2**32 - 1),
    "sms": (30, 0, 2**16 - 1),
    "app_login": (30, 0, 255),
    "feature_use": (30, 0, 255),
    "content_view": (30, 0, 255),
    "web_login": (30, 0, 255),
    "app_other": (30, 0, 255),
    "qoe": (30, 0, 255),
    "recharge": (30, -(2**31), 2**31 - 1),
    "revenue": (90, -(2**31), 2**31 - 1),
}
LIFE = (
    "calls", "seconds", "data_kb", "sms", "app_events", "web_logins", "qoe", "complaints", "referrals",
    "transactions", "payments_known", "payments_on_time", "revenue", "recharge",
)  # fmt: skip
WORDS = ("segment", "lifecycle_stage", "language", "timezone", "tariff")
HASHES = 32
NESTED = 64
LONGEST_INT = 4_300
RECENT = 8
WEEKS = 32


class Undecodable(ValueError):
    """A record that is not what docs/semantics.md calls a record."""


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


# Hashes.


def fnv1a(data: bytes) -> int:
    z = 14695981039346656037
    for byte in data:
        z = ((z ^ byte) * 1099511628211) % 2**64
    return z


def mix(z: int) -> int:
    """The finaliser of splitmix64."""
    z ^= z >> 30
    z = (z * 0xBF58476D1CE4E5B9) % 2**64
    z ^= z >> 27
    z = (z * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def hash64(data: bytes) -> int:
    return mix(fnv1a(data)) or 1


def word_hash(word: str | None) -> int:
    return hash64(word.encode()) % 2**32 if word else 0


# Time.


def parse_time(text: Any) -> int:
    """Milliseconds since 1970; raises Undecodable."""
    if not isinstance(text, str) or not re.fullmatch(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", text
    ):
        raise Undecodable("time")
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise Undecodable("time") from error
    if not 1971 <= moment.year <= 2099:
        raise Undecodable("year")
    return (moment - EPOCH) // timedelta(milliseconds=1)


def iso(ms: int) -> str:
    moment = EPOCH + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def local_day(ms: int, timezone: str) -> int:
    """Days from 1970-01-01 to the local day of a time."""
    moment = EPOCH + timedelta(milliseconds=ms)
    return (moment.astimezone(ZoneInfo(timezone)).date() - EPOCH_DATE).days


def week(day: int) -> int:
    return (day + 3) // 7


@cache
def refresh_minute(customer_id: str) -> int:
    return hash64(customer_id.encode()) % 1440


def last_refresh(customer_id: str, ms: int) -> int:
    at = ms // DAY_MS * DAY_MS + refresh_minute(customer_id) * MINUTE_MS
    return at if at <= ms else at - DAY_MS


def next_refresh(customer_id: str, ms: int) -> int:
    return last_refresh(customer_id, ms) + DAY_MS


def date_of(day: int) -> date:
    """The date of a day's number."""
    return EPOCH_DATE + timedelta(days=day)


def month_of(day: int) -> int:
    """Months since January 1970."""
    when = date_of(day)
    return (when.year - 1970) * 12 + when.month - 1


# Records.


class Cause(NamedTuple):
    """What an effect comes from; `money`: the hash of a money event, 0 for anything else."""

    source: str
    event_id: str
    money: int = 0


@dataclass(frozen=True)
class Record:
    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: int
    received_at: str
    attributes: dict[str, Any]
    raw: dict[str, Any]

    @property
    def hash(self) -> int:
        return hash64(self.source.encode() + b"\x00" + self.event_id.encode())

    @property
    def cause(self) -> Cause:
        money = UNIT_OF.get(self.event_type) == "currency"
        return Cause(self.source, self.event_id, self.hash if money else 0)


def read(value: bytes | dict[str, Any] | None, decode_row: Callable[[str], dict[str, Any]]) -> Record:
    """The record of a log value; raises Undecodable.  Its event_type may still be unknown."""
    raw = value if isinstance(value, dict) else _json(value)
    try:
        texts = [raw[name] for name in ("event_id", "customer_id", "event_type", "source", "received_at")]
        number, occurred_at, attributes = (
            raw["value"],
            parse_time(raw["occurred_at"]),
            raw.get("attributes", {}),
        )
    except KeyError as error:
        raise Undecodable(f"no {error}") from error
    if not all(isinstance(text, str) for text in texts) or not isinstance(attributes, dict):
        raise Undecodable("type of a member")
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(_float(number)):
        raise Undecodable("value")
    event_id, customer_id, event_type, source, received_at = texts
    if "\x00" in customer_id or (not customer_id and event_type not in ("_tick", "_marker", "_command")):
        raise Undecodable("customer_id")
    if event_type == "_tick":
        parse_time(attributes.get("at"))
    if event_type == "_marker" and type(attributes.get("revision")) is not int:
        raise Undecodable("revision")
    if event_type == "_command" and not isinstance(attributes.get("command_id"), str):
        raise Undecodable("command_id")
    if event_type in ("_reserve", "_reservation"):
        account = "campaign" if "campaign" in attributes else "template"
        whole = [attributes.get(name) for name in (account, "count", "points")]
        other = ("customer", str) if event_type == "_reserve" else ("granted", bool)
        if not all(type(number) is int for number in whole) or type(attributes.get(other[0])) is not other[1]:
            raise Undecodable("reservation")
    if event_type == "_prediction":
        _check_prediction(attributes)
    if event_type == "_merge" and not isinstance(attributes.get("row"), dict):
        try:
            attributes = attributes | {"row": decode_row(attributes["row"])}
        except Exception as error:
            raise Undecodable("row") from error
    return Record(
        event_id, customer_id, event_type, source, _float(number), occurred_at, received_at, attributes, raw
    )


def _check_prediction(attributes: dict[str, Any]) -> None:
    which = attributes.get("set")
    if not isinstance(which, str) or which not in FORETOLD:
        raise Undecodable("set")
    for name, (least, greatest) in FORETOLD[which].items():
        said = attributes.get(name)
        if said is None:
            continue
        numbers = (int,) if name in ("offer", "rfm") else (int, float)
        if type(said) not in numbers or not least <= _float(said) <= greatest:
            raise Undecodable(name)


def _json(value: bytes | None) -> dict[str, Any]:
    try:
        if value is None:
            raise ValueError("a tombstone")
        raw = json.loads(value.decode(), parse_constant=_refuse, parse_float=_real, parse_int=_int)
        pairs = _pairs(value.decode())
        json.dumps(pairs, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise Undecodable(str(error)) from error
    if not isinstance(raw, dict):
        raise Undecodable("no object")
    if _nested(value.decode()) > NESTED:
        raise Undecodable("nested too deep")
    for name, said in pairs:
        if name == "attributes" and _unspeakable(said):
            raise Undecodable("a number that nothing holds")
        if not isinstance(said, _MEMBERS.get(name, object)):
            raise Undecodable(f"type of {name}")
        if name == "value" and (isinstance(said, bool) or not isfinite(_float(said))):
            raise Undecodable("value")
    return raw


def _pairs(text: str) -> Iterable[tuple[str, Any]]:
    """The members of a JSON object as they stand, one that stands twice too; an object is a tuple."""
    found = json.loads(text, parse_float=_real, parse_int=_int, object_pairs_hook=tuple)
    return cast(tuple[tuple[str, Any], ...], found)


def _real(text: str) -> float:
    """A number, NaN for one that float64 cannot hold: it can only be passed over."""
    return number if isfinite(number := float(text)) else float("nan")


def _int(text: str) -> int | float:
    """A whole number, NaN for one of so many characters that it can only be passed over."""
    return int(text) if len(text) <= LONGEST_INT else float("nan")


def _unspeakable(value: Any) -> bool:
    """Whether such a number stands in it."""
    if isinstance(value, list | tuple):
        return any(map(_unspeakable, value))
    return isinstance(value, float) and value != value


_MEMBERS: dict[str, Any] = {
    **dict.fromkeys(("event_id", "customer_id", "event_type", "source", "occurred_at", "received_at"), str),
    "value": int | float,
    "attributes": tuple,
}


def _nested(text: str) -> int:
    """Objects and lists in each other, of what is JSON."""
    deep = deepest = 0
    quoted = escaped = False
    for c in text if len(text) > 2 * NESTED else "":
        if quoted:
            quoted, escaped = escaped or c != '"', not escaped and c == "\\"
        elif c == '"':
            quoted = True
        elif c in "[{":
            deep += 1
            deepest = max(deep, deepest)
        elif c in "]}":
            deep -= 1
    return deepest


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _float(text: str | float) -> float:
    try:
        number = float(text)
    except OverflowError as error:
        raise Undecodable("number") from error
    if not isfinite(number):
        raise Undecodable("number")
    return number


def integer(event_type: str, value: float, decimals: int) -> int:
    """The value in its smallest unit, rounded half-even in decimal, once."""
    whole = half_even(value, scale(event_type, decimals))
    return clamp(whole, -VALUE_LIMIT if UNIT_OF[event_type] == "currency" else 0, VALUE_LIMIT)


def half_even(value: float, units: int) -> int:
    """A number in its smallest unit, of which a canonical one has so many."""
    return int((Decimal(repr(value)) * units).to_integral_value(rounding=ROUND_HALF_EVEN))


def scale(event_type: str, decimals: int) -> int:
    """Smallest units of a canonical one."""
    units = {"megabytes": 1024, "currency": int(10**decimals)}
    return units.get(UNIT_OF[event_type], 1)


def truth(value: Any) -> bool | None:
    """Yes, no, or None for what is neither."""
    if isinstance(value, str):
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            "".join(c.lower() if c.isascii() else c for c in value)
        )
    if isinstance(value, bool | int | float) and value in (0, 1):
        return value == 1
    return None


def word(value: Any) -> str | None:
    """A profile word, None where it clears."""
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str) and value else None


def birthday(text: Any) -> int:
    """Month x 100 + day, 0 for what is no birthday."""
    found = isinstance(text, str) and re.fullmatch(r"(?:[0-9]{4}-)?([0-9]{2})-([0-9]{2})", text)
    if not found:
        return 0
    month, day = int(found[1]), int(found[2])
    return month * 100 + day if 1 <= month <= 12 and 1 <= day <= 31 else 0
