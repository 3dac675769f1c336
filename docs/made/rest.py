"""The REST API: its OpenAPI document, and a page with a table for each tag."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from unittest.mock import MagicMock

from config.settings import Settings
from docs.made.markdown import table
from web.api.app import create
from web.api.doors import PREFIX
from web.api.parts import Parts

HEAD = """\
# REST API

Every endpoint, below `/api/loyalty/v1`. How it speaks (keys, errors, lists, edits) stands in [The REST
API](../api.md). A running `khaywe api` shows the same with parameters and examples at
`/api/loyalty/v1/docs`. The [OpenAPI 3.1 document](openapi.json) has all of it for programs.

This page is made from `web/api/`: `python -m docs.made`.
"""
ROLES = ("viewer", "marketer", "approver", "system", "admin")


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    # The app is only looked at: nothing is connected to.
    return create(MagicMock(Parts, settings=Settings.model_construct())).openapi()


def document_text() -> str:
    """It, as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """The page, in Markdown."""
    groups: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            row = (
                f"`{method.upper()}`",
                f"`{path.removeprefix(PREFIX)}`",
                f"{operation['summary']}. {operation['description']}".replace("\n", " "),
                _roles(operation["x-roles"]),
            )
            groups.setdefault(operation["tags"][0], []).append(row)
    lines = [HEAD]
    for tag, rows in sorted(groups.items()):
        lines += [f"## {tag}", "", *table(("method", "path", "what it does", "roles"), rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _roles(given: list[str]) -> str:
    return "all" if set(given) >= set(ROLES) else ", ".join(role for role in ROLES if role in given)
