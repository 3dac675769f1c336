"""What a person may say of a data source, checked when it is saved: messages name the field."""

from __future__ import annotations

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from catalog import times
from catalog.connectors.config import Fetched, Files, Interval
from loyalty.events import COUNTED, SOURCE_TYPES

SourceType = Literal["cdr", "billing", "crm", "app", "network", "dwh", "xiva", "custom"]
#: What khaywe's own records on customer-events name as their source.
RESERVED_NAME = "khaywe"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class _Strict(BaseModel):
    # YAML reads a code or a column that is all digits as a number.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class IdFormat(_Strict):
    """How ids are made alike: characters are removed, then the longest prefix that fits is replaced, once."""

    remove: str = Field("", description="Characters that are taken out, e.g. ' -()'.")
    prefixes: dict[str, str] = Field({}, description="A beginning -> what stands in its place: 00 -> +.")

    @field_validator("prefixes")
    @classmethod
    def _prefixes_are_some(cls, value: dict[str, str]) -> dict[str, str]:
        if "" in value:
            raise ValueError("an empty prefix fits every id")
        return value


def _path(value: str) -> str:
    if any(not step or step != step.strip() for step in value.split(".")):
        raise ValueError(f"{value!r} is no field: a field is a name, or names joined by dots")
    return value


class EventMapping(_Strict):
    """Which fields of a raw record mean what.  A field is a dotted path."""

    customer_id_field: str
    timestamp_field: str
    event_type_field: str | None = None
    value_field: str | None = None
    event_id_field: str | None = None
    event_types: dict[str, str] | None = Field(None, description="The source's code -> event type.")
    event_type: str | None = Field(None, description="The one event type of a source of one kind.")
    value_scale: float = Field(1.0, description="value_field x value_scale is in the event type's unit.")
    timestamp_format: str = Field("iso8601", description="iso8601, epoch_s, epoch_ms, or a strptime format.")
    timezone: str = "UTC"
    id_format: IdFormat | None = None
    attributes: dict[str, str] = Field({}, description="Attribute -> field.")
    attributes_field: str | None = Field(
        None, description="A nested object whose entries all become attributes."
    )

    @field_validator(
        "customer_id_field",
        "timestamp_field",
        "event_type_field",
        "value_field",
        "event_id_field",
        "attributes_field",
    )
    @classmethod
    def _fields_are_paths(cls, value: str | None) -> str | None:
        return None if value is None else _path(value)

    @field_validator("event_type")
    @classmethod
    def _type_exists(cls, value: str | None) -> str | None:
        if value is not None:
            _event_type(value)
        return value

    @field_validator("event_types")
    @classmethod
    def _types_exist(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        if value is not None:
            if not value:
                raise ValueError("names no code")
            for event_type in value.values():
                _event_type(event_type)
        return value

    @field_validator("value_scale")
    @classmethod
    def _scale_is_a_factor(cls, value: float) -> float:
        if not 0 < abs(value) < 1e12:
            raise ValueError("must be a number other than 0")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        times.zone(value)
        return value

    @field_validator("timestamp_format")
    @classmethod
    def _format_reads_times(cls, value: str) -> str:
        times.check_format(value)
        return value

    @field_validator("attributes")
    @classmethod
    def _attributes_are_named(cls, value: dict[str, str]) -> dict[str, str]:
        for name, path in value.items():
            if not name or name.startswith("_"):
                raise ValueError(f"attribute {name!r}: names that begin with _ are khaywe's own")
            _path(path)
        return value

    @model_validator(mode="after")
    def _has_a_type(self) -> Self:
        if (self.event_type is None) == (self.event_type_field is None):
            raise ValueError("say either event_type (a source of one kind) or event_type_field")
        if self.event_type is not None and self.event_types is not None:
            raise ValueError("event_types goes with event_type_field, not with event_type")
        return self

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if self.value_field is None:
            if self.value_scale != 1.0:
                raise ValueError("value_scale: there is no value_field")
            named = [self.event_type] if self.event_type else (self.event_types or {}).values()
            for event_type in named:
                if event_type not in COUNTED:
                    raise ValueError(f"value_field: {event_type} needs a value")
        return self

    def fields(self) -> dict[str, str]:
        """Every field that is read: the mapping's key (`attributes.<name>` for an attribute) -> its path."""
        keys = (
            "customer_id_field", "event_type_field", "value_field", "timestamp_field", "event_id_field",
            "attributes_field",
        )  # fmt: skip
        found = {key: getattr(self, key) for key in keys if getattr(self, key) is not None}
        return found | {f"attributes.{name}": path for name, path in self.attributes.items()}


def _event_type(name: str) -> None:
    if name.startswith("_"):
        raise ValueError(f"{name!r}: event types that begin with _ are khaywe's own")
    if name not in SOURCE_TYPES:
        raise ValueError(f"there is no event type {name!r}; there are {', '.join(sorted(SOURCE_TYPES))}")


class Connection(_Strict):
    """Where the raw records come from and what their bytes are."""

    kafka_topic: str | None = None
    format: Literal["json", "csv", "avro"] = "json"
    columns: tuple[str, ...] | None = Field(None, description="CSV: the names of the columns, in order.")
    delimiter: str = Field(",", min_length=1, max_length=1)
    avro_schema: dict[str, Any] | None = Field(None, description="Avro without framing: the writer's schema.")
    schema_registry: str | None = Field(
        None, description="Avro with Confluent's framing: the registry's URL."
    )
    poll: Fetched | None = Field(None, description="Fetched on a schedule, instead of being sent.")
    interval: Interval = Field(300, description="Of a poll: '5 minutes', 'hourly'.")

    @field_validator("kafka_topic")
    @classmethod
    def _topic_is_legal(cls, value: str | None) -> str | None:
        if value is not None and (not _TOPIC.fullmatch(value) or value in (".", "..")):
            raise ValueError("a topic has letters, digits, '.', '_' and '-', at most 249")
        return value

    @model_validator(mode="after")
    def _says_what_the_format_needs(self) -> Self:
        if (self.format == "csv") != (self.columns is not None):
            raise ValueError("columns go with format csv, which needs them")
        if self.columns is not None and (
            not self.columns or len(set(self.columns)) != len(self.columns) or not all(self.columns)
        ):
            raise ValueError("columns: every column needs a name of its own")
        if self.delimiter in '"\r\n ':
            raise ValueError("delimiter: a quote, a space or a line break cannot be one")
        if self.format == "avro":
            if (self.avro_schema is None) == (self.schema_registry is None):
                raise ValueError("format avro needs either avro_schema or schema_registry")
            if self.avro_schema is not None:
                import fastavro

                try:
                    fastavro.parse_schema(self.avro_schema)
                except Exception as error:  # fastavro has no base of its errors
                    raise ValueError(f"avro_schema: {type(error).__name__} {error}") from None
                if self.avro_schema.get("type") != "record":
                    raise ValueError("avro_schema: must be a record")
            else:
                _registry(self.schema_registry or "")
        elif self.avro_schema is not None or self.schema_registry is not None:
            raise ValueError("avro_schema and schema_registry go with format avro")
        return self

    @model_validator(mode="after")
    def _can_be_polled(self) -> Self:
        if self.poll is None:
            if "interval" in self.model_fields_set:
                raise ValueError("interval: goes with poll")
            return self
        if self.format != "json":
            raise ValueError("format: what is polled is written as json")
        if not isinstance(self.poll, Files) and self.poll.cursor_field is None:
            raise ValueError("poll.cursor_field: is needed, or every poll would bring every record again")
        return self

    def names(self) -> tuple[str, ...] | None:
        """What stands at the top of every record, where the connection says it."""
        if self.avro_schema is not None:
            return tuple(str(field["name"]) for field in self.avro_schema["fields"])
        return self.columns


def _registry(address: str) -> None:
    try:
        url = urlsplit(address)
        host = url.hostname
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https"):
        raise ValueError("schema_registry: must be a URL that begins with http:// or https://")
    if url.username or url.password:
        raise ValueError("schema_registry: a catalog carries no secrets, and this URL has one")


class DataSource(_Strict):
    """A data source, as it is added."""

    name: str
    source_type: SourceType
    connection_config: Connection = Field(default_factory=lambda: Connection.model_validate({}))
    event_mapping: EventMapping
    is_active: bool = True

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "a name has small letters, digits, '_' and '-', at most 63, and begins with no sign"
            )
        if value == RESERVED_NAME:
            raise ValueError(f"{value} is the source of khaywe's own records")
        return value

    @model_validator(mode="after")
    def _fields_are_there(self) -> Self:
        names = self.connection_config.names()
        for key, path in self.event_mapping.fields().items():
            if names is not None and path.split(".")[0] not in names:
                raise ValueError(
                    f"event_mapping.{key}: there is no {path!r} in a record, which has {', '.join(names)}"
                )
        return self
