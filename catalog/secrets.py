"""Secrets by reference: content of the catalog says where a secret is, never what it is.

`env:NAME` is the environment variable KHAYWE_SECRET_NAME of whoever asks, so that no reference can reach a
variable that was not meant for it; `vault:NAME` is kept encrypted in PostgreSQL.
"""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from config.errors import KhayweError
from config.settings import Settings

PREFIX = "KHAYWE_SECRET_"
Reference = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Z][A-Z0-9_]{0,99}|vault:[A-Za-z0-9][A-Za-z0-9_.-]{0,99})$",
        description="env:NAME (the variable KHAYWE_SECRET_NAME) or vault:NAME; never a secret itself.",
    ),
]


class NoSecret(KhayweError):
    """Nothing stands where a reference points to."""


def resolve(reference: str, settings: Settings) -> str:
    """The secret.  Raises NoSecret, KhayweError of the vault."""
    scheme, _, name = reference.partition(":")
    if scheme == "vault":
        from catalog.governance.vault import read_secret

        return str(read_secret(settings, name))
    found = os.environ.get(PREFIX + name) if scheme == "env" else None
    if not found:
        raise NoSecret(
            f"there is no secret {reference}",
            hint=f"set {PREFIX}{name} in the environment of workers and of whoever fetches",
        )
    return found
