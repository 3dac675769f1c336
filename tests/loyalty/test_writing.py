"""JSON that compiled code writes: numbers read back the same, words and lists stand where they belong."""

from __future__ import annotations

import json

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.spans import Texts
from loyalty.times import iso_many
from loyalty.writing import Page, floats


def written(values: list[float]) -> list[str]:
    """How each number is written."""
    page = Page(1)
    page.numbers(np.array([values], np.float32))
    return page.written().split()[0].decode().split(",")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_any_float32_reads_back_the_same(values: list[float]) -> None:
    back = np.array([json.loads(text) for text in written(values)], np.float64).astype(np.float32)
    assert (back == np.array(values, np.float32)).all()


def test_numbers_are_short() -> None:
    values = [0.1, 0.35, -2.5, 3, 12, 1e6, 16777216, 0.105458945, 95.09524, -0.0, 1e-9, 3.4e38]
    assert written(values) == [
        "0.1", "0.35", "-2.5", "3", "12", "1000000", "16777216", "0.105458945", "95.09524", "0",
        "999999972e-18", "339999995e30",
    ]  # fmt: skip
    assert written([np.nan, np.inf, -np.inf]) == ["null"] * 3


def test_pieces_stand_in_their_order_and_may_be_skipped() -> None:
    page = Page(3)
    page.pick(Texts.of([b'{"id":"a"', '{"id":"é"'.encode(), b'{"id":""']))
    page.text(b',"n":')
    page.value(np.array([1, 2**40, -7]))
    page.skip(np.array([0, -1, 3]), 2)
    page.text(b',"yes":')
    page.value(np.array([True, True, False]))
    page.text(b',"word":')
    page.value(np.array(["low", "medium", "x"]))
    page.text(b',"list":[')
    page.numbers(np.array([[1, 2.5], [0, 0], [10, -1]], np.float32))
    page.text(b"]}")
    assert [json.loads(text) for text in page.written().split()] == [
        {"id": "a", "n": 1, "yes": True, "word": "low", "list": [1, 2.5]},
        {"id": "é", "n": 2**40, "word": "medium", "list": [0, 0]},
        {"id": "", "n": -7, "yes": False, "word": "x", "list": [10, -1]},
    ]
    assert Page(0).written().split() == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), st.data())
def test_any_text_is_quoted_as_json(texts: list[str], data: st.DataObject) -> None:
    which = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=12))
    page = Page(len(which))
    page.quote(Texts.of([text.encode() for text in texts]), np.array(which, np.int64))
    assert page.written().split() == [msgspec.json.encode(texts[n]) for n in which]


def test_every_character_of_ascii_is_quoted_as_json() -> None:
    page = Page(128)
    page.quote(Texts.of([bytes([byte]) for byte in range(128)]))
    assert page.written().split() == [msgspec.json.encode(chr(byte)) for byte in range(128)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8))
def test_any_integer_is_exact(values: list[int]) -> None:
    page = Page(len(values))
    page.value(np.array(values, np.int64))
    assert page.written().split() == [str(value).encode() for value in values]


def test_hundredths_are_floats_of_msgspec() -> None:
    values = np.arange(2**16, dtype=np.uint16)
    page = Page(len(values))
    page.hundredths(values)
    assert page.written().split() == [msgspec.json.encode(value) for value in (values / 100).tolist()]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(), max_size=8))
def test_floats_are_those_of_msgspec(values: list[float]) -> None:
    assert floats(np.array(values)).split() == [msgspec.json.encode(value) for value in values]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 253_402_300_799_999), max_size=8))
def test_times_have_the_form_of_the_wire(values: list[int]) -> None:
    page = Page(len(values))
    page.time(np.array(values, np.int64))
    assert page.written().split() == [text.encode() for text in iso_many(np.array(values, np.int64))]
