"""Why a customer has what it has, and why not the rest: templates, badges and campaigns against the row now.

What would be given now is found by giving it to a copy of the row, with the code that decides; the reasons
beside it are that code's questions, asked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import BADGE, DESK, EFFECT, EFFECTS_ROOM, GIVEN, MISSION, REPLACED, RESERVED, SEEN_ROOM
from loyalty.compiled import compiled
from loyalty.conditions import Kind, compare, comparisons, parse
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.events import CODES
from loyalty.features import bit
from loyalty.game import LEVELS, ONBOARDING, Badge, Game, Template
from loyalty.generation import eligible, generate, target_of, types_done
from loyalty.moving import features, in_control
from loyalty.policy import compile_policy
from loyalty.rewards import award_badges
from loyalty.row import COOLING, FREE, NO, OPEN, ROW, SLOTS
from loyalty.rules import Rules
from loyalty.scores import score
from loyalty.slots import find_all, holds, may_cool
from loyalty.standing import Contents, date_of, held_levels, missions, points, template_of, units
from loyalty.times import iso
from loyalty.vocabulary import FEATURES, INDEX, KINDS
from loyalty.why_campaigns import Campaigns

#: By rule of the present revision: its eligibility holds; all that it asks of a customer does; the target.
_VERDICT = np.dtype([("holds", "?"), ("eligible", "?"), ("target", "i8")])


@compiled
def _look(rows: Any, policies: Any, tables: Any, desks: Any, verdicts: Any, levels: Any) -> None:
    """Put the features of a row on the desk, and what each template and badge level makes of them."""
    row, desk = rows[0], desks[0]
    find_all(row, tables, desk)
    score(row, policies[0], desk)
    features(row, policies[0], desk)
    for n in range(verdicts.shape[0]):
        rule = tables.rules[n]
        verdicts[n].holds = holds(tables.terms, rule.eligibility, desk.features)
        verdicts[n].eligible = eligible(row, rule, tables, desk.features, types_done(row))
        verdicts[n].target = target_of(rule, desk.features)
    for n in range(levels.shape[0]):
        for level in range(4):
            levels[n, level] = holds(tables.terms, tables.badges[n].conditions[level], desk.features)


@compiled
def _play(rows: Any, policies: Any, tables: Any, desks: Any, effects: Any, seen: Any) -> bool:
    """Award and give to a row whose features stand on the desk; whether a template could still cool down."""
    row, desk, policy = rows[0], desks[0], policies[0]
    desk.control = in_control(row.id_hash, policy)
    award_badges(row, policy, tables, desk, effects, seen)
    room = may_cool(row, policy, tables)
    generate(row, policy, tables, desk, effects, seen)
    return room


class _Trial:
    """What the deciding code would do to a copy of a row now."""

    def __init__(self, row: Any, revision: int, content_of: Contents) -> None:
        before = np.array([row], ROW)
        self.row = before[0]
        running = {int(r) for r, s in zip(row["mission_revision"], row["mission_status"], strict=True) if s}
        rules = Rules(content_of, [revision, *sorted(running - {revision})])
        content = content_of(revision)
        policy = compile_policy(content, revision)
        desk = np.zeros(1, DESK)
        # The rules of the present revision come first, in the order of its templates.
        self.verdicts = np.zeros(len(content.game.templates), _VERDICT)
        self.levels = np.zeros((len(content.game.badges), 4), np.bool_)
        tables = rules.tables
        _look(before, policy, tables, desk, self.verdicts, self.levels)
        self.features: NDArray[np.float64] = desk["features"][0]
        self.control = bool(in_control(self.row["id_hash"], policy[0]))
        self.off = _off(self.row, rules.on)
        # Campaigns need nothing to win.
        self.campaigns = Campaigns(
            before, policy, tables, self.features, content.game, _off(self.row, True), self.control
        )
        after, effects = before.copy(), np.empty(EFFECTS_ROOM, EFFECT)
        self.room_to_cool = True
        if not self.off:
            seen = np.empty((SEEN_ROOM, len(FEATURES)))
            self.room_to_cool = bool(_play(after, policy, tables, desk, effects, seen))
        self.after = after[0]
        told = effects[: desk["filled"][0]]
        of = told[told["kind"] == MISSION]
        self.given = set(of["number"][of["detail"] == GIVEN].tolist())
        self.reserved = set(of["number"][of["detail"] == RESERVED].tolist())
        self.replaced = set(of["number"][of["detail"] == REPLACED].tolist())
        badges = told[told["kind"] == BADGE]
        self.awarded = set(zip(badges["number"].tolist(), badges["level"].tolist(), strict=True))


def _off(row: Any, on: bool) -> str:
    if int(row["state"]) != OPEN:
        return "closed"
    if int(row["opted"]) == NO:
        return "opted_out"
    return "" if on else "nothing_to_win"


_OFF = {
    "closed": "the customer has left, or became another one",
    "opted_out": "the customer has opted out",
    "nothing_to_win": "the catalog has no active template, badge or earning",
}


def why(row: Any, revision: int, content_of: Contents, profile: Mapping[str, Any]) -> dict[str, Any]:
    """All that the game thinks of a row now, by a revision's content; `profile`: words of the side table.

    A template is `given` (it would be, at the next chance), or has reasons; a badge's next level is
    `awarded`, or its condition says why not; a campaign is `ready`, should its turn come, or has reasons.
    """
    content = content_of(revision)
    trial = _Trial(row, revision, content_of)
    onboarding = _onboarding(trial.after, content_of)
    return {
        "as_of": iso(int(row["as_of"])),
        "revision": revision,
        "control": trial.control,
        "off": trial.off,
        "missions": missions(row, content_of),
        "cooldowns": _cooldowns(row, {t.number: t.name for t in content.game.templates}),
        "templates": [
            _template(n, template, trial, units(template, content), content.game, onboarding, profile)
            for n, template in enumerate(content.game.templates)
        ],
        "badges": [
            _badge(n, badge, trial, profile)
            for n, badge in enumerate(sorted(content.game.badges, key=lambda badge: badge.number))
        ],
        "campaigns": trial.campaigns.all(seen, profile),
        "points": points(row, content.game),
    }


def _onboarding(row: Any, content_of: Contents) -> int:
    """Slots that hold onboarding missions."""
    taken = [slot for slot in range(SLOTS) if row["mission_status"][slot] != FREE]
    found = (
        template_of(content_of(int(row["mission_revision"][slot])), int(row["mission_template"][slot]))
        for slot in taken
    )
    return sum(template.category == "onboarding" for template in found)


def _cooling(row: Any) -> dict[int, tuple[int, int]]:
    """(until, times) by template, of those that cool or count."""
    return {
        int(row["cooling_template"][n]): (int(row["cooling_until"][n]), int(row["cooling_times"][n]))
        for n in range(COOLING)
        if row["cooling_template"][n]
    }


def _cooldowns(row: Any, names: Mapping[int, str]) -> list[dict[str, Any]]:
    return [
        {"number": number, "name": names.get(number, ""), "until": date_of(until), "times_completed": times}
        for number, (until, times) in sorted(_cooling(row).items())
        if until > int(row["day"])
    ]


def _template(
    n: int, template: Template, trial: _Trial, unit: int, game: Game, onboarding: int,
    profile: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    number, verdict = template.number, trial.verdicts[n]
    given = number in trial.given or number in trial.reserved
    reasons = _reasons(template, trial, bool(verdict["holds"]), game)
    if not reasons and not given:
        reasons = [_no_room(template, trial, onboarding)]
    return {
        "number": number,
        "name": template.name,
        "category": template.category,
        "priority": template.priority,
        "given": given,
        "capped": number in trial.reserved,
        "target": int(verdict["target"]) / unit,
        "reasons": reasons,
        "eligibility": template.eligibility,
        "holds": bool(verdict["holds"]),
        "conditions": seen(template.eligibility, trial.features, profile),
    }


def _reasons(template: Template, trial: _Trial, fits: bool, game: Game) -> list[dict[str, Any]]:
    """Why a template is not given, but for want of room."""
    row, number, found = trial.row, template.number, []
    if trial.off:
        found.append(_reason(trial.off, _OFF[trial.off]))
    if not template.active:
        found.append(_reason("switched_off", "it is switched off in the catalog"))
    if number in row["mission_template"][row["mission_status"] != FREE]:
        found.append(_reason("running", "it is running, or waits for its account"))
    until, times = _cooling(row).get(number, (0, 0))
    if until > int(row["day"]):
        found.append(_reason("cooling", f"it cools down until {date_of(until)}", until=date_of(until)))
    most = template.limits.per_customer
    if most and times >= most:
        found.append(_reason("limit", f"it was completed {times} times, the most is {most}", times=times))
    numbers = {other.name: other.number for other in game.templates}
    missing = [name for name in template.after if not bit(row["completed"], numbers[name])]
    if missing:
        found.append(_reason("after", f"first to be completed: {', '.join(missing)}", missing=missing))
    if template.goal.kind == "first":
        done = sorted({name for name in template.goal.types if row["types"][CODES[name]]})
        if done:
            found.append(_reason("done_before", f"done before: {', '.join(done)}", types=done))
    if not fits:
        found.append(_reason("condition", "its eligibility does not hold"))
    return found


def _no_room(template: Template, trial: _Trial, onboarding: int) -> dict[str, Any]:
    """Why an eligible template is not given: what runs, or is given first, leaves no room."""
    if template.category == "onboarding" and onboarding >= ONBOARDING:
        return _reason("onboarding_full", f"{ONBOARDING} onboarding missions run already or come first")
    if not trial.room_to_cool:
        return _reason("cooling_full", "too many templates cool down, or count how often they were completed")
    if int(trial.after["replaced_day"]) == int(trial.after["day"]):
        return _reason("no_slot", "no slot is free, and one mission a day is replaced at most")
    return _reason("no_slot", "no slot is free, and no mission without progress has a lower priority")


def _reason(reason: str, message: str, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, **more}


def _badge(n: int, badge: Badge, trial: _Trial, profile: Mapping[str, Any]) -> dict[str, Any]:
    held = held_levels(trial.row, badge.number)
    next_ = next((level for level in range(1, 5) if level not in held), None)
    shown: dict[str, Any] = {
        "number": badge.number,
        "name": badge.name,
        "active": badge.active,
        "held": [LEVELS[level - 1] for level in held],
        "next": None,
    }
    if next_ is not None:
        condition = badge.levels[next_ - 1].condition
        shown["next"] = {
            "level": next_,
            "level_name": LEVELS[next_ - 1],
            "awarded": (badge.number, next_) in trial.awarded,
            "holds": bool(trial.levels[n, next_ - 1]),
            "condition": condition,
            "conditions": seen(condition, trial.features, profile),
        }
    return shown


def seen(text: str, features: NDArray[np.float64], profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each comparison of a condition with what it sees: a number, a word, yes or no; None: unknown."""
    found = []
    for each in comparisons(parse(text, KINDS)):
        value = float(features[INDEX[each.name]])
        shown: Any = None
        if value == value:
            kind = KINDS[each.name]
            shown = (
                profile.get(each.name) if kind is Kind.WORD else value == 1 if kind is Kind.FLAG else value
            )
        found.append({"condition": str(each), "seen": shown, "holds": bool(compare(each, value))})
    return found


class _Nothing:
    decisions, policy, game, predictions = Decisions(), ScoringPolicy(), Game(), Predictions()


def prepare() -> None:
    """Compile what this module adds to the fold, before somebody waits for it."""
    why(np.zeros(1, ROW)[0], 0, lambda _: _Nothing(), {})
