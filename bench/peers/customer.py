"""What a Python peer keeps of a customer, and the few bytes it is stored as."""

from __future__ import annotations

from datetime import date

import msgspec

DAY_MS = 86_400_000
MINUTE_MS = 60_000
NEVER = 2**63 - 1
EPOCH = date(1970, 1, 1).toordinal()
WINDOW = 30
MASK_32, MASK_64 = 2**32 - 1, 2**64 - 1
U2, U4 = 2**16 - 1, 2**32 - 1
# Greatest value of a day's calls, seconds, KB, SMS.
CELLS = (U2, U2, U4, U2)


class Mission(msgspec.Struct, array_like=True, gc=False):
    """A running mission.  Times in seconds, `settles` in ms, amounts in smallest units."""

    template: int
    started: int
    ends: int
    settles: int
    target: int
    progress: int = 0
    tenths: int = 0
    marks: int = 0  # days or weeks since the start, a bit each
    words: list[str] = []


class Offer(msgspec.Struct, array_like=True, gc=False):
    """An offer that nobody has answered for yet."""

    grant_id: str
    rule: str
    offer: int
    told: int  # ms
    repeats: int = 0


class Customer(msgspec.Struct, array_like=True, gc=False):
    """A customer as of a time; days are counted from 1970, times are ms unless said."""

    minute: int  # of the day, for the daily refresh
    as_of: int
    day: int
    month: int
    next_refresh: int
    due: int
    first_event: int
    badges: list[int]  # level held of each badge, 0 none
    last_activity: int = 0
    days: dict[int, list[int]] = {}  # day -> calls, seconds, KB, SMS, for 30 days
    last_30: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])  # the sums of `days`
    lifetime: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])
    counts: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])  # events by kind
    seen: bytes = b""  # hashes of the last 32 events
    weeks: int = 0  # bit k: activity k weeks before `day`
    active_low: int = 0  # bit k: activity k days before `day`
    active_high: int = 0  # the same for 64 days more
    comebacks: int = 0
    longest_absence: int = 0
    published: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0, 0])
    missions: list[Mission | None] = msgspec.field(default_factory=lambda: [None] * 5)
    cooling: list[list[int]] = []  # template, until (day), times completed
    completed: list[int] = []
    missions_completed: int = 0
    replaced_day: int = 0
    lots: list[list[int]] = []  # month in which it is no longer valid, points
    points_earned: int = 0
    points_expired: int = 0
    year_points: int = 0
    last_year_points: int = 0
    tier: int = 0
    offers: list[Offer] = []

    @property
    def balance(self) -> int:
        """Points that are valid."""
        valid = 0
        for month, points in self.lots:
            if month > self.month:
                valid += points
        return valid

    def advance(self, day: int) -> None:
        """Let days and weeks fall out of the windows; a day that has been changes nothing."""
        passed = day - self.day
        if passed <= 0:
            return
        weeks = (day + 3) // 7 - (self.day + 3) // 7
        self.weeks = (self.weeks << weeks) & MASK_32 if weeks < 32 else 0
        active = (self.active_high << 64 | self.active_low) << passed if passed < 128 else 0
        self.active_low, self.active_high = active & MASK_64, active >> 64 & MASK_64
        for old in [each for each in self.days if each <= day - WINDOW]:
            cells = self.days.pop(old)
            self.last_30 = [a - b for a, b in zip(self.last_30, cells, strict=True)]
        self.day = day
        when = date.fromordinal(EPOCH + day)
        year = self.month // 12
        self.month = (when.year - 1970) * 12 + when.month - 1
        years = self.month // 12 - year
        if years:
            self.last_year_points = self.year_points if years == 1 else 0
            self.year_points = 0

    def add(self, cells: list[int], which: int, by: int) -> None:
        """Put an amount into a day's figure, which saturates."""
        new = cells[which] + by
        if new > CELLS[which]:
            new = CELLS[which]
        self.last_30[which] += new - cells[which]
        cells[which] = new

    def last_refresh(self, t: int) -> int:
        """The last refresh instant that is not after a time."""
        at = t // DAY_MS * DAY_MS + self.minute * MINUTE_MS
        return at if at <= t else at - DAY_MS

    def refreshed(self, at: int) -> None:
        """The next refresh follows one at this time."""
        self.next_refresh = self.last_refresh(at) + DAY_MS

    def plan(self) -> None:
        """When something is to be done next."""
        due = self.next_refresh
        for mission in self.missions:
            if mission is not None and mission.settles < due:
                due = mission.settles
        self.due = due


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Customer).decode


def opened(customer_id: str, at: int, badges: int) -> Customer:
    """A customer of whom nothing is known but that something happened at a time."""
    day = at // DAY_MS
    when = date.fromordinal(EPOCH + day)
    month = (when.year - 1970) * 12 + when.month - 1
    found = Customer(hash64(customer_id.encode()) % 1440, at, day, month, 0, 0, at, [0] * badges)
    found.refreshed(at)
    found.due = found.next_refresh
    return found


def hash64(data: bytes) -> int:
    """FNV-1a with splitmix64's finaliser, by which customers are spread over the minutes of a day."""
    z = 14695981039346656037
    for byte in data:
        z = (z ^ byte) * 1099511628211 & MASK_64
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & MASK_64
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & MASK_64
    return z ^ z >> 31 or 1
