"""The vocabulary of conditions is that of docs/game.md, and docs/conditions.md is made from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loyalty.conditions import Kind, parse
from loyalty.events import CODES, SOURCE_TYPES
from loyalty.vocabulary import EXAMPLES, FEATURES, FILTERS, INDEX, KINDS, reference

DOCS = Path(__file__).parents[2] / "docs"


def promised() -> list[str]:
    """The names in the table of docs/game.md, row by row."""
    text = (DOCS / "game.md").read_text(encoding="utf-8")
    table = text[text.index("| feature | value |") :].split("\n\n")[0].splitlines()[2:]
    names = []
    for row in table:
        for name in re.findall("`([^`]+)`", row.split("|")[1]):
            if name == "<event_type>_count":
                names += [f"{each}_count" for each in sorted(SOURCE_TYPES, key=lambda each: CODES[each])]
            else:
                names.append(name)
    return names


def test_the_features_are_those_of_the_contract_in_its_order() -> None:
    assert [feature.name for feature in FEATURES] == promised()


def test_a_feature_is_found_by_its_name() -> None:
    assert len(INDEX) == len(KINDS) == len(FEATURES)
    for n, feature in enumerate(FEATURES):
        assert (INDEX[feature.name], KINDS[feature.name]) == (n, feature.kind)
    words = ["segment", "lifecycle_stage", "language", "timezone", "tariff"]
    assert [feature.name for feature in FEATURES if feature.kind is Kind.WORD] == words
    assert [feature.name for feature in FEATURES if feature.kind is Kind.FLAG] == ["consent", "opted_in"]


def test_windows_are_in_the_names() -> None:
    windows = {feature.name: feature.window_days for feature in FEATURES if feature.window_days}
    assert windows == {
        name: int(name.split("_")[-2]) for name in promised() if name.endswith(("_30_days", "_90_days"))
    }
    assert set(windows.values()) == {30, 90}


def test_the_page_is_current() -> None:
    page = (DOCS / "conditions.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m catalog.reference > docs/conditions.md"


@pytest.mark.parametrize("text", [text for text, _ in EXAMPLES])
def test_examples_can_be_read(text: str) -> None:
    assert parse(text, KINDS) is not None


@pytest.mark.parametrize("text", [text for text, _ in FILTERS])
def test_examples_of_filters_can_be_read(text: str) -> None:
    assert parse(text, None) is not None
