"""One delivery: a signed POST to a receiver that nobody here trusts.

Addresses are checked where the connection is made, after names are resolved, so that a name that changes its
address gets nowhere; redirects are not followed, and of an answer only the status counts.
"""

from __future__ import annotations

import hmac
import socket
import time
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from config.settings import Settings

TIMESTAMP, SIGNATURE, EVENT_ID = "X-Khaywe-Timestamp", "X-Khaywe-Signature", "X-Khaywe-Event-Id"
#: Bytes of an answer that are read, so that the connection may be used again; what is longer ends it.
MOST_READ = 16 << 10
LONGEST_CALLBACK = 2_000
#: Answers that speak of this event and will be the same tomorrow.
REFUSALS = frozenset((400, 405, 406, 409, 410, 411, 413, 414, 415, 422, 431))
_NAT64 = ip_network("64:ff9b::/96")


class Outcome(NamedTuple):
    """What became of a try.  `refused`: the receiver answers, and does not want this event."""

    delivered: bool
    refused: bool
    why: str


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is of the internet: none of this machine, this network, or carried within one."""
    if isinstance(address, IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = IPv4Address(address.packed[-4:])
        if within is not None:
            return is_public(within)
    return address.is_global and not address.is_multicast


def fault_of(callback: str, private: bool) -> str:
    """What is wrong with a callback; nothing where it may be used.  Names are resolved only when used."""
    if len(callback) > LONGEST_CALLBACK:
        return f"has more than {LONGEST_CALLBACK:,} characters"
    if not callback.isascii() or not callback.isprintable() or set(callback) & set(" \\<>"):
        return "has characters that no URL has: encode them"
    try:
        url = URL(callback)  # as aiohttp reads it, which connects
        host, _ = url.host or "", url.port
    except ValueError:
        return "is no URL"
    if url.scheme not in ("https", "http") or not host:
        return "is not https://host/path"
    if url.user is not None or url.password is not None or url.fragment:
        return "has a user, a password or a fragment: leave them out"
    if private:
        return ""
    if url.scheme != "https":
        return "is not https (KHAYWE_NOTIFY_PRIVATE permits http)"
    try:
        inside = not is_public(ip_address(host))
    except ValueError:
        inside = host.rstrip(".").lower().rsplit(".", 1)[-1] == "localhost"
    return "is an address of this machine or network (KHAYWE_NOTIFY_PRIVATE permits it)" if inside else ""


class _Public(AbstractResolver):
    """Resolves names, and refuses those of private addresses."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        # One is enough: whoever mixes them means no good.
        if not found or not all(is_public(ip_address(each["host"].split("%")[0])) for each in found):
            raise OSError(f"{host} is an address of this machine or network")
        return found

    async def close(self) -> None:
        await self._resolver.close()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The HMAC-SHA256 of `TIMESTAMP.BODY`, as webhooks that come in are signed."""
    return "sha256=" + hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()


class Sender:
    """POSTs to one callback.  Used within one event loop."""

    def __init__(self, settings: Settings, callback: str, secret: str, at_once: int) -> None:
        self._callback, self._secret = callback, secret
        self._private = settings.notify_private
        timeout = aiohttp.ClientTimeout(total=settings.notify_timeout)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=None if self._private else _Public(), limit=at_once),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": f"khaywe/{version('khaywe')}", "Content-Type": "application/json"},
        )

    async def send(self, event_id: str, body: bytes) -> Outcome:
        """One try."""
        fault = fault_of(self._callback, self._private)
        if fault:
            return Outcome(False, False, f"the callback {fault}")
        timestamp = str(int(time.time()))
        headers = {
            TIMESTAMP: timestamp,
            SIGNATURE: signature(self._secret, timestamp, body),
            EVENT_ID: event_id,
        }
        try:
            async with self._session.post(
                self._callback, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await _some(answer)
        except TimeoutError:
            return Outcome(False, False, f"no answer within {self._session.timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(False, False, _why(error))
        if 200 <= answer.status < 300:
            return Outcome(True, False, "")
        return Outcome(False, answer.status in REFUSALS, f"answered {answer.status}")

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()


async def _some(answer: aiohttp.ClientResponse) -> None:
    left = MOST_READ
    while left > 0:
        piece = await answer.content.read(left)
        if not piece:
            return
        left -= len(piece)
    answer.close()


def _why(error: Any) -> str:
    inner = getattr(error, "os_error", None)
    text = " ".join(str(inner if inner is not None else error).split()) or type(error).__name__
    return text[:300]
