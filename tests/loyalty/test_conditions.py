"""Conditions: what is read, what is refused and where, and that jumps say the same as the tree."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.conditions import (
    AT_LEAST,
    AT_MOST,
    DIFFERENT,
    EQUAL,
    FAILS,
    HOLDS,
    KNOWN,
    LESS,
    MORE,
    UNKNOWN,
    And,
    Comparison,
    ConditionError,
    Kind,
    Node,
    Not,
    Or,
    Term,
    comparisons,
    holds,
    number,
    parse,
    terms,
)
from loyalty.hashing import word_hash
from loyalty.vocabulary import INDEX, KINDS
from tests.reference import conditions as plain

Literal = float | int | str | bool
NAMES = {"risk": Kind.NUMBER, "arpu": Kind.NUMBER, "segment": Kind.WORD, "tariff": Kind.WORD,
         "consent": Kind.FLAG}  # fmt: skip
NUMBERS: tuple[Literal, ...] = (0, 1, -3, 60, 0.5, 2.0, 1e-9, 1e300, 2**53 + 1)
SAID: tuple[Literal, ...] = ("gold", "Gold", "öl", 'a "b"', "it's", "back\\slash", "(", "and", "✓ 7")


def _either(kind: type[And] | type[Or], parts: list[Node]) -> Node:
    """As the parser builds it: one level for a run of the same word."""
    flat = [each for part in parts for each in (part.parts if isinstance(part, kind) else (part,))]
    return kind(tuple(flat))


@st.composite
def _comparison(draw: st.DrawFn, filters: bool) -> Comparison:
    name = draw(st.sampled_from(["value", "source", "risk", "kind", "_x.y"] if filters else sorted(NAMES)))
    kind = {"value": Kind.NUMBER, "source": Kind.WORD}.get(name) if filters else NAMES[name]
    kind = kind or draw(st.sampled_from(Kind))
    if draw(st.integers(0, 5)) == 0:
        return Comparison(name, draw(st.sampled_from(["is known", "is unknown"])), ())
    if kind is Kind.FLAG:
        return Comparison(name, draw(st.sampled_from(["=", "!="])), (draw(st.booleans()),))
    literal = st.sampled_from(NUMBERS if kind is Kind.NUMBER else SAID)
    if draw(st.integers(0, 2)) == 0:
        several = draw(st.lists(literal, min_size=1, max_size=3))
        return Comparison(name, draw(st.sampled_from(["in", "not in"])), tuple(several))
    signs = "< <= > >= = !=" if kind is Kind.NUMBER else "= !="
    return Comparison(name, draw(st.sampled_from(signs.split())), (draw(literal),))


def nodes(filters: bool = False) -> st.SearchStrategy[Node]:
    return st.recursive(
        _comparison(filters),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: _either(And, parts)),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: _either(Or, parts)),
        ),
        max_leaves=8,
    )


def followed(found: list[Term], value: Callable[[int], float]) -> bool:
    """Follow the jumps, as compiled code does."""
    at = 0 if found else HOLDS
    while at >= 0:
        left, right = value(found[at].feature), found[at].value
        true = {
            LESS: left < right, AT_MOST: left <= right, MORE: left > right, AT_LEAST: left >= right,
            EQUAL: left == right, DIFFERENT: left == left and left != right, KNOWN: left == left,
            UNKNOWN: left != left,
        }[found[at].op]  # fmt: skip
        at = found[at].then if true else found[at].otherwise
    return at == HOLDS


@settings(max_examples=500, deadline=None)
@given(nodes())
def test_the_canonical_text_reads_as_the_same_tree(node: Node) -> None:
    assert parse(str(node), NAMES) == node


@settings(max_examples=500, deadline=None)
@given(nodes(filters=True))
def test_so_it_does_in_filters(node: Node) -> None:
    assert parse(str(node), None) == node


VALUES = st.sampled_from([math.nan, *map(number, (*NUMBERS, *SAID[:3], True, False)), 59.99, -math.inf])


@settings(max_examples=1_000, deadline=None)
@given(nodes(), st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)))
def test_jumps_tree_and_reference_agree(node: Node, values: Mapping[str, float]) -> None:
    order = sorted(NAMES)
    found = terms(node, lambda name, kind: order.index(name), NAMES)
    expected = holds(node, lambda name, kind: values[name], NAMES)
    assert followed(found, lambda feature: values[order[feature]]) == expected
    known = {name: None if value != value else value for name, value in values.items()}
    assert plain.holds(node, plain.of_features(known)) == expected


@settings(max_examples=500, deadline=None)
@given(nodes(filters=True))
def test_jumps_only_go_on(node: Node) -> None:
    """So that whoever follows them arrives, after each comparison at most once."""
    kinds = []

    def index(name: str, kind: Kind) -> int:
        kinds.append((name, kind))
        return 0

    found = terms(node, index)
    for at, term in enumerate(found):
        for to in (term.then, term.otherwise):
            assert to in (HOLDS, FAILS) or at < to < len(found)
    assert [name for name, _ in kinds] == [each.name for each in comparisons(node)]
    assert all(kind is Kind.NUMBER for name, kind in kinds if name == "value")
    assert all(kind is Kind.WORD for name, kind in kinds if name == "source")


def test_words_bind_as_the_page_says() -> None:
    a, b, c = (Comparison(name, "=", (1,)) for name in "abc")
    assert parse("a = 1 or b = 1 and not c = 1", None) == Or((a, And((b, Not(c)))))
    assert parse("(a = 1 or b = 1) and c = 1", None) == And((Or((a, b)), c))
    assert parse("not not (a = 1 and b = 1)", None) == Not(Not(And((a, b))))
    assert parse("(a = 1 and (b = 1)) and c = 1", None) == And((a, b, c))


def test_an_empty_text_always_holds() -> None:
    for text in ("", "  \n "):
        node = parse(text, KINDS)
        assert node is None
        assert holds(node, lambda name, kind: math.nan)
        assert (terms(node, lambda name, kind: 0), comparisons(node)) == ([], [])


def test_terms_name_features_and_hash_words() -> None:
    found = terms(
        parse('risk >= 60 and segment not in ("gold", "x") and consent = yes', KINDS),
        lambda name, kind: INDEX[name],
        KINDS,
    )
    assert found == [
        Term(INDEX["risk"], AT_LEAST, 60.0, 1, FAILS),
        Term(INDEX["segment"], EQUAL, float(word_hash("gold")), FAILS, 2),
        Term(INDEX["segment"], EQUAL, float(word_hash("x")), FAILS, 3),
        Term(INDEX["consent"], EQUAL, 1.0, HOLDS, FAILS),
    ]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("risk>=60", "risk >= 60"),
        ("risk < 10_240.0", "risk < 10240"),
        ("risk = 1e3 or risk=-0.50", "risk = 1000 or risk = -0.5"),
        ("risk<-3", "risk < -3"),
        ("segment in('a' ,\"b\")", 'segment in ("a", "b")'),
        ("segment\tnot\nin ('it\\'s')", 'segment not in ("it\'s")'),
        ("segment = 'say \"x\"'", 'segment = "say \\"x\\""'),
        ("consent   !=  no", "consent != no"),
        ("( risk is known )", "risk is known"),
        ("risk not in (1, 2)", "risk not in (1, 2)"),
    ],
)
def test_the_canonical_text(text: str, canonical: str) -> None:
    node = parse(text, KINDS)
    assert str(node) == canonical
    assert [plain.text_of(each) for each in comparisons(node)] == [str(each) for each in comparisons(node)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rsk >= 60", "column 1: there is no 'rsk'; did you mean risk?"),
        (
            "risk > 1 and days_since_last_purchase > 3",
            "column 14: there is no 'days_since_last_purchase'; "
            "did you mean days_since_last_transaction or days_since_last_activity?",
        ),
        ("xyzzy is known", "column 1: there is no 'xyzzy'"),
        ("  risk >= 'high'", "column 11: risk compares with a number, not 'high'"),
        ("segment = 3", "column 11: segment compares with a word, not 3"),
        ("consent = 1", "column 11: consent compares with yes or no, not 1"),
        ("risk = yes", "column 8: risk compares with a number, not yes"),
        ('segment in ("a", 3)', "column 18: segment compares with a word, not 3"),
        ('segment > "a"', 'column 11: > compares numbers; "a" is none'),
        ("consent > yes", "column 11: > compares numbers; yes is none"),
        ("consent in (yes)", "column 13: yes stands alone: write consent = yes"),
        ('segment = ""', "column 11: an empty word; write 'is unknown'"),
        (
            "segment = gold",
            "column 11: a number, a word in quotes, yes or no expected, not 'gold'",
        ),
        ('segment = "gold', 'column 11: a word without its closing "'),
        ("segment = 'gold\\'", "column 11: a word without its closing '"),
        ('segment = "a\\nb"', "column 13: '\\\\n' cannot stand in a word"),
        ('segment = "a\nb"', "column 13: '\\n' cannot stand in a word"),
        ('segment = "\ud800"', "column 12: '\\ud800' cannot stand in a word"),
        ("risk & 3", "column 6: '&' has no meaning here"),
        ("risk > .5", "column 8: '.' has no meaning here"),
        ("risk >", "column 7: a number, a word in quotes, yes or no expected, not the end"),
        ("risk == 3", "column 7: a number, a word in quotes, yes or no expected, not '='"),
        ("risk", "column 5: a comparison expected after risk, not the end"),
        ("risk not > 3", "column 10: a comparison expected after risk, not '>'"),
        ("risk is knwon", "column 9: 'known' or 'unknown' expected"),
        ("risk > 3 and", "column 13: a name expected, not the end"),
        ("not", "column 4: a name expected, not the end"),
        ("5 > risk", "column 1: a name expected, not '5'"),
        ("in > 5", "column 1: a name expected, not 'in'"),
        ("(risk > 3", "column 10: ')' expected, not the end"),
        ("risk > 3)", "column 9: 'and', 'or' or the end expected, not ')'"),
        ("risk > 3 tier > 1", "column 10: 'and', 'or' or the end expected, not 'tier'"),
        ("risk > 1__0", "column 9: 'and', 'or' or the end expected, not '__0'"),
        ("risk in ()", "column 10: a number, a word in quotes, yes or no expected, not ')'"),
        ("risk in (1", "column 11: ')' expected, not the end"),
        ("risk in 1", "column 9: '(' expected, not '1'"),
        ("risk > 1e999", "column 8: a number beyond all that can be compared"),
        ("risk > 1" + 400 * "0", "column 8: a number beyond all that can be compared"),
        (51 * "(" + "risk > 1" + 51 * ")", "column 52: nested more than 50 deep"),
        (51 * "not " + "risk > 1", "column 205: nested more than 50 deep"),
        ("risk > 1 or " * 200, "column 2001: longer than 2,000 characters"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_column(text: str, said: str) -> None:
    with pytest.raises(ConditionError) as error:
        parse(text, KINDS)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('value = "3"', 'column 9: value compares with a number, not "3"'),
        ("source = 3", "column 10: source compares with a word, not 3"),
        ('kind in ("a", 3)', "column 6: words and numbers do not mix"),
        ("on_time in (yes, no)", "column 13: yes stands alone: write on_time = yes"),
    ],
)
def test_so_it_is_in_filters(text: str, said: str) -> None:
    with pytest.raises(ConditionError) as error:
        parse(text, None)
    assert str(error.value) == said


def test_as_deep_and_as_long_as_allowed() -> None:
    assert parse(50 * "(" + "risk > 1" + 50 * ")", KINDS) == Comparison("risk", ">", (1,))
    deep = parse(50 * "not " + "risk > 1", KINDS)
    assert holds(deep, lambda name, kind: 2.0, KINDS)
    assert not holds(parse(49 * "not " + "risk > 1", KINDS), lambda name, kind: 2.0, KINDS)
    assert len(comparisons(parse("risk>1 or " * 199 + "risk>1", KINDS))) == 200


WORDS = r"""risk segment consent value source and or not in is known unknown yes no ( ) , < <= > >= = != 3 -3
1_0 1_ 1e9 .5 'a' "b" " ' \ & == (((((((((((((((((((((((((("""
PIECES = st.sampled_from([*WORDS.split(), " ", "\n", "not " * 60, "\ud800", "٣", "é", "\x00", "9" * 330])
TEXTS = st.builds(str.join, st.sampled_from(["", " "]), st.lists(PIECES, max_size=12))


@settings(max_examples=3_000, deadline=None)
@given(st.text(max_size=60) | TEXTS, st.sampled_from([None, KINDS]))
def test_any_text_is_read_or_refused(text: str, names: Mapping[str, Kind] | None) -> None:
    try:
        node = parse(text, names)
    except ConditionError as error:
        if not str(error).startswith("column "):
            raise
        return
    assert all(math.isfinite(term.value) for term in terms(node, lambda name, kind: 0, names))
    if node is not None:
        assert parse(str(node), names) == node
