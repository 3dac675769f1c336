"""What all connectors have in common: pages of records with the cursor behind each, and what may go wrong.

A connector is asked for all pages after a cursor.  Whoever has written a page keeps its cursor: from there on
the same connector reads what follows, in another process too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from config.errors import KhayweError

Record = dict[str, Any]
#: What a reference of the catalog refers to.
Secret = Callable[[str], str]
#: Records that may have one value of the cursor's field: those that were read are remembered, not read twice.
MOST_ALIKE = 10_000


class ConnectorError(KhayweError):
    """Records cannot be fetched; the message says of where, and what to do."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and the cursor behind them."""

    records: list[Record]
    cursor: str


class Connector(Protocol):
    """Where records come from."""

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """Pages after a cursor (None: all), until nothing is left for now.  Raises ConnectorError."""
        ...


_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number", enc_hook=str)
_number = msgspec.json.Decoder(float_hook=Decimal)


def encode(record: Record) -> bytes:
    """A record as JSON: the same bytes each time it is fetched, numbers exactly as they came."""
    return _encoder.encode(record)


def decode(body: bytes) -> Any:
    """JSON whose numbers stay exact.  Raises ValueError."""
    return _number.decode(body)


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    for step in path.split(".") if path else ():
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


@dataclass(slots=True)
class Since:
    """The largest value of the cursor's field so far, and which records had it.

    Sources that are asked for `>= value` say those again; they are left out, as is what lies below `floor`,
    the value that was asked for.
    """

    where: str
    path: str
    in_order: bool
    value: Any = None
    seen: dict[str, None] = field(default_factory=dict)
    floor: Any = None

    def fresh(self, records: list[Record]) -> list[Record]:
        """Those that were not read before; moves on.  Raises ConnectorError."""
        return [record for record in records if self._is_fresh(record)]

    def _is_fresh(self, record: Record) -> bool:
        value = at(record, self.path)
        if isinstance(value, Decimal):
            value = float(value)
        if value is None or isinstance(value, bool | list | dict):
            raise ConnectorError(
                f"{self.where}: a record has no {self.path}: {encode(record)[:200].decode(errors='replace')}",
                hint="cursor_field must stand in every record",
            )
        if not self.in_order and self.floor is not None and self._before(value, self.floor):
            return False
        digest = blake2b(encode(record), digest_size=12).hexdigest()
        if value == self.value:
            if digest in self.seen:
                return False
            self.seen[digest] = None
        elif self.value is None or self.in_order or self._before(self.value, value):
            self.value, self.seen = value, {digest: None}
        if len(self.seen) > MOST_ALIKE:
            raise ConnectorError(
                f"{self.where}: more than {MOST_ALIKE:,} records have {self.path} = {value!r}",
                hint="a cursor_field must be finer than that: a time with its seconds, or a number",
            )
        return True

    def _before(self, a: Any, b: Any) -> bool:
        (kind, first), (other, second) = _ordered(a), _ordered(b)
        if kind != other:
            raise ConnectorError(
                f"{self.where}: {self.path} is {a!r} here and {b!r} there: they have no order",
                hint="cursor_field must be a number, a time or text, the same in every record",
            )
        return bool(first < second)


def _ordered(value: Any) -> tuple[str, Any]:
    """What a cursor's value is, and something that sorts: `10` comes after `9`, 0:00:00.5Z after 0:00:00Z."""
    if not isinstance(value, str):
        return "number", value
    if value.isdecimal() and value.isascii():
        return "number", int(value)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return "text", value
    return "time", time if time.tzinfo is not None else time.replace(tzinfo=UTC)
