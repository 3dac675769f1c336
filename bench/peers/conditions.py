"""Conditions as Python: the trees of the rules, each turned into one expression.

A condition over features takes their list `f`, in which None is unknown; a filter takes the value and the
source of an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Tree = Mapping[str, Any] | None
_OPERATORS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def text(tree: Tree, index: Mapping[str, int]) -> str:
    """The expression of a condition over features; `index`: where in the list each stands."""
    return _text(tree, lambda name: f"f[{index[name]}]")


def condition(tree: Tree, index: Mapping[str, int]) -> Callable[[list[Any]], bool]:
    """Whether a condition holds of features."""
    return _function("f", text(tree, index))


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


def _function(arguments: str, expression: str) -> Callable[..., bool]:
    found: Callable[..., bool] = eval(f"lambda {arguments}: {expression}")
    return found


def _text(tree: Tree, place: Callable[[str], str]) -> str:
    if tree is None:
        return "True"
    if "not" in tree:
        return f"(not {_text(tree['not'], place)})"
    for word in ("and", "or"):
        if word in tree:
            return "(" + f" {word} ".join(_text(part, place) for part in tree[word]) + ")"
    at, operator, literals = place(tree["name"]), tree["operator"], tree["literals"]
    if operator in ("is known", "is unknown"):
        return f"({at} is {'not ' if operator == 'is known' else ''}None)"
    if operator in ("in", "not in"):  # an unknown value is in no list
        return f"({at} {operator} {tuple(literals)!r})"
    return f"({at} is not None and {at} {_OPERATORS[operator]} {literals[0]!r})"
