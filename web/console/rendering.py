"""How pages are made: templates, words, and how numbers and times are written.

Every word that a page says stands in `texts/en.yaml`; a key that is missing there is an error, not a blank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from loyalty.vocabulary import FEATURES
from web.api import doors
from web.console import drawing

HERE = Path(__file__).parent
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "khaywe_theme"


def _roles(guard: Any) -> tuple[str, ...]:
    needs: doors.Needs = get_args(guard)[1].dependency
    return needs.roles


#: What roles may do, as the API has it: what a page shows is what an endpoint would allow.
MAY: dict[str, tuple[str, ...]] = {
    "edit": _roles(doors.Editor),
    "approve": _roles(doors.Approver),
    "command": _roles(doors.Commander),
    "run": _roles(doors.Machine),
    "administer": _roles(doors.Admin),
}
#: Where one can go, in this order, and what it takes.
PLACES: tuple[tuple[str, str, str | None], ...] = (
    ("overview", "/", None),
    ("customers", "/customers/", None),
    ("missions", "/missions/", None),
    ("campaigns", "/campaigns/", None),
    ("badges", "/badges/", None),
    ("offers", "/offers/", None),
    ("policy", "/policy/", None),
    ("leaderboards", "/leaderboards/", None),
    ("products", "/products/", None),
    ("drafts", "/drafts/", None),
    ("sources", "/sources/", None),
    ("letters", "/dead-letters/", None),
    ("models", "/models/", None),
    ("notifications", "/notifications/", "run"),
    ("pipeline", "/pipeline/", None),
    ("people", "/people/", "administer"),
)


@cache
def texts() -> dict[str, str]:
    """All words, by dotted key."""
    found: dict[str, str] = {}

    def walk(node: Mapping[str, Any], path: str) -> None:
        for name, value in node.items():
            place = f"{path}.{name}" if path else str(name)
            if isinstance(value, dict):
                walk(value, place)
            else:
                found[place] = str(value)

    walk(yaml.safe_load((HERE / "texts" / "en.yaml").read_text(encoding="utf-8")), "")
    return found


def say(key: str, **values: Any) -> str:
    """The words of a key.  Raises KeyError for one that is not there."""
    return texts()[key].format(**values) if values else texts()[key]


def or_word(prefix: str, name: object) -> str:
    """The words for a code of the log's; the code itself, readable, where there are none."""
    return texts().get(f"{prefix}.{name}") or str(name).replace("_", " ")


def number(value: Any, places: int | None = None) -> str:
    """With thousands; at most two decimals unless `places` are said.  A dash for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return say("word.yes") if value else say("word.no")
    if places is not None:
        return f"{value:,.{places}f}"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def shown(value: Any) -> str:
    """Any value of JSON, for people."""
    if value is None:
        return say("word.unknown")
    if isinstance(value, float) and 0 < abs(value) < 100:
        return f"{value:.4g}"  # a share, say, of which two decimals would be too few
    if isinstance(value, (bool, int, float)):
        return number(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def moment(value: Any, zone: str = "UTC") -> Markup:
    """A time in the operator's zone, as an element that also says it exactly."""
    if value is None or value == "":
        return Markup("–")
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    here = at.astimezone(ZoneInfo(zone))
    return Markup('<time datetime="{}">{}</time>').format(
        at.astimezone(UTC).isoformat(), f"{here:%Y-%m-%d} {here:%H:%M}"
    )


def day(value: Any) -> str:
    """A day."""
    if value is None or value == "":
        return "–"
    return value.isoformat() if isinstance(value, date) else str(value)[:10]


def path_part(value: object) -> str:
    """A customer's id as a part of a path."""
    return quote(str(value), safe="")


def pretty(value: Any) -> str:
    """JSON over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@cache
def _features() -> dict[str, str]:
    return {
        each.name: f"{each.description}{f', {each.window_days} days' if each.window_days else ''}"
        for each in FEATURES
    }


def feature(condition: str) -> str:
    """What a comparison speaks of, in words; nothing where nobody has said."""
    return _features().get(condition.split(" ", 1)[0], "")


def chart_data(value: Any) -> Markup:
    """JSON for an attribute."""
    return escape(json.dumps(value, default=str))


def word_list(words: Sequence[Any]) -> Markup:
    """Words that may be completed, with what they are about, for an attribute."""
    return chart_data([[each.name, each.about] for each in words])


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("web.console", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "number": number, "shown": shown, "day": day, "part": path_part, "pretty": pretty,
        "chart_data": chart_data, "query": urlencode, "word_list": word_list, "feature": feature,
    }  # fmt: skip
    made.globals |= {
        "t": say, "word": or_word, "radar": drawing.radar, "spark": drawing.spark, "bar": drawing.bar,
        "PLACES": PLACES, "THEMES": THEMES, "version": version("khaywe"),
    }  # fmt: skip
    return made


_templates = _environment()


def may_of(role: str | None) -> dict[str, bool]:
    """What a role may do."""
    return {what: role in roles for what, roles in MAY.items()}


def theme_of(request: Request) -> str:
    """Light, dark, or as the machine has it."""
    found = request.cookies.get(THEME_COOKIE, "")
    return found if found in THEMES else "auto"


def render(request: Request, template: str, /, **values: Any) -> str:
    """A template with what every page needs."""
    session = request.state.session
    caller = session.caller if session is not None else None
    parts = request.app.state.parts
    zone = values.pop("zone", None)
    if zone is None:
        zone = parts.content().decisions.timezone if session is not None else "UTC"
    root = request.scope.get("root_path", "")
    return _templates.get_template(template).render(
        root=root,
        path=request.url.path.removeprefix(root),
        caller=caller,
        guard=session.guard if session is not None else "",
        may=may_of(caller.role if caller is not None else None),
        theme=theme_of(request),
        when=lambda value: moment(value, zone),
        zone=zone,
        **values,
    )


def page(request: Request, template: str, status: int = 200, /, **values: Any) -> HTMLResponse:
    """A page, or a part of one."""
    return HTMLResponse(render(request, template, **values), status)


def said(request: Request, *, kind: str, words: str) -> HTMLResponse:
    """What became of an action: a part of the page for htmx, else a page of its own."""
    template = "part_done.html" if "hx-request" in request.headers else "done.html"
    return page(request, template, kind=kind, words=words, back=request.headers.get("referer", ""))


def problem_page(
    request: Request, status: int, reason: str, detail: str = "", hint: str | None = None
) -> Response:
    """Why there is no page, in words; for htmx only the words."""
    template = "part_problem.html" if "hx-request" in request.headers else "problem.html"
    words = detail or say(f"problem.{reason}.words")
    return page(
        request, template, status, zone="UTC", status_=status, title=say(f"problem.{reason}.title"),
        words=words, hint=hint if hint is not None else texts().get(f"problem.{reason}.hint", ""),
    )  # fmt: skip
