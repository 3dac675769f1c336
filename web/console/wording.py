"""Conditions and triggers as sentences, for whoever does not write them."""

from __future__ import annotations

import re

from loyalty.conditions import And, Comparison, ConditionError, Kind, Node, Not, Or, parse
from loyalty.vocabulary import KINDS
from web.console.rendering import number, say, texts

_WINDOW = re.compile(r"_(\d+)_(days|weeks)$")
_SIGNS = {
    "<": "less", "<=": "at_most", ">": "more", ">=": "at_least", "=": "equal", "!=": "different",
    "in": "in", "not in": "not_in", "is known": "known", "is unknown": "unknown",
}  # fmt: skip


def in_words(condition: str) -> str:
    """A condition on customers as a sentence; what cannot be read, as it stands."""
    try:
        node = parse(condition, KINDS)
    except ConditionError:
        return condition
    return say("words.everybody") if node is None else _words(node)


def name_in_words(name: str) -> str:
    """What a condition speaks of."""
    own = texts().get(f"words.name.{name}")
    if own is not None:
        return own
    window = _WINDOW.search(name)
    if window is not None and name != "active_days_30":
        return say("words.within", what=_spaced(name[: window.start()]), n=window[1], unit=window[2])
    if name.endswith("_lifetime"):
        return say("words.ever", what=_spaced(name.removesuffix("_lifetime")))
    if name.endswith("_count"):
        return say("words.count", what=_spaced(name.removesuffix("_count")))
    return _spaced(name)


def _spaced(name: str) -> str:
    return name.replace("data_mb", "data (MB)").replace("_", " ")


def _words(node: Node, inside: bool = False) -> str:
    match node:
        case Comparison():
            return _comparison(node)
        case Not(part):
            return say("words.not", what=_words(part, True))
        case And(parts) | Or(parts):
            joiner = say("words.and") if isinstance(node, And) else say("words.or")
            found = f" {joiner} ".join(_words(each, True) for each in parts)
            return f"({found})" if inside else found


def _comparison(node: Comparison) -> str:
    name = name_in_words(node.name)
    if KINDS.get(node.name) is Kind.FLAG and node.operator in ("=", "!="):
        yes = (node.literals[0] is True) == (node.operator == "=")
        return say("words.yes" if yes else "words.no", what=name)
    values = [each if isinstance(each, str) else number(each) for each in node.literals]
    return say(f"words.{_SIGNS[node.operator]}", what=name, value=", ".join(values))
