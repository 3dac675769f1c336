"""`khaywe catalog`: the rules of the game, to and from YAML files, and what differs between two of them.

A load is one catalog revision and is published at once; where Kafka is away it stands, and a worker publishes
it later.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import click
import msgspec
from confluent_kafka import KafkaException, Producer

from catalog import draft as drafts
from catalog.content import Content
from catalog.differences import Difference, differences
from catalog.entries import SECTIONS
from catalog.entry import of_day
from catalog.service import CatalogService
from catalog.written import dump, files, written
from cli import ui
from cli.main import explained
from cli.source import AT_ONCE, json_option, open_catalog
from config.errors import KhayweError
from config.settings import Settings, settings
from loyalty.game import LEVELS, Game, Reward


@click.group()
def catalog() -> None:
    """Missions, badges, tiers, earning, offers and campaigns: from YAML files into the catalog, and back.

    docs/catalog.md explains the files.
    """


@catalog.command()
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...", type=click.Path(exists=True, path_type=Path))
@click.option("--note", default="", help="Why, for whoever looks at the revision later.")
@json_option
def load(paths: tuple[Path, ...], note: str, as_json: bool) -> None:
    """Load YAML files: what they say is new or replaces what it names, what they leave out stays.

    All of it becomes one revision, or none of it.  Without files: what khaywe comes with, where the catalog
    has no rules yet.
    """
    draft = drafts.read(paths) if paths else drafts.seed()
    config = settings()
    with open_catalog(config) as service:
        before = service.latest()
        if not paths and before.game != Game():
            raise KhayweError(
                "the catalog has rules already: say which files to load",
                hint=f"those that khaywe comes with are in {drafts.SEED}",
            )
        number = service.load_game(draft, note)
        after = service.revision(number)
        away = _publish(config, service)
    changes = differences(before, after)
    if as_json:
        found = {"revision": number, "changed": bool(changes), "published": not away}
        ui.show_json(
            found | ({"reason": away} if away else {}) | {"changes": [each.plain() for each in changes]}
        )
        return
    if not changes:
        click.echo(f"nothing changes: revision {number} says all of this")
    else:
        _show_differences(changes)
        click.echo(f"revision {number}{'' if away else ', published'}")
    if away:
        click.echo(
            f"not published yet: {away}\nThe load stands: a worker publishes it as soon as it reaches Kafka.",
            err=True,
        )


def _publish(config: Settings, service: CatalogService) -> str:
    """Publish what waits; why not, where Kafka is away."""
    try:
        service.publish_outbox(Producer(config.producer_config(**AT_ONCE)))
    except (KhayweError, KafkaException) as error:
        return explained(error)[0]
    return ""


@catalog.command()
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write one file for each kind of rule. Unset: all of it to standard output.",
)  # fmt: skip
@click.option("--revision", type=click.IntRange(min=1), metavar="N", help="Unset: the newest.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def export(directory: Path | None, revision: int | None, force: bool) -> None:
    """Write the rules as YAML that `khaywe catalog load` reads."""
    with open_catalog(settings()) as service:
        content = service.revision(revision) if revision is not None else service.latest()
    if directory is None:
        click.echo(dump(written(content.game)), nl=False)
        return
    texts = files(content.game)
    there = [name for name in texts if (directory / name).exists()]
    if there and not force:
        raise KhayweError(
            f"{directory} has {', '.join(there)} already", hint="--force replaces them, with any comments"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    click.echo(f"revision {content.revision}: {', '.join(texts)} written to {directory}")


@catalog.command()
@click.argument("what", nargs=-1, metavar="[REVISION [REVISION] | FILE|DIR...]")
@json_option
def diff(what: tuple[str, ...], as_json: bool) -> None:
    """Show what differs: between two revisions, or what loading files would change.

    One REVISION is compared with the newest; without anything, the newest with the one before it.
    """
    numbers = [int(each) for each in what if each.isdecimal()]
    if numbers and (len(numbers) < len(what) or len(what) > 2):
        raise click.UsageError("give one or two revisions, or files")
    missing = [each for each in what if not numbers and not Path(each).exists()]
    if missing:
        raise click.UsageError(f"there is no file {missing[0]!r}")
    with open_catalog(settings()) as service:
        newest = service.latest()
        if what and not numbers:
            draft = drafts.read([Path(each) for each in what])
            before = newest
            after = msgspec.structs.replace(newest, game=service.draft_game(draft))
            title = f"revision {newest.revision} -> {', '.join(what)}"
        else:
            first = numbers[0] if numbers else max(newest.revision - 1, 1)
            before = service.revision(first)
            after = service.revision(numbers[1]) if len(numbers) == 2 else newest
            title = f"revision {before.revision} -> {after.revision}"
    changes = differences(before, after)
    if as_json:
        ui.show_json({"compared": title, "changes": [each.plain() for each in changes]})
        return
    click.echo(title)
    _show_differences(changes)
    if not changes:
        click.echo("no difference")


def _show_differences(changes: list[Difference]) -> None:
    for change in changes:
        for line in change.lines():
            click.echo(line)


@catalog.command()
@click.argument("name", required=False)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show the rules of the newest revision, or those called NAME in full."""
    with open_catalog(settings()) as service:
        content = service.latest()
        author = service.author(content.revision)
    rules = written(content.game)
    if name is not None:
        found = _called(name, rules)
        if as_json:
            ui.show_json(found)
        else:
            click.echo(dump(found), nl=False)
        return
    if as_json:
        head = {"revision": content.revision, "created_at": content.created_at, "created_by": author}
        ui.show_json(head | {"note": content.note} | rules)
        return
    click.echo(f"revision {content.revision} of {content.created_at} by {author}: {content.note}")
    _show_rules(content, rules)


def _called(name: str, rules: dict[str, Any]) -> dict[str, Any]:
    names = {each["name"]: None for section in SECTIONS for each in rules[section]}
    found = {
        section: [each for each in rules[section] if each["name"].casefold() == name.casefold()]
        for section in SECTIONS
    }
    found = {section: entries for section, entries in found.items() if entries}
    if not found:
        near = difflib.get_close_matches(name, names, 3, 0.4)
        raise KhayweError(
            f"nothing is called {name!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "`khaywe catalog show` lists all names",
        )
    return found


def _show_rules(content: Content, rules: dict[str, Any]) -> None:
    game = content.game
    offers = {offer.offer_id: offer.name for offer in game.offers}
    badges = {badge.number: badge.name for badge in game.badges}

    def rewards(reward: Reward) -> str:
        badge = badges.get(reward.badge)
        parts = (
            f"{reward.points:,} points" if reward.points else None,
            offers.get(reward.offer),
            f"{badge} {LEVELS[reward.level - 1]}" if badge else None,
        )
        return ", ".join(part for part in parts if part)

    ui.show_table(
        ("number", "mission", "category", "priority", "days", "again after", "rewards", "active"),
        [
            (
                each.number,
                each.name,
                each.category,
                each.priority,
                each.duration_days,
                each.cooldown_days,
                rewards(each.rewards),
                each.active,
            )
            for each in game.templates
        ],
    )
    ui.show_table(
        ("number", "badge", *(f"{level}, points" for level in LEVELS), "active"),
        [
            (each.number, each.name, *(level.rewards.points for level in each.levels), each.active)
            for each in game.badges
        ],
    )
    ui.show_table(("tier", "from points"), [(each.name, each.points) for each in game.tiers])
    ui.show_table(
        ("number", "earning", "points a unit", "of", "where"),
        [
            (
                each["number"],
                each["name"],
                each["points_per_unit"],
                ", ".join(each["types"]),
                each.get("where"),
            )
            for each in rules["earning"]
        ],
    )
    ui.show_table(
        ("offer_id", "offer", "category", "stage", "for", "value", "cost", "description"),
        [
            (
                each.offer_id,
                each.name,
                each.category or None,
                each.lifecycle_stage,
                ", ".join([each.target_value_segment.replace("_", " and "), *each.segments]),
                each.value,
                each.cost,
                each.description,
            )
            for each in game.offers
        ],
    )
    ui.show_table(
        ("number", "campaign", "turn", "of", "priority", "offer", "product", "control", "active"),
        [
            (
                each["number"],
                each["name"],
                each["trigger"]["kind"],
                _turn(each["trigger"]),
                each.get("priority", 0),
                each.get("offer"),
                each.get("product_id"),
                each.get("control_share"),
                each.get("active", True),
            )
            for each in rules["campaigns"]
        ],
    )
    contact = game.contact
    quiet = contact.quiet_from != contact.quiet_to
    most = f"at most {contact.most} times in {contact.days} days" if contact.most else "without a limit"
    hours = f", not from {of_day(contact.quiet_from)} to {of_day(contact.quiet_to)}" if quiet else ""
    click.echo(f"campaigns speak to a customer {most}{hours}")
    asked = content.predictions
    click.echo(
        f"models are asked when a score moved by {asked.step:g} points, and every {asked.hours} hours"
        if asked.enabled
        else "models are not asked"
    )
    click.echo(f"points are valid for {game.points_valid_months} months after the one they were earned in")


def _turn(trigger: dict[str, Any]) -> str:
    """What brings a campaign's turn."""
    if trigger["kind"] == "event":
        where = trigger.get("where")
        return ", ".join(trigger["types"]) + (f" where {where}" if where else "")
    return trigger.get("when") or ", ".join(trigger.get("weekdays", ())) or "every day"


@catalog.command()
@click.option("--enabled/--disabled", default=None, help="Whether models are asked at all.")
@click.option(
    "--step", type=click.FloatRange(0, 100), metavar="POINTS", help="Ask when a score has moved by so much."
)
@click.option("--hours", type=click.IntRange(0, 8_760), help="Ask when so many have passed.")
@json_option
def predictions(enabled: bool | None, step: float | None, hours: int | None, as_json: bool) -> None:
    """When models are asked about a customer: show it, or change what is said, as a revision."""
    given = {"enabled": enabled, "step": step, "hours": hours}
    said = {name: value for name, value in given.items() if value is not None}
    config = settings()
    away = ""
    with open_catalog(config) as service:
        before = service.latest()
        found, number = msgspec.structs.replace(before.predictions, **said), before.revision
        if found != before.predictions:
            number = service.set_predictions(found)
            away = _publish(config, service)
    if as_json:
        ui.show_json(msgspec.to_builtins(found) | {"revision": number, "published": not away})
        return
    ui.show_table(("models are asked", "step", "hours"), [(found.enabled, found.step, found.hours)])
    click.echo(f"revision {number}{'' if not said or away else ', published'}")
    if away:
        click.echo(f"not published yet: {away}\nA worker publishes it as soon as it reaches Kafka.", err=True)
