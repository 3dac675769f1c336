"""librdkafka's records by the thousands, without an object of Python's for each.

confluent-kafka makes clients, and does with them all that is rare.  What is done for every record, taking it
out of a consumer's queue and putting it into a producer's, is done here by compiled code that calls the same
librdkafka, by its public C API, without the GIL.  What was measured: docs/decisions/0009.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, cimpl
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

_library = ctypes.CDLL(cimpl.__file__)  # its symbols, and those of the librdkafka that it brings

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def _function(name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(_library, name)
    found.restype, found.argtypes = result, arguments
    return found


_name = _function("rd_kafka_name", ctypes.c_char_p, _POINTER)
_queue_of = _function("rd_kafka_queue_get_consumer", _POINTER, _POINTER)
_queue_destroy = _function("rd_kafka_queue_destroy", None, _POINTER)
_consume = _function("rd_kafka_consume_batch_queue", ctypes.c_ssize_t, _POINTER, _INT, _POINTER, _SIZE)
_last_error = _function("rd_kafka_last_error", _INT)
_topic_name = _function("rd_kafka_topic_name", ctypes.c_char_p, _POINTER)
_destroy = _function("rd_kafka_message_destroy", None, _POINTER)
_headers = _function("rd_kafka_message_headers", _INT, _POINTER, ctypes.POINTER(_POINTER))
_header_at = _function(
    "rd_kafka_header_get_all", _INT, _POINTER, _SIZE, ctypes.POINTER(ctypes.c_char_p),
    ctypes.POINTER(_POINTER), ctypes.POINTER(_SIZE),
)  # fmt: skip


def _compiled_call(name: str, signature: Any) -> Any:
    """The same function for compiled code, which finds it by its name."""
    llvm.add_symbol(name, ctypes.cast(getattr(_library, name), _POINTER).value)
    return types.ExternalFunction(name, signature)


_address = types.intp
_c_destroy = _compiled_call("rd_kafka_message_destroy", types.void(_address))
_c_time = _compiled_call("rd_kafka_message_timestamp", types.int64(_address, _address))
_c_headers = _compiled_call("rd_kafka_message_headers", types.int32(_address, _address))
_c_produce = _compiled_call("rd_kafka_produceva", types.intp(_address, _address, types.intp))
_c_error_code = _compiled_call("rd_kafka_error_code", types.int32(_address))
_c_error_destroy = _compiled_call("rd_kafka_error_destroy", types.void(_address))

_options: dict[str, Any] = {"nogil": True, "cache": True, "_nrt": False}  # see loyalty.compiled
_compiled: Callable[[Any], Any] = njit(**_options)


def handle(client: Consumer | Producer) -> int:
    """librdkafka's client behind one of confluent-kafka's: the first that stands in its object.

    That it is so has a test; it has been so since confluent-kafka 0.9.
    """
    found = ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value
    kind = b"#producer" if isinstance(client, Producer) else b"#consumer"
    if not found or kind not in _name(found):
        raise RuntimeError(f"confluent-kafka keeps its {type(client).__name__} elsewhere")
    return found


# -- out of a consumer ------------------------------------------------------------------------------

# rd_kafka_message_t, in words of 8 bytes
_ERROR, _TOPIC, _PARTITION, _VALUE, _VALUE_SIZE, _KEY, _KEY_SIZE, _OFFSET = range(8)
_WORDS = 9

_FAILED, _HAS_HEADERS = 1, 2  # flags of a message that compiled code leaves to others


def _at(kind: Any) -> Any:
    """A function of compiled code: the pointer to a kind of number that an address is."""

    def pointer(_typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return kind(address), generate

    return intrinsic(pointer)


_pointer: Any = types.CPointer
_words_at, _bytes_at = _at(_pointer(types.int64)), _at(_pointer(types.uint8))


@_compiled
def _look(
    messages: Any, topics: Any, partitions: Any, offsets: Any, times: Any, flags: Any, found: Any
) -> int:
    """What is fixed of each message; how many bytes their keys and values have.  `found` is for scratch."""
    size = 0
    for n in range(messages.shape[0]):
        message = _words_at(messages[n])
        topics[n], partitions[n] = message[_TOPIC], np.int32(message[_PARTITION])
        offsets[n] = message[_OFFSET]
        if np.int32(message[_ERROR]) != 0:
            flags[n] = _FAILED
            continue
        size += message[_VALUE_SIZE] + message[_KEY_SIZE]
        times[n] = _c_time(messages[n], found.ctypes.data)
        if _c_headers(messages[n], found.ctypes.data) == 0:
            flags[n] = _HAS_HEADERS
    return size


@_compiled
def _copy(messages: Any, flags: Any, places: Any, out: Any) -> None:
    """Where value and key of each message begin and end in `out`, -1 for none; messages end here."""
    at = 0
    for n in range(messages.shape[0]):
        if flags[n] & _FAILED:
            continue
        message = _words_at(messages[n])
        for which in range(2):
            source, size = message[_VALUE + 2 * which], message[_VALUE_SIZE + 2 * which]
            if source == 0:
                places[2 * which, n] = -1
                continue
            content = _bytes_at(source)
            for i in range(size):
                out[at + i] = content[i]
            places[2 * which, n], places[2 * which + 1, n] = at, at + size
            at += size
        if not flags[n]:
            _c_destroy(messages[n])


Read = list[tuple[str, bytes | None]]


class Failure(NamedTuple):
    """What a consumer says in the place of a record: of a topic (None: of all), partition, offset."""

    topic: str | None
    partition: int
    offset: int
    error: KafkaError


class Taken(NamedTuple):
    """Messages in the order in which they came, in columns; those that are failures left out."""

    topics: list[str]  # of each number in `topic`
    topic: NDArray[np.int64]
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    time: NDArray[np.int64]  # Kafka's, ms; below 0: none
    data: bytes
    places: NDArray[np.int64]  # (4, messages): where value and key begin and end in `data`; -1: there is none
    headers: dict[int, Read | None]  # by index, of those that have some; None: not to be read
    failures: list[Failure]


class Intake:
    """What a consumer has fetched.  Used from one thread at a time; closed before the consumer is.

    The consumer must have no callbacks: confluent-kafka ends the process where one is served by others.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer  # not to go before the queue
        self._queue: int | None = _queue_of(handle(consumer))

    def take(self, most: int, seconds: float) -> Taken:
        """At most so many messages; after `seconds` what there is, if anything.  Raises KafkaException."""
        messages = np.zeros(most, np.int64)
        count = _consume(self._queue, round(seconds * 1000), messages.ctypes.data, most)
        if count < 0:
            raise KafkaException(KafkaError(_last_error()))
        messages = messages[:count]
        topics, partitions, offsets, times = np.zeros((4, count), np.int64)
        flags, places = np.zeros(count, np.uint8), np.zeros((4, count), np.int64)
        out = np.empty(
            _look(messages, topics, partitions, offsets, times, flags, np.zeros(1, np.int64)), np.uint8
        )
        names, topic = np.unique(topics, return_inverse=True)
        known = [None if name == 0 else _topic_name(int(name)).decode() for name in names.tolist()]
        _copy(messages, flags, places, out)
        failures, headers = [], {}
        for n in np.flatnonzero(flags).tolist():
            if flags[n] & _FAILED:
                place = known[topic[n]], int(partitions[n]), int(offsets[n])
                failures.append(Failure(*place, _error(int(messages[n]))))
            else:
                headers[n] = _read_headers(int(messages[n]))
            _destroy(int(messages[n]))
        kept = flags & _FAILED == 0
        if failures:
            moved = np.cumsum(kept) - 1
            headers = {int(moved[n]): found for n, found in headers.items()}
            topic, partitions, offsets, times = (each[kept] for each in (topic, partitions, offsets, times))
            places = places[:, kept]
        return Taken(
            [name or "" for name in known], topic, partitions, offsets, times, out.tobytes(), places, headers,
            failures,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the consumer."""
        if self._queue is not None:
            _queue_destroy(self._queue)
            self._queue = None


def _error(message: int) -> KafkaError:
    words = (ctypes.c_int64 * _WORDS).from_address(message)
    code = ctypes.c_int32(words[_ERROR] & 0xFFFFFFFF).value
    told = ctypes.string_at(words[_VALUE], words[_VALUE_SIZE]) if words[_VALUE] else b""
    return KafkaError(code, told.decode(errors="replace")) if told else KafkaError(code)


def _read_headers(message: int) -> Read | None:
    """A message's headers; None where the name of one is no UTF-8."""
    held, name, value, size = _POINTER(), ctypes.c_char_p(), _POINTER(), _SIZE()
    found: Read = []
    _headers(message, held)
    while _header_at(held, len(found), name, value, size) == 0:
        try:
            named = (name.value or b"").decode()
        except UnicodeDecodeError:
            return None
        found.append((named, None if value.value is None else ctypes.string_at(value.value, size.value)))
    return found


# -- into a producer --------------------------------------------------------------------------------

#: rd_kafka_vu_t: what is said of a record, one after the other.
_VU = np.dtype(
    {"names": ["what", "first", "second", "third"], "formats": ["i4", "i8", "i8", "i8"],
     "offsets": [0, 8, 16, 24], "itemsize": 72}
)  # fmt: skip
_IS_TOPIC, _IS_PARTITION, _IS_VALUE, _IS_KEY, _IS_FLAGS, _IS_HEADER = 1, 3, 4, 5, 7, 9
_COPY = 2  # librdkafka copies the bytes
_AT_VALUE, _AT_KEY, _AT_ID = 3, 4, 5  # places of what changes from record to record


@_compiled
def _produce(
    client: int, said: Any, begin: int, values: Any, keys: Any, ids: Any, sizes: Any, ended: Any
) -> tuple[int, int]:
    """Put records from `begin` on into the queue; the first that is not in it, and why (0: all are)."""
    count = sizes.shape[1]
    for n in range(begin, count):
        for which in range(2):
            of, base = said[_AT_VALUE + which], values if which == 0 else keys
            size = sizes[which, n]
            of.first = 0 if size < 0 else base.ctypes.data + ended[which, n] - size
            of.second = max(size, 0)
        if said.shape[0] > _AT_ID:
            of = said[_AT_ID]
            of.second, of.third = ids.ctypes.data + ended[2, n] - sizes[2, n], sizes[2, n]
        error = _c_produce(client, said.ctypes.data, said.shape[0])
        if error != 0:
            code = _c_error_code(error)
            _c_error_destroy(error)
            return n, code
    return count, 0


class Headers(NamedTuple):
    """Of many records: the name of one that each has its own of, these, and those that all have."""

    name: str
    own: Sequence[bytes]
    common: Sequence[tuple[str, bytes]]


def produce(
    producer: Producer, topic: str, partition: int, keys: Sequence[bytes | None],
    values: Sequence[bytes | None], headers: Headers | None, full: Callable[[], None],
) -> None:  # fmt: skip
    """Queue records for a partition, -1: by their keys.  `full` is called while the queue is, and makes room.

    Raises KafkaException.
    """
    if not keys:
        return
    common = headers.common if headers is not None else ()
    kept = [ctypes.create_string_buffer(topic.encode())]  # what `said` points to
    said = np.zeros(5 + (headers is not None) + len(common), _VU)
    said["what"][:5] = _IS_TOPIC, _IS_PARTITION, _IS_FLAGS, _IS_VALUE, _IS_KEY
    said["first"][:3] = ctypes.addressof(kept[0]), partition & 0xFFFFFFFF, _COPY
    if headers is not None:
        for at, (name, value) in enumerate([(headers.name, b""), *common], _AT_ID):
            kept += [ctypes.create_string_buffer(name.encode()), ctypes.create_string_buffer(value)]
            said[at] = _IS_HEADER, ctypes.addressof(kept[-2]), ctypes.addressof(kept[-1]), len(value)
    columns = [_column(values), _column(keys), _column(headers.own if headers is not None else ())]
    sizes = np.zeros((3, len(keys)), np.int64)
    for row, (_, lengths) in zip(sizes, columns, strict=True):
        row[: len(lengths)] = lengths
    ended = np.cumsum(np.maximum(sizes, 0), axis=1)
    begin, client = 0, handle(producer)
    while True:
        begin, code = _produce(client, said, begin, *(joined for joined, _ in columns), sizes, ended)
        if code == 0:
            return
        if code != KafkaError._QUEUE_FULL:
            raise KafkaException(KafkaError(code))
        full()


def _column(texts: Sequence[bytes | None]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All of them one after the other, and their lengths, -1 for None."""
    try:
        joined, lengths = b"".join(texts), np.fromiter(map(len, texts), np.int64, len(texts))  # type: ignore[arg-type]
    except TypeError:
        joined = b"".join(text for text in texts if text is not None)
        lengths = np.array([-1 if text is None else len(text) for text in texts], np.int64)
    return np.frombuffer(joined or b"\0", np.uint8), lengths


def prepare() -> None:
    """Have it compiled before the first record comes, on no records."""
    none, columns, flags = np.zeros(0, np.int64), np.zeros((4, 0), np.int64), np.zeros(0, np.uint8)
    _look(none, *columns, flags, np.zeros(1, np.int64))
    _copy(none, flags, columns, np.empty(0, np.uint8))
    text, _ = _column(())
    _produce(0, np.zeros(_AT_ID, _VU), 0, text, text, text, columns[:3], columns[:3])
