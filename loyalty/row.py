"""One customer as a fixed-width record: its layout, and how bytes of it are read back.

The bytes stand in the changelog, in RocksDB and in `_merge` records, so a change of `ROW` is a new
`FORMAT`, and readers of the old one stay until no changelog holds it.  The meaning of each field is in
docs/semantics.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 2

NONE, OPEN, ENDED, LINKED = range(4)
NO_TIME = 2**63 - 1  # `due` of a row that is not open
UNKNOWN, YES, NO = range(3)  # `consent`, `opted`

HASHES = 32  # usage events remembered for duplicates
RECENT = 8  # events shown
WEEKS = 32  # bits of `weeks`
MONTH, QUARTER = 30, 90  # days a ring holds

SLOTS = 5  # missions
FREE, ACTIVE, WAITING = range(3)  # `mission_status`
MARK_WORDS = 3  # of 64 bits
COOLING = 20
LOTS = 14
TYPES = 36  # codes of event types that are counted
COMPLETED_WORDS, BADGE_WORDS, DAY_WORDS, CROSSED_WORDS = 8, 2, 2, 4  # of 64 bits
ENTRIES = 6  # campaigns
AT_REST, UNDER_WAY, HELD, PENDING = range(4)  # `campaign_status`
TREATMENT, CONTROL = range(2)  # `campaign_arm`
CONTACTS = 8

# A day's cell of a ring is at index day mod its length; cells outside the window are 0.
RINGS = {
    "data_kb": ("u4", MONTH),
    "recharge": ("i4", MONTH),
    "revenue": ("i4", QUARTER),
    "calls": ("u2", MONTH),
    "seconds": ("u2", MONTH),
    "sms": ("u2", MONTH),
    "app_login": ("u1", MONTH),
    "feature_use": ("u1", MONTH),
    "content_view": ("u1", MONTH),
    "web_login": ("u1", MONTH),
    "app_other": ("u1", MONTH),
    "qoe": ("u1", MONTH),
}
LIFE = (
    "calls", "seconds", "data_kb", "sms", "app_events", "web_logins", "qoe", "complaints", "referrals",
    "transactions", "payments_known", "payments_on_time", "revenue", "recharge",
)  # fmt: skip
WORDS = ("segment", "lifecycle_stage", "language", "timezone", "tariff")
SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")

TIMES = (
    "as_of", "due", "next_refresh", "opened_at", "first_event", "activation", "last_activity",
    "last_transaction",
)  # fmt: skip
MISSION = {
    "status": "u1", "template": "u2", "revision": "u4", "started": "u4", "ends": "u4", "target": "u4",
    "progress": "u4", "tenths": "u1",
}  # fmt: skip
GAME = {
    "month": "u2", "comebacks": "u2", "longest_absence": "u2", "replaced_day": "i4", "debt": "u4",
    "year_points": "u4",
    "last_year_points": "u4", "tier": "u1", "points_earned": "u4", "points_redeemed": "u4",
    "points_expired": "u4",
    "missions_completed": "u2", "open_grants": "u1",
}  # fmt: skip

#: Of a campaign's entry, besides its number, `campaign`.
CAMPAIGN = {"status": "u1", "arm": "u1", "times": "u1", "day": "u2", "at": "u4", "until": "u4"}

ASKED = ("engagement", "revenue", "loyalty", "digital")  # scores that a model's input moves with
#: What was foretold, as stored; CHURN is the inline set's, the rest the daily one's.
FORETOLD = ("churn", "propensity", "response", "default_risk", "upsell", "engagement", "rfm")
CHURN, PROPENSITY, RESPONSE, DEFAULT_RISK, UPSELL, ACTIVE_DAYS, RFM = range(len(FORETOLD))

ROW = np.dtype(
    [
        ("format", "u2"),
        ("state", "u1"),
        ("opted", "u1"),
        ("day", "i4"),
        *((name, "i8") for name in TIMES),
        ("profile_at", "i8"),
        ("inline_asked", "i8"),
        ("daily_asked", "i8"),
        ("foretold_at", "i8", (2,)),  # inline, daily
        ("ltv", "i8"),
        ("id_hash", "u8"),
        ("active_days", "u8", (DAY_WORDS,)),
        ("completed", "u8", (COMPLETED_WORDS,)),
        ("badges", "u8", (BADGE_WORDS,)),
        ("marks", "u8", (SLOTS, MARK_WORDS)),
        ("crossed", "u8", (CROSSED_WORDS,)),
        *((f"life_{name}", "i8") for name in LIFE),
        ("hashes", "u8", (HASHES,)),
        *((name, cell, (days,)) for name, (cell, days) in RINGS.items() if cell[1] == "4"),
        ("weeks", "u4"),
        ("recent_at", "u4", (RECENT,)),  # whole seconds
        ("recent_value", "i4", (RECENT,)),
        *((name, "u4") for name in WORDS),
        *((f"mission_{name}", cell, (SLOTS,)) for name, cell in MISSION.items() if cell == "u4"),
        *((f"campaign_{name}", cell, (ENTRIES,)) for name, cell in CAMPAIGN.items() if cell == "u4"),
        *((name, cell) for name, cell in GAME.items() if cell[1] == "4"),
        ("lot_points", "u4", (LOTS,)),
        ("offer", "i4"),
        ("lot_month", "u2", (LOTS,)),
        ("mission_template", "u2", (SLOTS,)),
        ("cooling_template", "u2", (COOLING,)),
        ("cooling_until", "u2", (COOLING,)),
        ("types", "u2", (TYPES,)),
        ("contacts", "u2", (CONTACTS,)),  # local days, newest first
        ("campaign", "u2", (ENTRIES,)),
        *((f"campaign_{name}", cell, (ENTRIES,)) for name, cell in CAMPAIGN.items() if cell == "u2"),
        *((name, cell) for name, cell in GAME.items() if cell == "u2"),
        *((name, cell, (days,)) for name, (cell, days) in RINGS.items() if cell[1] == "2"),
        ("published", "u2", (len(SCORES),)),  # hundredths
        ("birthday", "u2"),
        ("asked_scores", "u2", (len(ASKED),)),  # hundredths
        ("foretold", "u2", (len(FORETOLD),)),
        *((name, cell, (days,)) for name, (cell, days) in RINGS.items() if cell[1] == "1"),
        ("recent_type", "u1", (RECENT,)),
        ("cooling_times", "u1", (COOLING,)),
        *((f"mission_{name}", cell, (SLOTS,)) for name, cell in MISSION.items() if cell == "u1"),
        *((f"campaign_{name}", cell, (ENTRIES,)) for name, cell in CAMPAIGN.items() if cell == "u1"),
        *((name, cell) for name, cell in GAME.items() if cell == "u1"),
        ("consent", "u1"),
        ("hash_next", "u1"),  # where the next hash goes
        ("recent_next", "u1"),  # where the next recent event goes
    ],
    align=True,
)
RAW = np.dtype(f"V{ROW.itemsize}")  # a row as bytes: moved in one piece


class RowFormatError(ValueError):
    """Bytes that are no row this version reads."""


class NewerRow(RowFormatError):
    """A row that a newer version wrote."""

    def __init__(self, found: int) -> None:
        super().__init__(f"row has format {found}, this version reads up to {FORMAT}: upgrade khaywe")


def empty() -> NDArray[np.void]:
    """One row, shape (1,), as it is before anything was written: all zeros."""
    return np.zeros(1, ROW)


def read(data: bytes) -> NDArray[np.void]:
    """The row of its bytes, shape (1,), writable.  Raises RowFormatError."""
    found = int.from_bytes(data[:2], "little")
    if found > FORMAT:
        raise NewerRow(found)
    if len(data) != ROW.itemsize:
        raise RowFormatError(f"row has {len(data)} bytes, format {found} has {ROW.itemsize}: not a row")
    return np.frombuffer(data, ROW).copy()


def plain(row: np.void) -> dict[str, Any]:
    """Plain values of a row, by the names of docs/ (semantics, game, predictions, campaigns).

    `rings` are {name: {day: value}} of the cells that are not 0, `hashes` and `recent` oldest first, `recent`
    as [type code, seconds, value], `published` in hundredths, times in milliseconds.
    """
    day = int(row["day"])
    return {
        "state": int(row["state"]),
        **{name: int(row[name]) for name in TIMES},
        "day": day,
        "rings": {name: ring(row, name) for name in RINGS},
        "weeks": int(row["weeks"]),
        "life": {name: int(row[f"life_{name}"]) for name in LIFE},
        "hashes": [int(value) for value in np.roll(row["hashes"], -int(row["hash_next"])) if value],
        "recent": recent(row),
        "profile": {
            **{name: int(row[name]) for name in (*WORDS, "consent", "opted", "birthday", "profile_at")},
        },
        "published": row["published"].tolist(),
        **_game(row),
        **{name: int(row[name]) for name in ("inline_asked", "daily_asked", "ltv", "offer")},
        **{name: row[name].tolist() for name in ("asked_scores", "foretold_at", "foretold")},
        "contacts": row["contacts"].tolist(),
        "crossed": _bits(row["crossed"]),
        "campaigns": [_campaign(row, entry) if row["campaign"][entry] else None for entry in range(ENTRIES)],
    }


def _campaign(row: np.void, entry: int) -> dict[str, int]:
    found = {name: int(row[f"campaign_{name}"][entry]) for name in CAMPAIGN}
    return {"campaign": int(row["campaign"][entry])} | found


def _game(row: np.void) -> dict[str, Any]:
    counts = row["types"].tolist()
    marks = row["marks"]
    missions = [
        {name: int(row[f"mission_{name}"][slot]) for name in MISSION} | {"marks": _bits(marks[slot])}
        if row["mission_status"][slot]
        else None
        for slot in range(SLOTS)
    ]
    cooling = zip(*(row[f"cooling_{name}"].tolist() for name in ("template", "until", "times")), strict=True)
    lots = zip(row["lot_month"].tolist(), row["lot_points"].tolist(), strict=True)
    return {
        "id_hash": int(row["id_hash"]),
        **{name: int(row[name]) for name in GAME},
        **{name: _bits(row[name]) for name in ("active_days", "completed", "badges")},
        "types": {code: count for code, count in enumerate(counts) if count},
        "missions": missions,
        "cooling": [list(entry) if entry[0] else None for entry in cooling],
        "lots": [list(lot) for lot in lots if lot[0]],
    }


def _bits(words: NDArray[np.uint64]) -> int:
    return sum(word << (64 * n) for n, word in enumerate(words.tolist()))


def ring(row: np.void, name: str) -> dict[int, int]:
    """{day: value} of a ring's cells that are not 0, oldest day first."""
    day, cells = int(row["day"]), row[name].tolist()
    days = range(day - len(cells) + 1, day + 1)
    return {d: cells[d % len(cells)] for d in days if cells[d % len(cells)]}


def recent(row: np.void) -> list[list[int]]:
    """[type code, seconds, value] of the last events, oldest first."""
    shift = -int(row["recent_next"])
    columns = (np.roll(row[name], shift).tolist() for name in ("recent_type", "recent_at", "recent_value"))
    return [list(event) for event in zip(*columns, strict=True) if event[1]]
