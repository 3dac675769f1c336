"""Conditions as the reference reads them: the shared parser's tree, evaluated in the plainest way."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from loyalty.conditions import And, Comparison, Node, Not, Or, parse
from loyalty.vocabulary import KINDS
from tests.reference.model import Record, integer, scale, truth, word, word_hash

Literal = float | int | str | bool
# What a name's value is when compared with a literal, as float64, None if unknown.  A literal None
# asks whether it is known.
Value = Callable[[str, Literal | None], float | None]

ORDER = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
    "!=": operator.ne,
}  # fmt: skip


@cache
def condition(text: str) -> Node | None:
    """The tree of a condition over features, None for an empty text."""
    return parse(text, KINDS)


@cache
def event_filter(text: str) -> Node | None:
    return parse(text, None)


def holds(node: Node | None, value: Value) -> bool:
    match node:
        case None:
            return True
        case And(parts):
            return all(holds(part, value) for part in parts)
        case Or(parts):
            return any(holds(part, value) for part in parts)
        case Not(part):
            return not holds(part, value)
        case Comparison(name, "is known", _):
            return value(name, None) is not None
        case Comparison(name, "is unknown", _):
            return value(name, None) is None
        case Comparison(name, "in", literals):
            return any(_compares(name, "=", literal, value) for literal in literals)
        case Comparison(name, "not in", literals):
            return not any(_compares(name, "=", literal, value) for literal in literals)
        case Comparison(name, order, (literal,)):
            return _compares(name, order, literal, value)
    raise AssertionError(f"no condition: {node}")


def _compares(name: str, order: str, literal: Literal, value: Value) -> bool:
    left = value(name, literal)
    if left is None:
        return False
    right = float(word_hash(literal)) if isinstance(literal, str) else float(literal)
    return bool(ORDER[order](left, right))


def comparisons(node: Node | None) -> list[Comparison]:
    """From left to right."""
    match node:
        case None:
            return []
        case And(parts) | Or(parts):
            return [each for part in parts for each in comparisons(part)]
        case Not(part):
            return comparisons(part)
    return [node]


def text_of(c: Comparison) -> str:
    """The canonical text of a comparison."""
    texts = [_literal(literal) for literal in c.literals]
    if c.operator in ("in", "not in"):
        return f"{c.name} {c.operator} ({', '.join(texts)})"
    return " ".join([c.name, c.operator, *texts])


def _literal(literal: Literal) -> str:
    if isinstance(literal, bool):
        return "yes" if literal else "no"
    if isinstance(literal, str):
        return json.dumps(literal, ensure_ascii=False)
    return number(literal)


def number(value: float) -> str:
    """Python's repr of the int, if it is whole, else of the float."""
    return repr(int(value)) if value == int(value) else repr(float(value))


def of_features(found: Mapping[str, float | None]) -> Value:
    return lambda name, literal: found[name]


def of_event(record: Record, decimals: int) -> Value:
    """What the names of a filter stand for at an event."""

    def value(name: str, literal: Literal | None) -> float | None:
        if name == "value":
            units = scale(record.event_type, decimals)
            return float(integer(record.event_type, record.value, decimals)) / float(units)
        came = record.source if name == "source" else record.attributes.get(name)
        if isinstance(literal, bool):
            return {None: None, True: 1.0, False: 0.0}[truth(came)]
        if isinstance(literal, int | float):
            return _number(came)
        return float(word_hash(word(came))) if word(came) else None

    return value


def _number(came: Any) -> float | None:
    if isinstance(came, bool) or not isinstance(came, int | float):
        return None
    try:
        return float(came)
    except OverflowError:
        return None
