"""Tables of Markdown from cells of any text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BAR = "\\|"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = [_line(headers), _line(["---"] * len(headers))]
    return lines + [_line(row) for row in rows]


def code(names: Iterable[str]) -> str:
    """Names in code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def plain(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(text.split())


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(plain(cell).replace('|', BAR) for cell in cells)} |"
