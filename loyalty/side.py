"""The side table by its kinds: `e` times of kept events, `p` the words of a profile, `l` a link's target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loyalty.columns import NEVER
from loyalty.state import State

_NEVER = NEVER.to_bytes(8, "little", signed=True)
_encode = msgspec.json.Encoder(order="sorted").encode


def _key(id: bytes, kind: bytes, sub: bytes = b"") -> bytes:
    return b"s%b\0%b%b" % (id, kind, sub)


class Side:
    """The side table of a partition, over its state."""

    def __init__(self, state: State) -> None:
        self._state = state

    # -- e: event hash -> time (ms) -----------------------------------------------------------------

    def seen(
        self, ids: Sequence[bytes], hashes: NDArray[np.uint64]
    ) -> tuple[list[bytes], NDArray[np.int32], NDArray[np.int64]]:
        """The entries of events: distinct keys, the number of each event's key, the time by number."""
        subs = hashes.astype(">u8").view("V8").tolist()
        number: dict[bytes, int] = {}
        numbers = [
            number.setdefault(b"s%b\0e%b" % (id, sub), len(number)) for id, sub in zip(ids, subs, strict=True)
        ]
        keys = list(number)
        times = b"".join([value or _NEVER for value in self._state.side_get(keys)])
        return keys, np.array(numbers, np.int32), np.frombuffer(times, "<i8").astype(np.int64)

    def put_seen(self, keys: Sequence[bytes], seen: NDArray[np.int64], changed: NDArray[np.bool_]) -> None:
        """Keep the times that changed."""
        put, numbers = self._state.side_put, np.flatnonzero(changed)
        for number, value in zip(
            numbers.tolist(), seen[numbers].astype("<i8").view("V8").tolist(), strict=True
        ):
            put(keys[number], value)

    def time(self, id: bytes, hash_: int) -> int:
        """The time of an entry, NEVER if there is none."""
        (value,) = self._state.side_get([_key(id, b"e", hash_.to_bytes(8, "big"))])
        return NEVER if value is None else int.from_bytes(value, "little", signed=True)

    def remember(self, id: bytes, hash_: int, time: int) -> None:
        """Set an entry."""
        self._state.side_put(
            _key(id, b"e", hash_.to_bytes(8, "big")), time.to_bytes(8, "little", signed=True)
        )

    def entries(self, id: bytes) -> dict[int, int]:
        """All entries of a customer, hash -> time."""
        prefix = _key(id, b"e")
        return {
            int.from_bytes(key[len(prefix) :], "big"): int.from_bytes(value, "little", signed=True)
            for key, value in self._state.side_scan(prefix)
        }

    def forget(self, id: bytes, before: int) -> None:
        """Delete the entries older than a time."""
        for hash_, time in self.entries(id).items():
            if time < before:
                self._state.side_put(_key(id, b"e", hash_.to_bytes(8, "big")), None)

    # -- p: the profile's words ---------------------------------------------------------------------

    def profile(self, id: bytes) -> dict[str, Any]:
        """What is set of a customer's profile."""
        (value,) = self._state.side_get([_key(id, b"p")])
        return {} if value is None else msgspec.json.decode(value)

    def set_profile(self, id: bytes, profile: dict[str, Any]) -> None:
        """Keep a profile: absent where nothing is set."""
        key = _key(id, b"p")
        value = _encode(profile) if profile else None
        if self._state.side_get([key]) != [value]:
            self._state.side_put(key, value)

    # -- l: the customer this one has become --------------------------------------------------------

    def link(self, id: bytes) -> str:
        """The target of a linked customer."""
        (value,) = self._state.side_get([_key(id, b"l")])
        assert value is not None, f"{id!r} is linked, but to nobody"
        return value.decode()

    def set_link(self, id: bytes, to: str | None) -> None:
        """Keep the target of a link; None: there is none any more."""
        self._state.side_put(_key(id, b"l"), None if to is None else to.encode())
