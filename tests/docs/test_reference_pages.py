"""Reference pages are those that the code would make, and leave nothing out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import topics
from config.settings import Settings
from docs.made import DOCS, PAGES, errors
from docs.made.topics import document
from loyalty.effects import STATUSES as RESULTS
from web.api import problems

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    made = PAGES[name]()
    assert (DOCS / name).read_text() == made, "run: make docs"


def test_nothing_of_whoever_made_them_stands_in_them() -> None:
    for name in PAGES:
        text = (DOCS / name).read_text()
        assert str(ROOT) not in text
        assert str(Path.home()) + "/" not in text


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def test_asyncapi_has_every_topic_and_refers_to_what_is_there() -> None:
    found = yaml.safe_load((DOCS / "reference/asyncapi.yaml").read_text())
    assert found == document()
    assert found["asyncapi"] == "3.0.0"
    assert set(found) == {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    registry = topics.registry(Settings.model_construct())
    assert set(found["channels"]) == {topic.name for topic in registry} | {"raw"}
    for reference in _references(found):
        at: Any = found
        for step in reference.removeprefix("#/").split("/"):
            assert step in at, reference
            at = at[step]
    for operation in found["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
    for channel in found["channels"].values():
        assert channel["messages"], channel["address"]
        for each in channel["messages"].values():
            assert each["$ref"].startswith("#/components/messages/")
    for message in found["components"]["messages"].values():
        assert message["summary"].endswith("."), message["name"]
        assert "payload" in message


def _said(folder: str, name: str) -> set[str]:
    """First arguments of calls of `name`, where they are texts."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == name
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant) and re.fullmatch("[a-z_]+", str(first.value)):
                    found.add(str(first.value))
    return found


def test_every_reason_of_a_refusal_is_explained() -> None:
    said = {reason for _, reason in RESULTS if reason} | _said("agents", "Refused") | {"invalid_command"}
    assert {"already_replayed", "wall_clock"} <= said
    assert said <= set(errors.REASONS)
    assert set(errors.REASONS) - said == {"oversized", "unknown_source"}, "said as `Reason`s"


def test_every_status_of_a_problem_is_explained() -> None:
    assert set(errors.MEANINGS) == set(problems._TITLES)
    said = set()
    for path in (ROOT / "web/api").glob("*.py"):
        said |= {int(status) for status in re.findall(r"\b(?:Problem|problem)\(\s*(\d{3})", path.read_text())}
    assert {status for _, status in problems.STATUSES} | said <= set(errors.MEANINGS)
