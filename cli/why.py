"""`khaywe why`: what was decided about a customer and why, and what was not given and why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from agents.history import newest
from cli import ui
from cli.timeline import amount
from config import topics
from config.settings import Settings, settings
from web.ask_worker import fetch_why


@click.command()
@click.argument("customer_id", metavar="CUSTOMER")
@click.option("--mission", metavar="NAME", help="Of this mission only, with each comparison.")
@click.option("--badge", metavar="NAME", help="Of this badge only, with each comparison.")
@click.option("--campaign", metavar="NAME", help="Of this campaign only, with each comparison.")
@click.option("--decisions", default=20, show_default=True, metavar="N", help="The newest so many decisions.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def why(
    customer_id: str, mission: str | None, badge: str | None, campaign: str | None, decisions: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Why a customer got its missions, badges, rewards and campaigns, and why not the others.

    What was decided comes from the topic decisions, with the values seen at that moment; what is not given,
    from the worker that owns the customer, as its row stands now.
    """
    named = [name for name in (mission, badge, campaign) if name is not None]
    if len(named) > 1:
        raise click.UsageError("give only one of --mission, --badge and --campaign")
    config = settings()
    now = fetch_why(config, customer_id, mission, badge, campaign)
    decided = _decided(config, customer_id, named[0] if named else None, decisions)
    if as_json:
        ui.show_json({"decided": decided, "now": now})
    else:
        ui.console().print(explained(decided, now, whole=bool(named)))


def _decided(config: Settings, customer_id: str, name: str | None, most: int) -> list[dict[str, Any]]:
    def wanted(decision: dict[str, Any]) -> bool:
        return name is None or decision["name"].casefold() == name.casefold()

    with ui.progress_line() as line:

        def progress(done: int, all_: int) -> None:
            line("looking for decisions", done / all_ if all_ else 1.0)

        return newest(config, topics.DECISIONS, customer_id, most, wanted, progress)


def explained(decided: list[dict[str, Any]], now: dict[str, Any], whole: bool) -> Group:
    """Decisions and what `fetch_why` gives, for people; `whole`: with every comparison."""
    head = Text.assemble((now["customer_id"], "bold"), f"  as of {now['as_of']}, revision {now['revision']}")
    if now["control"]:
        head.append(", in the control group: what it would get is recorded, nothing is given", "bold yellow")
    if now["off"]:
        head.append(f", nothing can be won: {now['off'].replace('_', ' ')}", "bold red")
    parts: list[Any] = [head, Text(), _decisions(decided)]
    if now["templates"]:
        parts += [Text(), *(_whole_mission(each) for each in now["templates"])] if whole else [
            Text(), _missions(now["templates"]),
        ]  # fmt: skip
    if now["badges"]:
        parts += [Text(), *(_whole_badge(each) for each in now["badges"])] if whole else [
            Text(), _badges(now["badges"]),
        ]  # fmt: skip
    if now["campaigns"]:
        parts += [Text(), *(_whole_campaign(each) for each in now["campaigns"])] if whole else [
            Text(), _campaigns(now["campaigns"]),
        ]  # fmt: skip
    return Group(*parts)


def _grid(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _decisions(decided: list[dict[str, Any]]) -> Table | Text:
    if not decided:
        return Text("no decision on the topic decisions", "dim")
    table = _grid("decided", "", "", "because")
    for each in decided:
        what = f"{each['kind']} {each['decision'].replace('_', ' ')}"
        table.add_row(
            each["occurred_at"][:16].replace("T", " "), what + (" (control)" if each["control"] else ""),
            each["name"], _saw(each["conditions"]),
        )  # fmt: skip
    return table


def _missions(templates: list[dict[str, Any]]) -> Table:
    table = _grid("mission", "now", "because")
    for each in templates:
        because = [r["message"] for r in each["reasons"] if r["reason"] != "condition"]
        if not each["holds"]:
            because.append(_saw(c for c in each["conditions"] if not c["holds"]) or each["eligibility"])
        running = any(reason["reason"] == "running" for reason in each["reasons"])
        state = (
            ("would be given", "green") if each["given"] else ("runs", "cyan") if running else ("no", "red")
        )
        table.add_row(each["name"], Text(*state), "; ".join(because))
    return table


def _badges(badges: list[dict[str, Any]]) -> Table:
    table = _grid("badge", "held", "next", "lacks")
    for each in badges:
        next_ = each["next"]
        lacks = ""
        if next_ is not None:
            lacks = _saw(c for c in next_["conditions"] if not c["holds"]) or next_["condition"]
        if next_ is not None and next_["awarded"]:
            lacks = "nothing: it would be awarded"
        if not each["active"]:
            lacks = "it is switched off in the catalog"
        held = each["held"][-1] if each["held"] else "-"
        table.add_row(each["name"], held, next_["level_name"] if next_ else "-", lacks)
    return table


_THEN = {
    "triggered": "would be triggered", "held": "would be held", "reserved": "would ask its account",
    "control": "control group: no message", "universal_control": "control group: nothing",
}  # fmt: skip
_TURN = {"event": "at its event", "schedule": "at its refresh"}


def _campaigns(campaigns: list[dict[str, Any]]) -> Table:
    table = _grid("campaign", "when its turn comes", "because")
    for each in campaigns:
        because = [r["message"] for r in each["reasons"] if r["reason"] != "condition"]
        if any(r["reason"] == "condition" for r in each["reasons"]):
            because.append(_saw(c for c in each["conditions"] if not c["holds"]) or each["audience"])
        state = (_THEN[each["then"]], "green") if each["ready"] else ("no", "red")
        table.add_row(each["name"], Text(*state), "; ".join(because) or _turn(each))
    return table


def _turn(each: dict[str, Any]) -> str:
    """When a campaign's turn comes."""
    if each["trigger"] != "crossing":
        return _TURN[each["trigger"]]
    lacks = _saw(c for c in each["when_conditions"] if not c["holds"]) or each["when"]
    return f"once its condition is false, and true again: {each['when']}" if each["crossed"] else lacks


def _whole_campaign(each: dict[str, Any]) -> Group:
    state = _THEN[each["then"]] if each["ready"] else "is not triggered"
    lines: list[Any] = [Text.assemble((each["name"], "bold"), f" {state}")]
    lines += [Text(f"  {reason['message']}", "red") for reason in each["reasons"]]
    lines.append(Text(f"  its turn: {_turn(each)}", "dim"))
    entry = each["entry"]
    if entry is not None:
        times = f"{entry['times']} time" + ("" if entry["times"] == 1 else "s")
        lines.append(Text(f"  {entry['status']}, triggered {times}, last {entry['triggered_at']}"))
    if each["when"]:
        lines += _condition(each["when"], each["when_holds"], each["when_conditions"])
    return Group(*lines, *_condition(each["audience"], each["holds"], each["conditions"]))


def _whole_mission(each: dict[str, Any]) -> Group:
    state = "would be given now" if each["given"] else "is not given now"
    lines: list[Any] = [
        Text.assemble((each["name"], "bold"), f" {state}; its target would be {amount(each['target'])}")
    ]
    lines += [Text(f"  {reason['message']}", "red") for reason in each["reasons"]]
    return Group(*lines, *_condition(each["eligibility"], each["holds"], each["conditions"]))


def _whole_badge(each: dict[str, Any]) -> Group:
    held = f"held: {', '.join(each['held'])}" if each["held"] else "not held"
    lines: list[Any] = [Text.assemble((each["name"], "bold"), f" {held}")]
    if not each["active"]:
        lines.append(Text("  it is switched off in the catalog", "red"))
    next_ = each["next"]
    if next_ is not None:
        lines.append(
            Text(
                f"  {next_['level_name']} {'would be awarded now' if next_['awarded'] else 'is not awarded'}"
            )
        )
        lines += _condition(next_["condition"], next_["holds"], next_["conditions"])
    return Group(*lines)


def _condition(text: str, holds: bool, comparisons: list[dict[str, Any]]) -> list[Any]:
    if not text:
        return [Text("  for everybody", "dim")]
    found: list[Any] = [Text(f"  {text}  {'holds' if holds else 'does not hold'}", "dim")]
    for each in comparisons:
        mark = ("✓ ", "green") if each["holds"] else ("✗ ", "red")
        found.append(Text.assemble("    ", mark, each["condition"], f"  (is {_value(each['seen'])})"))
    return found


def _saw(comparisons: Iterable[dict[str, Any]]) -> str:
    return ", ".join(f"{each['condition']} (is {_value(each['seen'])})" for each in comparisons)


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return amount(value) if isinstance(value, int | float) else str(value)
