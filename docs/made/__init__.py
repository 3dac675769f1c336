"""Reference pages that are made from the code: `python -m docs.made` writes those that have changed.

Each module makes one page; `PAGES` names them all, and a test compares the files with what would be made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config.reference import settings_page
from docs.made import capacity, commands, decisions, errors, metrics, performance, rest, topics
from loyalty.vocabulary import reference as conditions

DOCS = Path(__file__).parents[1]

#: File below `docs/` -> what stands in it.
PAGES: dict[str, Callable[[], str]] = {
    "capacity.md": capacity.page,
    "performance.md": performance.page,
    "settings.md": settings_page,
    "conditions.md": conditions,
    "reference/commands.md": commands.page,
    "reference/topics.md": topics.page,
    "reference/asyncapi.yaml": topics.document_text,
    "reference/rest.md": rest.page,
    "reference/openapi.json": rest.document_text,
    "reference/metrics.md": metrics.page,
    "reference/errors.md": errors.page,
    "decisions/index.md": decisions.page,
}


def write() -> list[str]:
    """Bring every file up to date; returns those that were not."""
    changed = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(name)
    return changed
