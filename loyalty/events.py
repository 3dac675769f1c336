"""The event types with their units and stable codes, and the event as it stands on `customer-events`."""

from __future__ import annotations

from enum import Enum

import msgspec


class Unit(Enum):
    """What `value` counts."""

    SECONDS = "seconds"
    MESSAGES = "messages"
    MEGABYTES = "megabytes"
    CURRENCY = "currency"
    COUNT = "count"


_S, _M, _MB, _C, _N = Unit.SECONDS, Unit.MESSAGES, Unit.MEGABYTES, Unit.CURRENCY, Unit.COUNT

#: Event type -> (code, unit).  Codes stand in rows and masks: never renumbered.  0 is unknown.
_TYPES: dict[str, tuple[int, Unit]] = {
    "voice_call": (1, _S),
    "roaming_call": (2, _S),
    "sms": (3, _M),
    "data_session": (4, _MB),
    "roaming_data": (5, _MB),
    "recharge": (6, _C),
    "purchase": (7, _C),
    "bundle_purchase": (8, _C),
    "plan_upgrade": (9, _C),
    "auto_renew": (10, _C),
    "payment": (11, _C),
    "refund": (12, _C),
    "invoice": (13, _C),
    "activation": (14, _N),
    "profile_update": (15, _N),
    "complaint": (16, _N),
    "referral": (17, _N),
    "status_change": (18, _N),
    "opt_in": (19, _N),
    "opt_out": (20, _N),
    "customer_link": (21, _N),
    "customer_ended": (22, _N),
    "app_install": (23, _N),
    "app_login": (24, _N),
    "web_login": (25, _N),
    "feature_use": (26, _N),
    "content_view": (27, _N),
    "social_share": (28, _N),
    "self_care": (29, _N),
    "qoe_degradation": (30, _N),
    "campaign_delivered": (31, _N),
    "campaign_converted": (32, _N),
    "grant_fulfilled": (33, _N),
    "grant_failed": (34, _N),
    "_tick": (64, _N),
    "_marker": (65, _N),
    "_command": (66, _N),
    "_merge": (67, _N),
    "_prediction": (68, _N),
    "_reservation": (69, _N),
    "_reserve": (70, _N),
}

CODES: dict[str, int] = {name: code for name, (code, _) in _TYPES.items()}
NAMES: dict[int, str] = {code: name for name, code in CODES.items()}
UNITS: dict[str, Unit] = {name: unit for name, (_, unit) in _TYPES.items()}

#: What a mapping may yield.
SOURCE_TYPES: frozenset[str] = frozenset(name for name in _TYPES if not name.startswith("_"))
MONEY: frozenset[str] = frozenset(name for name in SOURCE_TYPES if UNITS[name] is Unit.CURRENCY)
#: Types whose value is 1 where a record has none.
COUNTED: frozenset[str] = frozenset(name for name in SOURCE_TYPES if UNITS[name] in (_N, _M))
CALLS: frozenset[str] = frozenset({"voice_call", "roaming_call"})
DATA: frozenset[str] = frozenset({"data_session", "roaming_data"})
APP: frozenset[str] = frozenset(
    {"app_install", "app_login", "feature_use", "content_view", "social_share", "self_care"}
)
#: Types remembered by hash in the row; all others have a side entry.
USAGE: frozenset[str] = CALLS | DATA | APP | {"sms", "web_login", "qoe_degradation"}
ACTIVITY: frozenset[str] = SOURCE_TYPES - {
    "invoice", "complaint", "qoe_degradation", "status_change", "opt_in", "opt_out",
    "campaign_delivered", "campaign_converted", "grant_fulfilled", "grant_failed",
}  # fmt: skip


def code_of(event_type: str) -> int:
    """Code of an event type, 0 for an unknown one."""
    return CODES.get(event_type, 0)


def scale(event_type: str, currency_decimals: int) -> int:
    """Integer counters per canonical unit: kilobytes a megabyte, minor units a unit of currency, else 1."""
    unit = UNITS[event_type]
    if unit is Unit.MEGABYTES:
        return 1024
    return 10**currency_decimals if unit is Unit.CURRENCY else 1


class CustomerEvent(msgspec.Struct, frozen=True):
    """An event on the wire.  Times: ISO 8601 UTC with milliseconds, `2020-01-01T00:02:47.000Z`."""

    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str
    attributes: dict[str, str | int | float | bool | None] = {}
