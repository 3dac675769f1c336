"""What can go wrong with the customer table, for the operator."""

from __future__ import annotations

from config.errors import KhayweError


class TableError(KhayweError):
    """The customer table cannot be used as it is."""


class StoreDamaged(TableError):
    """A store's files cannot be read.  It goes when it is closed, and is rebuilt from the changelog."""
