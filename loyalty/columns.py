"""The arrays that the engine hands to compiled code, and those it gets back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.calendar import DAY_MS
from loyalty.game import TEMPLATES
from loyalty.policy import MEASURES
from loyalty.row import FORETOLD, ROW, SCORES, SLOTS
from loyalty.vocabulary import FEATURES

WORDS = 32  # event features at most; 0 is `value`
OWED_MONTHS = 2_048  # since 1970

EVENT = np.dtype(
    [
        ("at", "i8"),
        ("hash", "u8"),
        ("value", "i8"),  # of a command: its points; of a _prediction: ltv
        ("id_hash", "u8"),
        ("slot", "i4"),  # -1: a command for nobody; -2: an event of an erased customer
        ("key", "i4"),  # of the event's side entry in `seen`, unused for usage
        ("extra", "i4"),  # of a profile_update, customer_link or _prediction in the array of these
        ("words", "i4"),  # of its attributes in `words`, -1 none
        ("kind", "u1"),
        ("flag", "u1"),
        ("op", "u1"),  # of a command
    ],
    align=True,
)
# `flag` of an event; that of a command is the status it is refused with at once, 0 for none.
FROM_BALANCE, KNOWN_ON_TIME, ON_TIME, CAN_LINK, BACKFILL, ANEW = 1, 2, 4, 8, 16, 32
# `op` of a command; those from REPEAT_GRANT on are the engine's.
(
    RECALCULATE_OP,
    PREDICT_OP,
    GENERATE_OP,
    AWARD_OP,
    OPT_IN_OP,
    OPT_OUT_OP,
    ADJUST_OP,
    REDEEM_OP,
    REPEAT_GRANT_OP,
    ERASE_OP,
) = range(10)

INLINE, DAILY = 1, 2  # sets of models
#: What a _prediction says, in the form of a row.
ANSWER = np.dtype(
    [
        ("offer", "i4"),
        ("foretold", "u2", (len(FORETOLD),)),
        ("daily", "u1"),  # which set
        ("ltv", "u1"),  # whether it is known
    ],
    align=True,
)

PROFILE = np.dtype(
    [("words", "u4", (5,)), ("birthday", "u2"), ("consent", "u1"), ("present", "u1")], align=True
)
CONSENT_BIT, BIRTHDAY_BIT = 32, 64  # of `present`; the bits below are the words

EFFECT = np.dtype(
    [
        ("as_of", "i8"),
        ("caused_at", "i8"),  # of a refresh, settling or tick
        ("points", "i8"),
        ("balance", "i8"),
        ("event", "i4"),
        ("slot", "i4"),
        ("revision", "i4"),  # of a mission's rule
        ("seen", "i4"),  # features that the condition saw, -1 none
        ("offer", "i4"),
        ("started", "u4"),
        ("ends", "u4"),
        ("progress", "u4"),
        ("target", "u4"),  # of a campaign: hash of the customer's language
        ("scores", "u2", (5,)),
        ("number", "u2"),  # of a template, badge, earning, campaign
        ("month", "u2"),  # of a lot; of a campaign: the day of its trigger
        ("kind", "u1"),
        ("detail", "u1"),  # reason of a publication, status of a result or mission, what a grant is, sets
        ("cause", "u1"),
        ("sweep", "u1"),  # at a refresh: its turn to forget side entries older than MONEY_WINDOW
        ("level", "u1"),  # of a badge, 1 to 4; of a tier, its index; of a campaign, its arm
        ("origin", "u1"),  # what a grant came of
        ("reason", "u1"),
        ("tenths", "u1"),
        ("control", "u1"),
    ],
    align=True,
)
# `kind`: for others to read, and what the engine does itself.
(
    PUBLICATION, RESULT, REKEY, LINK, SET_PROFILE, RESET, ASK, MISSION, BADGE, TIER, GRANT, OPEN_GRANTS,
    CAMPAIGN,
) = range(13)  # fmt: skip
REFRESH, MOVED, BAND, RECALCULATE = range(4)
BY_EVENT, BY_REFRESH, BY_TICK, BY_SETTLE, BY_HELD = range(5)
(
    DONE, UNKNOWN_COMMAND, UNKNOWN_SEGMENT, UNKNOWN_CUSTOMER, CLOSED, INVALID_ARGUMENTS, OPTED_OUT,
    IN_CONTROL,
    INSUFFICIENT_POINTS, UNKNOWN_GRANT, NO_MODEL, ERASED,
) = range(12)  # fmt: skip
GIVEN, PROGRESS, COMPLETED, EXPIRED, REPLACED, CANCELLED, RESERVED, REFUSED_MISSION = range(8)
# `detail` of a campaign: SENT and CONVERTED are told, TRIGGERED with its decision, of the others only that.
TRIGGERED, SENT, CONVERTED, RESERVED_CAMPAIGN, HELD_BACK, REFUSED_CAMPAIGN = range(6)
NO_REASON, BY_PRIORITY, BY_LINK, BY_END, BY_OPT_OUT, EARNED, BY_REWARD, UP, DOWN = range(9)
POINTS, OFFER, REDEEMED, ADJUSTED, POINTS_EXPIRED, REVERSED, FORFEITED = range(7)
OF_MISSION, OF_BADGE, OF_EARNING, OF_COMMAND, OF_EXPIRY, OF_REFUND, OF_END = range(7)

# That one event can cause at most: all badges with their rewards, missions, earnings, campaigns.
EFFECTS_ROOM = 940
SEEN_ROOM = 180
ASKED_ROOM = 2  # that one event can hand out: a refresh's and its own
EARNINGS = 64  # that a revision has at most

# `counts` of a DESK
COUNTS = (
    "duplicates", "late_events", "dedupe_overflow", "ignored_ended", "ignored_before_activation",
    "links_refused", "published", "ignored_erased", "missions_given", "missions_completed",
    "missions_expired",
    "badges_awarded", "points_granted", "predictions_taken", "predictions_ignored",
    "campaigns_triggered", "campaigns_converted",
)  # fmt: skip
(
    DUPLICATES, LATE, OVERFLOW, IGNORED_ENDED, IGNORED_BEFORE, REFUSED, PUBLISHED, IGNORED_ERASED,
    GIVEN_COUNT,
    COMPLETED_COUNT, EXPIRED_COUNT, AWARDED_COUNT, GRANTED_COUNT, PREDICTIONS_TAKEN, PREDICTIONS_IGNORED,
    TRIGGERED_COUNT, CONVERTED_COUNT,
) = range(len(COUNTS))  # fmt: skip

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
        ("features", "f8", (len(FEATURES),)),
        ("words", "f8", (WORDS,)),  # event features
        ("owed", "i8", (OWED_MONTHS,)),  # by month of a lot: points that came less those that went
        ("seen", "i8"),  # rows of `seen` so far
        ("asked", "i8"),  # rows of `asked` so far
        ("caused_at", "i8"),
        ("needed", "i8"),  # revision whose rules are wanted, -1 none
        ("slot", "i4"),  # what is being worked on
        ("event", "i4"),
        ("rules", "i4", (SLOTS,)),  # rule of each mission, -1 none
        ("blocked", "u1", (TEMPLATES + 1,)),  # by template: running or cooling
        ("cause", "u1"),
        ("control", "u1"),
        ("off", "u1"),  # nothing is won by the record at work
        ("blank", ROW),  # an empty row
    ],
    align=True,
)
