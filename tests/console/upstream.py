"""A system that data sources and product systems poll: lists of JSON behind a bearer token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.catalog.http_api import Answer, Asked, serving

TOKEN = "t0ken-of-the-upstream"


@dataclass
class Upstream:
    """`lists[path]` is what a path gives, as `{"items": [...]}`."""

    url: str
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@contextmanager
def upstream() -> Iterator[Upstream]:
    """It, on a free port."""
    with serving() as api:
        found = Upstream(api.url)

        def answer(asked: Asked) -> Answer:
            allowed = asked.headers.get("Authorization") == f"Bearer {TOKEN}"
            return Answer({"items": found.lists.get(asked.path, [])}, 200 if allowed else 403)

        api.answer = answer
        yield found
