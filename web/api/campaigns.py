"""Campaigns beside their rules: what they offer, what they brought, what they say to a customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

from catalog.content import Content
from catalog.governance import rules
from catalog.products import NoSuchProduct, validity_days
from catalog.service import NoSuch
from loyalty.game import CAMPAIGNS, Campaign, Offer, Sold
from loyalty.messages import MessageError, compiled_text, filled_in, values
from projection import queries, sums
from web.api.doors import Reader, guarded
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.projected import Customer, Since, Until, listed, reading
from web.ask_worker import fetch

router = guarded("campaigns")

Number = Annotated[int, Path(ge=0, lt=2**31)]


class Offers(BaseModel):
    """All offers of the catalog, by number."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"offers": [{"offer_id": 0, "name": "Double Points Weekend"}], "total": 8}]
        }
    )

    offers: list[dict[str, Any]]
    total: int


class Details(BaseModel):
    """What a campaign hands out, as published, and how its product stands now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "campaign": 4, "name": "Weekend Data Pack", "active": True,
                    "offer": {"offer_id": 3, "name": "Bundle Discount", "discount": 20.0},
                    "granting": ["20% off the price"], "offer_config": {}, "validity_days": 30, "cost": 60,
                    "product": {
                        "product_id": "1", "name": "Data 10 GB", "price": "9.90", "currency": "USD",
                        "validity_days": 30,
                    },
                    "product_now": {"price": "8.90", "currency": "USD", "is_active": True},
                    "product_config": {},
                }
            ]
        }
    )  # fmt: skip

    campaign: int
    name: str
    active: bool
    offer: dict[str, Any] | None
    granting: list[str]
    offer_config: dict[str, Any]
    product: dict[str, Any] | None
    product_now: dict[str, Any] | None
    product_config: dict[str, Any]
    validity_days: int
    cost: int


class Preview(BaseModel):
    """What a customer would read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "campaign": 4, "customer_id": "+15550001", "profile_language": "fr", "language": "fr",
                    "message": "Restez avec nous.",
                }
            ]
        }
    )  # fmt: skip

    campaign: int
    customer_id: str
    profile_language: str | None
    language: str
    message: str


class Arm(BaseModel):
    """What became of those who got the message, or of those who were left alone."""

    triggered: int
    delivered: int
    converted: int
    converted_by: dict[str, int]
    cost: int
    rate: float | None


class Uplift(BaseModel):
    """Rate of the treated less that of the control group, with its interval of 95 %."""

    value: float
    low: float
    high: float


class Performance(BaseModel):
    """A campaign in figures; costs in minor units of the currency."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "campaign": 4, "name": "Win Back",
                    "arms": {
                        "treatment": {
                            "triggered": 900, "delivered": 870, "converted": 240,
                            "converted_by": {"event": 240}, "cost": 135000, "rate": 0.2667,
                        },
                        "control": {
                            "triggered": 100, "delivered": 0, "converted": 15,
                            "converted_by": {"event": 15}, "cost": 0, "rate": 0.15,
                        },
                    },
                    "uplift": {"value": 0.1167, "low": 0.03, "high": 0.18}, "by_day": [], "freshness": {},
                }
            ]
        }
    )  # fmt: skip

    campaign: int
    name: str
    arms: dict[Literal["treatment", "control"], Arm]
    uplift: Uplift | None
    by_day: list[dict[str, Any]]
    freshness: dict[str, Any]


@router.get("/campaigns/available-offers/", summary="Offers for campaigns")
def available_offers(parts: P, caller: Reader) -> Offers:
    """Every offer that is active, all at once."""
    found = [each for each in rules.entries(parts.content().game, "offers") if each["active"]]
    return Offers(offers=found, total=len(found))


def _campaign(content: Content, number: int) -> Campaign:
    """Raises NoSuch."""
    for campaign in content.game.campaigns:
        if campaign.number == number:
            return campaign
    raise NoSuch(f"there is no campaign {number}")


def _offer(content: Content, campaign: Campaign) -> Offer | None:
    return next((offer for offer in content.game.offers if offer.offer_id == campaign.offer), None)


@router.get("/campaigns/{number}/offer-details/", summary="What a campaign hands out")
def offer_details(parts: P, caller: Reader, number: Number) -> Details:
    """Its offer, what granting it means, and its product with the price it was published with."""
    content = parts.content()
    campaign = _campaign(content, number)
    offer = _offer(content, campaign)
    return Details(
        campaign=number,
        name=campaign.name,
        active=campaign.active,
        offer=None if offer is None else msgspec.to_builtins(offer),
        granting=[] if offer is None else list(granting(offer)),
        offer_config=campaign.offer_config,
        product=None if campaign.product is None else msgspec.to_builtins(campaign.product),
        product_now=_now(parts, campaign.product),
        product_config=campaign.product_config,
        validity_days=values(campaign, offer)["validity_days"],
        cost=campaign.cost,
    )


def granting(offer: Offer) -> Iterator[str]:
    """What the operator's systems do, in words."""
    if offer.points_factor != 1:
        yield f"points are earned {offer.points_factor:g} times as many"
    if offer.discount:
        yield f"{offer.discount:g}% off the price"
    for unit, amount in offer.bonus.items():
        yield f"{amount:g} {unit} on top"
    if offer.valid_days:
        yield f"for {offer.valid_days} days"


def _now(parts: Parts, sold: Sold | None) -> dict[str, Any] | None:
    """The product as it stands now; None: gone."""
    if sold is None:
        return None
    try:
        found = parts.products.get(int(sold.product_id))
    except NoSuchProduct:
        return None
    return {
        "name": found.name, "price": str(found.price), "currency": found.currency,
        "validity_days": validity_days(found), "is_active": found.is_active,
        "is_available": found.is_available,
    }  # fmt: skip


@router.get("/campaigns/{number}/performance/", summary="What a campaign brought")
def performance(
    parts: P, caller: Reader, number: Number, since: Since = None, until: Until = None
) -> Performance:
    """Triggered, delivered, converted and cost of each arm, by day of the trigger, and the uplift."""
    campaign = _campaign(parts.content(), number)
    with reading(parts) as session:
        found = sums.campaign_figures(session, number, since=since, until=until)
        fresh = queries.freshness(session)
    return Performance.model_validate(found | {"name": campaign.name, "freshness": fresh})


@router.get("/campaigns/{number}/preview/", summary="What a campaign says to a customer")
def preview(
    parts: P, caller: Reader, number: Number,
    customer_id: Annotated[str, Query(min_length=1, max_length=256, pattern=r"^[^\x00]+$")],
    draft: Annotated[
        int | None, Query(ge=1, lt=2**63, description="As this draft has it; unset: as published.")
    ] = None,
) -> Preview:  # fmt: skip
    """In the language of the customer's profile, as the worker has it now.  Nothing is sent."""
    content = parts.content() if draft is None else parts.drafts.content(parts.drafts.get(draft))
    campaign = _campaign(content, number)
    return preview_of(parts, campaign, _offer(content, campaign), customer_id)


def preview_of(parts: Parts, campaign: Campaign, offer: Offer | None, customer_id: str) -> Preview:
    """The same of a campaign that need not be anywhere yet.  Raises Problem, UnknownCustomer, NoAnswer."""
    known = fetch(parts.settings, customer_id)["profile"].get("language")
    language = known if known in campaign.messages else next(iter(campaign.messages), "")
    try:
        message = filled_in(
            compiled_text(campaign.messages.get(language, "")),
            {"customer_id": customer_id, **values(campaign, offer)},
        )
    except MessageError as error:
        raise Problem(409, f"the message in {language!r} cannot be filled in: {error}") from None
    return Preview(
        campaign=campaign.number,
        customer_id=customer_id,
        profile_language=known,
        language=language,
        message=message,
    )


@router.get("/campaign-triggers/", summary="List triggers of campaigns")
def triggers(
    parts: P, caller: Reader, customer_id: Customer = None,
    campaign: Annotated[int | None, Query(ge=1, le=CAMPAIGNS, description="Of this campaign only.")] = None,
    arm: Literal["treatment", "control"] | None = None,
    status: Literal["triggered", "delivered", "converted"] | None = None, limit: Limit = 50,
    cursor: Cursor = None,
) -> Page:  # fmt: skip
    """Whom campaigns spoke to, in which words, and what became of it; the newest first."""
    return listed(
        parts, queries.triggers, limit, cursor, customer_id=customer_id, campaign=campaign, arm=arm,
        status=status,
    )  # fmt: skip
