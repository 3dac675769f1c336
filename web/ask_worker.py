"""Questions to a worker's web views, and what is said where nobody answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from config.errors import KhayweError
from config.settings import Settings
from streams.partition import partition_of
from web.keys import shown

#: Seconds a worker may take: it may have to ask the one that owns the customer.
ANSWER_SECONDS = 10.0


class NoAnswer(KhayweError):
    """No worker can answer now."""


class UnknownCustomer(KhayweError):
    """The customer is not in the table."""


class UnknownName(KhayweError):
    """The catalog has no mission or badge of that name."""


def web_url(config: Settings) -> str:
    """Where a worker's web views are, as seen from this machine."""
    if config.worker_url is not None:
        return config.worker_url.rstrip("/")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.web_host, config.web_host)
    return f"http://{host}:{config.web_port}"


def fetch(config: Settings, customer_id: str) -> dict[str, Any]:
    """What is known of a customer.  Raises NoAnswer, UnknownCustomer."""
    return ask(config, web_url(config), f"/customers/{quote(customer_id, safe='')}")


def fetch_why(
    config: Settings, customer_id: str, mission: str | None = None, badge: str | None = None,
    campaign: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the game thinks of a customer.  Raises NoAnswer, UnknownCustomer, UnknownName."""
    names = {"mission": mission, "badge": badge, "campaign": campaign}
    asked = {kind: name for kind, name in names.items() if name is not None}
    query = f"?{urlencode(asked, quote_via=quote)}" if asked else ""
    return ask(config, web_url(config), f"/customers/{quote(customer_id, safe='')}/why{query}")


def everywhere(config: Settings, path: str) -> list[dict[str, Any]]:
    """What every worker answers.  Raises NoAnswer where one does not."""
    workers = ask(config, web_url(config), "/tables")["workers"]
    return [ask(config, url.rstrip("/"), path) for url in sorted(workers) if workers[url]]


def stored_rows(config: Settings, ids: Sequence[str]) -> list[bytes | None]:
    """Rows of customers from the workers that own them, None for who is unknown.  Raises NoAnswer."""
    found: dict[str, bytes | None] = {}
    workers = ask(config, web_url(config), "/tables")["workers"]
    for url, numbers in sorted(workers.items()):
        own = [id for id in ids if partition_of(id.encode(), config.partitions) in numbers]
        if own:
            answer = _asked(config, url.rstrip("/"), "/rows", msgspec.json.encode(own))
            try:
                rows = msgspec.msgpack.decode(answer, type=list[bytes | None])
            except msgspec.MsgspecError:
                raise _stranger(url) from None
            found |= dict(zip(own, rows, strict=True))
    return [found.get(id) for id in ids]


def ask(config: Settings, base: str, path: str) -> dict[str, Any]:
    """The JSON of a view.  Raises NoAnswer, UnknownCustomer, UnknownName."""
    try:
        found: dict[str, Any] = json.loads(_asked(config, base, path))
    except ValueError:
        raise _stranger(base) from None
    return found


def _asked(config: Settings, base: str, path: str, body: bytes | None = None) -> bytes:
    """What a view answers.  Raises as `ask` does."""
    try:
        question = urllib.request.Request(f"{base}{path}", body, headers=shown(config))
        with urllib.request.urlopen(question, timeout=ANSWER_SECONDS) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        try:
            why = json.load(error)["error"]
        except (ValueError, LookupError, TypeError):
            raise _stranger(base) from None
        if error.code == 401:
            raise NoAnswer(why, hint="set KHAYWE_WORKER_KEY here to what the workers have") from None
        if error.code == 404 and why.startswith("the catalog"):
            raise UnknownName(why, hint="`khaywe catalog show` lists what there is") from None
        if error.code == 404:
            raise UnknownCustomer(
                why,
                hint="ids are as the mapping leaves them; `khaywe lag` says whether events are on their way",
            ) from None
        raise NoAnswer(why, hint="try again in a moment; `khaywe lag` and /health say more") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(
            f"no worker answers at {base}: {reason}",
            hint="start one: `khaywe worker`; KHAYWE_WEB_HOST and KHAYWE_WEB_PORT say where it answers",
        ) from None


def _stranger(base: str) -> NoAnswer:
    return NoAnswer(
        f"what answers at {base} is no worker of khaywe",
        hint="set KHAYWE_WEB_PORT to the port that the worker's log names",
    )
