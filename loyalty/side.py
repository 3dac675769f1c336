"""The side table by its kinds: `e` times of kept events, `p` the words of a profile, `l` a link's target,
`g` grants, `m` the grants of a money event, `a` what an account has handed out, `x` whom nobody may know.
"""

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

#: How often an offer that nobody answers for is told again.
MOST_REPEATS = 7

#: A key of one of the erased: the hash of their id follows.  No customer's: an id there has the character 1.
ERASED = b"s\1erased\0x"


class Grant(msgspec.Struct):
    """A grant that may be answered or undone.  Times in ms."""

    at: int
    rule: str
    kind: str
    points: int
    month: int
    offer: int
    status: str
    repeats: int = 0
    told: int = 0


class Caused(msgspec.Struct):
    """The grants of a money event, in hex."""

    at: int
    grants: list[str]


class Account(msgspec.Struct):
    """What a capped template has handed out and not got back."""

    count: int = 0
    points: int = 0


_grant = msgspec.json.Decoder(Grant).decode
_caused = msgspec.json.Decoder(Caused).decode
_account = msgspec.json.Decoder(Account).decode
_plain = msgspec.json.Encoder().encode


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
        """Delete entries and grants older than a time, but for open grants."""
        for hash_, time in self.entries(id).items():
            if time < before:
                self._state.side_put(_key(id, b"e", hash_.to_bytes(8, "big")), None)
        for key, value in self._state.side_scan(_key(id, b"m")):
            if _caused(value).at < before:
                self._state.side_put(key, None)
        for key, grant in self.grants(id):
            if grant.at < before and grant.status != "open":
                self._state.side_put(_key(id, b"g", key), None)

    # -- g, m: grants -------------------------------------------------------------------------------

    def grants(self, id: bytes) -> list[tuple[bytes, Grant]]:
        """A customer's grants by id (16 bytes), in its order."""
        prefix = _key(id, b"g")
        return [(key[len(prefix) :], _grant(value)) for key, value in self._state.side_scan(prefix)]

    def waiting_grants(self, id: bytes) -> list[tuple[bytes, Grant]]:
        """Those of them that are open, and were not told as often as they may be."""
        if self._state.at_rest(id):
            return []
        prefix = _key(id, b"g")
        stored = [(key, value) for key, value in self._state.side_scan(prefix) if b'"open"' in value]
        grants = [(key[len(prefix) :], _grant(value)) for key, value in stored]
        found = [each for each in grants if each[1].status == "open" and each[1].repeats < MOST_REPEATS]
        if not found:
            self._state.set_at_rest(id, True)
        return found

    def grant(self, id: bytes, grant_id: str) -> Grant | None:
        """A grant by its id in hex."""
        try:
            sub = bytes.fromhex(grant_id)
        except ValueError:
            return None
        if len(sub) != 16 or sub.hex() != grant_id:
            return None
        (value,) = self._state.side_get([_key(id, b"g", sub)])
        return None if value is None else _grant(value)

    def put_grant(self, id: bytes, grant_id: str, grant: Grant) -> None:
        """Keep a grant."""
        if grant.status == "open":
            self._state.set_at_rest(id, False)
        self._state.side_put(_key(id, b"g", bytes.fromhex(grant_id)), _plain(grant))

    def forget_grants(self, id: bytes) -> None:
        """Delete all of a customer's grants: the number has another owner now."""
        for kind in (b"g", b"m"):
            for key, _ in self._state.side_scan(_key(id, kind)):
                self._state.side_put(key, None)

    def caused(self, id: bytes, hash_: int) -> list[str]:
        """The grants that a money event has caused."""
        (value,) = self._state.side_get([_key(id, b"m", hash_.to_bytes(8, "big"))])
        return [] if value is None else _caused(value).grants

    def put_caused(self, id: bytes, hash_: int, at: int, grant_id: str) -> None:
        """Add to them."""
        value = Caused(at, [*self.caused(id, hash_), grant_id])
        self._state.side_put(_key(id, b"m", hash_.to_bytes(8, "big")), _plain(value))

    # -- a: accounts --------------------------------------------------------------------------------

    def account(self, id: bytes) -> Account:
        """What an account has handed out."""
        (value,) = self._state.side_get([_key(id, b"a")])
        return Account() if value is None else _account(value)

    def put_account(self, id: bytes, account: Account) -> None:
        """Keep that."""
        self._state.side_put(_key(id, b"a"), _plain(account))

    # -- x: the erased ------------------------------------------------------------------------------

    def erased(self) -> set[bytes]:
        """Hashes of erased customers' ids."""
        return {key[len(ERASED) :] for key, _ in self._state.side_scan(ERASED)}

    def set_erased(self, digest: bytes, wanted: bool) -> None:
        """Keep, or forget, that a customer was erased."""
        self._state.side_put(ERASED + digest, b"1" if wanted else None)

    def erase(self, id: bytes) -> None:
        """Delete all entries of a customer."""
        for key, _ in self._state.side_scan(b"s%b\0" % id):
            self._state.side_put(key, None)

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
