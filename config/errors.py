"""The base of khaywe's own errors: each says what is wrong, and in `hint` what to do about it.

The command line prints both and no traceback; services log both.
"""

from __future__ import annotations


class KhayweError(Exception):
    """What is wrong, in words for the reader; `hint` says what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
