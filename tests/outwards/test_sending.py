"""Where nothing is sent: addresses of this machine and network, however they are written."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from config.settings import Settings
from outwards.sending import Outcome, Sender, fault_of, is_public, signature
from tests.outwards.receiver import Receiver


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "callback",
    [
        "", "crm.example.com/hook", "ftp://crm.example.com/", "https://", "https:///path", "https://[::1",
        "https://user:word@crm.example.com/", "https://crm.example.com/#there", "https://crm.example.com/a b",
        "https://crm.example.com\\@127.0.0.1/", "https://crm.example.com/\n", "https://crm.example.com:99999/",
        "https://crm.example.com/ż", "https://crm.example.com/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_callback_anywhere(callback: str) -> None:
    assert fault_of(callback, private=True)
    assert fault_of(callback, private=False)


@pytest.mark.parametrize(
    "callback",
    [
        "http://crm.example.com/", "https://localhost/", "https://a.localhost./", "https://127.0.0.1/",
        "https://10.0.0.1:8443/hook", "https://[::1]/", "https://[::ffff:169.254.169.254]/latest",
    ],
)  # fmt: skip
def test_what_only_a_setting_permits(callback: str) -> None:
    assert fault_of(callback, private=False)
    assert fault_of(callback, private=True) == ""
    assert fault_of("https://crm.example.com:8443/hook?token=1", private=False) == ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def _send(settings: Settings, callback: str) -> Outcome:
    async def once() -> Outcome:
        sender = Sender(settings, callback, "a secret of the tests", 1)
        try:
            return await sender.send("e-1", b"{}")
        finally:
            await sender.close()

    return asyncio.run(once())


def test_a_name_is_held_against_the_address_it_has_when_it_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def resolved(name: str, *more: object, **others: object) -> object:
        return real("127.0.0.1" if name == "inside.example.com" else name, *more, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    port = receiver.url.split(":")[-1].split("/")[0]
    outcome = _send(Settings(_env_file=None), f"https://inside.example.com:{port}/hook")
    assert outcome == (False, False, "inside.example.com is an address of this machine or network")
    assert not receiver.connections
    opened = Settings(_env_file=None, notify_private=True)
    assert _send(opened, f"http://inside.example.com:{port}/hook").delivered
    assert len(receiver.got) == 1


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "127.0.0.1", "[::]"])
def test_no_way_of_writing_an_address_gets_in(receiver: Receiver, host: str) -> None:
    port = receiver.url.split(":")[-1].split("/")[0]
    assert not _send(Settings(_env_file=None), f"https://{host}:{port}/hook").delivered
    assert not receiver.connections


@pytest.mark.parametrize(
    ("status", "delivered", "refused"),
    [(200, 1, 0), (204, 1, 0), (299, 1, 0), (301, 0, 0), (307, 0, 0), (400, 0, 1), (422, 0, 1), (401, 0, 0),
     (404, 0, 0), (429, 0, 0), (500, 0, 0), (503, 0, 0)],
)  # fmt: skip
def test_what_an_answer_means(receiver: Receiver, status: int, delivered: int, refused: int) -> None:
    receiver.answer = lambda got: status
    outcome = _send(Settings(_env_file=None, notify_private=True), receiver.url)
    assert (outcome.delivered, outcome.refused) == (bool(delivered), bool(refused))
    assert outcome.why == ("" if delivered else f"answered {status}")
    assert len(receiver.got) == 1


def test_a_proxy_of_the_environment_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert _send(Settings(_env_file=None, notify_private=True), receiver.url).delivered


def test_the_signature_is_that_of_webhooks_that_come_in() -> None:
    # Reckoned with: printf 1.body | openssl dgst -sha256 -hmac secret
    assert (
        signature("secret", "1", b"body")
        == "sha256=842b24d9575dee4b6ec460b7e3af7d683501d84fe6279102340787c79d2e2bab"
    )
