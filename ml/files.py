"""Files of features as matrices: CSV with a header line, columns in any order, each value checked.

Whoever reads a refusal learns the line and the column, so that it can be mended.
"""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import KhayweError
from ml.card import Column

STDIN = "-"
_LARGEST = float(np.finfo(np.float32).max)


class FileUnusable(KhayweError):
    """A file is not what a model takes; the message names the line and the column."""


def read_csv(
    path: str, columns: Sequence[Column], label: str | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """The matrix of a file's rows, shape (rows, columns), and its label (0 or 1) where one is asked for.

    Names of columns may differ in case, blanks and underscores; columns that nobody asks for are left alone.
    `-` is standard input.  Raises FileUnusable.
    """
    name = "standard input" if path == STDIN else path
    rows = _rows(path, name)
    header = next(rows, None)
    if header is None:
        raise FileUnusable(f"{name} is empty: there is no header line", hint=_columns(columns))
    wanted = [column.name for column in columns] + ([label] if label else [])
    places = _places(name, header[1], wanted, columns)
    values: list[list[float]] = []
    labels: list[float] = []
    for line, fields in rows:
        if len(fields) != len(header[1]):
            raise FileUnusable(
                f"{name}, line {line}: {len(fields)} fields, the header line names {len(header[1])}"
            )
        values.append(
            [_value(fields[at], column, name, line) for at, column in zip(places, columns, strict=False)]
        )
        if label:
            labels.append(_value(fields[places[-1]], Column(label, "", "", "", allowed=[0, 1]), name, line))
    matrix = np.array(values, np.float32).reshape(len(values), len(columns))
    return matrix, np.array(labels) if label else None


def _rows(path: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of each line that is not blank."""
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise FileUnusable(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FileUnusable(f"{name} is no UTF-8: {error.reason} at byte {error.start}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields and (len(fields) > 1 or fields[0].strip()):
                yield reader.line_num, fields
    except csv.Error as error:
        raise FileUnusable(f"{name}, line {reader.line_num}: no CSV: {error}") from None


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "", name).casefold()


def _places(name: str, header: list[str], wanted: list[str], columns: Sequence[Column]) -> list[int]:
    """Where each wanted column is: under its very name, else under one that differs in case and blanks."""
    places = []
    for each in wanted:
        found = [at for at, given in enumerate(header) if given == each]
        found = found or [at for at, given in enumerate(header) if _plain(given) == _plain(each)]
        if not found:
            raise FileUnusable(f"{name} has no column {each!r}", hint=_columns(columns))
        if len(found) > 1:
            given = ", ".join(repr(header[at]) for at in found)
            raise FileUnusable(f"{name}: which column is {each!r}? The header line has {given}")
        places.append(found[0])
    return places


def _value(text: str, column: Column, name: str, line: int) -> float:
    where = f"{name}, line {line}, column {column.name!r}"
    text = text.strip()
    if not text:
        raise FileUnusable(f"{where}: no value", hint="fill it in, or leave the row out")
    try:
        value = float(text)
    except ValueError:
        raise FileUnusable(f"{where}: {text!r} is no number{_choices(column)}") from None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise FileUnusable(f"{where}: {text!r} is no finite number", hint="fill it in, or leave the row out")
    if column.allowed is not None and value not in column.allowed:
        raise FileUnusable(f"{where}: {text!r} is no known category{_choices(column)}")
    if column.least is not None and value < column.least:
        raise FileUnusable(f"{where}: {text!r} is below {column.least:g}")
    return value


def _choices(column: Column) -> str:
    return f", one of {', '.join(f'{each:g}' for each in column.allowed)} is" if column.allowed else ""


def _columns(columns: Sequence[Column]) -> str:
    return f"the columns are {', '.join(column.name for column in columns)}"
