"""The page of all settings, made from `config.settings`: `python -m config.reference > docs/settings.md`."""

from __future__ import annotations

import sys
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from config.settings import Settings

HEAD = """\
# Settings

Every setting is an environment variable, or a line `NAME=value` in a file `.env` in the directory where
khaywe is started; the environment counts before the file. A value that cannot be used is refused at
start, with the name of the setting.

This page is made from `config/settings.py`: `python -m config.reference > docs/settings.md`.
"""

# Title, what to know about the section, the section's first setting.
SECTIONS = (
    (
        "Where things are",
        "With neither address set, `khaywe up` starts a Kafka and a PostgreSQL in `KHAYWE_HOME`. "
        "With one of them set, it starts only the other. PostgreSQL's URL has the form "
        "`postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE`.",
        "home",
    ),
    (
        "Workers and topics",
        "All workers and all topics that stay with the customer have the same number of partitions; "
        "`khaywe topics check` compares the brokers with these settings, `khaywe topics create --alter` "
        "brings a changed retention to them.",
        "worker",
    ),
    (
        "What decides",
        "These fill the first revision of the catalog. From then on the revision counts, and a worker whose "
        "settings differ from it refuses to start; only the clock is a setting for good.",
        "timezone",
    ),
    (
        "Pace",
        "The defaults suit one worker on two cores. A longer transaction or session timeout forgives longer "
        "pauses, and lets a dead worker's partitions wait longer.",
        "poll_records",
    ),
    (
        "Web views, REST API and logs",
        "The worker's web views show customers' data: on another address than this machine's own they ask "
        "for `KHAYWE_WORKER_KEY` or a key of the API, but for `/health` and `/metrics`. The API asks "
        "everybody for a key or a token (docs/api.md).",
        "web_host",
    ),
)


def settings_page() -> str:
    """The page, in Markdown."""
    firsts = {first: (title, about) for title, about, first in SECTIONS}
    lines = [HEAD]
    for name, field in Settings.model_fields.items():
        if name in firsts:
            title, about = firsts[name]
            lines += [f"## {title}", "", about, "", "| setting | default | meaning |", "| --- | --- | --- |"]
        lines.append(f"| `KHAYWE_{name.upper()}` | {_default(field)} | {_meaning(field)} |")
        if _is_last_of_section(name, firsts):
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _is_last_of_section(name: str, firsts: dict[str, tuple[str, str]]) -> bool:
    names = list(Settings.model_fields)
    after = names.index(name) + 1
    return after < len(names) and names[after] in firsts


def _default(field: FieldInfo) -> str:
    return "" if field.default is None else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    said = f"{field.description}"
    return f"{said} One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else said


if __name__ == "__main__":
    sys.stdout.write(settings_page())
