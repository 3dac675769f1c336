"""Records out of librdkafka by the thousands, in columns, without an object of Python's for each.

A consumer made by librdkafka's public C API alone: one of confluent-kafka's cannot be read so, because the
error callback that it registers ends the process when somebody else serves it.  It joins no group and
commits nothing.  What was measured: docs/decisions/0009.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import KafkaError, KafkaException
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.log import Column
from streams.librdkafka import compiled_call, library
from streams.records import Headers, Partition, Records

_CONSUMER, _ERROR_BYTES = 1, 512
_NO_HEADERS = KafkaError._NOENT
_ERROR_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_void_p)


def _call(name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(library, f"rd_kafka_{name}")
    found.restype, found.argtypes = result, arguments
    return found


_conf_new = _call("conf_new", c_void_p)
_conf_set = _call("conf_set", c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t)
_conf_destroy = _call("conf_destroy", None, c_void_p)
_conf_set_error_cb = _call("conf_set_error_cb", None, c_void_p, _ERROR_CALLBACK)
_new = _call("new", c_void_p, c_int, c_void_p, c_char_p, c_size_t)
_poll_set_consumer = _call("poll_set_consumer", c_int, c_void_p)
_queue_get_consumer = _call("queue_get_consumer", c_void_p, c_void_p)
_queue_destroy = _call("queue_destroy", None, c_void_p)
_consumer_close = _call("consumer_close", c_int, c_void_p)
_destroy = _call("destroy", None, c_void_p)
_list_new = _call("topic_partition_list_new", c_void_p, c_int)
_list_add = _call("topic_partition_list_add", c_void_p, c_void_p, c_char_p, c_int32)
_list_set_offset = _call("topic_partition_list_set_offset", c_int, c_void_p, c_char_p, c_int32, c_int64)
_list_destroy = _call("topic_partition_list_destroy", None, c_void_p)
_assign = _call("assign", c_int, c_void_p, c_void_p)
_incremental_assign = _call("incremental_assign", c_void_p, c_void_p, c_void_p)
_incremental_unassign = _call("incremental_unassign", c_void_p, c_void_p, c_void_p)
_error_code = _call("error_code", c_int, c_void_p)
_error_string = _call("error_string", c_char_p, c_void_p)
_error_destroy = _call("error_destroy", None, c_void_p)
_query_watermarks = _call(
    "query_watermark_offsets", c_int, c_void_p, c_char_p, c_int32, POINTER(c_int64), POINTER(c_int64), c_int
)
_get_watermarks = _call(
    "get_watermark_offsets", c_int, c_void_p, c_char_p, c_int32, POINTER(c_int64), POINTER(c_int64)
)
_consume = _call("consume_batch_queue", ctypes.c_ssize_t, c_void_p, c_int, c_void_p, c_size_t)
_topic_name = _call("topic_name", c_char_p, c_void_p)
_message_errstr = _call("message_errstr", c_char_p, c_void_p)
_message_headers = _call("message_headers", c_int, c_void_p, POINTER(c_void_p))
_header_get_all = _call(
    "header_get_all", c_int, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_void_p), POINTER(c_size_t)
)

_c_timestamp = compiled_call("rd_kafka_message_timestamp", types.int64(types.intp, types.intp))
_c_headers = compiled_call("rd_kafka_message_headers", types.int32(types.intp, types.intp))
_c_destroy = compiled_call("rd_kafka_message_destroy", types.void(types.intp))
_c_copy: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))

#: rd_kafka_message_t, and what else is asked of one.
_MESSAGE = np.dtype([
    ("error", "i8"), ("topic", "i8"), ("partition", "i8"), ("value", "i8"), ("value_size", "i8"),
    ("key", "i8"), ("key_size", "i8"), ("offset", "i8"), ("timestamp", "i8"), ("headers", "i8"),
])  # fmt: skip


def _load(bits: int) -> Any:
    """The signed integer at an address, for compiled code."""

    def typed(_: Any, address: Any) -> Any:
        def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            found = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()))
            return found if bits == 64 else builder.sext(found, ir.IntType(64))

        return types.int64(types.int64), load

    return intrinsic(typed)


_int32_at, _int64_at = _load(32), _load(64)


@compiled
def _look(pointers: NDArray[np.int64], messages: Any, scratch: NDArray[np.int64]) -> None:
    """What stands in each message; `scratch` takes what nobody asks for."""
    for n in range(pointers.shape[0]):
        at = pointers[n]
        message = messages[n]
        message.error, message.topic = _int32_at(at), _int64_at(at + 8)
        message.partition = _int32_at(at + 16)
        message.value, message.value_size = _int64_at(at + 24), _int64_at(at + 32)
        message.key, message.key_size = _int64_at(at + 40), _int64_at(at + 48)
        message.offset = _int64_at(at + 56)
        if message.error == 0:
            message.timestamp = _c_timestamp(at, scratch.ctypes.data)
            message.headers = 1 if _c_headers(at, scratch.ctypes.data) == 0 else 0


@compiled
def _copy(from_: NDArray[np.int64], ends: NDArray[np.int64], text: NDArray[np.uint8]) -> None:
    """The bytes at these addresses, one after the other."""
    start = 0
    for n in range(from_.shape[0]):
        size = ends[n] - start
        if size > 0:
            _c_copy(text.ctypes.data + start, from_[n], size)
        start = ends[n]


@compiled
def _let_go(pointers: NDArray[np.int64]) -> None:
    for n in range(pointers.shape[0]):
        _c_destroy(pointers[n])


class Event(NamedTuple):
    """What came instead of a record: the end of a partition, or an error; without a place: of the client."""

    error: KafkaError
    place: Partition | None
    offset: int


class Fetcher:
    """A consumer.  Used from one thread at a time."""

    def __init__(self, config: Mapping[str, Any], most: int) -> None:
        """`config` is librdkafka's; at most so many records are taken at once.  Raises KafkaException."""
        self._told: deque[tuple[int, str]] = deque()
        # Kept: librdkafka calls it for as long as the client lives.
        self._callback = _ERROR_CALLBACK(
            lambda _, code, reason, __: self._told.append((code, reason.decode(errors="replace")))
        )
        said = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = _conf_new()
        for name, value in config.items():
            word = str(value).lower() if isinstance(value, bool) else str(value)
            if _conf_set(conf, name.encode(), word.encode(), said, _ERROR_BYTES):
                _conf_destroy(conf)
                raise KafkaException(KafkaError(KafkaError._INVALID_ARG, said.value.decode()))
        _conf_set_error_cb(conf, self._callback)
        client = _new(_CONSUMER, conf, said, _ERROR_BYTES)
        if not client:
            _conf_destroy(conf)
            raise KafkaException(KafkaError(KafkaError._FAIL, said.value.decode()))
        self._client = client
        _poll_set_consumer(client)
        self._queue = _queue_get_consumer(client)
        self._pointers = np.zeros(most, np.int64)
        self._messages = np.zeros(most, _MESSAGE)
        self._scratch = np.zeros(2, np.int64)

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these, and nothing else.  Raises KafkaException."""
        with _Places(positions) as places:
            _require(_assign(self._client, places))

    def add(self, positions: Mapping[Partition, int]) -> None:
        """Read these too.  Raises KafkaException."""
        with _Places(positions) as places:
            _require_none(_incremental_assign(self._client, places))

    def remove(self, partitions: set[Partition]) -> None:
        """Read these no longer.  Raises KafkaException."""
        with _Places(dict.fromkeys(partitions, 0)) as places:
            _require_none(_incremental_unassign(self._client, places))

    def watermarks(self, place: Partition, seconds: float) -> tuple[int, int]:
        """First and next offset of a partition; the broker is asked.  Raises KafkaException."""
        low, high = c_int64(), c_int64()
        where = place.topic.encode(), place.partition
        _require(_query_watermarks(self._client, *where, byref(low), byref(high), int(seconds * 1000)))
        return low.value, high.value

    def end(self, place: Partition) -> int:
        """The next offset as the last fetch saw it; below 0 where none has."""
        low, high = c_int64(), c_int64()
        error = _get_watermarks(self._client, place.topic.encode(), place.partition, byref(low), byref(high))
        return -1 if error else high.value

    def take(self, most: int, seconds: float) -> tuple[list[Records], list[Event]]:
        """Records that are there, by partition in their order; waits so long for as many."""
        most = min(most, len(self._pointers))
        count = _consume(self._queue, int(seconds * 1000), self._pointers.ctypes.data, most)
        pointers, messages = self._pointers[:count], self._messages[:count]
        try:
            _look(pointers, messages, self._scratch)
            good = np.flatnonzero(messages["error"] == 0)
            events = [self._event(int(n)) for n in np.flatnonzero(messages["error"])]
            found = [self._records(chosen) for chosen in _by_place(messages, good)]
        finally:
            _let_go(pointers)
        while self._told:
            code, reason = self._told.popleft()
            events.append(Event(KafkaError(code, reason), None, -1))
        return found, events

    def _records(self, chosen: NDArray[np.int64]) -> Records:
        messages = self._messages[chosen]
        headers = {
            int(n): _headers(int(self._pointers[chosen[n]])) for n in np.flatnonzero(messages["headers"])
        }
        return Records(
            self._place(messages[0]), messages["offset"].copy(), messages["timestamp"].copy(),
            _texts(messages["key"], messages["key_size"]),
            _texts(messages["value"], messages["value_size"]), headers,
        )  # fmt: skip

    def _place(self, message: Any) -> Partition:
        return Partition(_topic_name(int(message["topic"])).decode(), int(message["partition"]))

    def _event(self, n: int) -> Event:
        message = self._messages[n]
        said = _message_errstr(int(self._pointers[n])) or b""
        error = KafkaError(int(message["error"]), said.decode(errors="replace"))
        place = self._place(message) if message["topic"] else None
        return Event(error, place, int(message["offset"]))

    def close(self) -> None:
        """Stop fetching."""
        _consumer_close(self._client)
        _queue_destroy(self._queue)
        _destroy(self._client)
        self._client = self._queue = None


class _Places:
    """librdkafka's list of partitions with offsets, while it is used."""

    def __init__(self, positions: Mapping[Partition, int]) -> None:
        self._list = _list_new(len(positions))
        for place, offset in positions.items():
            _list_add(self._list, place.topic.encode(), place.partition)
            _list_set_offset(self._list, place.topic.encode(), place.partition, offset)

    def __enter__(self) -> Any:
        return self._list

    def __exit__(self, *_: object) -> None:
        _list_destroy(self._list)


def _by_place(messages: Any, good: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The numbers of messages by partition, each in their order."""
    if not len(good):
        return []
    topics, partitions = messages["topic"][good], messages["partition"][good]
    order = np.lexsort((partitions, topics))
    topics, partitions = topics[order], partitions[order]
    ends = np.flatnonzero((np.diff(topics) != 0) | (np.diff(partitions) != 0)) + 1
    return [good[part] for part in np.split(order, ends)]


def _texts(addresses: NDArray[np.int64], sizes: NDArray[np.int64]) -> Column:
    ends = np.cumsum(sizes)
    text = np.empty(int(ends[-1]), np.uint8)
    _copy(np.ascontiguousarray(addresses), ends, text)
    return Column(text.tobytes(), ends, addresses == 0)


def _headers(message: int) -> Headers:
    all_of_them, name, value, size = c_void_p(), c_char_p(), c_void_p(), c_size_t()
    _message_headers(message, byref(all_of_them))
    found: Headers = []
    while not _header_get_all(all_of_them, len(found), byref(name), byref(value), byref(size)):
        content = None if value.value is None else ctypes.string_at(value.value, size.value)
        found.append((name.value or b"", content))
    return found


def _require(code: int) -> None:
    if code:
        raise KafkaException(KafkaError(code))


def _require_none(error: int | None) -> None:
    if error:
        code, said = _error_code(error), _error_string(error).decode(errors="replace")
        _error_destroy(error)
        raise KafkaException(KafkaError(code, said))


def prepare() -> None:
    """Have it compiled before the first record comes, on no records."""
    nothing = np.zeros(0, np.int64)
    _look(nothing, np.zeros(0, _MESSAGE), np.zeros(2, np.int64))
    _copy(nothing, nothing, np.zeros(0, np.uint8))
    _let_go(nothing)
