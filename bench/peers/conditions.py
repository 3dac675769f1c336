"""Conditions as Python functions: the trees of the rules, each compiled once to one expression.

A condition over features takes their list, in which None is unknown; a filter takes an event's value and source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Tree = Mapping[str, Any] | None
_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def condition(tree: Tree, index: Mapping[str, int]) -> Callable[[list[Any]], bool]:
    """Whether a condition holds of features; `index`: where in the list each stands."""
    return _function("f", _text(tree, lambda name: f"f[{index[name]}]"))


def event_filter(tree: Tree) -> Callable[[float, str], bool]:
    """Whether a filter lets an event through, by value and source: a CDR has no attributes."""
    known = {"value": "value", "source": "source"}
    return _function("value, source", _text(tree, lambda name: known.get(name, "None")))


def comparisons(tree: Tree) -> Iterator[Mapping[str, Any]]:
    """The comparisons from left to right."""
    if tree is None:
        return
    if "name" in tree:
        yield tree
        return
    for part in tree.get("and") or tree.get("or") or [tree["not"]]:
        yield from comparisons(part)


def _function(arguments: str, text: str) -> Callable[..., bool]:
    found: Callable[..., bool] = eval(f"lambda {arguments}: {text}")
    return found


def _text(tree: Tree, place: Callable[[str], str]) -> str:
    if tree is None:
        return "True"
    if "not" in tree:
        return f"not ({_text(tree['not'], place)})"
    for word in ("and", "or"):
        if word in tree:
            return "(" + f" {word} ".join(_text(part, place) for part in tree[word]) + ")"
    at, operator, literals = place(tree["name"]), tree["operator"], tree["literals"]
    if operator == "is known":
        return f"{at} is not None"
    if operator == "is unknown":
        return f"{at} is None"
    if operator == "in":
        return f"({at} in {tuple(literals)!r})"
    if operator == "not in":  # None is in no list, and so the comparison inside does not hold
        return f"({at} not in {tuple(literals)!r})"
    return f"({at} is not None and {at} {_OPERATORS[operator]} {literals[0]!r})"
