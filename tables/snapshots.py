"""Snapshots: all that a partition holds, and the position in customer-events it stands at, in one file.

A file is a header of fixed size and then blocks of keys and values, the rows first.  It is written under
another name and renamed when it is whole and on disk; the checksum guards against what happens to it later.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec
from confluent_kafka import KafkaException

from config import topics
from config.settings import Settings
from loyalty import row
from loyalty.state import ROW_KEY
from tables.customers import CustomerTable
from tables.errors import TableError
from tables.restore import topic_id

log = logging.getLogger(__name__)

FORMAT = 1
MAGIC = b"khaywe-snapshot\n"
#: Bytes of magic and header: JSON, filled up with spaces.
HEADER_BYTES = 1024
#: Entries compressed together: about 2 MB before, half a megabyte after.
BLOCK = 1_500
#: Snapshots of a partition that are kept: a week of days.
KEEP = 7
#: Seconds until a snapshot that failed is tried again.
RETRY_SECONDS = 600.0
SUFFIX = ".snap"


class Header(msgspec.Struct, frozen=True):
    """What a snapshot says of itself.  Times are ISO 8601 UTC, `tick` in milliseconds."""

    format: int
    row_format: int
    log: str  # Kafka's id of the topic customer-events that `position` is a position of
    partitions: int
    partition: int
    position: int
    revision: int
    tick: int
    created_at: str
    customers: int = 0
    entries: int = 0
    checksum: str = ""


Entry = tuple[bytes, bytes]
_blocks = msgspec.msgpack.Decoder(list[Entry])


def directory(settings: Settings) -> Path:
    """Where snapshots are: a directory for each partition in it."""
    return (settings.snapshots or settings.home_dir / "snapshots").expanduser().absolute()


def found(root: Path, partition: int) -> list[Path]:
    """A partition's snapshots, oldest first."""
    return sorted((root / str(partition)).glob(f"*{SUFFIX}"))


def write(entries: Iterable[Entry], header: Header, root: Path) -> Path:
    """Write a snapshot and let go of those beyond `KEEP`.  Raises OSError, and whatever `entries` raises."""
    folder = root / str(header.partition)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tmp"):  # of a worker that was killed
        left.unlink(missing_ok=True)
    stamp = datetime.fromisoformat(header.created_at).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stamp}-{header.position}{SUFFIX}"
    part = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with part.open("xb") as file:
            _fill(file, entries, header)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        _sync(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    for old in found(root, header.partition)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def _fill(file: IO[bytes], entries: Iterable[Entry], header: Header) -> None:
    file.write(b"\0" * HEADER_BYTES)
    digest = hashlib.blake2b(digest_size=16)
    count = customers = 0
    source = iter(entries)
    while block := list(islice(source, BLOCK)):
        count += len(block)
        customers += sum(key.startswith(ROW_KEY) for key, _ in block)
        packed = zlib.compress(msgspec.msgpack.encode(block), 1)
        record = len(packed).to_bytes(4, "little") + packed
        digest.update(record)
        file.write(record)
    header = msgspec.structs.replace(header, customers=customers, entries=count)
    digest.update(msgspec.json.encode(header))
    header = msgspec.structs.replace(header, checksum=digest.hexdigest())
    file.seek(0)
    file.write((MAGIC + msgspec.json.encode(header)).ljust(HEADER_BYTES))


def _sync(folder: Path) -> None:
    """A renamed file survives a power cut only once its directory is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_header(path: Path) -> Header:
    """A snapshot's header.  Raises TableError."""
    with _opened(path) as file:
        return _header(path, file)


def read(path: Path) -> Iterator[list[Entry]]:
    """A snapshot's entries in blocks.  Raises TableError, for a wrong checksum only behind the last block."""
    with _opened(path) as file:
        header = _header(path, file)
        digest = hashlib.blake2b(digest_size=16)
        count = 0
        while size := file.read(4):
            packed = file.read(int.from_bytes(size, "little"))
            digest.update(size + packed)
            try:
                block = _blocks.decode(zlib.decompress(packed))
            except (zlib.error, msgspec.DecodeError) as error:
                raise _damaged(path, f"a block cannot be read: {error}") from None
            count += len(block)
            yield block
    digest.update(msgspec.json.encode(msgspec.structs.replace(header, checksum="")))
    if count != header.entries:
        raise _damaged(path, f"it has {count} of {header.entries} entries")
    if digest.hexdigest() != header.checksum:
        raise _damaged(path, "its checksum is another")


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise TableError(
            f"{path}: {error.strerror}", hint="`khaywe snapshot list` shows what there is"
        ) from None


def _header(path: Path, file: IO[bytes]) -> Header:
    head = file.read(HEADER_BYTES)
    if not head.startswith(MAGIC):
        raise TableError(f"{path} is no snapshot", hint="`khaywe snapshot list` shows what there is")
    try:
        plain = msgspec.json.decode(head[len(MAGIC) :], type=dict[str, object])
        for name, newest in (("format", FORMAT), ("row_format", row.FORMAT)):
            number = plain.get(name)
            if isinstance(number, int) and number > newest:
                what = name.replace("_", " ")
                raise TableError(
                    f"{path} has {what} {number}, this version reads up to {newest}",
                    hint="restore it with the version of khaywe that wrote it, or a newer one",
                )
        return msgspec.convert(plain, Header)
    except msgspec.MsgspecError as error:
        raise _damaged(path, f"its header cannot be read: {error}") from None


def _damaged(path: Path, why: str) -> TableError:
    return TableError(f"{path} is damaged: {why}", hint="take an older one: `khaywe snapshot list`")


class Snapshots:
    """Writes a worker's snapshots when their time has come, one by one, in a thread beside the fold."""

    def __init__(self, settings: Settings, table: CustomerTable) -> None:
        self._settings = settings
        self._table = table
        self._root = directory(settings)
        self._interval = settings.snapshot_interval
        self._writing: threading.Thread | None = None
        self._log = ""
        #: Unix seconds at which each partition's next one is due.
        self._due: dict[int, float] = {}

    def maybe(self, positions: Mapping[int, int], now: float) -> None:
        """Begin the snapshot of a held partition whose turn it is.  `now` in Unix seconds.

        Called between transactions: `positions` are those in customer-events that the rows stand at.
        """
        if self._writing is not None and self._writing.is_alive():
            return
        for partition in positions:
            if partition not in self._due:
                self._due[partition] = self._last(partition, now) + self._interval
        # Whoever waits longest: where snapshots take longer than there is time between them, all get theirs.
        partition = min(positions, key=self._due.__getitem__, default=-1)
        if partition >= 0 and now >= self._due[partition]:
            self._due[partition] = now + min(RETRY_SECONDS, self._interval)
            self._begin(partition, positions[partition], now)

    def wait(self) -> None:
        """Let the one that is being written end."""
        if self._writing is not None:
            self._writing.join()

    def _last(self, partition: int, now: float) -> float:
        """When the last one was written, by any worker; where there is none, when it was first missed."""
        paths = found(self._root, partition)
        if paths:
            stamp = paths[-1].name.partition("-")[0]
            return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        folder = self._root / str(partition)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            return folder.stat().st_mtime
        except OSError as error:
            log.error("snapshots cannot be written to %s: %s", folder, error)
        return now

    def _begin(self, partition: int, position: int, now: float) -> None:
        known = self._table.state(partition).partition
        created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        header = Header(
            FORMAT, row.FORMAT, self._log, self._settings.partitions, partition, position, known.revision,
            known.tick, created,
        )  # fmt: skip
        view = self._table.view(partition)

        def work() -> None:
            try:
                if not self._log:
                    self._log = topic_id(self._settings.kafka_config(), topics.CUSTOMER_EVENTS)
                path = write(view, msgspec.structs.replace(header, log=self._log), self._root)
                self._due[partition] = now + self._interval
                log.info("customers/%d: snapshot at position %d written to %s", partition, position, path)
            except TableError as error:
                log.info("customers/%d: the snapshot was broken off: %s", partition, error)
            except KafkaException as error:
                log.warning(
                    "customers/%d: no snapshot while Kafka is away: %s", partition, error.args[0].str()
                )
            except OSError as error:
                room = "; make room on that disk" if error.errno == errno.ENOSPC else ""
                log.error("customers/%d: no snapshot could be written: %s%s", partition, error, room)
            finally:
                view.close()

        self._writing = threading.Thread(target=work, name="snapshot", daemon=True)
        self._writing.start()
