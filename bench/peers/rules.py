"""The rules as peers read them: one JSON document made of `catalog/seed`, every condition already a tree.

Peers are the work of other frameworks' users; none of them reads the catalog's files or its language.
`python -m bench.peers.rules FILE` writes it; bench/peers/README.md says what each member means.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.pipeline import SOURCE
from catalog.draft import seed
from loyalty.conditions import And, Comparison, Node, Not, Or, parse
from loyalty.content import Decisions, ScoringPolicy
from loyalty.events import scale
from loyalty.game import LEVELS, Game, Goal, Template
from loyalty.vocabulary import KINDS

REVISION = 1
# Features that are unknown of a customer of whom nothing is known; the others begin at 0.
UNKNOWN = {
    "days_since_last_activity", "days_since_last_transaction", "on_time_share", "churn_probability",
    "days_to_anniversary", "days_to_birthday", "segment", "lifecycle_stage", "language", "timezone",
    "tariff", "consent", "opted_in", "predicted_ltv", "purchase_propensity", "campaign_response",
    "default_risk", "upsell_propensity", "predicted_active_days", "rfm_score", "next_best_offer",
    "tenure_days",
}  # fmt: skip


def game() -> Game:
    """The game of `catalog/seed`."""
    return seed().onto(Game(), Decisions().currency_decimals)


def document(of: Game | None = None) -> dict[str, Any]:
    """All that a peer has to know, as plain values; of the seed's game unless another is given."""
    rules = of or game()
    mapping: Any = SOURCE["event_mapping"]
    decisions, policy = Decisions(), ScoringPolicy()
    numbers = {template.name: template.number for template in rules.templates}
    return {
        "revision": REVISION,
        "source": {"name": SOURCE["name"], **mapping},
        "features": {name: None if name in UNKNOWN else 0 for name in KINDS},
        "grace_seconds": decisions.grace_seconds,
        "scores": {
            score: [{"measure": name, **msgspec.to_builtins(part)} for name, part in parts.items()]
            for score, parts in policy.scores.items()
        },
        "bands": list(policy.bands),
        "publish_step": policy.publish_step,
        "points_valid_months": rules.points_valid_months,
        "tiers": msgspec.to_builtins(rules.tiers),
        "templates": [_template(each, numbers) for each in rules.templates if each.active],
        "badges": [
            {
                "number": badge.number,
                "name": badge.name,
                "levels": [
                    {
                        "name": name,
                        "condition": tree(parse(level.condition, KINDS)),
                        "rewards": msgspec.to_builtins(level.rewards),
                    }
                    for name, level in zip(LEVELS, badge.levels, strict=True)
                ],
            }
            for badge in sorted(rules.badges, key=lambda badge: badge.number)
            if badge.active
        ],
        "earning": [
            {**msgspec.to_builtins(earning), "where": tree(parse(earning.where, None))}
            for earning in sorted(rules.earning, key=lambda earning: earning.number)
        ],
    }


def _template(template: Template, numbers: dict[str, int]) -> dict[str, Any]:
    if template.limits.total or template.limits.budget:
        raise ValueError(f"{template.name}: peers have no accounts of capped templates")
    return {
        "number": template.number,
        "name": template.name,
        "category": template.category,
        "priority": template.priority,
        "duration_days": template.duration_days,
        "cooldown_days": template.cooldown_days,
        "per_customer": template.limits.per_customer,
        "after": [numbers[name] for name in template.after],
        "eligibility": tree(parse(template.eligibility, KINDS)),
        "goal": _goal(template.goal),
        "target": msgspec.to_builtins(template.target),
        "rewards": msgspec.to_builtins(template.rewards),
    }


def _goal(goal: Goal) -> dict[str, Any]:
    units = scale(goal.types[0], Decisions().currency_decimals) if goal.kind == "sum" else 1
    trees = {"where": tree(parse(goal.where, None)), "among": tree(parse(goal.among, None))}
    plain: dict[str, Any] = msgspec.to_builtins(goal)
    return plain | trees | {"scale": units}


def tree(node: Node | None) -> dict[str, Any] | None:
    """A condition as plain values; None always holds."""
    match node:
        case None:
            return None
        case And(parts):
            return {"and": [tree(part) for part in parts]}
        case Or(parts):
            return {"or": [tree(part) for part in parts]}
        case Not(part):
            return {"not": tree(part)}
        case Comparison(name, operator, literals):
            return {"name": name, "operator": operator, "literals": list(literals), "text": str(node)}


def write(path: Path) -> Path:
    """Write the seed's rules; the path."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document())))
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]))
