"""What a view shows of a customer: the row in words, with the same code that decides."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from catalog.content import Content
from catalog.times import iso
from loyalty import standing
from loyalty.explain import counters, explain, recent
from loyalty.game import Game
from loyalty.row import ACTIVE_DAYS, CHURN, DEFAULT_RISK, OPEN, PROPENSITY, RESPONSE, RFM, UPSELL
from loyalty.side import Grant
from loyalty.why import why

_STATES = {0: "none", OPEN: "open", 2: "ended", 3: "linked"}

Contents = Callable[[int], Content]
Grants = Iterable[tuple[bytes, Grant]]


def portrait(
    customer_id: str, row: Any, revision: int, content_of: Contents, profile: dict[str, Any], grants: Grants
) -> dict[str, Any]:
    """Scores with each component's measure and points, counters, last events, profile, and the game's state.

    Times are ISO 8601, amounts in canonical units.
    """
    content = content_of(revision)
    return {
        "customer_id": customer_id,
        "as_of": iso(int(row["as_of"])),
        "state": _STATES[int(row["state"])],
        "revision": content.revision,
        "currency": content.decisions.currency,
        "opted": standing.opted(row),
        "scores": explain(row, content),
        "predictions": foretold(row, content),
        "missions": standing.missions(row, content_of),
        "badges": standing.badges(row, content.game),
        "points": standing.points(row, content.game),
        "campaigns": standing.campaigns(row, content.game),
        "grants": open_grants(grants, content.game),
        "counters": counters(row, content),
        "recent": [
            {"event_type": kind, "occurred_at": _seconds(at), "value": value}
            for kind, at, value in recent(row, content)
        ],
        "profile": profile,
    }


def foretold(row: Any, content: Content) -> dict[str, Any]:
    """What was foretold last, by set of models, with the time it is for; None: unknown.

    Shares 0 to 1, the lifetime value in units of currency, `active_days` of the next 30.
    """
    stored = row["foretold"].tolist()
    inline, daily = (iso(at) if at else None for at in row["foretold_at"].tolist())
    offer, ltv = int(row["offer"]) - 1, int(row["ltv"]) - 1
    names = {each.offer_id: each.name for each in content.game.offers}

    def share(of: int) -> float | None:
        return (stored[of] - 1) / 10_000 if stored[of] else None

    return {
        "inline": {
            "as_of": inline,
            "churn": share(CHURN),
            "next_best_offer": {"offer_id": offer, "name": names.get(offer, "")} if offer >= 0 else None,
        },
        "daily": {
            "as_of": daily,
            "lifetime_value": ltv / 10**content.decisions.currency_decimals if ltv >= 0 else None,
            "propensity": share(PROPENSITY),
            "campaign_response": share(RESPONSE),
            "default_risk": share(DEFAULT_RISK),
            "upsell": share(UPSELL),
            "active_days": (stored[ACTIVE_DAYS] - 1) / 100 if stored[ACTIVE_DAYS] else None,
            "rfm": stored[RFM] - 1 if stored[RFM] else None,
        },
    }


def open_grants(grants: Grants, game: Game) -> list[dict[str, Any]]:
    """Offers that the operator's systems have not answered for yet."""
    names = {offer.offer_id: offer.name for offer in game.offers}
    return [
        {
            "grant_id": id.hex(),
            "rule": grant.rule,
            "offer": grant.offer,
            "name": names.get(grant.offer, ""),
            "granted_at": iso(grant.at),
            "last_told": iso(grant.told),
            "repeats": grant.repeats,
        }
        for id, grant in grants
        if grant.status == "open"
    ]


def why_or_not(
    customer_id: str,
    row: Any,
    revision: int,
    content_of: Contents,
    profile: dict[str, Any],
    mission: str | None,
    badge: str | None,
    campaign: str | None,
) -> dict[str, Any]:
    """What `why` says, of what is named only.  Raises LookupError: no such name."""
    found = why(row, revision, content_of, profile)
    kinds = (
        ("templates", "mission", mission),
        ("badges", "badge", badge),
        ("campaigns", "campaign", campaign),
    )
    asked = next(((kind, name) for _, kind, name in kinds if name is not None), None)
    if asked is not None:
        for member, kind, _ in kinds:
            found[member] = [_named(*asked, found[member])] if kind == asked[0] else []
    return {"customer_id": customer_id, **found}


def _named(kind: str, name: str, among: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for each in among:
        if each["name"].casefold() == name.casefold():
            return each
    near = difflib.get_close_matches(name, [each["name"] for each in among], 3, 0.5)
    raise LookupError(
        f"the catalog has no {kind} {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
    )


def _seconds(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
