"""Whether campaigns make sense: whom they can reach, what they hand out, what they say, and when."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from loyalty.checks import MOST_PRIORITY, MOST_TOTAL, Problem, condition, event_types, named, near, within
from loyalty.game import ZONES, Campaign, Contact, Game, Offer, OnCrossing, OnEvent
from loyalty.messages import MessageError, compiled_text, filled_in, values
from loyalty.row import CONTACTS
from loyalty.vocabulary import KINDS

MOST_TIMES = 255  # `campaign_times` of a row
COOLDOWN_DAYS = 3_650
WINDOW_DAYS = 90
DAY_MINUTES = 1_440
_END = 4_102_444_800_000  # 2100-01-01, ms
_SAMPLE = "27820000001"  # a customer to speak to


def campaigns(game: Game) -> Iterator[Problem]:
    """All that campaigns and the rules of contact have wrong."""
    yield from named("campaigns", [(each.number, each.name) for each in game.campaigns], 1)
    offers = {offer.offer_id: offer for offer in game.offers}
    for campaign in game.campaigns:
        yield from _campaign(f'campaigns["{campaign.name}"]', campaign, offers)
    yield from _contact(game.contact)


def _campaign(place: str, campaign: Campaign, offers: dict[int, Offer]) -> Iterator[Problem]:
    yield from _trigger(f"{place}.trigger", campaign)
    yield from condition(f"{place}.audience", campaign.audience, KINDS)
    yield from within(f"{place}.priority", campaign.priority, -MOST_PRIORITY, MOST_PRIORITY)
    for field in ("valid_from", "valid_to"):
        yield from within(f"{place}.{field}", getattr(campaign, field), 0, _END, "ms since 1970")
    if 0 < campaign.valid_to <= campaign.valid_from:
        yield Problem(f"{place}.valid_to", "must be after `valid_from`")
    yield from within(f"{place}.cooldown_days", campaign.cooldown_days, 1, COOLDOWN_DAYS, "days")
    yield from within(f"{place}.per_customer", campaign.per_customer, 0, MOST_TIMES, "times")
    yield from within(f"{place}.total", campaign.total, 0, MOST_TOTAL, "triggers")
    yield from within(f"{place}.budget", campaign.budget, 0, MOST_TOTAL, "minor units")
    yield from within(f"{place}.cost", campaign.cost, 0, MOST_TOTAL, "minor units")
    if campaign.budget > 0 and campaign.cost == 0:
        yield Problem(f"{place}.budget", "is a budget, and the campaign costs nothing: say its cost")
    elif 0 < campaign.budget < campaign.cost:
        yield Problem(f"{place}.budget", f"is less than the cost of a single trigger, {campaign.cost:,}")
    yield from within(f"{place}.control_share", campaign.control_share, 0, 1)
    yield from _conversion(f"{place}.conversion", campaign)
    yield from within(f"{place}.window_days", campaign.window_days, 1, WINDOW_DAYS, "days")
    if campaign.offer != -1 and campaign.offer not in offers:
        known = ", ".join(str(each) for each in sorted(offers)) or "none"
        yield Problem(f"{place}.offer", f"there is no offer {campaign.offer}; there are: {known}")
    if campaign.offer_config and campaign.offer == -1:
        yield Problem(f"{place}.offer_config", "belongs to an offer, and there is none")
    if campaign.product_config and campaign.product is None:
        yield Problem(f"{place}.product_config", "belongs to a product, and there is none")
    if campaign.offer == -1 or campaign.offer in offers:
        yield from _messages(f"{place}.messages", campaign, offers.get(campaign.offer))


def _trigger(place: str, campaign: Campaign) -> Iterator[Problem]:
    trigger = campaign.trigger
    if isinstance(trigger, OnEvent):
        yield from event_types(f"{place}.types", trigger.types)
        yield from condition(f"{place}.where", trigger.where, None)
    elif isinstance(trigger, OnCrossing):
        if not trigger.when.strip():
            yield Problem(f"{place}.when", "is empty, and never becomes true")
        yield from condition(f"{place}.when", trigger.when, KINDS)
    else:
        for index, day in enumerate(trigger.weekdays):
            yield from within(f"{place}.weekdays[{index}]", day, 1, 7)


def _conversion(place: str, campaign: Campaign) -> Iterator[Problem]:
    conversion = campaign.conversion
    if conversion.types:
        yield from event_types(f"{place}.types", conversion.types)
    elif conversion.where.strip():
        yield Problem(f"{place}.types", "must name at least one event type, for there is a filter")
    yield from condition(f"{place}.where", conversion.where, None)


def _messages(place: str, campaign: Campaign, offer: Offer | None) -> Iterator[Problem]:
    for language, text in campaign.messages.items():
        if not language.strip():
            yield Problem(place, "has a message of no language")
        try:
            filled_in(compiled_text(text), {"customer_id": _SAMPLE, **values(campaign, offer)})
        except MessageError as error:
            yield Problem(f'{place}["{language}"]', str(error))


def _contact(contact: Contact) -> Iterator[Problem]:
    yield from within("contact.most", contact.most, 0, CONTACTS, "contacts")
    yield from within("contact.days", contact.days, 1, WINDOW_DAYS, "days")
    for field in ("quiet_from", "quiet_to"):
        yield from within(f"contact.{field}", getattr(contact, field), 0, DAY_MINUTES - 1, "minutes")
    if len(contact.zones) > ZONES:
        yield Problem("contact.zones", f"are {len(contact.zones)}, more than {ZONES}")
    for index, name in enumerate(contact.zones):
        if name not in _zones():
            yield Problem(f"contact.zones[{index}]", f"there is no timezone {name!r}{near(name, _zones())}")
        elif name in contact.zones[:index]:
            yield Problem(f"contact.zones[{index}]", f"{name!r} stands there twice")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
