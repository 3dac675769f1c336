"""The list of decisions, from the first line of each."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "decisions"
HEAD = """\
# Decisions

Where the design was changed, or a choice is not obvious: what was decided, what was measured, what was
tried and left.

This page is made from the files of its folder: `python -m docs.made`.

"""


def page() -> str:
    """The page, in Markdown."""
    lines = []
    for path in sorted(FOLDER.glob("0*.md")):
        title = re.sub(r"^# (\d+\. )?", "", path.read_text().splitlines()[0])
        lines.append(f"* [{title}]({path.name})\n")
    return HEAD + "".join(lines)
