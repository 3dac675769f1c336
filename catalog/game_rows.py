"""The game in the catalog's tables, and back.

Rows are never deleted, so that a number is never given to another rule.  A rule of earning or an offer that
is no longer wanted has a row that is not active, and is no part of the game; templates, badges and campaigns
know themselves whether they are active.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from catalog.draft import Draft, Retired
from catalog.models import (
    BadgeLevelRow,
    BadgeRow,
    CampaignRow,
    EarningRow,
    GameSettingsRow,
    OfferRow,
    TemplateRow,
    TierRow,
)
from catalog.products import sold
from loyalty.game import Badge, Campaign, Contact, Earning, Game, Offer, Template, Tier

_SETTINGS = 1
_RULES: dict[str, tuple[Any, Any, str]] = {
    "templates": (TemplateRow, Template, "number"),
    "badges": (BadgeRow, Badge, "number"),
    "earning": (EarningRow, Earning, "number"),
    "offers": (OfferRow, Offer, "offer_id"),
    "campaigns": (CampaignRow, Campaign, "number"),
}


def stored(session: Session) -> Game:
    """The game as it stands in the tables."""
    found: dict[str, Any] = {}
    for section, (row_type, rule_type, key) in _RULES.items():
        query = select(row_type).order_by(getattr(row_type, key))
        if "active" not in rule_type.__struct_fields__:
            query = query.where(row_type.active)
        found[section] = [_rule(row, rule_type) for row in session.scalars(query)]
    tiers = session.scalars(select(TierRow).order_by(TierRow.tier))
    settings = session.get(GameSettingsRow, _SETTINGS)
    if settings is not None:
        found["points_valid_months"] = settings.points_valid_months
        found["contact"] = msgspec.convert(settings.contact, Contact)
    return Game(tiers=[Tier(row.name, row.points) for row in tiers], **found)


def retired(session: Session) -> Retired:
    """Numbers and names of the rules of earning and the offers that are no part of the game any more."""
    found = {}
    for section, (row_type, rule_type, key) in _RULES.items():
        if "active" not in rule_type.__struct_fields__:
            rows = session.scalars(select(row_type).where(row_type.active.is_(False)))
            found[section] = {getattr(row, key): row.name for row in rows}
    return found


def laid(session: Session, draft: Draft, currency_decimals: int) -> Game:
    """A draft laid over the game, with the products it names as they are sold now.  Raises DraftError."""
    products = sold(session, draft.products())
    return draft.onto(stored(session), currency_decimals, retired(session), products)


def store(session: Session, game: Game) -> None:
    """Make the tables say `game`."""
    for section, (row_type, _, key) in _RULES.items():
        rows = {getattr(row, key): row for row in session.scalars(select(row_type))}
        for rule in getattr(game, section):
            row = rows.pop(getattr(rule, key), None)
            if row is None:
                row = row_type()
                session.add(row)
            _fill(row, rule)
        for row in rows.values():
            row.active = False
    session.execute(delete(TierRow))
    session.add_all(
        TierRow(tier=index, name=tier.name, points=tier.points) for index, tier in enumerate(game.tiers)
    )
    session.merge(
        GameSettingsRow(
            id=_SETTINGS,
            points_valid_months=game.points_valid_months,
            contact=msgspec.to_builtins(game.contact),
        )
    )


def _rule(row: Any, rule_type: Any) -> Any:
    members = {name: getattr(row, name) for name in rule_type.__struct_fields__}
    if isinstance(row, BadgeRow):
        members["levels"] = [{"condition": each.condition, "rewards": each.rewards} for each in row.levels]
    return msgspec.convert(members, rule_type)


def _fill(row: Any, rule: Any) -> None:
    members = {"active": True} | msgspec.to_builtins(rule)
    if isinstance(row, BadgeRow):
        levels = {level.level: level for level in row.levels}
        row.levels = [levels.get(n) or BadgeLevelRow(level=n) for n in range(1, len(rule.levels) + 1)]
        for level, given in zip(row.levels, members.pop("levels"), strict=True):
            level.condition, level.rewards = given["condition"], given["rewards"]
    for name, value in members.items():
        setattr(row, name, value)
