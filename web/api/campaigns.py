"""Campaigns: the offers that one may make."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from catalog.governance import rules
from web.api.doors import Reader, guarded
from web.api.parts import P

router = guarded("campaigns")


class Offers(BaseModel):
    """All offers of the catalog, by number."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"offers": [{"offer_id": 0, "name": "Double Points Weekend"}], "total": 8}]
        }
    )

    offers: list[dict[str, Any]]
    total: int


@router.get("/campaigns/available-offers/", summary="Offers for campaigns")
def available_offers(parts: P, caller: Reader) -> Offers:
    """Every offer that is active, all at once."""
    found = [each for each in rules.entries(parts.content().game, "offers") if each["active"]]
    return Offers(offers=found, total=len(found))
