"""RocksDB as a cache of a partition's changelog: rows, side table and partition row.

There is no write-ahead log: a crash leaves what was written up to some moment, and the changelog has the
rest.  The offset that a store stands for is written behind the rows it covers, so rows may be newer than it,
never older.  Deleting a store loses nothing.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from loyalty.row import FORMAT
from loyalty.state import PARTITION_KEY, ROW_KEY
from tables.errors import StoreDamaged, TableError

log = logging.getLogger(__name__)

META_KEY = b"m"
#: Bytes of blocks in memory, shared by all partitions of a worker: rows in use are held by the state anyway.
BLOCK_CACHE = 64 << 20
#: Bytes of a memory table; a partition has one or two.
WRITE_BUFFER = 8 << 20
#: Rows in one RocksDB batch: larger ones leave the processor's caches.
BATCH_ROWS = 500


#: Seconds to wait for a store that another process has open.
LOCKED_SECONDS = 2.0
#: Seconds in which a worker that hands a partition over has closed its store.
LETS_GO_SECONDS = 1.0


class Meta(msgspec.Struct):
    """What a store says of itself: its rows' format, whose changelog it caches, up to where."""

    format: int
    changelog: str
    offset: int
    written_at: float  # Unix time of the last write


class View:
    """A store as it was at one moment; iterated once, from any thread.  Closing the store ends it."""

    def __init__(self, store: RocksStore, iterator: Any) -> None:
        self._store = store
        self._iterator = iterator
        self._ended = threading.Event()
        self.stopped = False

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values in order; raises TableError where the store was closed meanwhile."""
        for entry in self._store.entries(self._iterator, b""):
            if self.stopped:
                raise TableError(f"{self._store.path} was closed")
            if entry[0] != META_KEY:
                yield entry

    def stop(self) -> None:
        """End the iteration under way, and wait until it has ended."""
        self.stopped = True
        self._ended.wait()

    def close(self) -> None:
        """Let go.  The store cannot close before."""
        self._iterator = None
        self._store.views.discard(self)
        self._ended.set()


class RocksStore:
    """One partition's store; the cold side of `loyalty.state.State`.

    Every method may raise StoreDamaged.
    """

    def __init__(self, path: Path, changelog: str) -> None:
        """Open or make it.  `changelog` identifies the topic (its id): a store of another one is wiped.

        Raises TableError where another process holds it, or a newer khaywe wrote it.
        """
        self.path = path
        self.damaged = False
        self.merges = True
        self.views: set[View] = set()
        self._changelog = changelog
        self._no_wal = cast(Any, WriteOptions())
        self._no_wal.disable_wal = True
        self._db = self._open()
        try:
            meta = self._meta()
            if meta is not None and meta.format > FORMAT:
                self._shut()
                raise TableError(
                    f"{path} holds rows of format {meta.format}, this version reads up to {FORMAT}",
                    hint="upgrade khaywe, or delete the directory: rows are restored from the changelog",
                )
            why = ""
            if meta is None:
                why = "holds rows without an offset" if any(self.scan(b"")) else ""
            elif meta.changelog != changelog or meta.format < FORMAT:
                why = "caches another changelog or format"
        except StoreDamaged as error:
            why = str(error)
        if why:
            log.warning("%s: %s; it is rebuilt from the changelog", path, why)
            self.wipe()

    def _open(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCKED_SECONDS
        while True:
            try:
                return Rdict(str(self.path), _options())
            except Exception as error:  # rocksdict raises bare Exception
                if "While lock file" not in str(error) and "lock hold" not in str(error):
                    log.warning(
                        "%s cannot be opened (%s); it is rebuilt from the changelog", self.path, error
                    )
                    break
                if time.monotonic() > deadline:
                    raise TableError(
                        f"{self.path} is in use by another process",
                        hint="give each worker a KHAYWE_WORKER of its own",
                    ) from None
                time.sleep(0.02)  # perhaps another worker looks at it: `inherit`
        try:
            shutil.rmtree(self.path)
            return Rdict(str(self.path), _options())
        except Exception as error:
            raise TableError(
                f"{self.path} cannot be made: {error}", hint="is the disk full, or not ours to write?"
            ) from None

    def wipe(self) -> None:
        """Forget everything."""
        self._shut()
        if self.path.exists():  # else somebody was before us
            shutil.rmtree(self.path)
        self.damaged = False
        self.merges = True
        self._db = self._open()

    def _failed(self, error: Exception) -> TableError:
        if "No space left" in str(error):
            return TableError(f"{self.path}: {error}", hint="make room on the disk and start again")
        self.damaged = True
        return StoreDamaged(f"{self.path} is damaged: {error}", hint="it is rebuilt from the changelog")

    def _meta(self) -> Meta | None:
        try:
            value = self._db.get(META_KEY)
            return None if value is None else msgspec.json.decode(value, type=Meta)
        except Exception as error:
            raise self._failed(error) from None

    def offset(self) -> int:
        """The changelog offset it stands for: all below it is in; -1 for an empty store."""
        meta = self._meta()
        return -1 if meta is None else meta.offset

    def age(self) -> float:
        """Seconds since it was last written."""
        meta = self._meta()
        return 0.0 if meta is None else time.time() - meta.written_at

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None], offset: int) -> None:
        """Store values (None deletes), and behind them the offset they stand for."""
        try:
            for start in range(0, len(keys), BATCH_ROWS):
                end = start + BATCH_ROWS
                batch = WriteBatch(raw_mode=True)
                put, delete = batch.put, batch.delete
                for key, value in zip(keys[start:end], values[start:end], strict=True):
                    if value is None:
                        delete(key)
                    else:
                        put(key, value)
                self._db.write(batch, self._no_wal)
            meta = msgspec.json.encode(Meta(FORMAT, self._changelog, offset, time.time()))
            self._db.put(META_KEY, meta, write_opt=self._no_wal)
        except Exception as error:
            raise self._failed(error) from None

    def merge(self, wanted: bool) -> None:
        """Whether RocksDB merges files in the background: not while many rows are written at once."""
        if wanted == self.merges:
            return
        try:
            self._db.set_options({"disable_auto_compactions": "false" if wanted else "true"})
        except Exception as error:  # it writes its options down
            raise self._failed(error) from None
        self.merges = wanted

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Rows by customer id."""
        return self.side([ROW_KEY + id for id in ids])

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key."""
        try:
            return list(self._db.get(list(keys))) if keys else []
        except Exception as error:
            raise self._failed(error) from None

    def partition_row(self) -> bytes | None:
        """The partition row."""
        return self.side([PARTITION_KEY])[0]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, in order."""
        return self.entries(self._db.iter(), prefix)

    def entries(self, at: Any, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The same by an iterator of the database."""
        try:
            at.seek(prefix)
            while at.valid():
                key = at.key()
                if not key.startswith(prefix):
                    return
                yield key, at.value()
                at.next()
            at.status()  # a damaged block ends the iteration like the last key
        except Exception as error:
            raise self._failed(error) from None
        finally:
            del at  # it holds the database open, and whoever keeps the error would hold it

    def all_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Every customer's id and row."""
        for key, value in self.scan(ROW_KEY):
            yield key[1:], value

    def view(self) -> View:
        """All of it as it is now, for another thread to read."""
        # An iterator sees what was there when it was made; one of rocksdict's snapshots sees later writes.
        view = View(self, self._db.iter())
        self.views.add(view)
        return view

    def close(self) -> None:
        """Write what is in memory and let go; a damaged store goes for good."""
        for view in list(self.views):
            view.stop()
        self._shut()
        if self.damaged:
            shutil.rmtree(self.path, ignore_errors=True)

    def _shut(self) -> None:
        """Close RocksDB, which writes what is in memory.  Where it cannot, the changelog has it."""
        try:
            self._db.close()
        except Exception as error:
            log.warning("%s", self._failed(error))


def inherit(left: Iterable[Path], path: Path, changelog: str, busy: set[Path]) -> Path | None:
    """Move the store here that another worker of this machine has left, where it is further than `path`'s.

    Of `left`, those that somebody has open stay where they are: who hands over is waited for, but for nobody
    who did not let go once (`busy`: their directories).  Returns whence it came.  Whatever goes wrong, the
    changelog has it all.
    """
    furthest = -1 if not path.exists() else _peek(path, changelog)
    for other in left:
        if not _let_go(other, busy) or _peek(other, changelog) <= furthest:
            continue
        try:
            _move(other, path)
        except OSError:  # gone meanwhile, or on another disk
            continue
        return other
    return None


def _let_go(other: Path, busy: set[Path]) -> bool:
    """Whether nobody has a store open any more.  What is open cannot be read: most of it is in memory."""
    deadline = time.monotonic() + (0.0 if other.parent in busy else LETS_GO_SECONDS)
    while True:
        try:
            with (other / "LOCK").open("r+") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as RocksDB does
            return True
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= deadline:
                busy.add(other.parent)
                return False
            time.sleep(0.01)
        except OSError:
            return False


def _move(other: Path, path: Path) -> None:
    """Put a store in place of another one.  Raises OSError, and then both are where they were."""
    with (other / "LOCK").open("r+") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.parent.mkdir(parents=True, exist_ok=True)
        here = path.with_name(f"{path.name}.left")
        shutil.rmtree(here, ignore_errors=True)
        other.rename(here)
        shutil.rmtree(path, ignore_errors=True)
        here.rename(path)


def _peek(path: Path, changelog: str) -> int:
    """The changelog offset that a store stands for, whoever has it open; -1: it is of no use."""
    options = Options(raw_mode=True)
    options.set_keep_log_file_num(2)
    try:
        db = Rdict(str(path), options, access_type=AccessType.read_only())
        try:
            meta = msgspec.json.decode(cast(bytes, db.get(META_KEY)), type=Meta)
        finally:
            db.close()
    except Exception:  # rocksdict raises bare Exception
        return -1
    return meta.offset if (meta.changelog, meta.format) == (changelog, FORMAT) else -1


_cache: list[Cache] = []


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_target_file_size_base(32 << 20)
    options.set_level_zero_slowdown_writes_trigger(40)
    options.set_level_zero_stop_writes_trigger(80)
    # Young files are soon merged: not worth packing.
    options.set_compression_per_level([DBCompressionType.none()] * 2 + [DBCompressionType.lz4()] * 5)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_skip_stats_update_on_db_open(True)
    if not _cache:
        _cache.append(Cache(BLOCK_CACHE))
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_cache[0])
    blocks.set_bloom_filter(10, False)
    blocks.set_block_size(4 << 10)  # a read unpacks a whole block: two or three rows
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(blocks)
    return options
