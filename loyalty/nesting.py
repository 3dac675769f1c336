"""How deep JSON is nested.  Where Python would stop depends on who calls, and a replay must not."""

from __future__ import annotations

import re

#: Objects and lists in each other that a record of the log may have.
MOST_NESTED = 64

_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[][{}]', re.DOTALL)


def too_deep(raw: bytes, most: int = MOST_NESTED) -> bool:
    """Whether JSON is nested more than `most` deep; of what is no JSON either."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return False
    depth = deepest = 0
    for bracket in _BRACKET.findall(raw):
        if bracket in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif len(bracket) == 1:
            depth -= 1
    return deepest > most
