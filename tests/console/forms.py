"""What stands in a form of a page."""

from __future__ import annotations

import re


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    return str(re.findall(rf'name="{name}" value="([^"]*)"', page)[0])


def fault(page: str, field: str) -> str:
    """What is said to be wrong with a field."""
    return str(re.findall(rf'id="fault-{re.escape(field)}"[^>]*>([^<]*)<', page)[0])
