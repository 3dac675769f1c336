"""docs/models.md and the cards say what the code and the files say."""

from __future__ import annotations

from pathlib import Path

from ml import features
from ml.labels import LABELS, OFFER_KINDS, PRODUCT_KINDS
from ml.models import KINDS, kind_of
from ml.pages import page
from ml.registry import Registry

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "models.md").read_text()


def test_every_feature_stands_in_the_table() -> None:
    table = [f"| `{f.name}` | {f.unit} | {f.window} | {f.about} |" for f in features.FEATURES]
    assert PAGE.endswith("\n".join(["| --- | --- | --- | --- |", *table, ""]))


def test_every_model_label_and_key_is_named() -> None:
    for name in KINDS:
        assert f"| `{name}` |" in PAGE
        for key in {*kind_of(name).keys, *(key for pair in kind_of(name).aliases for key in pair)}:
            assert f"`{key}`" in PAGE, key
    for label in LABELS:
        assert f"| `{label.partition(':')[0]}" in PAGE, label
    assert ", ".join(OFFER_KINDS) in PAGE
    assert ", ".join(PRODUCT_KINDS) in PAGE.replace("\n", " ")


def test_the_cards_are_those_of_the_files() -> None:
    models = Registry()
    assert {path.stem for path in (DOCS / "models").glob("*.md")} == set(KINDS)
    for name in KINDS:
        assert (DOCS / "models" / f"{name}.md").read_text() == page(models.load(name).card), name
