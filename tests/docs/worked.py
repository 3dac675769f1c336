"""A page of the documentation as a script: its files are written, its commands run, its outputs looked for.

A fenced block with a `title` is a file, `sh` is what to type, `text` behind it is what its output has: each
line somewhere, whatever the spaces between its words.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
#: Printed behind the commands of a step.
DONE = "--- done"


@dataclass(slots=True)
class Step:
    """What to type, the files that stand there by then, and lines that its output has."""

    commands: str
    files: dict[str, str] = field(default_factory=dict)
    shows: list[str] = field(default_factory=list)


def steps(page: Path) -> list[Step]:
    """The steps of a page, in order."""
    found: list[Step] = []
    files: dict[str, str] = {}
    for language, title, text in BLOCK.findall(page.read_text()):
        if title:
            files[title] = text
        elif language == "sh":
            found.append(Step(text, files))
            files = {}
        elif language == "text":
            found[-1].shows += text.splitlines()
    assert not files, f"{page.name}: nothing is done with {', '.join(files)}"
    return found


class Shell:
    """One shell for all steps of a page, so that variables and what runs in the background stay."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._errors = (folder / ".errors").open("w+")
        self._shell = subprocess.Popen(
            ["sh", "-e"], cwd=folder, env={**os.environ, **environment}, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip

    def run(self, commands: str) -> str:
        """What they print; raises AssertionError where one fails."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{commands}\necho '\n{DONE}'\n")
        lines: list[str] = []
        for line in self._shell.stdout:
            if line == f"{DONE}\n":
                return "".join(lines)
            lines.append(line)
        self._errors.seek(0)
        raise AssertionError(f"{commands}\n{''.join(lines)}\n{self._errors.read()[-3000:]}")

    def write(self, files: dict[str, str]) -> None:
        """Put the page's files where its commands find them."""
        for name, text in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def close(self) -> None:
        """End it, and what it runs in the background (a page's `trap` sees to that)."""
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(60)
        self._errors.close()


def shows(output: str, line: str) -> bool:
    """Whether an output has a line's words in this order, one behind the other."""
    return " ".join(line.split()) in " ".join(output.split())
