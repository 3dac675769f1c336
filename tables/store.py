"""RocksDB as a cache of a partition's changelog: rows, side table and partition row.

One WriteBatch carries what it stores together with the changelog offset it stands for, and there is no
write-ahead log: a crash leaves a consistent prefix, and the changelog has the rest.  Deleting it loses
nothing.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from loyalty.row import FORMAT
from loyalty.state import PARTITION_KEY, ROW_KEY, SIDE_KEY
from tables.errors import TableError

log = logging.getLogger(__name__)

META_KEY = b"m"
#: Bytes of blocks in memory, shared by all partitions of a worker: rows in use are held by the state anyway.
BLOCK_CACHE = 64 << 20
WRITE_BUFFER = 64 << 20


class Meta(msgspec.Struct):
    """What a store says of itself: the rows' format, whose changelog it caches, and up to where."""

    format: int
    changelog: str
    offset: int


_cache: list[Cache] = []


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_max_write_buffer_number(3)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    options.set_skip_stats_update_on_db_open(True)
    if not _cache:
        _cache.append(Cache(BLOCK_CACHE))
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_cache[0])
    blocks.set_bloom_filter(10, False)
    blocks.set_block_size(16 << 10)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(blocks)
    return options


class RocksStore:
    """One partition's store; the cold side of `loyalty.state.State`."""

    def __init__(self, path: Path, changelog: str) -> None:
        """Open or make it.  `changelog` identifies the topic (its id): a store of another one is wiped.

        Raises TableError where another process holds it, or a newer khaywe wrote it.
        """
        self.path = path
        self._changelog = changelog
        self._db = self._open()
        meta = self._meta()
        if meta is not None and meta.format > FORMAT:
            self._db.close()
            raise TableError(
                f"{path} holds rows of format {meta.format}, this version reads up to {FORMAT}",
                hint="upgrade khaywe, or delete the directory: rows are restored from the changelog",
            )
        if meta is not None and (meta.changelog != changelog or meta.format < FORMAT):
            log.info("%s caches another changelog or format; starting from an empty store", path)
            self.wipe()
        self._no_wal = cast(Any, WriteOptions())
        self._no_wal.disable_wal = True

    def _open(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return Rdict(str(self.path), _options())
        except Exception as error:  # rocksdict raises bare Exception
            if "lock" in str(error).lower() and "LOCK" in str(error):
                raise TableError(
                    f"{self.path} is in use by another process",
                    hint="give each worker a KHAYWE_WORKER of its own",
                ) from None
            log.warning("%s cannot be read (%s); it is rebuilt from the changelog", self.path, error)
            shutil.rmtree(self.path, ignore_errors=True)
            return Rdict(str(self.path), _options())

    def _meta(self) -> Meta | None:
        try:
            value = self._db.get(META_KEY)
            return None if value is None else msgspec.json.decode(value, type=Meta)
        except Exception as error:  # a corrupt block shows here first
            log.warning("%s cannot be read (%s); it is rebuilt from the changelog", self.path, error)
            self.wipe()
            return None

    def wipe(self) -> None:
        """Forget everything."""
        self._db.close()
        shutil.rmtree(self.path)
        self._db = Rdict(str(self.path), _options())

    def offset(self) -> int:
        """The changelog offset it stands for: all below it is in; -1 for an empty store."""
        meta = self._meta()
        return -1 if meta is None else meta.offset

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None], offset: int | None) -> None:
        """Store values (None deletes) and the offset they stand for (None: as before) at once."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in zip(keys, values, strict=True):
            if value is None:
                delete(key)
            else:
                put(key, value)
        if offset is not None:
            put(META_KEY, msgspec.json.encode(Meta(FORMAT, self._changelog, offset)))
        self._db.write(batch, self._no_wal)

    def flush(self) -> None:
        """Write the memory tables to files: without a log nothing else keeps them."""
        self._db.flush()

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Rows by customer id."""
        return list(self._db.get([ROW_KEY + id for id in ids])) if ids else []

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Side values by key."""
        return list(self._db.get(list(keys))) if keys else []

    def partition_row(self) -> bytes | None:
        """The partition row."""
        value: bytes | None = self._db.get(PARTITION_KEY)
        return value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key begins with `prefix`, in order."""
        for key, value in self._db.items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    def all_rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Every customer's id and row."""
        for key, value in self.scan(ROW_KEY):
            yield key[1:], value

    def all_side(self) -> Iterator[tuple[bytes, bytes]]:
        """Every side entry."""
        return self.scan(SIDE_KEY)

    def close(self) -> None:
        """Write what is in memory and let go."""
        self._db.flush()
        self._db.close()
