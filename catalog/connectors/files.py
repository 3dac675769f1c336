"""Records of files in a folder that is watched: CSV with a header line, JSON lines, Parquet.

Files are read in the order of their names, and a name that comes before one that was read is not looked at
again: whoever writes them gives later files later names.  The last file may grow.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from catalog.connectors.config import SUFFIXES, Files
from catalog.connectors.pages import ConnectorError, Page, Record
from catalog.records import Records, Unreadable, open_records

#: Seconds a file must have been left alone until its last line counts without its line break, and until one
#: that cannot be read is broken rather than unfinished.
SETTLED = 60.0
#: What tools call files that they are still writing.
UNFINISHED = (".tmp", ".part", ".partial", ".crdownload")


class _Place(msgspec.Struct, frozen=True):
    """The cursor: so many records of this file, and all files with names before it."""

    file: str
    records: int
    size: int = -1  # of the file when it was read to its end; -1: it was not


class _Upto:
    """The lines of a file up to a line break at `end` bytes."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._left = end

    def __iter__(self) -> _Upto:
        return self

    def __next__(self) -> bytes:
        if self._left <= 0:
            raise StopIteration
        line = next(self._file)
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()


class FilesConnector:
    """Implements `catalog.connectors.pages.Connector`."""

    def __init__(self, config: Files, imports: Path) -> None:
        """`imports`: the directory that all folders are below."""
        self._config = config
        self._folder = imports / config.folder
        self._imports = imports

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """See `Connector`."""
        place = _read(cursor)
        names = self._names()
        for name in names:
            if name < place.file:
                continue
            begun = place if name == place.file else _Place(name, 0)
            last = name == names[-1]
            try:
                yield from self._file(begun, last)
            except (Unreadable, OSError) as error:
                if last and self._age(name) < SETTLED:
                    return  # it is being written
                raise ConnectorError(
                    f"{error}; what stands before it was read",
                    hint="mend it, or move it out of the folder: files after it wait",
                ) from None

    def _names(self) -> list[str]:
        root = self._imports.resolve()
        folder = self._folder.resolve()
        if not folder.is_relative_to(root):
            raise ConnectorError(f"{self._folder} leads out of KHAYWE_IMPORTS, {root}")
        try:
            found = sorted(each.name for each in folder.iterdir() if each.is_file())
        except OSError as error:
            raise ConnectorError(
                f"{self._folder} cannot be read: {error.strerror}",
                hint="KHAYWE_IMPORTS says what it is below",
            ) from None
        return [
            name
            for name in found
            if not name.startswith(".")
            and not name.endswith(UNFINISHED)
            and Path(name).suffix.lower() in SUFFIXES
            and fnmatchcase(name, self._config.pattern)
        ]

    def _file(self, begun: _Place, last: bool) -> Iterator[Page]:
        name, path = begun.file, self._folder / begun.file
        if not path.resolve().is_relative_to(self._imports.resolve()):
            raise ConnectorError(f"{path} is a link out of KHAYWE_IMPORTS")
        size = path.stat().st_size
        if size in (0, begun.size):
            return
        records, end = self._open(path, size, last)
        page: list[Record] = []
        count = 0
        try:
            for row in records.rows(delimiter=self._config.delimiter):
                count += 1
                if count <= begun.records:
                    continue
                page.append(row.fields)
                if len(page) >= self._config.page:
                    yield Page(page, _write(_Place(name, count)))
                    page = []
        except (Unreadable, OSError):
            if page:
                yield Page(page, _write(_Place(name, count)))
            raise
        finally:
            records.close()
        yield Page(page, _write(_Place(name, max(count, begun.records), end)))

    def _open(self, path: Path, size: int, last: bool) -> tuple[Records, int]:
        """The file and how far it is read: without a last line that may still be written."""
        records = open_records(str(path))
        if records.kind == "parquet" or not last or self._age(path.name) >= SETTLED:
            return records, size
        records.close()
        end = _last_break(path)
        return Records(str(path), records.kind, size, cast(BinaryIO, _Upto(open(path, "rb"), end))), end

    def _age(self, name: str) -> float:
        """Seconds since the file was written to."""
        return time.time() - (self._folder / name).stat().st_mtime


def _last_break(path: Path) -> int:
    """Bytes up to and with the last line break."""
    with open(path, "rb") as file:
        end = file.seek(0, io.SEEK_END)
        while end:
            begin = max(0, end - (64 << 10))
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
    return 0


def _write(place: _Place) -> str:
    return msgspec.json.encode(place).decode()


def _read(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place("", 0)
    try:
        return msgspec.json.decode(cursor.encode(), type=_Place)
    except ValueError as error:
        raise ConnectorError(f"the cursor kept is none of a folder: {error}") from None
