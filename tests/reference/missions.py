"""Missions of the reference: how they are given, advance and end; the accounts of capped ones."""

from __future__ import annotations

from typing import Any

from config.topics import MISSION_PROGRESS
from loyalty.game import ONBOARDING
from tests.reference import conditions
from tests.reference.badges import Badges, Features
from tests.reference.core import digest
from tests.reference.customer import U2, Cooling, Customer, Mission, more
from tests.reference.goals import progress_of, reached, scale_of, target_of
from tests.reference.model import DAY_MS, Cause, Record, integer, iso, scale
from tests.reference.points import Conditions, limited

DAY_SECONDS = DAY_MS // 1000


class Missions(Badges):
    """Slots keep the revision they were given in: its template says goal, target, end and rewards."""

    def _template(self, mission: Mission) -> Any:
        return self._by_number(self.contents[mission.revision].game, mission.template)

    def _by_number(self, game: Any, number: int) -> Any:
        return next((each for each in game.templates if each.number == number), None)

    # A. Progress.

    def _progress(self, c: Customer, record: Record) -> None:
        at = record.occurred_at
        for slot, mission in enumerate(c.missions):
            if mission is None or mission.waiting:
                continue
            if not mission.started * 1000 <= at < mission.ends * 1000:
                continue
            goal = self._template(mission).goal
            started = self._day(mission.started * 1000)
            new = progress_of(goal, mission, record, self.decimals, started, self._day(at))
            if new is None:
                continue
            mission.progress = new
            enough = goal.kind != "share" or mission.among >= goal.at_least
            tenths = min(9, new * 10 // mission.target)
            if goal.kind != "inactivity" and new >= mission.target and enough:
                self._complete(c, slot, record.cause)
            elif tenths > mission.tenths:
                mission.tenths = tenths
                if not self._control(c):
                    self._tell(c, mission, "progress", record.cause)
        for earning in sorted(self.game.earning, key=lambda earning: earning.number):
            let_through = conditions.of_event(record, self.decimals)
            if record.event_type in earning.types and conditions.holds(
                conditions.event_filter(earning.where), let_through
            ):
                whole = integer(record.event_type, record.value, self.decimals)
                value = float(whole) / float(scale(record.event_type, self.decimals))
                points = limited(value * earning.points_per_unit)
                if points >= 1:
                    self._reward_points(c, points, f"earn:{earning.number}", record.cause, None)

    def _complete(self, c: Customer, slot: int, cause: Cause) -> None:
        mission = c.missions[slot]
        assert mission is not None
        template = self._template(mission)
        c.missions[slot] = None
        self._cool(c, mission, c.day + template.cooldown_days, completed=True)
        c.completed.add(mission.template)
        c.missions_completed = more(c.missions_completed, 1, U2)
        self._tell_or_decide(c, mission, "completed", cause)
        progress, target = self._amount(mission, mission.progress), self._amount(mission, mission.target)
        why = [
            {
                "condition": f"progress >= {conditions.number(target)}",
                "seen": progress,
                "holds": progress >= target,
            }
        ]
        self._reward(c, template.rewards, f"mission:{mission.template}", cause, (template.name, why))

    # What is told.

    def _mission_id(self, c: Customer, mission: Mission, started: int) -> str:
        return digest(c.customer_id, "mission", str(mission.template), str(started))

    def _amount(self, mission: Mission, amount: int) -> float:
        """Smallest units of a mission as canonical ones."""
        decimals = self.contents[mission.revision].decisions.currency_decimals
        goal = self._template(mission).goal
        return float(amount) / float(scale_of(goal, decimals))

    def _tell(self, c: Customer, mission: Mission, status: str, cause: Cause, reason: str = "") -> None:
        template = self._template(mission)
        members = {
            "mission_id": self._mission_id(c, mission, mission.started),
            "number": mission.template,
            "name": template.name,
            "category": template.category,
            "status": status,
            "reason": reason,
            "progress": self._amount(mission, mission.progress),
            "target": self._amount(mission, mission.target),
            "tenths": 10 if status == "completed" else mission.tenths,
            "started_at": iso(mission.started * 1000),
            "ends_at": iso(mission.ends * 1000),
        }
        rule = f"progress:{mission.tenths}" if status == "progress" else status
        self._effect(MISSION_PROGRESS, c, f"mission:{mission.template}:{rule}", cause, members)

    def _tell_or_decide(
        self, c: Customer, mission: Mission, status: str, cause: Cause, reason: str = ""
    ) -> None:
        """An end: the effect, in the control group the decision in its place."""
        if self._control(c):
            rule, name = f"mission:{mission.template}", self._template(mission).name
            self._decide(c, cause, f"{rule}:{status}", "mission", status, rule, name, [])
        else:
            self._tell(c, mission, status, cause, reason)

    # Settling and other ends.

    def _settle(self, c: Customer, slot: int, cause: Cause) -> None:
        mission = c.missions[slot]
        assert mission is not None
        template = self._template(mission)
        goal = template.goal
        if goal.kind == "inactivity" and mission.target - reached(mission.bits, goal.gap) <= goal.gap:
            mission.progress = mission.target
            self._complete(c, slot, cause)
        else:
            self._end(c, slot, "expired", "", cause)
            self._cool(c, mission, c.day + template.cooldown_days)

    def _end(self, c: Customer, slot: int, status: str, reason: str, cause: Cause) -> None:
        """A mission ends other than completed."""
        mission = c.missions[slot]
        assert mission is not None
        c.missions[slot] = None
        if mission.waiting:
            return
        self._tell_or_decide(c, mission, status, cause, reason)
        self._release(c, mission)

    def _release(self, c: Customer, mission: Mission) -> None:
        """Give back what an active capped mission holds."""
        template = self._template(mission)
        if self._capped(template) and not self._control(c):
            mission_id = self._mission_id(c, mission, mission.started)
            self._to_account(
                f"release:{mission_id}",
                c.customer_id,
                template.number,
                -1,
                -template.rewards.points,
                iso(c.as_of),
            )

    def _end_all(self, c: Customer, status: str, reason: str, cause: Cause) -> None:
        for slot, mission in enumerate(c.missions):
            if mission:
                self._end(c, slot, status, reason, cause)

    # D. Generation.

    def _generate(self, c: Customer, found: Features, cause: Cause) -> None:
        if not any(self._is_reusable(entry, c) for entry in c.cooling):
            return
        active = [template for template in self.game.templates if template.active]
        for template in sorted(active, key=lambda template: (-template.priority, template.number)):
            if self._is_possible(c, template) and self._holds(template.eligibility, found):
                slot = self._slot_for(c, template, cause)
                if slot is not None:
                    self._give(c, slot, template, found, cause)

    def _is_possible(self, c: Customer, template: Any) -> bool:
        """All that stands against giving a template but its eligibility and the slots."""
        if any(mission and mission.template == template.number for mission in c.missions):
            return False
        for entry in c.cooling:
            if entry and entry.template == template.number:
                if entry.until > c.day:
                    return False
                if 0 < template.limits.per_customer <= entry.times:
                    return False
        if template.category == "onboarding" and self._onboarding(c.missions) >= ONBOARDING:
            return False
        numbers = {each.name: each.number for each in self.game.templates}
        if any(numbers.get(name) not in c.completed for name in template.after):
            return False
        first = template.goal.kind == "first"
        return not (first and any(c.types.get(kind) for kind in template.goal.types))

    def _onboarding(self, missions: list[Mission | None]) -> int:
        return sum(self._template(m).category == "onboarding" for m in missions if m)

    def _slot_for(self, c: Customer, template: Any, cause: Cause) -> int | None:
        """A free slot, or one that is made free by replacing a mission."""
        if None in c.missions:
            return c.missions.index(None)
        if c.replaced_day == c.day:
            return None
        untouched = [
            (self._template(m).priority, -m.template, slot)
            for slot, m in enumerate(c.missions)
            if m and not m.waiting and m.progress == 0
        ]
        if not untouched:
            return None
        priority, _, slot = min(untouched)
        others = [m for n, m in enumerate(c.missions) if n != slot]
        if priority >= template.priority:
            return None
        if template.category == "onboarding" and self._onboarding(others) >= ONBOARDING:
            return None
        mission = c.missions[slot]
        assert mission is not None
        self._end(c, slot, "replaced", "priority", cause)
        self._cool(c, mission, c.day + self._template(mission).cooldown_days)
        c.replaced_day = c.day
        return slot

    def _give(self, c: Customer, slot: int, template: Any, found: Features, cause: Cause) -> None:
        target = target_of(template, found, self.decimals)
        mission = Mission(template.number, self.revision, target, waiting=True)
        c.missions[slot] = mission
        why = self._seen(template.eligibility, found, c)
        if self._capped(template) and not self._control(c):
            rule = f"mission:{template.number}"
            self._decide(c, cause, f"{rule}:reserved", "mission", "reserved", rule, template.name, why)
            mission_id = self._mission_id(c, mission, c.as_of // 1000)
            self._to_account(
                mission_id, c.customer_id, template.number, 1, template.rewards.points, iso(c.as_of)
            )
        else:
            self._begin(c, mission, cause, why)

    def _begin(self, c: Customer, mission: Mission, cause: Cause, why: Conditions) -> None:
        template = self._template(mission)
        mission.waiting = False
        mission.started = c.as_of // 1000
        mission.ends = mission.started + template.duration_days * DAY_SECONDS
        grace = self.contents[mission.revision].decisions.grace_seconds
        mission.settles = (mission.ends + grace) * 1000
        rule = f"mission:{mission.template}"
        if not self._control(c):
            self._tell(c, mission, "given", cause)
        self._decide(c, cause, f"{rule}:given", "mission", "given", rule, template.name, why)

    # Cooldowns.

    def _is_reusable(self, entry: Cooling | None, c: Customer) -> bool:
        if entry is None:
            return True
        present = self._by_number(self.game, entry.template)
        return entry.until <= c.day and not (present and present.limits.per_customer > 0)

    def _cool(self, c: Customer, mission: Mission, until: int, completed: bool = False) -> None:
        own = [n for n, entry in enumerate(c.cooling) if entry and entry.template == mission.template]
        reusable = [n for n, entry in enumerate(c.cooling) if self._is_reusable(entry, c)]
        soonest = min(range(len(c.cooling)), key=lambda n: entry.until if (entry := c.cooling[n]) else 0)
        place = [*own, *reusable, soonest][0]
        entry = c.cooling[place]
        times = entry.times if own and entry else 0
        c.cooling[place] = Cooling(mission.template, min(until, U2), more(times, completed, U2))

    # Accounts of capped templates.

    def _capped(self, template: Any) -> bool:
        return bool(template.limits.total > 0 or template.limits.budget > 0)

    def _to_account(
        self,
        event_id: str,
        customer_id: str,
        number: int,
        count: int,
        points: int,
        at: str,
        received: str = "",
        kind: str = "template",
    ) -> None:
        """`kind`: template or campaign, of that number."""
        attributes = {"customer": customer_id, kind: number, "count": count, "points": points}
        self._forward(
            {
                "event_id": event_id,
                "customer_id": f"{kind}:{number}",
                "event_type": "_reserve",
                "source": "khaywe",
                "value": 1,
                "occurred_at": at,
                "received_at": received or at,
                "attributes": attributes,
            }
        )

    def _reserve(self, record: Record) -> None:
        attributes = record.attributes
        account = self.accounts.get(record.customer_id, {"count": 0, "points": 0})
        moved = {name: account[name] + attributes[name] for name in account}
        if attributes["count"] < 0:
            self.accounts[record.customer_id] = {name: max(0, amount) for name, amount in moved.items()}
            return
        kind = account_kind(attributes)
        if kind == "campaign":
            rule = next((each for each in self.game.campaigns if each.number == attributes[kind]), None)
            limits: Any = rule
        else:
            rule = self._by_number(self.game, attributes[kind])
            limits = rule.limits if rule else None
        granted = bool(
            rule
            and rule.active
            and moved["count"] <= (limits.total or moved["count"])
            and moved["points"] <= (limits.budget or moved["points"])
        )
        if granted:
            self.accounts[record.customer_id] = moved
        self._forward(
            {
                "event_id": f"reservation:{record.event_id}",
                "customer_id": attributes["customer"],
                "event_type": "_reservation",
                "source": "khaywe",
                "value": 1,
                "occurred_at": record.raw["occurred_at"],
                "received_at": record.received_at,
                "attributes": {
                    kind: attributes[kind],
                    "granted": granted,
                    "count": attributes["count"],
                    "points": attributes["points"],
                },
            }
        )

    def _reservation_taken(self, c: Customer, record: Record) -> None:
        """The answer at an open row with a waiting slot, which has been moved to the record's time."""
        number, cause = record.attributes["template"], record.cause
        slot = self._waiting_slot(c, number)
        assert slot is not None
        mission = c.missions[slot]
        assert mission is not None
        if record.attributes["granted"]:
            self._begin(c, mission, cause, [])
            return
        c.missions[slot] = None
        self._cool(c, mission, c.day + 1)
        rule, name = f"mission:{number}", self._template(mission).name
        self._decide(c, cause, f"{rule}:refused", "mission", "refused", rule, name, [])

    def _waiting_slot(self, c: Customer, number: int) -> int | None:
        for slot, mission in enumerate(c.missions):
            if mission and mission.waiting and mission.template == number:
                return slot
        return None

    def _give_back(self, record: Record) -> None:
        """An answer that finds nobody waiting."""
        attributes, kind = record.attributes, account_kind(record.attributes)
        if attributes["granted"]:
            event_id = f"return:{record.event_id}"
            self._to_account(
                event_id, record.customer_id, attributes[kind], -attributes["count"],
                -attributes["points"], record.raw["occurred_at"], record.received_at, kind,
            )  # fmt: skip


def account_kind(attributes: dict[str, Any]) -> str:
    """Whose account a `_reserve` or `_reservation` speaks of."""
    return "campaign" if "campaign" in attributes else "template"
