"""Campaigns of the reference: who is triggered when, by docs/campaigns.md; accounts, quiet hours, answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from config.topics import CAMPAIGN_TRIGGERS
from tests.reference import conditions
from tests.reference.badges import Features
from tests.reference.core import digest
from tests.reference.customer import Contacted, Customer, more
from tests.reference.missions import Missions
from tests.reference.model import DAY_MS, EPOCH, Cause, Record, hash64, iso, mix
from tests.reference.points import Conditions

CONTACTS = 8


class Campaigns(Missions):
    """F, and what becomes of entries later.  Campaigns are always those of the present revision."""

    def _campaign(self, number: int) -> Any:
        return next((each for each in self.game.campaigns if each.number == number), None)

    def _running(self, number: int) -> bool:
        campaign = self._campaign(number)
        return bool(campaign and campaign.active)

    def _past(self, campaign: Any, as_of: int) -> bool:
        return bool(campaign.valid_to and as_of >= campaign.valid_to)

    # F.

    def _contact(
        self, c: Customer, found: Features, cause: Cause, record: Record | None, daily: bool
    ) -> None:
        """`record`: the event whose turn it is, if it is one's; `daily`: at a refresh."""
        if not self.game.campaigns or self._backfill:
            return
        for entry in c.campaigns:
            if entry and entry.status == "open":
                campaign = self._campaign(entry.campaign)
                gone = campaign is None or not campaign.active
                if gone or c.as_of >= entry.at * 1000 + campaign.window_days * DAY_MS:
                    entry.status = "rest"
        if record:
            self._convert_by_event(c, record)
        active = [campaign for campaign in self.game.campaigns if campaign.active]
        for campaign in sorted(active, key=lambda campaign: (-campaign.priority, campaign.number)):
            if self._has_turn(c, campaign, found, record, daily) and self._may(c, campaign, found):
                self._trigger(c, campaign, self._reasons(c, campaign, found), cause)

    def _convert_by_event(self, c: Customer, record: Record) -> None:
        for entry in c.campaigns:
            if not entry or entry.status != "open":
                continue
            campaign = self._campaign(entry.campaign)
            begin = entry.at * 1000
            in_window = begin <= record.occurred_at < begin + campaign.window_days * DAY_MS
            if in_window and self._fits(campaign.conversion, record):
                self._converted(c, entry, "event", record.cause)

    def _fits(self, fits: Any, record: Record) -> bool:
        """Whether an event is of the types, and let through."""
        let_through = conditions.event_filter(fits.where)
        return record.event_type in fits.types and conditions.holds(
            let_through, conditions.of_event(record, self.decimals)
        )

    def _has_turn(
        self, c: Customer, campaign: Any, found: Features, record: Record | None, daily: bool
    ) -> bool:
        trigger = campaign.trigger
        match type(trigger).__name__:
            case "OnEvent":
                return record is not None and self._fits(trigger, record)
            case "OnCrossing":
                now, before = self._holds(trigger.when, found), campaign.number in c.crossed
                (c.crossed.add if now else c.crossed.discard)(campaign.number)
                return now and not before
            case "OnSchedule":
                weekday = (c.day + 3) % 7 + 1
                return daily and (not trigger.weekdays or weekday in trigger.weekdays)
        raise AssertionError(trigger)

    def _may(self, c: Customer, campaign: Any, found: Features) -> bool:
        """Validity, audience, consent, its own caps and the contact cap; an entry is looked for later."""
        if c.as_of < campaign.valid_from or self._past(campaign, c.as_of):
            return False
        if not self._holds(campaign.audience, found):
            return False
        if not campaign.service and c.profile.get("consent") is not True:
            return False
        own = self._own(c, campaign.number)
        if own:
            if own.status != "rest" or c.day < own.day + campaign.cooldown_days:
                return False
            if campaign.per_customer and own.times >= campaign.per_customer:
                return False
        most, days = self.game.contact.most, self.game.contact.days
        recent = [day for day in c.contacts if day > c.day - days]
        return bool(campaign.service or most == 0 or len(recent) < most)

    def _own(self, c: Customer, number: int) -> Contacted | None:
        return next((entry for entry in c.campaigns if entry and entry.campaign == number), None)

    def _place(self, c: Customer, number: int) -> int | None:
        own = [n for n, entry in enumerate(c.campaigns) if entry and entry.campaign == number]
        usable = [n for n, entry in enumerate(c.campaigns) if self._is_usable(entry, c)]
        return next(iter([*own, *usable]), None)

    def _is_usable(self, entry: Contacted | None, c: Customer) -> bool:
        if entry is None:
            return True
        if entry.status != "rest":
            return False
        campaign = self._campaign(entry.campaign)
        if campaign is None or not campaign.active:
            return True
        return bool(campaign.per_customer == 0 and c.day >= entry.day + campaign.cooldown_days)

    def _reasons(self, c: Customer, campaign: Any, found: Features) -> Conditions:
        when = getattr(campaign.trigger, "when", "")
        return self._seen(when, found, c) + self._seen(campaign.audience, found, c)

    def _trigger(self, c: Customer, campaign: Any, why: Conditions, cause: Cause) -> None:
        place = self._place(c, campaign.number)
        if place is None:
            return
        own = self._own(c, campaign.number)
        entry = Contacted(
            campaign.number, "rest", self._arm(c, campaign), more(own.times if own else 0, 1, 255), c.day,
            c.as_of // 1000,
        )  # fmt: skip
        c.campaigns[place] = entry
        if not campaign.service:
            c.contacts = [c.day, *c.contacts][:CONTACTS]
        if self._control(c):
            self._say_why(c, entry, "triggered", why, cause)
        elif entry.arm == "control":
            self._send(c, entry, cause)
            self._say_why(c, entry, "triggered", why, cause)
        elif campaign.total or campaign.budget:
            entry.status = "waiting"
            self._to_account(
                self._trigger_id(c, entry), c.customer_id, campaign.number, 1, campaign.cost, iso(c.as_of),
                kind="campaign",
            )  # fmt: skip
            self._say_why(c, entry, "reserved", why, cause)
        else:
            self._hold_or_send(c, entry, campaign, why, cause)

    def _arm(self, c: Customer, campaign: Any) -> str:
        salt = hash64(f"campaign:{campaign.number}".encode())
        drawn = mix(hash64(c.customer_id.encode()) ^ salt) >> 11
        control = campaign.control_share > 0 and drawn * 2.0**-53 < campaign.control_share
        return "control" if control else "treatment"

    def _hold_or_send(
        self, c: Customer, entry: Contacted, campaign: Any, why: Conditions, cause: Cause
    ) -> None:
        until = None if campaign.service else self._quiet_until(c)
        if until is None:
            self._send(c, entry, cause)
            self._say_why(c, entry, "triggered", why, cause)
        else:
            entry.status, entry.until = "held", until
            self._say_why(c, entry, "held", why, cause)

    def _quiet_until(self, c: Customer) -> int | None:
        """Seconds until which it is quiet for a customer, None if it is not."""
        contact = self.game.contact
        begin, end = contact.quiet_from, contact.quiet_to
        said: Any = c.profile.get("timezone")
        zone = said if said in contact.zones else self.content.decisions.timezone
        local = (EPOCH + timedelta(milliseconds=c.as_of)).astimezone(ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        if begin < end:
            quiet = begin <= minute < end
        else:
            quiet = begin > end and (minute >= begin or minute < end)
        return c.as_of // 60_000 * 60 + (end - minute) % 1440 * 60 if quiet else None

    # Later.

    def _settle_held(self, c: Customer, entry: Contacted) -> None:
        """The row has been moved to the end of quiet hours."""
        campaign = self._campaign(entry.campaign)
        if campaign is None or not campaign.active or self._past(campaign, c.as_of):
            entry.status = "rest"
            return
        entry.at = c.as_of // 1000
        self._send(c, entry, Cause("khaywe", f"held:{iso(entry.until * 1000)}"))

    def _waiting_entry(self, c: Customer, number: int) -> Contacted | None:
        own = self._own(c, number)
        return own if own and own.status == "waiting" else None

    def _campaign_answered(self, c: Customer, record: Record) -> None:
        """A `_reservation` at an open row with a waiting entry, which has been moved to the record's time."""
        entry = self._waiting_entry(c, record.attributes["campaign"])
        assert entry is not None
        campaign = self._campaign(entry.campaign)
        if not record.attributes["granted"]:
            entry.status, entry.times = "rest", max(0, entry.times - 1)
            self._say_why(c, entry, "refused", [], record.cause)
        elif campaign is None or not campaign.active or self._past(campaign, c.as_of):
            entry.status = "rest"
            self._give_back(record)
        elif self._control(c):
            entry.status, entry.at = "rest", c.as_of // 1000
            self._say_why(c, entry, "triggered", [], record.cause)
        else:
            entry.at = c.as_of // 1000
            self._hold_or_send(c, entry, campaign, [], record.cause)

    def _never_send(self, c: Customer) -> None:
        """Opted out: what is not sent yet never will be."""
        for entry in c.campaigns:
            if entry and entry.status in ("held", "waiting"):
                entry.status = "rest"

    def _campaign_answer(self, c: Customer, record: Record) -> None:
        """campaign_delivered or campaign_converted."""
        trigger_id = record.attributes.get("trigger_id")
        own = [each for each in c.campaigns if each and self._trigger_id(c, each) == trigger_id]
        if not own:
            return
        if record.event_type == "campaign_delivered":
            self._tell_campaign(c, own[0], "delivered", "", record.cause)
        elif own[0].status == "open":
            self._converted(c, own[0], "answer", record.cause)

    def _converted(self, c: Customer, entry: Contacted, by: str, cause: Cause) -> None:
        entry.status = "rest"
        self._tell_campaign(c, entry, "converted", by, cause)

    # What is told.

    def _trigger_id(self, c: Customer, entry: Contacted) -> str:
        return digest(c.customer_id, "campaign", str(entry.campaign), str(entry.day))

    def _say_why(self, c: Customer, entry: Contacted, decision: str, why: Conditions, cause: Cause) -> None:
        rule, campaign = f"campaign:{entry.campaign}", self._campaign(entry.campaign)
        name = campaign.name if campaign else ""
        self._decide(c, cause, f"{rule}:{decision}", "campaign", decision, rule, name, why)

    def _send(self, c: Customer, entry: Contacted, cause: Cause) -> None:
        entry.status = "open"
        self._tell_campaign(c, entry, "triggered", "", cause)

    def _tell_campaign(self, c: Customer, entry: Contacted, status: str, by: str, cause: Cause) -> None:
        """Nothing in the universal control group."""
        if self._control(c):
            return
        if status != "delivered":
            self.counts[f"campaigns_{status}"] += 1
        campaign = self._campaign(entry.campaign)
        members: dict[str, Any] = {
            "trigger_id": self._trigger_id(c, entry),
            "campaign": entry.campaign,
            "name": campaign.name if campaign else "",
            "status": status,
            "by": by,
            "arm": entry.arm,
            "offer": -1,
            "offer_config": {},
            "product": None,
            "product_config": {},
            "language": "",
            "message": "",
            "cost": 0,
        }
        if status == "triggered" and entry.arm == "treatment":
            language = self._language(c, campaign)
            members |= {
                "offer": campaign.offer,
                "offer_config": campaign.offer_config,
                "product": _product(campaign),
                "product_config": campaign.product_config,
                "language": language,
                "message": self._message(c, campaign, language),
                "cost": campaign.cost,
            }
        self._effect(CAMPAIGN_TRIGGERS, c, f"campaign:{entry.campaign}:{status}", cause, members)

    def _language(self, c: Customer, campaign: Any) -> str:
        said: Any = c.profile.get("language")
        chosen: str = said if said in campaign.messages else next(iter(campaign.messages), "")
        return chosen

    def _message(self, c: Customer, campaign: Any, language: str) -> str:
        if not campaign.messages:
            return ""
        offer = next((each for each in self.game.offers if each.offer_id == campaign.offer), None)
        days = campaign.product.validity_days if campaign.product else 0
        try:
            return (
                SandboxedEnvironment(undefined=StrictUndefined)
                .from_string(campaign.messages[language])
                .render(
                    customer_id=c.customer_id,
                    campaign=campaign.name,
                    offer={"name": offer.name, "description": offer.description} if offer else None,
                    product=_product(campaign),
                    validity_days=days if days > 0 else offer.valid_days if offer else 0,
                )
            )
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError):
            return ""


def _product(campaign: Any) -> dict[str, Any] | None:
    if campaign.product is None:
        return None
    names = ("product_id", "name", "price", "currency", "validity_days")
    return {name: getattr(campaign.product, name) for name in names}
