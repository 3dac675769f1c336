"""The whole game for a customer who calls, texts and goes online, in plain Python written for speed.

Rules are compiled when they are read: conditions to expressions, scores to a sum, templates sorted by priority.
It covers what voice_call, sms and data_session can cause with the seed's rules, and nothing else: no app, money
or profile events, so no debts, refunds, control group, capped templates or predictions.  docs/game.md says what
is to be done; the counters that such events would move stand at their first values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from bench.peers.conditions import comparisons, condition, event_filter
from bench.peers.customer import (
    CELLS,
    DAY_MS,
    MASK_32,
    MASK_64,
    MASK_128,
    NEVER,
    U2,
    U4,
    WINDOW,
    Customer,
    Mission,
    Offer,
    opened,
)

KINDS = ("voice_call", "sms", "data_session")
VOICE, SMS, DATA = range(3)
KB = 1024
COMEBACK_DAYS, SEEN, LOTS, COOLING, ONBOARDING = 30, 32, 14, 20, 2
REPEATS = 7

# The features that calls, SMS and data move, in the order in which `_features` makes them.
MOVED = (
    "engagement", "revenue", "loyalty", "risk", "digital", "calls_30_days", "seconds_30_days",
    "data_mb_30_days", "sms_30_days", "calls_lifetime", "seconds_lifetime", "data_mb_lifetime", "sms_lifetime",
    "voice_call_count", "sms_count", "data_session_count", "tenure_days", "days_since_last_activity",
    "active_days_30", "active_days_90", "active_streak_days", "active_weeks_12", "comebacks",
    "longest_absence_days", "points_balance", "points_earned_this_year", "points_earned_lifetime", "tier",
    "missions_completed", "missions_active", "badges_held",
)  # fmt: skip
MEASURES = (
    "calls", "data", "sms", "recency", "tenure", "consistency", "app", "total", "recent_recharges", "arpu",
    "lifetime_value", "transactions", "on_time_payments", "churn_probability", "inactivity", "revenue_decline",
    "app_logins", "feature_use", "content_views", "web_logins",
)  # fmt: skip
STILL = [0.0] * (len(MEASURES) - 6)  # what no call, SMS or data moves

Effect = tuple[str, dict[str, Any]]  # topic and value
Features = list[Any]
Why = list[dict[str, Any]]


class Event(NamedTuple):
    """A record of customer-events; `at` in ms, `value` in its canonical unit."""

    event_id: str
    customer_id: str
    kind: int
    source: str
    value: float
    at: int


class Template:
    """A template with its conditions compiled."""

    def __init__(self, rule: Mapping[str, Any], index: Mapping[str, int]) -> None:
        goal, target = rule["goal"], rule["target"]
        self.number, self.name, self.category = rule["number"], rule["name"], rule["category"]
        self.priority, self.per_customer, self.after = rule["priority"], rule["per_customer"], rule["after"]
        self.duration_days, self.cooldown_days = rule["duration_days"], rule["cooldown_days"]
        self.onboarding = self.category == "onboarding"
        self.rewards = rule["rewards"]
        self.eligible = condition(rule["eligibility"], index)
        self.asked = [
            (each["text"], index[each["name"]], condition(each, index))
            for each in comparisons(rule["eligibility"])
        ]
        self.goal, self.kinds = (
            goal["kind"],
            frozenset(n for n, kind in enumerate(KINDS) if kind in goal["types"]),
        )
        self.where = event_filter(goal["where"]) if goal["where"] else None
        self.by_type = goal["distinct"] == "event_type"
        self.gap, self.scale = goal["gap"], goal["scale"]
        if self.kinds and (self.goal == "share" or (self.goal == "distinct" and not self.by_type)):
            raise ValueError(f"{self.name}: a call has no attributes to ask for")
        if self.goal in ("days", "inactivity") and self.duration_days > 62:
            raise ValueError(f"{self.name}: marks are kept for 63 days")
        self.fixed = {"inactivity": self.duration_days, "first": 1}.get(self.goal, target["value"])
        if not self.fixed:
            name = target["baseline"]
            self.baseline, self.stretch = index[name], target["stretch"]
            self.low, self.high = target["low"], target["high"]
            self.per_days = next((n for n in (30, 90) if name.endswith(f"_{n}_days")), 0)

    def aim(self, found: Features) -> int:
        """The target in smallest units."""
        if self.goal in ("inactivity", "first"):
            return int(self.fixed)
        wanted = self.fixed
        if not wanted:
            level = found[self.baseline] or 0.0
            if self.per_days:
                level = level * float(self.duration_days) / float(self.per_days)
            wanted = min(max(_liked(level * self.stretch), self.low), self.high)
        return min(wanted * self.scale, U4)


class Level(NamedTuple):
    """A level of a badge."""

    name: str
    holds: Callable[[Features], bool]
    asked: list[tuple[str, int, Callable[[Features], bool]]]
    rewards: Mapping[str, Any]


class Badge(NamedTuple):
    """A badge with its four levels."""

    number: int
    name: str
    levels: list[Level]


class Game:
    """The rules, and what they do to one customer at a time; effects pile up in `effects`."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self.revision, self.step = rules["revision"], rules["publish_step"] * 100
        self.bands = [band * 100 for band in rules["bands"]]
        self.grace_ms = rules["grace_seconds"] * 1000
        self.valid_months = rules["points_valid_months"]
        self.tiers = [(tier["points"], tier["name"]) for tier in rules["tiers"]]
        still = [name for name in rules["features"] if name not in MOVED]
        self._still = [rules["features"][name] for name in still]
        index = {name: n for n, name in enumerate((*MOVED, *still))}
        self.templates = sorted(
            (Template(rule, index) for rule in rules["templates"]),
            key=lambda each: (-each.priority, each.number),
        )
        self.by_number = {template.number: template for template in self.templates}
        self.badges = [
            Badge(
                badge["number"],
                badge["name"],
                [
                    Level(
                        level["name"],
                        condition(level["condition"], index),
                        [
                            (each["text"], index[each["name"]], condition(each, index))
                            for each in comparisons(level["condition"])
                        ],
                        level["rewards"],
                    )
                    for level in badge["levels"]
                ],
            )
            for badge in rules["badges"]
        ]
        self.badge = {badge.number: badge for badge in self.badges}
        if any(kind in earning["types"] for earning in rules["earning"] for kind in KINDS):
            raise ValueError("a call, an SMS or data that earns points is not covered")
        self.score_names = list(rules["scores"])
        self._scores = _sums(rules["scores"])
        self.effects: list[Effect] = []
        self._customer_id = ""
        self._cause = ("", "")

    # One event.

    def fold(self, c: Customer | None, event: Event) -> Customer | None:
        """Fold an event into its customer (None: not known yet); the customer, None where nothing changed."""
        event_id, self._customer_id, kind, source, value, at = event
        self.effects = []
        hashed = blake2b(f"{source}\0{event_id}".encode(), digest_size=8).digest()
        if c is None:
            c = opened(self._customer_id, at)
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
        amount = max(0, round(value) if kind != DATA else _kilobytes(value))
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
        day = at // DAY_MS
        added = (
            (1, amount, 0, 0) if kind == VOICE else (0, 0, 0, amount) if kind == SMS else (0, 0, amount, 0)
        )
        if day > c.day - WINDOW:
            cells = c.days.get(day)
            if cells is None:
                cells = c.days[day] = [0, 0, 0, 0]
            for n, by in enumerate(added):
                if by:
                    new = min(cells[n] + by, CELLS[n])
                    c.last_30[n] += new - cells[n]
                    cells[n] = new
        for n, by in enumerate(added):
            if by:
                c.lifetime[n] += by
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
                self._cause = ("khaywe", f"settle:{_iso(at)}")
                self._settle(c, slot)
            else:
                self._cause = ("khaywe", f"refresh:{_iso(at)}")
                self._refresh(c)
                c.refreshed(at)
            c.plan()

    def _refresh(self, c: Customer) -> None:
        scores = self._scores_of(c)
        found = self._features(c, scores)
        self._expire_lots(c)
        for offer in sorted(c.offers, key=lambda offer: offer.grant_id):
            if c.as_of - offer.told >= DAY_MS and offer.repeats < REPEATS:
                self._repeat(c, offer)
        self._check_badges(c, found)
        self._generate(c, found)
        self._check_tier(c)
        self._publish(c, scores, "refresh")

    def _settle(self, c: Customer, slot: int) -> None:
        mission = c.missions[slot]
        assert mission is not None
        template = self.by_number[mission.template]
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
        return self._scores(
            [
                float(last[0]),
                last[2] / KB,
                float(last[3]),
                float(max(0, 30 - (day - c.last_activity // DAY_MS))) if c.last_activity else 0.0,
                float(max(0, day - c.first_event // DAY_MS)),
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
            max(0, day - c.first_event // DAY_MS),
            max(0, day - c.last_activity // DAY_MS) if c.last_activity else None,
            (active & 0x3FFFFFFF).bit_count(),
            (active & 0x3FFFFFFFFFFFFFFFFFFFFFF).bit_count(),
            (streak ^ streak + 1).bit_length() - 1,
            (c.weeks & 0xFFF).bit_count(),
            c.comebacks, c.longest_absence,
            c.balance, c.year_points, c.points_earned, c.tier,
            c.missions_completed, 5 - c.missions.count(None), sum(c.badges.values()),
            *self._still,
        ]  # fmt: skip

    def _publish_moved(self, c: Customer, scores: list[int]) -> None:
        if scores == c.published:
            return
        pairs = list(zip(scores, c.published, strict=True))
        if any(abs(new - old) >= self.step for new, old in pairs):
            self._publish(c, scores, "moved")
        elif any((new >= band) != (old >= band) for band in self.bands for new, old in pairs):
            self._publish(c, scores, "band")

    def _publish(self, c: Customer, scores: list[int], reason: str) -> None:
        c.published = scores
        values = {name: score / 100 for name, score in zip(self.score_names, scores, strict=True)}
        self._effect(
            c, "behavior-scores", "scores", {"as_of": _iso(c.as_of), "reason": reason, "scores": values}
        )

    # Missions.

    def _progress(self, c: Customer, event: Event, amount: int) -> None:
        kind, at = event.kind, event.at
        for slot, mission in enumerate(c.missions):
            if mission is None or not mission.started * 1000 <= at < mission.ends * 1000:
                continue
            template = self.by_number[mission.template]
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
        if rewards["badge"] in self.badge:
            badge = self.badge[rewards["badge"]]
            for level in range(c.badges.get(badge.number, 0) + 1, rewards["level"] + 1):
                self._award(c, badge, level, "reward", [])

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
        template = self.by_number.get(entry[0])
        return entry[1] <= c.day and not (template is not None and template.per_customer)

    def _generate(self, c: Customer, found: Features) -> None:
        missions = c.missions
        free = None in missions
        replaced: int | None = None
        if not free:
            if c.replaced_day == c.day:
                return
            replaced = self._lowest(c)
            if replaced is None:
                return
        if len(c.cooling) == COOLING and not any(self._reusable(c, entry) for entry in c.cooling):
            return
        running = {mission.template for mission in missions if mission is not None}
        cooling = {entry[0]: entry for entry in c.cooling}
        onboarding = sum(self.by_number[number].onboarding for number in running)
        for template in self.templates:
            if replaced is not None:
                old = self.by_number[missions[replaced].template]  # type: ignore[union-attr]
                if old.priority >= template.priority:
                    return
                if template.onboarding and onboarding - old.onboarding >= ONBOARDING:
                    continue
            number = template.number
            if number in running or (template.onboarding and onboarding >= ONBOARDING):
                continue
            entry = cooling.get(number)
            if entry is not None and (entry[1] > c.day or 0 < template.per_customer <= entry[2]):
                continue
            if template.after and not all(each in c.completed for each in template.after):
                continue
            if template.goal == "first" and any(c.counts[kind] for kind in template.kinds):
                continue
            if not template.eligible(found):
                continue
            if replaced is None:
                slot = missions.index(None)
            else:
                slot, gone = replaced, missions[replaced]
                assert gone is not None
                missions[slot] = None
                self._tell(c, gone, old, "replaced", "priority")
                self._cool(c, old)
                c.replaced_day = c.day
                running.discard(gone.template)
                onboarding -= old.onboarding
                cooling = {entry[0]: entry for entry in c.cooling}
            self._give(c, slot, template, found)
            running.add(number)
            onboarding += template.onboarding
            if None not in missions:
                if c.replaced_day == c.day:
                    return
                replaced = self._lowest(c)
                if replaced is None:
                    return

    def _lowest(self, c: Customer) -> int | None:
        """The slot of the mission of lowest priority, highest number, among those without progress."""
        untouched = [
            (self.by_number[m.template].priority, -m.template, slot)
            for slot, m in enumerate(c.missions)
            if m is not None and not m.progress
        ]
        return min(untouched)[2] if untouched else None

    def _give(self, c: Customer, slot: int, template: Template, found: Features) -> None:
        started = c.as_of // 1000
        ends = started + template.duration_days * 86_400
        mission = Mission(template.number, started, ends, ends * 1000 + self.grace_ms, template.aim(found))
        c.missions[slot] = mission
        self._tell(c, mission, template, "given")
        rule = f"mission:{template.number}"
        why = _seen(template.asked, found)
        self._decide(c, f"{rule}:given", "mission", "given", rule, template.name, why)

    def _tell(self, c: Customer, mission: Mission, template: Template, status: str, reason: str = "") -> None:
        rule = f"progress:{mission.tenths}" if status == "progress" else status
        mission_id = f"{self._customer_id}\x1fmission\x1f{template.number}\x1f{mission.started}"
        value = {
            "mission_id": blake2b(mission_id.encode(), digest_size=16).hexdigest(),
            "number": template.number,
            "name": template.name,
            "category": template.category,
            "status": status,
            "reason": reason,
            "progress": mission.progress / template.scale,
            "target": mission.target / template.scale,
            "tenths": 10 if status == "completed" else mission.tenths,
            "started_at": _iso(mission.started * 1000),
            "ends_at": _iso(mission.ends * 1000),
        }
        self._effect(c, "mission-progress", f"mission:{template.number}:{rule}", value)

    # Badges and rewards.

    def _check_badges(self, c: Customer, found: Features) -> None:
        held = c.badges
        for badge in self.badges:
            for number in range(held.get(badge.number, 0), 4):
                level = badge.levels[number]
                if not level.holds(found):
                    break
                self._award(c, badge, number + 1, "earned", _seen(level.asked, found))

    def _award(self, c: Customer, badge: Badge, number: int, reason: str, why: Why) -> None:
        c.badges[badge.number] = number
        level = badge.levels[number - 1]
        rule = f"badge:{badge.number}:{number}"
        value = {
            "kind": "badge",
            "number": badge.number,
            "name": badge.name,
            "level": number,
            "level_name": level.name,
        }
        self._effect(c, "badge-awards", rule, {**value, "reason": reason})
        self._decide(c, rule, "badge", "awarded", rule, badge.name, why)
        self._reward(c, level.rewards, rule, badge.name, [])

    def _reward(self, c: Customer, rewards: Mapping[str, Any], rule: str, name: str, why: Why) -> None:
        if points := rewards["points"]:
            c.points_earned = min(c.points_earned + points, U4)
            c.year_points = min(c.year_points + points, U4)
            month = _join_lot(c, points, c.month + self.valid_months + 1)
            self._grant(c, rule, "points", points=points, month=month)
            self._decide(c, f"grant:{rule}:points", "grant", "points", rule, name, why)
        if (offer := rewards["offer"]) != -1:
            grant_id = self._grant(c, rule, "offer", offer=offer)
            c.offers.append(Offer(grant_id, rule, offer, c.as_of))
            self._decide(c, f"grant:{rule}:offer", "grant", "offer", rule, name, why)

    def _grant(
        self,
        c: Customer,
        rule: str,
        kind: str,
        points: int = 0,
        offer: int = -1,
        month: int = 0,
        ordinal: int = 0,
    ) -> str:
        effect_rule = f"grant:{rule}:{kind}"
        grant_id = self._id(effect_rule, ordinal)
        value = _granted(grant_id, kind, rule, points, offer, c.balance, month, 0)
        self._effect(c, "reward-grants", effect_rule, value, ordinal)
        return grant_id

    def _repeat(self, c: Customer, offer: Offer) -> None:
        offer.told, offer.repeats = c.as_of, offer.repeats + 1
        value = _granted(offer.grant_id, "offer", offer.rule, 0, offer.offer, c.balance, 0, offer.repeats)
        self._effect(c, "reward-grants", f"repeat:{offer.grant_id}:{offer.repeats}", value)

    def _expire_lots(self, c: Customer) -> None:
        gone = [lot for lot in c.lots if lot[0] <= c.month]
        for ordinal, (month, points) in enumerate(gone):
            c.lots = c.lots[1:]
            c.points_expired = min(c.points_expired + points, U4)
            self._grant(c, "expiry", "expired", points=-points, month=month, ordinal=ordinal)

    def _check_tier(self, c: Customer) -> None:
        points = max(c.year_points, c.last_year_points)
        tier = max((n for n, (least, _) in enumerate(self.tiers) if least <= points), default=0)
        if tier != c.tier:
            old, c.tier = c.tier, tier
            value = {
                "kind": "tier", "number": 0, "name": "tier", "level": tier, "level_name": self.tiers[tier][1],
                "reason": "up" if tier > old else "down",
            }  # fmt: skip
            self._effect(c, "badge-awards", f"tier:{old}:{tier}", value)

    # Effects.

    def _id(self, rule: str, ordinal: int) -> str:
        source, event_id = self._cause
        text = f"{self._customer_id}\x1f{rule}\x1f{self.revision}\x1f{source}\x1f{event_id}\x1f{ordinal}"
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def _effect(self, c: Customer, topic: str, rule: str, value: dict[str, Any], ordinal: int = 0) -> None:
        source, event_id = self._cause
        head = {
            "effect_id": self._id(rule, ordinal),
            "customer_id": self._customer_id,
            "occurred_at": _iso(c.as_of),
            "revision": self.revision,
            "cause": {"source": source, "event_id": event_id},
        }
        self.effects.append((topic, head | value))

    def _decide(
        self, c: Customer, effect_rule: str, kind: str, decision: str, rule: str, name: str, why: Why
    ) -> None:
        value = {
            "kind": kind, "decision": decision, "rule": rule, "name": name, "control": False, "conditions": why,
        }  # fmt: skip
        self._effect(c, "decisions", f"decision:{effect_rule}", value)


def _sums(scores: Mapping[str, Any]) -> Callable[[list[float]], list[int]]:
    """The five scores of the measures, in hundredths: one expression."""

    def points(part: Mapping[str, Any]) -> str:
        at, weight, full_at = (
            f"m[{MEASURES.index(part['measure'])}]",
            float(part["weight"]),
            float(part["full_at"]),
        )
        return f"({weight} if {at} >= {full_at} else {weight} * ({at} / {full_at}))"

    each = ", ".join(
        f"round(({' + '.join(points(part) for part in parts)}) * 100.0)" for parts in scores.values()
    )
    found: Callable[[list[float]], list[int]] = eval(f"lambda m: [{each}]")
    return found


def _holds(seen: bytes, hashed: bytes) -> bool:
    at = seen.find(hashed)
    while at % 8 and at != -1:
        at = seen.find(hashed, at + 1)
    return at != -1


def _kilobytes(megabytes: float) -> int:
    """Rounded half-even, as an amount in decimals is."""
    if megabytes == int(megabytes):
        return int(megabytes) * KB
    from decimal import ROUND_HALF_EVEN, Decimal

    return int((Decimal(repr(megabytes)) * KB).to_integral_value(ROUND_HALF_EVEN))


def _iso(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def _seen(asked: list[tuple[str, int, Callable[[Features], bool]]], found: Features) -> Why:
    return [{"condition": text, "seen": found[at], "holds": holds(found)} for text, at, holds in asked]


def _granted(
    grant_id: str, kind: str, rule: str, points: int, offer: int, balance: int, month: int, repeat: int
) -> dict[str, Any]:
    return {
        "grant_id": grant_id, "kind": kind, "rule": rule, "points": points, "offer": offer, "balance": balance,
        "month": month, "reverses": "", "repeat": repeat,
    }  # fmt: skip


def _join_lot(c: Customer, points: int, month: int) -> int:
    """Put points into the lot of a month; the month of the lot that took them."""
    for lot in c.lots:
        if lot[0] == month:
            lot[1] = min(lot[1] + points, U4)
            return month
    if len(c.lots) < LOTS:
        c.lots.append([month, points])
        c.lots.sort()
        return month
    lot = next((each for each in c.lots if each[0] > month), c.lots[-1])
    lot[0] = max(lot[0], month)
    lot[1] = min(lot[1] + points, U4)
    return lot[0]


def _liked(x: float) -> int:
    """Rounded to a number people like: two digits, the second a 0 or 5 from 20 on."""
    n = max(1, round(min(x, 1e12)))
    digits = len(str(n))
    step = 1
    if digits > 1:
        m = 10 ** (digits - 2)
        step = m if n < 2 * 10 ** (digits - 1) else 5 * m
    return int((n + step // 2) // step * step)


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
