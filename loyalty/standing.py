"""Where a customer stands in the game: missions, badges, points, tier and campaigns of a row.

In words and canonical units, each mission by the revision that gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from loyalty.events import scale
from loyalty.features import bit
from loyalty.game import LEVELS, Game, Template
from loyalty.points import balance
from loyalty.policy import Content
from loyalty.row import ACTIVE, AT_REST, CONTROL, FREE, HELD, LOTS, NO, PENDING, SLOTS, UNDER_WAY, YES
from loyalty.times import iso

Contents = Callable[[int], Content]

_EPOCH = date(1970, 1, 1).toordinal()


def date_of(day: int) -> str:
    """The local day of that number (days since 1970-01-01), ISO 8601."""
    return date.fromordinal(_EPOCH + day).isoformat()


def month_start(month: int) -> str:
    """The first day of a month (months since 1970-01), ISO 8601."""
    return date(1970 + month // 12, month % 12 + 1, 1).isoformat()


def units(template: Template, content: Content) -> int:
    """Smallest units of a canonical unit of the template's target."""
    goal = template.goal
    return scale(goal.types[0], content.decisions.currency_decimals) if goal.kind == "sum" else 1


def template_of(content: Content, number: int) -> Template:
    """The template of that number.  Raises StopIteration where the revision has none."""
    return next(template for template in content.game.templates if template.number == number)


def opted(row: Any) -> str:
    """`in`, `out` or `unknown`."""
    return {YES: "in", NO: "out"}.get(int(row["opted"]), "unknown")


def missions(row: Any, content_of: Contents) -> list[dict[str, Any]]:
    """Running missions and those that wait for their template's account, each by its own revision."""
    found = []
    for slot in range(SLOTS):
        status = int(row["mission_status"][slot])
        if status == FREE:
            continue
        number, revision = int(row["mission_template"][slot]), int(row["mission_revision"][slot])
        content = content_of(revision)
        template = template_of(content, number)
        unit = units(template, content)
        progress, target = int(row["mission_progress"][slot]), int(row["mission_target"][slot])
        running = status == ACTIVE
        found.append(
            {
                "number": number,
                "name": template.name,
                "category": template.category,
                "status": "active" if running else "waiting",
                "progress": progress / unit,
                "target": target / unit,
                "percent": min(100, 100 * progress // target),
                "started_at": iso(int(row["mission_started"][slot]) * 1000) if running else None,
                "ends_at": iso(int(row["mission_ends"][slot]) * 1000) if running else None,
                "revision": revision,
            }
        )
    return found


def held_levels(row: Any, number: int) -> list[int]:
    """The levels of a badge that are held, 1 to 4, lowest first."""
    return [level for level in range(1, 5) if bit(row["badges"], number * 4 + level - 1)]


def badges(row: Any, game: Game) -> list[dict[str, Any]]:
    """The highest level held of each badge, those switched off too."""
    found = []
    for badge in sorted(game.badges, key=lambda badge: badge.number):
        levels = held_levels(row, badge.number)
        if levels:
            found.append(
                {
                    "number": badge.number,
                    "name": badge.name,
                    "level": levels[-1],
                    "level_name": LEVELS[levels[-1] - 1],
                }
            )
    return found


def campaigns(row: Any, game: Game) -> list[dict[str, Any]]:
    """The entries of campaigns, the last triggered first; one that is gone has the name ""."""
    names = {each.number: each.name for each in game.campaigns}
    found = [
        {"number": number, "name": names.get(number, "")} | (entry(row, number) or {})
        for number in row["campaign"].tolist()
        if number
    ]
    return sorted(found, key=lambda each: each["triggered_at"], reverse=True)


_CAMPAIGN_STATUS = {AT_REST: "rest", UNDER_WAY: "open", HELD: "held", PENDING: "waiting"}


def entry(row: Any, number: int) -> dict[str, Any] | None:
    """Where a campaign stands with a customer, None where it never spoke, or was forgotten."""
    if number not in row["campaign"].tolist():
        return None
    n = row["campaign"].tolist().index(number)
    held = int(row["campaign_status"][n]) == HELD
    return {
        "status": _CAMPAIGN_STATUS[int(row["campaign_status"][n])],
        "arm": "control" if int(row["campaign_arm"][n]) == CONTROL else "treatment",
        "times": int(row["campaign_times"][n]),
        "day": date_of(int(row["campaign_day"][n])),
        "triggered_at": iso(int(row["campaign_at"][n]) * 1000),
        "held_until": iso(int(row["campaign_until"][n]) * 1000) if held else None,
    }


def points(row: Any, game: Game) -> dict[str, Any]:
    """Balance, lots by the day that ends them, debt, and the tier with the way to the next."""
    lots = [
        {"ends": month_start(int(row["lot_month"][n])), "points": int(row["lot_points"][n])}
        for n in range(LOTS)
        if int(row["lot_month"][n]) > int(row["month"]) and row["lot_points"][n]
    ]
    year, last_year = int(row["year_points"]), int(row["last_year_points"])
    tier, tiers = int(row["tier"]), game.tiers
    above = tiers[tier + 1] if tier + 1 < len(tiers) else None
    return {
        "balance": balance(row),
        "debt": int(row["debt"]),
        "lots": lots,
        "expiring_next": lots[0] if lots else None,
        "earned_this_year": year,
        "earned_last_year": last_year,
        "earned": int(row["points_earned"]),
        "redeemed": int(row["points_redeemed"]),
        "expired": int(row["points_expired"]),
        "tier": tiers[tier].name if tier < len(tiers) else "",
        "next_tier": None
        if above is None
        else {"name": above.name, "points_missing": max(0, above.points - max(year, last_year))},
    }
