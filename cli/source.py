"""`khaywe source`: data sources, from flags or YAML, and what a sample record of one becomes.

An edit is a catalog revision and is published at once; where Kafka is away the edit stands, and a worker
publishes it later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml
from confluent_kafka import KafkaException, Producer

from agents.trial import Outcome, Trial, became
from catalog import yaml_text
from catalog.content import SourceContent
from catalog.mapping import Rejected, Step
from catalog.service import CatalogService, content_of, decisions_of, parse_source
from cli import ui
from cli.main import explained
from cli.trial import try_file
from config.errors import KhayweError
from config.settings import Settings, settings
from streams.topics import ensure_raw_topic

# Someone waits for the answer: less than catalog.service waits for.  librdkafka's own log is not for users.
AT_ONCE: dict[str, Any] = {
    "message.timeout.ms": 8_000,
    "topic.metadata.propagation.max.ms": 4_000,
    "log_level": 2,
}

json_option = click.option("--json", "as_json", is_flag=True, help="For a program to read.")
file_option = click.option(
    "--file", type=click.Path(exists=True, dir_okay=False), help="YAML: one data source, or a list of them."
)


@contextmanager
def open_catalog(config: Settings) -> Iterator[CatalogService]:
    """The catalog, for as long as a command needs it."""
    service = CatalogService(config.database_url(), config)
    try:
        service.ensure_first_revision()
        yield service
    finally:
        service.close()


def _pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`a=b` as often as it is said, several joined by commas."""
    found = {}
    for pair in ",".join(given).split(",") if given else ():
        left, equals, right = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r} is not of the form {param.metavar}")
        found[left.strip()] = right.strip()
    return found


class _Yaml(yaml.SafeLoader):
    """YAML in which 007 is a code and no octal number."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:int"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)


def read_sources(path: str) -> list[dict[str, Any]]:
    """The data sources of a YAML file: one mapping, or a list of them.  Raises KhayweError."""
    try:
        found = yaml.load(yaml_text.read(Path(path)), _Yaml)
    except (yaml.YAMLError, ValueError) as error:
        raise KhayweError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    sources = found if isinstance(found, list) else [found]
    if not sources or not all(isinstance(each, dict) for each in sources):
        raise KhayweError(
            f"{path}: must be a data source (name, source_type, event_mapping ...) or a list of them"
        )
    return sources


@click.group()
def source() -> None:
    """Data sources: where raw records come from, and which of their fields mean what."""


@source.command()
@click.argument("name", required=False)
@file_option
@click.option("--type", "source_type", metavar="TYPE", help="cdr, billing, crm, app, network, dwh, ...")
@click.option("--topic", metavar="TOPIC", help="Raw topic; raw_NAME_events if not said.")
@click.option("--format", "format_", type=click.Choice(["json", "csv", "avro"]), help="json if not said.")
@click.option("--columns", metavar="A,B,...", help="CSV: the columns, in order.")
@click.option("--delimiter", metavar="CHAR", help="CSV: what stands between them; a comma if not said.")
@click.option("--avro-schema", type=click.File(), help="Avro without framing: the writer's schema.")
@click.option("--schema-registry", metavar="URL", help="Avro with framing: the schema registry.")
@click.option("--customer-id", metavar="FIELD", help="The customer's id.")
@click.option("--timestamp", metavar="FIELD", help="When it happened.")
@click.option(
    "--timestamp-format", metavar="FORMAT", help="iso8601 (if not said), epoch_s, epoch_ms, strptime."
)
@click.option("--timezone", metavar="ZONE", help="Zone of times without an offset; UTC if not said.")
@click.option("--event-type", metavar="TYPE", help="Event type of all its records.")
@click.option("--event-type-field", metavar="FIELD", help="Field with the event type, or a code for one.")
@click.option("--event-types", metavar="CODE=TYPE", multiple=True, callback=_pairs, help="What codes mean.")
@click.option("--value", metavar="FIELD", help="Field with the value.")
@click.option("--value-scale", type=float, metavar="N", help="Value x N is in the event type's unit.")
@click.option("--event-id", metavar="FIELD", help="The record's own id; a hash of it if not said.")
@click.option(
    "--attribute", "attributes", metavar="NAME=FIELD", multiple=True, callback=_pairs, help="A field to keep."
)
@json_option
def add(name: str | None, file: str | None, as_json: bool, **flags: Any) -> None:
    """Add the data source NAME as the flags say, or those of a file.

    docs/sources.md explains every key, and which of them only a file can say.
    """
    said = any(value not in (None, {}) for value in flags.values())
    if file is not None:
        if name is not None or said:
            raise click.UsageError("--file says it all: leave out NAME and the other flags")
        given = read_sources(file)
    elif name is None:
        raise click.UsageError("give NAME and flags, or --file FILE")
    else:
        given = [_from_flags(name, **flags)]
    config = settings()
    with open_catalog(config) as service:
        revision = service.add_sources(given)
        _tell(config, service, revision, "added", [each["name"] for each in given], as_json)


def _from_flags(
    name: str,
    source_type: str | None,
    topic: str | None,
    format_: str | None,
    columns: str | None,
    delimiter: str | None,
    avro_schema: Any,
    customer_id: str | None,
    timestamp: str | None,
    event_types: dict[str, str],
    value: str | None,
    event_id: str | None,
    attributes: dict[str, str],
    schema_registry: str | None,
    **others: Any,
) -> dict[str, Any]:
    for flag, said in (("--type", source_type), ("--customer-id", customer_id), ("--timestamp", timestamp)):
        if said is None:
            raise click.UsageError(f"{flag} is missing")
    try:
        schema = json.load(avro_schema) if avro_schema is not None else None
    except ValueError as error:
        raise KhayweError(f"{avro_schema.name}: no JSON: {error}") from None
    connection = {
        "kafka_topic": topic,
        "format": format_,
        "columns": columns.split(",") if columns is not None else None,
        "delimiter": delimiter,
        "avro_schema": schema,
        "schema_registry": schema_registry,
    }
    mapping = {
        "customer_id_field": customer_id,
        "timestamp_field": timestamp,
        "event_types": event_types or None,
        "value_field": value,
        "event_id_field": event_id,
        "attributes": attributes or None,
        **others,  # timestamp_format, timezone, event_type, event_type_field, value_scale
    }
    return {
        "name": name,
        "source_type": source_type,
        "connection_config": {key: said for key, said in connection.items() if said is not None},
        "event_mapping": {key: said for key, said in mapping.items() if said is not None},
    }


@source.command()
@click.option(
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="YAML: one data source, or a list of them, whole.",
)
@json_option
def update(file: str, as_json: bool) -> None:
    """Replace data sources by what a file says of them.

    `khaywe source show NAME` prints one as such a file.
    """
    given = read_sources(file)
    config = settings()
    with open_catalog(config) as service:
        revision = service.update_sources(given)
        _tell(config, service, revision, "changed", [each["name"] for each in given], as_json)


@source.command()
@click.argument("name")
@json_option
def enable(name: str, as_json: bool) -> None:
    """Switch a data source on; its topic is made if there is none."""
    config = settings()
    with open_catalog(config) as service:
        _tell(config, service, service.switch_source(name, True), "enabled", [name], as_json)


@source.command()
@click.argument("name")
@json_option
def disable(name: str, as_json: bool) -> None:
    """Switch a data source off: its records wait in their topic."""
    config = settings()
    with open_catalog(config) as service:
        _tell(config, service, service.switch_source(name, False), "disabled", [name], as_json)


def _tell(
    config: Settings, service: CatalogService, revision: int, what: str, names: list[str], as_json: bool
) -> None:
    """Publish the edit, make the topics it needs, and say what happened."""
    made: list[str] = []
    published, away = True, ""
    wanted = [source.topic for source in service.sources() if source.name in names and source.is_active]
    try:
        service.publish_outbox(Producer(config.producer_config(**AT_ONCE)))
    except (KhayweError, KafkaException) as error:
        published, away = False, explained(error)[0]
    if published:
        made = [topic for topic in wanted if ensure_raw_topic(config, topic)]
    if as_json:
        ui.show_json(
            {"sources": names, "revision": revision, "published": published, "topics_made": made}
            | ({"reason": away} if away else {})
        )
        return
    click.echo(f"{what} {', '.join(names)}: revision {revision}{', published' if published else ''}")
    for topic in made:
        click.echo(f"made topic {topic}")
    if not published:
        click.echo(
            f"not published yet: {away}\nThe edit stands: a worker publishes it as soon as it reaches Kafka.",
            err=True,
        )
        if wanted:
            click.echo(
                f"Topic {', '.join(wanted)}, if it is missing then: `khaywe source enable NAME` makes it.",
                err=True,
            )


@source.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show all data sources."""
    with open_catalog(settings()) as service:
        sources = service.sources()
    if as_json:
        ui.show_json([_plain(each) for each in sources])
        return
    ui.show_table(
        ("name", "type", "on", "topic", "format", "events"),
        [
            (
                each.name,
                each.source_type,
                each.is_active,
                each.topic,
                each.connection_config.get("format", "json"),
                _events(each.event_mapping),
            )
            for each in sources
        ],
    )


def _events(mapping: dict[str, Any]) -> str:
    if "event_type" in mapping:
        return str(mapping["event_type"])
    if "event_types" in mapping:
        return ", ".join(sorted(set(mapping["event_types"].values())))
    return f"as {mapping['event_type_field']} says"


@source.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a data source as YAML that `khaywe source update --file` reads."""
    with open_catalog(settings()) as service:
        found = _plain(service.source(name))
    if as_json:
        ui.show_json(found)
    else:
        click.echo(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), nl=False)


def _plain(source: SourceContent) -> dict[str, Any]:
    """A data source in the order in which people write it."""
    first = ("name", "source_type", "is_active", "connection_config", "event_mapping")
    return {key: getattr(source, key) for key in first}


@source.command()
@click.argument("name", required=False)
@click.option(
    "--source-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Data sources that are not saved yet; NAME says which, if there are several.",
)
@click.option(
    "--record", metavar="RECORD", help="A record as it stands in the raw topic: JSON or a CSV line."
)
@click.option(
    "--file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), help="As for `khaywe ingest`."
)
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    name: str | None,
    source_file: str | None,
    record: str | None,
    file: str | None,
    as_json: bool,
) -> None:
    """Show what records of a data source become, field by field; nothing is sent or saved.

    Of a file, every record is tried; shown are the first that fits and the first of each fault.  Exit code 1
    where a record does not fit.
    """
    if (record is None) == (file is None):
        raise click.UsageError("give either --record RECORD or --file FILE")
    trial = _trial(settings(), name, source_file)
    if record is not None:
        outcomes, counts = [trial.text(record)], None
    else:
        assert file is not None
        outcomes, counts = try_file(trial, file)
    if as_json:
        shown = [outcome.plain() for outcome in outcomes]
        ui.show_json(shown[0] if counts is None else {"records": counts, "samples": shown})
    else:
        for outcome in outcomes:
            if counts is not None:
                click.echo(f"record {outcome.number}:")
            _show(outcome)
        if counts is not None:
            ui.show_table(("outcome", "records"), list(counts.items()))
    ctx.exit(1 if any(outcome.rejected is not None for outcome in outcomes) else 0)


def _trial(config: Settings, name: str | None, source_file: str | None) -> Trial:
    if source_file is None:
        if name is None:
            raise click.UsageError("give NAME of a data source, or --source-file FILE")
        with open_catalog(config) as service:
            content = service.latest()
            return Trial(service.source(name), content.decisions)
    given = read_sources(source_file)
    found = [each for each in given if name in (None, each.get("name"))]
    if len(found) != 1:
        names = ", ".join(str(each.get("name")) for each in given)
        raise click.UsageError(f"give NAME: {source_file} has {names}")
    return Trial(content_of(parse_source(found[0])), decisions_of(config))


def _shown(step: Step) -> str | None:
    if isinstance(step.result, Rejected):
        return step.result.message
    return None if step.result is None else _text(became(step))


def _show(outcome: Outcome) -> None:
    if outcome.steps:
        ui.show_table(
            ("member", "field", "what stands there", "what it becomes"),
            [
                (
                    step.member,
                    step.field,
                    None if step.found is None else _text(step.found),
                    _shown(step),
                )
                for step in outcome.steps
            ],
        )
    if outcome.rejected is None:
        click.echo(f"CustomerEvent: {_text(outcome.event)}")
    else:
        click.echo(f"dead letter: {outcome.rejected.reason}: {outcome.rejected.message}")


def _text(value: Any) -> str:
    """As JSON writes it, so that a number and a text that looks like one are told apart."""
    return msgspec.json.encode(value, enc_hook=str).decode()
