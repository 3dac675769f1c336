"""`khaywe customer show`: what the worker that owns a customer knows of it, and why its scores are so."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings

#: Seconds a worker may take: it may have to ask the one that owns the customer.
ANSWER_SECONDS = 10.0
BAR = 20  # characters
#: Ends of counters' names: what they count over.
WINDOWS = ("30_days", "90_days", "lifetime")


class NoAnswer(KhayweError):
    """No worker can answer now."""


class UnknownCustomer(KhayweError):
    """The customer is not in the table."""


def web_url(config: Settings) -> str:
    """Where the worker's web views are, as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.web_host, config.web_host)
    return f"http://{host}:{config.web_port}"


def fetch(config: Settings, customer_id: str) -> dict[str, Any]:
    """What is known of a customer.  Raises NoAnswer, UnknownCustomer."""
    base = web_url(config)
    try:
        with urllib.request.urlopen(
            f"{base}/customers/{quote(customer_id, safe='')}", timeout=ANSWER_SECONDS
        ) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
    except urllib.error.HTTPError as error:
        try:
            why = json.load(error)["error"]
        except (ValueError, LookupError, TypeError):
            raise _stranger(base) from None
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
    except ValueError:
        raise _stranger(base) from None


def _stranger(base: str) -> NoAnswer:
    return NoAnswer(
        f"what answers at {base} is no worker of khaywe",
        hint="set KHAYWE_WEB_PORT to the port that the worker's log names",
    )


@click.group()
def customer() -> None:
    """What is known of a customer."""


@customer.command()
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def show(customer_id: str, as_json: bool) -> None:
    """Show scores with what they are made of, counters, profile and last events of a customer."""
    found = fetch(settings(), customer_id)
    if as_json:
        ui.show_json(found)
    else:
        console = Console() if sys.stdout.isatty() else Console(width=ui.PIPE_WIDTH, no_color=True)
        console.print(portrait(found))


def portrait(found: dict[str, Any]) -> Group:
    """What `fetch` gives, for people."""
    head = Text.assemble(
        (found["customer_id"], "bold"), f"  as of {found['as_of']}, catalog revision {found['revision']}"
    )
    if found.get("state", "open") != "open":
        to = f" to {found['linked_to']}" if "linked_to" in found else ""
        head.append(f", {found['state']}{to}", "bold red")
    parts: list[Any] = [head, Text(), scores_table(found["scores"]), Text(), _counters(found["counters"])]
    if found.get("profile"):
        parts += [Text(), _pairs("profile", found["profile"])]
    if found.get("recent"):
        parts += [Text(), _recent(found["recent"])]
    return Group(*parts)


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in columns:
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return table


def scores_table(scores: dict[str, Any]) -> Table:
    """Each score, and each component's measure and points."""
    table = _table(
        ("score", ""), ("measure", "right"), ("full at", "right"), ("points", "right"), ("of", "right"),
        ("", ""),
    )  # fmt: skip
    for name, score in scores.items():
        table.add_row(
            Text(name, "bold"), "", "", Text(f"{score['value']:.2f}", "bold"), Text("100", "bold"),
            bar(score["value"] / 100, "green"),
        )  # fmt: skip
        for component, part in score["components"].items():
            weight = part["weight"]
            table.add_row(
                f"  {component}", number(part["measure"]), number(part["full_at"]), f"{part['points']:.2f}",
                number(weight), bar(part["points"] / weight if weight else 0, "cyan"),
            )  # fmt: skip
    return table


def bar(share: float, colour: str) -> Text:
    """A bar of BAR characters, filled to a share in 0..1."""
    full = round(share * BAR)
    return Text.assemble(("█" * full, colour), ("░" * (BAR - full), "dim"))


def number(value: float) -> str:
    """With thousands, and at most two decimals."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def _counters(counters: dict[str, Any]) -> Group:
    """A row for each thing counted, a column for each window; what has none stands below."""
    windows = {name: window for name in counters for window in WINDOWS if name.endswith(f"_{window}")}
    things = dict.fromkeys(name.removesuffix(f"_{window}") for name, window in windows.items())
    table = _table(("counter", ""), *((window.replace("_", " "), "right") for window in WINDOWS))
    for thing in things:
        table.add_row(thing, *(_plain(counters.get(f"{thing}_{window}")) for window in WINDOWS))
    rest = {name: value for name, value in counters.items() if name not in windows}
    return Group(table, *([Text(), _pairs("", rest)] if rest else []))


def _pairs(title: str, values: dict[str, Any]) -> Table:
    table = _table((title, ""), ("", "right"))
    table.show_header = bool(title)
    for name, value in values.items():
        table.add_row(name, _plain(value))
    return table


def _recent(events: list[dict[str, Any]]) -> Table:
    table = _table(("last events", ""), ("", ""), ("value", "right"))
    for event in events:
        table.add_row(event["occurred_at"], event["event_type"], number(event["value"]))
    return table


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)
