"""The arrays that the engine hands to compiled code, and those it gets back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.policy import MEASURES
from loyalty.row import ROW, SCORES

EVENT = np.dtype(
    [
        ("at", "i8"),
        ("hash", "u8"),
        ("value", "i8"),
        ("slot", "i4"),  # -1: a command for nobody
        ("key", "i4"),  # of the event's side entry in `seen`, unused for usage
        ("extra", "i4"),  # of a profile_update in `profiles`, of a customer_link in `links`
        ("minute", "i2"),  # the customer's refresh minute
        ("kind", "u1"),
        ("flag", "u1"),
    ],
    align=True,
)
# `flag` of an event; that of a command is the status it is refused with at once, 0 for none.
FROM_BALANCE, KNOWN_ON_TIME, ON_TIME, CAN_LINK = 1, 2, 4, 8

PROFILE = np.dtype(
    [("words", "u4", (5,)), ("birthday", "u2"), ("consent", "u1"), ("present", "u1")], align=True
)
CONSENT_BIT, BIRTHDAY_BIT = 32, 64  # of `present`; the bits below are the words

EFFECT = np.dtype(
    [
        ("as_of", "i8"),
        ("caused_at", "i8"),  # of a refresh or tick
        ("event", "i4"),
        ("slot", "i4"),
        ("scores", "u2", (5,)),
        ("kind", "u1"),
        ("detail", "u1"),  # reason of a publication, status of a result
        ("cause", "u1"),
        ("sweep", "u1"),  # at a refresh: its turn to forget side entries older than MONEY_WINDOW
    ],
    align=True,
)
# `kind`: for others to read (0, 1), and what the engine does itself.
PUBLICATION, RESULT, REKEY, LINK, SET_PROFILE, RESET = range(6)
REFRESH, MOVED, BAND, RECALCULATE = range(4)
BY_EVENT, BY_REFRESH, BY_TICK = range(3)
DONE, UNKNOWN_COMMAND, UNKNOWN_SEGMENT, UNKNOWN_CUSTOMER, CLOSED = range(5)
EFFECTS_PER_EVENT = 3

# `counts` of a DESK
COUNTS = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation",
    "links_refused", "published",
)  # fmt: skip
DUPLICATES, LATE, OVERFLOW, IGNORED_ENDED, IGNORED_BEFORE, REFUSED, PUBLISHED = range(len(COUNTS))

NEVER = -(2**63)  # in `seen`
MONEY_WINDOW, OTHER_WINDOW = 90 * DAY_MS, 7 * DAY_MS
SWEEP_DAYS = 30  # a customer's old side entries are looked for every so many days

Rows = NDArray[np.void]
Effects = NDArray[np.void]
Record = Any  # a record of one of these arrays, by reference


#: Scratch space of compiled code, and what it counted.
DESK = np.dtype(
    [
        ("filled", "i8"),  # effects so far
        ("counts", "i8", (len(COUNTS),)),
        ("measures", "f8", (len(MEASURES),)),
        ("points", "f8", (len(MEASURES),)),
        ("scores", "i8", (len(SCORES),)),  # hundredths
        ("blank", ROW),  # an empty row
    ],
    align=True,
)
