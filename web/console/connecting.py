"""How records are fetched (REST, SQL, files), as a form: shared by polled data sources and product systems.

Fields of the form are called `poll_...`; what is wrong is said by the names of the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from web.console.rendering import say

KINDS = ("rest", "sql", "files")
AUTHS = ("", "bearer", "basic")
PAGINGS = ("none", "page", "offset", "cursor", "link")
#: Members of one word, by kind; those of events only say where the next poll goes on.
PLAIN: dict[str, tuple[str, ...]] = {
    "rest": ("url", "records", "cursor_field", "cursor_param", "cursor_start", "timeout", "attempts"),
    "sql": ("query", "cursor_field", "cursor_start", "page", "timeout"),
    "files": ("folder", "pattern", "delimiter", "page"),
}
PAGING = ("param", "field", "first", "size_param", "size")
LINES = ("params", "headers")
FIELDS = tuple(
    f"poll_{name}"
    for name in dict.fromkeys(
        (
            "kind", *(name for names in PLAIN.values() for name in names), *LINES, "auth", "username",
            "secret",
            "secret_value", "paging",
            *(f"paging_{name}" for name in PAGING), "in_order",
        )
    )
)  # fmt: skip


def flat(connection: Mapping[str, Any] | None) -> dict[str, str]:
    """A connection as the form has it; of None everything is empty."""
    found = dict.fromkeys(FIELDS, "") | {"poll_paging": "none"}
    if connection is None:
        return found
    for name in ("kind", *PLAIN[connection["kind"]]):
        if connection.get(name) is not None:
            found[f"poll_{name}"] = str(connection[name])
    for name in LINES:
        found[f"poll_{name}"] = lines_of(connection.get(name) or {})
    auth = connection.get("auth") or {}
    found["poll_auth"], found["poll_username"] = auth.get("kind", ""), auth.get("username", "")
    found["poll_secret"] = auth.get("token") or auth.get("password") or connection.get("database", "")
    paging = connection.get("paging") or {"kind": "none"}
    found["poll_paging"] = paging["kind"]
    found |= {f"poll_paging_{name}": str(paging[name]) for name in PAGING if paging.get(name) is not None}
    found["poll_in_order"] = "on" if connection.get("in_order") else ""
    return found


def read(form: Mapping[str, str], vault: str) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
    """The connection that a form says, None where nothing is fetched; and faults.

    `vault` is the reference to the secret that is typed into the form itself.
    """

    def said(name: str) -> str:
        return form.get(f"poll_{name}", "").strip()

    kind, faults = said("kind"), []
    if kind not in KINDS:
        return None, []
    found: dict[str, Any] = {"kind": kind} | {name: said(name) for name in PLAIN[kind] if said(name)}
    secret = vault if said("secret_value") else said("secret")
    if kind == "sql":
        found["database"] = secret
    if kind == "rest":
        for name in LINES:
            try:
                pairs = pairs_of(form.get(f"poll_{name}", ""))
            except ValueError as error:
                faults.append((f"poll_{name}", str(error)))
            else:
                found |= {name: pairs} if pairs else {}
        if said("auth") == "bearer":
            found["auth"] = {"kind": "bearer", "token": secret}
        elif said("auth") == "basic":
            found["auth"] = {"kind": "basic", "username": said("username"), "password": secret}
        if said("paging") in PAGINGS[1:]:
            ways = {
                "page": ("param", "first", "size_param", "size"), "offset": ("param", "size_param", "size"),
                "cursor": ("param", "field", "size_param", "size"), "link": ("size_param", "size"),
            }[said("paging")]  # fmt: skip
            given = {name: said(f"paging_{name}") for name in ways if said(f"paging_{name}")}
            found["paging"] = {"kind": said("paging")} | given
        if said("in_order"):
            found["in_order"] = True
    return found, faults


def secret_of(form: Mapping[str, str]) -> str:
    """The secret that is typed into the form, where the connection that it says needs one."""
    needed = form.get("poll_kind") == "sql" or (form.get("poll_kind") == "rest" and form.get("poll_auth"))
    return form.get("poll_secret_value", "").strip() if needed else ""


def field_of(path: str, message: str) -> tuple[str, str]:
    """A fault of a connection by the form's field: `rest.auth.bearer.token` is `poll_secret`."""
    steps = [each for each in path.split(".") if each not in KINDS]
    if not steps or not steps[0]:  # of it as a whole: it says the member itself
        name, sign, rest = message.partition(": ")
        steps, message = ([name], rest) if sign and f"poll_{name}" in FIELDS else ([""], message)
    if steps[0] == "database" or (steps[0] == "auth" and steps[-1] in ("token", "password")):
        return "poll_secret", message
    if steps[0] == "paging" and steps[-1] in PAGING:
        return f"poll_paging_{steps[-1]}", message
    if steps[0] == "auth" and steps[-1] == "username":
        return "poll_username", message
    name = f"poll_{steps[0]}"
    return (name if name in FIELDS else "poll_kind"), message


def spoken(seconds: int) -> str:
    """An interval as people write it: 3600 is `1 hour`."""
    for name, each in (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % each == 0:
            return f"{seconds // each} {name}{'s' if seconds != each else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"


def lines_of(pairs: Mapping[str, Any]) -> str:
    """Lines `name = value`."""
    return "\n".join(f"{name} = {value}" for name, value in pairs.items())


def pairs_of(text: str) -> dict[str, str]:
    """The reverse.  Raises ValueError."""
    return dict(_pairs(text))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip():
            name, sign, value = line.partition("=")
            if not sign or not name.strip():
                raise ValueError(say("sources.no_line"))
            yield name.strip(), value.strip()
