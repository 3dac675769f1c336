"""The rules of the Python peers, compiled when they are read: each question an event asks is one function.

Conditions become expressions over a list of features; all templates' become one function that says which are
open to a customer, all badges' one that says which next levels were reached, the scores one sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bench.peers.conditions import comparisons, condition, event_filter, text
from bench.peers.customer import U4

KINDS = ("voice_call", "sms", "data_session")

# The features that calls, SMS and data move, in the order in which the game makes them.
MOVED = (
    "engagement", "revenue", "loyalty", "risk", "digital", "calls_30_days", "seconds_30_days",
    "data_mb_30_days", "sms_30_days", "calls_lifetime", "seconds_lifetime", "data_mb_lifetime",
    "sms_lifetime", "voice_call_count", "sms_count", "data_session_count", "tenure_days",
    "days_since_last_activity", "active_days_30", "active_days_90", "active_streak_days", "active_weeks_12",
    "comebacks", "longest_absence_days", "points_balance", "points_earned_this_year",
    "points_earned_lifetime", "tier", "missions_completed", "missions_active", "badges_held",
)  # fmt: skip
# Measures of the scores, those that calls, SMS and data move first.
MEASURES = (
    "calls", "data", "sms", "recency", "tenure", "consistency", "app", "total", "recent_recharges", "arpu",
    "lifetime_value", "transactions", "on_time_payments", "churn_probability", "inactivity",
    "revenue_decline", "app_logins", "feature_use", "content_views", "web_logins",
)  # fmt: skip
STILL = [0.0] * (len(MEASURES) - 6)

Features = list[Any]
Rule = Mapping[str, Any]
Index = Mapping[str, int]
#: Comparisons of a condition: canonical text, place of the feature, whether it holds.
Asked = list[tuple[str, int, Callable[[Features], bool]]]


class Template:
    """A template with its conditions compiled; its eligibility is asked by `Rules.open_to`."""

    def __init__(self, rule: Rule, index: Index) -> None:
        goal, target = rule["goal"], rule["target"]
        self.number, self.name, self.category = rule["number"], rule["name"], rule["category"]
        self.priority, self.per_customer, self.after = rule["priority"], rule["per_customer"], rule["after"]
        self.duration_days, self.cooldown_days = rule["duration_days"], rule["cooldown_days"]
        self.onboarding = self.category == "onboarding"
        self.rewards = rule["rewards"]
        self.asked = asked(rule["eligibility"], index)
        self.goal = goal["kind"]
        self.kinds = frozenset(n for n, kind in enumerate(KINDS) if kind in goal["types"])
        self.where = event_filter(goal["where"]) if goal["where"] else None
        self.gap, self.scale = goal["gap"], goal["scale"]
        by_attribute = self.goal == "share" or (self.goal == "distinct" and goal["distinct"] != "event_type")
        if self.kinds and by_attribute:
            raise ValueError(f"{self.name}: a call has no attributes to ask for")
        if self.goal in ("days", "inactivity") and self.duration_days > 62:
            raise ValueError(f"{self.name}: marks are kept for 63 days")
        self.fixed: int = {"inactivity": self.duration_days, "first": 1}.get(self.goal, target["value"])
        if not self.fixed:
            name = target["baseline"]
            self.baseline, self.stretch = index[name], target["stretch"]
            self.low, self.high = target["low"], target["high"]
            self.per_days = next((n for n in (30, 90) if name.endswith(f"_{n}_days")), 0)

    def aim(self, found: Features) -> int:
        """The target in smallest units."""
        if self.goal in ("inactivity", "first"):
            return self.fixed
        wanted = self.fixed
        if not wanted:
            level = found[self.baseline] or 0.0
            if self.per_days:
                level = level * float(self.duration_days) / float(self.per_days)
            wanted = min(max(_liked(level * self.stretch), self.low), self.high)
        return int(min(wanted * self.scale, U4))


class Level(NamedTuple):
    """A level of a badge."""

    name: str
    holds: Callable[[Features], bool]
    asked: Asked
    rewards: Rule


class Badge(NamedTuple):
    """A badge with its four levels."""

    number: int
    name: str
    levels: list[Level]


class Rules:
    """All of it."""

    def __init__(self, rules: Rule) -> None:
        if any(kind in earning["types"] for earning in rules["earning"] for kind in KINDS):
            raise ValueError("a call, an SMS or data that earns points is not covered")
        self.revision: int = rules["revision"]
        self.step: float = rules["publish_step"] * 100
        self.bands = [band * 100 for band in rules["bands"]]
        self.grace_ms: int = rules["grace_seconds"] * 1000
        self.valid_months: int = rules["points_valid_months"]
        self.tier_points = [tier["points"] for tier in rules["tiers"]]
        self.tier_names = [tier["name"] for tier in rules["tiers"]]
        still = [name for name in rules["features"] if name not in MOVED]
        self.still = [rules["features"][name] for name in still]
        index = {name: n for n, name in enumerate((*MOVED, *still))}
        ordered = sorted(rules["templates"], key=lambda rule: (-rule["priority"], rule["number"]))
        self.templates = [Template(rule, index) for rule in ordered]
        self.template = {template.number: template for template in self.templates}
        #: Features -> places in `templates` of those whose eligibility holds, by priority.
        self.open_to = _open_to([rule["eligibility"] for rule in ordered], index)
        self.badges = [_badge(rule, index) for rule in rules["badges"]]
        #: Features, level held of each badge -> places in `badges` of those whose next level is reached.
        self.reached = _reached([rule["levels"] for rule in rules["badges"]], index)
        self.place = {badge.number: place for place, badge in enumerate(self.badges)}
        self.score_names = list(rules["scores"])
        #: Measures -> scores in hundredths.
        self.scores = _scores(rules["scores"])


def asked(tree: Any, index: Index) -> Asked:
    """What a decision tells of a condition."""
    return [(each["text"], index[each["name"]], condition(each, index)) for each in comparisons(tree)]


def _badge(rule: Rule, index: Index) -> Badge:
    levels = [
        Level(
            level["name"],
            condition(level["condition"], index),
            asked(level["condition"], index),
            level["rewards"],
        )
        for level in rule["levels"]
    ]
    return Badge(rule["number"], rule["name"], levels)


def _compile(name: str, arguments: str, lines: list[str]) -> Callable[..., Any]:
    found: dict[str, Any] = {}
    exec(f"def {name}({arguments}):\n" + "\n".join(f"    {line}" for line in lines), found)
    made: Callable[..., Any] = found[name]
    return made


def _open_to(trees: list[Any], index: Index) -> Callable[[Features], list[int]]:
    lines = [f"if {text(tree, index)}: found.append({place})" for place, tree in enumerate(trees)]
    return _compile("open_to", "f", ["found = []", *lines, "return found"])


def _reached(badges: list[Any], index: Index) -> Callable[[Features, list[int]], list[int]]:
    lines = []
    for place, levels in enumerate(badges):
        next_level = "False"
        for held in reversed(range(len(levels))):
            next_level = f"{text(levels[held]['condition'], index)} if held == {held} else {next_level}"
        lines += [f"held = levels[{place}]", f"if {next_level}: found.append({place})"]
    return _compile("reached", "f, levels", ["found = []", *lines, "return found"])


def _scores(scores: Rule) -> Callable[[list[float]], list[int]]:
    def points(part: Rule) -> str:
        measure, weight, full_at = (
            MEASURES.index(part["measure"]),
            float(part["weight"]),
            float(part["full_at"]),
        )
        return f"({weight} if m[{measure}] >= {full_at} else {weight} * (m[{measure}] / {full_at}))"

    sums = (f"round(({' + '.join(points(part) for part in parts)}) * 100.0)" for parts in scores.values())
    return _compile("scores", "m", [f"return [{', '.join(sums)}]"])


def _liked(x: float) -> int:
    """Rounded to a number people like: two digits, the second a 0 or 5 from 20 on."""
    n = max(1, round(min(x, 1e12)))
    digits = len(str(n))
    step = 1
    if digits > 1:
        m = 10 ** (digits - 2)
        step = int(m if n < 2 * 10 ** (digits - 1) else 5 * m)
    return (n + step // 2) // step * step
