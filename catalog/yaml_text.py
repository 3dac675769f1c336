"""YAML from people, looked through before anything is built of it: not too large, not too deep, no bomb.

libyaml's composer ends the process where lists are nested too deep, and aliases of aliases grow without end
as soon as somebody walks through them; its events do neither.
"""

from __future__ import annotations

from pathlib import Path

import yaml

#: Bytes of a file: some ten thousand rules, a few seconds to read.
MOST_BYTES = 4 << 20
#: Lists and fields in each other; rules need six.
MOST_DEPTH = 64
#: Values of a file, those of aliases each time they are used.
MOST_VALUES = 1_000_000
#: Characters of one value; a number written 1:1:1... takes time with the square of it.
LONGEST = 64 << 10

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> str:
    """The text of a YAML file that can be built.  Raises ValueError (words), YAMLError, OSError."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"{path.stat().st_size:,} bytes, more than {MOST_BYTES:,}: cut it into several files"
        )
    text = path.read_text(encoding="utf-8")
    check(text)
    return text


def check(text: str) -> None:
    """Raises ValueError (words, with the line) for a text that must not be built, YAMLError for no YAML."""
    sizes: dict[str, int] = {}  # values behind an anchor
    inside: list[tuple[str | None, int]] = []  # anchor, and how many values stood before it
    values = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, values))
            if len(inside) > MOST_DEPTH:
                raise ValueError(f"line {line}: nested more than {MOST_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in inside):
                raise ValueError(f"line {line}: *{event.anchor} stands within itself")
            values += sizes.get(event.anchor or "", 0)
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > LONGEST:
                raise ValueError(
                    f"line {line}: a value of {len(event.value):,} characters, more than {LONGEST:,}"
                )
            if event.anchor is not None:
                sizes[event.anchor] = 1
            values += 1
        if values > MOST_VALUES:
            raise ValueError(
                f"line {line}: more than {MOST_VALUES:,} values, each alias counted as what it means"
            )
