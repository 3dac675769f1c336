"""Who sees a worker's views and the API's metrics: anybody on that machine; from elsewhere, who shows a key.

That is KHAYWE_WORKER_KEY, which workers, the API and the command line show each other, or a key of the API.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from ipaddress import ip_address

from catalog.database import connect
from catalog.governance.people import People
from catalog.governance.store import Store
from config.errors import KhayweError
from config.settings import Settings

HEADER = "X-API-Key"
#: Seconds for which a key once found is believed.
BELIEVED = 2.0


class Keys:
    """Asked before each view."""

    def __init__(self, settings: Settings, host: str) -> None:
        """`host`: the address that is listened on."""
        self._settings = settings
        self._open = _is_here(host)
        self._people: People | None = None
        self._believed: dict[str, float] = {}

    async def allow(self, key: str | None) -> bool:
        """Whether a request that shows `key` may see anything."""
        if self._open:
            return True
        if not key:
            return False
        shared = self._settings.worker_key
        if shared is not None and hmac.compare_digest(key.encode(), shared.encode()):
            return True
        if time.monotonic() < self._believed.get(key, 0.0):
            return True
        if not await asyncio.to_thread(self._known, key):
            return False
        self._believed = {key: time.monotonic() + BELIEVED}
        return True

    def _known(self, key: str) -> bool:
        try:
            if self._people is None:
                self._people = People(Store(connect(self._settings.database_url())))
            return self._people.caller_of_key(key) is not None
        except KhayweError:
            return False  # nobody can say: PostgreSQL is away


def shown(settings: Settings) -> dict[str, str]:
    """Headers of a question to another worker."""
    return {HEADER: settings.worker_key} if settings.worker_key is not None else {}


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
