"""`khaywe projection`: how far lists and figures are behind the topics, and making them anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from agents.catalog_feed import CatalogFeed
from agents.founding import found
from agents.lag import Hop, Pipeline
from agents.places import ends
from agents.projecting import Follower, every
from agents.tail import KafkaAway
from catalog.content import Content
from cli import ui
from config.errors import KhayweError
from config.settings import Settings, settings
from projection.writer import TOPICS, Writer
from streams.batches import Aborted
from streams.names import PROJECTOR_GROUP

#: Seconds to wait for a catalog revision that an effect names.
REVISION_SECONDS = 60.0
#: Seconds between two looks at a projector that does the work.
LOOK_SECONDS = 0.2
#: Seconds after which it is asked again whether a projector runs.
MEMBERS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A partition: where PostgreSQL stands, None if it was never read, and where Kafka ends."""

    topic: str
    partition: int
    position: int | None
    end: int

    @property
    def behind(self) -> int:
        """Offsets to go."""
        return max(0, self.end - (self.position or 0))


@click.group()
def projection() -> None:
    """Lists and figures in PostgreSQL, written from the topics by the projector."""


@projection.command()
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def status(as_json: bool) -> None:
    """Show how far the projection is behind, partition by partition."""
    config = settings()
    writer = Writer(config.database_url(), nothing)
    try:
        places = look(config, writer)
    finally:
        writer.close()
    behind = sum(place.behind for place in places)
    if as_json:
        ui.show_json({"behind": behind, "partitions": [asdict(p) | {"behind": p.behind} for p in places]})
        return
    ui.show_table(
        ("topic", "partition", "position", "end", "behind"),
        [
            *((p.topic, str(p.partition), p.position, p.end, p.behind) for p in places),
            ("all", "all", None, None, behind),
        ],
    )
    click.echo(f"\n{words(behind)}")


@projection.command()
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
def rebuild(as_json: bool) -> None:
    """Empty the tables and fill them again from the topics, as far as they go back.

    What retention has cut is taken from the newest snapshots of the customer table, as far as a row tells.
    A projector that runs does the work; else it is done here.  Lists are short of records until it ends.
    """
    config = settings()
    feed = CatalogFeed(config)
    feed.start()

    def content(revision: int) -> Content:
        known = feed.get(revision, REVISION_SECONDS)
        if known is None:
            raise KhayweError(
                f"catalog revision {revision} is not on topic catalog",
                hint="`khaywe topics check` says whether the topic is what it must be",
            )
        return known

    writer = Writer(config.database_url(), content)
    started = time.monotonic()
    try:
        with ui.progress_line() as progress:
            progress("Emptying the tables", None)
            found(config, writer, content, again=True)
            records = _fill(config, writer, progress)
    except Aborted as reason:
        raise KhayweError(str(reason), hint="nothing was changed; try again") from None
    except KafkaException as error:
        raise KafkaAway(config, error.args[0].str()) from None
    finally:
        writer.close()
        feed.stop()
    seconds = time.monotonic() - started
    if as_json:
        ui.show_json({"offsets": records, "seconds": round(seconds, 1)})
    else:
        click.echo(f"The projection is made anew: {records:,} offsets of its topics in {seconds:.1f} s.")


def _fill(config: Settings, writer: Writer, progress: Callable[[str, float | None], None]) -> int:
    """Until everything that was there at the beginning is written; returns how many offsets that were."""
    admin = AdminClient(config.kafka_config(log_level=2))
    until = ends(admin, every(config))
    group = Pipeline(config, [Hop("projector", PROJECTOR_GROUP, TOPICS)])
    follower = Follower(config, writer, admin)
    total, asked, deserted = 0, 0.0, False
    try:
        while True:
            positions = writer.positions()
            behind = sum(max(0, end - positions.get(place, 0)) for place, end in until.items())
            total = max(total, behind)
            if not behind and positions.keys() >= until.keys():
                return total
            progress("Filling them from the topics", 1 - behind / total if total else None)
            if time.monotonic() - asked > MEMBERS_SECONDS:
                asked, deserted = time.monotonic(), group.deserted("projector")
            if deserted:
                follower.step()
            else:
                time.sleep(LOOK_SECONDS)
    finally:
        follower.close()
        group.close()


def look(config: Settings, writer: Writer) -> list[Place]:
    """Every partition.  Raises Away, KafkaAway."""
    positions = writer.positions()
    try:
        logs = ends(AdminClient(config.kafka_config(log_level=2)), every(config))
    except KafkaException as error:
        raise KafkaAway(config, error.args[0].str()) from None
    return [
        Place(place.topic, place.partition, positions.get(place), end) for place, end in sorted(logs.items())
    ]


def words(behind: int) -> str:
    """Where it stands in a line."""
    return f"The projection is {behind:,} behind." if behind else "Nothing is behind."


def nothing(revision: int) -> Any:
    """The contents of who only looks."""
    raise AssertionError(f"nothing is written here, so nobody asks for revision {revision}")
