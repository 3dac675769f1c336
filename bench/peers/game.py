"""The whole game for a customer who calls, texts and goes online, in plain Python written for speed.

It covers what voice_call, sms and data_session can cause with the seed's rules, and nothing else: no app,
money or profile events, so no debts, refunds, control group, capped templates or predictions.  docs/game.md
says what is to be done; counters that such events would move stand at their first values.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from hashlib import blake2b
from typing import NamedTuple

from bench.peers.compiled import KINDS, STILL, Features, Template
from bench.peers.customer import DAY_MS, NEVER, U2, U4, WINDOW, Customer, Mission, opened
from bench.peers.telling import Telling, iso, seen

VOICE, SMS, DATA = range(3)
KB = 1024
COMEBACK_DAYS, SEEN, COOLING, ONBOARDING = 30, 32, 20, 2


class Event(NamedTuple):
    """A record of customer-events; `at` in ms, `value` in its canonical unit."""

    event_id: str
    customer_id: str
    kind: int
    source: str
    value: float
    at: int


class Game(Telling):
    """The rules, and what they do to one customer at a time."""

    # One event.

    def fold(self, c: Customer | None, event: Event) -> Customer | None:
        """Fold an event into its customer (None: not known yet); the customer, None where nothing changed."""
        event_id, self._customer_id, kind, source, value, at = event
        self.effects = []
        hashed = blake2b(f"{source}\0{event_id}".encode(), digest_size=8).digest()
        if c is None:
            c = opened(self._customer_id, at, len(self.rules.badges))
        else:
            if _holds(c.seen, hashed):
                return None
            if c.due <= at:
                self._catch_up(c, at)
            if at > c.as_of:
                c.as_of = at
                c.advance(at // DAY_MS)
        self._cause = (source, event_id)
        c.seen = (c.seen + hashed)[-8 * SEEN :]
        amount = int(value) * (KB if kind == DATA else 1) if value == int(value) else _smallest(kind, value)
        self._count(c, kind, amount, at)
        scores = self._scores_of(c)
        found = self._features(c, scores)
        self._progress(c, event, amount)
        self._check_badges(c, found)
        self._generate(c, found)
        self._check_tier(c)
        c.plan()
        self._publish_moved(c, scores)
        return c

    def _count(self, c: Customer, kind: int, amount: int, at: int) -> None:
        day, life = at // DAY_MS, c.lifetime
        if kind == VOICE:
            life[0] += 1
            life[1] += amount
        else:
            life[3 if kind == SMS else 2] += amount
        if day > c.day - WINDOW:
            cells = c.days.get(day)
            if cells is None:
                cells = c.days[day] = [0, 0, 0, 0]
            if kind == VOICE:
                c.add(cells, 0, 1)
                c.add(cells, 1, amount)
            else:
                c.add(cells, 3 if kind == SMS else 2, amount)
        c.counts[kind] = min(c.counts[kind] + 1, U2)
        if c.last_activity:
            absence = day - c.last_activity // DAY_MS
            if absence >= COMEBACK_DAYS:
                c.comebacks = min(c.comebacks + 1, U2)
                c.longest_absence = max(c.longest_absence, min(absence, U2))
        if at > c.last_activity:
            c.last_activity = at
        if at < c.first_event:
            c.first_event = at
        weeks = (c.day + 3) // 7 - (day + 3) // 7
        if weeks < 32:
            c.weeks |= 1 << weeks
        ago = c.day - day
        if ago < 64:
            c.active_low |= 1 << ago
        elif ago < 128:
            c.active_high |= 1 << ago - 64

    # Time.

    def _catch_up(self, c: Customer, t: int) -> None:
        """Do all that was due by a time, in the order of its time; missed refreshes as one."""
        while c.due <= t:
            refresh = c.last_refresh(t) if c.next_refresh <= t else NEVER
            settles, slot = min(
                [(m.settles, n) for n, m in enumerate(c.missions) if m is not None], default=(NEVER, -1)
            )
            at = min(settles, refresh)
            if at > c.as_of:
                c.as_of = at
                c.advance(at // DAY_MS)
            if settles == at:
                self._cause = ("khaywe", f"settle:{iso(at)}")
                self._settle(c, slot)
            else:
                self._cause = ("khaywe", f"refresh:{iso(at)}")
                self._refresh(c)
                c.refreshed(at)
            c.plan()

    def _refresh(self, c: Customer) -> None:
        scores = self._scores_of(c)
        found = self._features(c, scores)
        self._expire_lots(c)
        if c.offers:
            self._repeat_open(c)
        self._check_badges(c, found)
        self._generate(c, found)
        self._check_tier(c)
        self._publish(c, scores, "refresh")

    def _settle(self, c: Customer, slot: int) -> None:
        mission = c.missions[slot]
        assert mission is not None
        template = self.rules.template[mission.template]
        if (
            template.goal == "inactivity"
            and mission.target - _reached(mission.marks, template.gap) <= template.gap
        ):
            mission.progress = mission.target
            self._complete(c, slot, template)
        else:
            c.missions[slot] = None
            self._tell(c, mission, template, "expired")
            self._cool(c, template)

    # Scores and features.

    def _scores_of(self, c: Customer) -> list[int]:
        """In hundredths."""
        day, last = c.day, c.last_30
        return self.rules.scores(
            [
                float(last[0]),
                last[2] / KB,
                float(last[3]),
                30.0 - ago if (ago := day - c.last_activity // DAY_MS) < 30 else 0.0,
                float(day - c.first_event // DAY_MS),
                (c.weeks & 0xFFF).bit_count() / 12.0,
                *STILL,
            ]
        )

    def _features(self, c: Customer, scores: list[int]) -> Features:
        day, last, life = c.day, c.last_30, c.lifetime
        active = c.active_high << 64 | c.active_low
        streak = active if active & 1 else active >> 1
        return [
            *[score / 100.0 for score in scores],
            last[0], last[1], last[2] / KB, last[3],
            life[0], life[1], life[2] / KB, life[3],
            *c.counts,
            day - c.first_event // DAY_MS,
            day - c.last_activity // DAY_MS,
            (active & 0x3FFFFFFF).bit_count(),
            (active & 0x3FFFFFFFFFFFFFFFFFFFFFF).bit_count(),
            (streak ^ streak + 1).bit_length() - 1,
            (c.weeks & 0xFFF).bit_count(),
            c.comebacks, c.longest_absence,
            c.balance, c.year_points, c.points_earned, c.tier,
            c.missions_completed, 5 - c.missions.count(None), sum(c.badges),
            *self.rules.still,
        ]  # fmt: skip

    # Missions.

    def _progress(self, c: Customer, event: Event, amount: int) -> None:
        kind, at = event.kind, event.at
        for slot, mission in enumerate(c.missions):
            if mission is None or not mission.started * 1000 <= at < mission.ends * 1000:
                continue
            template = self.rules.template[mission.template]
            if kind not in template.kinds:
                continue
            value = amount / KB if kind == DATA else float(amount)
            if template.where is not None and not template.where(value, event.source):
                continue
            goal = template.goal
            if goal in ("count", "first"):
                mission.progress = min(mission.progress + 1, U4)
            elif goal == "sum":
                mission.progress = min(mission.progress + amount, U4)
            elif goal == "distinct":
                if KINDS[kind] not in mission.words:
                    mission.words = [*mission.words, KINDS[kind]]
                mission.progress = len(mission.words)
            else:
                day, began = at // DAY_MS, mission.started // 86_400
                mission.marks |= 1 << ((day + 3) // 7 - (began + 3) // 7 if goal == "weeks" else day - began)
                if goal == "inactivity":
                    mission.progress = _reached(mission.marks, template.gap)
                else:
                    mission.progress = _longest_run(mission.marks)
            if goal != "inactivity" and mission.progress >= mission.target:
                self._complete(c, slot, template)
                continue
            tenths = min(9, mission.progress * 10 // mission.target)
            if tenths > mission.tenths:
                mission.tenths = tenths
                self._tell(c, mission, template, "progress")

    def _complete(self, c: Customer, slot: int, template: Template) -> None:
        mission = c.missions[slot]
        assert mission is not None
        c.missions[slot] = None
        self._cool(c, template, completed=1)
        if template.number not in c.completed:
            c.completed.append(template.number)
        c.missions_completed = min(c.missions_completed + 1, U2)
        self._tell(c, mission, template, "completed")
        progress, target = mission.progress / template.scale, mission.target / template.scale
        why = [
            {
                "condition": f"progress >= {int(target) if target == int(target) else target!r}",
                "seen": progress,
                "holds": progress >= target,
            }
        ]
        rewards, rule = template.rewards, f"mission:{template.number}"
        self._reward(c, rewards, rule, template.name, why)
        place = self.rules.place.get(rewards["badge"])
        if place is not None:
            while c.badges[place] < rewards["level"]:
                self._award(c, place, self.rules.badges[place], "reward", [])

    def _cool(self, c: Customer, template: Template, completed: int = 0) -> None:
        until = min(c.day + template.cooldown_days, U2)
        for entry in c.cooling:
            if entry[0] == template.number:
                entry[1], entry[2] = until, min(entry[2] + completed, U2)
                return
        new = [template.number, until, completed]
        for n, entry in enumerate(c.cooling):
            if self._reusable(c, entry):
                c.cooling[n] = new
                return
        if len(c.cooling) < COOLING:
            c.cooling.append(new)
        else:
            c.cooling[min(range(COOLING), key=lambda n: c.cooling[n][1])] = new

    def _reusable(self, c: Customer, entry: list[int]) -> bool:
        template = self.rules.template.get(entry[0])
        return entry[1] <= c.day and not (template is not None and template.per_customer)

    def _generate(self, c: Customer, found: Features) -> None:
        missions, rules = c.missions, self.rules
        replaced = None
        if None not in missions:  # then only a mission without progress can make place, once a day
            replaced = self._lowest(c) if c.replaced_day != c.day else None
            if replaced is None:
                return
        places = rules.open_to(found)
        if not places:
            return
        if len(c.cooling) == COOLING and not any(self._reusable(c, entry) for entry in c.cooling):
            return
        running = [mission.template for mission in missions if mission is not None]
        onboarding = 0
        for number in running:
            onboarding += rules.template[number].onboarding
        for place in places:
            template = rules.templates[place]
            number = template.number
            if number in running or (template.onboarding and onboarding >= ONBOARDING):
                continue
            if self._cools(c, template):
                continue
            if template.after and not all(each in c.completed for each in template.after):
                continue
            if template.goal == "first" and any(c.counts[kind] for kind in template.kinds):
                continue
            if replaced is None:
                slot = missions.index(None)
            else:
                slot, gone = replaced, missions[replaced]
                assert gone is not None
                old = rules.template[gone.template]
                if old.priority >= template.priority:
                    return
                missions[slot] = None
                self._tell(c, gone, old, "replaced", "priority")
                self._cool(c, old)
                c.replaced_day = c.day
                running.remove(gone.template)
                onboarding -= old.onboarding
            self._give(c, slot, template, found)
            running.append(number)
            onboarding += template.onboarding
            if None not in missions:
                replaced = self._lowest(c) if c.replaced_day != c.day else None
                if replaced is None:
                    return

    def _cools(self, c: Customer, template: Template) -> bool:
        for number, until, times in c.cooling:
            if number == template.number:
                return until > c.day or 0 < template.per_customer <= times
        return False

    def _lowest(self, c: Customer) -> int | None:
        """The slot of the mission of lowest priority, highest number, among those without progress."""
        untouched = [
            (self.rules.template[m.template].priority, -m.template, slot)
            for slot, m in enumerate(c.missions)
            if m is not None and not m.progress
        ]
        return min(untouched)[2] if untouched else None

    def _give(self, c: Customer, slot: int, template: Template, found: Features) -> None:
        started = c.as_of // 1000
        ends = started + template.duration_days * 86_400
        mission = Mission(
            template.number, started, ends, ends * 1000 + self.rules.grace_ms, template.aim(found)
        )
        c.missions[slot] = mission
        self._tell(c, mission, template, "given")
        rule = f"mission:{template.number}"
        why = seen(template.asked, found)
        self._decide(c, f"{rule}:given", "mission", "given", rule, template.name, why)


def _holds(seen: bytes, hashed: bytes) -> bool:
    at = seen.find(hashed)
    while at % 8 and at != -1:
        at = seen.find(hashed, at + 1)
    return at != -1


def _smallest(kind: int, value: float) -> int:
    """A broken amount in smallest units, rounded half-even as a decimal."""
    exact = Decimal(repr(value)) * (KB if kind == DATA else 1)
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _longest_run(marks: int) -> int:
    length = 0
    while marks:
        marks &= marks >> 1
        length += 1
    return length


def _reached(marks: int, gap: int) -> int:
    """Days from the start that no absence longer than `gap` interrupts."""
    days = 0
    while marks:
        bit = (marks & -marks).bit_length() - 1
        if bit - days > gap:
            break
        days = bit + 1
        marks &= marks - 1
    return days
