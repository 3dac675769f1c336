"""A customer's profile as events give it: words, consent and birthday, checked, and as numbers of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import BIRTHDAY_BIT, CONSENT_BIT, PROFILE
from loyalty.hashing import word_hash
from loyalty.row import NO, UNKNOWN, WORDS, YES

_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_BIRTHDAY = re.compile(r"(?:[0-9]{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def truth(value: Any) -> bool | None:
    """Yes or no in the ways people write it, None for anything else."""
    if isinstance(value, str):
        return _TRUTHS.get(value.lower()) if value.isascii() else None
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    return None


def birthday(value: Any) -> int:
    """Month x 100 + day of `YYYY-MM-DD` or `MM-DD`, 0 for anything else."""
    found = _BIRTHDAY.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) * 100 + int(found[2]) if found else 0


def word(value: Any) -> str | None:
    """A word: a string as it is, a whole number's digits; None for anything else."""
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str) and value else None


def profile_update(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a profile_update sets; None clears."""
    update: dict[str, Any] = {name: word(attributes[name]) for name in WORDS if name in attributes}
    if "consent" in attributes:
        update["consent"] = truth(attributes["consent"])
    if "birthday" in attributes:
        update["birthday"] = attributes["birthday"] if birthday(attributes["birthday"]) else None
    return update


def profiles(updates: Sequence[dict[str, Any]]) -> NDArray[np.void]:
    """Updates as PROFILE."""
    profiles = np.zeros(len(updates), PROFILE)
    for to, update in zip(profiles, updates, strict=True):
        for n, name in enumerate(WORDS):
            if name in update:
                to["present"] |= 1 << n
                to["words"][n] = word_hash(update[name] or "")
        if "consent" in update:
            to["present"] |= CONSENT_BIT
            to["consent"] = {None: UNKNOWN, True: YES, False: NO}[update["consent"]]
        if "birthday" in update:
            to["present"] |= BIRTHDAY_BIT
            to["birthday"] = birthday(update["birthday"])
    return profiles
