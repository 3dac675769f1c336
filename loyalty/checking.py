"""Whether the rules of a game make sense, alone and together: what a draft has wrong, and where.

The form (which fields there are, of which type) is checked where drafts are read; a Game has it already.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from loyalty.campaign_checking import campaigns
from loyalty.checks import MOST_PRIORITY, MOST_TOTAL, condition, event_types, named, near, within
from loyalty.checks import Problem as Problem
from loyalty.columns import EARNINGS, WORDS
from loyalty.conditions import ConditionError, Kind, Node, comparisons, kind_of, parse
from loyalty.events import SOURCE_TYPES, UNITS, scale
from loyalty.game import (
    DISTINCT,
    LEVELS,
    MISSION_DAYS,
    Badge,
    Earning,
    Game,
    Goal,
    Limits,
    OnEvent,
    Reward,
    Target,
    Template,
)
from loyalty.policy import TIERS
from loyalty.row import COOLING
from loyalty.vocabulary import KINDS

U4 = 2**32 - 1
MOST_POINTS = 10**9  # of a reward
MOST_TIMES = 255  # `cooling_times` of a row
COOLDOWN_DAYS = 3_650
MOST_AMONG = 1_000_000  # events of a share
MOST_RATE = 1_000_000  # points a unit
MONTHS = 60


def problems(game: Game, currency_decimals: int) -> list[Problem]:
    """Everything a draft has wrong, in the order in which the game has it; none if it can be played."""
    return list(_all(game, currency_decimals))


def _all(game: Game, decimals: int) -> Iterator[Problem]:
    yield from named("templates", [(each.number, each.name) for each in game.templates], least=1)
    yield from named("badges", [(each.number, each.name) for each in game.badges])
    yield from named("earning", [(each.number, each.name) for each in game.earning])
    yield from named("offers", [(each.offer_id, each.name) for each in game.offers])
    offers = {offer.offer_id for offer in game.offers}
    badges = {badge.number for badge in game.badges}
    for template in game.templates:
        yield from _template(template, offers, badges, decimals)
    yield from _prerequisites(game.templates)
    for badge in game.badges:
        yield from _badge(badge, offers)
    for earning in game.earning:
        yield from _earning(earning)
    yield from _tiers(game)
    yield from within("points_valid_months", game.points_valid_months, 1, MONTHS)
    yield from campaigns(game)
    yield from _room(game)


# What all kinds of rules have.


def _reward(place: str, reward: Reward, offers: set[int]) -> Iterator[Problem]:
    yield from within(f"{place}.points", reward.points, 0, MOST_POINTS, "points")
    if reward.offer != -1 and reward.offer not in offers:
        known = ", ".join(str(each) for each in sorted(offers)) or "none"
        yield Problem(f"{place}.offer", f"there is no offer {reward.offer}; there are: {known}")


# Templates.


def _template(template: Template, offers: set[int], badges: set[int], decimals: int) -> Iterator[Problem]:
    place = f'templates["{template.name}"]'
    yield from condition(f"{place}.eligibility", template.eligibility, KINDS)
    yield from _goal(f"{place}.goal", template.goal, template.duration_days)
    yield from _target(place, template, decimals)
    yield from within(f"{place}.duration_days", template.duration_days, 1, MISSION_DAYS, "days")
    yield from within(f"{place}.cooldown_days", template.cooldown_days, 0, COOLDOWN_DAYS, "days")
    yield from within(f"{place}.priority", template.priority, 0, MOST_PRIORITY)
    reward = template.rewards
    yield from _reward(f"{place}.rewards", reward, offers)
    if reward.badge != -1 and reward.badge not in badges:
        known = ", ".join(str(each) for each in sorted(badges)) or "none"
        yield Problem(f"{place}.rewards.badge", f"there is no badge {reward.badge}; there are: {known}")
    yield from within(f"{place}.rewards.level", reward.level, 1, len(LEVELS))
    if reward.badge == -1 and reward.level != 1:
        yield Problem(f"{place}.rewards.level", "is the level of a badge, and there is none")
    if template.active and not reward.points and reward.offer == reward.badge == -1:
        yield Problem(f"{place}.rewards", "give nothing: say points, an offer or a badge")
    yield from _limits(f"{place}.limits", template.limits, reward.points)


def _goal(place: str, goal: Goal, days: int) -> Iterator[Problem]:
    yield from event_types(f"{place}.types", goal.types)
    yield from condition(f"{place}.where", goal.where, None)
    yield from condition(f"{place}.among", goal.among, None)
    yield from within(f"{place}.at_least", goal.at_least, 1, MOST_AMONG, "events")
    units = {UNITS[name] for name in goal.types if name in SOURCE_TYPES}
    if goal.kind == "sum" and len(units) > 1:
        shown = " and ".join(sorted(unit.value for unit in units))
        yield Problem(f"{place}.types", f"have different units, which do not add up: {shown}")
    if goal.kind == "first" and goal.where.strip():
        yield Problem(
            f"{place}.where",
            "`first` is the first event of these types at all; with a filter, use `count` and the target 1",
        )
    if goal.kind == "distinct" and not goal.distinct:
        yield Problem(f"{place}.distinct", "must say which attribute's values count, or `event_type`")
    if goal.kind == "share" and not goal.where.strip():
        yield Problem(f"{place}.where", "must say which events make up the share; without it all do")
    if goal.kind == "inactivity":
        # Whoever may be away as long as the mission lasts has nothing to do.
        yield from within(f"{place}.gap", goal.gap, 0, max(0, days - 1), "days")
    for field, kind, idle in (
        ("distinct", "distinct", not goal.distinct),
        ("among", "share", not goal.among.strip()),
        ("at_least", "share", goal.at_least == 1),
        ("gap", "inactivity", goal.gap == 0),
    ):
        if goal.kind != kind and not idle:
            yield Problem(f"{place}.{field}", f"belongs to goals of kind `{kind}`; this one is `{goal.kind}`")


def _target(place: str, template: Template, decimals: int) -> Iterator[Problem]:
    goal, target = template.goal, template.target
    place = f"{place}.target"
    if goal.kind in ("first", "inactivity"):
        own = 1 if goal.kind == "first" else template.duration_days
        if target not in (Target(), Target(value=own)):
            yield Problem(place, f"a goal of kind `{goal.kind}` has its own, {own:,}; leave it out")
        return
    most, why = _most(template, decimals)
    if target.value > 0 and target != Target(value=target.value):
        yield Problem(place, "is either a value or personal (baseline, stretch, low, high), not both")
    elif target.value:
        yield from _reachable(f"{place}.value", target.value, most, why)
    elif not target.baseline:
        yield Problem(place, "must not be zero: say a value, or baseline, low and high")
    else:
        kind = KINDS.get(target.baseline)
        if kind is None:
            hint = near(target.baseline, KINDS)
            yield Problem(f"{place}.baseline", f"there is no {target.baseline!r}{hint}")
        elif kind is not Kind.NUMBER:
            yield Problem(f"{place}.baseline", f"{target.baseline} is no number")
        if not 0 < target.stretch < math.inf:
            yield Problem(f"{place}.stretch", f"must be above 0, not {target.stretch}")
        if target.low < 1:
            yield Problem(f"{place}.low", f"must be at least 1, not {target.low:,}")
        if target.high < target.low:
            yield Problem(f"{place}.high", f"must be at least `low`, {target.low:,}, not {target.high:,}")
        else:
            yield from _reachable(f"{place}.high", target.high, most, why)


def _most(template: Template, decimals: int) -> tuple[int, str]:
    """The highest target of a goal, and why."""
    goal, days = template.goal, template.duration_days
    match goal.kind:
        case "distinct" if goal.distinct == "event_type":
            return min(DISTINCT, len(set(goal.types))), "as many event types count"
        case "distinct":
            return DISTINCT, "that many values are remembered"
        case "share":
            return 100, "a share is in percent"
        case "days":
            return days, "a longer streak than the mission lasts"
        case "weeks":
            return -(-days // 7), f"a longer streak than the mission of {days} days lasts"
        case "sum" if goal.types and goal.types[0] in SOURCE_TYPES:
            return U4 // scale(goal.types[0], decimals), "more cannot be counted"
    return U4, "more cannot be counted"


def _reachable(place: str, amount: int, most: int, why: str) -> Iterator[Problem]:
    if not 1 <= amount <= most:
        reason = f" ({why})" if amount > most else ""
        yield Problem(place, f"must be 1 to {most:,}, not {amount:,}{reason}")


def _limits(place: str, limits: Limits, points: int) -> Iterator[Problem]:
    yield from within(f"{place}.per_customer", limits.per_customer, 0, MOST_TIMES, "times")
    yield from within(f"{place}.total", limits.total, 0, MOST_TOTAL, "missions")
    yield from within(f"{place}.budget", limits.budget, 0, MOST_TOTAL, "points")
    if limits.budget > 0 and points == 0:
        yield Problem(f"{place}.budget", "is a budget of points, and the reward has none")
    elif 0 < limits.budget < points:
        yield Problem(f"{place}.budget", f"is less than the {points:,} points of a single reward")


def _prerequisites(templates: Sequence[Template]) -> Iterator[Problem]:
    after = {template.name: template.after for template in templates}
    for template in templates:
        for index, name in enumerate(template.after):
            if name not in after:
                place = f'templates["{template.name}"].after[{index}]'
                yield Problem(place, f"there is no template {name!r}{near(name, after)}")
    done: set[str] = set()
    for template in templates:
        way = _way_back(template.name, after)
        if way and not done.intersection(way):
            done.update(way)
            shown = " after ".join(repr(name) for name in way)
            yield Problem(f'templates["{template.name}"].after', f"goes in a circle: {shown}")


def _way_back(start: str, after: Mapping[str, Sequence[str]]) -> list[str]:
    """The names from a template over its prerequisites back to itself, empty if there is no such way."""
    came_by: dict[str, str] = {}
    ahead = [start]
    while ahead:
        name = ahead.pop()
        for before in after.get(name, ()):
            if before == start:
                way = [start, name]
                while way[-1] != start:
                    way.append(came_by[way[-1]])
                return [start, *way[-2:0:-1], start]
            if before not in came_by:
                came_by[before] = name
                ahead.append(before)
    return []


# Badges, earning, tiers.


def _badge(badge: Badge, offers: set[int]) -> Iterator[Problem]:
    place = f'badges["{badge.name}"]'
    if len(badge.levels) != len(LEVELS):
        yield Problem(
            f"{place}.levels", f"must be {len(LEVELS)}, {', '.join(LEVELS)}, not {len(badge.levels)}"
        )
    for index, level in enumerate(badge.levels):
        here = f"{place}.levels[{index}]"
        if not level.condition.strip():
            yield Problem(f"{here}.condition", "is empty, so that everybody would have it at once")
        yield from condition(f"{here}.condition", level.condition, KINDS)
        yield from _reward(f"{here}.rewards", level.rewards, offers)
        if level.rewards.badge != -1:
            yield Problem(f"{here}.rewards.badge", "a badge does not give a badge: points or an offer")


def _earning(earning: Earning) -> Iterator[Problem]:
    place = f'earning["{earning.name}"]'
    yield from event_types(f"{place}.types", earning.types)
    if not 0 < earning.points_per_unit <= MOST_RATE:
        yield Problem(
            f"{place}.points_per_unit", f"must be above 0, to {MOST_RATE:,}, not {earning.points_per_unit:,}"
        )
    yield from condition(f"{place}.where", earning.where, None)


def _tiers(game: Game) -> Iterator[Problem]:
    names = Counter(tier.name for tier in game.tiers)
    for index, tier in enumerate(game.tiers):
        place = f"tiers[{index}]"
        if not tier.name.strip():
            yield Problem(f"{place}.name", "must not be empty")
        elif names.pop(tier.name, 1) > 1:
            yield Problem(f"{place}.name", f"{tier.name!r} is the name of two tiers")
        yield from within(f"{place}.points", tier.points, 0, U4, "points")
        if index == 0 and tier.points != 0:
            yield Problem(f"{place}.points", f"the lowest tier begins at 0, not {tier.points:,}")
        elif index > 0 and tier.points <= game.tiers[index - 1].points:
            before = game.tiers[index - 1]
            yield Problem(
                f"{place}.points", f"must be above the {before.points:,} of the tier before, {before.name!r}"
            )


# What the fold has room for.


def _room(game: Game) -> Iterator[Problem]:
    if len(game.tiers) > TIERS:
        yield Problem("tiers", f"are {len(game.tiers)}, more than {TIERS}")
    if len(game.earning) > EARNINGS:
        yield Problem("earning", f"are {len(game.earning)} rules, more than {EARNINGS}")
    limited = sum(template.limits.per_customer > 0 for template in game.templates)
    if limited >= COOLING:
        yield Problem(
            "templates",
            f"{limited} have a limit per customer, more than {COOLING - 1}: each keeps one of a customer's "
            f"{COOLING} entries of cooldowns for good, and without a free one there are no new missions",
        )
    looked_at = _attributes(game)
    if len(looked_at) >= WORDS:
        names = ", ".join(sorted({name for name, _ in looked_at}))
        yield Problem(
            "templates",
            f"filters look at {len(looked_at)} attributes of events, more than {WORDS - 1}: {names}",
        )


def _attributes(game: Game) -> set[tuple[str, Kind]]:
    """What filters of a game look at, each with what it is compared as."""
    found: set[tuple[str, Kind]] = set()
    texts = [text for each in game.templates for text in (each.goal.where, each.goal.among)]
    texts += [each.where for each in game.earning]
    for campaign in game.campaigns:
        if campaign.active:
            texts.append(campaign.conversion.where)
            texts += [campaign.trigger.where] if isinstance(campaign.trigger, OnEvent) else []
    for text in texts:
        found.update((each.name, kind_of(each, None)) for each in comparisons(_tree(text)))
    for template in game.templates:
        if template.goal.kind == "distinct" and template.goal.distinct not in ("", "event_type"):
            found.add((template.goal.distinct, Kind.WORD))
    return {each for each in found if each[0] != "value"}


def _tree(text: str) -> Node | None:
    try:
        return parse(text, None)
    except ConditionError:  # told at its place
        return None
