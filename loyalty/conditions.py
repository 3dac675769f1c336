"""The language of conditions: text to a tree, and the tree to a table of jumps that compiled code follows.

    risk >= 60 and days_since_last_transaction > 14

docs/conditions.md has the grammar.  Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from loyalty.hashing import word_hash

LESS, AT_MOST, MORE, AT_LEAST, EQUAL, DIFFERENT, KNOWN, UNKNOWN = range(8)
HOLDS, FAILS = -1, -2
MOST_CHARACTERS, MOST_DEPTH = 2_000, 50

_OPS = {"<": LESS, "<=": AT_MOST, ">": MORE, ">=": AT_LEAST, "=": EQUAL, "!=": DIFFERENT}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"""|(?P<word>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign><=|>=|!=|<|>|=|\(|\)|,))""",
    re.DOTALL,
)
_RESERVED = {"and", "or", "not", "in", "is", "known", "unknown", "yes", "no"}


class Kind(Enum):
    """What a name stands for, and what it compares with."""

    NUMBER = "number"
    WORD = "word"
    FLAG = "yes/no"


_A = {Kind.NUMBER: "a number", Kind.WORD: "a word", Kind.FLAG: "yes or no"}


class ConditionError(ValueError):
    """A text that is no condition: what is wrong, and at which column."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A name against literals."""

    name: str
    operator: str
    literals: tuple[float | int | str | bool, ...]

    def __str__(self) -> str:
        if not self.literals:
            return f"{self.name} {self.operator}"
        shown = [_shown(literal) for literal in self.literals]
        if self.operator in ("in", "not in"):
            return f"{self.name} {self.operator} ({', '.join(shown)})"
        return f"{self.name} {self.operator} {shown[0]}"


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """One of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The reverse."""

    part: Node

    def __str__(self) -> str:
        return f"not {self.part}" if isinstance(self.part, Not) else f"not ({self.part})"


Node = Comparison | And | Or | Not


class Term(NamedTuple):
    """A comparison with the places to go on at: HOLDS, FAILS, or a term of the condition, counted from 0."""

    feature: int
    op: int
    value: float
    then: int
    otherwise: int


def _shown(literal: float | int | str | bool) -> str:
    if isinstance(literal, bool):
        return "yes" if literal else "no"
    if isinstance(literal, str):
        return json.dumps(literal, ensure_ascii=False)
    return repr(int(literal)) if literal == int(literal) else repr(float(literal))


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return repr(self.text) if self.kind != "end" else "the end"


def _tokens(text: str) -> list[_Token]:
    if len(text) > MOST_CHARACTERS:
        raise ConditionError(f"column {MOST_CHARACTERS + 1}: longer than {MOST_CHARACTERS:,} characters")
    found, at = [], 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            while text[at].isspace():
                at += 1
            if text[at] in "\"'":
                raise ConditionError(f"column {at + 1}: a word without its closing {text[at]}")
            raise ConditionError(f"column {at + 1}: {text[at]!r} has no meaning here")
        kind = match.lastgroup
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    found.append(_Token("end", "", end))
    return found


class _Parser:
    def __init__(self, text: str, names: Mapping[str, Kind] | None) -> None:
        self._tokens = _tokens(text)
        self._names = names
        self._next = 0
        self._depth = 0

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _fail(self, what: str, token: _Token | None = None) -> ConditionError:
        return ConditionError(f"column {(token or self._token).at + 1}: {what}")

    def _take(self, *texts: str) -> bool:
        if self._token.kind in ("name", "sign") and self._token.text in texts:
            self._next += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._fail(f"{text!r} expected, not {self._token}")

    def whole(self) -> Node:
        node = self._or()
        if self._token.kind != "end":
            raise self._fail(f"'and', 'or' or the end expected, not {self._token}")
        return node

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        if len(parts) == 1:
            return parts[0]
        # Parentheses that change nothing leave no trace, so that what is written out reads as the same tree.
        return Or(tuple(each for part in parts for each in (part.parts if isinstance(part, Or) else (part,))))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        if len(parts) == 1:
            return parts[0]
        return And(
            tuple(each for part in parts for each in (part.parts if isinstance(part, And) else (part,)))
        )

    def _not(self) -> Node:
        if self._depth > MOST_DEPTH:
            raise self._fail(f"nested more than {MOST_DEPTH} deep")
        self._depth += 1
        if self._take("not"):
            node: Node = Not(self._not())
        elif self._take("("):
            node = self._or()
            self._need(")")
        else:
            node = self._comparison()
        self._depth -= 1
        return node

    def _comparison(self) -> Comparison:
        token = self._token
        if token.kind != "name" or token.text in _RESERVED:
            raise self._fail(f"a name expected, not {token}")
        self._next += 1
        name = token.text
        if self._names is not None and name not in self._names:
            near = difflib.get_close_matches(name, self._names, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise self._fail(f"there is no {name!r}{hint}", token)
        if self._take("is"):
            known = self._take("known")
            if not known and not self._take("unknown"):
                raise self._fail("'known' or 'unknown' expected")
            return Comparison(name, "is known" if known else "is unknown", ())
        negated = self._take("not")
        operator = self._token
        if self._take("in"):
            self._need("(")
            literals = [self._literal(name, "in")]
            while self._take(","):
                literals.append(self._literal(name, "in"))
            self._need(")")
            if len({type(each) is str for each in literals}) > 1:
                raise self._fail("words and numbers do not mix", operator)
            return Comparison(name, "not in" if negated else "in", tuple(literals))
        if negated or operator.kind != "sign" or operator.text not in _OPS:
            raise self._fail(f"a comparison expected after {name}, not {operator}")
        self._next += 1
        return Comparison(name, operator.text, (self._literal(name, operator.text),))

    def _literal(self, name: str, operator: str) -> float | int | str | bool:
        token = self._token
        self._next += token.kind != "end"
        literal: float | int | str | bool
        if token.kind == "number":
            if math.isinf(float(token.text)):
                raise self._fail("a number beyond all that can be compared", token)
            literal = float(token.text) if re.search("[.eE]", token.text) else int(token.text)
            kind = Kind.NUMBER
        elif token.kind == "word":
            literal, kind = self._word(token), Kind.WORD
        elif token.text in ("yes", "no"):
            literal, kind = token.text == "yes", Kind.FLAG
        else:
            raise self._fail(f"a number, a word in quotes, yes or no expected, not {token}", token)
        wanted = self._kind(name)
        if wanted is not None and kind is not wanted:
            raise self._fail(f"{name} compares with {_A[wanted]}, not {token.text}", token)
        if kind is Kind.FLAG and operator == "in":
            raise self._fail(f"{token.text} stands alone: write {name} = {token.text}", token)
        if kind is not Kind.NUMBER and operator not in ("=", "!=", "in"):
            raise self._fail(f"{operator} compares numbers; {token.text} is none", token)
        return literal

    def _word(self, token: _Token) -> str:
        inside = token.text[1:-1]
        if not inside:
            raise self._fail("an empty word; write 'is unknown'", token)
        for odd in re.finditer(r"\\.|[\x00-\x1f\ud800-\udfff]", inside, re.DOTALL):
            if odd[0] not in ("\\\\", "\\'", '\\"'):
                at = token.at + 1 + odd.start()
                raise self._fail(f"{odd[0]!r} cannot stand in a word", token._replace(at=at))
        return re.sub(r"\\(.)", r"\1", inside)

    def _kind(self, name: str) -> Kind | None:
        if self._names is not None:
            return self._names[name]
        return {"value": Kind.NUMBER, "source": Kind.WORD}.get(name)


def parse(text: str, names: Mapping[str, Kind] | None) -> Node | None:
    """The tree of a condition, None for an empty text; `names` None: a filter.  Raises ConditionError."""
    return _Parser(text, names).whole() if text.strip() else None


def comparisons(node: Node | None) -> list[Comparison]:
    """The comparisons of a condition, from left to right."""
    match node:
        case None:
            return []
        case Comparison():
            return [node]
        case Not(part):
            return comparisons(part)
        case And(parts) | Or(parts):
            return [each for part in parts for each in comparisons(part)]


def kind_of(comparison: Comparison, names: Mapping[str, Kind] | None) -> Kind:
    """What a comparison compares."""
    if names is not None:
        return names[comparison.name]
    if comparison.name == "value":
        return Kind.NUMBER
    if not comparison.literals:
        return Kind.WORD
    literal = comparison.literals[0]
    return Kind.FLAG if isinstance(literal, bool) else Kind.WORD if isinstance(literal, str) else Kind.NUMBER


def number(literal: float | int | str | bool) -> float:
    """A literal as the number it is compared as."""
    return float(word_hash(literal)) if isinstance(literal, str) else float(literal)


def terms(
    node: Node | None, index: Callable[[str, Kind], int], names: Mapping[str, Kind] | None = None
) -> list[Term]:
    """The jumps of a condition; none for one that always holds."""
    found: list[Term] = []
    if node is not None:
        _lay(node, found, HOLDS, FAILS, index, names)
    return found


def _size(node: Node) -> int:
    return sum(max(len(each.literals), 1) for each in comparisons(node))


def _lay(
    node: Node, found: list[Term], then: int, otherwise: int, index: Callable[[str, Kind], int],
    names: Mapping[str, Kind] | None,
) -> None:  # fmt: skip
    match node:
        case Not(part):
            _lay(part, found, otherwise, then, index, names)
        case And(parts) | Or(parts):
            for n, part in enumerate(parts):
                after = len(found) + _size(part)
                last = n == len(parts) - 1
                if isinstance(node, And):
                    _lay(part, found, then if last else after, otherwise, index, names)
                else:
                    _lay(part, found, then, otherwise if last else after, index, names)
        case Comparison():
            feature = index(node.name, kind_of(node, names))
            if not node.literals:
                op = KNOWN if node.operator == "is known" else UNKNOWN
                found.append(Term(feature, op, 0.0, then, otherwise))
                return
            if node.operator == "not in":
                then, otherwise = otherwise, then
            op = _OPS.get(node.operator, EQUAL)
            for n, literal in enumerate(node.literals):
                to = otherwise if n == len(node.literals) - 1 else len(found) + 1
                found.append(Term(feature, op, number(literal), then, to))


def holds(
    node: Node | None, value: Callable[[str, Kind], float], names: Mapping[str, Kind] | None = None
) -> bool:
    """Whether a condition holds of values (NaN: unknown; words as their hashes, yes and no as 1 and 0)."""
    match node:
        case None:
            return True
        case Not(part):
            return not holds(part, value, names)
        case And(parts):
            return all(holds(part, value, names) for part in parts)
        case Or(parts):
            return any(holds(part, value, names) for part in parts)
        case Comparison():
            return compare(node, value(node.name, kind_of(node, names)))


def compare(comparison: Comparison, value: float) -> bool:
    """Whether a comparison holds of a value."""
    literals = [number(literal) for literal in comparison.literals]
    match comparison.operator:
        case "is known":
            return value == value
        case "is unknown":
            return value != value
        case "in":
            return value in literals
        case "not in":
            return value not in literals
        case "<":
            return value < literals[0]
        case "<=":
            return value <= literals[0]
        case ">":
            return value > literals[0]
        case ">=":
            return value >= literals[0]
        case "=":
            return value == literals[0]
    return value == value and value != literals[0]
