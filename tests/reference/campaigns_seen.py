"""A reference that counts what campaigns did in it, so that a test can say what its logs never reach."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.reference.badges import Features
from tests.reference.customer import CAMPAIGNS, Contacted, Customer
from tests.reference.fold import ReferenceFold
from tests.reference.model import DAY_MS, NO, OPEN, Cause, Record
from tests.reference.points import Conditions

#: All that docs/campaigns.md lets happen, in the order of its steps.
EVERYTHING = (
    "seen: event", "seen: refresh", "seen: prediction", "not seen: backfill", "not seen: opted out",
    "closed: gone", "closed: inactive", "closed: window", "converted: treatment", "converted: control",
    "converted: universal control", "not converted: before it", "not converted: filter",
    "not converted: other type", "event: yes", "event: filter", "crossing: rises", "crossing: stays",
    "crossing: falls", "schedule: any day", "schedule: its day", "schedule: other day",
    "stopped: valid_from", "stopped: valid_to", "stopped: audience", "stopped: no consent",
    "stopped: unknown consent", "stopped: open", "stopped: held", "stopped: waiting", "stopped: cooldown",
    "stopped: per_customer", "stopped: contacts", "stopped: no entry", "entry: own", "entry: free",
    "entry: of one gone", "entry: of one inactive", "entry: of one that has cooled", "contacts: pushed out",
    "service: no contact", "service: without consent", "service: in quiet hours",
    "triggered: universal control", "triggered: control", "triggered: waiting", "triggered: held",
    "triggered: sent", "triggered: by event", "triggered: by refresh", "triggered: by prediction",
    "quiet: within a day", "quiet: before midnight", "quiet: after midnight", "quiet: own zone",
    "quiet: operator's zone", "quiet: other zone's word", "not quiet: within a day",
    "not quiet: over midnight", "settled: sent", "settled: universal control", "settled: gone",
    "settled: inactive", "settled: past", "settled: backfill comes by", "settled: two at one time",
    "settled: before a refresh", "answered: sent", "answered: held", "answered: universal control",
    "answered: refused", "answered: refused, gone", "answered: gone", "answered: inactive",
    "answered: past", "answered: nobody waits", "opted out: held", "opted out: waiting",
    "left with entries", "merged into entries", "merged from entries", "merged: opted out",
    "delivered: open", "delivered: rest", "delivered: held", "delivered: waiting", "delivered: control",
    "delivered: universal control", "answer: converted", "answer: control", "answer: universal control",
    "answer: nobody's", "answer: too late",
)  # fmt: skip


class Watched(ReferenceFold):
    """`seen`: how often each of `EVERYTHING` happened."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.seen: Counter[str] = Counter()
        self._by, self._merging = "", False

    def _state(self, number: int) -> str:
        campaign = self._campaign(number)
        return "gone" if campaign is None else "" if campaign.active else "inactive"

    def _entries(self, c: Customer, *statuses: str) -> list[Contacted]:
        return [entry for entry in c.campaigns if entry and entry.status in statuses]

    # F, step by step.

    def _play(self, c: Customer, record: Record) -> None:
        if self.game.campaigns:
            self.seen["not seen: opted out"] += c.opted == NO
            self.seen["not seen: backfill"] += self._backfill
        super()._play(c, record)

    def _contact(
        self, c: Customer, found: Features, cause: Cause, record: Record | None, daily: bool
    ) -> None:
        if self.game.campaigns and not self._backfill:
            self._by = "event" if record else "refresh" if daily else "prediction"
            self.seen[f"seen: {self._by}"] += 1
            for entry in self._entries(c, "open"):
                campaign, state = self._campaign(entry.campaign), self._state(entry.campaign)
                if state:
                    self.seen[f"closed: {state}"] += 1
                elif c.as_of >= entry.at * 1000 + campaign.window_days * DAY_MS:
                    self.seen["closed: window"] += 1
        super()._contact(c, found, cause, record, daily)

    def _convert_by_event(self, c: Customer, record: Record) -> None:
        before = self._entries(c, "open")
        super()._convert_by_event(c, record)
        for entry in before:
            if entry.status == "rest":
                self.seen[f"converted: {'universal control' if self._control(c) else entry.arm}"] += 1
                continue
            types = self._campaign(entry.campaign).conversion.types
            why = "before it" if record.occurred_at < entry.at * 1000 else "filter"
            self.seen[f"not converted: {why if record.event_type in types else 'other type'}"] += bool(types)

    def _has_turn(
        self, c: Customer, campaign: Any, found: Features, record: Record | None, daily: bool
    ) -> bool:
        before = campaign.number in c.crossed
        turn = super()._has_turn(c, campaign, found, record, daily)
        match type(campaign.trigger).__name__:
            case "OnEvent" if record and record.event_type in campaign.trigger.types:
                self.seen["event: yes" if turn else "event: filter"] += 1
            case "OnCrossing" if turn or before:
                still = campaign.number in c.crossed
                self.seen[f"crossing: {'rises' if turn else 'stays' if still else 'falls'}"] += 1
            case "OnSchedule" if daily:
                on = "its" if campaign.trigger.weekdays else "any"
                self.seen[f"schedule: {on if turn else 'other'} day"] += 1
        return turn

    def _may(self, c: Customer, campaign: Any, found: Features) -> bool:
        may = super()._may(c, campaign, found)
        why = self._stopping(c, campaign, found)
        assert may is not bool(why)
        if len(why) == 1:  # nothing else would have stopped it
            self.seen[f"stopped: {why[0]}"] += 1
        return may

    def _stopping(self, c: Customer, campaign: Any, found: Features) -> list[str]:
        own, contact, consent = self._own(c, campaign.number), self.game.contact, c.profile.get("consent")
        near = sum(day > c.day - contact.days for day in c.contacts)
        asked = {
            "valid_from": c.as_of < campaign.valid_from,
            "valid_to": 0 < campaign.valid_to <= c.as_of,
            "audience": not self._holds(campaign.audience, found),
            "no consent": not campaign.service and consent is False,
            "unknown consent": not campaign.service and consent is None,
            "contacts": not campaign.service and 0 < contact.most <= near,
        }
        if own and own.status != "rest":
            asked[own.status] = True
        elif own:
            asked["cooldown"] = c.day < own.day + campaign.cooldown_days
            asked["per_customer"] = 0 < campaign.per_customer <= own.times
        return [name for name, stops in asked.items() if stops]

    def _trigger(self, c: Customer, campaign: Any, why: Conditions, cause: Cause) -> None:
        place = self._place(c, campaign.number)
        if place is None:
            self.seen["stopped: no entry"] += 1
        else:
            before, full = c.campaigns[place], len(c.contacts) == 8
            if before is None:
                self.seen["entry: free"] += 1
            elif before.campaign == campaign.number:
                self.seen["entry: own"] += 1
            else:
                self.seen[f"entry: of one {self._state(before.campaign) or 'that has cooled'}"] += 1
            if campaign.service:
                self.seen["service: no contact"] += 1
                self.seen["service: without consent"] += c.profile.get("consent") is not True
                self.seen["service: in quiet hours"] += super()._quiet_until(c) is not None
            self.seen["contacts: pushed out"] += full and not campaign.service
        super()._trigger(c, campaign, why, cause)
        entry = self._own(c, campaign.number)
        if place is not None and entry:
            how = {"open": "sent", "rest": "universal control"}.get(entry.status, entry.status)
            self.seen[f"triggered: {'control' if how == 'sent' and entry.arm == 'control' else how}"] += 1
            self.seen[f"triggered: by {self._by}"] += 1

    def _quiet_until(self, c: Customer) -> int | None:
        until, contact, zone = super()._quiet_until(c), self.game.contact, c.profile.get("timezone")
        over = contact.quiet_from > contact.quiet_to
        if until is None:
            if contact.quiet_from != contact.quiet_to:
                self.seen[f"not quiet: {'over midnight' if over else 'within a day'}"] += 1
            return None
        own = "own zone" if zone in contact.zones else "other zone's word" if zone else "operator's zone"
        self.seen[f"quiet: {own}"] += 1
        late = until * 1000 - c.as_of > contact.quiet_to * 60_000
        self.seen[f"quiet: {('before' if late else 'after') + ' midnight' if over else 'within a day'}"] += 1
        return until

    # Later.

    def _settle_held(self, c: Customer, entry: Contacted) -> None:
        campaign, same = self._campaign(entry.campaign), [e.until for e in self._entries(c, "held")]
        why = self._state(entry.campaign) or ("past" if self._past(campaign, c.as_of) else "")
        self.seen[f"settled: {why or ('universal control' if self._control(c) else 'sent')}"] += 1
        self.seen["settled: backfill comes by"] += self._backfill
        self.seen["settled: two at one time"] += same.count(entry.until) > 1
        self.seen["settled: before a refresh"] += c.next_refresh == entry.until * 1000
        super()._settle_held(c, entry)

    def _campaign_answered(self, c: Customer, record: Record) -> None:
        entry = self._waiting_entry(c, record.attributes["campaign"])
        assert entry is not None
        campaign, state = self._campaign(entry.campaign), self._state(entry.campaign)
        past = bool(campaign and self._past(campaign, c.as_of))
        super()._campaign_answered(c, record)
        if not record.attributes["granted"]:
            self.seen["answered: refused, gone" if state == "gone" else "answered: refused"] += 1
        elif state or past:
            self.seen[f"answered: {state or 'past'}"] += 1
        else:
            how = {"open": "sent", "rest": "universal control"}.get(entry.status, entry.status)
            self.seen[f"answered: {how}"] += 1

    def _reservation(self, record: Record) -> None:
        c = self.customers.get(record.customer_id)
        number = record.attributes.get("campaign")
        waits = c and c.state == OPEN and number is not None and self._waiting_entry(c, number)
        self.seen["answered: nobody waits"] += number is not None and not waits
        super()._reservation(record)

    def _never_send(self, c: Customer) -> None:
        for entry in self._entries(c, "held", "waiting"):
            self.seen["merged: opted out" if self._merging else f"opted out: {entry.status}"] += 1
        super()._never_send(c)

    def _merge(self, record: Record) -> None:
        c = self.customers.get(record.customer_id)
        held = bool(c and c.state == OPEN and any(c.campaigns))
        self.seen["merged into entries"] += held
        self._merging = True
        super()._merge(record)
        self._merging = False

    def _link(self, c: Customer, record: Record) -> None:
        had = any(c.campaigns)
        super()._link(c, record)
        self.seen["merged from entries"] += had and c.state != OPEN

    def _count(self, c: Customer, record: Record) -> None:
        had = any(c.campaigns)
        super()._count(c, record)
        self.seen["left with entries"] += had and record.event_type == "customer_ended"

    def _campaign_answer(self, c: Customer, record: Record) -> None:
        id, said = record.attributes.get("trigger_id"), record.event_type.removeprefix("campaign_")
        own = [each for each in c.campaigns if each and self._trigger_id(c, each) == id]
        status, arm = (own[0].status, own[0].arm) if own else ("", "")
        super()._campaign_answer(c, record)
        if not own:
            self.seen["answer: nobody's"] += 1
        elif said == "delivered":
            self.seen[f"delivered: {status}"] += 1
            self.seen["delivered: control"] += arm == "control"
            self.seen["delivered: universal control"] += self._control(c)
        elif status == "open":
            who = "universal control" if self._control(c) else arm
            self.seen[f"answer: {'converted' if who == 'treatment' else who}"] += 1
        else:
            self.seen["answer: too late"] += 1


assert CAMPAIGNS == 6  # the logs fill as many
