"""A catalog on a database of its own, and drafts from what people write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog.draft import Draft, read
from catalog.service import CatalogService
from config.settings import Settings


@pytest.fixture
def service(database: str, services: Settings) -> Iterator[CatalogService]:
    """With its first revision, which is the seed."""
    made = CatalogService(database, services, author="ada")
    made.ensure_first_revision()
    yield made
    made.close()


@pytest.fixture
def draft(tmp_path: Path) -> Callable[[str], Draft]:
    """`draft(text)`: what stands in a file of that text."""

    def to_draft(said: str) -> Draft:
        path = tmp_path / "rules.yaml"
        path.write_text(said, encoding="utf-8")
        return read([path])

    return to_draft
