"""ETag on what can be edited, If-Match on the edit: nobody overwrites what somebody else has just changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Response

from web.api.problems import Problem


def show(response: Response, tag: str | int) -> None:
    """Say the tag of what is answered."""
    response.headers["ETag"] = f'"{tag}"'


def _matching(if_match: Annotated[str | None, Header(description="ETag of what is edited.")] = None) -> str:
    if if_match is None:
        raise Problem(428, "If-Match: say the ETag of what you read before", [("If-Match", "is missing")])
    return if_match.strip().removeprefix("W/").strip('"')


#: The tag that an edit must name.
IfMatch = Annotated[str, Depends(_matching)]


def version(tag: str) -> int:
    """A tag that is a version; 0, which nothing has, where it is none."""
    return int(tag) if tag.isascii() and tag.isdecimal() and len(tag) < 10 else 0


def require(tag: str, now: str) -> None:
    """Raises Problem where an edit names another tag than what stands there now has."""
    if tag != now:
        raise Problem(412, "it was changed since you read it", hint="read it again, and edit that")
