"""Files of raw records, row by row: CSV with a header line, JSON lines, Parquet, or standard input.

A row keeps its bytes where the file has it as a line, so that a source gets exactly what the file says.
Nothing is judged here but whether the file can be read as what it is; the normaliser judges records.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from config.errors import KhayweError

STDIN = "-"
KINDS = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
#: Rows of a Parquet file held in memory at a time.
PARQUET_ROWS = 10_000

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Unreadable(KhayweError):
    """The file is not what it seems to be; the message names the line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its number in the file, its fields, and its bytes where the file holds them as a line."""

    number: int
    fields: dict[str, Any]
    line: bytes | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """A file that can be read: `kind` is csv, json or parquet; `size` in bytes, else None."""

    name: str
    kind: str
    size: int | None
    _file: BinaryIO

    def rows(self, columns: Sequence[str] | None = None, delimiter: str = ",") -> Iterator[Row]:
        """Every row.  Raises Unreadable.

        `columns` are those of a source that takes CSV lines: a header line that repeats them is left out, and
        a file without one has them too.
        """
        if self.kind == "csv":
            return _csv(self.name, self._file, columns, delimiter)
        if self.kind == "json":
            return _json(self.name, self._file)
        return _parquet(self.name, self._file)

    def read(self) -> int:
        """Bytes read so far."""
        return self._file.tell() if self.size is not None else 0

    def close(self) -> None:
        """Let go of the file."""
        if self.name != STDIN:
            self._file.close()


def open_records(path: str) -> Records:
    """Open a file by its suffix, or standard input (`-`) by its first byte.  Raises Unreadable, OSError."""
    if path == STDIN:
        stream = cast(io.BufferedReader, sys.stdin.buffer)
        kind = "json" if stream.peek(1)[:1] == b"{" else "csv"
        return Records(STDIN, kind, None, stream)
    kind = KINDS.get(Path(path).suffix.lower(), "")
    if not kind:
        raise Unreadable(
            f"{path}: what kind of file is this?",
            hint=f"its name must end in {', '.join(KINDS)}; `-` reads CSV or JSON lines from standard input",
        )
    # Parquet is read by column: its bytes are no measure of progress.
    size = None if kind == "parquet" else Path(path).stat().st_size
    return Records(path, kind, size, open(path, "rb"))


def _unreadable(name: str, number: int, why: str) -> Unreadable:
    return Unreadable(f"{'standard input' if name == STDIN else name}, line {number}: {why}")


class _Lines:
    """Text lines for csv.reader, which keeps the bytes of those it has taken for a row."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.taken: list[bytes] = []
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        self.number += 1
        if self.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        self.taken.append(line)
        return line.decode()


def _csv(name: str, file: BinaryIO, columns: Sequence[str] | None, delimiter: str) -> Iterator[Row]:
    lines = _Lines(file)
    names = list(columns) if columns else []
    first = 1
    try:
        for values in csv.reader(lines, delimiter=delimiter, strict=True):
            taken, lines.taken = lines.taken, []
            number, first = first, lines.number + 1
            if not values:
                continue
            if number == 1:
                if not names:
                    names = _header(name, values)
                    continue
                if values == names:
                    continue
            if len(values) != len(names):
                whose = "source" if columns else "header line"
                raise _unreadable(name, number, f"{len(values)} fields, the {whose} names {len(names)}")
            line = taken[0] if len(taken) == 1 else b"".join(taken)
            yield Row(number, dict(zip(names, values, strict=True)), line.rstrip(b"\r\n"))
    except csv.Error as error:
        raise _unreadable(name, first, f"no CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(name, lines.number, f"no UTF-8: {error.reason} at byte {error.start}") from None
    if not names:
        raise _unreadable(name, 1, "there is no header line")


def _header(name: str, values: list[str]) -> list[str]:
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise _unreadable(name, 1, f"the header line names {twice!r} twice")
    return values


def _json(name: str, file: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(file, 1):
        line = line.strip()
        if not line:
            continue
        try:
            yield Row(number, _decode(line), line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable(name, number, f"no JSON object: {error}") from None


def _parquet(name: str, file: BinaryIO) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        number = 0
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=PARQUET_ROWS):
            for fields in _in_microseconds(batch).to_pylist():
                number += 1
                yield Row(number, fields)
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(f"{name}: no Parquet file, or a broken one: {error}") from None


def _in_microseconds(batch: Any) -> Any:
    """The batch with times as Python can hold them."""
    import pyarrow

    for place, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(place).cast(pyarrow.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(place, field.name, column)
    return batch


def as_json(row: Row) -> bytes:
    """A row as a JSON object; CSV values stay strings, times become ISO 8601."""
    return msgspec.json.encode(row.fields)


def as_csv(columns: Sequence[str], delimiter: str) -> Callable[[Row], bytes]:
    """Encoder of rows as CSV lines of these columns; what a row lacks is empty."""

    def encode(row: Row) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="")
        writer.writerow(["" if (value := row.fields.get(name)) is None else value for name in columns])
        return text.getvalue().encode()

    return encode


def as_avro(schema: dict[str, Any], prefix: bytes = b"") -> Callable[[Row], bytes]:
    """Encoder of rows as Avro records of `schema`, after `prefix`; raises Unreadable."""
    import fastavro

    parsed = fastavro.parse_schema(schema)

    def encode(row: Row) -> bytes:
        stream = io.BytesIO(prefix)
        stream.seek(len(prefix))
        try:
            fastavro.schemaless_writer(stream, parsed, row.fields)
        except Exception as error:  # fastavro raises whatever its parts raise
            raise Unreadable(
                f"record {row.number} does not fit the source's Avro schema: {error}",
                hint="Avro needs numbers as numbers: JSON lines and Parquet keep types, CSV has only text",
            ) from None
        return stream.getvalue()

    return encode
