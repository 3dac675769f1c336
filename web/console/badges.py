"""Badges: the grid of levels with holders and conditions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from catalog.governance import rules
from catalog.service import NoSuch
from loyalty.game import LEVELS
from web.api.doors import Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.api.rules import Number
from web.console import figures
from web.console.kept import kept
from web.console.rendering import page

router = APIRouter()
SHOWN = 50


@router.get("/badges/")
def badges(request: Request, parts: P, caller: Reader) -> Response:
    """Every badge, every level, how many hold it."""
    held = _held(parts)
    found = rules.entries(parts.content().game, "badges")
    most = max(held.values(), default=0)
    return page(request, "badges.html", badges=found, held=held, most=most, levels=LEVELS)


def _held(parts: Parts) -> dict[tuple[int, int], int]:
    """How many hold each (badge, level)."""

    def look() -> dict[tuple[int, int], int]:
        with reading(parts) as session:
            return figures.holders(session)

    found: dict[tuple[int, int], int] = kept(parts).of("holders", look)
    return found


@router.get("/badges/{number}/{level}/")
def holders(
    request: Request, parts: P, caller: Reader, number: Number, level: Annotated[int, Path(ge=1, le=4)],
    cursor: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]+$")] = None,
) -> Response:  # fmt: skip
    """Who holds a level, and what it takes."""
    badge: dict[str, Any] | None = rules.standing(parts.content(), "badges", number)
    if badge is None:
        raise NoSuch(f"there is no badge {number}")
    with reading(parts) as session:
        rows = figures.holding(session, number, level, cursor, SHOWN + 1)
    return page(
        request, "badge.html", badge=badge, level=level, level_name=LEVELS[level - 1], rows=rows[:SHOWN],
        count=_held(parts).get((number, level), 0), levels=LEVELS,
        next=rows[SHOWN - 1]["customer_id"] if len(rows) > SHOWN else None,
    )  # fmt: skip
