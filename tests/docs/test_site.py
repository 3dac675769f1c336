"""The site is built strictly (each link and anchor leads somewhere) and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LARGEST_PICTURE = 200_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text()
        loaded = re.findall(r'<(?:script|img|iframe|source|audio|video)\b[^>]*\bsrc="?([^" >]+)', text)
        loaded += re.findall(r'<link\b(?![^>]*rel="?canonical)[^>]*\bhref="?([^" >]+)', text)
        assert loaded
        assert [each for each in loaded if re.match("(https?:)?//", each)] == [], page.name
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*\)|@import[^;]*//", style.read_text()) == [], (
            style.name
        )


def test_what_programs_read_is_there(site: Path) -> None:
    for name in ("reference/asyncapi.yaml", "reference/openapi.json"):
        assert (site / name).read_bytes() == (DOCS / name).read_bytes()
    assert not list(site.rglob("*.py"))


def test_one_can_search_without_a_server(site: Path) -> None:
    index = (site / "search/search_index.js").read_text()
    assert index.startswith("var __index = {")
    assert "insufficient_points" in index
    [shim] = re.findall(r'src="\.\./([^"]*iframe-worker[^"]*)"', (site / "add/badge.html").read_text())
    assert (site / shim).is_file()


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_pictures_are_small_and_said() -> None:
    pictures = list((DOCS / "images").glob("*.*"))
    assert pictures
    text = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    for picture in pictures:
        assert picture.stat().st_size < LARGEST_PICTURE, picture.name
        assert f"images/{picture.name})" in text, picture.name
    assert all(about for about in re.findall(r"!\[([^\]]*)\]", text)), (
        "a picture has words for who does not see it"
    )
