"""docs/operating.md: its commands, settings, metrics, files and anchors exist, and no metric is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from config.settings import Settings
from tests.deploy import promql
from tests.deploy.commands import check

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operating.md"
TEXT = PAGE.read_text()


def _commands() -> list[str]:
    """Every `khaywe ...` in code, inline or on a line of its own, without comments."""
    inline = re.findall(r"`khaywe ([^`]+)`", " ".join(TEXT.split()))
    lines = re.findall(r"^    khaywe (.+?)(?:\s+#.*)?$", TEXT, re.MULTILINE)
    within = re.findall(r"-- khaywe (.+)$", TEXT, re.MULTILINE)
    return sorted({*inline, *lines, *within})


@pytest.mark.parametrize("command", _commands())
def test_commands_exist(command: str) -> None:
    words = [word for word in shlex.split(command.replace("...", "")) if word]
    check(words)


def test_settings_exist() -> None:
    for name in set(re.findall(r"KHAYWE_([A-Z][A-Z_]+)", TEXT)):
        assert name.lower() in Settings.model_fields


def test_each_metric_is_explained_and_each_that_is_explained_exists() -> None:
    named = set(re.findall(r"`(khaywe_\w+)`", TEXT))
    series = {re.sub(r"_(bucket|sum|count)$", "", name) for name in promql.exported()}
    assert named == {name for name in series if name.startswith("khaywe_")}


def test_files_exist() -> None:
    for name in set(re.findall(r"`(deploy/[\w./*-]+)`", TEXT)):
        assert list(ROOT.glob(name)), name


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert len(headings) == len(set(headings))
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = target.partition("#")
        if file:
            assert (PAGE.parent / file).is_file(), target
        else:
            assert anchor in anchors, target
