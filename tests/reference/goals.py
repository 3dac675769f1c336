"""Goals of the reference: how an event moves a mission, and the personal target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loyalty.game import DISTINCT
from tests.reference import conditions
from tests.reference.customer import U4, Mission, more
from tests.reference.model import Record, integer, scale, week, word, word_hash

MARKS = 192  # bits of `marks`


def progress_of(
    goal: Any, mission: Mission, record: Record, decimals: int, started: int, day: int
) -> int | None:
    """The progress after an event, None if it does not fit.  `started`, `day`: local days."""
    value = conditions.of_event(record, decimals)
    where = conditions.holds(conditions.event_filter(goal.where), value)
    fits = conditions.holds(conditions.event_filter(goal.among), value) if goal.kind == "share" else where
    if record.event_type not in goal.types or not fits:
        return None
    match goal.kind:
        case "count" | "first":
            return more(mission.progress, 1)
        case "sum":
            return more(mission.progress, max(0, integer(record.event_type, record.value, decimals)))
        case "distinct":
            hashed = word_hash(_distinct(goal.distinct, record))
            if not hashed:
                return None
            if hashed not in mission.words and len(mission.words) < DISTINCT:
                mission.words.append(hashed)
            return len(mission.words)
        case "days" | "weeks":
            bit = day - started if goal.kind == "days" else week(day) - week(started)
            _set_bit(mission, bit)
            return _longest_run(mission.bits)
        case "share":
            mission.among += 1
            mission.matched += where
            among, at_least = mission.among, int(goal.at_least)
            return (100 * mission.matched * min(among, at_least)) // (among * at_least)
        case "inactivity":
            _set_bit(mission, day - started)
            return reached(mission.bits, goal.gap)
    raise AssertionError(f"no goal: {goal.kind}")


def _distinct(name: str, record: Record) -> str | None:
    if name == "event_type":
        return record.event_type
    return word(record.source if name == "source" else record.attributes.get(name))


def _set_bit(mission: Mission, bit: int) -> None:
    if 0 <= bit < MARKS:
        mission.bits.add(bit)


def _longest_run(bits: set[int]) -> int:
    longest = run = 0
    for bit in range(MARKS):
        run = run + 1 if bit in bits else 0
        longest = max(longest, run)
    return longest


def reached(bits: set[int], gap: int) -> int:
    """Days of an inactivity goal that no longer absence than `gap` separates from the start."""
    days = 0
    for bit in sorted(bits):
        if bit - days > gap:
            break
        days = bit + 1
    return days


# Targets.


def scale_of(goal: Any, decimals: int) -> int:
    """Smallest units of a canonical one in a mission's progress and target."""
    return scale(goal.types[0], decimals) if goal.kind == "sum" else 1


def target_of(template: Any, found: Mapping[str, float | None], decimals: int) -> int:
    """The target of a mission in smallest units."""
    goal, target = template.goal, template.target
    if goal.kind == "inactivity":
        return int(template.duration_days)
    if goal.kind == "first":
        return 1
    wanted = target.value
    if wanted <= 0:
        level = found[target.baseline] or 0.0
        for days in (30, 90):
            if target.baseline.endswith(f"_{days}_days"):
                level = level * float(template.duration_days) / float(days)
        wanted = min(max(liked(level * target.stretch), target.low), target.high)
    return min(int(wanted) * scale_of(goal, decimals), U4)


def liked(x: float) -> int:
    """Rounded to a number people like: two digits, the second a 0 or 5 from 20 on."""
    n = max(1, round(min(x, 1e12)))
    digits = len(str(n))
    step = 1
    if digits > 1:
        m = 10 ** (digits - 2)
        step = m if n < 2 * 10 ** (digits - 1) else 5 * m
    return (n + step // 2) // step * step
