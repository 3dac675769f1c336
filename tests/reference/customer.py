"""A customer's row of the reference, with its side entries, and the plain form of it that is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from loyalty.events import code_of
from tests.reference.model import (
    HASHES,
    LIFE,
    NO,
    NO_TIME,
    NONE,
    OPEN,
    RINGS,
    UNKNOWN,
    WEEKS,
    WORDS,
    YES,
    birthday,
    clamp,
    hash64,
    month_of,
    week,
    word_hash,
)

SLOTS = 5
COOLING = 20
CAMPAIGNS = 6
LOTS = 14
ACTIVE_DAYS = 128
U2 = 2**16 - 1
U4 = 2**32 - 1
# What stands in the row's `foretold`, in this order; `ltv` and `offer` have fields of their own.
FORETOLD = ("churn", "propensity", "response", "default_risk", "upsell", "engagement", "rfm")


@dataclass
class Mission:
    """A slot in use.  Times in seconds; `settles` in ms; amounts in smallest units."""

    template: int
    revision: int
    target: int
    waiting: bool = False
    started: int = 0
    ends: int = 0
    settles: int = NO_TIME
    progress: int = 0
    tenths: int = 0
    bits: set[int] = field(default_factory=set)  # days, weeks, inactivity: days or weeks since the start
    words: list[int] = field(default_factory=list)  # distinct: hashes
    matched: int = 0  # share: events that `where` let through
    among: int = 0  # share: events that `among` let through

    @property
    def marks(self) -> int:
        words = sum(word << (32 * n) for n, word in enumerate(self.words))
        return sum(1 << bit for bit in self.bits) | words | self.matched | self.among << 32


@dataclass
class Cooling:
    template: int
    until: int  # local day
    times: int = 0


@dataclass
class Lot:
    month: int  # the first in which it is no longer valid
    points: int


@dataclass
class Grant:
    """Side entry g."""

    at: int
    rule: str
    kind: str
    points: int
    month: int
    offer: int
    status: str
    told: int
    repeats: int = 0


@dataclass
class Contacted:
    """An entry of campaigns.  Times in seconds."""

    campaign: int
    status: str  # rest, open, held, waiting
    arm: str  # treatment, control
    times: int
    day: int  # local day of the last trigger
    at: int
    until: int = 0


@dataclass
class Customer:
    """A row with its side entries.  Rings and weeks are kept by absolute day and week."""

    customer_id: str
    state: int = NONE
    as_of: int = 0
    day: int = 0
    next_refresh: int = NO_TIME
    opened_at: int = 0
    first_event: int = 0
    activation: int = 0
    last_activity: int = 0
    last_transaction: int = 0
    rings: dict[str, dict[int, int]] = field(default_factory=lambda: {name: {} for name in RINGS})
    weeks: set[int] = field(default_factory=set)  # ISO weeks with activity
    life: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LIFE, 0))
    hashes: list[int] = field(default_factory=list)  # oldest first
    recent: list[tuple[str, int, int]] = field(default_factory=list)  # event_type, seconds, value
    profile: dict[str, Any] = field(default_factory=dict)  # side entry p
    profile_at: int = 0
    opted: int = UNKNOWN
    published: list[int] = field(default_factory=lambda: [0] * 5)
    active_days: set[int] = field(default_factory=set)
    types: dict[str, int] = field(default_factory=dict)
    comebacks: int = 0
    longest_absence: int = 0
    missions: list[Mission | None] = field(default_factory=lambda: [None] * SLOTS)
    cooling: list[Cooling | None] = field(default_factory=lambda: [None] * COOLING)
    completed: set[int] = field(default_factory=set)
    badges: set[tuple[int, int]] = field(default_factory=set)  # number, level 1 to 4
    replaced_day: int = 0
    lots: list[Lot] = field(default_factory=list)
    debt: int = 0
    year_points: int = 0
    last_year_points: int = 0
    tier: int = 0
    points_earned: int = 0
    points_redeemed: int = 0
    points_expired: int = 0
    missions_completed: int = 0
    open_grants: int = 0
    inline_asked: int = 0  # as_of of the last ask, or of the opening
    daily_asked: int = 0
    asked_scores: list[int] = field(default_factory=lambda: [0] * 4)  # hundredths, without risk
    foretold_at: dict[str, int] = field(default_factory=lambda: {"inline": 0, "daily": 0})
    foretold: dict[str, int] = field(default_factory=dict)  # what is known, in smallest units
    contacts: list[int] = field(default_factory=list)  # local days, newest first
    crossed: set[int] = field(default_factory=set)  # numbers of campaigns
    campaigns: list[Contacted | None] = field(default_factory=lambda: [None] * CAMPAIGNS)
    entries: dict[int, int] = field(default_factory=dict)  # side entries e: hash -> time
    link: str | None = None  # side entry l
    grants: dict[str, Grant] = field(default_factory=dict)  # side entries g: grant_id -> grant
    caused: dict[int, dict[str, Any]] = field(default_factory=dict)  # side entries m: hash -> at, grants

    @property
    def due(self) -> int:
        settling = [m.settles for m in self.missions if m and not m.waiting]
        held = [entry.until * 1000 for entry in self.campaigns if entry and entry.status == "held"]
        return min([self.next_refresh, *settling, *held]) if self.state == OPEN else NO_TIME

    @property
    def month(self) -> int:
        return month_of(self.day)

    @property
    def balance(self) -> int:
        return sum(lot.points for lot in self.lots if lot.month > self.month) - self.debt

    def forget_campaigns(self) -> None:
        self.contacts, self.crossed, self.campaigns = [], set(), [None] * CAMPAIGNS

    def window(self, ring: str, days: int) -> int:
        """Sum of the last `days` days of a ring, the row's day included."""
        return sum(cell for day, cell in self.rings[ring].items() if self.day - days < day <= self.day)

    def add(self, ring: str, day: int, value: int) -> bool:
        """Put a value into a ring; False where the ring holds that day no longer."""
        days, low, high = RINGS[ring]
        if day not in range(self.day - days + 1, self.day + 1):
            return False
        cells = self.rings[ring]
        cells[day] = clamp(cells.get(day, 0) + value, low, high)
        return True

    def active_week(self, in_week: int) -> None:
        if week(self.day) - WEEKS < in_week <= week(self.day):
            self.weeks.add(in_week)

    def remember(self, event_hash: int) -> bool:
        """Push a usage event's hash; True where it pushed one out."""
        self.hashes.append(event_hash)
        overflow = len(self.hashes) > HASHES
        self.hashes = self.hashes[-HASHES:]
        return overflow

    def advance(self, day: int) -> None:
        """Let days and weeks fall out of the windows."""
        years = -(self.month // 12)
        self.day = max(self.day, day)
        years += self.month // 12
        if years:
            self.last_year_points = self.year_points if years == 1 else 0
            self.year_points = 0
        self.active_days = {d for d in self.active_days if d > self.day - ACTIVE_DAYS}
        for name, (days, _, _) in RINGS.items():
            kept = range(self.day - days + 1, self.day + 1)
            self.rings[name] = {d: v for d, v in self.rings[name].items() if d in kept}
        self.weeks = {w for w in self.weeks if w > week(self.day) - WEEKS}


def more(now: int, by: int, limit: int = U4) -> int:
    """A figure that saturates."""
    return min(now + by, limit)


def _slot(mission: Mission | None) -> dict[str, int] | None:
    if mission is None:
        return None
    return {
        "status": 2 if mission.waiting else 1,
        "template": mission.template,
        "revision": mission.revision,
        "started": mission.started,
        "ends": mission.ends,
        "target": mission.target,
        "progress": mission.progress,
        "tenths": mission.tenths,
        "marks": mission.marks,
    }


def _entry(entry: Contacted | None) -> dict[str, int] | None:
    if entry is None:
        return None
    return {
        "campaign": entry.campaign,
        "status": ("rest", "open", "held", "waiting").index(entry.status),
        "arm": ("treatment", "control").index(entry.arm),
        "times": entry.times,
        "day": entry.day,
        "at": entry.at,
        "until": entry.until,
    }


def snapshot(c: Customer) -> dict[str, Any]:
    """A row as plain values, in the shape that `loyalty.row.decode` gives."""
    consent = {None: UNKNOWN, True: YES, False: NO}[c.profile.get("consent")]
    return {
        "state": c.state,
        "as_of": c.as_of,
        "day": c.day,
        "due": c.due,
        "opened_at": c.opened_at,
        "first_event": c.first_event,
        "activation": c.activation,
        "last_activity": c.last_activity,
        "last_transaction": c.last_transaction,
        "rings": {name: {d: v for d, v in sorted(c.rings[name].items()) if v} for name in RINGS},
        "weeks": sum(1 << (week(c.day) - w) for w in c.weeks),
        "life": dict(c.life),
        "hashes": list(c.hashes),
        "recent": [[code_of(kind), seconds, value] for kind, seconds, value in c.recent],
        "profile": {name: word_hash(c.profile.get(name)) for name in WORDS}
        | {
            "consent": consent,
            "opted": c.opted,
            "birthday": birthday(c.profile.get("birthday")),
            "profile_at": c.profile_at,
        },
        "published": list(c.published),
        "id_hash": hash64(c.customer_id.encode()) if c.state != NONE else 0,
        "next_refresh": c.next_refresh,
        "month": c.month,
        "active_days": sum(1 << (c.day - day) for day in c.active_days),
        "types": {code_of(kind): n for kind, n in sorted(c.types.items(), key=lambda item: code_of(item[0]))},
        "comebacks": c.comebacks,
        "longest_absence": c.longest_absence,
        "missions": [_slot(mission) for mission in c.missions],
        "cooling": [[e.template, e.until, e.times] if e else None for e in c.cooling],
        "completed": sum(1 << number for number in c.completed),
        "badges": sum(1 << (4 * number + level - 1) for number, level in c.badges),
        "replaced_day": c.replaced_day,
        "lots": [[lot.month, lot.points] for lot in c.lots],
        "debt": c.debt,
        "year_points": c.year_points,
        "last_year_points": c.last_year_points,
        "tier": c.tier,
        "points_earned": c.points_earned,
        "points_redeemed": c.points_redeemed,
        "points_expired": c.points_expired,
        "missions_completed": c.missions_completed,
        "open_grants": c.open_grants,
        "inline_asked": c.inline_asked,
        "daily_asked": c.daily_asked,
        "asked_scores": list(c.asked_scores),
        "foretold_at": [c.foretold_at["inline"], c.foretold_at["daily"]],
        "foretold": [c.foretold.get(name, -1) + 1 for name in FORETOLD],
        "ltv": c.foretold.get("ltv", -1) + 1,
        "offer": c.foretold.get("offer", -1) + 1,
        "contacts": [*c.contacts, *[0] * 8][:8],
        "crossed": sum(1 << number for number in c.crossed),
        "campaigns": [_entry(entry) for entry in c.campaigns],
    }
