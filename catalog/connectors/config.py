"""What a person says of how records are fetched: REST, SQL or files; messages name the field."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from catalog.secrets import Reference

_SPAN = re.compile(r"(\d+) (second|minute|hour|day|week)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_WORDS = {"hourly": 3_600, "daily": 86_400, "weekly": 604_800}
LONGEST_INTERVAL = 31 * 86_400
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
#: Of a header that would carry a secret.
_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization"}
SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".pq")


def seconds(given: Any) -> Any:
    """`5 minutes`, `daily` or a number of seconds, as seconds."""
    if isinstance(given, str):
        if given in _WORDS:
            return _WORDS[given]
        found = _SPAN.fullmatch(given.strip())
        if found is None:
            raise ValueError(f"must be like '5 minutes', 'hourly' or 'daily', not {given!r}")
        return int(found[1]) * _SECONDS[found[2]]
    return given


Interval = Annotated[int, BeforeValidator(seconds), Field(ge=1, le=LONGEST_INTERVAL)]


class _Strict(BaseModel):
    # YAML reads what is all digits as a number.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Bearer(_Strict):
    """`Authorization: Bearer`."""

    kind: Literal["bearer"]
    token: Reference


class Basic(_Strict):
    """`Authorization: Basic`."""

    kind: Literal["basic"]
    username: str = Field(min_length=1)
    password: Reference


class OnePage(_Strict):
    """All of it comes at once."""

    kind: Literal["none"]


class ByPage(_Strict):
    """Pages have numbers; the first without records is the end."""

    kind: Literal["page"]
    param: str = "page"
    first: int = Field(1, ge=0, le=1)
    size_param: str | None = None
    size: int = Field(100, ge=1, le=10_000)


class ByOffset(_Strict):
    """A page begins after so many records; the first without records is the end."""

    kind: Literal["offset"]
    param: str = "offset"
    size_param: str | None = "limit"
    size: int = Field(100, ge=1, le=10_000)


class ByCursor(_Strict):
    """An answer says what to ask the next one with; the last one says nothing."""

    kind: Literal["cursor"]
    field: str = Field(description="Dotted path in the answer.")
    param: str
    size_param: str | None = None
    size: int = Field(100, ge=1, le=10_000)


class ByLink(_Strict):
    """An answer has a header `Link` with rel="next", to the same host; the last one has none."""

    kind: Literal["link"]
    size_param: str | None = None
    size: int = Field(100, ge=1, le=10_000)


class Rest(_Strict):
    """Records of an HTTP API, as JSON."""

    kind: Literal["rest"]
    url: str
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    auth: Annotated[Bearer | Basic, Field(discriminator="kind")] | None = None
    records: str = Field("", description="Dotted path to the list of records; empty: the answer is the list.")
    paging: Annotated[OnePage | ByPage | ByOffset | ByCursor | ByLink, Field(discriminator="kind")] = Field(
        default_factory=lambda: OnePage(kind="none")
    )
    cursor_field: str | None = Field(None, description="Field of a record that only grows.")
    cursor_param: str | None = Field(None, description="Parameter that asks for records from a value on.")
    cursor_start: str | None = Field(None, description="Its value at the first time; left out: all records.")
    in_order: bool = Field(
        False, description="The last record has the newest cursor, whatever it looks like."
    )
    timeout: float = Field(30.0, gt=0, le=300, description="Seconds an answer may take, all of it.")
    attempts: int = Field(5, ge=1, le=10, description="Times one page is asked for.")

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            host, _ = url.hostname, url.port
        except ValueError:
            host = None
        if not host or url.scheme not in ("http", "https"):
            raise ValueError("must be a URL that begins with http:// or https://")
        if url.username or url.password:
            raise ValueError("a catalog carries no secrets, and this URL has one: say it as auth")
        if url.fragment:
            raise ValueError("a URL that is fetched has no #")
        return value

    @field_validator("headers")
    @classmethod
    def _headers_are_plain(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not _HEADER.fullmatch(name) or not content.isprintable() or not content.isascii():
                raise ValueError(f"{name!r}: is no header")
            if name.lower() in _SECRET_HEADERS:
                raise ValueError(f"{name}: a catalog carries no secrets: say it as auth")
        return value

    @model_validator(mode="after")
    def _cursor_is_whole(self) -> Self:
        if (self.cursor_field is None) != (self.cursor_param is None):
            raise ValueError("cursor_param: goes with cursor_field")
        if self.cursor_field is None and (self.cursor_start is not None or self.in_order):
            raise ValueError("cursor_field: cursor_start and in_order go with it")
        return self


class Sql(_Strict):
    """Rows of a query on PostgreSQL."""

    kind: Literal["sql"]
    database: Reference = Field(description="Reference to postgresql://user:password@host:5432/database.")
    query: str = Field(min_length=1, max_length=20_000, description="One SELECT, without its ORDER BY.")
    cursor_field: str | None = Field(None, description="Column of the query that only grows.")
    cursor_start: str | None = Field(None, description="Its value at the first time; left out: all rows.")
    page: int = Field(1_000, ge=1, le=10_000, description="Rows of one Kafka transaction.")
    timeout: float = Field(300.0, gt=0, le=3_600, description="Seconds the query may take.")

    @field_validator("query")
    @classmethod
    def _is_one_query(cls, value: str) -> str:
        value = value.strip().rstrip(";").rstrip()
        if ";" in value or "\0" in value:
            raise ValueError("must be one SELECT, without a semicolon")
        return value


class Files(_Strict):
    """Files of a folder, in the order of their names: CSV with a header line, JSON lines, Parquet."""

    kind: Literal["files"]
    folder: str = Field(min_length=1, description="Below KHAYWE_IMPORTS.")
    pattern: str = Field("*", description="Which of its files, as a shell has it: *.csv")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Of CSV.")
    page: int = Field(1_000, ge=1, le=10_000, description="Records of one Kafka transaction.")

    @field_validator("folder")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\0" in value:
            raise ValueError("must be a folder below KHAYWE_IMPORTS, like 'billing/daily'")
        return value

    @field_validator("pattern")
    @classmethod
    def _names_files(cls, value: str) -> str:
        if not value or "/" in value or "\0" in value:
            raise ValueError("must be a pattern of file names, like '*.csv'")
        return value


Fetched = Annotated[Rest | Sql | Files, Field(discriminator="kind")]
